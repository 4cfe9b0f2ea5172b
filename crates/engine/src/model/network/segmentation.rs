//! The segmentation network: fuses the three levels of teacher-student similarity into one map
//! (section 3.3 of the paper).

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::conv::{self, After, conv2d};
use super::features::Levels;
use super::layers::{BasicBlock, BatchNorm, ConvNorm, ConvSpec, Norm, convolve, fold, normalise, run};
use super::upsample::bilinear;
use crate::config::{ModelConfig, SegmentationConfig};

/// Residual blocks, atrous pyramid, head.
#[derive(Module, Debug)]
pub struct Segmentation {
    /// 1x1 convolution that narrows the input, if configured.
    pub squeeze: Option<ConvNorm>,
    /// Basic blocks at 1/4 of the image's side.
    pub res: Vec<BasicBlock>,
    /// Pyramid and classifier; trained at a rate of its own.
    pub head: Head,
}

/// Atrous spatial pyramid pooling, one 3x3 convolution and the classifier.
#[derive(Module, Debug)]
pub struct Head {
    /// Context at several dilation rates.
    pub pyramid: Pyramid,
    /// 3x3 convolution without bias.
    pub conv: Conv2d,
    /// Its normalisation.
    pub norm: Norm,
    /// 1x1 convolution to one channel, with bias.
    pub out: Conv2d,
}

/// A globally pooled branch and three dilated ones, fused by a 3x3 convolution.
#[derive(Module, Debug)]
pub struct Pyramid {
    /// Branch on the global mean.
    pub pool: ConvNorm,
    /// Dilated 3x3 branches.
    pub atrous: Vec<ConvNorm>,
    /// Fusion of all four.
    pub fusion: ConvNorm,
}

impl Segmentation {
    /// The untrained network of a configuration, if it has one.
    pub(in crate::model) fn of(config: &ModelConfig, device: &Device) -> Option<Self> {
        let features: usize = config.teacher.channels().iter().sum();
        let own = config.segmentation.as_ref()?;
        Some(Self::new(own, own.evidence.times() * features, device))
    }

    /// An untrained network for `input` channels.
    pub fn new(config: &SegmentationConfig, input: usize, device: &Device) -> Self {
        let width = config.width;
        let squeeze = config
            .squeeze
            .then(|| ConvNorm::new(&ConvSpec::new(input, width, 1), device));
        let first = if config.squeeze { width } else { input };
        let atrous = config
            .rates
            .iter()
            .map(|&dilation| {
                ConvNorm::new(
                    &ConvSpec {
                        dilation,
                        ..ConvSpec::new(width, width, 3)
                    },
                    device,
                )
            })
            .collect();
        let branches = 1 + config.rates.len();
        Self {
            squeeze,
            res: BasicBlock::stage(config.blocks, first, width, 1, device),
            head: Head {
                pyramid: Pyramid {
                    pool: ConvNorm::new(&ConvSpec::new(width, width, 1), device),
                    atrous,
                    fusion: ConvNorm::new(&ConvSpec::new(branches * width, width, 3), device),
                },
                conv: ConvSpec::new(width, width, 3).init(device),
                norm: Some(BatchNorm::new(width, device)),
                out: ConvSpec {
                    bias: true,
                    ..ConvSpec::new(width, 1, 1)
                }
                .init(device),
            },
        }
    }

    /// Probability of an anomaly, `[batch, 1, height, width]` in (0, 1), at the finest level's size.
    pub fn forward(&self, evidence: Levels) -> Tensor<4> {
        let x = match &self.squeeze {
            Some(squeeze) => squeezed(squeeze, evidence),
            None => evidence.stacked(),
        };
        self.head.forward(run(&self.res, x))
    }

    /// Folds all batch normalisation into the convolutions.
    pub(super) fn fold(&mut self) {
        self.squeeze.iter_mut().for_each(ConvNorm::fold);
        self.res.iter_mut().for_each(BasicBlock::fold);
        let Head {
            pyramid, conv, norm, ..
        } = &mut self.head;
        pyramid.pool.fold();
        pyramid.atrous.iter_mut().for_each(ConvNorm::fold);
        pyramid.fusion.fold();
        fold(conv, norm);
    }
}

/// The 1x1 convolution of the stacked levels, computed before they are upsampled: both are linear, and
/// the coarse levels have most of the channels but few pixels.
fn squeezed(squeeze: &ConvNorm, evidence: Levels) -> Tensor<4> {
    let Levels(levels) = evidence;
    let [_, _, height, width] = levels[0].dims();
    let weight = squeeze.conv.weight.val();
    let mut first = 0;
    let parts = levels.map(|level| {
        let channels = first..first + level.dims()[1];
        first = channels.end;
        let own = weight.clone().slice_dim(1, channels);
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let narrow = conv::convolve(level, own, None, options, After::Nothing);
        bilinear(narrow, [height, width])
    });
    let [fine, middle, coarse] = parts;
    let sum = fine + middle + coarse;
    let sum = match &squeeze.conv.bias {
        Some(bias) => sum + bias.val().reshape([1, -1, 1, 1]),
        None => sum,
    };
    relu(normalise(&squeeze.norm, sum))
}

impl Head {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.pyramid.forward(x);
        let x = convolve(&self.conv, &self.norm, x, After::Relu);
        sigmoid(conv2d(&self.out, x, After::Nothing))
    }
}

impl Pyramid {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, width, height, columns] = x.dims();
        let mean = x.clone().mean_dims(&[2, 3]);
        // bilinear from one pixel is a copy
        let pooled = self
            .pool
            .forward_relu(mean)
            .expand([batch, width, height, columns]);
        let mut branches = vec![pooled];
        branches.extend(self.atrous.iter().map(|branch| branch.forward_relu(x.clone())));
        self.fusion.forward_relu(Tensor::cat(branches, 1))
    }
}
