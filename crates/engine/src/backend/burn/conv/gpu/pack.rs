//! Arranges inputs and weights as the other kernels read them.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use super::Plan;
use crate::backend::burn::gpu::{Buffer, GROUP, buffer, empty, groups};
use burn::tensor::Device;

/// The input as `[batch, height, width, channels]`, a multiple of four channels, and the plan for it.
pub(super) fn input(input: Buffer, plan: Plan, device: &Device) -> Option<(Buffer, Plan)> {
    let [channels, height, width] = plan.input;
    let strides: Vec<usize> = input.meta.strides().iter().copied().collect();
    let row = width * channels;
    // a dimension of one element may have any stride
    let lies = |axis: usize, size: usize, stride: usize| size == 1 || strides.get(axis) == Some(&stride);
    let ready = channels.is_multiple_of(4)
        && lies(0, plan.batch, height * row)
        && lies(1, channels, 1)
        && lies(2, height, row)
        && lies(3, width, channels);
    if ready {
        return Some((input, plan));
    }
    let padded = channels.next_multiple_of(4);
    let len = plan.batch * height * width * padded;
    let packed = empty(len, device);
    let client = input.client.clone();
    pixels::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        input.into_tensor_arg(),
        buffer(&packed)?.into_buffer_arg(),
        channels as u32,
        padded as u32,
        width as u32,
        height as u32,
        len as u32,
    );
    let plan = Plan {
        input: [padded, height, width],
        ..plan
    };
    Some((buffer(&packed)?, plan))
}

/// Weights `[outputs, channels, taps]` as `[taps, padded, outputs]`.
pub(super) fn weights(
    weight: Buffer,
    [outputs, channels, taps]: [usize; 3],
    padded: usize,
    device: &Device,
) -> Option<Buffer> {
    let len = taps * padded * outputs;
    let packed: Tensor<1> = empty(len, device);
    let client = weight.client.clone();
    taps_first::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        weight.into_buffer_arg(),
        buffer(&packed)?.into_buffer_arg(),
        outputs as u32,
        channels as u32,
        taps as u32,
        padded as u32,
        len as u32,
    );
    buffer(&packed)
}

/// Weights `[outputs, channels, taps]` with inputs and outputs exchanged and the places reversed.
pub(super) fn turned(
    weight: Buffer,
    [outputs, channels, taps]: [usize; 3],
    device: &Device,
) -> Option<Tensor<1>> {
    if !weight.is_contiguous() {
        return None;
    }
    let len = outputs * channels * taps;
    let written = empty(len, device);
    let client = weight.client.clone();
    turn::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        weight.into_buffer_arg(),
        buffer(&written)?.into_buffer_arg(),
        outputs as u32,
        channels as u32,
        taps as u32,
        len as u32,
    );
    Some(written)
}

/// One number per invocation, zero beyond the last channel.
#[cube(launch)]
fn pixels(
    input: &cubecl::prelude::Tensor<f32>,
    output: &mut [f32],
    channels: u32,
    padded: u32,
    width: u32,
    height: u32,
    len: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < len {
        let channel = at % padded;
        let pixel = at / padded;
        let x = pixel % width;
        let y = pixel / width % height;
        let image = pixel / width / height;
        let mut value = 0.0f32;
        if channel < channels {
            let from = image as usize * input.stride(0)
                + channel as usize * input.stride(1)
                + y as usize * input.stride(2)
                + x as usize * input.stride(3);
            value = input[from];
        }
        output[at as usize] = value;
    }
}

/// One number per invocation.
#[cube(launch)]
fn taps_first(
    weight: &[f32],
    packed: &mut [f32],
    outputs: u32,
    channels: u32,
    taps: u32,
    padded: u32,
    len: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < len {
        let output = at % outputs;
        let channel = at / outputs % padded;
        let tap = at / outputs / padded;
        let mut value = 0.0f32;
        if channel < channels {
            value = weight[((output * channels + channel) * taps + tap) as usize];
        }
        packed[at as usize] = value;
    }
}

/// One number per invocation.
#[cube(launch)]
fn turn(weight: &[f32], turned: &mut [f32], outputs: u32, channels: u32, taps: u32, len: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < len {
        let tap = at % taps;
        let output = at / taps % outputs;
        let channel = at / taps / outputs;
        turned[at as usize] = weight[((output * channels + channel) * taps + taps - 1 - tap) as usize];
    }
}
