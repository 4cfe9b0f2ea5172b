//! What teacher and student features are compared by.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch};

use crate::Grid;
use crate::simd::{level, load, store};
use crate::threads::for_each;

/// Keeps a vector of zeros from becoming one of none-numbers; the model has the same.
const TINY: f32 = 1e-24;

/// Compares the features of teacher and student, each pixel's scaled to length 1. `products` (minus the
/// products, in its first channels) and `differences` (teacher less student) are written if given.
///
/// The result is one minus the cosine, one value per pixel.
pub fn compare(
    teacher: &Grid,
    student: &Grid,
    products: Option<&mut Grid>,
    differences: Option<&mut Grid>,
) -> Grid {
    let (width, channels) = (teacher.width, teacher.channels);
    let mut distance = Grid::zeros(teacher.height, width, 1);
    let values = width * channels;
    let rows = teacher
        .data
        .chunks_exact(values)
        .zip(student.data.chunks_exact(values));
    let rows = rows
        .zip(distance.data.chunks_exact_mut(width))
        .zip(pixel_rows(products, width))
        .zip(pixel_rows(differences, width));
    for_each(
        rows,
        |((((teacher, student), distance), products), differences)| {
            dispatch!(level(), simd => {
                let mut products = products.map(|(row, stride)| row.chunks_exact_mut(stride));
                let mut differences = differences.map(|(row, stride)| row.chunks_exact_mut(stride));
                let pixels = teacher.chunks_exact(channels).zip(student.chunks_exact(channels));
                for ((teacher, student), distance) in pixels.zip(distance) {
                    let t_scale = (dot(simd, teacher, teacher) + TINY).sqrt().recip();
                    let s_scale = (dot(simd, student, student) + TINY).sqrt().recip();
                    *distance = 1.0 - dot(simd, teacher, student) * t_scale * s_scale;
                    if let Some(out) = products.as_mut().and_then(Iterator::next) {
                        combine(simd, [teacher, student], out, #[inline(always)] |t, s| t * s * (-t_scale * s_scale));
                    }
                    if let Some(out) = differences.as_mut().and_then(Iterator::next) {
                        combine(simd, [teacher, student], out, #[inline(always)] |t, s| t * t_scale - s * s_scale);
                    }
                }
            });
        },
    );
    distance
}

/// The rows of a grid, each with its values per pixel; as many times nothing if there is none.
fn pixel_rows(grid: Option<&mut Grid>, width: usize) -> impl Iterator<Item = Option<(&mut [f32], usize)>> {
    let stride = grid.as_ref().map_or(0, |grid| grid.channels);
    let mut rows = grid.map(|grid| grid.data.chunks_exact_mut(width * stride));
    std::iter::from_fn(move || Some(rows.as_mut().and_then(Iterator::next).map(|row| (row, stride))))
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let lanes = S::f32s::LEN;
    let mut sum = S::f32s::splat(simd, 0.0);
    for (a, b) in a.chunks(lanes).zip(b.chunks(lanes)) {
        sum = load(simd, a).mul_add(load(simd, b), sum);
    }
    sum.as_slice().iter().sum()
}

#[inline(always)]
fn combine<S: Simd>(
    simd: S,
    [a, b]: [&[f32]; 2],
    out: &mut [f32],
    with: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    let lanes = S::f32s::LEN;
    for ((a, b), out) in a.chunks(lanes).zip(b.chunks(lanes)).zip(out.chunks_mut(lanes)) {
        let take = a.len();
        store::<S>(with(load(simd, a), load(simd, b)), &mut out[..take]);
    }
}

/// `ln(1 + x^2)` of the channels from `first` on.
pub fn log_squares(grid: &mut Grid, first: usize) {
    let (width, channels) = (grid.width, grid.channels);
    for_each(grid.data.chunks_mut(width * channels), |row| {
        dispatch!(level(), _simd => {
            for pixel in row.chunks_exact_mut(channels) {
                for value in &mut pixel[first..] {
                    *value = log_square(*value);
                }
            }
        });
    });
}

/// Plain arithmetic, so that the compiler makes vectors of it.
#[inline(always)]
fn log_square(x: f32) -> f32 {
    // 1 + x^2 is mantissa * 2^exponent with a mantissa between the square roots of 1/2 and 2, ...
    let bits = (1.0 + x * x).to_bits();
    let shifted = bits - std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let exponent = (shifted as i32 >> 23) as f32;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff) + std::f32::consts::FRAC_1_SQRT_2.to_bits());
    // ... whose logarithm is 2 artanh((m - 1) / (m + 1)): four terms leave 3e-8
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0)));
    exponent * std::f32::consts::LN_2 + 2.0 * s * series
}

/// The product of a vector with each of many, which lie one behind the other.
pub fn products(vectors: &[f32], with: &[f32]) -> Vec<f32> {
    /// Vectors that one thread works on at a time.
    const BLOCK: usize = 256;
    let length = with.len().max(1);
    let mut products = vec![0.0; vectors.len() / length];
    let blocks = vectors.chunks(BLOCK * length).zip(products.chunks_mut(BLOCK));
    for_each(blocks, |(vectors, products)| {
        dispatch!(level(), simd => {
            for (vector, product) in vectors.chunks_exact(length).zip(products) {
                *product = dot(simd, vector, with);
            }
        });
    });
    products
}
