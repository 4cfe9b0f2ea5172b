//! The nearest of many rows for each of many vectors.

use crate::compare::products;
use crate::conv::{Conv, Shape};
use crate::{Finish, Grid};

/// Rows that are compared at once: bounds the matrix of products.
const CHUNK: usize = 1024;

/// Vectors of one length to search in.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One behind the other.
    values: Vec<f32>,
    length: usize,
    /// Parts of them as 1x1 convolutions: the product with each row, less half the row's squared length.
    chunks: Vec<Conv>,
}

impl Rows {
    /// Rows of `length` values, one behind the other.
    pub fn new(values: Vec<f32>, length: usize) -> Self {
        let chunk = |values: &[f32]| {
            let half = |row: &[f32]| -0.5 * products(row, row)[0];
            let shape = Shape::pointwise(length, values.len() / length);
            Conv::new(shape, values, values.chunks_exact(length).map(half).collect())
        };
        Self {
            chunks: values.chunks(CHUNK * length).map(chunk).collect(),
            values,
            length,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All rows, one behind the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One of them.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.length..][..self.length]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.length)
    }

    /// For each pixel, which has as many channels as a row values, the nearest row and its distance. Of
    /// rows that rounding cannot tell apart, it is one of them.
    pub fn nearest(&self, vectors: &Grid) -> Vec<(usize, f32)> {
        let mut nearest = vec![(f32::NEG_INFINITY, 0); vectors.pixels()];
        for (number, chunk) in self.chunks.iter().enumerate() {
            // half the squared distance without what is the same for all, negative
            let mut closeness = Grid::zeros(vectors.height, vectors.width, chunk.outputs());
            chunk.run(vectors, (&mut closeness).into(), Finish::default());
            let pixels = closeness.data.chunks_exact(chunk.outputs());
            for (best, pixel) in nearest.iter_mut().zip(pixels) {
                for (at, &value) in pixel.iter().enumerate() {
                    if value > best.0 {
                        *best = (value, number * CHUNK + at);
                    }
                }
            }
        }
        // differences of large products lose digits, so the nearest distance is computed again
        let pixels = vectors.data.chunks_exact(self.length).zip(nearest);
        pixels
            .map(|(vector, (_, row))| (row, distance(vector, self.row(row))))
            .collect()
    }
}

/// The Euclidean distance of two vectors.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    squares.sqrt() as f32
}
