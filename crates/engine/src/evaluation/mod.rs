//! The evaluation protocol (section 4.1 of the paper): a model's maps and scores of a labelled
//! test set, measured by the field's figures.

mod detail;
mod prediction;
pub mod published;
mod session;
mod summary;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Method;

pub use detail::{Confusion, Curves, Evaluation, ImageResult, Instance, KindRow, Missing, Outline};
pub use prediction::Prediction;
pub use session::{MeasuredImage, Session, Subject, evaluate};
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryReport {
    /// The category's name.
    pub category: String,
    /// The method that the model follows.
    #[serde(default)]
    pub method: Method,
    /// The model's name, where several are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Test images.
    pub images: usize,
    /// The segmentation network's map; none where the model has none.
    pub segmentation: Option<Metrics>,
    /// The product of distances, or the distance to `PatchCore`'s memory.
    pub dest: Metrics,
    /// Image AUC of each kind of defect against all good images, by the map that decides.
    pub per_defect: BTreeMap<String, Option<f64>>,
    /// Decisions at the calibrated threshold, if the model has one.
    pub decisions: Option<Decisions>,
    /// Mean time of an image, resizing included.
    pub milliseconds_per_image: f64,
}

impl CategoryReport {
    /// What the map of distances is called.
    pub fn distance_name(&self) -> &'static str {
        if self.method == Method::Destseg {
            "DeST"
        } else {
            self.method.label()
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::decision::Thresholds;

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
        let decisions = Decisions::of(&[0.1, 0.5, 0.4, 0.9, 0.3], &labels, thresholds);
        assert_eq!(decisions.false_alarms, 0.5);
        assert!((decisions.misses - 1.0 / 3.0).abs() < 1e-12);
        assert!((decisions.f1 - 2.0 / 3.0).abs() < 1e-12);
    }
}
