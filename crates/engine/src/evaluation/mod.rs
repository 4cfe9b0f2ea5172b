//! The evaluation protocol (section 4.1 of the paper): metrics of a model's maps and scores on a
//! labelled test set.

mod bench;
mod detail;
mod metric;
pub mod nuisance;
mod prediction;
pub mod published;
mod session;
mod summary;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Method;
use crate::verdict::calibration::SetBy;

pub use bench::{Bench, BenchRow, BenchRun, Share, Stopped};
pub use detail::{Confusion, Curves, Evaluation, ImageResult, Instance, KindRow, Missing, Outline};
pub use metric::{Metric, Metrics};
pub use prediction::{PICTURE, Prediction, small_picture};
pub use session::{MeasuredImage, Session, Subject, evaluate};
pub use summary::{Spread, Sweep, SweepRow};

/// Decisions of the calibrated threshold on a test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// The image threshold.
    pub threshold: f32,
    /// Who set it; none in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_set: Option<SetBy>,
    /// Harmonic mean of precision and recall; none without defective images.
    pub f1: Option<f64>,
    /// False positive rate: the fraction of good images that are called defective; none without good images.
    pub false_alarms: Option<f64>,
    /// False negative rate: the fraction of defective images that are called good; none without defective images.
    pub misses: Option<f64>,
}

/// Images that show something else than the model's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfamiliar {
    /// Of the good images.
    pub good: Share,
    /// Of the defective images.
    pub defective: Share,
}

/// The results of a model on one category.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryReport {
    /// The category's name.
    pub category: String,
    /// The method of the model.
    #[serde(default)]
    pub method: Method,
    /// The model's name, where several are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Test images.
    pub images: usize,
    /// Metrics of the segmentation network's map; none if the model has no such network.
    pub segmentation: Option<Metrics>,
    /// Metrics of the map of distances: teacher to student, image to reconstruction, or to `PatchCore`'s memory bank.
    pub dest: Metrics,
    /// Image AUC of each kind of defect against all good images. It uses the segmentation map if there
    /// is one.
    pub per_defect: BTreeMap<String, Option<f64>>,
    /// Decisions at the calibrated threshold, if the model has one.
    pub decisions: Option<Decisions>,
    /// Images that show something else than the model's part; none where the model cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfamiliar: Option<Unfamiliar>,
    /// Mean time per image, including resizing.
    pub milliseconds_per_image: f64,
}

impl Unfamiliar {
    /// The same for all images together.
    pub fn all(&self) -> Share {
        self.good.plus(self.defective)
    }

    /// The counts in a sentence.
    pub fn sentence(&self) -> String {
        let Self { good, defective } = self;
        format!(
            "Not the part that the model knows: {} of {} good and {} of {} defective images.",
            good.of, good.all, defective.of, defective.all
        )
    }
}

impl CategoryReport {
    /// The name of the map of distances.
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
    /// Means of the segmentation networks' metrics; none if no model has one.
    pub mean_segmentation: Option<Metrics>,
    /// Means of the metrics of the maps of distances.
    pub mean_dest: Metrics,
}

impl Report {
    /// A report of these categories, with the means.
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
    fn decisions_are_counted() {
        let thresholds = Thresholds {
            image: 0.4,
            ..Thresholds::default()
        };
        let labels = [false, false, true, true, true];
        let decisions = Decisions::of(&[0.1, 0.5, 0.4, 0.9, 0.3], &labels, thresholds);
        assert_eq!(decisions.false_alarms, Some(0.5));
        assert!((decisions.misses.expect("is defined") - 1.0 / 3.0).abs() < 1e-12);
        assert!((decisions.f1.expect("is defined") - 2.0 / 3.0).abs() < 1e-12);
        let good = Decisions::of(&[0.1, 0.5], &[false, false], thresholds);
        assert_eq!((good.f1, good.false_alarms, good.misses), (None, Some(0.5), None));
    }
}
