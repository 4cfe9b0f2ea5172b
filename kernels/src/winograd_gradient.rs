//! The gradient of a 3x3 convolution of stride 1 with respect to its weights, by the same minimal filtering as the
//! convolution itself: with transformed tiles of inputs and of gradients, each of the 36 places is a sum of outer
//! products, 36 products per channel for 16 outputs instead of 144.

use fearless_simd::dispatch;
use fearless_simd::prelude::*;

use crate::Grid;
use crate::gradient::Run;
use crate::simd::{level, load, store};
use crate::threads::for_each;
use crate::tile::in_tiles;
use crate::winograd::{IN, OUT, Tile, enter_tile, neighbourhood, tiles_of};

/// Places of a transformed tile.
const PLACES: usize = IN * IN;
/// Tiles that one thread transforms at a time; the sums are read and written once for as many.
const BLOCK: usize = 64;
/// Images are taken together until they have as many tiles, which share a pass over the sums.
const TOGETHER: usize = 256;

/// The gradient of a loss with respect to weights `[outputs, inputs, 3, 3]`, of a batch's inputs and the gradients
/// with respect to the outputs, of the same size.
pub(crate) fn of_weights(dilation: usize, inputs: &[Grid], gradients: &[Grid]) -> Vec<f32> {
    let (Some(input), Some(gradient)) = (inputs.first(), gradients.first()) else {
        return Vec::new();
    };
    let (channels, outputs) = (input.channels, gradient.channels);
    let tiles = tiles_of(input.height, input.width, dilation);
    // [place, output, input]
    let mut sums = vec![0.0; PLACES * outputs * channels];
    let images: Vec<_> = inputs.iter().zip(gradients).collect();
    for images in images.chunks(TOGETHER.div_ceil(tiles.len().max(1))) {
        let mut blocks: Vec<Block<'_>> = images
            .iter()
            .flat_map(|(input, gradient)| {
                tiles.chunks(BLOCK).map(|tiles| Block {
                    input,
                    gradient,
                    tiles,
                    values: Vec::new(),
                    slopes: Vec::new(),
                })
            })
            .collect();
        for_each(blocks.iter_mut(), |block| {
            dispatch!(level(), simd => block.transform(simd, dilation));
        });
        for_each(sums.chunks_mut(outputs * channels).enumerate(), |(place, sums)| {
            for block in &blocks {
                dispatch!(level(), simd => block.add(simd, place, sums));
            }
        });
    }
    let mut weights = vec![0.0; outputs * channels * 9];
    for_each(weights.chunks_mut(channels * 9).enumerate(), |(output, weights)| {
        for (channel, kernel) in weights.chunks_exact_mut(9).enumerate() {
            let at = |place: usize| f64::from(sums[(place * outputs + output) * channels + channel]);
            kernel.copy_from_slice(&kernel_of(std::array::from_fn(|i| {
                std::array::from_fn(|j| at(i * IN + j))
            })));
        }
    });
    weights
}

/// Some tiles of an image.
struct Block<'a> {
    input: &'a Grid,
    gradient: &'a Grid,
    tiles: &'a [Tile],
    /// `[place, tile, input]`.
    values: Vec<f32>,
    /// `[place, tile, output]`.
    slopes: Vec<f32>,
}

impl Block<'_> {
    #[inline(always)]
    fn transform<S: Simd>(&mut self, simd: S, dilation: usize) {
        let Self { input, gradient, .. } = *self;
        let (channels, outputs, count) = (input.channels, gradient.channels, self.tiles.len());
        self.values = vec![0.0; PLACES * count * channels];
        self.slopes = vec![0.0; PLACES * count * outputs];
        let lanes = S::f32s::LEN;
        let nothing = vec![0.0; channels.max(outputs)];
        for (t, tile) in self.tiles.iter().enumerate() {
            // a convolution sees one pixel beyond its outputs on each side
            let pixels = neighbourhood::<IN>(input, *tile, dilation, 1, &nothing[..channels]);
            for c in (0..channels).step_by(lanes) {
                let own = c..(c + lanes).min(channels);
                let to = &mut self.values[t * channels + c..];
                enter_tile(simd, &pixels, own, to, count * channels);
            }
            let pixels = neighbourhood::<OUT>(gradient, *tile, dilation, 0, &nothing[..outputs]);
            for c in (0..outputs).step_by(lanes) {
                let own = c..(c + lanes).min(outputs);
                let to = &mut self.slopes[t * outputs + c..];
                spread_tile(simd, &pixels, own, to, count * outputs);
            }
        }
    }

    /// Adds the outer products of one place.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, place: usize, sums: &mut [f32]) {
        let (channels, outputs, count) = (self.input.channels, self.gradient.channels, self.tiles.len());
        let run = Run {
            values: &self.values[place * count * channels..][..count * channels],
            step: channels,
            channels,
            slopes: &self.slopes[place * count * outputs..][..count * outputs],
            outputs,
        };
        in_tiles!(simd, outputs, |first, M| {
            run.add::<S, M>(simd, first, &mut sums[first * channels..], channels);
        });
    }
}

/// Transforms some channels of a tile's gradients; `out` has them at every place, a `pitch` apart.
#[inline(always)]
fn spread_tile<S: Simd>(
    simd: S,
    pixels: &[[&[f32]; OUT]; OUT],
    channels: std::ops::Range<usize>,
    out: &mut [f32],
    pitch: usize,
) {
    let zero = S::f32s::splat(simd, 0.0);
    let mut half = [[zero; IN]; OUT];
    for (half, pixels) in half.iter_mut().zip(pixels) {
        let mut row = [zero; OUT];
        for (value, pixel) in row.iter_mut().zip(pixels) {
            *value = load(simd, &pixel[channels.clone()]);
        }
        *half = spread::<S>(row);
    }
    for j in 0..IN {
        let mut column = [zero; OUT];
        for (value, row) in column.iter_mut().zip(&half) {
            *value = row[j];
        }
        let column = spread::<S>(column);
        for (i, &value) in column.iter().enumerate() {
            store::<S>(value, &mut out[(i * IN + j) * pitch..][..channels.len()]);
        }
    }
}

/// What four outputs along one axis give to six products (the columns of A^T).
#[inline(always)]
fn spread<S: Simd>([a, b, c, d]: [S::f32s; OUT]) -> [S::f32s; IN] {
    let (even, odd) = (a + c, b + d);
    let (even_2, odd_2) = (a + c * 4.0, b * 2.0 + d * 8.0);
    [a, even + odd, even - odd, even_2 + odd_2, even_2 - odd_2, d]
}

/// The gradient of a kernel from that of its transform (G^T and G around it).
fn kernel_of(places: [[f64; IN]; IN]) -> [f32; 9] {
    let along = |[a, b, c, d, e, f]: [f64; IN]| {
        let (sum, sum_2) = ((b + c) / 6.0, d + e);
        [
            a / 4.0 - sum + sum_2 / 24.0,
            (c - b) / 6.0 + (d - e) / 12.0,
            sum_2 / 6.0 - sum + f,
        ]
    };
    let rows = places.map(along);
    let columns: [[f64; 3]; 3] = std::array::from_fn(|j| along(std::array::from_fn(|i| rows[i][j])));
    std::array::from_fn(|at| columns[at % 3][at / 3] as f32)
}
