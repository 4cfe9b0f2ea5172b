//! The frozen ImageNet network. Its batch normalisation is folded into the convolutions, which is
//! exact because a frozen network only ever uses its running statistics.

mod efficientnet;
mod folding;
mod resnet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::features::Features;
use super::weights::{Weights, load};
use crate::config::TeacherKind;
use crate::{Error, Result};

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
    /// Builds a teacher from folded weights, as [`fold`] gives them, on `device`.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub fn load(kind: TeacherKind, weights: &Weights, device: &Device) -> Result<Self> {
        match kind {
            TeacherKind::Resnet18 => load(ResNet18::new(device), weights, "").map(Self::Resnet18),
            TeacherKind::EfficientnetLite0 => {
                load(EfficientNetLite0::new(device), weights, "").map(Self::EfficientnetLite0)
            }
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

/// Turns a published state dict into folded weights of the used part: torchvision's `resnet18`
/// or `efficientnet-lite0`, or weights that are folded already.
///
/// # Errors
/// [`Error::Model`] naming the first tensor that is missing.
pub fn fold(kind: TeacherKind, weights: Weights) -> Result<Weights> {
    match kind {
        TeacherKind::Resnet18 => resnet::fold(weights),
        TeacherKind::EfficientnetLite0 => efficientnet::fold(weights),
    }
}
