//! Convolutions of networks on Burn: those of `gpu/` where they apply, else Burn's own.
//!
//! Burn 0.22 has one naive kernel for them on WebGPU, in which each invocation reads two numbers for every
//! multiplication. Ours (`gpu/`) keep a block of outputs in registers, and do 3x3 convolutions with a quarter of the
//! multiplications, and have gradients.

mod gpu;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use destseg_kernels::Activation;

/// The activation as an operation of its own.
pub(in crate::backend::burn) fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Linear => x,
        Activation::Relu => relu(x),
        // two passes that Burn's CPU backend vectorises are quicker than its `clamp`, which it does not
        Activation::Relu6 => relu(x).clamp_max(6.0),
    }
}

/// The convolution of weights `[outputs, inputs / groups, height, width]`.
pub(in crate::backend::burn) fn convolve(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
    after: Activation,
) -> Tensor<4> {
    if let Some(output) = gpu::convolve(&input, &weight, bias.as_ref(), &options, after) {
        return output;
    }
    activate(module::conv2d(input, weight, bias, options), after)
}

/// Bilinear resize of `[batch, channels, height, width]` with half-pixel centres, by our kernel where it applies.
pub(in crate::backend::burn) fn bilinear(image: &Tensor<4>, size: [usize; 2]) -> Option<Tensor<4>> {
    gpu::bilinear(image, size)
}
