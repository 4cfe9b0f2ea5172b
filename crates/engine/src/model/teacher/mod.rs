//! The frozen ImageNet network. Its batch normalisation is folded into the convolutions, which is
//! exact because a frozen network only ever uses its running statistics.

pub(super) mod efficientnet;
mod folding;
pub(super) mod resnet;

use super::tensors;
use super::weights::Weights;
use crate::Result;
use crate::config::TeacherKind;
use folding::Folding;

#[cfg(feature = "burn")]
pub use super::network::teacher::Teacher;

/// The teacher whose published or folded state dict this is, by its typical tensors.
pub fn recognise(weights: &Weights) -> Option<TeacherKind> {
    if ["_conv_stem.weight", "blocks.0.depthwise.weight"]
        .into_iter()
        .any(|name| weights.contains(name))
    {
        Some(TeacherKind::EfficientnetLite0)
    } else if weights.contains("layer1.0.conv1.weight") {
        Some(TeacherKind::Resnet18)
    } else {
        None
    }
}

/// Turns a published state dict into folded weights of the used part: torchvision's `resnet18`
/// or `efficientnet-lite0`, or weights that are folded already.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming the first tensor that is missing, misshapen or unknown.
pub fn fold(kind: TeacherKind, weights: &Weights) -> Result<Weights> {
    fold_behind("", kind, weights)
}

/// [`fold`] of the weights whose names start with `prefix`; the folded ones do, too.
pub(super) fn fold_behind(prefix: &str, kind: TeacherKind, weights: &Weights) -> Result<Weights> {
    let shapes = tensors::of_teacher(prefix, kind);
    let is_published = ["bn1.weight", "bn1.running_mean", "_conv_stem.weight"]
        .into_iter()
        .any(|name| weights.contains(&format!("{prefix}{name}")));
    if !is_published {
        return shapes.check(weights, prefix).map(|()| weights.clone());
    }
    let folding = Folding::new(weights, prefix, shapes);
    match kind {
        TeacherKind::Resnet18 => resnet::fold(folding),
        TeacherKind::EfficientnetLite0 => efficientnet::fold(folding),
    }
}

/// Folded weights under the published names: torchvision's for `resnet18`, with batch normalisation
/// that only adds the bias. `EfficientNet-Lite0` stays as it is.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming the first tensor that is missing.
#[cfg(feature = "burn")]
pub fn unfold(kind: TeacherKind, folded: &Weights) -> Result<Weights> {
    match kind {
        TeacherKind::Resnet18 => resnet::unfold(folded),
        TeacherKind::EfficientnetLite0 => Ok(folded.clone()),
    }
}
