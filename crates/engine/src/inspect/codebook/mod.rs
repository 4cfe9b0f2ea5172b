//! A codebook of good features: in a few vectors, what the teacher sees of good images. Where an image has features far from
//! all of them, it may be defective.
//!
//! The segmentation network knows defects from painted ones, the codebook knows good parts alone, so they miss different
//! defects. What the codebook says is added to the logits of the segmentation network's map, and only where it is more than good
//! images show. A small memory bank (Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022) of
//! means of whitened features. Not in the paper; `docs/notebook/evidence.md` has the measurements.

mod learn;
mod means;

use destseg_kernels::conv::{Conv, Shape};
use destseg_kernels::nearest::Rows;
use destseg_kernels::{Finish, Grid};
use serde::{Deserialize, Serialize};

use crate::arch::weights::{Array, Weights};
use crate::config::TeacherKind;
use crate::data::map::AnomalyMap;
use crate::{Error, Result};

/// Prefix of its tensors in a file.
pub const PREFIX: &str = "codebook.";
pub(crate) const WEIGHT: &str = "weight";
pub(crate) const BIAS: &str = "bias";
pub(crate) const ROWS: &str = "rows";

/// Standard deviations above the good images' mean from which on a distance says something.
pub(crate) const FREE: f32 = 1.0;
/// What each further standard deviation adds to the logit, at the middle and the coarse level. The network's own logits of good
/// images have a standard deviation of about 1.
pub(crate) const GAINS: [f32; 2] = [0.8, 0.4];
/// The most that it adds: features around a defect are unlike good ones, too, and must not outrank a faint defect that the
/// network sees.
pub(crate) const MOST: f32 = 1.5;
/// Smaller distances count as this one.
pub(crate) const LEAST: f32 = 1e-6;

/// Good features of the teacher's middle and coarse level.
#[derive(Debug, Clone)]
pub struct Codebook {
    levels: [Level; 2],
}

/// The part of it that lies in the header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodebookRecord {
    /// Of the middle and the coarse level.
    pub levels: [UsualDistance; 2],
}

/// How far good images are from a codebook that was made without them: of each the mean of its largest distances, as a natural
/// logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UsualDistance {
    /// Mean over the good images.
    pub mean: f32,
    /// Standard deviation over them.
    pub deviation: f32,
}

/// One level's vectors.
#[derive(Debug, Clone)]
struct Level {
    whitening: Whitening,
    rows: Rows,
    usual: UsualDistance,
}

/// A linear map after which good features have mean 0 and covariance 1.
#[derive(Debug, Clone)]
struct Whitening {
    /// Row by row.
    weight: Vec<f32>,
    bias: Vec<f32>,
    conv: Conv,
}

impl Whitening {
    fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        let channels = bias.len();
        Self {
            conv: Conv::new(Shape::pointwise(channels, channels), &weight, bias.clone()),
            weight,
            bias,
        }
    }

    fn run(&self, features: &Grid) -> Grid {
        let mut white = Grid::zeros(features.height, features.width, features.channels);
        self.conv.run(features, (&mut white).into(), Finish::default());
        white
    }
}

impl Level {
    /// What this level adds to the logit of each place, 0 or more: so much for each standard deviation.
    fn shifts(&self, features: &Grid, gain: f32) -> Vec<f32> {
        let nearest = self.rows.nearest(&self.whitening.run(features));
        let shift = |(_, distance): (usize, f32)| {
            let apart = (libm::logf(distance.max(LEAST)) - self.usual.mean) / self.usual.deviation;
            gain * (apart - FREE).max(0.0)
        };
        nearest.into_iter().map(shift).collect()
    }
}

impl Codebook {
    /// What it adds to the logits of an image's map, at the middle level's size: from 0 to [`MOST`]. None for features that are not
    /// numbers.
    pub(crate) fn shifts(&self, [middle, coarse]: &[Grid; 2]) -> Option<AnomalyMap> {
        let [own, below] = &self.levels;
        let mut shifts = own.shifts(middle, GAINS[0]);
        let wide = AnomalyMap::new(coarse.width, coarse.height, below.shifts(coarse, GAINS[1]))?;
        let wide = wide.resize(middle.width, middle.height);
        shifts
            .iter_mut()
            .zip(wide.values())
            .for_each(|(shift, wide)| *shift = (*shift + wide).min(MOST));
        AnomalyMap::new(middle.width, middle.height, shifts)
    }

    /// The record in a file's header.
    pub fn record(&self) -> CodebookRecord {
        CodebookRecord {
            levels: self.levels.each_ref().map(|level| level.usual),
        }
    }

    /// Its tensors, under the names of a file.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        for (number, level) in self.levels.iter().enumerate() {
            let parts = [
                (WEIGHT, level.whitening.weight.clone()),
                (BIAS, level.whitening.bias.clone()),
                (ROWS, level.rows.values().to_vec()),
            ];
            for (name, data) in parts {
                // one long row: eight bits are too few for it
                let array = Array {
                    shape: vec![data.len()],
                    data,
                };
                weights.insert(format!("{PREFIX}{number}.{name}"), array);
            }
        }
        weights
    }

    /// From a file's header and tensors.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing or misshapen tensor, and for distances that cannot be.
    pub fn from_file(record: &CodebookRecord, weights: &Weights, teacher: TeacherKind) -> Result<Self> {
        let [_, middle, coarse] = teacher.channels();
        let level = |number: usize, channels: usize| {
            let usual = record.levels[number];
            if !(usual.mean.is_finite() && usual.deviation.is_finite() && usual.deviation > 0.0) {
                return Err(Error::Model(
                    "the distances of the model's codebook are not numbers above 0: take another copy of the file".into(),
                ));
            }
            let read = |name: &str, fits: &dyn Fn(usize) -> bool| {
                let name = format!("{PREFIX}{number}.{name}");
                let own = weights.get(&name)?;
                match own.shape[..] {
                    [length] if fits(length) => Ok(own.data.clone()),
                    _ => Err(Error::Model(format!(
                        "the tensor `{name}` has shape {:?}, which does not fit {channels} channels: take another copy of \
                         the file",
                        own.shape
                    ))),
                }
            };
            let weight = read(WEIGHT, &|length| length == channels * channels)?;
            let bias = read(BIAS, &|length| length == channels)?;
            let rows = read(ROWS, &|length| length > 0 && length.is_multiple_of(channels))?;
            Ok(Level {
                whitening: Whitening::new(weight, bias),
                rows: Rows::new(rows, channels),
                usual,
            })
        };
        Ok(Self {
            levels: [level(0, middle)?, level(1, coarse)?],
        })
    }
}

impl PartialEq for Codebook {
    fn eq(&self, other: &Self) -> bool {
        self.record() == other.record() && self.weights() == other.weights()
    }
}

#[cfg(test)]
mod tests;
