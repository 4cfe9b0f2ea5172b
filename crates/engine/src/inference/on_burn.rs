//! Networks that Burn runs: on GPUs, and `PatchCore` everywhere.

use burn::tensor::Tensor;

use super::{Detector, Found, Network, not_numbers};
use crate::config::{ModelConfig, TeacherKind};
use crate::backend::device::Device;
use crate::data::map::AnomalyMap;
use crate::model::file::ModelFile;
use crate::model::patchcore::{MemoryFile, PatchCore};
use crate::model::weights::{Array, Weights, read};
use crate::model::{DeSTSeg, Output};
use crate::data::preprocess;
use crate::{Error, Result};

/// A network and where it is.
#[derive(Debug)]
pub(super) enum BurnNetwork {
    Model {
        model: Box<DeSTSeg>,
        device: Device,
    },
    /// A teacher and what it saw of good images.
    Memory {
        memory: Box<PatchCore>,
        device: Device,
    },
}

impl BurnNetwork {
    pub(super) fn of_model(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Self> {
        Ok(Self::around(file.build(teacher, device)?, device))
    }

    pub(super) fn of_memory(file: &MemoryFile, teacher: Option<&Weights>, device: &Device) -> Result<Self> {
        Ok(Self::Memory {
            memory: file.build(teacher, device)?.into(),
            device: device.clone(),
        })
    }

    fn around(model: DeSTSeg, device: &Device) -> Self {
        Self::Model {
            model: Box::new(model.folded()),
            device: device.clone(),
        }
    }

    /// Whether its image scores are more than a rule for its maps.
    pub(super) fn scores(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }

    pub(super) async fn look(&self, pixels: &[f32], side: usize, teacher: TeacherKind) -> Result<Found> {
        match self {
            Self::Model { model, device } => {
                let batch = preprocess::batch([pixels].into_iter(), side, teacher, device);
                read_maps(model.forward(batch)).await
            }
            Self::Memory { memory, device } => {
                let batch = preprocess::batch([pixels].into_iter(), side, teacher, device);
                let found = memory.look(batch).await?;
                Ok(Found {
                    segmentation: None,
                    dest: memory.smooth(&found.patches),
                    levels: [AnomalyMap::empty(), AnomalyMap::empty(), AnomalyMap::empty()],
                    score: Some(found.score),
                })
            }
        }
    }

    /// As [`Detector::features`].
    pub(super) async fn features(
        &self,
        pixels: &[f32],
        side: usize,
        teacher: TeacherKind,
    ) -> Result<[[Array; 3]; 2]> {
        let Self::Model { model, device } = self else {
            return Err(Error::Model(
                "PatchCore has no student to look into: choose a trained model".into(),
            ));
        };
        let batch = preprocess::batch([pixels].into_iter(), side, teacher, device);
        let mut found: [[Array; 3]; 2] = Default::default();
        for (features, found) in model.features(batch).into_iter().zip(&mut found) {
            for (level, found) in features.0.into_iter().zip(found) {
                *found = Array {
                    shape: level.dims().to_vec(),
                    data: read(level).await?,
                };
            }
        }
        Ok(found)
    }
}

impl Detector {
    /// A detector around a network in memory, by Burn on any device.
    pub fn from_model(model: DeSTSeg, config: &ModelConfig, device: &Device) -> Self {
        Self::around(Network::Burn(BurnNetwork::around(model, device)), config)
    }
}

/// All maps from the device, in one read-back.
async fn read_maps(output: Output) -> Result<Found> {
    let Output {
        segmentation,
        dest,
        levels: [fine, middle, coarse],
    } = output;
    let has_segmentation = segmentation.is_some();
    let maps = [segmentation, Some(dest), Some(fine), Some(middle), Some(coarse)];
    let maps: Vec<Tensor<4>> = maps.into_iter().flatten().collect();
    let sizes: Vec<usize> = maps.iter().map(|map| map.dims()[2]).collect();
    let flat = maps.into_iter().map(|map| map.flatten::<1>(0, 3)).collect();
    let values = read(Tensor::cat(flat, 0)).await?;
    let mut rest = &values[..];
    let maps = sizes.into_iter().map(|size| {
        let (own, others) = rest.split_at_checked(size * size).ok_or_else(not_numbers)?;
        rest = others;
        AnomalyMap::new(size, size, own.to_vec()).ok_or_else(not_numbers)
    });
    let mut maps = maps.collect::<Result<Vec<_>>>()?.into_iter();
    let mut next = || maps.next().ok_or_else(not_numbers);
    Ok(Found {
        segmentation: match has_segmentation {
            true => Some(next()?),
            false => None,
        },
        dest: next()?,
        levels: [next()?, next()?, next()?],
        score: None,
    })
}
