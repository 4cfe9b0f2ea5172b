//! Convolutions within each channel, of the kinds that `EfficientNet` has.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::conv::Shape;
use crate::simd::{level, load, store};
use crate::threads::for_each;
use crate::{Activation, Grid};

/// Outputs side by side that share what they read.
const TOGETHER: usize = 4;

/// A convolution within each channel, with its weights.
#[derive(Debug, Clone)]
pub struct Depthwise {
    shape: Shape,
    /// For each tap the weights of all channels.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Depthwise {
    /// Turns `weights` of shape `[channels, 1, kernel, kernel]`; `None` for other kernels than 3x3 and 5x5 and
    /// other strides than 1 and 2.
    pub fn new(shape: Shape, weights: &[f32], bias: Vec<f32>) -> Option<Self> {
        let known = matches!((shape.kernel, shape.stride, shape.dilation), (3 | 5, 1 | 2, 1));
        let (taps, channels) = (shape.taps(), shape.inputs);
        let weights = (0..taps * channels).map(|i| weights[(i % channels) * taps + i / channels]);
        known.then(|| Self {
            shape,
            weights: weights.collect(),
            bias,
        })
    }

    /// The convolution of `input`.
    pub fn run(&self, input: &Grid, out: &mut Grid, activation: Activation) {
        let (width, channels) = (out.width, out.channels);
        for_each(out.data.chunks_mut(width * channels).enumerate(), |(y, row)| {
            let Shape { kernel, stride, .. } = self.shape;
            // the last number is what neighbouring outputs see together: 3 * stride + kernel
            dispatch!(level(), simd => match (kernel, stride) {
                (3, 1) => self.row::<_, 3, 6>(simd, input, y, row, activation),
                (3, _) => self.row::<_, 3, 9>(simd, input, y, row, activation),
                (_, 1) => self.row::<_, 5, 8>(simd, input, y, row, activation),
                (_, _) => self.row::<_, 5, 11>(simd, input, y, row, activation),
            });
        });
    }

    #[inline(always)]
    fn row<S: Simd, const K: usize, const SPAN: usize>(
        &self,
        simd: S,
        input: &Grid,
        y: usize,
        out: &mut [f32],
        activation: Activation,
    ) {
        let (shape, channels) = (&self.shape, self.shape.inputs);
        let nothing = vec![0.0; channels];
        let mut taps = [[&nothing[..]; K]; K];
        for (i, row) in taps.iter_mut().enumerate() {
            for (j, tap) in row.iter_mut().enumerate() {
                *tap = &self.weights[(i * K + j) * channels..][..channels];
            }
        }
        for (first, out) in out.chunks_mut(TOGETHER * channels).enumerate() {
            // every slice has as many values: one check per vector serves all of them
            let mut values = [[&nothing[..]; SPAN]; K];
            for (i, row) in values.iter_mut().enumerate() {
                let Some(from) = shape.source(y, i, input.height) else {
                    continue;
                };
                for (j, pixel) in row.iter_mut().enumerate() {
                    // as a tap of the first of these outputs
                    if let Some(x) = shape.source(first * TOGETHER, j, input.width) {
                        *pixel = &input.data[(from * input.width + x) * channels..][..channels];
                    }
                }
            }
            let lanes = S::f32s::LEN;
            let mut c = 0;
            while c + lanes <= channels {
                self.vector(simd, &values, &taps, c..c + lanes, out, activation);
                c += lanes;
            }
            if c < channels {
                self.vector(simd, &values, &taps, c..channels, out, activation);
            }
        }
    }

    /// Neighbouring outputs of as many channels as a vector takes.
    #[inline(always)]
    fn vector<S: Simd, const K: usize, const SPAN: usize>(
        &self,
        simd: S,
        values: &[[&[f32]; SPAN]; K],
        taps: &[[&[f32]; K]; K],
        channels: Range<usize>,
        out: &mut [f32],
        activation: Activation,
    ) {
        let stride = (SPAN - K) / (TOGETHER - 1);
        let mut sums = [load(simd, &self.bias[channels.clone()]); TOGETHER];
        for (values, taps) in values.iter().zip(taps) {
            let mut row = [S::f32s::splat(simd, 0.0); SPAN];
            for (value, pixel) in row.iter_mut().zip(values) {
                *value = load(simd, &pixel[channels.clone()]);
            }
            for (k, tap) in taps.iter().enumerate() {
                let weight = load(simd, &tap[channels.clone()]);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = row[n * stride + k].mul_add(weight, *sum);
                }
            }
        }
        let [low, high] = activation.bounds();
        let (low, high) = (S::f32s::splat(simd, low), S::f32s::splat(simd, high));
        for (sum, pixel) in sums.iter().zip(out.chunks_exact_mut(self.shape.inputs)) {
            store::<S>(sum.max(low).min(high), &mut pixel[channels.clone()]);
        }
    }
}
