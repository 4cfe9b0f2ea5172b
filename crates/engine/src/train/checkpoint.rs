//! What an interrupted run needs to resume with equal steps: weights and batch statistics, the
//! optimisers' momenta and the step number. Random numbers need no state: each is a function of seed
//! and step.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Best, Trainer};
use crate::arch::weights::Weights;
use crate::config::{ModelConfig, TrainConfig};
use crate::files::storage::Precision;
use crate::{Error, Result};

/// Name of the header's entry.
const KEY: &str = "destseg_checkpoint";
/// Raised when older versions cannot read the file.
const VERSION: u32 = 2;
/// Name of the weights' block, itself a safetensors file.
const WEIGHTS: &str = "weights";
/// Name of the best student's block, another one.
const BEST: &str = "best";
/// Name of the block with the optimisers' momenta, under the names of their weights.
const MOMENTA: &str = "momenta";

/// What must be equal for a run to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) model: ModelConfig,
    pub(super) config: TrainConfig,
    /// Good images, held-out ones included.
    pub(super) images: usize,
}

/// The state between two steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) run: Run,
    /// Steps done.
    pub(super) step: usize,
    /// Student and segmentation network.
    pub(super) weights: Weights,
    /// Mean map and weights of the best student so far, where one is chosen.
    pub(super) best: Option<(f32, Weights)>,
    /// The optimisers' momenta; those of a stage that has not begun are missing.
    pub(super) momenta: Weights,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    step: usize,
    run: Run,
    /// Mean map of the best student, if there is one.
    best: Option<f32>,
}

/// Settings and weights of the model as trained so far; `None` if the file is no checkpoint.
///
/// # Errors
/// [`Error::Training`] or [`Error::Model`] if it is a damaged one.
pub fn model_so_far(bytes: &[u8]) -> Result<Option<(ModelConfig, Weights)>> {
    let is_checkpoint = SafeTensors::read_metadata(bytes).is_ok_and(|(_, metadata)| {
        let entries = metadata.metadata().as_ref();
        entries.is_some_and(|entries| entries.contains_key(KEY))
    });
    if !is_checkpoint {
        return Ok(None);
    }
    let checkpoint = Checkpoint::parse(bytes)?;
    Ok(Some((checkpoint.run.model, checkpoint.weights)))
}

impl Checkpoint {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let fail = |err: String| Error::Training(format!("the checkpoint cannot be written: {err}"));
        let header = Header {
            version: VERSION,
            step: self.step,
            run: self.run.clone(),
            best: self.best.as_ref().map(|(mean, _)| *mean),
        };
        let header = serde_json::to_string(&header).map_err(|err| fail(err.to_string()))?;
        let weights = self.weights.to_safetensors(Precision::F32, Default::default())?;
        let best = match &self.best {
            Some((_, best)) => Some(best.to_safetensors(Precision::F32, Default::default())?),
            None => None,
        };
        // before the first step there are none, and a file without tensors is none
        let momenta = if self.momenta.is_empty() {
            None
        } else {
            Some(self.momenta.to_safetensors(Precision::F32, Default::default())?)
        };
        let views = std::iter::once((WEIGHTS, &weights))
            .chain(momenta.as_ref().map(|momenta| (MOMENTA, momenta)))
            .chain(best.as_ref().map(|best| (BEST, best)))
            .map(|(name, bytes)| Ok((name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|err| fail(err.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|err| fail(err.to_string()))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let unusable = |reason: &str| {
            Error::Training(format!(
                "this is no usable checkpoint ({reason}): remove it and start again"
            ))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|err| unusable(&err.to_string()))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(KEY))
            .ok_or_else(|| unusable("it has no header of a training run"))?;
        let Header {
            version,
            step,
            run,
            best,
        } = serde_json::from_str(header).map_err(|err| unusable(&err.to_string()))?;
        if version != VERSION {
            return Err(unusable("another version of destseg wrote it"));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|err| unusable(&err.to_string()))?;
        let block = |name: &str| {
            file.tensor(name)
                .map(|view| view.data().to_vec())
                .map_err(|err| unusable(&err.to_string()))
        };
        let weights = |name: &str| {
            let bytes = block(name)?;
            let file = SafeTensors::deserialize(&bytes).map_err(|err| unusable(&err.to_string()))?;
            Weights::from_safetensors(&file)
        };
        Ok(Self {
            run,
            step,
            weights: weights(WEIGHTS)?,
            best: best.map(|mean| Ok((mean, weights(BEST)?))).transpose()?,
            momenta: match file.tensor(MOMENTA) {
                Ok(_) => weights(MOMENTA)?,
                Err(_) => Weights::default(),
            },
        })
    }
}

impl Trainer {
    /// The state between two steps, for [`Self::resume`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost, [`Error::Training`] if the weights are no numbers any
    /// more or the state cannot be serialised.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        let weights = self.finite_weights().await?;
        let best = self.best.as_ref().map(|best| (best.mean, best.student.clone()));
        let momenta = self.networks.moments().await?;
        let checkpoint = Checkpoint {
            run: self.run(),
            step: self.step,
            weights,
            best,
            momenta,
        };
        checkpoint.to_bytes()
    }

    /// Resumes where [`Self::checkpoint`] was taken, in this process or another: all later steps are
    /// bit by bit those of an uninterrupted run on the same device.
    ///
    /// # Errors
    /// [`Error::Training`] for a file that is no checkpoint or belongs to another run.
    pub fn resume(&mut self, checkpoint: &[u8]) -> Result<()> {
        let checkpoint = Checkpoint::parse(checkpoint)?;
        if checkpoint.run != self.run() {
            return Err(Error::Training(
                "the checkpoint is of a run with other settings or images: give the same ones, or start again"
                    .into(),
            ));
        }
        self.start_from(&checkpoint.weights)?;
        self.networks.restore(&checkpoint.momenta)?;
        self.best = checkpoint.best.map(|(mean, student)| Best { mean, student });
        self.step = checkpoint.step;
        Ok(())
    }

    fn run(&self) -> Run {
        Run {
            model: self.model_config.clone(),
            config: self.config.clone(),
            images: self.images.len() + self.held_out.len(),
        }
    }

    /// The weights, which must be numbers.
    pub(super) async fn finite_weights(&self) -> Result<Weights> {
        let weights = self.networks.weights().await?;
        if weights.is_finite() {
            Ok(weights)
        } else {
            Err(self.diverged("a weight"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::weights::Array;
    use crate::config::Preset;

    fn checkpoint() -> Checkpoint {
        let mut weights = Weights::default();
        let data = vec![0.25, -1.5e-7];
        weights.insert("a".into(), Array { shape: vec![2], data });
        let mut best = Weights::default();
        best.insert(
            "a".into(),
            Array {
                shape: vec![1],
                data: vec![7.0],
            },
        );
        let mut momenta = Weights::default();
        momenta.insert(
            "student_net.a".into(),
            Array {
                shape: vec![1, 2],
                data: vec![-0.5, 3e-20],
            },
        );
        Checkpoint {
            run: Run {
                model: ModelConfig::preset(Preset::Compact),
                config: TrainConfig::preset(Preset::Compact),
                images: 7,
            },
            step: 42,
            weights,
            best: Some((0.125, best)),
            momenta,
        }
    }

    #[test]
    fn a_checkpoint_comes_back_bit_by_bit() {
        let whole = checkpoint();
        let at_the_start = Checkpoint {
            momenta: Weights::default(),
            best: None,
            ..checkpoint()
        };
        for checkpoint in [whole, at_the_start] {
            let bytes = checkpoint.to_bytes().expect("writes");
            assert_eq!(Checkpoint::parse(&bytes).expect("reads"), checkpoint);
        }
    }

    #[test]
    fn other_files_are_refused() {
        let bytes = checkpoint().to_bytes().expect("writes");
        for broken in [&bytes[..bytes.len() - 1], &bytes[..40], b"{}"] {
            let error = Checkpoint::parse(broken).expect_err("is broken").to_string();
            assert!(error.contains("no usable checkpoint"), "{error}");
        }
    }
}
