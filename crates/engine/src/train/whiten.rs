//! The statistics behind the whitening: mean and covariance of what teacher and student differ by on good images, and of
//! the teacher's features, level by level.

use destseg_kernels::Grid;
use nalgebra::SymmetricEigen;

use crate::arch::prefix;
use crate::arch::weights::{Array, Weights};
use crate::config::ModelConfig;
use crate::data::moments::Moments;
use crate::{Error, Result};

/// Good images that are looked at; one has 256 feature vectors at the coarsest level already.
pub(super) const MOST_IMAGES: usize = 128;
/// Added to all variances, as a share of their mean: directions that never vary must not decide.
const SHRINKAGE: f64 = 1e-2;
/// Iterations after which an eigenvalue is given up; a few suffice.
const EIGEN_SWEEPS: usize = 10_000;

/// What good images have shown so far, one after the other.
#[derive(Debug)]
pub(super) struct FeatureStatistics {
    differences: [Moments; 3],
    /// Empty where the segmentation network is not shown them.
    features: Vec<Moments>,
    images: usize,
}

impl FeatureStatistics {
    /// None where the segmentation network is not shown whitened vectors.
    pub(super) fn new(config: &ModelConfig) -> Option<Self> {
        let shown = config.segmentation.as_ref()?.evidence.channel_factor();
        let moments = || config.teacher.channels().map(Moments::new);
        (shown > 1).then(|| Self {
            differences: moments(),
            features: if shown > 2 { moments().into() } else { Vec::new() },
            images: 0,
        })
    }

    /// Images that were looked at.
    pub(super) fn images(&self) -> usize {
        self.images
    }

    /// Adds the normalised features of teacher and student for a good image that is trained on.
    pub(super) fn add(&mut self, [teacher, student]: &[[Grid; 3]; 2]) {
        for (moments, level) in self.features.iter_mut().zip(teacher) {
            moments.add(level.data.iter().copied());
        }
        for ((moments, teacher), student) in self.differences.iter_mut().zip(teacher).zip(student) {
            let pairs = teacher.data.iter().zip(&student.data);
            moments.add(pairs.map(|(teacher, student)| teacher - student));
        }
        self.images += 1;
    }

    /// The maps that these images give, under the names of a file.
    ///
    /// # Errors
    /// [`Error::Training`] if the features are no numbers or never vary.
    pub(super) fn whitening(&self) -> Result<Weights> {
        let mut weights = Weights::default();
        let groups = [
            ("levels", &self.differences[..]),
            ("features", &self.features[..]),
        ];
        for (group, all) in groups {
            for (level, moments) in all.iter().enumerate() {
                let channels = moments.channels();
                let (weight, bias) = whitening(moments).ok_or_else(|| {
                    Error::Training(
                        "teacher and student have no usual difference on these images: train stage 1 longer"
                            .into(),
                    )
                })?;
                let name = format!("{}{group}.{level}", prefix::WHITENING);
                let mut insert = |part: &str, shape: &[usize], data: Vec<f32>| {
                    let shape = shape.to_vec();
                    weights.insert(format!("{name}.{part}"), Array { shape, data });
                };
                insert("weight", &[channels, channels, 1, 1], weight);
                insert("bias", &[channels], bias);
            }
        }
        Ok(weights)
    }
}

/// Weights (row by row) and bias of the map that makes mean 0 and covariance 1; `None` where the
/// vectors never vary or are no numbers. Its rows are principal directions, so each output by itself has a
/// meaning, not only the sum of their squares.
fn whitening(moments: &Moments) -> Option<(Vec<f32>, Vec<f32>)> {
    let (n, mean) = (moments.channels(), moments.mean());
    let covariance = moments.covariance();
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whitened vectors have mean 0 and, but for the shrinkage, covariance 1.
        #[test]
        fn whitened_vectors_are_white(values in proptest::collection::vec(-1.0f32..1.0, 3 * 64)) {
            let mut moments = Moments::new(3);
            moments.add(values.iter().copied());
            let (weight, bias) = whitening(&moments).expect("random numbers vary");
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
        assert!(whitening(&constant).is_none());
        let mut broken = Moments::new(2);
        broken.add([f32::NAN, 0.0].into_iter());
        assert!(whitening(&broken).is_none());
    }
}
