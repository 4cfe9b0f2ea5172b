//! Chooses and starts the kernels. Tensors lie as `[batch, height, width, channels]` in memory, as Burn's own
//! convolutions leave them, so that neighbouring invocations read neighbouring numbers.

mod depthwise;
mod direct;
mod gradient;
mod pack;
mod resize;
mod sizes;
mod winograd;

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

pub(super) use resize::bilinear;

use super::Activation;
use crate::backend::burn::gpu::{buffer, is_ours};

/// Four channels.
type V4 = Vector<f32, Const<4>>;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy)]
struct Plan {
    batch: usize,
    /// Channels, rows and columns that are read.
    input: [usize; 3],
    /// Channels, rows and columns that are written.
    output: [usize; 3],
    /// Rows and columns of the kernel.
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Zeros before the first row and column.
    padding: [usize; 2],
    dilation: [usize; 2],
}

impl Plan {
    /// Pixels that are written.
    fn pixels(&self) -> usize {
        self.batch * self.output[1] * self.output[2]
    }

    /// Places of the kernel.
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// The convolution on a GPU, in 32 bits; none for what these kernels do not do.
pub(super) fn convolve(
    input: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: &ConvOptions<2>,
    after: Activation,
) -> Option<Tensor<4>> {
    if input.device().is_autodiff() {
        return gradient::convolve(input, weight, bias, options, after);
    }
    let plan = plan(input, weight, options)?;
    let groups = options.groups;
    let [outputs, ..] = plan.output;
    if !is_ours(input) || !is_ours(weight) || !outputs.is_multiple_of(4) {
        return None;
    }
    let device = input.device();
    // one kernel for both: a few zeros cost nothing
    let bias = bias.map_or_else(|| Tensor::zeros([outputs], &device), Clone::clone);
    let (input, weight, bias) = (buffer(input)?, buffer(weight)?, buffer(&bias)?);
    if !weight.is_contiguous() || !bias.is_contiguous() {
        return None;
    }
    let output = match groups {
        1 => {
            let (input, plan) = pack::input(input, plan, &device)?;
            if winograd::pays(&plan, &input) {
                winograd::convolve(input, weight, bias, &plan, after, &device)?
            } else {
                direct::convolve(input, weight, bias, &plan, after, &device)?
            }
        }
        _ if groups == plan.input[0] && groups == outputs => {
            let (input, plan) = pack::input(input, plan, &device)?;
            depthwise::convolve(input, weight, bias, &plan, after, &device)?
        }
        _ => return None,
    };
    Some(image(output, plan.batch, plan.output))
}

fn plan(input: &Tensor<4>, weight: &Tensor<4>, options: &ConvOptions<2>) -> Option<Plan> {
    let [batch, channels, height, width] = input.dims();
    let [outputs, _, kernel @ ..] = weight.dims();
    let size = [height, width];
    let mut written = [0; 2];
    for axis in 0..2 {
        let (before, after) = options.padding[axis];
        let reach = options.dilation[axis] * (kernel[axis] - 1) + 1;
        written[axis] = (size[axis] + before + after).checked_sub(reach)? / options.stride[axis] + 1;
    }
    Some(Plan {
        batch,
        input: [channels, height, width],
        output: [outputs, written[0], written[1]],
        kernel,
        stride: options.stride,
        padding: [options.padding[0].0, options.padding[1].0],
        dilation: options.dilation,
    })
}

/// Written numbers as `[batch, channels, height, width]`.
fn image(written: Tensor<1>, batch: usize, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    written
        .reshape([batch, height, width, channels])
        .permute([0, 3, 1, 2])
}

/// What outputs are held between. A number given to one kernel rather than a kernel for each activation: each has
/// to be compiled before the first result.
#[derive(CubeLaunch, CubeType)]
struct Bounds {
    low: f32,
    high: f32,
}

/// As kernels take it.
fn bounds(activation: Activation) -> BoundsLaunch {
    let (low, high) = match activation {
        Activation::Linear => (f32::MIN, f32::MAX),
        Activation::Relu => (0.0, f32::MAX),
        Activation::Relu6 => (0.0, 6.0),
    };
    BoundsLaunch::new(low, high)
}

/// The activation, in a kernel.
#[cube]
fn finish(x: f32, bounds: &Bounds) -> f32 {
    min(max(x, bounds.low), bounds.high)
}

/// The activation, in a kernel, four at a time.
#[cube]
fn finish4(x: V4, bounds: &Bounds) -> V4 {
    min(max(x, V4::new(bounds.low)), V4::new(bounds.high))
}
