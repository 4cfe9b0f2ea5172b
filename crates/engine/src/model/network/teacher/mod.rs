//! The frozen teacher.

mod efficientnet;
mod resnet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::exchange::load;
use super::features::Features;
use crate::config::TeacherKind;
use crate::model::weights::Weights;
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
    /// A teacher whose weights are still zero.
    pub(in crate::model) fn new(kind: TeacherKind, device: &Device) -> Self {
        match kind {
            TeacherKind::Resnet18 => Self::Resnet18(ResNet18::new(device)),
            TeacherKind::EfficientnetLite0 => Self::EfficientnetLite0(EfficientNetLite0::new(device)),
        }
    }

    /// Builds a teacher from folded weights, as [`fold`](crate::model::teacher::fold) gives them, on `device`.
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
