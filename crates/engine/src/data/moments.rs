//! Mean and covariance of vectors that come one after the other.

use nalgebra::{DMatrix, SymmetricEigen};

/// Added to all variances, as a share of their mean, before whitening: directions that never vary must not decide.
const SHRINKAGE: f64 = 1e-2;
/// Iterations after which an eigenvalue is given up; a few suffice.
const EIGEN_SWEEPS: usize = 10_000;

/// Sums over vectors: of the vectors, and of their outer products (row by row).
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    count: f64,
    sum: Vec<f64>,
    products: Vec<f64>,
}

impl Moments {
    /// Of no vectors yet, of this many values each.
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            count: 0.0,
            sum: vec![0.0; channels],
            products: vec![0.0; channels * channels],
        }
    }

    /// Values of a vector.
    pub(crate) fn channels(&self) -> usize {
        self.sum.len()
    }

    /// Adds vectors that lie one behind the other. Those of a block are summed up in single precision, the blocks in
    /// double.
    pub(crate) fn add(&mut self, values: impl Iterator<Item = f32>) {
        const BLOCK: usize = 64;
        let channels = self.channels();
        let values: Vec<f32> = values.collect();
        for block in values.chunks(BLOCK * channels) {
            let mut sum = vec![0f32; channels];
            let mut products = vec![0f32; channels * channels];
            for vector in block.chunks_exact(channels) {
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                for (row, &value) in products.chunks_exact_mut(channels).zip(vector) {
                    row.iter_mut()
                        .zip(vector)
                        .for_each(|(sum, other)| *sum += value * other);
                }
            }
            let add = |all: &mut [f64], own: &[f32]| {
                all.iter_mut()
                    .zip(own)
                    .for_each(|(all, &own)| *all += f64::from(own));
            };
            add(&mut self.sum, &sum);
            add(&mut self.products, &products);
        }
        self.count += (values.len() / channels) as f64;
    }

    /// Adds all vectors of other moments of as many channels.
    pub(crate) fn merge(&mut self, other: &Self) {
        let add = |all: &mut [f64], own: &[f64]| all.iter_mut().zip(own).for_each(|(all, own)| *all += own);
        add(&mut self.sum, &other.sum);
        add(&mut self.products, &other.products);
        self.count += other.count;
    }

    pub(crate) fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.count).collect()
    }

    pub(crate) fn covariance(&self) -> DMatrix<f64> {
        let (n, mean) = (self.channels(), self.mean());
        DMatrix::from_fn(n, n, |row, column| {
            self.products[row * n + column] / self.count - mean[row] * mean[column]
        })
    }

    /// Weights (row by row) and bias of the map that makes mean 0 and covariance 1; `None` where the
    /// vectors never vary or are no numbers. Its rows are principal directions, so each output by itself has a
    /// meaning, not only the sum of their squares.
    pub(crate) fn whitening(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        let (n, mean) = (self.channels(), self.mean());
        let covariance = self.covariance();
        let shrinkage = SHRINKAGE * covariance.trace() / n as f64;
        let eigen = SymmetricEigen::try_new(covariance, f64::EPSILON, EIGEN_SWEEPS)?;
        let scales = eigen
            .eigenvalues
            .map(|value| (value.max(0.0) + shrinkage).sqrt().recip());
        if !scales.iter().all(|scale| scale.is_finite()) {
            return None;
        }
        // an eigenvector is a column there and a row here
        let weight: Vec<f64> = (0..n * n)
            .map(|i| eigen.eigenvectors[(i % n, i / n)] * scales[i / n])
            .collect();
        let bias = weight.chunks_exact(n).map(|row| {
            let shift: f64 = row.iter().zip(&mean).map(|(w, m)| w * m).sum();
            -shift as f32
        });
        let bias = bias.collect();
        Some((weight.iter().map(|&value| value as f32).collect(), bias))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mean_and_covariance_are_those_of_all_vectors() {
        let values: Vec<f32> = (0..200).map(|i| ((i * 37) % 23) as f32 / 23.0).collect();
        let mut all = Moments::new(2);
        all.add(values.iter().copied());
        let mut parts = Moments::new(2);
        for part in values.chunks(30) {
            let mut own = Moments::new(2);
            own.add(part.iter().copied());
            parts.merge(&own);
        }
        let column = |c: usize| values.iter().skip(c).step_by(2).map(|&value| f64::from(value));
        let mean = |c: usize| column(c).sum::<f64>() / 100.0;
        for moments in [&all, &parts] {
            for a in 0..2 {
                assert!((moments.mean()[a] - mean(a)).abs() < 1e-6);
                for b in 0..2 {
                    let products = column(a)
                        .zip(column(b))
                        .map(|(x, y)| (x - mean(a)) * (y - mean(b)));
                    let expected = products.sum::<f64>() / 100.0;
                    assert!((moments.covariance()[(a, b)] - expected).abs() < 1e-6);
                }
            }
        }
    }

    proptest! {
        /// Whitened vectors have mean 0 and, but for the shrinkage, covariance 1.
        #[test]
        fn whitened_vectors_are_white(values in proptest::collection::vec(-1.0f32..1.0, 3 * 64)) {
            let mut moments = Moments::new(3);
            moments.add(values.iter().copied());
            let (weight, bias) = moments.whitening().expect("random numbers vary");
            let white: Vec<Vec<f32>> = (0..64)
                .map(|pixel| {
                    (0..3)
                        .map(|row| bias[row] + (0..3).map(|c| weight[row * 3 + c] * values[pixel * 3 + c]).sum::<f32>())
                        .collect()
                })
                .collect();
            for a in 0..3 {
                let mean = white.iter().map(|v| v[a]).sum::<f32>() / 64.0;
                prop_assert!(mean.abs() < 1e-3, "mean {mean}");
                for b in 0..3 {
                    let product = white.iter().map(|v| v[a] * v[b]).sum::<f32>() / 64.0;
                    let expected = if a == b { 1.0 } else { 0.0 };
                    prop_assert!((product - expected).abs() < 0.06, "{a} {b} {product}");
                }
            }
        }
    }

    #[test]
    fn features_that_never_vary_are_refused() {
        let mut constant = Moments::new(2);
        constant.add([0.0; 8].into_iter());
        assert!(constant.whitening().is_none());
        let mut broken = Moments::new(2);
        broken.add([f32::NAN, 0.0].into_iter());
        assert!(broken.whitening().is_none());
    }
}
