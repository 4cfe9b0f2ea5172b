//! Any dense convolution: each invocation computes [`PIXELS`] neighbouring pixels of 4 or 8 channels, so that 4 numbers
//! read serve 10 multiplications.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use super::sizes::{Sizes, corners};
use super::{Activation, Bounds, Plan, V4, bounds, finish4, pack};
use crate::backend::burn::gpu::{Buffer, GROUP, buffer, empty, groups};
use burn::tensor::Device;

/// Pixels of an invocation.
pub(super) const PIXELS: usize = 8;

/// Vectors of four channels that an invocation computes.
pub(super) fn vectors(channels: usize) -> usize {
    if channels.is_multiple_of(8) { 2 } else { 1 }
}

/// The convolution of a packed input.
pub(super) fn convolve(
    input: Buffer,
    weight: Buffer,
    bias: Buffer,
    plan: &Plan,
    after: Activation,
    device: &Device,
) -> Option<Tensor<1>> {
    let channels = plan.input[0];
    let outputs = plan.output[0];
    // the first layer's channels are fewer than the packed input's
    let own = weight.meta.shape()[1];
    let weight = pack::weights(weight, [outputs, own, plan.taps()], channels, device)?;
    let output = empty(plan.pixels() * outputs, device);
    let vectors = vectors(outputs);
    let client = input.client.clone();
    direct::launch(
        &client,
        groups(plan.pixels().div_ceil(PIXELS) * (outputs / 4 / vectors)),
        CubeDim::new_1d(GROUP),
        input.into_buffer_arg(),
        weight.into_buffer_arg(),
        bias.into_buffer_arg(),
        buffer(&output)?.into_buffer_arg(),
        plan.sizes(),
        bounds(after),
        vectors,
    );
    Some(output)
}

#[cube(launch)]
fn direct(
    input: &[V4],
    weight: &[V4],
    bias: &[V4],
    output: &mut [V4],
    sizes: Sizes,
    bounds: Bounds,
    #[comptime] vectors: usize,
) {
    let blocks = sizes.outputs / vectors as u32;
    let id = ABSOLUTE_POS as u32;
    let channel = (id % blocks) * vectors as u32;
    let pixel = (id / blocks) * PIXELS as u32;
    if pixel < sizes.pixels {
        let mut image = Array::<u32>::new(PIXELS);
        let mut top = Array::<i32>::new(PIXELS);
        let mut left = Array::<i32>::new(PIXELS);
        corners(&sizes, pixel, &mut image, &mut top, &mut left, PIXELS);
        let mut sum = Array::<V4>::new(PIXELS * vectors);
        #[unroll]
        for v in 0..vectors {
            let start = bias[channel as usize + v];
            #[unroll]
            for p in 0..PIXELS {
                sum[p * vectors + v] = start;
            }
        }
        let mut inside = Array::<V4>::new(PIXELS);
        let mut from = Array::<u32>::new(PIXELS);
        for ky in 0..sizes.kernel_y {
            for kx in 0..sizes.kernel_x {
                #[unroll]
                for p in 0..PIXELS {
                    let y = top[p] + (ky * sizes.dilation_y) as i32;
                    let x = left[p] + (kx * sizes.dilation_x) as i32;
                    let known = y >= 0 && y < sizes.height as i32 && x >= 0 && x < sizes.width as i32;
                    let place = ((image[p] + y as u32) * sizes.width + x as u32) * sizes.channels;
                    from[p] = select(known, place, 0);
                    inside[p] = V4::new(select(known, 1.0f32, 0.0f32));
                }
                let tap = ky * sizes.kernel_x + kx;
                let mut at = (tap * sizes.channels * 4 * sizes.outputs + channel) as usize;
                for c in 0..sizes.channels {
                    let mut values = Array::<V4>::new(PIXELS);
                    #[unroll]
                    for p in 0..PIXELS {
                        values[p] = input[(from[p] + c) as usize] * inside[p];
                    }
                    #[unroll]
                    for i in 0..4usize {
                        #[unroll]
                        for v in 0..vectors {
                            let weights = weight[at + v];
                            #[unroll]
                            for p in 0..PIXELS {
                                sum[p * vectors + v] += V4::new(values[p].extract(i)) * weights;
                            }
                        }
                        at += sizes.outputs as usize;
                    }
                }
            }
        }
        #[unroll]
        for p in 0..PIXELS {
            if pixel + (p as u32) < sizes.pixels {
                let to = ((pixel + p as u32) * sizes.outputs + channel) as usize;
                #[unroll]
                for v in 0..vectors {
                    output[to + v] = finish4(sum[p * vectors + v], &bounds);
                }
            }
        }
    }
}
