//! The frozen ImageNet network. Its batch normalisation is folded into the convolutions, which is
//! exact because a frozen network only ever uses its running statistics.

mod efficientnet;
mod folding;
mod resnet;

use crate::Result;
use crate::arch;
use crate::arch::weights::Weights;
use crate::config::TeacherKind;
use folding::Folding;

/// Any side will do where only names and shapes count.
const SIDE: usize = 32;

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

/// How a teacher is published: names of a convolution and its normalisation, epsilon of the normalisations, and which
/// tensors belong to layers that are not used.
type Published = (fn(&str) -> folding::Unit, f32, fn(&str) -> bool);

/// [`fold`] of the weights whose names start with `prefix`; the folded ones do, too.
pub(crate) fn fold_behind(prefix: &str, kind: TeacherKind, weights: &Weights) -> Result<Weights> {
    let graph = arch::teacher(kind, SIDE);
    let shapes = graph.tensors(prefix);
    let is_published = ["bn1.weight", "bn1.running_mean", "_conv_stem.weight"]
        .into_iter()
        .any(|name| weights.contains(&format!("{prefix}{name}")));
    if !is_published {
        return shapes.check(weights, prefix).map(|()| weights.clone());
    }
    let mut folding = Folding::new(weights, prefix, shapes);
    let (published, epsilon, is_beyond): Published = match kind {
        TeacherKind::Resnet18 => (resnet::published, resnet::EPSILON, resnet::is_beyond),
        TeacherKind::EfficientnetLite0 => (
            efficientnet::published,
            efficientnet::EPSILON,
            efficientnet::is_beyond,
        ),
    };
    for conv in graph.convs() {
        let folding::Unit { conv: from, norm } = published(&conv.name);
        folding.unit(&conv.name, &from, &norm, epsilon)?;
    }
    folding.finish(is_beyond)
}

/// Folded weights under the published names: torchvision's for `resnet18`, with batch normalisation
/// that only adds the bias. `EfficientNet-Lite0` stays as it is.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming the first tensor that is missing.
pub fn unfold(kind: TeacherKind, folded: &Weights) -> Result<Weights> {
    match kind {
        TeacherKind::Resnet18 => {
            let graph = arch::teacher(kind, SIDE);
            resnet::unfold(folded, graph.convs().map(|conv| conv.name.clone()))
        }
        TeacherKind::EfficientnetLite0 => Ok(folded.clone()),
    }
}
