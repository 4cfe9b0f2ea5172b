//! What a model remembers of images whose verdicts were corrected: how the teacher sees their decisive places. Places that
//! look the same get a lower or a higher value from then on; all others stay as they are.
//!
//! A place is a cell of the image, whitened by what is known of good images' cells: there, differences in every direction
//! count the same. Not in the paper; `docs/notebook/thresholds.md` has the measurements.

use serde::{Deserialize, Serialize};

use super::corrections::Correction;

/// A remembered number is a whole count of these, in standard deviations of good cells.
const STEP: f32 = 0.125;
/// How much a good place lowers the logit of its like where all corrections are false alarms; where others are misses, it
/// lowers as much less as their share is, because it lowers the like of defects a little, too.
const LOWER: f32 = 4.0;
/// How much a defective place raises the logit of its like.
pub(crate) const RAISE: f32 = 6.0;
/// How far from a good place its like may be: a Gaussian kernel's width, as a root mean square over the numbers of a cell.
/// Good cells have neighbours among others at 0.57 to 0.71.
pub(crate) const WIDTH: f32 = 0.62;
/// What is like a defective place lies further than this in its direction, in standard deviations of good cells.
pub(crate) const APART: f32 = 4.0;
/// A defective place is a longer way off than [`APART`], at least by so much.
const MARGIN: f32 = 1.0;
/// Places of each kind that are used, the newest first: more would slow inspections down.
const MOST: usize = 128;

/// A place of an image whose verdict was corrected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The logit of the map there, without any memory.
    pub logit: f32,
    /// The whitened cell in steps of an eighth of a standard deviation.
    steps: Vec<i8>,
}

impl Remembered {
    /// Of a whitened cell.
    pub(crate) fn new(logit: f32, cell: &[f32]) -> Self {
        Self {
            logit,
            // `as` keeps values within the type's range
            steps: cell.iter().map(|value| (value / STEP).round() as i8).collect(),
        }
    }

    pub(super) fn cell(&self) -> Vec<f32> {
        self.steps.iter().map(|&value| f32::from(value) * STEP).collect()
    }
}

/// A defective place: its direction from the good ones, and how far off it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Direction {
    pub(crate) unit: Vec<f32>,
    pub(crate) length: f32,
}

/// The places of all corrected images together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) good: Vec<Vec<f32>>,
    pub(crate) defective: Vec<Direction>,
    /// How much a good place lowers the logit of its like.
    pub(crate) lower: f32,
}

impl Memory {
    /// Of these corrections, the newest last.
    pub(crate) fn of<'a>(corrections: impl DoubleEndedIterator<Item = &'a Correction>) -> Self {
        let mut own = Self::default();
        let (mut all, mut false_alarms) = (0, 0);
        for correction in corrections.rev() {
            all += 1;
            false_alarms += i32::from(!correction.defective);
            for place in &correction.places {
                let cell = place.cell();
                if !correction.defective {
                    own.good.push(cell);
                    continue;
                }
                let length = dot(&cell, &cell).sqrt();
                if length > APART + MARGIN {
                    let unit = cell.iter().map(|value| value / length).collect();
                    own.defective.push(Direction { unit, length });
                }
            }
        }
        own.lower = LOWER * false_alarms as f32 / all.max(1) as f32;
        own.good.truncate(MOST);
        own.defective.truncate(MOST);
        own
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.good.is_empty() && self.defective.is_empty()
    }

    /// What is added to the map's logit at a place with this whitened cell.
    ///
    /// A good place works as a Gaussian kernel. A defective one works by its direction, so that fainter and stronger
    /// defects of the kind count, too (exemplar LDA: Hariharan et al., "Discriminative decorrelation for clustering and
    /// classification", ECCV 2012).
    pub(crate) fn shift(&self, cell: &[f32]) -> f32 {
        let nearest = self
            .good
            .iter()
            .map(|own| squared_distance(own, cell))
            .fold(f32::INFINITY, f32::min);
        let width = WIDTH * WIDTH * cell.len() as f32;
        let good = libm::expf(-0.5 * nearest / width);
        let along = |own: &Direction| (dot(&own.unit, cell) - APART) / (own.length - APART);
        let defective = self
            .defective
            .iter()
            .filter(|own| own.unit.len() == cell.len())
            .map(along)
            .fold(0.0, f32::max);
        RAISE * defective.min(1.0) - self.lower * good
    }
}

/// The squared distance of two cells; infinite for cells of different teachers.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Values that the compiler takes at once.
const LANES: usize = 8;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels of the cells.
    const CHANNELS: usize = 20;

    fn cell(length: f32, direction: usize) -> Vec<f32> {
        let mut cell = vec![0.0; CHANNELS];
        cell[direction] = length;
        cell
    }

    fn memory(places: &[(bool, Vec<f32>)]) -> Memory {
        let corrections: Vec<Correction> = places
            .iter()
            .map(|(defective, cell)| Correction {
                name: "any".into(),
                defective: *defective,
                score: 0.5,
                distance: None,
                difference: None,
                places: vec![Remembered::new(0.0, cell)],
                fingerprint: None,
                score_after: None,
            })
            .collect();
        Memory::of(corrections.iter())
    }

    #[test]
    fn the_like_of_a_good_place_is_lowered_and_others_stay() {
        let own = memory(&[(false, cell(5.0, 0))]);
        assert!((own.shift(&cell(5.0, 0)) + LOWER).abs() < 1e-5);
        assert!(own.shift(&cell(6.0, 0)) < -0.8 * LOWER);
        assert!(own.shift(&cell(14.0, 0)) > -0.03 * LOWER);
        assert!(own.shift(&cell(12.0, 1)) > -0.03 * LOWER);
    }

    #[test]
    fn the_like_of_a_defective_place_is_raised_where_no_good_cell_lies() {
        let own = memory(&[(true, cell(12.0, 3))]);
        assert!((own.shift(&cell(12.0, 3)) - RAISE).abs() < 1e-4);
        // fainter, and stronger
        assert!((own.shift(&cell(8.0, 3)) - 0.5 * RAISE).abs() < 1e-4);
        assert!((own.shift(&cell(15.0, 3)) - RAISE).abs() < 1e-4);
        for good in [cell(APART, 3), cell(12.0, 4), cell(-12.0, 3)] {
            assert_eq!(own.shift(&good), 0.0);
        }
        // half of the corrections are false alarms
        let both = memory(&[(true, cell(12.0, 3)), (false, cell(5.0, 0))]);
        assert!((both.shift(&cell(5.0, 0)) + 0.5 * LOWER).abs() < 1e-5);
        // a place that is as good ones are says nothing
        assert!(memory(&[(true, cell(APART, 3))]).is_empty());
    }

    #[test]
    fn cells_of_another_teacher_are_not_like_any() {
        let own = memory(&[(false, cell(5.0, 0)), (true, cell(12.0, 3))]);
        assert_eq!(own.shift(&[12.0; 7]), 0.0);
    }

    #[test]
    fn a_place_is_kept_to_a_sixteenth() {
        let values = [0.3, -2.71, 9.99, -30.0];
        let back = Remembered::new(1.0, &values).cell();
        for (value, back) in values.iter().zip(back).take(3) {
            assert!((value - back).abs() <= 0.5 * STEP + 1e-6, "{value} became {back}");
        }
        // -128 steps
        assert_eq!(Remembered::new(1.0, &values).cell()[3], -16.0);
    }
}
