//! The statistics behind [`Whitening`]: mean and covariance of what teacher and student differ by on
//! good images, and of the teacher's features, level by level.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use nalgebra::{DMatrix, SymmetricEigen};

use crate::config::ModelConfig;
use crate::data::image::{self, RgbImage};
use crate::model::DeSTSeg;
use crate::model::weights::read;
use crate::model::whitening::Whitening;
use crate::data::preprocess;
use crate::{Error, Result};

/// Good images that are looked at; one has 256 feature vectors at the coarsest level already.
pub(super) const MOST_IMAGES: usize = 128;
/// Added to all variances, as a share of their mean: directions that never vary must not decide.
const SHRINKAGE: f64 = 1e-2;
/// Iterations after which an eigenvalue is given up; a few suffice.
const EIGEN_SWEEPS: usize = 10_000;

/// What good images have shown so far, one after the other.
#[derive(Debug)]
pub(super) struct Survey {
    differences: [Moments; 3],
    features: [Moments; 3],
    seen: usize,
}

impl Survey {
    pub(super) fn new(config: &ModelConfig) -> Self {
        let moments = || config.teacher.channels().map(Moments::new);
        Self {
            differences: moments(),
            features: moments(),
            seen: 0,
        }
    }

    /// Images that were looked at.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Adds a good image that the model is trained on.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub(super) async fn add(
        &mut self,
        image: &RgbImage,
        model: &DeSTSeg,
        config: &ModelConfig,
        device: &Device,
    ) -> Result<()> {
        let pixels = image::unit(image);
        let pixels = [pixels.as_slice()].into_iter();
        let batch = preprocess::batch(pixels, config.input_size, config.teacher, device);
        let [teacher, student] = model.features(batch);
        let wanted = model.whitening.iter().flat_map(|own| &own.features);
        for (moments, (_, feature)) in self.features.iter_mut().zip(wanted.zip(teacher.0.clone())) {
            moments.add(feature).await?;
        }
        for (moments, difference) in self.differences.iter_mut().zip(teacher.difference(student)) {
            moments.add(difference).await?;
        }
        self.seen += 1;
        Ok(())
    }

    /// The maps that these images give.
    ///
    /// # Errors
    /// [`Error::Training`] if the features are no numbers or never vary.
    pub(super) fn fit(&self, mut whitening: Whitening, device: &Device) -> Result<Whitening> {
        let maps = whitening.levels.iter_mut().zip(&self.differences);
        for (map, moments) in maps.chain(whitening.features.iter_mut().zip(&self.features)) {
            let channels = moments.sum.len();
            let (weight, bias) = moments.whitening().ok_or_else(|| {
                Error::Training(
                    "teacher and student have no usual difference on these images: train stage 1 longer"
                        .into(),
                )
            })?;
            let weight = TensorData::new(weight, [channels, channels, 1, 1]);
            map.weight = Param::from_tensor(Tensor::from_data(weight, device));
            map.bias = Some(Param::from_tensor(Tensor::from_data(
                TensorData::new(bias, [channels]),
                device,
            )));
        }
        Ok(whitening)
    }
}

/// Sums over feature vectors: of the vectors, and of their outer products (row by row).
#[derive(Debug)]
struct Moments {
    count: f64,
    sum: Vec<f64>,
    products: Vec<f64>,
}

impl Moments {
    fn new(channels: usize) -> Self {
        Self {
            count: 0.0,
            sum: vec![0.0; channels],
            products: vec![0.0; channels * channels],
        }
    }

    /// Adds all vectors of `[1, channels, height, width]`.
    async fn add(&mut self, vectors: Tensor<4>) -> Result<()> {
        let [_, channels, height, width] = vectors.dims();
        let flat: Tensor<2> = vectors.reshape([channels, height * width]);
        let sum: Tensor<2> = flat.clone().sum_dim(1);
        let products = flat.clone().matmul(flat.transpose());
        let values = read(Tensor::cat(vec![sum, products], 1)).await?;
        for (channel, row) in values.chunks_exact(channels + 1).enumerate() {
            self.sum[channel] += f64::from(row[0]);
            let own = &mut self.products[channel * channels..][..channels];
            own.iter_mut()
                .zip(&row[1..])
                .for_each(|(all, &new)| *all += f64::from(new));
        }
        self.count += (height * width) as f64;
        Ok(())
    }

    /// Weights (row by row) and bias of the map that makes mean 0 and covariance 1; `None` where the
    /// vectors never vary or are no numbers. Its rows are principal directions: the squares of single
    /// outputs, not only their sum, say something.
    fn whitening(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        let n = self.sum.len();
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / self.count).collect();
        let covariance = DMatrix::from_fn(n, n, |row, column| {
            self.products[row * n + column] / self.count - mean[row] * mean[column]
        });
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

    proptest! {
        /// Whitened vectors have mean 0 and, but for the shrinkage, covariance 1.
        #[test]
        fn whitened_vectors_are_white(values in proptest::collection::vec(-1.0f32..1.0, 3 * 64)) {
            let device = Device::flex();
            let vectors = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, 3, 8, 8]);
            let mut moments = Moments::new(3);
            pollster::block_on(moments.add(vectors)).expect("read");
            let (weight, bias) = moments.whitening().expect("random numbers vary");
            let white: Vec<Vec<f32>> = (0..64)
                .map(|pixel| {
                    (0..3)
                        .map(|row| bias[row] + (0..3).map(|c| weight[row * 3 + c] * values[c * 64 + pixel]).sum::<f32>())
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
        assert!(
            Moments {
                count: 4.0,
                ..Moments::new(2)
            }
            .whitening()
            .is_none()
        );
        let mut broken = Moments {
            count: 4.0,
            ..Moments::new(2)
        };
        broken.products[0] = f64::NAN;
        assert!(broken.whitening().is_none());
    }
}
