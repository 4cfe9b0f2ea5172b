//! Gradients of dense convolutions: that of the input is a convolution of the output's gradient with turned weights, that
//! of the weights a sum over all pixels, which many invocations share.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::ops::ModuleOps as _;
use burn::backend::{Autodiff, Cube};
use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

use super::direct::vectors;
use super::sizes::{Sizes, corners};
use super::{Activation, Plan, V4, pack, plan};
use crate::backend::burn::conv::activate;
use crate::backend::burn::gpu::{Buffer, GROUP, buffer, empty, groups};

/// Invocations that share a layer's sums, about.
const SHARES: usize = 32_768;
/// Pixels that are worth an invocation.
const FEWEST_PIXELS: usize = 32;

/// A dense convolution that records for autodiff, on a GPU; none for what these kernels do not do.
pub(super) fn convolve(
    input: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    options: &ConvOptions<2>,
    after: Activation,
) -> Option<Tensor<4>> {
    if options.groups != 1 {
        return None;
    }
    let (input, of_input) = parts(input)?;
    let (weight, of_weight) = parts(weight)?;
    let output = super::convolve(&plain(&input), &plain(&weight), None, options, Activation::Linear)?;
    let output = output.try_into_primitive::<Cube>().ok()?;
    let prepared = Convolution
        .prepare::<NoCheckpointing>([of_input, of_weight])
        .compute_bound()
        .stateful();
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish((input, weight, options.clone()), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    let output = Tensor::from_primitive::<Autodiff<Cube>>(output);
    let output = match bias {
        Some(bias) => output + bias.clone().reshape([1, -1, 1, 1]),
        None => output,
    };
    Some(activate(output, after))
}

/// A recorded tensor's numbers, and its place in the record.
fn parts(tensor: &Tensor<4>) -> Option<(Buffer, NodeGuard)> {
    let recorded = tensor.clone().try_into_primitive::<Autodiff<Cube>>().ok()?;
    Some(recorded.into_parts())
}

/// The same numbers without a record.
fn plain(buffer: &Buffer) -> Tensor<4> {
    Tensor::from_primitive::<Cube>(buffer.clone())
}

/// What autodiff records.
#[derive(Debug)]
struct Convolution;

impl Backward<Cube, 2> for Convolution {
    type State = (Buffer, Buffer, ConvOptions<2>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Cube>(&ops.node);
        let [of_input, of_weight] = ops.parents;
        let (input, weight, options) = ops.state;
        if let Some(node) = of_input {
            let result = inputs(&input, &weight, &gradient, &options).unwrap_or_else(|| {
                let (input, weight, gradient) = (input.clone(), weight.clone(), gradient.clone());
                Cube::conv2d_x_backward(input, weight, gradient, options.clone())
            });
            grads.register::<Cube>(node.id, result);
        }
        if let Some(node) = of_weight {
            let result = weights(&input, &weight, &gradient, &options)
                .unwrap_or_else(|| Cube::conv2d_weight_backward(input, weight, gradient, options));
            grads.register::<Cube>(node.id, result);
        }
    }
}

/// The input's gradient, for strides of 1.
fn inputs(input: &Buffer, weight: &Buffer, gradient: &Buffer, options: &ConvOptions<2>) -> Option<Buffer> {
    if options.stride != [1, 1] {
        return None;
    }
    let gradient = plain(gradient);
    let [outputs, channels, height, width] = plain(weight).dims();
    let [.., rows, columns] = plain(input).dims();
    let [.., given_rows, given_columns] = gradient.dims();
    // what the kernel reaches beyond the output, and as many rows as were read
    let padding = |axis: usize, kernel: usize, size: usize, given: usize| {
        let reach = options.dilation[axis] * (kernel - 1);
        let before = reach.checked_sub(options.padding[axis].0)?;
        Some((before, (size + reach).checked_sub(given + before)?))
    };
    let padding = [
        padding(0, height, rows, given_rows)?,
        padding(1, width, columns, given_columns)?,
    ];
    let sizes = [outputs, channels, height * width];
    let turned = pack::turned(weight.clone(), sizes, &gradient.device())?;
    let turned = turned.reshape([channels, outputs, height, width]);
    let options = ConvOptions::new_with_padding([1, 1], padding, options.dilation, 1);
    let result = super::convolve(&gradient, &turned, None, &options, Activation::Linear)?;
    result.try_into_primitive::<Cube>().ok()
}

/// The weights' gradient, `[outputs, channels, height, width]`.
fn weights(input: &Buffer, weight: &Buffer, gradient: &Buffer, options: &ConvOptions<2>) -> Option<Buffer> {
    let (tensor, kernel) = (plain(input), plain(weight));
    let device = tensor.device();
    let plan = plan(&tensor, &kernel, options)?;
    let [outputs, own, height, width] = kernel.dims();
    let given = Plan {
        input: plan.output,
        ..plan
    };
    let (gradient, given) = pack::input(gradient.clone(), given, &device)?;
    if given.input != plan.output {
        return None;
    }
    let (input, plan) = pack::input(input.clone(), plan, &device)?;
    let channels = plan.input[0];
    let (of_inputs, of_outputs) = (vectors(channels), vectors(outputs));
    let blocks = plan.taps() * (channels / 4 / of_inputs) * (outputs / 4 / of_outputs);
    let shares = (SHARES / blocks).clamp(1, plan.pixels().div_ceil(FEWEST_PIXELS));
    let pixels = plan.pixels().div_ceil(shares);
    let shares = plan.pixels().div_ceil(pixels);
    let sums = empty(shares * plan.taps() * channels * outputs, &device);
    let client = input.client.clone();
    sum_pixels::launch(
        &client,
        groups(shares * blocks),
        CubeDim::new_1d(GROUP),
        input.into_buffer_arg(),
        gradient.into_buffer_arg(),
        buffer(&sums)?.into_buffer_arg(),
        plan.sizes(),
        pixels as u32,
        shares as u32,
        of_inputs,
        of_outputs,
    );
    let len = outputs * own * plan.taps();
    let result = empty(len, &device);
    add_shares::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        buffer(&sums)?.into_buffer_arg(),
        buffer(&result)?.into_buffer_arg(),
        outputs as u32,
        own as u32,
        channels as u32,
        plan.taps() as u32,
        shares as u32,
        len as u32,
    );
    let result = result.reshape([outputs, own, height, width]);
    result.try_into_primitive::<Cube>().ok()
}

/// The sums over a share of the pixels, of 4 or 8 inputs times 4 or 8 outputs at one place of the kernel:
/// `[shares, taps, channels, outputs]`.
#[cube(launch)]
fn sum_pixels(
    input: &[V4],
    gradient: &[V4],
    sums: &mut [V4],
    sizes: Sizes,
    pixels: u32,
    shares: u32,
    #[comptime] of_inputs: usize,
    #[comptime] of_outputs: usize,
) {
    let across = sizes.outputs / of_outputs as u32;
    let down = sizes.channels / of_inputs as u32;
    let taps = sizes.kernel_y * sizes.kernel_x;
    let id = ABSOLUTE_POS as u32;
    let output = id % across * of_outputs as u32;
    let channel = id / across % down * of_inputs as u32;
    let tap = id / across / down % taps;
    let share = id / across / down / taps;
    if share < shares {
        let mut sum = Array::<V4>::new(of_inputs * 4 * of_outputs);
        #[unroll]
        for i in 0..of_inputs * 4 * of_outputs {
            sum[i] = V4::new(0.0);
        }
        let ky = (tap / sizes.kernel_x * sizes.dilation_y) as i32;
        let kx = (tap % sizes.kernel_x * sizes.dilation_x) as i32;
        let first = share * pixels;
        let last = min(first + pixels, sizes.pixels);
        let mut image = Array::<u32>::new(1usize);
        let mut top = Array::<i32>::new(1usize);
        let mut left = Array::<i32>::new(1usize);
        for pixel in first..last {
            corners(&sizes, pixel, &mut image, &mut top, &mut left, 1usize);
            let y = top[0] + ky;
            let x = left[0] + kx;
            if y >= 0 && y < sizes.height as i32 && x >= 0 && x < sizes.width as i32 {
                let from = ((image[0] + y as u32) * sizes.width + x as u32) * sizes.channels + channel;
                let at = pixel * sizes.outputs + output;
                let mut gradients = Array::<V4>::new(of_outputs);
                #[unroll]
                for o in 0..of_outputs {
                    gradients[o] = gradient[at as usize + o];
                }
                #[unroll]
                for c in 0..of_inputs {
                    let values = input[from as usize + c];
                    #[unroll]
                    for i in 0..4usize {
                        #[unroll]
                        for o in 0..of_outputs {
                            sum[(c * 4 + i) * of_outputs + o] += V4::new(values.extract(i)) * gradients[o];
                        }
                    }
                }
            }
        }
        let row = (share * taps + tap) * sizes.channels * 4 + channel * 4;
        #[unroll]
        for i in 0..of_inputs * 4 {
            #[unroll]
            for o in 0..of_outputs {
                sums[((row + i as u32) * sizes.outputs + output) as usize + o] = sum[i * of_outputs + o];
            }
        }
    }
}

/// One weight per invocation.
#[cube(launch)]
fn add_shares(
    sums: &[f32],
    out: &mut [f32],
    outputs: u32,
    own: u32,
    channels: u32,
    taps: u32,
    shares: u32,
    len: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < len {
        let tap = at % taps;
        let channel = at / taps % own;
        let output = at / taps / own;
        let mut sum = 0.0f32;
        for share in 0..shares {
            sum += sums[(((share * taps + tap) * channels + channel) * outputs + output) as usize];
        }
        out[at as usize] = sum;
    }
}
