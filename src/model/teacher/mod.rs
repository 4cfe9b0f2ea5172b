//! The frozen ImageNet network. Its batch normalisation is folded into the convolutions, which is
//! exact because a frozen network only ever uses its running statistics.

pub(super) mod efficientnet;
mod folding;
pub(super) mod resnet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::features::Features;
use super::shapes::Shapes;
use super::weights::{Weights, load};
use crate::config::TeacherKind;
use crate::{Error, Result, device};
use folding::Folding;

pub use efficientnet::EfficientNetLite0;
pub use resnet::ResNet18;

/// One of the known teachers.
#[derive(Module, Debug)]
pub enum Teacher {
    /// Torchvision's `ResNet18`.
    Resnet18(ResNet18),
    /// `EfficientNet-Lite0`.
    EfficientnetLite0(EfficientNetLite0),
}

impl Teacher {
    /// A teacher whose weights are still zero.
    pub(super) fn new(kind: TeacherKind, device: &Device) -> Self {
        match kind {
            TeacherKind::Resnet18 => Self::Resnet18(ResNet18::new(device)),
            TeacherKind::EfficientnetLite0 => Self::EfficientnetLite0(EfficientNetLite0::new(device)),
        }
    }

    /// Builds a teacher from folded weights, as [`fold`] gives them, on `device`.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing, misshapen or unknown tensor.
    pub fn load(kind: TeacherKind, weights: &Weights, device: &Device) -> Result<Self> {
        match Self::new(kind, device) {
            Self::Resnet18(network) => load(network, weights, "").map(Self::Resnet18),
            Self::EfficientnetLite0(network) => load(network, weights, "").map(Self::EfficientnetLite0),
        }
        .map_err(|err| Error::Model(format!("the {} teacher cannot be used: {err}", kind.id())))
    }

    /// Features of an image `[batch, 3, side, side]`, already normalised for this teacher.
    pub fn forward(&self, image: Tensor<4>) -> Features {
        match self {
            Self::Resnet18(network) => network.forward(image),
            Self::EfficientnetLite0(network) => network.forward(image),
        }
    }
}

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
/// [`Error::Model`] naming the first tensor that is missing, misshapen or unknown.
pub fn fold(kind: TeacherKind, weights: &Weights) -> Result<Weights> {
    fold_behind("", kind, weights)
}

/// What folded weights need, with `prefix` before all names.
pub(super) fn shapes_behind(prefix: &str, kind: TeacherKind) -> Shapes {
    // only described: nothing is computed on this device
    match Teacher::new(kind, &device::any()) {
        Teacher::Resnet18(network) => Shapes::of(&network, prefix),
        Teacher::EfficientnetLite0(network) => Shapes::of(&network, prefix),
    }
}

/// [`fold`] of the weights whose names start with `prefix`; the folded ones do, too.
pub(super) fn fold_behind(prefix: &str, kind: TeacherKind, weights: &Weights) -> Result<Weights> {
    let shapes = shapes_behind(prefix, kind);
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
/// [`Error::Model`] naming the first tensor that is missing.
#[cfg(feature = "train")]
pub fn unfold(kind: TeacherKind, folded: &Weights) -> Result<Weights> {
    match kind {
        TeacherKind::Resnet18 => resnet::unfold(folded),
        TeacherKind::EfficientnetLite0 => Ok(folded.clone()),
    }
}
