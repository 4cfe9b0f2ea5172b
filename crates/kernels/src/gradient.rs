//! The gradients of dense convolutions.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::Grid;
use crate::conv::Shape;
use crate::simd::{VECTORS, level, load, panel, panel_of, store};
use crate::threads::for_each;
use crate::tile::{Sums, accumulate, in_tiles, zeros};

/// Pixels whose values are copied together: they and their gradients stay in the nearest cache.
const BLOCK: usize = 128;
/// Panels of columns, at most, that one thread works on at a time: they share a pass over the gradients.
const PANELS: usize = 9;
/// Pieces of work, at least, that all threads share.
const PIECES: usize = 8;
/// Outputs, at least, that share what is copied together.
const FEWEST: usize = 60;
/// Pixels and outputs of a square that is transposed at a time.
const SQUARE: usize = 16;

/// The gradient of a loss with respect to weights `[outputs, inputs, kernel, kernel]`, of a batch's inputs and the
/// gradients with respect to the outputs: the product of both as matrices, with a column for each tap and input.
pub fn of_weights(shape: &Shape, inputs: &[Grid], gradients: &[Grid]) -> Vec<f32> {
    let Shape {
        inputs: channels,
        outputs,
        ..
    } = *shape;
    let (taps, width) = (shape.taps(), panel());
    let rows = Rows::of(gradients, outputs);
    let panels = (taps * channels).div_ceil(width);
    let wide = panels.div_ceil(PIECES).clamp(panels.min(2), PANELS);
    let pieces = PIECES.div_ceil(panels.div_ceil(wide));
    // whole tiles, and enough outputs to make up for the copying together
    let high = outputs.div_ceil(pieces).max(FEWEST).next_multiple_of(12);
    let mut jobs = Vec::new();
    for first_panel in (0..panels).step_by(wide) {
        for output in (0..outputs).step_by(high) {
            let (panels, count) = (wide.min(panels - first_panel), high.min(outputs - output));
            jobs.push(Job {
                shape,
                inputs,
                gradients,
                rows: &rows,
                column: first_panel * width,
                panels,
                output,
                count,
                sums: vec![0.0; panels * count * width],
            });
        }
    }
    for_each(jobs.iter_mut(), |job| dispatch!(level(), simd => job.run(simd)));
    let mut weights = vec![0.0; outputs * channels * taps];
    for job in &jobs {
        for (i, sums) in job.sums.chunks_exact(width).enumerate() {
            let (output, first) = (job.output + i % job.count, job.column + i / job.count * width);
            let own = &mut weights[output * channels * taps..][..channels * taps];
            for (column, &sum) in (first..taps * channels).zip(sums) {
                own[column % channels * taps + column / channels] = sum;
            }
        }
    }
    weights
}

/// The convolution that takes gradients of outputs, spread out by [`spread`], to those of inputs: its shape and
/// weights.
pub fn transposed(shape: &Shape, weights: &[f32]) -> (Shape, Vec<f32>) {
    let Shape {
        inputs,
        outputs,
        kernel,
        dilation,
        padding,
        ..
    } = *shape;
    let taps = kernel * kernel;
    let mut turned = vec![0.0; weights.len()];
    for_each(turned.chunks_mut(outputs * taps).enumerate(), |(input, own)| {
        for (output, turned) in own.chunks_exact_mut(taps).enumerate() {
            let from = &weights[(output * inputs + input) * taps..][..taps];
            turned
                .iter_mut()
                .zip(from.iter().rev())
                .for_each(|(to, &from)| *to = from);
        }
    });
    let reach = dilation * (kernel - 1);
    let shape = Shape {
        inputs: outputs,
        outputs: inputs,
        kernel,
        stride: 1,
        dilation,
        padding: [reach - padding[0], reach],
    };
    (shape, turned)
}

/// Pixels `stride` apart, with zeros between, in a grid of the input's size.
pub fn spread(gradient: &Grid, stride: usize, out: &mut Grid) {
    let (width, channels) = (out.width, out.channels);
    out.data.fill(0.0);
    let rows = gradient.data.chunks_exact(gradient.width * channels);
    for (from, to) in rows.zip(out.data.chunks_exact_mut(width * channels).step_by(stride)) {
        let pixels = to.chunks_exact_mut(channels).step_by(stride);
        for (from, to) in from.chunks_exact(channels).zip(pixels) {
            to.copy_from_slice(from);
        }
    }
}

/// The gradients with respect to the outputs of a batch: a row for each output, a `pitch` apart.
struct Rows {
    data: Vec<f32>,
    /// A square's side more than there are pixels, for the zeros behind them; and rows a power of two apart would
    /// compete for the same few lines of the cache.
    pitch: usize,
}

impl Rows {
    fn of(gradients: &[Grid], outputs: usize) -> Self {
        let pitch = gradients.iter().map(Grid::pixels).sum::<usize>() + SQUARE;
        let mut data = vec![0.0; outputs * pitch];
        for_each(data.chunks_mut(SQUARE * pitch).enumerate(), |(i, rows)| {
            let (own, mut at) = (rows.len() / pitch, 0);
            for gradient in gradients {
                for pixels in gradient.data.chunks(SQUARE * outputs) {
                    let mut square = [[0.0; SQUARE]; SQUARE];
                    for (line, pixel) in square.iter_mut().zip(pixels.chunks_exact(outputs)) {
                        match pixel[i * SQUARE..].first_chunk() {
                            Some(whole) => *line = *whole,
                            None => line[..own].copy_from_slice(&pixel[i * SQUARE..]),
                        }
                    }
                    for (j, row) in rows.chunks_exact_mut(pitch).enumerate() {
                        // beyond the last pixel are zeros, which the next ones replace
                        let row = &mut row[at..at + SQUARE];
                        row.iter_mut().zip(&square).for_each(|(to, line)| *to = line[j]);
                    }
                    at += pixels.len() / outputs;
                }
            }
        });
        Self { data, pitch }
    }
}

/// Some columns of some outputs' weights.
struct Job<'a> {
    shape: &'a Shape,
    inputs: &'a [Grid],
    gradients: &'a [Grid],
    rows: &'a Rows,
    /// The first column, and panels from there on.
    column: usize,
    panels: usize,
    /// The first output, and those from there on.
    output: usize,
    count: usize,
    /// `[panel, output, column]`.
    sums: Vec<f32>,
}

impl Job<'_> {
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) {
        let width = panel_of(simd);
        let mut values = vec![0.0; self.panels * BLOCK * width];
        let mut pixels = Vec::with_capacity(BLOCK);
        let mut at = 0;
        for (input, gradient) in self.inputs.iter().zip(self.gradients) {
            for first in (0..gradient.pixels()).step_by(BLOCK) {
                let last = gradient.pixels().min(first + BLOCK);
                pixels.clear();
                pixels.extend((first..last).map(|p| [p / gradient.width, p % gradient.width]));
                for (k, panel) in values.chunks_exact_mut(BLOCK * width).enumerate() {
                    self.copy(simd, input, &pixels, self.column + k * width, panel);
                }
                self.add(simd, &values, at + first, pixels.len());
            }
            at += gradient.pixels();
        }
    }

    /// Copies what the columns from `column` on see at some pixels; those beyond the last stay as they are.
    #[inline(always)]
    fn copy<S: Simd>(&self, simd: S, input: &Grid, pixels: &[[usize; 2]], column: usize, panel: &mut [f32]) {
        let (shape, width, lanes) = (self.shape, panel_of(simd), S::f32s::LEN);
        let (kernel, channels) = (shape.kernel, shape.inputs);
        let end = (column + width).min(shape.taps() * channels);
        let mut from = column;
        while from < end {
            // as far as the tap reaches
            let (tap, channel) = (from / channels, from % channels);
            let len = (channels - channel).min(end - from);
            let (row, place) = (tap / kernel, tap % kernel);
            for (&[y, x], panel) in pixels.iter().zip(panel.chunks_exact_mut(width)) {
                let to = &mut panel[from - column..][..len];
                let y = shape.source(y, row, input.height);
                let x = shape.source(x, place, input.width);
                let Some((y, x)) = y.zip(x) else {
                    to.fill(0.0);
                    continue;
                };
                let values = &input.data[(y * input.width + x) * channels + channel..][..len];
                if len == width {
                    // a constant length in the common case spares the call of a copy
                    for (to, values) in to
                        .chunks_exact_mut(lanes)
                        .zip(values.chunks_exact(lanes))
                        .take(VECTORS)
                    {
                        S::f32s::from_slice(simd, values).store_slice(to);
                    }
                } else {
                    for (to, values) in to.chunks_mut(lanes).zip(values.chunks(lanes)) {
                        store::<S>(load(simd, values), to);
                    }
                }
            }
            from += len;
        }
    }

    /// Adds the products of some pixels' gradients, from place `at` of the rows on, with their values.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, values: &[f32], at: usize, len: usize) {
        let (width, lanes) = (panel_of(simd), S::f32s::LEN);
        let (count, pitch) = (self.count, self.rows.pitch);
        in_tiles!(simd, count, |first, M| {
            let mut rows = [&self.rows.data[..0]; M];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = &self.rows.data[(self.output + first + i) * pitch + at..][..len];
            }
            for (k, panel) in values.chunks_exact(BLOCK * width).enumerate() {
                let sums = &mut self.sums[(k * count + first) * width..][..M * width];
                let mut tile: Sums<S, M> = zeros(simd);
                for (tile, sums) in tile.iter_mut().zip(sums.chunks_exact(width)) {
                    for (v, sum) in tile.iter_mut().enumerate() {
                        *sum = S::f32s::from_slice(simd, &sums[v * lanes..][..lanes]);
                    }
                }
                tile = accumulate(simd, tile, rows, &panel[..len * width]);
                for (tile, sums) in tile.iter().zip(sums.chunks_exact_mut(width)) {
                    for (v, sum) in tile.iter().enumerate() {
                        sum.store_slice(&mut sums[v * lanes..][..lanes]);
                    }
                }
            }
        });
    }
}
