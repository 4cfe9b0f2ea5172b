//! The evaluation protocol (section 4.1 of the paper): a model's maps and scores of a labelled
//! test set, measured by the field's figures.

pub mod published;
mod summary;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::dataset::{Category, TestItem};
use crate::decision::{SENSITIVITY, Thresholds};
use crate::inference::Detector;
use crate::map::AnomalyMap;
use crate::metrics::{AUPRO_LIMIT, Ranking};
use crate::platform::now_ms;

pub use summary::{Spread, Sweep, SweepRow};

/// The six figures of one output, each in [0, 1]; none where the test set does not define it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Area under the ROC curve of the image scores.
    pub image_auc: Option<f64>,
    /// Area under the ROC curve of all pixels.
    pub pixel_auc: Option<f64>,
    /// Average precision of all pixels.
    pub pixel_ap: Option<f64>,
    /// Area under the per-region overlap up to a false positive rate of 0.3.
    pub aupro: Option<f64>,
    /// Instance average precision.
    pub iap: Option<f64>,
    /// Pixel precision at 90 % of the instances.
    pub iap90: Option<f64>,
}

impl Metrics {
    /// The figures' names, in the order of [`Self::values`].
    pub const NAMES: [&str; 6] = ["image AUC", "pixel AUC", "pixel AP", "PRO", "IAP", "IAP@90"];

    /// All figures.
    pub fn values(&self) -> [Option<f64>; 6] {
        [
            self.image_auc,
            self.pixel_auc,
            self.pixel_ap,
            self.aupro,
            self.iap,
            self.iap90,
        ]
    }

    /// Figures in the order of [`Self::NAMES`].
    pub fn from_values([image_auc, pixel_auc, pixel_ap, aupro, iap, iap90]: [Option<f64>; 6]) -> Self {
        Self {
            image_auc,
            pixel_auc,
            pixel_ap,
            aupro,
            iap,
            iap90,
        }
    }

    /// The mean of each figure over those that have it.
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sums = [(0.0, 0); 6];
        for metrics in all {
            for ((sum, count), value) in sums.iter_mut().zip(metrics.values()) {
                if let Some(value) = value {
                    *sum += value;
                    *count += 1;
                }
            }
        }
        Self::from_values(sums.map(|(sum, count)| (count > 0).then(|| sum / f64::from(count))))
    }
}

/// How the calibrated threshold decides about a test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// The image threshold.
    pub threshold: f32,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Share of the good images that are called defective.
    pub false_alarms: f64,
    /// Share of the defective images that are not.
    pub misses: f64,
}

/// What a model is worth on one category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoryReport {
    /// The category's name.
    pub category: String,
    /// Test images.
    pub images: usize,
    /// The segmentation network's map; none where the model has none.
    pub segmentation: Option<Metrics>,
    /// The product of distances.
    pub dest: Metrics,
    /// Image AUC of each kind of defect against all good images, by the map that decides.
    pub per_defect: BTreeMap<String, Option<f64>>,
    /// Decisions at the calibrated threshold, if the model has one.
    pub decisions: Option<Decisions>,
    /// Mean time of an image, resizing included.
    pub milliseconds_per_image: f64,
}

/// Several categories and their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The categories, in order.
    pub categories: Vec<CategoryReport>,
    /// Mean of the segmentation networks' figures; none if no model has one.
    pub mean_segmentation: Option<Metrics>,
    /// Mean of the DeST maps' figures.
    pub mean_dest: Metrics,
}

impl Report {
    /// Adds the means.
    pub fn new(categories: Vec<CategoryReport>) -> Self {
        let segmentation: Vec<&Metrics> = categories
            .iter()
            .filter_map(|report| report.segmentation.as_ref())
            .collect();
        Self {
            mean_segmentation: (!segmentation.is_empty()).then(|| Metrics::mean(segmentation)),
            mean_dest: Metrics::mean(categories.iter().map(|report| &report.dest)),
            categories,
        }
    }
}

/// Scores and pixels of one output over the test set.
#[derive(Debug, Default)]
struct Collected {
    scores: Vec<f32>,
    pixels: Vec<f32>,
}

impl Collected {
    fn add(&mut self, map: &AnomalyMap, score: f32, side: usize) {
        self.scores.push(score);
        self.pixels.extend_from_slice(map.resize(side, side).values());
    }

    fn measure(&self, labels: &[bool], masks: &[bool], side: usize) -> Metrics {
        let images = Ranking::new(&self.scores, labels);
        let pixels = Ranking::of_images(&self.pixels, masks, (side, side)).ok();
        let pixels = pixels.as_ref();
        let instances = pixels.and_then(|pixels| pixels.instance_ap().ok());
        Metrics {
            image_auc: images.and_then(|images| images.auc()).ok(),
            pixel_auc: pixels.and_then(|pixels| pixels.auc().ok()),
            pixel_ap: pixels.and_then(|pixels| pixels.average_precision().ok()),
            aupro: pixels.and_then(|pixels| pixels.aupro(AUPRO_LIMIT).ok()),
            iap: instances.map(|instances| instances.iap),
            iap90: instances.map(|instances| instances.iap90),
        }
    }
}

/// Analyses the test images of a category one after the other and measures the result. `progress`
/// hears how many of how many images are done.
///
/// # Errors
/// [`crate::Error::Dataset`] for images and masks that do not pair, those of reading images, and
/// [`crate::Error::Device`] if the device was lost.
pub async fn evaluate(
    detector: &Detector,
    category: &Category,
    mut progress: impl FnMut(usize, usize),
) -> Result<CategoryReport> {
    let items = category.test()?;
    let side = detector.config().input_size;
    let (mut segmentation, mut dest) = (Collected::default(), Collected::default());
    let mut decided = Vec::with_capacity(items.len());
    let mut masks = Vec::new();
    let mut milliseconds = 0.0;
    for (done, item) in items.iter().enumerate() {
        let test = item.load(side)?;
        let start = now_ms();
        let found = detector.detect(&test.image).await?;
        milliseconds += now_ms() - start;
        decided.push(found.score);
        dest.add(&found.dest, found.dest_score, side);
        if let Some(map) = &found.segmentation {
            segmentation.add(map, found.score, side);
        }
        masks.extend(test.mask);
        progress(done + 1, items.len());
    }
    let labels: Vec<bool> = items.iter().map(TestItem::is_defective).collect();
    Ok(CategoryReport {
        category: category.name.clone(),
        images: items.len(),
        per_defect: per_defect(&items, &decided),
        decisions: detector
            .calibration()
            .map(|calibration| decide(&decided, &labels, calibration.thresholds())),
        segmentation: (!segmentation.scores.is_empty()).then(|| segmentation.measure(&labels, &masks, side)),
        dest: dest.measure(&labels, &masks, side),
        milliseconds_per_image: milliseconds / items.len().max(1) as f64,
    })
}

fn per_defect(items: &[TestItem], scores: &[f32]) -> BTreeMap<String, Option<f64>> {
    let kinds: BTreeMap<&str, ()> = items
        .iter()
        .filter(|item| item.is_defective())
        .map(|item| (item.defect.as_str(), ()))
        .collect();
    let auc = |kind: &str| {
        let chosen = items
            .iter()
            .zip(scores)
            .filter(|(item, _)| !item.is_defective() || item.defect == kind);
        let (labels, scores): (Vec<bool>, Vec<f32>) =
            chosen.map(|(item, score)| (item.is_defective(), *score)).unzip();
        Ranking::new(&scores, &labels)
            .and_then(|ranking| ranking.auc())
            .ok()
    };
    kinds
        .into_keys()
        .map(|kind| (kind.to_owned(), auc(kind)))
        .collect()
}

fn decide(scores: &[f32], labels: &[bool], thresholds: Thresholds) -> Decisions {
    let count = |defective: bool, called: bool| {
        scores
            .iter()
            .zip(labels)
            .filter(|&(&score, &label)| {
                label == defective && thresholds.is_defective(score, SENSITIVITY) == called
            })
            .count() as f64
    };
    let (hits, misses) = (count(true, true), count(true, false));
    let (alarms, passes) = (count(false, true), count(false, false));
    Decisions {
        threshold: thresholds.image,
        f1: 2.0 * hits / (2.0 * hits + misses + alarms).max(1.0),
        false_alarms: alarms / (alarms + passes).max(1.0),
        misses: misses / (hits + misses).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_those_that_have_the_figure() {
        let metrics = |image_auc, pixel_ap| Metrics {
            image_auc,
            pixel_ap,
            ..Metrics::default()
        };
        let mean = Metrics::mean(&[metrics(Some(0.5), None), metrics(Some(1.0), Some(0.2))]);
        assert_eq!(mean, metrics(Some(0.75), Some(0.2)));
    }

    #[test]
    fn decisions_are_counted() {
        let thresholds = Thresholds {
            image: 0.4,
            ..Thresholds::default()
        };
        let labels = [false, false, true, true, true];
        let decisions = decide(&[0.1, 0.5, 0.4, 0.9, 0.3], &labels, thresholds);
        assert_eq!(decisions.false_alarms, 0.5);
        assert!((decisions.misses - 1.0 / 3.0).abs() < 1e-12);
        assert!((decisions.f1 - 2.0 / 3.0).abs() < 1e-12);
    }
}
