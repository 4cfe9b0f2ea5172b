//! `EfficientNet-Lite0` on Burn.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::model::network::conv::{After, conv2d};
use crate::model::network::features::Features;
use crate::model::network::layers::{ConvSpec, Padding};
use crate::model::teacher::efficientnet::{STAGES, STEM, TAPS};

/// Folded `EfficientNet-Lite0`, stem to block 10. Its features are linear, hence signed.
#[derive(Module, Debug)]
pub struct EfficientNetLite0 {
    /// 3x3 convolution of stride 2.
    pub stem: Conv2d,
    /// Eleven inverted residual blocks.
    pub blocks: Vec<MbConv>,
}

/// Inverted residual block: expand, depthwise, project.
#[derive(Module, Debug)]
pub struct MbConv {
    /// 1x1 convolution to more channels; block 0 has none.
    pub expand: Option<Conv2d>,
    /// Convolution within each channel.
    pub depthwise: Conv2d,
    /// 1x1 convolution to the output, linear.
    pub project: Conv2d,
    /// Whether the input is added.
    pub residual: bool,
}

impl EfficientNetLite0 {
    pub(super) fn new(device: &Device) -> Self {
        let stem = ConvSpec {
            stride: 2,
            bias: true,
            padding: Padding::Same,
            ..ConvSpec::new(3, STEM, 3)
        }
        .init(device);
        let mut input = STEM;
        let mut blocks = Vec::new();
        for (count, expansion, kernel, first_stride, output) in STAGES {
            for i in 0..count {
                let from = std::mem::replace(&mut input, output);
                let stride = if i == 0 { first_stride } else { 1 };
                blocks.push(MbConv::new(from, output, expansion, kernel, stride, device));
            }
        }
        Self { stem, blocks }
    }

    pub(super) fn forward(&self, image: Tensor<4>) -> Features {
        let mut x = conv2d(&self.stem, image, After::Relu6);
        let mut taps = Vec::with_capacity(TAPS.len());
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x);
            if TAPS.contains(&i) {
                taps.push(x.clone());
            }
        }
        let mut taps = taps.into_iter();
        let mut next = || taps.next().unwrap_or_else(|| x.clone());
        Features([next(), next(), next()])
    }
}

impl MbConv {
    fn new(
        input: usize,
        output: usize,
        expansion: usize,
        kernel: usize,
        stride: usize,
        device: &Device,
    ) -> Self {
        let hidden = input * expansion;
        let pointwise = |from, to| {
            ConvSpec {
                bias: true,
                ..ConvSpec::new(from, to, 1)
            }
            .init(device)
        };
        let depthwise = ConvSpec {
            stride,
            groups: hidden,
            bias: true,
            padding: Padding::Same,
            ..ConvSpec::new(hidden, hidden, kernel)
        };
        Self {
            expand: (expansion > 1).then(|| pointwise(input, hidden)),
            depthwise: depthwise.init(device),
            project: pointwise(hidden, output),
            residual: stride == 1 && input == output,
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = match &self.expand {
            Some(expand) => conv2d(expand, input.clone(), After::Relu6),
            None => input.clone(),
        };
        let hidden = conv2d(&self.depthwise, hidden, After::Relu6);
        let output = conv2d(&self.project, hidden, After::Nothing);
        if self.residual { output + input } else { output }
    }
}
