//! Mean and covariance of vectors that come one after the other.

use nalgebra::DMatrix;

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
