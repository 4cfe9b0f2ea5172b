//! What a network costs: multiplications of its convolutions for one image, and its parameters.

use crate::config::{ModelConfig, Stem, TeacherKind};

/// Multiply-accumulate operations and parameters (weights, biases, scales and shifts of
/// normalisations; those folded into a convolution are its bias).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulate operations of all convolutions for one image.
    pub macs: u64,
    /// Numbers that training or an earlier training found.
    pub parameters: u64,
}

/// The parts of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// The frozen teacher.
    pub teacher: Cost,
    /// The student.
    pub student: Cost,
    /// The segmentation network and the whitening before it; nothing where there is none.
    pub segmentation: Cost,
}

impl Costs {
    /// Of the network of a configuration, at its input size.
    pub fn of(config: &ModelConfig) -> Self {
        let side = config.input_size as u64;
        Self {
            teacher: teacher(config.teacher, side),
            student: student(config, side),
            segmentation: segmentation(config, side),
        }
    }

    /// All of it.
    pub fn total(&self) -> Cost {
        let parts = [self.teacher, self.student, self.segmentation];
        Cost {
            macs: parts.iter().map(|part| part.macs).sum(),
            parameters: parts.iter().map(|part| part.parameters).sum(),
        }
    }
}

impl Cost {
    /// A convolution of `kernel` x `kernel` over an output of `side` x `side`, followed by as many
    /// numbers per output channel.
    fn conv(&mut self, [input, output]: [u64; 2], kernel: u64, side: u64, per_output: u64) {
        let weights = input * output * kernel * kernel;
        self.macs += weights * side * side;
        self.parameters += weights + per_output * output;
    }

    /// A residual basic block with normalisations.
    fn block(&mut self, [input, output]: [u64; 2], stride: u64, side: u64) {
        self.conv([input, output], 3, side, 2);
        self.conv([output, output], 3, side, 2);
        if stride != 1 || input != output {
            self.conv([input, output], 1, side, 2);
        }
    }

    /// A stage of such blocks.
    fn stage(&mut self, blocks: usize, input: u64, output: u64, stride: u64, side: u64) {
        self.block([input, output], stride, side);
        for _ in 1..blocks {
            self.block([output, output], 1, side);
        }
    }
}

/// Normalisations are folded: a bias per output.
fn teacher(kind: TeacherKind, side: u64) -> Cost {
    let mut cost = Cost::default();
    match kind {
        TeacherKind::Resnet18 => {
            cost.conv([3, 64], 7, side / 2, 1);
            let mut input = 64;
            for (level, output) in kind.channels().into_iter().enumerate() {
                let (output, side) = (output as u64, (side / 4) >> level);
                for block in 0..2 {
                    let from = if block == 0 { input } else { output };
                    cost.conv([from, output], 3, side, 1);
                    cost.conv([output, output], 3, side, 1);
                    if from != output {
                        cost.conv([from, output], 1, side, 1);
                    }
                }
                input = output;
            }
        }
        TeacherKind::EfficientnetLite0 => {
            // rows of the architecture: blocks, expansion, kernel, stride of the first, output
            let stages = [
                (1, 1, 3, 1, 16),
                (2, 6, 3, 2, 24),
                (2, 6, 5, 2, 40),
                (3, 6, 3, 2, 80),
                (3, 6, 5, 1, 112),
            ];
            let mut side = side / 2;
            cost.conv([3, 32], 3, side, 1);
            let mut input = 32;
            for (blocks, expansion, kernel, first_stride, output) in stages {
                for block in 0..blocks {
                    let wide = input * expansion;
                    if expansion > 1 {
                        cost.conv([input, wide], 1, side, 1);
                    }
                    if block == 0 {
                        side /= first_stride;
                    }
                    // depthwise: one input channel per output
                    cost.conv([1, wide], kernel, side, 1);
                    cost.conv([wide, output], 1, side, 1);
                    input = output;
                }
            }
        }
    }
    cost
}

fn student(config: &ModelConfig, side: u64) -> Cost {
    let mut cost = Cost::default();
    let own = &config.student;
    let stem = own.stem_channels as u64;
    let (kernel, first_stride) = match own.stem {
        Stem::Resnet => (7, 1),
        Stem::Conv => (3, 2),
    };
    cost.conv([3, stem], kernel, side / 2, 2);
    let stages = if own.decoder.is_some() { 4 } else { 3 };
    let mut input = stem;
    for (level, &output) in own.encoder.iter().take(stages).enumerate() {
        let stride = if level == 0 { first_stride } else { 2 };
        cost.stage(own.blocks, input, output as u64, stride, (side / 4) >> level);
        input = output as u64;
    }
    for (level, &output) in own.decoder.iter().flatten().enumerate() {
        cost.stage(own.blocks, input, output as u64, 1, (side / 32) << level);
        input = output as u64;
    }
    if own.projection {
        for (level, (from, to)) in own
            .levels()
            .into_iter()
            .zip(config.teacher.channels())
            .enumerate()
        {
            cost.conv([from as u64, to as u64], 1, (side / 4) >> level, 1);
        }
    }
    cost
}

fn segmentation(config: &ModelConfig, side: u64) -> Cost {
    let mut cost = Cost::default();
    let Some(own) = &config.segmentation else {
        return cost;
    };
    let (width, fine) = (own.width as u64, side / 4);
    let channels = config.teacher.channels().map(|channels| channels as u64);
    let times = own.evidence.times() as u64;
    // what is beside the products is whitened
    for _ in 1..times {
        for (level, channels) in channels.into_iter().enumerate() {
            cost.conv([channels, channels], 1, fine >> level, 1);
        }
    }
    let stacked = times * channels.iter().sum::<u64>();
    let mut input = stacked;
    if own.squeeze {
        // each level at its own size, before it is upsampled
        for (level, channels) in channels.into_iter().enumerate() {
            cost.conv([times * channels, width], 1, fine >> level, 0);
        }
        cost.parameters += 2 * width;
        input = width;
    }
    cost.stage(own.blocks, input, width, 1, fine);
    cost.conv([width, width], 1, 1, 2);
    for _ in own.rates {
        cost.conv([width, width], 3, fine, 2);
    }
    cost.conv([(1 + own.rates.len() as u64) * width, width], 3, fine, 2);
    cost.conv([width, width], 3, fine, 2);
    cost.conv([width, 1], 1, fine, 1);
    cost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Evidence, Preset};
    use crate::model::tensors;

    /// The formulas above against the very tensors that a model file must hold.
    #[test]
    fn parameters_are_those_of_the_network() {
        let mut with_differences = ModelConfig::preset(Preset::Compact);
        let segmentation = with_differences.segmentation.as_mut().expect("has one");
        segmentation.evidence = Evidence::ProductsAndDifferences;
        for config in [
            ModelConfig::preset(Preset::Compact),
            ModelConfig::preset(Preset::Paper),
            ModelConfig::stpm(Preset::Paper),
            with_differences,
        ] {
            let costs = Costs::of(&config);
            let counted = tensors::of_network(&config)
                .iter()
                .filter(|(name, _)| !name.contains("running_"))
                .map(|(_, shape)| shape.iter().product::<usize>() as u64)
                .sum::<u64>();
            assert_eq!(
                costs.student.parameters + costs.segmentation.parameters,
                counted,
                "{config:?}"
            );
        }
    }

    /// The published figures: `ResNet18` up to `layer3` has 2.78 M parameters; the whole paper's network
    /// 35 M and 38.4 GMAC.
    #[test]
    fn costs_are_the_published_ones() {
        let paper = Costs::of(&ModelConfig::preset(Preset::Paper));
        assert!(
            (2_760_000..2_790_000).contains(&paper.teacher.parameters),
            "{paper:?}"
        );
        assert!(
            (37.0e9..40.0e9).contains(&(paper.total().macs as f64)),
            "{paper:?}"
        );
        assert!(
            (34.0e6..36.5e6).contains(&(paper.total().parameters as f64)),
            "{paper:?}"
        );
    }

    /// The targets of the preset that the page ships.
    #[test]
    fn the_compact_preset_is_small() {
        let compact = Costs::of(&ModelConfig::preset(Preset::Compact)).total();
        assert!(compact.macs <= 1_200_000_000, "{compact:?}");
        assert!(compact.parameters <= 2_500_000, "{compact:?}");
    }
}
