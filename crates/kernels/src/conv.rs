//! Dense convolutions as matrix products whose rows are pixels, taken from where they lie.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::simd::{VECTORS, level, load, panel_of, store};
use crate::threads::{for_each, with_scratch};
use crate::tile::{Panels, Sums, accumulate, in_tiles};
use crate::{Finish, Grid, Target};

/// Pixels that one thread works on at a time.
const BLOCK: usize = 96;
/// With fewer input channels, the values under the kernel are copied together first.
const FEW: usize = 8;

/// The shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Distance of neighbouring outputs.
    pub stride: usize,
    /// Distance of neighbouring taps.
    pub dilation: usize,
    /// Zeros before the first and, taken together with them, around each row and column.
    pub padding: [usize; 2],
}

impl Shape {
    /// That of a 1x1 convolution: a product of each pixel with a matrix.
    pub const fn pointwise(inputs: usize, outputs: usize) -> Self {
        Self {
            inputs,
            outputs,
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: [0, 0],
        }
    }

    /// Outputs along a side of `size` inputs.
    pub fn size(&self, size: usize) -> usize {
        (size + self.padding[1]).saturating_sub(self.dilation * (self.kernel - 1) + 1) / self.stride + 1
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// The input coordinate that tap `k` of output `at` sees; none beyond the edge.
    #[inline(always)]
    pub(crate) fn source(&self, at: usize, k: usize, size: usize) -> Option<usize> {
        let position = (at * self.stride + k * self.dilation).checked_sub(self.padding[0])?;
        (position < size).then_some(position)
    }
}

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub struct Conv {
    shape: Shape,
    /// Rows: tap, then input channel.
    weights: Panels,
    bias: Vec<f32>,
}

impl Conv {
    /// Packs `weights` of shape `[outputs, inputs, kernel, kernel]`.
    pub fn new(shape: Shape, weights: &[f32], bias: Vec<f32>) -> Self {
        let Shape { inputs, outputs, .. } = shape;
        let taps = shape.taps();
        let weights = Panels::pack(taps * inputs, outputs, |row, output| {
            let (tap, input) = (row / inputs, row % inputs);
            weights[(output * inputs + input) * taps + tap]
        });
        Self { shape, weights, bias }
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// The convolution of `input`.
    pub fn run(&self, input: &Grid, target: Target<'_>, finish: Finish<'_>) {
        let Target { grid: out, first } = target;
        let (width, stride) = (out.width, out.channels);
        // small images still need work for all threads
        let block = BLOCK.min((out.pixels() / 4).next_multiple_of(12)).max(1);
        for_each(out.data.chunks_mut(block * stride).enumerate(), |(i, chunk)| {
            let block = Block {
                conv: self,
                input,
                finish,
                width,
                height: out.height,
                first: i * block,
                stride,
                channel: first,
            };
            block.run(chunk);
        });
    }
}

/// A run of output pixels.
struct Block<'a> {
    conv: &'a Conv,
    input: &'a Grid,
    finish: Finish<'a>,
    /// Pixels per row of the output.
    width: usize,
    /// Rows of the output.
    height: usize,
    /// First pixel of the run.
    first: usize,
    /// Values per pixel of the target, and the first one written.
    stride: usize,
    channel: usize,
}

impl Block<'_> {
    fn run(&self, out: &mut [f32]) {
        let (shape, input) = (&self.conv.shape, self.input);
        let (channels, taps, count) = (shape.inputs, shape.taps(), out.len() / self.stride);
        if channels < FEW && taps > 1 && shape.dilation == 1 {
            let depth = channels * taps;
            return with_scratch(count * depth, |patches| {
                for (patch, pixel) in patches.chunks_exact_mut(depth).zip(self.pixels()) {
                    self.copy_patch(pixel, patch);
                }
                let places: Vec<Option<usize>> = (0..count).map(|p| Some(p * depth)).collect();
                self.product(patches, depth, &places, out);
            });
        }
        // where each tap of each pixel begins: computed once, used by every panel
        let mut places = Vec::with_capacity(count * taps);
        for ky in 0..shape.kernel {
            for kx in 0..shape.kernel {
                places.extend(self.pixels().take(count).map(|[y, x]| {
                    let y = shape.source(y, ky, input.height)?;
                    let x = shape.source(x, kx, input.width)?;
                    Some((y * input.width + x) * input.channels)
                }));
            }
        }
        self.product(&input.data, channels, &places, out);
    }

    /// Row and column of the block's pixels and all after them.
    fn pixels(&self) -> impl Iterator<Item = [usize; 2]> {
        let width = self.width;
        let first = [self.first / width, self.first % width];
        std::iter::successors(Some(first), move |&[y, x]| {
            Some(if x + 1 < width { [y, x + 1] } else { [y + 1, 0] })
        })
    }

    /// Copies what the taps of a pixel see, row by row.
    fn copy_patch(&self, [y, x]: [usize; 2], patch: &mut [f32]) {
        let (shape, input) = (&self.conv.shape, self.input);
        let channels = shape.inputs;
        for (ky, row) in patch.chunks_exact_mut(shape.kernel * channels).enumerate() {
            let from = shape.source(y, ky, input.height).map(|y| y * input.width);
            let [first, last] = [0, shape.kernel - 1].map(|kx| shape.source(x, kx, input.width));
            match (from, first, last) {
                (Some(from), Some(first), Some(_)) => {
                    row.copy_from_slice(&input.data[(from + first) * channels..][..row.len()]);
                }
                _ => {
                    for (kx, values) in row.chunks_exact_mut(channels).enumerate() {
                        let place = from.zip(shape.source(x, kx, input.width));
                        let source = place.map(|(from, x)| &input.data[(from + x) * channels..][..channels]);
                        match source {
                            Some(source) => values.copy_from_slice(source),
                            None => values.fill(0.0),
                        }
                    }
                }
            }
        }
    }

    fn product(&self, data: &[f32], depth: usize, places: &[Option<usize>], out: &mut [f32]) {
        dispatch!(level(), simd => self.product_with(simd, data, depth, places, out));
    }

    /// `places` has, tap by tap, where the `depth` values of each pixel begin.
    #[inline(always)]
    fn product_with<S: Simd>(
        &self,
        simd: S,
        data: &[f32],
        depth: usize,
        places: &[Option<usize>],
        out: &mut [f32],
    ) {
        let nothing = vec![0.0; depth];
        let weights = &self.conv.weights;
        let (count, width) = (out.len() / self.stride, panel_of(simd));
        for index in 0..weights.count() {
            let panel = weights.panel(index);
            // biases that depend on the place come later
            let mut start = [S::f32s::splat(simd, 0.0); VECTORS];
            if self.finish.edges.is_none() {
                let bias = &self.conv.bias[index * width..];
                for (start, bias) in start.iter_mut().zip(bias.chunks(S::f32s::LEN)) {
                    *start = load(simd, bias);
                }
            }
            in_tiles!(simd, count, |first, M| {
                let mut sums: Sums<S, M> = [start; M];
                for (places, weights) in places.chunks_exact(count).zip(panel.chunks_exact(depth * width)) {
                    let mut rows = [&nothing[..]; M];
                    for (row, place) in rows.iter_mut().zip(&places[first..first + M]) {
                        if let Some(at) = place {
                            *row = &data[*at..at + depth];
                        }
                    }
                    sums = accumulate(simd, sums, rows, weights);
                }
                self.write(simd, &sums, first, index * width, out);
            });
        }
    }

    /// Finishes the sums of a few pixels from `first` on for the panel of outputs from `output` on.
    #[inline(always)]
    fn write<S: Simd, const M: usize>(
        &self,
        simd: S,
        sums: &Sums<S, M>,
        first: usize,
        output: usize,
        out: &mut [f32],
    ) {
        let outputs = self.conv.shape.outputs;
        let lanes = S::f32s::LEN;
        for (i, sums) in sums.iter().enumerate() {
            let pixel = self.first + first + i;
            let own = &mut out[(first + i) * self.stride + self.channel..][..outputs];
            let bias = self.finish.edge(pixel, self.width, self.height);
            let shortcut = self
                .finish
                .shortcut
                .map(|grid| &grid.data[pixel * outputs..][..outputs]);
            for (v, &sum) in sums.iter().enumerate() {
                let from = output + v * lanes;
                // a constant length in the common case spares the checks
                if from + lanes <= outputs {
                    self.finish
                        .write(simd, sum, [bias, shortcut], from..from + lanes, own);
                } else if from < outputs {
                    self.finish.write(simd, sum, [bias, shortcut], from..outputs, own);
                }
            }
        }
    }
}

impl Finish<'_> {
    /// The bias of a pixel where that depends on its place.
    #[inline(always)]
    pub(crate) fn edge(&self, pixel: usize, width: usize, height: usize) -> Option<&[f32]> {
        self.edges.map(|edges| {
            let place = |at: usize, size: usize| usize::from(at > 0) + usize::from(at + 1 == size);
            &edges[3 * place(pixel / width, height) + place(pixel % width, width)][..]
        })
    }

    /// Writes one vector of sums to some channels of a pixel; `more` is added.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(
        &self,
        simd: S,
        sum: S::f32s,
        more: [Option<&[f32]>; 2],
        channels: Range<usize>,
        out: &mut [f32],
    ) {
        let [low, high] = self.activation.bounds();
        let mut value = sum;
        for more in more.into_iter().flatten() {
            value += load(simd, &more[channels.clone()]);
        }
        let value = value
            .max(S::f32s::splat(simd, low))
            .min(S::f32s::splat(simd, high));
        store::<S>(value, &mut out[channels]);
    }
}
