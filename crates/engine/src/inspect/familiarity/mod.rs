//! Whether an image shows the part that a model knows: how far the teacher's features lie from those of the good images.
//!
//! The features of good images are described by one normal distribution (the Mahalanobis distance; for features of a
//! pretrained network: Rippel et al., "Modeling the distribution of normal data in pre-trained deep features", ICPR
//! 2020). An image's distance is the *median* over its cells. A defect changes a few cells and hardly moves the median;
//! another part changes most of them. Not in the paper; `docs/notebook/familiarity.md` has the measurements.

pub(crate) mod appearance;
mod cells;
mod gaussian;
mod kinds;

use std::borrow::Borrow;

use destseg_kernels::Grid;
use serde::{Deserialize, Serialize};

pub(crate) use appearance::Appearance;
pub use appearance::AppearanceRecord;
use appearance::{PIXELS, Template};
pub(crate) use cells::cells;
use gaussian::Gaussian;

use super::good::GoodImage;
use crate::arch::weights::{Array, Weights};
use crate::data::moments::Moments;
use crate::order;
use crate::verdict::calibration::Calibration;
use crate::verdict::difference::Difference;
use crate::{Error, Result};

/// Prefix of its tensors in a file.
pub const PREFIX: &str = "familiarity.";
pub(crate) const MEAN: &str = "mean";
pub(crate) const WHITENING: &str = "whitening";
pub(crate) const TEMPLATE: &str = "template";

/// The distance from which on an image is unfamiliar. Good images of a model's own part have about 0.8, whatever the part.
const LIMIT: f32 = 1.33;
/// Parts that vary more get a limit of so many standard deviations (of the logarithm) above the median of their good
/// images.
const SPREAD: f32 = 5.0;
/// Images further away than so many times the limit show another part, whatever someone says of them ...
const REACH: f32 = 1.5;
/// ... and so many times where they show the part turned, or in other light.
const REACH_OF_OTHER_VIEWS: f32 = 4.0;
/// Parts of the good images that are left out in turn, so that each has a distance to others.
const FOLDS: usize = 4;

/// What a model file keeps about the features of good images.
#[derive(Debug, Clone, PartialEq)]
pub struct Familiarity {
    gaussian: Gaussian,
    /// None in files of before.
    template: Option<Template>,
    record: FamiliarityRecord,
}

/// The part of it that lies in the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FamiliarityRecord {
    /// Images at a larger distance are unfamiliar.
    pub limit: f32,
    /// Distances of the good images, each to others than itself.
    pub good_distances: Vec<f32>,
    /// How many good images each kind of part has, where they look like two; files of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_kinds: Option<[usize; 2]>,
    /// How they are framed and lit; files of before have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<AppearanceRecord>,
}

impl FamiliarityRecord {
    /// Whether an image at this distance, which differs in this way, is unfamiliar: unless one like it was said to show the
    /// part.
    pub fn is_unfamiliar(
        &self,
        distance: f32,
        difference: Option<Difference>,
        calibration: Option<&Calibration>,
    ) -> bool {
        distance > self.limit_of(difference, calibration)
    }

    /// The distance beyond which an image that differs in this way is unfamiliar.
    pub fn limit_of(&self, difference: Option<Difference>, calibration: Option<&Calibration>) -> f32 {
        let known = calibration.map_or(f32::NEG_INFINITY, |own| own.knows_up_to(difference));
        self.limit.max(known.min(self.farthest(difference)))
    }

    /// Whether an image at this distance cannot be the model's part, whatever someone says: no correction makes its like
    /// familiar.
    pub fn is_beyond(&self, distance: f32, difference: Option<Difference>) -> bool {
        distance > self.farthest(difference)
    }

    /// The distance beyond which no correction makes an image that differs in this way familiar.
    fn farthest(&self, difference: Option<Difference>) -> f32 {
        let reach = match difference {
            None | Some(Difference::Part) => REACH,
            Some(_) => REACH_OF_OTHER_VIEWS,
        };
        reach * self.limit
    }

    /// What to know about good images of two kinds, one sentence.
    pub fn kinds_note(&self) -> Option<String> {
        let [first, second] = self.two_kinds?;
        Some(format!(
            "the good images look like two kinds of part ({first} and {second} images): train a model for each, unless \
             both kinds come by turns"
        ))
    }
}

impl Familiarity {
    /// Learns from good images. None if they are too few.
    ///
    /// # Errors
    /// [`Error::Training`] for features that are not numbers.
    pub(super) fn learn(images: &[GoodImage]) -> Result<Option<Self>> {
        let cells: Vec<&[Grid; 2]> = images.iter().map(|own| &own.cells).collect();
        let appearances: Vec<&Appearance> = images.iter().map(|own| &own.appearance).collect();
        Ok(Self::of(&cells)?.map(|own| own.with_template(Template::of(&appearances))))
    }

    fn with_template(mut self, template: Template) -> Self {
        self.record.appearance = Some(template.record().clone());
        self.template = Some(template);
        self
    }

    /// From the cells of good images, each followed by those of a variation.
    fn of(images: &[impl Borrow<[Grid; 2]>]) -> Result<Option<Self>> {
        let images: Vec<&[Grid; 2]> = images.iter().map(Borrow::borrow).collect();
        let channels = images.first().map_or(0, |[cells, _]| cells.channels);
        if images.len() < FOLDS || channels == 0 {
            return Ok(None);
        }
        let fail = || Error::Training("the teacher's features of the good images are not numbers".into());
        let mut folds = vec![Moments::new(channels); FOLDS];
        for (place, pair) in images.iter().enumerate() {
            for cells in *pair {
                folds[place % FOLDS].add(cells.data.iter().copied());
            }
        }
        let without = |left_out: Option<usize>| {
            let mut all = Moments::new(channels);
            let kept = folds
                .iter()
                .enumerate()
                .filter(|(fold, _)| Some(*fold) != left_out);
            kept.for_each(|(_, fold)| all.merge(fold));
            Gaussian::of(&all).ok_or_else(fail)
        };
        let mut good_distances = Vec::with_capacity(images.len());
        for fold in 0..FOLDS {
            let others = without(Some(fold))?;
            let own = images.iter().skip(fold).step_by(FOLDS);
            good_distances.extend(own.map(|[cells, _]| others.median(cells)));
        }
        Ok(Some(Self {
            gaussian: without(None)?,
            template: None,
            record: FamiliarityRecord {
                limit: limit(&good_distances),
                good_distances,
                two_kinds: kinds::two_kinds(&images.iter().map(|[cells, _]| cells).collect::<Vec<_>>()),
                appearance: None,
            },
        }))
    }

    /// The record in a file's header.
    pub fn record(&self) -> &FamiliarityRecord {
        &self.record
    }

    /// How far an image is from the good images, and how it differs if that is beyond the limit. Where the appearance
    /// differs more than the features do, the distance says how far that is beyond its own limit.
    pub(crate) fn judge(&self, cells: &Grid, appearance: &Appearance) -> (f32, Option<Difference>) {
        let (distance, limit) = (self.gaussian.median(cells), self.record.limit);
        let is_far = distance > limit;
        match &self.template {
            Some(template) => match template.difference(appearance, is_far) {
                Some((difference, beyond)) => (distance.max(limit * beyond), Some(difference)),
                None => (distance, None),
            },
            None => (distance, is_far.then_some(Difference::Part)),
        }
    }

    /// A cell as good cells' scatter shows it: of those, every number has a mean of 0 and a standard deviation of about 1.
    pub(crate) fn whiten(&self, cell: &[f32]) -> Vec<f32> {
        let mut whitened = vec![0.0; cell.len()];
        self.gaussian.whiten(cell, &mut whitened);
        whitened
    }

    /// Its tensors, under the names of a file.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        let mean = self.gaussian.mean().to_vec();
        let template = self.template.as_ref().map(|own| (TEMPLATE, own.mean().to_vec()));
        for (name, data) in [(MEAN, mean), (WHITENING, self.gaussian.rows())]
            .into_iter()
            .chain(template)
        {
            let array = Array {
                shape: vec![data.len()],
                data,
            };
            weights.insert(format!("{PREFIX}{name}"), array);
        }
        weights
    }

    /// From a file's header and tensors, for a teacher whose cells have so many channels.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing, misshapen or unknown tensor.
    pub fn from_file(record: FamiliarityRecord, weights: &Weights, channels: usize) -> Result<Self> {
        let read = |name: &str, length: usize| {
            let own = weights.get(&format!("{PREFIX}{name}"))?;
            if own.shape == [length] {
                return Ok(own.data.clone());
            }
            Err(Error::Model(format!(
                "the tensor `{PREFIX}{name}` has shape {:?} instead of [{length}]: take another copy of the file",
                own.shape
            )))
        };
        if !(record.limit > 0.0 && record.limit.is_finite()) {
            return Err(Error::Model(
                "the model's limit of familiar images is not a positive number: take another copy of the file".into(),
            ));
        }
        let gaussian = Gaussian::from_rows(
            read(MEAN, channels)?,
            &read(WHITENING, channels * (channels + 1) / 2)?,
        );
        let template = match record.appearance.clone() {
            Some(appearance) => Some(Template::from_file(appearance, read(TEMPLATE, PIXELS)?)),
            None => None,
        };
        Ok(Self {
            gaussian,
            template,
            record,
        })
    }
}

/// The distance from which on images are unfamiliar.
fn limit(good_distances: &[f32]) -> f32 {
    /// From the median absolute deviation to a normal distribution's standard deviation.
    const NORMAL: f32 = 1.4826;
    let median = |mut values: Vec<f32>| {
        order::sort_by(&mut values, f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let logarithms: Vec<f32> = good_distances
        .iter()
        .map(|&own| libm::logf(own.max(1e-6)))
        .collect();
    let middle = median(logarithms.clone());
    let deviation = NORMAL * median(logarithms.iter().map(|own| (own - middle).abs()).collect());
    LIMIT.max(libm::expf(middle + SPREAD * deviation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cells whose channels vary around `centre`, each with a standard deviation of its own.
    fn image(seed: usize, centre: f32, channels: usize) -> Grid {
        let mut cells = Grid::zeros(4, 4, channels);
        for (place, value) in cells.data.iter_mut().enumerate() {
            let (cell, channel) = (place / channels, place % channels);
            let noise = libm::sinf((seed * 131 + cell * 17 + channel * 29) as f32 * 12.9898) * 43_758.547;
            *value = centre + (noise - noise.floor() - 0.5) * (1.0 + channel as f32);
        }
        cells
    }

    /// An image twice, as if its variation were the same.
    fn twice(cells: &Grid) -> [Grid; 2] {
        [cells.clone(), cells.clone()]
    }

    fn is_unfamiliar(familiarity: &Familiarity, cells: &Grid) -> bool {
        let (distance, difference) = familiarity.judge(cells, &Appearance::default());
        assert_eq!(difference.is_some(), distance > familiarity.record.limit);
        familiarity.record.is_unfamiliar(distance, difference, None)
    }

    fn learned(images: usize) -> Familiarity {
        let good: Vec<[Grid; 2]> = (0..images).map(|seed| twice(&image(seed, 0.0, 6))).collect();
        Familiarity::of(&good).expect("are numbers").expect("are enough")
    }

    #[test]
    fn no_correction_makes_another_part_familiar() {
        let record = FamiliarityRecord {
            limit: 2.0,
            good_distances: Vec::new(),
            two_kinds: None,
            appearance: None,
        };
        let said = |distance: f32, difference: Difference| {
            let correction = serde_json::from_value(serde_json::json!({
                "name": "a", "defective": true, "score": 0.5, "distance": distance, "difference": difference,
            }));
            let calibration = Calibration {
                corrections: vec![correction.expect("is one")],
                ..Calibration::default()
            };
            !record.is_unfamiliar(distance, Some(difference), Some(&calibration))
        };
        assert!(said(2.9, Difference::Part) && !said(3.1, Difference::Part));
        assert!(said(7.9, Difference::Darker) && !said(8.1, Difference::Darker));
        assert!(!record.is_beyond(2.9, None) && record.is_beyond(3.1, None));
    }

    #[test]
    fn another_centre_is_unfamiliar_and_a_small_defect_is_not() {
        let familiarity = learned(12);
        let own = image(99, 0.0, 6);
        assert!(!is_unfamiliar(&familiarity, &own));
        assert!(is_unfamiliar(&familiarity, &image(99, 6.0, 6)));
        let mut defective = own.clone();
        // a quarter of the cells
        defective.data[..4 * 6].fill(40.0);
        assert!(!is_unfamiliar(&familiarity, &defective));
    }

    #[test]
    fn it_comes_back_from_a_file() {
        let familiarity = learned(8);
        let weights = familiarity.weights();
        let back = Familiarity::from_file(familiarity.record().clone(), &weights, 6).expect("reads");
        assert_eq!(back, familiarity);
        let error =
            Familiarity::from_file(familiarity.record().clone(), &weights, 7).expect_err("does not fit");
        assert!(error.to_string().contains("familiarity.mean"), "{error}");
        let broken = FamiliarityRecord {
            limit: f32::NAN,
            good_distances: Vec::new(),
            two_kinds: None,
            appearance: None,
        };
        assert!(Familiarity::from_file(broken, &weights, 6).is_err());
    }

    #[test]
    fn few_and_equal_images_are_no_fault() {
        assert_eq!(
            Familiarity::of(&[twice(&image(0, 0.0, 2))]).expect("no fault"),
            None
        );
        let same = image(0, 0.0, 3);
        let familiarity = Familiarity::of(&vec![twice(&same); 5])
            .expect("no fault")
            .expect("are enough");
        assert!(!is_unfamiliar(&familiarity, &same));
        let mut constant = Grid::zeros(4, 4, 3);
        constant.data.fill(0.5);
        let familiarity = Familiarity::of(&vec![twice(&constant); 5])
            .expect("no fault")
            .expect("are enough");
        assert!(!is_unfamiliar(&familiarity, &constant));
        constant.data[0] = f32::NAN;
        assert!(Familiarity::of(&vec![twice(&constant); 5]).is_err());
    }

    #[test]
    fn two_kinds_of_part_are_told() {
        let kind = |centre: f32, count: usize| (0..count).map(move |seed| twice(&image(seed, centre, 6)));
        let one: Vec<[Grid; 2]> = kind(0.0, 12).collect();
        let record = |images: &[[Grid; 2]]| {
            Familiarity::of(images)
                .expect("are numbers")
                .expect("are enough")
                .record
        };
        assert_eq!(record(&one).two_kinds, None);
        let both: Vec<[Grid; 2]> = kind(0.0, 9).chain(kind(30.0, 4)).collect();
        let mut counts = record(&both).two_kinds.expect("two kinds");
        counts.sort_unstable();
        assert_eq!(counts, [4, 9]);
        assert!(
            record(&both)
                .kinds_note()
                .is_some_and(|note| note.contains("two kinds"))
        );
        // one odd photo is no kind
        let odd: Vec<[Grid; 2]> = kind(0.0, 12).chain(kind(30.0, 1)).collect();
        assert_eq!(record(&odd).two_kinds, None);
    }

    #[test]
    fn parts_that_vary_more_get_a_higher_limit() {
        assert_eq!(limit(&[0.78, 0.8, 0.81, 0.79]), LIMIT);
        let varied = limit(&[0.6, 0.8, 1.0, 1.2, 0.7, 0.9]);
        assert!(varied > LIMIT, "{varied}");
        // one odd image among the good ones changes nothing
        assert_eq!(limit(&[0.78, 0.8, 0.81, 0.79, 5.0]), LIMIT);
    }

    #[test]
    fn cells_are_means_of_both_levels() {
        let level = |side: usize, channels: usize| {
            let mut grid = Grid::zeros(side, side, channels);
            let values = grid.data.iter_mut().zip(0..);
            values.for_each(|(value, place)| *value = (place % 7) as f32);
            grid
        };
        let (middle, coarse) = (level(4, 2), level(2, 3));
        let cells = cells(&middle, &coarse);
        assert_eq!((cells.height, cells.width, cells.channels), (2, 2, 5));
        // all four places of the coarse level are neighbours of each
        let mean = |channel: usize| (0..4).map(|place| coarse.data[place * 3 + channel]).sum::<f32>() / 4.0;
        for cell in cells.data.chunks_exact(5) {
            assert!((0..3).all(|channel| (cell[2 + channel] - mean(channel)).abs() < 1e-6));
        }
        let neighbourhood = |y: i32, x: i32| {
            let inside = |place: i32| (0..4).contains(&place);
            let places = (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (y, x)));
            let values: Vec<f32> = places
                .filter(|&(y, x)| inside(y) && inside(x))
                .map(|(y, x)| middle.data[(y * 4 + x) as usize * 2])
                .collect();
            values.iter().sum::<f32>() / values.len() as f32
        };
        let first = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(y, x)| neighbourhood(y, x));
        assert!((cells.data[0] - first.iter().sum::<f32>() / 4.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_distance_of_the_distributions_own_vectors_is_about_one(seed in 0_usize..1000) {
            let familiarity = learned(16);
            let (distance, _) = familiarity.judge(&image(seed + 500, 0.0, 6), &Appearance::default());
            prop_assert!((0.4..1.6).contains(&distance), "{distance}");
        }
    }
}
