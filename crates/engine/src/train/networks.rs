//! The networks of a training, wherever they are trained: the one place that tells the backends apart.

use destseg_kernels::Grid;

use super::steps::Batch;
use crate::Result;
use crate::arch::weights::Weights;
use crate::backend::cpu::CpuTraining;
use crate::backend::device::Device;
use crate::backend::optimiser::{Rule, StepSize};
use crate::config::ModelConfig;
use crate::inspect::Detector;

/// Teacher, student, segmentation network and whitening, with the optimisers of the two that are trained.
#[derive(Debug)]
pub(super) enum Networks {
    Cpu(Box<CpuTraining>),
    #[cfg(feature = "burn")]
    Burn(Box<crate::backend::burn::BurnTraining>),
}

impl Networks {
    /// Networks without weights around a folded teacher.
    pub(super) fn new(config: &ModelConfig, teacher: &Weights, rule: Rule, device: &Device) -> Result<Self> {
        Ok(match device {
            Device::Cpu => Self::Cpu(CpuTraining::new(config, teacher, rule)?.into()),
            #[cfg(feature = "burn")]
            Device::Burn(device) => {
                Self::Burn(crate::backend::burn::BurnTraining::new(config, teacher, rule, device)?.into())
            }
        })
    }

    /// All weights that are trained or estimated, under the names of a file.
    pub(super) async fn weights(&self) -> Result<Weights> {
        match self {
            Self::Cpu(networks) => Ok(networks.weights()),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.weights().await,
        }
    }

    /// Takes those parts whose weights there are; they were checked.
    pub(super) fn set_weights(&mut self, weights: &Weights) {
        match self {
            Self::Cpu(networks) => networks.set_weights(weights),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.set_weights(weights),
        }
    }

    /// A step of stage 1: the cosine loss times `factor`. `denoising` shows the student the corrupted images.
    pub(super) async fn student_step(
        &mut self,
        batch: Batch,
        denoising: bool,
        size: StepSize,
        factor: f32,
    ) -> Result<f32> {
        let seen = if denoising {
            batch.corrupted
        } else {
            batch.clean.clone()
        };
        match self {
            Self::Cpu(networks) => networks.student_step(&batch.clean, seen, size, factor),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.student_step(&batch.clean, &seen, size, factor).await,
        }
    }

    /// A step of stage 2: focal and L1 loss.
    pub(super) async fn segmentation_step(
        &mut self,
        batch: Batch,
        size: StepSize,
        gamma: f64,
    ) -> Result<[f32; 2]> {
        match self {
            Self::Cpu(networks) => {
                networks.segmentation_step(&batch.corrupted, &batch.mask, size, gamma as f32)
            }
            #[cfg(feature = "burn")]
            Self::Burn(networks) => {
                networks
                    .segmentation_step(&batch.corrupted, &batch.mask, size, gamma)
                    .await
            }
        }
    }

    /// Features of teacher and student for an image that is normalised for the teacher, every vector of length 1.
    pub(super) async fn features(&mut self, image: &Grid) -> Result<[[Grid; 3]; 2]> {
        match self {
            Self::Cpu(networks) => networks.features(image),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.features(image).await,
        }
    }

    /// The moments of the optimisers, under the names of a file.
    pub(super) async fn moments(&self) -> Result<Weights> {
        match self {
            Self::Cpu(networks) => Ok(networks.moments()),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.moments().await,
        }
    }

    /// Resumes with saved moments.
    pub(super) fn restore(&mut self, moments: &Weights) -> Result<()> {
        match self {
            Self::Cpu(networks) => networks.restore(moments),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => networks.restore(moments),
        }
    }

    /// The networks as they are now, ready to look at images.
    pub(super) fn detector(&self, config: &ModelConfig) -> Result<Detector> {
        Ok(match self {
            Self::Cpu(networks) => Detector::of_networks(Box::new(networks.current()?), config),
            #[cfg(feature = "burn")]
            Self::Burn(networks) => Detector::of_networks(Box::new(networks.current()?), config),
        })
    }

    /// Networks of the same kind without weights, for steps that are thrown away; none where nothing is compiled at the
    /// first step.
    pub(super) fn untrained_copy(&self) -> Option<Self> {
        match self {
            Self::Cpu(_) => None,
            #[cfg(feature = "burn")]
            Self::Burn(networks) => Some(Self::Burn(networks.untrained_copy().into())),
        }
    }
}
