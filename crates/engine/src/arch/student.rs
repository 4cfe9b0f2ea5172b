//! The student: an encoder-decoder that learns to give the teacher's clean features for an image with a synthetic
//! anomaly (section 3.2 of the paper). There are no skip connections, so what the encoder did not recognise cannot reach
//! the output. In ablations and STPM the student is the encoder alone.

use destseg_kernels::Activation::{Linear, Relu};

use super::graph::{Corners, Graph, Layer, Pool, Value};
use crate::config::{ModelConfig, Stem};

/// From the image, normalised for the teacher, to features in the teacher's shapes at 1/4, 1/8 and 1/16 of its side.
pub fn student(config: &ModelConfig) -> Graph {
    let (student, side) = (&config.student, config.input_size);
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let (kernel, pooled) = match student.stem {
        Stem::Resnet => (7, true),
        Stem::Conv => (3, false),
    };
    let stem = Layer::dense(student.stem_channels, kernel).stride(2);
    let mut x = graph.conv(image, "encoder.conv1", stem);
    x = graph.batch_norm(x, "encoder.bn1", Relu);
    if pooled {
        x = graph.max_pool(x, Pool::RESNET);
    }
    let mut levels = Vec::new();
    let stages = if student.decoder.is_some() { 4 } else { 3 };
    for (i, &width) in student.encoder.iter().take(stages).enumerate() {
        let stride = if i == 0 && pooled { 1 } else { 2 };
        x = graph.stage(
            x,
            &format!("encoder.layer{}", i + 1),
            student.blocks,
            width,
            stride,
        );
        levels.push(x);
    }
    if let Some(widths) = student.decoder {
        levels.clear();
        // counted like the encoder's stages: 4 is the coarsest
        for (i, width) in (1..=4).rev().zip(widths) {
            if i < 4 {
                let [height, columns, _] = graph.size(x);
                x = graph.resize(x, [2 * height, 2 * columns], Corners::OfImage);
            }
            x = graph.stage(x, &format!("decoder_layer{i}"), student.blocks, width, 1);
            if i < 4 {
                levels.insert(0, x);
            }
        }
    }
    if student.projection {
        for (i, (level, width)) in levels.iter_mut().zip(config.teacher.channels()).enumerate() {
            *level = graph.conv(*level, format!("projections.{i}"), Layer::dense(width, 1).bias());
        }
    }
    graph.with_outputs(levels)
}

impl Pool {
    /// The maximum after the stem of a `ResNet`.
    pub const RESNET: Self = Self {
        kernel: 3,
        stride: 2,
        padding: 1,
    };
}

impl Graph {
    /// Residual blocks of two 3x3 convolutions (He et al., 2016), the activation last; the first one changes channels
    /// and size.
    pub(super) fn stage(
        &mut self,
        mut x: Value,
        name: &str,
        blocks: usize,
        width: usize,
        stride: usize,
    ) -> Value {
        for i in 0..blocks {
            let stride = if i == 0 { stride } else { 1 };
            let at = |part: &str| format!("{name}.{i}.{part}");
            let hidden = self.conv(x, at("conv1"), Layer::dense(width, 3).stride(stride));
            let hidden = self.batch_norm(hidden, at("bn1"), Relu);
            let hidden = self.conv(hidden, at("conv2"), Layer::dense(width, 3));
            let hidden = self.batch_norm(hidden, at("bn2"), Linear);
            if stride != 1 || self.size(x)[2] != width {
                let shortcut = self.conv(x, at("downsample.0"), Layer::dense(width, 1).stride(stride));
                x = self.batch_norm(shortcut, at("downsample.1"), Linear);
            }
            x = self.add(hidden, x, Relu);
        }
        x
    }

    /// Convolution, batch normalisation, `ReLU`.
    pub(super) fn unit(&mut self, x: Value, name: &str, layer: Layer) -> Value {
        let x = self.conv(x, format!("{name}.conv"), layer);
        self.batch_norm(x, format!("{name}.norm"), Relu)
    }
}
