//! Bilinear resizing: one kernel for all sizes.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use crate::backend::burn::gpu::{GROUP, buffer, empty, groups, is_ours};

/// Resizes `[batch, channels, height, width]` to these rows and columns, with half-pixel centres; none on other devices
/// than GPUs and where gradients are recorded.
pub(in crate::backend::burn::conv) fn bilinear(
    image: &Tensor<4>,
    [rows, columns]: [usize; 2],
) -> Option<Tensor<4>> {
    if !is_ours(image) {
        return None;
    }
    let [batch, channels, height, width] = image.dims();
    let len = batch * rows * columns * channels;
    let output = empty(len, &image.device());
    let input = buffer(image)?;
    let client = input.client.clone();
    resize::launch(
        &client,
        groups(len),
        CubeDim::new_1d(GROUP),
        input.into_tensor_arg(),
        buffer(&output)?.into_buffer_arg(),
        SizesLaunch::new(
            channels as u32,
            height as u32,
            width as u32,
            rows as u32,
            columns as u32,
            height as f32 / rows as f32,
            width as f32 / columns as f32,
            len as u32,
        ),
    );
    Some(super::image(output, batch, [channels, rows, columns]))
}

#[derive(CubeLaunch, CubeType)]
struct Sizes {
    channels: u32,
    height: u32,
    width: u32,
    rows: u32,
    columns: u32,
    /// Input pixels to an output pixel.
    scale_y: f32,
    scale_x: f32,
    len: u32,
}

/// One number per invocation.
#[cube(launch)]
fn resize(input: &cubecl::prelude::Tensor<f32>, output: &mut [f32], sizes: Sizes) {
    let at = ABSOLUTE_POS as u32;
    if at < sizes.len {
        let channel = at % sizes.channels;
        let pixel = at / sizes.channels;
        let row = pixel / sizes.columns % sizes.rows;
        let column = pixel % sizes.columns;
        let image = pixel / sizes.columns / sizes.rows;
        let y = max((f32::cast_from(row) + 0.5) * sizes.scale_y - 0.5, 0.0);
        let x = max((f32::cast_from(column) + 0.5) * sizes.scale_x - 0.5, 0.0);
        let top = min(u32::cast_from(y), sizes.height - 1);
        let left = min(u32::cast_from(x), sizes.width - 1);
        let (down, across) = (y - f32::cast_from(top), x - f32::cast_from(left));
        let base = image as usize * input.stride(0) + channel as usize * input.stride(1);
        let upper = base + top as usize * input.stride(2);
        let lower = base + min(top + 1, sizes.height - 1) as usize * input.stride(2);
        let first = left as usize * input.stride(3);
        let second = min(left + 1, sizes.width - 1) as usize * input.stride(3);
        let above = input[upper + first] * (1.0 - across) + input[upper + second] * across;
        let below = input[lower + first] * (1.0 - across) + input[lower + second] * across;
        output[at as usize] = above * (1.0 - down) + below * down;
    }
}
