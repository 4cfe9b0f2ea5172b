//! `ResNet18` (He et al., 2016) up to `layer3`, as torchvision names and trains it.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::folding::Folding;
use crate::Result;
use crate::model::features::Features;
use crate::model::layers::ConvSpec;
#[cfg(feature = "train")]
use crate::model::weights::Array;
use crate::model::weights::Weights;

/// Channels of `layer1` to `layer3`.
const CHANNELS: [usize; 3] = [64, 128, 256];
/// Blocks per layer.
pub(in crate::model) const BLOCKS: usize = 2;
/// PyTorch's default.
const EPSILON: f32 = 1e-5;

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
        let x = self.pool.forward(relu(self.conv1.forward(image)));
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
            Some(downsample) => downsample.forward(x.clone()),
            None => x.clone(),
        };
        relu(self.conv2.forward(relu(self.conv1.forward(x))) + shortcut)
    }
}

/// Folds torchvision's state dict.
pub(super) fn fold(mut folding: Folding<'_>) -> Result<Weights> {
    for Unit { conv, norm } in units() {
        folding.unit(&conv, &conv, &norm, EPSILON)?;
    }
    folding.finish(|name| name.starts_with("layer4.") || name.starts_with("fc."))
}

/// The opposite of [`fold`]: batch normalisation that changes nothing but adds the bias.
#[cfg(feature = "train")]
pub(super) fn unfold(folded: &Weights) -> Result<Weights> {
    let mut weights = Weights::default();
    for Unit { conv, norm } in units() {
        let bias = folded.get(&format!("{conv}.bias"))?;
        let constant = |value: f32| Array {
            shape: bias.shape.clone(),
            data: vec![value; bias.data.len()],
        };
        weights.insert(
            format!("{conv}.weight"),
            folded.get(&format!("{conv}.weight"))?.clone(),
        );
        weights.insert(format!("{norm}.weight"), constant(1.0));
        weights.insert(format!("{norm}.bias"), bias.clone());
        weights.insert(format!("{norm}.running_mean"), constant(0.0));
        // with epsilon exactly 1
        weights.insert(format!("{norm}.running_var"), constant(1.0 - EPSILON));
    }
    Ok(weights)
}

/// Names of a convolution and of the batch normalisation after it.
struct Unit {
    conv: String,
    norm: String,
}

/// All units of stem to `layer3`.
fn units() -> Vec<Unit> {
    let unit = |conv: String, norm: String| Unit { conv, norm };
    let mut units = vec![unit("conv1".into(), "bn1".into())];
    for layer in 1..=CHANNELS.len() {
        for block in 0..BLOCKS {
            let name = format!("layer{layer}.{block}");
            units.extend((1..=2).map(|i| unit(format!("{name}.conv{i}"), format!("{name}.bn{i}"))));
            if layer > 1 && block == 0 {
                units.push(unit(
                    format!("{name}.downsample.0"),
                    format!("{name}.downsample.1"),
                ));
            }
        }
    }
    units
}
