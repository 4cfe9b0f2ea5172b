//! The three losses (section 3.4 of the paper).

use burn::tensor::Tensor;

use super::features::Features;

/// Keeps the logarithm finite; PyTorch's cross entropy clamps it at -100 instead.
const SMALLEST: f64 = 1e-12;

/// Cosine loss of stage 1: per level the mean distance over all pixels of all images, summed over
/// the levels. The teacher saw the clean images, the student the corrupted ones; both normalised.
///
/// The reference sums over the batch instead of averaging; multiply by the batch size for that.
pub(super) fn cosine(teacher_clean: Features, student_corrupted: Features) -> Tensor<1> {
    let [fine, middle, coarse] = teacher_clean.similarity(student_corrupted).distances();
    fine.mean() + middle.mean() + coarse.mean()
}

/// Focal loss without class weights: cross entropy times `(1 - p_t)^gamma`, mean over all pixels.
/// `map` in (0, 1) and `mask` in {0, 1} are `[batch, 1, height, width]`.
pub(super) fn focal(map: Tensor<4>, mask: Tensor<4>, gamma: f64) -> Tensor<1> {
    let right = map.clone() * mask.clone() + map.neg().add_scalar(1.0) * mask.neg().add_scalar(1.0);
    let hardness = right
        .clone()
        .neg()
        .add_scalar(1.0)
        .clamp_min(SMALLEST)
        .powf_scalar(gamma);
    (right.clamp_min(SMALLEST).log().neg() * hardness).mean()
}

/// Mean absolute difference between `map` and `mask`.
pub(super) fn l1(map: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
    (map - mask).abs().mean()
}
