//! The statistics behind the whitening: mean and covariance of what teacher and student differ by on good images, and of
//! the teacher's features, level by level.

use destseg_kernels::Grid;

use crate::arch::prefix;
use crate::arch::weights::{Array, Weights};
use crate::config::ModelConfig;
use crate::data::moments::Moments;
use crate::{Error, Result};

/// Good images that are looked at; one has 256 feature vectors at the coarsest level already.
pub(super) const MOST_IMAGES: usize = 128;

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
                let (weight, bias) = moments.whitening().ok_or_else(|| {
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
