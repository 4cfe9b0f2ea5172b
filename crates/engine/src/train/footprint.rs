//! Memory and tensor sizes of a training, known before it begins, and the batches that fit a device.

use crate::arch::cost::largest_map;
use crate::config::{ModelConfig, Preset};

/// Bytes of a value.
const VALUE: u64 = 4;
/// Images of a step to choose from.
pub const BATCHES: [usize; 5] = [2, 4, 8, 16, 32];
/// The largest tensor that every device with WebGPU takes, in bytes.
pub const LEAST_BINDING: u64 = 128 << 20;

/// Bytes of the largest tensor of a training step with `batch` images. A GPU takes a tensor as a whole or
/// not at all.
pub fn largest_tensor(model: &ModelConfig, batch: usize) -> u64 {
    VALUE * (batch * largest_map(model)) as u64
}

/// About how many bytes a training with `batch` images takes.
pub fn training_bytes(model: &ModelConfig, batch: usize) -> u64 {
    // measured natively, on the CPU: docs/performance.md
    let (fixed, per_pixel) = match model.preset {
        Preset::Compact | Preset::Standard => (190_000_000, 560),
        Preset::Paper => (1_170_000_000, 2_450),
    };
    fixed + per_pixel * (batch * model.input_size * model.input_size) as u64
}

/// What a device takes, in bytes; none where there is no limit or it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one tensor.
    pub tensor: Option<u64>,
    /// Of a training in all.
    pub memory: Option<u64>,
}

impl Limits {
    /// Whether a training with `batch` images a step keeps to them.
    pub fn allow(&self, model: &ModelConfig, batch: usize) -> bool {
        self.tensor
            .is_none_or(|limit| largest_tensor(model, batch) <= limit)
            && self
                .memory
                .is_none_or(|limit| training_bytes(model, batch) <= limit)
    }
}

/// The largest number of images that a device takes at once, at most `wanted`; none if not even two fit.
pub fn fitting_batch(model: &ModelConfig, wanted: usize, limits: &Limits) -> Option<usize> {
    let smaller = BATCHES.into_iter().rev().filter(|&batch| batch < wanted);
    std::iter::once(wanted)
        .chain(smaller)
        .find(|&batch| limits.allow(model, batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(preset: Preset, side: usize) -> ModelConfig {
        ModelConfig {
            input_size: side,
            ..ModelConfig::preset(preset)
        }
    }

    #[test]
    fn batches_follow_the_devices_limit() {
        let fitting_batch = |model: &ModelConfig, wanted, tensor| {
            fitting_batch(model, wanted, &Limits { tensor, memory: None })
        };
        let paper = model(Preset::Paper, 256);
        // the fusion of four branches of 256 channels at a quarter of the side
        assert_eq!(largest_tensor(&paper, 8), LEAST_BINDING);
        assert_eq!(fitting_batch(&paper, 32, Some(LEAST_BINDING)), Some(8));
        assert_eq!(fitting_batch(&paper, 32, Some(1 << 30)), Some(32));
        assert_eq!(fitting_batch(&paper, 32, None), Some(32));
        assert_eq!(fitting_batch(&paper, 32, Some(1 << 20)), None);
        assert_eq!(
            fitting_batch(&model(Preset::Paper, 128), 32, Some(LEAST_BINDING)),
            Some(32)
        );
        let compact = model(Preset::Compact, 256);
        assert_eq!(fitting_batch(&compact, 8, Some(LEAST_BINDING)), Some(8));
        assert_eq!(fitting_batch(&compact, 32, Some(LEAST_BINDING)), Some(16));
    }
}
