//! The two networks that are trained, layer by layer as in [`model::student`](crate::model::student) and
//! [`model::segmentation`](crate::model::segmentation).

use super::{Node, Tape};
use crate::Result;
use crate::config::{SegmentationConfig, Stem, StudentConfig};
use crate::model::plan::source::{Kernel, Layout, PLAIN, Source};

impl Tape<'_> {
    /// Features of images in the teacher's shapes, not normalised, fine to coarse.
    pub(in crate::train) fn student(&mut self, config: &StudentConfig, images: Node) -> Result<[Node; 3]> {
        let strided = |stride| Layout { stride, ..PLAIN };
        let x = self.conv(images, "encoder.conv1", strided(2))?;
        let mut x = self.norm(x, "encoder.bn1", true)?;
        let pooled = config.stem == Stem::Resnet;
        if pooled {
            x = self.pool(x);
        }
        let mut levels = Vec::new();
        for i in 0..if config.decoder.is_some() { 4 } else { 3 } {
            let stride = if i == 0 && pooled { 1 } else { 2 };
            x = self.stage(x, &format!("encoder.layer{}", i + 1), config.blocks, stride)?;
            levels.push(x);
        }
        if config.decoder.is_some() {
            levels.clear();
            x = self.stage(x, "decoder_layer4", config.blocks, 1)?;
            for i in (1..=3).rev() {
                let [height, width, _] = self.value(x).size();
                x = self.resize(x, 2 * height, 2 * width);
                x = self.stage(x, &format!("decoder_layer{i}"), config.blocks, 1)?;
                levels.insert(0, x);
            }
        }
        if config.projection {
            for (i, level) in levels.iter_mut().enumerate() {
                *level = self.conv(*level, &format!("projections.{i}"), PLAIN)?;
            }
        }
        Ok(std::array::from_fn(|i| levels[i]))
    }

    /// Logits of the map of what the levels show, fine to coarse.
    pub(in crate::train) fn segmentation(
        &mut self,
        config: &SegmentationConfig,
        evidence: Vec<Node>,
    ) -> Result<Node> {
        let [height, width, _] = self.value(evidence[0]).size();
        let x = if config.squeeze {
            self.squeezed(evidence)?
        } else {
            let levels = evidence
                .into_iter()
                .map(|level| self.resize(level, height, width))
                .collect();
            self.stack(levels)
        };
        let x = self.stage(x, "res", config.blocks, 1)?;
        let pyramid = "head.0.aspp_feature_extractors";
        let mean = self.mean(x);
        let pooled = self.unit(mean, &format!("{pyramid}.0.1"), PLAIN)?;
        let mut branches = vec![self.expand(pooled, height, width)];
        for (i, &dilation) in config.rates.iter().enumerate() {
            branches.push(self.unit(x, &format!("{pyramid}.{}", i + 1), Layout { dilation, ..PLAIN })?);
        }
        let all = self.stack(branches);
        let x = self.unit(all, "head.0.aspp_fusion_layer", PLAIN)?;
        let x = self.conv(x, "head.1", PLAIN)?;
        let x = self.norm(x, "head.2", true)?;
        self.conv(x, "head.4", PLAIN)
    }

    /// Convolution, normalisation, `ReLU`.
    fn unit(&mut self, x: Node, name: &str, layout: Layout) -> Result<Node> {
        let x = self.conv(x, &format!("{name}.conv"), layout)?;
        self.norm(x, &format!("{name}.norm"), true)
    }

    /// Residual blocks in a row; the first has the stride.
    fn stage(&mut self, mut x: Node, name: &str, blocks: usize, stride: usize) -> Result<Node> {
        for i in 0..blocks {
            let first = Layout {
                stride: if i == 0 { stride } else { 1 },
                ..PLAIN
            };
            let at = |part: &str| format!("{name}.{i}.{part}");
            let hidden = self.conv(x, &at("conv1"), first)?;
            let hidden = self.norm(hidden, &at("bn1"), true)?;
            let hidden = self.conv(hidden, &at("conv2"), PLAIN)?;
            let hidden = self.norm(hidden, &at("bn2"), false)?;
            if self.weights.contains(&at("downsample.0.weight")) {
                let shortcut = self.conv(x, &at("downsample.0"), first)?;
                x = self.norm(shortcut, &at("downsample.1"), false)?;
            }
            x = self.add(hidden, x, true);
        }
        Ok(x)
    }

    /// The 1x1 convolution of the stacked levels, computed before they are upsampled.
    fn squeezed(&mut self, evidence: Vec<Node>) -> Result<Node> {
        let [height, width, _] = self.value(evidence[0]).size();
        let kernel = Source::new(self.weights, "").kernel("squeeze.conv")?;
        let channels: Vec<usize> = evidence
            .iter()
            .map(|&level| self.value(level).size()[2])
            .collect();
        let mut sum = None;
        for (i, level) in evidence.into_iter().enumerate() {
            let part = part(&kernel, channels[..i].iter().sum(), channels[i]);
            // put together again once all are there
            let narrow = self.conv_with(level, format!("squeeze.conv.weight.{i}"), part, None, PLAIN);
            let large = self.resize(narrow, height, width);
            sum = Some(match sum {
                Some(sum) => self.add(sum, large, false),
                None => large,
            });
        }
        let sum = sum.ok_or_else(|| crate::Error::Config("there are no levels to look at".into()))?;
        self.norm(sum, "squeeze.norm", true)
    }
}

/// The kernel for some of the input channels of a 1x1 convolution.
fn part(kernel: &Kernel, first: usize, count: usize) -> Kernel {
    let [outputs, inputs, side] = kernel.shape;
    let rows = kernel.weights.chunks_exact(inputs);
    Kernel {
        shape: [outputs, count, side],
        weights: rows.flat_map(|row| &row[first..first + count]).copied().collect(),
        bias: vec![0.0; outputs],
    }
}
