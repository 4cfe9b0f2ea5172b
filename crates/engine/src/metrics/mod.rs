//! How well maps and scores find defects: the figures that papers print.
//!
//! Scores are `f32`, higher is more anomalous; labels and masks are `true` where defective. Each
//! function takes whole test sets as flat slices. Whoever needs several figures of the same pixels
//! sorts once with [`Ranking`] and asks it.

mod curves;
mod ranking;
mod tally;

pub use curves::{Curve, Point};
pub use ranking::{InstanceAp, Ranking};
pub use tally::Tally;

use crate::Result;

/// The false positive rate up to which AUPRO integrates.
pub const AUPRO_LIMIT: f64 = 0.3;

/// Area under the ROC curve of image scores, ties counted half.
///
/// # Errors
/// [`crate::Error::Metric`] for unequal lengths, NaN, or labels of one kind only.
pub fn image_auc(scores: &[f32], labels: &[bool]) -> Result<f64> {
    Ranking::new(scores, labels)?.auc()
}

/// Area under the ROC curve of all pixels of a test set, ties counted half.
///
/// # Errors
/// As [`image_auc`].
pub fn pixel_auc(scores: &[f32], masks: &[bool]) -> Result<f64> {
    Ranking::new(scores, masks)?.auc()
}

/// Average precision: the precision at every distinct score, weighted by the recall it adds.
///
/// # Errors
/// [`crate::Error::Metric`] for unequal lengths, NaN, or without a defective entry.
pub fn average_precision(scores: &[f32], labels: &[bool]) -> Result<f64> {
    Ranking::new(scores, labels)?.average_precision()
}

/// Area under the per-region overlap: the mean share of each defect that is found, over the false
/// positive rate of all good pixels from 0 to `limit` (usually [`AUPRO_LIMIT`]), as a share of
/// `limit`. Defects are the 8-connected regions of each image's mask; `size` is the width and
/// height of every image.
///
/// # Errors
/// [`crate::Error::Metric`] for lengths that do not fit, NaN, masks of one kind only, or a limit
/// outside (0, 1].
pub fn aupro(scores: &[f32], masks: &[bool], size: (usize, usize), limit: f64) -> Result<f64> {
    Ranking::of_images(scores, masks, size)?.aupro(limit)
}

/// Instance average precision of a test set; `size` is the width and height of every image.
///
/// # Errors
/// [`crate::Error::Metric`] for lengths that do not fit, NaN, or without a defect.
pub fn instance_ap(scores: &[f32], masks: &[bool], size: (usize, usize)) -> Result<InstanceAp> {
    Ranking::of_images(scores, masks, size)?.instance_ap()
}

/// The threshold with the best F1 value, and that value: what scores at least the threshold counts
/// as defective.
///
/// # Errors
/// As [`average_precision`].
pub fn best_f1_threshold(scores: &[f32], labels: &[bool]) -> Result<(f32, f64)> {
    Ranking::new(scores, labels)?.best_f1()
}

#[cfg(test)]
mod tests;
