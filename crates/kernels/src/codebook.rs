//! How far vectors are from the nearest row of a codebook.

use crate::conv::{Conv, Shape};
use crate::pool::Pool;
use crate::threads::for_each;
use crate::{Finish, Grid};

/// Rows that vectors are compared with.
///
/// The squared distance of a vector `v` to a row `r` is `|v|^2 - 2 (v r - |r|^2 / 2)`. What is in brackets, for all rows at once,
/// is a convolution of one pixel.
#[derive(Debug, Clone)]
pub struct Codebook(Conv);

/// The row nearest to a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its place in the codebook.
    pub row: usize,
    /// Its Euclidean distance.
    pub distance: f32,
}

impl Codebook {
    /// A codebook of rows with this many values each, which lie one behind the other.
    pub fn new(rows: &[f32], channels: usize) -> Self {
        let bias = rows.chunks_exact(channels).map(|row| -0.5 * square(row));
        let bias: Vec<f32> = bias.collect();
        let shape = Shape {
            inputs: channels,
            outputs: bias.len(),
            kernel: 1,
            stride: 1,
            dilation: 1,
            padding: [0, 0],
        };
        Self(Conv::new(shape, rows, bias))
    }

    /// The nearest row of each pixel's vector, the first of equal ones.
    pub fn nearest(&self, vectors: &Grid, pool: &Pool) -> Vec<Nearest> {
        let rows = self.0.outputs();
        let mut products = pool.take(vectors.height, vectors.width, rows);
        self.0.run(vectors, (&mut products).into(), Finish::default());
        let mut nearest = vec![
            Nearest {
                row: 0,
                distance: 0.0
            };
            vectors.pixels()
        ];
        let width = vectors.width.max(1);
        let lines = vectors.data.chunks(width * vectors.channels);
        let lines = lines
            .zip(products.data.chunks(width * rows))
            .zip(nearest.chunks_mut(width));
        for_each(lines, |((vectors, products), nearest)| {
            let pixels = vectors.chunks_exact(vectors.len() / nearest.len());
            for ((vector, products), nearest) in pixels.zip(products.chunks_exact(rows)).zip(nearest) {
                let largest = products.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                *nearest = Nearest {
                    row: products.iter().position(|&value| value == largest).unwrap_or(0),
                    distance: (square(vector) - 2.0 * largest).max(0.0).sqrt(),
                };
            }
        });
        pool.give(products);
        nearest
    }
}

fn square(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [-1, 1), the same every time.
    fn noise(height: usize, width: usize, channels: usize, seed: u32) -> Grid {
        let mut grid = Grid::zeros(height, width, channels);
        let mut state = seed;
        for value in &mut grid.data {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        }
        grid
    }

    #[test]
    fn nearest_rows_are_those_of_a_plain_search() {
        for (channels, rows, height, width) in [(24, 256, 5, 7), (3, 1, 1, 1), (112, 33, 2, 16)] {
            let book = noise(1, rows, channels, 1);
            let vectors = noise(height, width, channels, 2);
            let found = Codebook::new(&book.data, channels).nearest(&vectors, &Pool::default());
            assert_eq!(found.len(), height * width);
            for (vector, found) in vectors.data.chunks_exact(channels).zip(found) {
                let distances = book.data.chunks_exact(channels).map(|row| {
                    let squares = row.iter().zip(vector).map(|(a, b)| f64::from(a - b).powi(2));
                    squares.sum::<f64>().sqrt()
                });
                let distances: Vec<f64> = distances.collect();
                let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
                assert!(
                    (f64::from(found.distance) - least).abs() < 1e-4,
                    "{found:?} {least}"
                );
                assert!(distances[found.row] - least < 1e-4, "{found:?} {least}");
            }
        }
    }

    #[test]
    fn a_row_itself_has_no_distance() {
        let book = [3.0, -4.0, 0.0, 2.0];
        let vectors = Grid {
            height: 1,
            width: 2,
            channels: 2,
            data: vec![0.0, 2.0, 3.0, -4.0],
        };
        let found = Codebook::new(&book, 2).nearest(&vectors, &Pool::default());
        assert_eq!(
            found,
            [
                Nearest {
                    row: 1,
                    distance: 0.0
                },
                Nearest {
                    row: 0,
                    distance: 0.0
                }
            ]
        );
    }
}
