//! Convolutions within each channel: an invocation computes [`PIXELS`] pixels of four channels.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use super::sizes::{Sizes, corners};
use super::{Activation, Bounds, Plan, V4, bounds, finish4, pack};
use crate::backend::burn::gpu::{Buffer, GROUP, buffer, empty, groups};
use burn::tensor::Device;

/// Pixels of an invocation, which share its weights.
const PIXELS: usize = 4;

/// The convolution of a packed input.
pub(super) fn convolve(
    input: Buffer,
    weight: Buffer,
    bias: Buffer,
    plan: &Plan,
    after: Activation,
    device: &Device,
) -> Option<Tensor<1>> {
    let outputs = plan.output[0];
    let weight = pack::weights(weight, [outputs, 1, plan.taps()], 1, device)?;
    let output = empty(plan.pixels() * outputs, device);
    let client = input.client.clone();
    depthwise::launch(
        &client,
        groups(plan.pixels().div_ceil(PIXELS) * (outputs / 4)),
        CubeDim::new_1d(GROUP),
        input.into_buffer_arg(),
        weight.into_buffer_arg(),
        bias.into_buffer_arg(),
        buffer(&output)?.into_buffer_arg(),
        plan.sizes(),
        bounds(after),
    );
    Some(output)
}

#[cube(launch)]
fn depthwise(input: &[V4], weight: &[V4], bias: &[V4], output: &mut [V4], sizes: Sizes, bounds: Bounds) {
    let id = ABSOLUTE_POS as u32;
    let channel = id % sizes.channels;
    let pixel = (id / sizes.channels) * PIXELS as u32;
    if pixel < sizes.pixels {
        let start = bias[channel as usize];
        let mut image = Array::<u32>::new(PIXELS);
        let mut top = Array::<i32>::new(PIXELS);
        let mut left = Array::<i32>::new(PIXELS);
        let mut sum = Array::<V4>::new(PIXELS);
        corners(&sizes, pixel, &mut image, &mut top, &mut left, PIXELS);
        #[unroll]
        for p in 0..PIXELS {
            sum[p] = start;
        }
        for ky in 0..sizes.kernel_y {
            for kx in 0..sizes.kernel_x {
                let tap = ky * sizes.kernel_x + kx;
                let weights = weight[(tap * sizes.channels + channel) as usize];
                #[unroll]
                for p in 0..PIXELS {
                    let y = top[p] + (ky * sizes.dilation_y) as i32;
                    let x = left[p] + (kx * sizes.dilation_x) as i32;
                    if y >= 0 && y < sizes.height as i32 && x >= 0 && x < sizes.width as i32 {
                        let place = (image[p] + y as u32) * sizes.width + x as u32;
                        sum[p] += input[(place * sizes.channels + channel) as usize] * weights;
                    }
                }
            }
        }
        #[unroll]
        for p in 0..PIXELS {
            if pixel + (p as u32) < sizes.pixels {
                output[((pixel + p as u32) * sizes.channels + channel) as usize] = finish4(sum[p], &bounds);
            }
        }
    }
}
