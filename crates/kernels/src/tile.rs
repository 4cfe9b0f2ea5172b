//! The inner loop of all dense convolutions: a few rows of pixels times a panel of output channels.

use fearless_simd::Simd;
use fearless_simd::prelude::*;

use crate::simd::{VECTORS, panel, panel_of};
use crate::threads::for_each;

/// Sums of `M` pixels for one panel.
pub(crate) type Sums<S, const M: usize> = [[<S as Simd>::f32s; VECTORS]; M];

/// A matrix `[depth, outputs]` in panels of as many outputs as a tile has columns; missing ones are zero.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panels {
    depth: usize,
    width: usize,
    data: Vec<f32>,
}

impl Panels {
    /// Packs `weight(row, output)`.
    pub(crate) fn pack(depth: usize, outputs: usize, weight: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut packed = Self::zeros(depth, outputs);
        let width = packed.width;
        for_each(packed.panels_mut().enumerate(), |(index, panel)| {
            let first = index * width;
            for (row, values) in panel.chunks_exact_mut(width).enumerate() {
                for (output, value) in (first..outputs).zip(values) {
                    *value = weight(row, output);
                }
            }
        });
        packed
    }

    /// Panels to be filled.
    pub(crate) fn zeros(depth: usize, outputs: usize) -> Self {
        let width = panel();
        let data = vec![0.0; outputs.next_multiple_of(width) * depth];
        Self { depth, width, data }
    }

    /// All panels, to be written.
    pub(crate) fn panels_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.data.chunks_exact_mut(self.depth * self.width)
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.data.len() / (self.depth * self.width)
    }

    /// One panel, `depth` rows of as many outputs as a panel has.
    #[inline(always)]
    pub(crate) fn panel(&self, index: usize) -> &[f32] {
        let len = self.depth * self.width;
        &self.data[index * len..][..len]
    }
}

/// Adds to `sums` the products of `M` rows of values with a panel of as many rows of weights.
#[inline(always)]
pub(crate) fn accumulate<S: Simd, const M: usize>(
    simd: S,
    mut sums: Sums<S, M>,
    mut rows: [&[f32]; M],
    panel: &[f32],
) -> Sums<S, M> {
    let lanes = S::f32s::LEN;
    let width = panel_of(simd);
    let depth = panel.len() / width;
    // lengths that the compiler sees spare the checks inside the loop
    for row in &mut rows {
        *row = &row[..depth];
    }
    for (k, values) in panel.chunks_exact(width).enumerate() {
        let mut weights = [S::f32s::splat(simd, 0.0); VECTORS];
        for (v, weights) in weights.iter_mut().enumerate() {
            *weights = S::f32s::from_slice(simd, &values[v * lanes..][..lanes]);
        }
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let value = S::f32s::splat(simd, row[k]);
            for (sum, &weights) in sums.iter_mut().zip(&weights) {
                *sum = value.mul_add(weights, *sum);
            }
        }
    }
    sums
}

/// Sums of nothing.
#[inline(always)]
pub(crate) fn zeros<S: Simd, const M: usize>(simd: S) -> Sums<S, M> {
    [[S::f32s::splat(simd, 0.0); VECTORS]; M]
}

/// Calls `$tile::<_, M>` for steps of as many pixels as fit the registers of `$simd`, then for the rest:
/// `$first` takes the place of each step's first pixel.
macro_rules! in_tiles {
    ($simd:ident, $count:expr, |$first:ident, $m:ident| $body:expr) => {{
        let (mut $first, count) = (0, $count);
        while $first < count {
            // registers: AVX-512 has 32, AVX2 and wasm on x86 have 16
            $first += match (count - $first, <S::f32s as SimdBase<S>>::LEN) {
                (12.., 16..) => {
                    const $m: usize = 12;
                    $body;
                    $m
                }
                (6.., 8..) => {
                    const $m: usize = 6;
                    $body;
                    $m
                }
                (4.., _) => {
                    const $m: usize = 4;
                    $body;
                    $m
                }
                (2.., _) => {
                    const $m: usize = 2;
                    $body;
                    $m
                }
                _ => {
                    const $m: usize = 1;
                    $body;
                    $m
                }
            };
        }
    }};
}
pub(crate) use in_tiles;
