//! Any dense convolution: each invocation computes [`PIXELS`] neighbouring pixels of 4 or 8 channels, so that 4 numbers
//! read serve 10 multiplications.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use super::{After, Buffer, GROUP, Plan, V4, buffer, empty, finish4, groups, pack};
use crate::device::Device;

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
    after: After,
    device: &Device,
) -> Option<Tensor<1>> {
    let [channels, height, width] = plan.input;
    let [outputs, rows, columns] = plan.output;
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
        SizesLaunch::new(
            height as u32,
            width as u32,
            channels as u32 / 4,
            rows as u32,
            columns as u32,
            outputs as u32 / 4,
            plan.pixels() as u32,
            plan.kernel[0] as u32,
            plan.kernel[1] as u32,
            plan.stride[0] as u32,
            plan.stride[1] as u32,
            plan.padding[0] as u32,
            plan.padding[1] as u32,
            plan.dilation[0] as u32,
            plan.dilation[1] as u32,
        ),
        vectors,
        after,
    );
    Some(output)
}

/// Of input, output and kernel; channels in fours.
#[derive(CubeLaunch, CubeType)]
pub(super) struct Sizes {
    pub(super) height: u32,
    pub(super) width: u32,
    pub(super) channels: u32,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) outputs: u32,
    pub(super) pixels: u32,
    pub(super) kernel_y: u32,
    pub(super) kernel_x: u32,
    pub(super) stride_y: u32,
    pub(super) stride_x: u32,
    pub(super) padding_y: u32,
    pub(super) padding_x: u32,
    pub(super) dilation_y: u32,
    pub(super) dilation_x: u32,
}

#[cube(launch)]
fn direct(
    input: &[V4],
    weight: &[V4],
    bias: &[V4],
    output: &mut [V4],
    sizes: Sizes,
    #[comptime] vectors: usize,
    #[comptime] after: After,
) {
    let blocks = sizes.outputs / vectors as u32;
    let id = ABSOLUTE_POS as u32;
    let channel = (id % blocks) * vectors as u32;
    let pixel = (id / blocks) * PIXELS as u32;
    if pixel < sizes.pixels {
        let mut image = Array::<u32>::new(PIXELS);
        let mut top = Array::<i32>::new(PIXELS);
        let mut left = Array::<i32>::new(PIXELS);
        #[unroll]
        for p in 0..PIXELS {
            let own = min(pixel + p as u32, sizes.pixels - 1);
            let row = own / sizes.columns;
            image[p] = row / sizes.rows * sizes.height;
            top[p] = (row % sizes.rows * sizes.stride_y) as i32 - sizes.padding_y as i32;
            left[p] = (own % sizes.columns * sizes.stride_x) as i32 - sizes.padding_x as i32;
        }
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
                    output[to + v] = finish4(sum[p * vectors + v], after);
                }
            }
        }
    }
}
