//! Convolutions of networks on Burn: those of `gpu/` where they apply, else Burn's own.
//!
//! Burn 0.22 has one naive kernel for them on WebGPU, in which each invocation reads two numbers for every
//! multiplication. Ours (`gpu/`) keep a block of outputs in registers, and do 3x3 convolutions with a quarter of the
//! multiplications, and have gradients.

#[cfg(feature = "burn")]
mod gpu;
#[cfg(all(test, feature = "burn"))]
mod tests;

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;

/// What is done to the outputs before they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::model) enum After {
    /// Nothing.
    Nothing,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl After {
    /// The same as an operation of its own.
    pub(in crate::model) fn apply(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Nothing => x,
            Self::Relu => relu(x),
            // two passes that Burn's CPU backend vectorises are quicker than its `clamp`, which it does not
            Self::Relu6 => relu(x).clamp_max(6.0),
        }
    }
}

/// The convolution of a layer: `[batch, channels, height, width]` to the same with other sizes.
pub(in crate::model) fn conv2d(conv: &Conv2d, input: Tensor<4>, after: After) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let padding = padding(conv, [height, width]);
    let options = ConvOptions::new_with_padding(conv.stride, padding, conv.dilation, conv.groups);
    let bias = conv.bias.as_ref().map(|bias| bias.val());
    convolve(input, conv.weight.val(), bias, options, after)
}

/// The convolution of weights `[outputs, inputs / groups, height, width]`.
pub(in crate::model) fn convolve(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
    after: After,
) -> Tensor<4> {
    #[cfg(feature = "burn")]
    if let Some(output) = gpu::convolve(&input, &weight, bias.as_ref(), &options, after) {
        return output;
    }
    after.apply(module::conv2d(input, weight, bias, options))
}

/// Bilinear resize of `[batch, channels, height, width]` with half-pixel centres, by our kernel where it applies.
pub(in crate::model) fn bilinear(image: &Tensor<4>, size: [usize; 2]) -> Option<Tensor<4>> {
    #[cfg(feature = "burn")]
    return gpu::bilinear(image, size);
    #[cfg(not(feature = "burn"))]
    None
}

/// Zeros before and after the image, rows and columns.
fn padding(conv: &Conv2d, size: [usize; 2]) -> [(usize, usize); 2] {
    match conv.padding {
        PaddingConfig2d::Valid => [(0, 0); 2],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [(top, bottom), (left, right)],
        // as TensorFlow: the odd one goes after the image
        PaddingConfig2d::Same => std::array::from_fn(|axis| {
            let stride = conv.stride[axis];
            let covered = (size[axis].div_ceil(stride) - 1) * stride + conv.kernel_size[axis];
            let missing = covered.saturating_sub(size[axis]);
            (missing / 2, missing - missing / 2)
        }),
    }
}
