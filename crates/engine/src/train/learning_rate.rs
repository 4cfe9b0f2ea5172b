//! Learning rates of the two stages.

use crate::config::{Schedule, StageConfig};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, TrainConfig};

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
