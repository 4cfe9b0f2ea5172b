//! Optimisers and learning rates of the two stages.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Bytes, Tensor};

use crate::config::{Schedule, StageConfig, TrainConfig};
use crate::model::segmentation::Segmentation;
use crate::model::student::Student;
use crate::{Error, Result};

/// Stochastic gradient descent as PyTorch does it: no dampening (Burn's default is 0.1).
fn sgd(config: &TrainConfig) -> ModuleOptimizer {
    let momentum = MomentumConfig::new()
        .with_momentum(config.momentum)
        .with_dampening(0.0);
    SgdConfig::new()
        .with_weight_decay(Some(WeightDecayConfig::new(config.weight_decay as f32)))
        .with_momentum(Some(momentum))
        .init()
}

fn save(optimiser: &ModuleOptimizer) -> Result<Vec<u8>> {
    let bytes = optimiser
        .into_bytes()
        .map_err(|err| Error::Training(format!("the optimiser's state cannot be saved: {err}")))?;
    Ok(bytes.to_vec())
}

fn load(state: &[u8], config: &TrainConfig) -> Result<ModuleOptimizer> {
    sgd(config)
        .from_bytes(Bytes::from_bytes_vec(state.to_vec()))
        .map_err(|err| Error::Training(format!("the optimiser's saved state cannot be read: {err}")))
}

/// The rate at `step` of a stage.
pub(super) fn learning_rate(stage: &StageConfig, step: usize) -> f64 {
    let warm_up = ((step + 1) as f64 / stage.warm_up.max(1) as f64).min(1.0);
    let progress = step as f64 / stage.steps.max(1) as f64;
    let course = match stage.schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress)),
    };
    stage.learning_rate * warm_up * course
}

/// Stage 1: one group.
pub(super) struct StudentOptimiser(ModuleOptimizer);

impl StudentOptimiser {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self(sgd(config))
    }

    /// Its momentum, serialised.
    pub(super) fn state(&self) -> Result<Vec<u8>> {
        save(&self.0)
    }

    pub(super) fn restore(&mut self, state: &[u8], config: &TrainConfig) -> Result<()> {
        self.0 = load(state, config)?;
        Ok(())
    }

    pub(super) fn step(&mut self, rate: f64, student: Student, loss: &Tensor<1>) -> Student {
        let gradients = GradientsParams::from_grads(loss.backward(), &student);
        self.0.step(rate, student, gradients)
    }
}

/// Stage 2: the residual blocks and the head have rates of their own.
pub(super) struct SegmentationOptimiser {
    res: ModuleOptimizer,
    squeeze: ModuleOptimizer,
    head: ModuleOptimizer,
}

impl SegmentationOptimiser {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self {
            res: sgd(config),
            squeeze: sgd(config),
            head: sgd(config),
        }
    }

    /// Their momenta, serialised.
    pub(super) fn state(&self) -> Result<[Vec<u8>; 3]> {
        Ok([save(&self.squeeze)?, save(&self.res)?, save(&self.head)?])
    }

    pub(super) fn restore(&mut self, [squeeze, res, head]: [&[u8]; 3], config: &TrainConfig) -> Result<()> {
        self.squeeze = load(squeeze, config)?;
        self.res = load(res, config)?;
        self.head = load(head, config)?;
        Ok(())
    }

    /// `rates` are those of the blocks and of the head.
    pub(super) fn step(&mut self, rates: [f64; 2], network: Segmentation, loss: &Tensor<1>) -> Segmentation {
        let mut gradients = loss.backward();
        let Segmentation { squeeze, res, head } = network;
        let [blocks_rate, head_rate] = rates;
        let of_squeeze = GradientsParams::from_module(&mut gradients, &squeeze);
        let of_res = GradientsParams::from_module(&mut gradients, &res);
        let of_head = GradientsParams::from_module(&mut gradients, &head);
        Segmentation {
            squeeze: self.squeeze.step(blocks_rate, squeeze, of_squeeze),
            res: self.res.step(blocks_rate, res, of_res),
            head: self.head.step(head_rate, head, of_head),
        }
    }
}

impl std::fmt::Debug for StudentOptimiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StudentOptimiser")
    }
}

impl std::fmt::Debug for SegmentationOptimiser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SegmentationOptimiser")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn rates_warm_up_and_fall() {
        let mut stage = TrainConfig::preset(Preset::Compact).segmentation;
        stage.warm_up = 10;
        stage.learning_rate = 1.0;
        assert!((learning_rate(&stage, 0) - 0.1).abs() < 1e-9);
        assert!(learning_rate(&stage, 20) > 0.98);
        assert!(learning_rate(&stage, stage.steps - 1) < 1e-3);
    }
}
