//! Bilinear upsampling and pooling.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::simd::{level, load, store};
use crate::threads::for_each;
use crate::{Activation, Grid, Target};

/// What becomes of the values that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// They are overwritten.
    Nothing,
    /// The new ones are added, then the activation comes.
    Sum(Activation),
}

/// Bilinear resize to the target's size, with half-pixel centres (`align_corners=False` in `PyTorch`).
pub fn bilinear(input: &Grid, target: Target<'_>, onto: Onto) {
    let Target { grid: out, first } = target;
    let (height, width, stride) = (out.height, out.width, out.channels);
    let columns: Vec<_> = (0..width).map(|x| taps(x, input.width, width)).collect();
    for_each(out.data.chunks_mut(width * stride).enumerate(), |(y, row)| {
        let rows = taps(y, input.height, height);
        dispatch!(level(), simd => {
            for (pixel, &column) in row.chunks_exact_mut(stride).zip(&columns) {
                blend(simd, input, rows, column, &mut pixel[first..first + input.channels], onto);
            }
        });
    });
}

/// The two input positions around an output and the share of the second.
type Taps = (usize, usize, f32);

fn taps(at: usize, input: usize, output: usize) -> Taps {
    let centre = ((at as f32 + 0.5) * (input as f32 / output as f32) - 0.5).max(0.0);
    let first = (centre as usize).min(input - 1);
    (first, (first + 1).min(input - 1), centre - first as f32)
}

/// One output pixel.
#[inline(always)]
fn blend<S: Simd>(simd: S, input: &Grid, rows: Taps, columns: Taps, out: &mut [f32], onto: Onto) {
    let channels = input.channels;
    let at = |y: usize, x: usize| &input.data[(y * input.width + x) * channels..][..channels];
    let corners = [
        at(rows.0, columns.0),
        at(rows.0, columns.1),
        at(rows.1, columns.0),
        at(rows.1, columns.1),
    ];
    let (down, right) = (rows.2, columns.2);
    let shares = [
        (1.0 - down) * (1.0 - right),
        (1.0 - down) * right,
        down * (1.0 - right),
        down * right,
    ];
    let lanes = S::f32s::LEN;
    for (i, out) in out.chunks_mut(lanes).enumerate() {
        let mut sum = S::f32s::splat(simd, 0.0);
        for (corner, share) in corners.iter().zip(shares) {
            let value = load(simd, &corner[i * lanes..][..out.len()]);
            sum = value.mul_add(S::f32s::splat(simd, share), sum);
        }
        if let Onto::Sum(activation) = onto {
            let [low, high] = activation.bounds();
            sum += load(simd, out);
            sum = sum.max(S::f32s::splat(simd, low)).min(S::f32s::splat(simd, high));
        }
        store::<S>(sum, out);
    }
}

/// The gradient with respect to the input of [`bilinear`], whose size `out` has.
pub fn bilinear_gradient(gradients: &Grid, out: &mut Grid) {
    let (height, width, channels) = (out.height, out.width, out.channels);
    out.data.fill(0.0);
    for (i, gradients_of) in gradients.data.chunks_exact(channels).enumerate() {
        let (top, bottom, down) = taps(i / gradients.width, height, gradients.height);
        let (left, right, across) = taps(i % gradients.width, width, gradients.width);
        for (y, share) in [(top, 1.0 - down), (bottom, down)] {
            for (x, share) in [(left, share * (1.0 - across)), (right, share * across)] {
                let to = &mut out.data[(y * width + x) * channels..][..channels];
                to.iter_mut()
                    .zip(gradients_of)
                    .for_each(|(to, gradient)| *to += share * gradient);
            }
        }
    }
}

/// The gradient with respect to the input of [`max_pool`], which gave `pooled`: it goes to the first of the largest values.
pub fn max_pool_gradient(input: &Grid, pooled: &Grid, gradients: &Grid, out: &mut Grid) {
    let channels = input.channels;
    out.data.fill(0.0);
    let mut left = vec![0.0; channels];
    dispatch!(level(), _simd => for y in 0..gradients.height {
        for x in 0..gradients.width {
            let at = (y * gradients.width + x) * channels;
            let largest = &pooled.data[at..at + channels];
            left.copy_from_slice(&gradients.data[at..at + channels]);
            for row in around(y, input.height) {
                for column in around(x, input.width) {
                    let at = (row * input.width + column) * channels;
                    let to = out.data[at..at + channels].iter_mut().zip(&input.data[at..at + channels]);
                    for ((to, value), (left, largest)) in to.zip(left.iter_mut().zip(largest)) {
                        let own = if value == largest { *left } else { 0.0 };
                        *to += own;
                        *left -= own;
                    }
                }
            }
        }
    });
}

/// The rows or columns, of so many, whose largest value the pool's output `at` is.
#[inline(always)]
fn around(at: usize, size: usize) -> std::ops::Range<usize> {
    (2 * at).saturating_sub(1)..(2 * at + 2).min(size)
}

/// The largest value of each 3x3 neighbourhood around every second pixel.
pub fn max_pool(input: &Grid, out: &mut Grid) {
    let (width, channels) = (out.width, out.channels);
    for_each(out.data.chunks_mut(width * channels).enumerate(), |(y, row)| {
        row.fill(f32::NEG_INFINITY);
        dispatch!(level(), simd => {
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                for from in around(y, input.height) {
                    for column in around(x, input.width) {
                        let values = &input.data[(from * input.width + column) * channels..][..channels];
                        larger(simd, values, pixel);
                    }
                }
            }
        });
    });
}

#[inline(always)]
fn larger<S: Simd>(simd: S, values: &[f32], out: &mut [f32]) {
    let lanes = S::f32s::LEN;
    for (values, out) in values.chunks(lanes).zip(out.chunks_mut(lanes)) {
        store::<S>(load(simd, values).max(load(simd, out)), out);
    }
}

/// The mean of each channel.
pub fn mean(input: &Grid) -> Vec<f32> {
    let mut sums = vec![0f64; input.channels];
    for pixel in input.data.chunks_exact(input.channels) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter()
        .map(|sum| (sum / input.pixels() as f64) as f32)
        .collect()
}
