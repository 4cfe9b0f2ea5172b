//! The layers that teacher, student and segmentation network share.

use burn::module::{Flag, Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

use super::conv::{After, conv2d};
use crate::model::BATCH_NORM_EPSILON;

/// Shape of a convolution; zeroed until [`init`](super::init) or a file gives it weights.
pub(super) struct ConvSpec {
    pub(super) channels: [usize; 2],
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
    pub(super) bias: bool,
    pub(super) padding: Padding,
}

/// Where a convolution sees zeros beyond the image's edge.
pub(super) enum Padding {
    /// `dilation * (kernel / 2)` on all four sides, as PyTorch networks do.
    Symmetric,
    /// TensorFlow's SAME: the odd one goes after the image.
    Same,
}

impl ConvSpec {
    /// A dense convolution without bias that keeps the size at stride 1.
    pub(super) fn new(input: usize, output: usize, kernel: usize) -> Self {
        Self {
            channels: [input, output],
            kernel,
            stride: 1,
            dilation: 1,
            groups: 1,
            bias: false,
            padding: Padding::Symmetric,
        }
    }

    pub(super) fn init(&self, device: &Device) -> Conv2d {
        let side = self.dilation * (self.kernel / 2);
        let padding = match self.padding {
            Padding::Symmetric => PaddingConfig2d::Explicit(side, side, side, side),
            Padding::Same => PaddingConfig2d::Same,
        };
        Conv2dConfig::new(self.channels, [self.kernel; 2])
            .with_stride([self.stride; 2])
            .with_dilation([self.dilation; 2])
            .with_groups(self.groups)
            .with_bias(self.bias)
            .with_padding(padding)
            .with_initializer(Initializer::Zeros)
            .init(device)
    }
}

/// Batch normalisation over `[batch, channels, height, width]` with PyTorch's running statistics.
///
/// Burn's own layer averages the biased variance; PyTorch, and so every published checkpoint, the
/// unbiased one. It normalises by batch statistics on an autodiff device unless frozen.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    /// Mean over past batches, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Unbiased variance over past batches, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Whether batch statistics may be used at all.
    pub training: Param<Flag>,
}

/// Share of the newest batch in the running statistics.
pub(crate) const BATCH_NORM_MOMENTUM: f64 = 0.1;

impl BatchNorm {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        if !(input.device().is_autodiff() && self.training.is_enabled()) {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm(input, gamma, beta, mean, variance, BATCH_NORM_EPSILON);
        }
        let [batch, _, height, width] = input.dims();
        let count = (batch * height * width) as f64;
        let result = batch_norm_train(input, gamma, beta, BATCH_NORM_EPSILON);
        let keep = |old: Tensor<1>, new: Tensor<1>| {
            old.mul_scalar(1.0 - BATCH_NORM_MOMENTUM)
                .add(new.detach().mul_scalar(BATCH_NORM_MOMENTUM))
                .detach()
        };
        let unbiased = result.variance.mul_scalar(count / (count - 1.0).max(1.0));
        self.running_mean
            .update(keep(self.running_mean.value_sync(), result.mean));
        self.running_var
            .update(keep(self.running_var.value_sync(), unbiased));
        result.output
    }
}

/// A normalisation that inference may have folded into the convolution before it.
pub(super) type Norm = Option<BatchNorm>;

/// Normalises, unless that is folded.
pub(super) fn normalise(norm: &Norm, input: Tensor<4>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(input),
        None => input,
    }
}

/// Convolution, normalisation unless that is folded, activation.
pub(super) fn convolve(conv: &Conv2d, norm: &Norm, input: Tensor<4>, after: After) -> Tensor<4> {
    match norm {
        Some(norm) => after.apply(norm.forward(conv2d(conv, input, After::Nothing))),
        None => conv2d(conv, input, after),
    }
}

/// Makes one convolution with bias of a convolution and its normalisation by running statistics: the
/// same function, in one pass over the data instead of two.
pub(super) fn fold(conv: &mut Conv2d, norm: &mut Norm) {
    let Some(norm) = norm.take() else { return };
    let deviation = norm.running_var.value().add_scalar(BATCH_NORM_EPSILON).sqrt();
    let scale = norm.gamma.val() / deviation;
    let shift = norm.beta.val() - norm.running_mean.value() * scale.clone();
    let weight = conv.weight.val();
    let [outputs, ..] = weight.dims();
    let shift = match &conv.bias {
        Some(bias) => shift + bias.val() * scale.clone(),
        None => shift,
    };
    conv.weight = Param::from_tensor(weight * scale.reshape([outputs, 1, 1, 1]));
    conv.bias = Some(Param::from_tensor(shift));
}

/// Convolution without bias, then batch normalisation.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// The convolution.
    pub conv: Conv2d,
    /// Its normalisation.
    pub norm: Norm,
}

impl ConvNorm {
    pub(super) fn new(spec: &ConvSpec, device: &Device) -> Self {
        Self {
            conv: spec.init(device),
            norm: Some(BatchNorm::new(spec.channels[1], device)),
        }
    }

    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        convolve(&self.conv, &self.norm, input, After::Nothing)
    }

    pub(super) fn fold(&mut self) {
        fold(&mut self.conv, &mut self.norm);
    }

    pub(super) fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        convolve(&self.conv, &self.norm, input, After::Relu)
    }
}

/// Residual block of two 3x3 convolutions (He et al., 2016), post-activation.
#[derive(Module, Debug)]
pub struct BasicBlock {
    /// First convolution; carries the stride.
    pub conv1: Conv2d,
    /// Its normalisation.
    pub bn1: Norm,
    /// Second convolution.
    pub conv2: Conv2d,
    /// Its normalisation.
    pub bn2: Norm,
    /// 1x1 shortcut where shapes change.
    pub downsample: Option<ConvNorm>,
}

impl BasicBlock {
    fn new(input: usize, output: usize, stride: usize, device: &Device) -> Self {
        let shortcut = ConvSpec {
            stride,
            ..ConvSpec::new(input, output, 1)
        };
        Self {
            conv1: ConvSpec {
                stride,
                ..ConvSpec::new(input, output, 3)
            }
            .init(device),
            bn1: Some(BatchNorm::new(output, device)),
            conv2: ConvSpec::new(output, output, 3).init(device),
            bn2: Some(BatchNorm::new(output, device)),
            downsample: (input != output || stride != 1).then(|| ConvNorm::new(&shortcut, device)),
        }
    }

    /// `blocks` blocks in a row; the first changes channels and size.
    pub(super) fn stage(
        blocks: usize,
        input: usize,
        output: usize,
        stride: usize,
        device: &Device,
    ) -> Vec<Self> {
        (0..blocks)
            .map(|i| {
                if i == 0 {
                    Self::new(input, output, stride, device)
                } else {
                    Self::new(output, output, 1, device)
                }
            })
            .collect()
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(input.clone()),
            None => input.clone(),
        };
        let hidden = convolve(&self.conv1, &self.bn1, input, After::Relu);
        relu(convolve(&self.conv2, &self.bn2, hidden, After::Nothing) + shortcut)
    }

    pub(super) fn fold(&mut self) {
        fold(&mut self.conv1, &mut self.bn1);
        fold(&mut self.conv2, &mut self.bn2);
        if let Some(downsample) = &mut self.downsample {
            downsample.fold();
        }
    }
}

/// Runs a stage's blocks one after the other.
pub(super) fn run(stage: &[BasicBlock], input: Tensor<4>) -> Tensor<4> {
    stage.iter().fold(input, |x, block| block.forward(x))
}
