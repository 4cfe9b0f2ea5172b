//! A normal distribution of feature vectors, and how far an image is from it.

use destseg_kernels::Grid;

use crate::data::moments::Moments;

/// Share of the covariance that is replaced by its mean variance: a few images show few directions.
const SHRINKAGE: f64 = 0.1;

/// A normal distribution of feature vectors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gaussian {
    mean: Vec<f32>,
    /// A lower triangle, column by column: its product with a difference from the mean has covariance 1. By columns, a
    /// product is a sum of vectors, which the compiler does for several values at once.
    columns: Vec<f32>,
}

impl Gaussian {
    /// None where the vectors are not numbers.
    pub(super) fn of(moments: &Moments) -> Option<Self> {
        let n = moments.channels();
        let mut covariance = moments.covariance();
        let variance = covariance.trace() / n as f64;
        covariance *= 1.0 - SHRINKAGE;
        for channel in 0..n {
            // constant images have no variance at all
            covariance[(channel, channel)] += SHRINKAGE * variance + f64::from(f32::EPSILON);
        }
        let factor = covariance.cholesky()?;
        let mut inverse = nalgebra::DMatrix::identity(n, n);
        if !factor.l().solve_lower_triangular_mut(&mut inverse) {
            return None;
        }
        let columns: Vec<f32> = (0..n)
            .flat_map(|column| (column..n).map(move |row| (row, column)))
            .map(|place| inverse[place] as f32)
            .collect();
        let mean: Vec<f32> = moments.mean().into_iter().map(|value| value as f32).collect();
        let all_finite = mean.iter().chain(&columns).all(|value| value.is_finite());
        all_finite.then_some(Self { mean, columns })
    }

    /// From its mean and the lower triangle, row by row.
    pub(super) fn from_rows(mean: Vec<f32>, rows: &[f32]) -> Self {
        let n = mean.len();
        let places = (0..n).flat_map(|column| (column..n).map(move |row| row * (row + 1) / 2 + column));
        Self {
            columns: places.map(|place| rows[place]).collect(),
            mean,
        }
    }

    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The lower triangle, row by row.
    pub(super) fn rows(&self) -> Vec<f32> {
        let n = self.mean.len();
        // the columns before have n, n - 1, ... values
        let place =
            |row: usize, column: usize| column * n - column * column.saturating_sub(1) / 2 + row - column;
        (0..n)
            .flat_map(|row| (0..=row).map(move |column| (row, column)))
            .map(|(row, column)| self.columns[place(row, column)])
            .collect()
    }

    /// A vector's whitened difference from the mean, into `sums`.
    pub(super) fn whiten(&self, vector: &[f32], sums: &mut [f32]) {
        let n = self.mean.len();
        sums.fill(0.0);
        let mut rest = &self.columns[..];
        for (place, (value, mean)) in vector.iter().zip(&self.mean).enumerate() {
            let (column, others) = rest.split_at(n - place);
            rest = others;
            let difference = value - mean;
            for (sum, weight) in sums[place..].iter_mut().zip(column) {
                *sum += difference * weight;
            }
        }
    }

    /// The root mean square of a vector's whitened difference from the mean; `sums` is scratch memory.
    fn distance(&self, vector: &[f32], sums: &mut [f32]) -> f32 {
        self.whiten(vector, sums);
        let squares: f32 = sums.iter().map(|sum| sum * sum).sum();
        (squares / self.mean.len() as f32).sqrt()
    }

    /// The median over the cells.
    pub(super) fn median(&self, cells: &Grid) -> f32 {
        let mut sums = vec![0.0; cells.channels];
        let vectors = cells.data.chunks_exact(cells.channels.max(1));
        let mut distances: Vec<f32> = vectors.map(|vector| self.distance(vector, &mut sums)).collect();
        if distances.is_empty() {
            return 0.0;
        }
        let middle = distances.len() / 2;
        *distances.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_the_same_triangle() {
        // 1 . . / 2 3 . / 4 5 6
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let own = Gaussian::from_rows(vec![0.0; 3], &rows);
        assert_eq!(own.columns, [1.0, 2.0, 4.0, 3.0, 5.0, 6.0]);
        assert_eq!(own.rows(), rows);
        // (1, 2 + 3, 4 + 5 + 6)
        let expected = ((1.0_f32 + 25.0 + 225.0) / 3.0).sqrt();
        assert!((own.distance(&[1.0; 3], &mut [0.0; 3]) - expected).abs() < 1e-5);
    }
}
