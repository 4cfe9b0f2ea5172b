//! The student: an encoder-decoder that learns to give the teacher's clean features for an image
//! with a synthetic anomaly (section 3.2 of the paper). No skip connections, so what the encoder
//! did not recognise cannot leak into the output. In ablations and STPM it is the encoder alone.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::{Device, Tensor};

use super::conv::{After, conv2d};
use super::features::Features;
use super::layers::{BasicBlock, ConvNorm, ConvSpec, run};
use super::upsample::bilinear;
use crate::config::{Stem, StudentConfig, TeacherKind};

/// Encoder, decoder and, where the teacher's features differ in sign or number, projections.
#[derive(Module, Debug)]
pub struct Student {
    /// From the image down to 1/32 of its side.
    pub encoder: Encoder,
    /// Stages at 1/32, 1/16, 1/8 and 1/4 of the image's side; empty without decoder.
    pub decoder: Vec<Vec<BasicBlock>>,
    /// 1x1 convolutions to the teacher's channels at 1/4, 1/8 and 1/16; empty without projection.
    pub projections: Vec<Conv2d>,
}

/// The contracting half.
#[derive(Module, Debug)]
pub struct Encoder {
    /// First convolution.
    pub stem: ConvNorm,
    /// Pooling after it, `ResNet` only.
    pub pool: Option<MaxPool2d>,
    /// Stages of basic blocks: four before a decoder, three without.
    pub layers: Vec<Vec<BasicBlock>>,
}

impl Student {
    /// An untrained student; weights are zero until [`init`](super::init) or a file sets them.
    pub fn new(config: &StudentConfig, teacher: TeacherKind, device: &Device) -> Self {
        let projections = if config.projection {
            config
                .levels()
                .into_iter()
                .zip(teacher.channels())
                .map(|(from, to)| {
                    ConvSpec {
                        bias: true,
                        ..ConvSpec::new(from, to, 1)
                    }
                    .init(device)
                })
                .collect()
        } else {
            Vec::new()
        };
        let mut channels = config.encoder[3];
        let decoder = config
            .decoder
            .into_iter()
            .flatten()
            .map(|width| {
                BasicBlock::stage(
                    config.blocks,
                    std::mem::replace(&mut channels, width),
                    width,
                    1,
                    device,
                )
            })
            .collect();
        Self {
            encoder: Encoder::new(config, device),
            decoder,
            projections,
        }
    }

    /// Features of an image `[batch, 3, side, side]` in the teacher's shapes.
    pub fn forward(&self, image: Tensor<4>) -> Features {
        let [fine, middle, coarse, coarsest] = self.encoder.forward(image);
        let levels = match &self.decoder[..] {
            [d4, d3, d2, d1] => {
                let coarse = run(d3, doubled(run(d4, coarsest)));
                let middle = run(d2, doubled(coarse.clone()));
                let fine = run(d1, doubled(middle.clone()));
                [fine, middle, coarse]
            }
            _ => [fine, middle, coarse],
        };
        let mut projections = self.projections.iter();
        Features(levels.map(|level| match projections.next() {
            Some(projection) => conv2d(projection, level, After::Nothing),
            None => level,
        }))
    }

    /// Folds all batch normalisation into the convolutions.
    pub(super) fn fold(&mut self) {
        self.encoder.stem.fold();
        let stages = self.encoder.layers.iter_mut().chain(&mut self.decoder);
        stages.flatten().for_each(BasicBlock::fold);
    }
}

/// Bilinear upsampling to twice the side.
fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    bilinear(x, [2 * height, 2 * width])
}

impl Encoder {
    fn new(config: &StudentConfig, device: &Device) -> Self {
        let (kernel, pool, first_stride) = match config.stem {
            Stem::Resnet => {
                let pool = MaxPool2dConfig::new([3, 3])
                    .with_strides([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
                (7, Some(pool.init()), 1)
            }
            Stem::Conv => (3, None, 2),
        };
        let stem = ConvSpec {
            stride: 2,
            ..ConvSpec::new(3, config.stem_channels, kernel)
        };
        let mut channels = config.stem_channels;
        let stages = if config.decoder.is_some() { 4 } else { 3 };
        let layers = config
            .encoder
            .iter()
            .take(stages)
            .enumerate()
            .map(|(i, &width)| {
                let stride = if i == 0 { first_stride } else { 2 };
                let input = std::mem::replace(&mut channels, width);
                BasicBlock::stage(config.blocks, input, width, stride, device)
            })
            .collect();
        Self {
            stem: ConvNorm::new(&stem, device),
            pool,
            layers,
        }
    }

    /// Outputs of the four stages; without a fourth stage the third's twice.
    fn forward(&self, image: Tensor<4>) -> [Tensor<4>; 4] {
        let mut x = self.stem.forward_relu(image);
        if let Some(pool) = &self.pool {
            x = pool.forward(x);
        }
        std::array::from_fn(|i| {
            if let Some(stage) = self.layers.get(i) {
                x = run(stage, x.clone());
            }
            x.clone()
        })
    }
}
