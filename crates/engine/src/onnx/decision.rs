//! From image scores to verdicts.

use super::builder::{Axis, Builder, Name};
use super::familiarity::Judged;
use super::proto::DataType;
use crate::inspect::FamiliarityRecord;
use crate::verdict::calibration::Calibration;
use crate::verdict::difference::Difference;

/// The words of the output `verdict`, from 0 on.
pub(super) const VERDICTS: [&str; 3] = ["good", "defective", "unfamiliar"];

/// The axis of the images.
pub(super) const BATCH: Axis = Axis::Free("batch");

/// The outputs of a calibrated model: what follows from the image scores, `[batch]`.
pub(super) fn decide(
    b: &mut Builder,
    calibration: &Calibration,
    scores: &str,
    familiarity: Option<(&FamiliarityRecord, &Judged)>,
) {
    let threshold = b.setting("threshold", calibration.image_threshold);
    let is_defective = b.op("GreaterOrEqual", [scores, &threshold]);
    let mut verdict = b.cast(&is_defective, DataType::Int64);
    if let Some((record, judged)) = familiarity {
        let differences = std::iter::once(None).chain(Difference::ALL.into_iter().map(Some));
        let limits: Vec<f32> = differences
            .map(|own| record.limit_of(own, Some(calibration)))
            .collect();
        let limits = b.weights("distance_limits", &[limits.len()], &limits);
        let limit = b.op("Gather", [&limits, &judged.difference]);
        let is_unfamiliar = b.op("Greater", [&judged.distance, &limit]);
        let unfamiliar = b.integer(2);
        verdict = b.op("Where", [&is_unfamiliar, &unfamiliar, &verdict]);
    }
    let about = "0: good, 1: defective, 2: unfamiliar";
    b.output("verdict", DataType::Int64, &[BATCH], about, &verdict);
    let place = decision_score(b, scores, &threshold, &is_defective, calibration.certain);
    let about = "the score from 0 (surely good) over 0.5 (the threshold) to 1 (surely defective)";
    b.output("decision_score", DataType::Float, &[BATCH], about, &place);
    if let Some(p_value) = p_value(b, &calibration.good_scores, scores) {
        let about = "share of the held-out good images, this one counted among them, that score as high";
        b.output("p_value", DataType::Float, &[BATCH], about, &p_value);
    }
}

/// Linear on both sides of the threshold.
fn decision_score(b: &mut Builder, scores: &str, threshold: &str, above: &str, certain: f32) -> Name {
    let [none, half, one, minus_one, certain] = [0.0, 0.5, 1.0, -1.0, certain].map(|value| b.number(value));
    let distance = b.op("Sub", [scores, threshold]);
    let rest = b.op("Sub", [&certain, threshold]);
    let most = b.op("Where", [above, &rest, threshold]);
    let share = b.op("Div", [&distance, &most]);
    let share = b.op("Clip", [&share, &minus_one, &one]);
    let is_finite = b.op("Greater", [&most, &none]);
    let share = b.op("Where", [&is_finite, &share, &one]);
    let share = b.op("Mul", [&share, &half]);
    b.op("Add", [&share, &half])
}

/// None without scores of good images.
fn p_value(b: &mut Builder, good_scores: &[f32], scores: &str) -> Option<Name> {
    if good_scores.is_empty() {
        return None;
    }
    let good = b.weights("good_scores", &[good_scores.len()], good_scores);
    let scores = b.reshape(scores, &[-1, 1]);
    let as_high = b.op("GreaterOrEqual", [&good, &scores]);
    let as_high = b.cast(&as_high, DataType::Float);
    let count = b.reduce("ReduceSum", &as_high, 1, false);
    let [one, all] = [1.0, good_scores.len() as f32 + 1.0].map(|value| b.number(value));
    let count = b.op("Add", [&count, &one]);
    Some(b.op("Div", [&count, &all]))
}
