//! The anomaly map: what the model says about every pixel.

use crate::config::Upsampling;

/// How many of the largest pixels the image score averages (T of the paper, section 4.1).
pub const SCORE_PIXELS: usize = 100;

/// Side of the windows of [`AnomalyMap::largest_window`] (DRAEM, section 3.4 of the paper).
pub(crate) const SCORE_WINDOW: usize = 21;

/// One value per pixel, row by row; higher is more anomalous. It covers a view of the network or a whole
/// image, whatever the image's own size.
///
/// The segmentation network's map lies in (0, 1); the DeST map (product of three cosine
/// distances) lies in [0, 8] and rarely exceeds 1. STPM's squared distances make that [0, 64].
#[derive(Debug, Clone, PartialEq)]
pub struct AnomalyMap {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl AnomalyMap {
    /// A map of `width * height` values; `None` if their number differs or one is not finite.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Option<Self> {
        (values.len() == width * height && values.iter().all(|v| v.is_finite())).then_some(Self {
            width,
            height,
            values,
        })
    }

    /// A map without pixels.
    pub fn empty() -> Self {
        Self {
            width: 0,
            height: 0,
            values: Vec::new(),
        }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The image score: the mean of the [`SCORE_PIXELS`] largest values.
    pub fn score(&self) -> f32 {
        let count = SCORE_PIXELS.min(self.values.len());
        if count == 0 {
            return 0.0;
        }
        let mut values = self.values.clone();
        let (largest, _, _) = values.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        // select_nth puts the pivot itself at count - 1
        let sum: f64 = largest.iter().map(|&v| f64::from(v)).sum::<f64>() + f64::from(values[count - 1]);
        (sum / count as f64) as f32
    }

    /// The largest value: the image score of STPM.
    pub fn maximum(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// The largest mean of a window around a pixel, beyond the edge of zeros: the image score of DRAEM and DSR.
    pub fn largest_window(&self) -> f32 {
        const REACH: usize = SCORE_WINDOW / 2;
        // the sum of the window around each value of a row or column
        let sums = |values: Vec<f64>| -> Vec<f64> {
            let mut until = vec![0.0];
            until.extend(values.iter().scan(0.0, |sum, value| {
                *sum += value;
                Some(*sum)
            }));
            let sum = |at: usize| until[(at + REACH + 1).min(values.len())] - until[at.saturating_sub(REACH)];
            (0..values.len()).map(sum).collect()
        };
        let rows = self.values.chunks_exact(self.width.max(1));
        let rows: Vec<f64> = rows
            .flat_map(|row| sums(row.iter().copied().map(f64::from).collect()))
            .collect();
        let columns =
            (0..self.width).flat_map(|x| sums(rows.iter().skip(x).step_by(self.width).copied().collect()));
        (columns.fold(0.0, f64::max) / (SCORE_WINDOW * SCORE_WINDOW) as f64) as f32
    }

    /// A part of the map; it must lie inside.
    #[must_use]
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Self {
        let rows = self.values.chunks_exact(self.width.max(1)).skip(y).take(height);
        Self {
            width,
            height,
            values: rows.flat_map(|row| row[x..x + width].iter().copied()).collect(),
        }
    }

    /// Every value mixed with its neighbours along both axes as a cubic B-spline with these coefficients has it at their
    /// places, 1 : 4 : 1. The map goes on beyond its edges as it ends there.
    #[must_use]
    pub fn soften(&self) -> Self {
        const NEIGHBOUR: f32 = 1.0 / 6.0;
        let mix = |values: &[f32], stride: usize, count: usize| {
            let mixed = |(index, &value): (usize, &f32)| {
                let along = index / stride % count;
                let before = if along > 0 { values[index - stride] } else { value };
                let after = if along + 1 < count {
                    values[index + stride]
                } else {
                    value
                };
                value + NEIGHBOUR * (before - value + after - value)
            };
            values.iter().enumerate().map(mixed).collect::<Vec<f32>>()
        };
        Self {
            values: mix(&mix(&self.values, 1, self.width), self.width, self.height),
            ..*self
        }
    }

    /// A segmentation network's map at another size.
    #[must_use]
    pub fn enlarge(&self, upsampling: Upsampling, width: usize, height: usize) -> Self {
        // the maps that decide are upsampled bilinearly (section 4.1 of the paper)
        match upsampling {
            Upsampling::Bilinear => self.resize(width, height),
            Upsampling::Soft => self.soften().resize(width, height),
        }
    }

    /// Bilinear resize with half-pixel centres (PyTorch's `align_corners=False`), no antialiasing.
    #[must_use]
    pub fn resize(&self, width: usize, height: usize) -> Self {
        let columns = taps(self.width, width);
        let rows = taps(self.height, height);
        let mut values = Vec::with_capacity(width * height);
        for &(top, bottom, fy) in &rows {
            let (top, bottom) = (
                &self.values[top * self.width..],
                &self.values[bottom * self.width..],
            );
            for &(left, right, fx) in &columns {
                let upper = top[left] * (1.0 - fx) + top[right] * fx;
                let lower = bottom[left] * (1.0 - fx) + bottom[right] * fx;
                values.push(upper * (1.0 - fy) + lower * fy);
            }
        }
        Self {
            width,
            height,
            values,
        }
    }
}

/// For every output position: the two input positions around it and the share of the second.
fn taps(input: usize, output: usize) -> Vec<(usize, usize, f32)> {
    let scale = input as f32 / output as f32;
    (0..output)
        .map(|i| {
            let centre = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (centre as usize).min(input - 1);
            (first, (first + 1).min(input - 1), centre - first as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_the_mean_of_the_largest() {
        let values = (0..1000).map(|i| i as f32).collect();
        let map = AnomalyMap::new(40, 25, values).expect("sizes agree");
        assert_eq!(map.score(), (900..1000).sum::<i32>() as f32 / 100.0);
    }

    #[test]
    fn resize_keeps_constants_and_matches_pytorch() {
        let map = AnomalyMap::new(2, 1, vec![0.0, 1.0]).expect("sizes agree");
        assert_eq!(map.resize(4, 1).values(), [0.0, 0.25, 0.75, 1.0]);
        assert_eq!(map.resize(4, 3).values()[4..8], [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn softening_keeps_the_sum_and_spreads_a_cell() {
        let mut values = vec![0.0; 15];
        values[7] = 1.0;
        let soft = AnomalyMap::new(5, 3, values).expect("sizes agree").soften();
        let is =
            |value: f32, expected: f32| assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
        is(soft.values().iter().sum(), 1.0);
        for (place, expected) in [(7, 16.0), (8, 4.0), (2, 4.0), (13, 1.0), (5, 0.0)] {
            is(soft.values()[place], expected / 36.0);
        }
        let flat = AnomalyMap::new(2, 1, vec![0.5; 2]).expect("sizes agree");
        assert_eq!(flat.soften(), flat);
        let edge = AnomalyMap::new(2, 1, vec![0.0, 1.0])
            .expect("sizes agree")
            .soften();
        is(edge.values()[0], 1.0 / 6.0);
        is(edge.values()[1], 5.0 / 6.0);
    }

    #[test]
    fn wrong_sizes_and_nan_are_refused() {
        assert!(AnomalyMap::new(2, 2, vec![0.0; 3]).is_none());
        assert!(AnomalyMap::new(1, 1, vec![f32::NAN]).is_none());
    }
}
