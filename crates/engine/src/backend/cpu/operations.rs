//! Operations that need no kernel of their own: plain loops over grids, for networks that few pixels pass through them.

use destseg_kernels::conv::Shape;
use destseg_kernels::dense::Dense;
use destseg_kernels::gradient::{spread, transposed};
use destseg_kernels::nearest::Rows;
use destseg_kernels::{Activation, Finish, Grid};

use crate::arch::BATCH_NORM_EPSILON;
use crate::arch::graph::{ConvTranspose, Corners, Pool};

/// The activation of every value.
pub(super) fn activate(grid: &mut Grid, activation: Activation) {
    let [low, high] = activation.bounds();
    grid.data
        .iter_mut()
        .for_each(|value| *value = value.max(low).min(high));
}

/// Gives all pixels of a grid the same values.
pub(super) fn repeat(pixel: &[f32], out: &mut Grid) {
    for to in out.data.chunks_exact_mut(pixel.len()) {
        to.copy_from_slice(pixel);
    }
}

/// Writes a grid's channels into another's, from channel `first` on.
pub(super) fn copy_channels(from: &Grid, out: &mut Grid, first: usize) {
    let all = out.channels;
    let pixels = out
        .data
        .chunks_exact_mut(all)
        .zip(from.data.chunks_exact(from.channels));
    pixels.for_each(|(out, from)| out[first..first + from.len()].copy_from_slice(from));
}

/// Rows or columns of the input that output `at` of a pooling sees, of `size`.
fn window(pool: Pool, at: usize, size: usize) -> std::ops::Range<usize> {
    let start = at * pool.stride;
    start.saturating_sub(pool.padding)..(start + pool.kernel).saturating_sub(pool.padding).min(size)
}

/// The largest value of each neighbourhood.
pub(super) fn max_pool(input: &Grid, pool: Pool, out: &mut Grid) {
    if pool == Pool::RESNET {
        return destseg_kernels::resample::max_pool(input, out);
    }
    let (width, channels) = (out.width, out.channels);
    for (i, pixel) in out.data.chunks_exact_mut(channels).enumerate() {
        pixel.fill(f32::NEG_INFINITY);
        for y in window(pool, i / width, input.height) {
            for x in window(pool, i % width, input.width) {
                let values = &input.data[(y * input.width + x) * channels..][..channels];
                pixel
                    .iter_mut()
                    .zip(values)
                    .for_each(|(out, value)| *out = out.max(*value));
            }
        }
    }
}

/// The gradient of [`max_pool`]: it goes to the first of the largest values.
pub(super) fn max_pool_gradient(input: &Grid, pooled: &Grid, gradient: &Grid, pool: Pool, out: &mut Grid) {
    if pool == Pool::RESNET {
        return destseg_kernels::resample::max_pool_gradient(input, pooled, gradient, out);
    }
    let (width, channels) = (gradient.width, gradient.channels);
    out.data.fill(0.0);
    for (i, own) in gradient.data.chunks_exact(channels).enumerate() {
        for (c, &gradient) in own.iter().enumerate() {
            let largest = pooled.data[i * channels + c];
            let mut places = window(pool, i / width, input.height).flat_map(|y| {
                window(pool, i % width, input.width).map(move |x| (y * input.width + x) * channels + c)
            });
            if let Some(first) = places.find(|&place| input.data[place] == largest) {
                out.data[first] += gradient;
            }
        }
    }
}

/// Bilinear resize with the centres of the corner pixels in place (PyTorch's `align_corners=True`): the two input
/// positions around an output, and the weight of the second.
fn aligned(at: usize, input: usize, output: usize) -> (usize, usize, f32) {
    let scale = if output > 1 {
        (input - 1) as f32 / (output - 1) as f32
    } else {
        0.0
    };
    let position = at as f32 * scale;
    let first = (position as usize).min(input - 1);
    (first, (first + 1).min(input - 1), position - first as f32)
}

/// The four input pixels of each output of a resize that keeps the corner pixels, with their weights.
fn corners(from: [usize; 2], to: [usize; 2]) -> impl Iterator<Item = [(usize, f32); 4]> {
    (0..to[0] * to[1]).map(move |i| {
        let (top, bottom, down) = aligned(i / to[1], from[0], to[0]);
        let (left, right, across) = aligned(i % to[1], from[1], to[1]);
        [
            (top * from[1] + left, (1.0 - down) * (1.0 - across)),
            (top * from[1] + right, (1.0 - down) * across),
            (bottom * from[1] + left, down * (1.0 - across)),
            (bottom * from[1] + right, down * across),
        ]
    })
}

/// Bilinear resize into the channels of `out` from `first` on.
pub(super) fn resize(input: &Grid, kind: Corners, out: &mut Grid, first: usize) {
    if kind == Corners::OfImage {
        let target = out.from_channel(first);
        return destseg_kernels::resample::bilinear(input, target, destseg_kernels::resample::Onto::Nothing);
    }
    let (from, to) = ([input.height, input.width], [out.height, out.width]);
    let all = out.channels;
    for (pixel, corners) in out.data.chunks_exact_mut(all).zip(corners(from, to)) {
        let out = pixel[first..first + input.channels].iter_mut();
        let [a, b, c, d] = corners.map(|(at, _)| &input.data[at * input.channels..][..input.channels]);
        let weights = corners.map(|(_, weight)| weight);
        for ((((out, a), b), c), d) in out.zip(a).zip(b).zip(c).zip(d) {
            *out = weights[0] * a + weights[1] * b + weights[2] * c + weights[3] * d;
        }
    }
}

/// The gradient of [`resize`] with respect to its input, whose size `out` has.
pub(super) fn resize_gradient(gradient: &Grid, kind: Corners, out: &mut Grid) {
    if kind == Corners::OfImage {
        return destseg_kernels::resample::bilinear_gradient(gradient, out);
    }
    let (from, to) = ([out.height, out.width], [gradient.height, gradient.width]);
    let channels = gradient.channels;
    out.data.fill(0.0);
    for (own, corners) in gradient.data.chunks_exact(channels).zip(corners(from, to)) {
        for (at, weight) in corners {
            let to = &mut out.data[at * channels..][..channels];
            to.iter_mut().zip(own).for_each(|(to, own)| *to += weight * own);
        }
    }
}

/// Scales every channel to mean 0 and variance 1 over its pixels; the result is one over each standard deviation.
pub(super) fn instance_norm(grid: &mut Grid) -> Vec<f32> {
    let (channels, pixels) = (grid.channels, grid.pixels() as f64);
    let (mut sums, mut squares) = (vec![0f64; channels], vec![0f64; channels]);
    for pixel in grid.data.chunks_exact(channels) {
        sums.iter_mut()
            .zip(pixel)
            .for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let means: Vec<f64> = sums.iter().map(|sum| sum / pixels).collect();
    for pixel in grid.data.chunks_exact(channels) {
        for ((square, &value), mean) in squares.iter_mut().zip(pixel).zip(&means) {
            *square += (f64::from(value) - mean).powi(2);
        }
    }
    let inverse: Vec<f32> = squares
        .iter()
        .map(|square| (square / pixels + BATCH_NORM_EPSILON).sqrt().recip() as f32)
        .collect();
    for pixel in grid.data.chunks_exact_mut(channels) {
        for ((value, mean), inverse) in pixel.iter_mut().zip(&means).zip(&inverse) {
            *value = (*value - *mean as f32) * inverse;
        }
    }
    inverse
}

/// Turns the gradient with respect to [`instance_norm`]'s output into that with respect to its input.
pub(super) fn instance_norm_gradient(normal: &Grid, inverse: &[f32], gradient: &mut Grid) {
    let (channels, pixels) = (normal.channels, normal.pixels() as f64);
    let (mut sums, mut products) = (vec![0f64; channels], vec![0f64; channels]);
    for (own, normal) in gradient
        .data
        .chunks_exact(channels)
        .zip(normal.data.chunks_exact(channels))
    {
        for c in 0..channels {
            sums[c] += f64::from(own[c]);
            products[c] += f64::from(own[c] * normal[c]);
        }
    }
    for (own, normal) in gradient
        .data
        .chunks_exact_mut(channels)
        .zip(normal.data.chunks_exact(channels))
    {
        for c in 0..channels {
            let mean = (sums[c] + f64::from(normal[c]) * products[c]) / pixels;
            own[c] = (own[c] - mean as f32) * inverse[c];
        }
    }
}

/// The softmax of every pixel's channels, without overflow.
pub(super) fn softmax(grid: &mut Grid) {
    for pixel in grid.data.chunks_exact_mut(grid.channels) {
        let largest = pixel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        pixel
            .iter_mut()
            .for_each(|value| *value = (*value - largest).exp());
        let sum: f32 = pixel.iter().sum();
        pixel.iter_mut().for_each(|value| *value /= sum);
    }
}

/// Turns the gradient with respect to [`softmax`]'s output into that with respect to its input.
pub(super) fn softmax_gradient(out: &Grid, gradient: &mut Grid) {
    let channels = out.channels;
    for (own, out) in gradient
        .data
        .chunks_exact_mut(channels)
        .zip(out.data.chunks_exact(channels))
    {
        let sum: f32 = own.iter().zip(out).map(|(own, out)| own * out).sum();
        own.iter_mut()
            .zip(out)
            .for_each(|(own, out)| *own = out * (*own - sum));
    }
}

/// Replaces each pixel's channels by the nearest row of a codebook.
pub(super) fn nearest_code(grid: &mut Grid, book: &Rows) {
    let nearest = book.nearest(grid);
    for (pixel, (row, _)) in grid.data.chunks_exact_mut(grid.channels).zip(nearest) {
        pixel.copy_from_slice(book.row(row));
    }
}

/// A transposed convolution: the gradient of a convolution with respect to its input, as an operation of its own.
#[derive(Debug, Clone)]
pub(super) struct Transposed {
    dense: Dense,
    stride: usize,
    /// Channels of the input.
    inputs: usize,
}

impl Transposed {
    /// The convolution whose gradient it is: from the outputs to the inputs.
    pub(super) fn shape(conv: &ConvTranspose) -> Shape {
        Shape {
            inputs: conv.channels[1],
            outputs: conv.channels[0],
            kernel: conv.kernel,
            stride: conv.stride,
            dilation: 1,
            padding: [conv.padding, 2 * conv.padding],
        }
    }

    /// With weights `[inputs, outputs, kernel, kernel]`, for outputs of `side` pixels.
    pub(super) fn new(conv: &ConvTranspose, weights: &[f32], bias: Vec<f32>, side: usize) -> Self {
        let (shape, weights) = transposed(&Self::shape(conv), weights);
        Self {
            dense: Dense::new(shape, side, &weights, bias),
            stride: conv.stride,
            inputs: conv.channels[0],
        }
    }

    /// Writes the convolution of `input`.
    pub(super) fn run(&self, input: &Grid, out: &mut Grid) {
        if self.stride == 1 {
            return self.dense.run(input, out, Finish::default());
        }
        let mut wide = Grid::zeros(out.height, out.width, self.inputs);
        spread(input, self.stride, &mut wide);
        self.dense.run(&wide, out, Finish::default());
    }
}
