//! What a network costs: multiplications for one image, parameters, and the largest map.

use super::graph::{Graph, Op};
use super::{narrow_before_resizing, segmentation, student, teacher, whitening};
use crate::config::ModelConfig;

/// Multiply-accumulate operations and parameters: weights, biases, and scales and shifts of normalisations. A
/// normalisation that is folded into its convolution counts as that convolution's bias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulate operations of all convolutions for one image.
    pub macs: u64,
    /// Parameters, those of the frozen teacher included.
    pub parameters: u64,
}

/// The parts of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// The frozen teacher.
    pub teacher: Cost,
    /// The student.
    pub student: Cost,
    /// The segmentation network and the whitening before it; zero where there is none.
    pub segmentation: Cost,
}

impl Costs {
    /// Of the network of a configuration, at its input size.
    pub fn of(config: &ModelConfig) -> Self {
        let optional = |graph: Option<Graph>| graph.as_ref().map(Cost::of).unwrap_or_default();
        Self {
            teacher: Cost::of(&teacher(config.teacher, config.input_size)),
            student: Cost::of(&student(config)),
            segmentation: optional(segmentation(config)).plus(optional(whitening(config))),
        }
    }

    /// All of it.
    pub fn total(&self) -> Cost {
        self.teacher.plus(self.student).plus(self.segmentation)
    }
}

impl Cost {
    /// Of one network, as it is computed.
    pub fn of(graph: &Graph) -> Self {
        let graph = narrow_before_resizing(graph);
        let macs = graph.nodes().map(|(_, node)| {
            let [height, width, channels] = node.size;
            let per_value = match &node.op {
                Op::Conv(conv) if conv.depthwise => conv.shape.taps(),
                Op::Conv(conv) => conv.shape.inputs * conv.shape.taps(),
                Op::ConvTranspose(conv) => conv.channels[0] * conv.kernel.pow(2) / conv.stride.pow(2),
                Op::NearestCode { codes, .. } => *codes,
                Op::Input
                | Op::BatchNorm { .. }
                | Op::InstanceNorm
                | Op::Activation(_)
                | Op::Add(_)
                | Op::MaxPool(_)
                | Op::Resize(_)
                | Op::Mean
                | Op::Expand
                | Op::Concat
                | Op::Softmax => 0,
            };
            (height * width * channels * per_value) as u64
        });
        let macs = macs.sum();
        let tensors = graph.tensors("");
        let trained = tensors.iter().filter(|(name, _)| !name.contains("running_"));
        Self {
            macs,
            parameters: trained
                .map(|(_, shape)| shape.iter().product::<usize>() as u64)
                .sum(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            macs: self.macs + other.macs,
            parameters: self.parameters + other.parameters,
        }
    }
}

/// Values of the largest map that a training step computes, for one image.
pub fn largest_map(config: &ModelConfig) -> usize {
    let networks = [teacher(config.teacher, config.input_size), student(config)];
    networks
        .into_iter()
        .chain(segmentation(config))
        .flat_map(|graph| {
            let graph = narrow_before_resizing(&graph);
            let sizes: Vec<usize> = graph
                .nodes()
                .filter(|(_, node)| node.op != Op::Input)
                .map(|(_, node)| node.size.iter().product())
                .collect();
            sizes
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn the_compact_preset_is_small() {
        let total = Costs::of(&ModelConfig::preset(Preset::Compact)).total();
        assert!(total.macs <= 1_200_000_000, "{total:?}");
        assert!(total.parameters <= 2_500_000, "{total:?}");
    }

    #[test]
    fn the_standard_preset_is_for_desktops() {
        let total = Costs::of(&ModelConfig::preset(Preset::Standard)).total();
        assert!(total.macs <= 4_000_000_000, "{total:?}");
        // sixteen bits each
        assert!(2 * total.parameters <= 8_000_000, "{total:?}");
    }

    #[test]
    fn the_paper_preset_has_as_many_parameters_as_published() {
        let Costs {
            teacher,
            student,
            segmentation,
        } = Costs::of(&ModelConfig::preset(Preset::Paper));
        // the published number counts two values of each of the teacher's normalisations, folded here to one
        let folded: u64 = 64 + 4 * 64 + 4 * 128 + 128 + 4 * 256 + 256;
        let total = teacher.parameters + folded + student.parameters + segmentation.parameters;
        assert_eq!(total, 35_154_177);
    }

    #[test]
    fn costs_grow_with_the_area() {
        let mut config = ModelConfig::preset(Preset::Compact);
        let small = Costs::of(&config).total();
        config.input_size *= 2;
        let large = Costs::of(&config).total();
        assert_eq!(large.parameters, small.parameters);
        let ratio = large.macs as f64 / small.macs as f64;
        assert!((3.99..=4.01).contains(&ratio), "{ratio}");
    }
}
