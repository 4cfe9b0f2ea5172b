//! 3x3 convolutions of stride 1 by Winograd's minimal filtering, F(4x4, 3x3) of Lavin and Gray ("Fast
//! algorithms for convolutional neural networks", CVPR 2016): 36 products per channel for 16 outputs instead of 144.
//!
//! A dilated convolution is one on every `dilation`-th pixel, so its tiles take their pixels that far apart.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::simd::{level, load, panel, panel_of, store};
use crate::threads::{for_each, with_scratch};
use crate::tile::{Panels, Sums, accumulate, in_tiles, zeros};
use crate::{Finish, Grid, Target};

/// Outputs and inputs along a side of a tile.
const OUT: usize = 4;
const IN: usize = OUT + 2;
/// Fewest tiles that one thread takes at a time: they share a pass over the weights.
const BATCH: usize = 24;
/// Kernels that are transformed at a time; a panel's outputs are a multiple of them.
const KERNELS: usize = 8;

/// A 3x3 convolution of stride 1 that keeps the size.
#[derive(Debug, Clone)]
pub struct Winograd {
    inputs: usize,
    outputs: usize,
    dilation: usize,
    /// One matrix `[inputs, outputs]` for each of the 36 places.
    weights: Vec<Panels>,
    bias: Vec<f32>,
}

/// A tile's place: of its first output, row and column.
#[derive(Clone, Copy)]
struct Tile {
    /// Which strip of the batch it belongs to.
    strip: usize,
    y: usize,
    x: usize,
}

/// Rows of the output that belong to the same tiles, and the first one's number.
struct Strip<'a> {
    y: usize,
    rows: Vec<&'a mut [f32]>,
}

/// Tiles along a side.
fn tiles(size: usize, dilation: usize) -> usize {
    (0..dilation)
        .map(|phase| size.saturating_sub(phase).div_ceil(dilation).div_ceil(OUT))
        .sum()
}

/// Values from one place of all tiles to the next: one cache line more than there are, because the 36 places
/// of a tile, a power of two apart, would all compete for the same few lines of the cache.
fn pitch(tiles: usize, width: usize) -> usize {
    tiles * width + 16
}

/// Multiplications of this way as a share of the plain one's, for a square of this side.
pub fn share(size: usize, dilation: usize) -> f32 {
    let tiles = tiles(size, dilation) as f32;
    tiles * tiles * (IN * IN) as f32 / (9 * size * size) as f32
}

impl Winograd {
    /// Transforms `weights` of shape `[outputs, inputs, 3, 3]`.
    pub fn new(inputs: usize, outputs: usize, dilation: usize, weights: &[f32], bias: Vec<f32>) -> Self {
        let mut panels: Vec<Panels> = (0..IN * IN).map(|_| Panels::zeros(inputs, outputs)).collect();
        let width = panel();
        // each thread transforms some outputs' weights and writes to all places' panels of them
        let mut jobs: Vec<Vec<&mut [f32]>> = Vec::new();
        jobs.resize_with(outputs.div_ceil(width), Vec::new);
        for place in &mut panels {
            for (job, own) in jobs.iter_mut().zip(place.panels_mut()) {
                job.push(own);
            }
        }
        for_each(jobs.into_iter().enumerate(), |(index, mut places)| {
            let first = index * width;
            // a row of each panel at a time: single values would compete for the same few lines of the cache
            let mut rows = vec![0.0; IN * IN * width];
            dispatch!(level(), _simd => for input in 0..inputs {
                for from in (first..outputs.min(first + width)).step_by(KERNELS) {
                    let mut taps = [[0.0; KERNELS]; 9];
                    for k in 0..KERNELS.min(outputs - from) {
                        let own = &weights[((from + k) * inputs + input) * 9..][..9];
                        for (taps, &value) in taps.iter_mut().zip(own) {
                            taps[k] = f64::from(value);
                        }
                    }
                    transform(&taps, &mut rows, width, from - first);
                }
                for (place, row) in places.iter_mut().zip(rows.chunks_exact(width)) {
                    place[input * width..][..width].copy_from_slice(row);
                }
            });
        });
        Self {
            inputs,
            outputs,
            dilation,
            weights: panels,
            bias,
        }
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The convolution of `input`.
    pub fn run(&self, input: &Grid, target: Target<'_>, finish: Finish<'_>) {
        let Target { grid: out, first } = target;
        let (height, width, stride) = (out.height, out.width, out.channels);
        let mut rows: Vec<_> = out.data.chunks_mut(width * stride).map(Some).collect();
        let mut strips = Vec::new();
        for phase in 0..self.dilation.min(height) {
            for y in (phase..height).step_by(self.dilation * OUT) {
                let own = (y..height).step_by(self.dilation).take(OUT);
                let rows = own.filter_map(|y| rows[y].take()).collect();
                strips.push(Strip { y, rows });
            }
        }
        let batch = BATCH
            .div_ceil(tiles(width, self.dilation))
            .clamp(1, strips.len().div_ceil(4));
        let mut batches = Vec::new();
        while !strips.is_empty() {
            let rest = strips.split_off(batch.min(strips.len()));
            batches.push(std::mem::replace(&mut strips, rest));
        }
        for_each(batches.into_iter(), |strips| {
            let batch = Batch {
                conv: self,
                input,
                finish,
                height,
                width,
                stride,
                first,
            };
            batch.run(strips);
        });
    }
}

/// What one thread does at a time.
struct Batch<'a> {
    conv: &'a Winograd,
    input: &'a Grid,
    finish: Finish<'a>,
    height: usize,
    width: usize,
    /// Values per pixel of the target, and the first one written.
    stride: usize,
    first: usize,
}

impl Batch<'_> {
    fn run(&self, mut strips: Vec<Strip<'_>>) {
        let dilation = self.conv.dilation;
        let mut tiles = Vec::new();
        for (strip, Strip { y, .. }) in strips.iter().enumerate() {
            for phase in 0..dilation.min(self.width) {
                let columns = (phase..self.width).step_by(dilation * OUT);
                tiles.extend(columns.map(|x| Tile { strip, y: *y, x }));
            }
        }
        let padded = self.conv.outputs.next_multiple_of(panel());
        let [values, sums] = [self.conv.inputs, padded].map(|width| IN * IN * pitch(tiles.len(), width));
        with_scratch(values + sums, |scratch| {
            let (values, sums) = scratch.split_at_mut(values);
            dispatch!(level(), simd => {
                self.enter(simd, &tiles, values);
                self.multiply(simd, tiles.len(), values, sums);
                self.leave(simd, &tiles, sums, &mut strips);
            });
        });
    }

    /// Transforms the input: `values` is `[place, tile, channel]`, places a [`pitch`] apart.
    #[inline(always)]
    fn enter<S: Simd>(&self, simd: S, tiles: &[Tile], values: &mut [f32]) {
        let (channels, dilation) = (self.conv.inputs, self.conv.dilation);
        let lanes = S::f32s::LEN;
        let pitch = pitch(tiles.len(), channels);
        let nothing = vec![0.0; channels];
        for (t, tile) in tiles.iter().enumerate() {
            let at = |first: usize, i: usize, size: usize| {
                (first + i * dilation)
                    .checked_sub(dilation)
                    .filter(|&at| at < size)
            };
            let mut pixels: [[&[f32]; IN]; IN] = [[&nothing; IN]; IN];
            for (i, row) in pixels.iter_mut().enumerate() {
                let Some(y) = at(tile.y, i, self.height) else {
                    continue;
                };
                for (j, pixel) in row.iter_mut().enumerate() {
                    if let Some(x) = at(tile.x, j, self.width) {
                        *pixel = &self.input.data[(y * self.width + x) * channels..][..channels];
                    }
                }
            }
            let mut c = 0;
            while c + lanes <= channels {
                let to = t * channels + c;
                enter_tile(simd, &pixels, c..c + lanes, &mut values[to..], pitch);
                c += lanes;
            }
            if c < channels {
                enter_tile(simd, &pixels, c..channels, &mut values[t * channels + c..], pitch);
            }
        }
    }

    /// Multiplies all places: `sums` is `[place, tile, output]`, places a [`pitch`] apart, with outputs up
    /// to a whole panel.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, tiles: usize, values: &[f32], sums: &mut [f32]) {
        let (channels, lanes) = (self.conv.inputs, S::f32s::LEN);
        let padded = self.conv.outputs.next_multiple_of(panel_of(simd));
        let places = values
            .chunks_exact(pitch(tiles, channels))
            .zip(sums.chunks_exact_mut(pitch(tiles, padded)));
        for ((values, sums), weights) in places.zip(&self.conv.weights) {
            for index in 0..weights.count() {
                let panel = weights.panel(index);
                in_tiles!(simd, tiles, |first, M| {
                    let mut rows = [values; M];
                    for (i, row) in rows.iter_mut().enumerate() {
                        *row = &values[(first + i) * channels..][..channels];
                    }
                    let products: Sums<S, M> = accumulate(simd, zeros(simd), rows, panel);
                    for (i, products) in products.iter().enumerate() {
                        let to = &mut sums[(first + i) * padded + index * panel_of(simd)..];
                        for (v, product) in products.iter().enumerate() {
                            product.store_slice(&mut to[v * lanes..][..lanes]);
                        }
                    }
                });
            }
        }
    }

    /// Transforms the sums and writes the outputs.
    #[inline(always)]
    fn leave<S: Simd>(&self, simd: S, tiles: &[Tile], sums: &[f32], strips: &mut [Strip<'_>]) {
        let Winograd {
            outputs,
            dilation,
            ref bias,
            ..
        } = *self.conv;
        let lanes = S::f32s::LEN;
        let padded = outputs.next_multiple_of(panel_of(simd));
        let pitch = pitch(tiles.len(), padded);
        let zero = S::f32s::splat(simd, 0.0);
        for (t, tile) in tiles.iter().enumerate() {
            for c in (0..outputs).step_by(lanes) {
                let sums = &sums[t * padded + c..];
                let mut half = [[zero; OUT]; IN];
                for (j, half) in half.iter_mut().enumerate() {
                    let mut column = [zero; IN];
                    for (i, value) in column.iter_mut().enumerate() {
                        let from = (i * IN + j) * pitch;
                        *value = S::f32s::from_slice(simd, &sums[from..from + lanes]);
                    }
                    *half = leave::<S>(column);
                }
                for (i, row) in strips[tile.strip].rows.iter_mut().enumerate() {
                    let mut sums = [zero; IN];
                    for (sum, column) in sums.iter_mut().zip(&half) {
                        *sum = column[i];
                    }
                    let sums = leave::<S>(sums);
                    for (j, &sum) in sums.iter().enumerate() {
                        let (y, x) = (tile.y + i * dilation, tile.x + j * dilation);
                        if x < self.width {
                            let pixel = y * self.width + x;
                            let bias = self.finish.edge(pixel, self.width, self.height).unwrap_or(bias);
                            let shortcut = self.finish.shortcut;
                            let shortcut = shortcut.map(|grid| &grid.data[pixel * outputs..][..outputs]);
                            let to = &mut row[x * self.stride + self.first..][..outputs];
                            let more = [Some(&bias[..outputs]), shortcut];
                            // a constant length in the common case spares the checks
                            if c + lanes <= outputs {
                                self.finish.write(simd, sum, more, c..c + lanes, to);
                            } else {
                                self.finish.write(simd, sum, more, c..outputs, to);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Transforms some channels of one tile; `out` has them at every place.
#[inline(always)]
fn enter_tile<S: Simd>(
    simd: S,
    pixels: &[[&[f32]; IN]; IN],
    channels: Range<usize>,
    out: &mut [f32],
    pitch: usize,
) {
    let zero = S::f32s::splat(simd, 0.0);
    let mut half = [[zero; IN]; IN];
    for (half, pixels) in half.iter_mut().zip(pixels) {
        let mut row = [zero; IN];
        for (value, pixel) in row.iter_mut().zip(pixels) {
            *value = load(simd, &pixel[channels.clone()]);
        }
        *half = enter::<S>(row);
    }
    for j in 0..IN {
        let mut column = [zero; IN];
        for (value, row) in column.iter_mut().zip(&half) {
            *value = row[j];
        }
        let column = enter::<S>(column);
        for (i, &value) in column.iter().enumerate() {
            store::<S>(value, &mut out[(i * IN + j) * pitch..][..channels.len()]);
        }
    }
}

/// The transform of six inputs along one axis (the rows of B^T).
#[inline(always)]
fn enter<S: Simd>([a, b, c, d, e, f]: [S::f32s; IN]) -> [S::f32s; IN] {
    let (odd, even) = (d - b * 4.0, e - c * 4.0);
    let (odd_2, even_2) = ((d - b) * 2.0, e - c);
    [
        (a - c) * 4.0 + even_2,
        even + odd,
        even - odd,
        even_2 + odd_2,
        even_2 - odd_2,
        (b - d) * 4.0 + (f - d),
    ]
}

/// The transform of six products along one axis to four outputs (the rows of A^T).
#[inline(always)]
fn leave<S: Simd>([a, b, c, d, e, f]: [S::f32s; IN]) -> [S::f32s; OUT] {
    let (sum, difference) = (b + c, b - c);
    let (sum_2, difference_2) = (d + e, d - e);
    [
        a + sum + sum_2,
        difference + difference_2 * 2.0,
        sum + sum_2 * 4.0,
        difference + difference_2 * 8.0 + f,
    ]
}

/// The transform of some 3x3 kernels (G and its transpose around each), in double precision: each place's values from
/// `first` on of its row, of so many values.
#[inline(always)]
fn transform(taps: &[[f64; KERNELS]; 9], rows: &mut [f32], width: usize, first: usize) {
    let (mut columns, mut place) = ([[[0.0; KERNELS]; IN]; 3], [[0.0; KERNELS]; IN]);
    for (j, column) in columns.iter_mut().enumerate() {
        along([&taps[j], &taps[3 + j], &taps[6 + j]], column);
    }
    for i in 0..IN {
        along([&columns[0][i], &columns[1][i], &columns[2][i]], &mut place);
        for (j, values) in place.iter().enumerate() {
            let row = &mut rows[(i * IN + j) * width + first..][..KERNELS];
            for (to, &value) in row.iter_mut().zip(values) {
                *to = value as f32;
            }
        }
    }
}

/// Three values of each kernel along one axis to six (the rows of G).
#[inline(always)]
fn along([a, b, c]: [&[f64; KERNELS]; 3], out: &mut [[f64; KERNELS]; IN]) {
    for k in 0..KERNELS {
        let (a, b, c) = (a[k], b[k], c[k]);
        let (even, even_2) = (-(a + c) / 6.0, a / 24.0 + c / 6.0);
        let (odd, odd_2) = (b / 6.0, b / 12.0);
        out[0][k] = a / 4.0;
        out[1][k] = even - odd;
        out[2][k] = even + odd;
        out[3][k] = even_2 + odd_2;
        out[4][k] = even_2 - odd_2;
        out[5][k] = c;
    }
}
