//! The gradients of dense convolutions.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::Grid;
use crate::conv::Shape;
use crate::simd::{VECTORS, level, load, panel_of, store};
use crate::threads::for_each;
use crate::tile::in_tiles;

/// Outputs that one thread works on at a time.
const OUTPUTS: usize = 12;

/// The gradient of a loss with respect to weights `[outputs, inputs, kernel, kernel]`, of a batch's inputs and the
/// gradients with respect to the outputs.
pub fn of_weights(shape: &Shape, inputs: &[Grid], gradients: &[Grid]) -> Vec<f32> {
    let Shape {
        inputs: channels,
        outputs,
        ..
    } = *shape;
    let taps = shape.taps();
    let mut weights = vec![0.0; outputs * channels * taps];
    let chunks = weights.chunks_mut(OUTPUTS * channels * taps).enumerate();
    for_each(chunks, |(i, chunk)| {
        // [output, tap, input] while it is summed
        let mut sums = vec![0.0; chunk.len()];
        let count = sums.len() / (taps * channels);
        for (input, gradient) in inputs.iter().zip(gradients) {
            let job = Job {
                shape,
                input,
                gradient,
                first: i * OUTPUTS,
            };
            dispatch!(level(), simd => job.add(simd, count, &mut sums));
        }
        for (weights, sums) in chunk
            .chunks_exact_mut(channels * taps)
            .zip(sums.chunks_exact(channels * taps))
        {
            for (j, weight) in weights.iter_mut().enumerate() {
                *weight = sums[j % taps * channels + j / taps];
            }
        }
    });
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
    let turned = (0..weights.len()).map(|i| {
        let (input, output, tap) = (i / (outputs * taps), i / taps % outputs, i % taps);
        weights[(output * inputs + input) * taps + taps - 1 - tap]
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
    (shape, turned.collect())
}

/// Pixels `stride` apart, with zeros between, in a grid of the input's size.
pub fn spread(gradient: &Grid, stride: usize, height: usize, width: usize) -> Grid {
    let channels = gradient.channels;
    let mut out = Grid::zeros(height, width, channels);
    let rows = gradient.data.chunks_exact(gradient.width * channels);
    for (from, to) in rows.zip(out.data.chunks_exact_mut(width * channels).step_by(stride)) {
        let pixels = to.chunks_exact_mut(channels).step_by(stride);
        for (from, to) in from.chunks_exact(channels).zip(pixels) {
            to.copy_from_slice(from);
        }
    }
    out
}

/// One image's share of some outputs' weights.
struct Job<'a> {
    shape: &'a Shape,
    input: &'a Grid,
    gradient: &'a Grid,
    /// The first of the outputs.
    first: usize,
}

impl Job<'_> {
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, count: usize, sums: &mut [f32]) {
        let Self {
            shape,
            input,
            gradient,
            ..
        } = *self;
        let (kernel, stride, channels) = (shape.kernel, shape.stride, shape.inputs);
        for y in 0..gradient.height {
            for tap in 0..shape.taps() {
                let Some(row) = shape.source(y, tap / kernel, input.height) else {
                    continue;
                };
                // the outputs of this row whose tap lies inside
                let is_inside = |&x: &usize| shape.source(x, tap % kernel, input.width).is_some();
                let Some(begin) = (0..gradient.width).find(is_inside) else {
                    continue;
                };
                let end = (begin..gradient.width)
                    .rfind(is_inside)
                    .map_or(begin, |last| last + 1);
                let Some(column) = shape.source(begin, tap % kernel, input.width) else {
                    continue;
                };
                let values = &input.data[(row * input.width + column) * channels..];
                let slopes = &gradient.data[(y * gradient.width + begin) * gradient.channels..];
                let run = Run {
                    values,
                    step: stride * channels,
                    channels,
                    slopes: &slopes[..(end - begin) * gradient.channels],
                    outputs: gradient.channels,
                };
                in_tiles!(simd, count, |first, M| {
                    let from = (first * shape.taps() + tap) * channels;
                    run.add::<S, M>(
                        simd,
                        self.first + first,
                        &mut sums[from..],
                        shape.taps() * channels,
                    );
                });
            }
        }
    }
}

/// Pixels in a row: their values and the gradients of what they led to.
struct Run<'a> {
    values: &'a [f32],
    /// From one pixel's values to the next one's.
    step: usize,
    channels: usize,
    slopes: &'a [f32],
    outputs: usize,
}

impl Run<'_> {
    /// Adds the outer products of the gradients of `M` outputs with the values; `sums` has a row for each output,
    /// a `pitch` apart.
    #[inline(always)]
    fn add<S: Simd, const M: usize>(&self, simd: S, output: usize, sums: &mut [f32], pitch: usize) {
        let lanes = S::f32s::LEN;
        for c in (0..self.channels).step_by(panel_of(simd)) {
            let left = self.channels - c;
            // a constant length in the common case spares the checks
            let ends = if left >= panel_of(simd) {
                [lanes; VECTORS]
            } else {
                [left.min(lanes), left.saturating_sub(lanes)]
            };
            let mut tile = [[S::f32s::splat(simd, 0.0); VECTORS]; M];
            for (i, tile) in tile.iter_mut().enumerate() {
                for (v, sum) in tile.iter_mut().enumerate() {
                    if ends[v] > 0 {
                        *sum = load(simd, &sums[i * pitch + c + v * lanes..][..ends[v]]);
                    }
                }
            }
            for (slopes, values) in self
                .slopes
                .chunks_exact(self.outputs)
                .zip(self.values.chunks(self.step))
            {
                let slopes = &slopes[output..output + M];
                let mut vectors = [S::f32s::splat(simd, 0.0); VECTORS];
                for (v, vector) in vectors.iter_mut().enumerate() {
                    if ends[v] > 0 {
                        *vector = load(simd, &values[c + v * lanes..][..ends[v]]);
                    }
                }
                for (tile, &slope) in tile.iter_mut().zip(slopes) {
                    let slope = S::f32s::splat(simd, slope);
                    for (sum, &vector) in tile.iter_mut().zip(&vectors) {
                        *sum = slope.mul_add(vector, *sum);
                    }
                }
            }
            for (i, tile) in tile.iter().enumerate() {
                for (v, &sum) in tile.iter().enumerate() {
                    if ends[v] > 0 {
                        store::<S>(sum, &mut sums[i * pitch + c + v * lanes..][..ends[v]]);
                    }
                }
            }
        }
    }
}
