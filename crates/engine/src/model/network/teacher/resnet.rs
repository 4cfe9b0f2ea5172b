//! `ResNet18` on Burn.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::model::network::conv::{After, conv2d};
use crate::model::network::features::Features;
use crate::model::network::layers::ConvSpec;
use crate::model::teacher::resnet::{BLOCKS, CHANNELS};

/// Folded `ResNet18`, stem to `layer3`.
#[derive(Module, Debug)]
pub struct ResNet18 {
    /// 7x7 convolution of stride 2.
    pub conv1: Conv2d,
    /// 3x3 maximum of stride 2.
    pub pool: MaxPool2d,
    /// Three layers of two blocks.
    pub layers: Vec<Vec<Block>>,
}

/// Folded basic block.
#[derive(Module, Debug)]
pub struct Block {
    /// First 3x3 convolution.
    pub conv1: Conv2d,
    /// Second 3x3 convolution.
    pub conv2: Conv2d,
    /// 1x1 shortcut where shapes change.
    pub downsample: Option<Conv2d>,
}

impl ResNet18 {
    pub(super) fn new(device: &Device) -> Self {
        let conv = |input, output, kernel, stride| {
            ConvSpec {
                stride,
                bias: true,
                ..ConvSpec::new(input, output, kernel)
            }
            .init(device)
        };
        let mut input = CHANNELS[0];
        let layers = CHANNELS
            .iter()
            .enumerate()
            .map(|(layer, &width)| {
                (0..BLOCKS)
                    .map(|block| {
                        let from = std::mem::replace(&mut input, width);
                        let stride = if layer > 0 && block == 0 { 2 } else { 1 };
                        Block {
                            conv1: conv(from, width, 3, stride),
                            conv2: conv(width, width, 3, 1),
                            downsample: (from != width).then(|| conv(from, width, 1, stride)),
                        }
                    })
                    .collect()
            })
            .collect();
        let pool = MaxPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init();
        Self {
            conv1: conv(3, CHANNELS[0], 7, 2),
            pool,
            layers,
        }
    }

    pub(super) fn forward(&self, image: Tensor<4>) -> Features {
        let x = self.pool.forward(conv2d(&self.conv1, image, After::Relu));
        let stage =
            |layer: usize, x: Tensor<4>| self.layers[layer].iter().fold(x, |x, block| block.forward(x));
        let fine = stage(0, x);
        let middle = stage(1, fine.clone());
        let coarse = stage(2, middle.clone());
        Features([fine, middle, coarse])
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(downsample) => conv2d(downsample, x.clone(), After::Nothing),
            None => x.clone(),
        };
        let hidden = conv2d(&self.conv1, x, After::Relu);
        relu(conv2d(&self.conv2, hidden, After::Nothing) + shortcut)
    }
}
