//! The two frozen ImageNet networks, batch normalisation folded into the convolutions: exact, because a frozen network
//! only ever uses its running statistics.

use destseg_kernels::Activation::{Linear, Relu, Relu6};

use super::graph::{Graph, Layer, Pool};
use crate::config::TeacherKind;

/// Rows of `EfficientNet-Lite0` up to block 10: blocks, expansion, kernel, stride of the first, output channels.
const EFFICIENTNET_STAGES: [(usize, usize, usize, usize, usize); 5] = [
    (1, 1, 3, 1, 16),
    (2, 6, 3, 2, 24),
    (2, 6, 5, 2, 40),
    (3, 6, 3, 2, 80),
    (3, 6, 5, 1, 112),
];
/// Channels of its stem.
const EFFICIENTNET_STEM: usize = 32;
/// Its blocks whose outputs are the features.
const EFFICIENTNET_TAPS: [usize; 3] = [2, 4, 10];

/// From an image of `side` pixels, normalised for this teacher, to its features at 1/4, 1/8 and 1/16 of the side.
pub fn teacher(kind: TeacherKind, side: usize) -> Graph {
    match kind {
        TeacherKind::Resnet18 => resnet18(side),
        TeacherKind::EfficientnetLite0 => efficientnet_lite0(side),
    }
}

/// Torchvision's `ResNet18` (He et al., 2016), stem to `layer3`.
fn resnet18(side: usize) -> Graph {
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let stem = Layer::dense(64, 7).stride(2).bias().activation(Relu);
    let x = graph.conv(image, "conv1", stem);
    let mut x = graph.max_pool(x, Pool::RESNET);
    let mut levels = Vec::new();
    for (layer, width) in TeacherKind::Resnet18.channels().into_iter().enumerate() {
        for block in 0..2 {
            let stride = if layer > 0 && block == 0 { 2 } else { 1 };
            let at = |part: &str| format!("layer{}.{block}.{part}", layer + 1);
            let first = Layer::dense(width, 3).stride(stride).bias().activation(Relu);
            let hidden = graph.conv(x, at("conv1"), first);
            let hidden = graph.conv(hidden, at("conv2"), Layer::dense(width, 3).bias());
            if stride != 1 {
                x = graph.conv(
                    x,
                    at("downsample.0"),
                    Layer::dense(width, 1).stride(stride).bias(),
                );
            }
            x = graph.add(hidden, x, Relu);
        }
        levels.push(x);
    }
    graph.with_outputs(levels)
}

/// `EfficientNet-Lite0` (Tan and Le, 2019, without squeeze-excitation), stem to block 10. Its features are linear, hence
/// signed.
fn efficientnet_lite0(side: usize) -> Graph {
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let stem = Layer::dense(EFFICIENTNET_STEM, 3).stride(2).same();
    let mut x = graph.conv(image, "stem", stem.bias().activation(Relu6));
    let (mut number, mut levels) = (0, Vec::new());
    for (blocks, expansion, kernel, first_stride, outputs) in EFFICIENTNET_STAGES {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let at = |part: &str| format!("blocks.{number}.{part}");
            let inputs = graph.size(x)[2];
            let mut hidden = x;
            if expansion > 1 {
                let expand = Layer::dense(inputs * expansion, 1).bias().activation(Relu6);
                hidden = graph.conv(hidden, at("expand"), expand);
            }
            let depthwise = Layer::depthwise(kernel).stride(stride).same();
            hidden = graph.conv(hidden, at("depthwise"), depthwise.bias().activation(Relu6));
            hidden = graph.conv(hidden, at("project"), Layer::dense(outputs, 1).bias());
            x = match stride == 1 && inputs == outputs {
                true => graph.add(hidden, x, Linear),
                false => hidden,
            };
            if EFFICIENTNET_TAPS.contains(&number) {
                levels.push(x);
            }
            number += 1;
        }
    }
    graph.with_outputs(levels)
}
