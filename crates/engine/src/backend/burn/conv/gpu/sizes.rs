//! The numbers that the direct kernels are given, and where an output pixel reads.

use burn::cubecl;
use burn::cubecl::prelude::*;

use super::Plan;

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

impl Plan {
    /// As kernels take it.
    pub(super) fn sizes(&self) -> SizesLaunch {
        let [channels, height, width] = self.input;
        let [outputs, rows, columns] = self.output;
        SizesLaunch::new(
            height as u32,
            width as u32,
            channels as u32 / 4,
            rows as u32,
            columns as u32,
            outputs as u32 / 4,
            self.pixels() as u32,
            self.kernel[0] as u32,
            self.kernel[1] as u32,
            self.stride[0] as u32,
            self.stride[1] as u32,
            self.padding[0] as u32,
            self.padding[1] as u32,
            self.dilation[0] as u32,
            self.dilation[1] as u32,
        )
    }
}

/// Where `count` neighbouring output pixels begin to read: the first row of their image, and row and column in it,
/// which lie outside where there is padding. Past the last pixel, it is taken again.
#[cube]
pub(super) fn corners(
    sizes: &Sizes,
    first: u32,
    image: &mut Array<u32>,
    top: &mut Array<i32>,
    left: &mut Array<i32>,
    #[comptime] count: usize,
) {
    #[unroll]
    for p in 0..count {
        let own = min(first + p as u32, sizes.pixels - 1);
        let row = own / sizes.columns;
        image[p] = row / sizes.rows * sizes.height;
        top[p] = (row % sizes.rows * sizes.stride_y) as i32 - sizes.padding_y as i32;
        left[p] = (own % sizes.columns * sizes.stride_x) as i32 - sizes.padding_x as i32;
    }
}
