//! The search for the nearest patches of the memory bank.

use destseg_kernels::Grid;
use destseg_kernels::nearest::{Rows, distance};
use destseg_kernels::resample::{Onto, bilinear};

use super::{BankConfig, gaussian};
use crate::arch::weights::Array;
use crate::backend::cpu::{CpuTeacher, unit_vectors};
use crate::data::map::AnomalyMap;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};
use crate::{Error, Result};

/// Standard deviation of the smoothing of maps in pixels of the input.
const SIGMA: f32 = 4.0;

/// A patch for every place of the teacher's middle level: the features around it (the mean of 3 x 3, with zeros beyond
/// the border), and those of the coarse level there. One pixel of the result is one patch.
pub fn patches([_, middle, coarse]: &[Grid; 3]) -> Grid {
    let (own, wide) = (mean_3x3(middle), mean_3x3(coarse));
    let mut patches = Grid::zeros(middle.height, middle.width, middle.channels + coarse.channels);
    let all = patches.channels;
    let pixels = patches
        .data
        .chunks_exact_mut(all)
        .zip(own.data.chunks_exact(own.channels));
    pixels.for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
    bilinear(&wide, patches.from_channel(middle.channels), Onto::Nothing);
    patches
}

/// The map of this width and height: patches upsampled bilinearly, then smoothed.
pub(crate) fn smooth(patches: &AnomalyMap, [width, height]: [usize; 2]) -> AnomalyMap {
    gaussian(&patches.resize(width, height), SIGMA)
}

/// The mean of each 3x3 neighbourhood, padded with zeros.
fn mean_3x3(grid: &Grid) -> Grid {
    let (height, width, channels) = (grid.height, grid.width, grid.channels);
    let mut out = Grid::zeros(height, width, channels);
    for (i, pixel) in out.data.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (i / width, i % width);
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for column in x.saturating_sub(1)..(x + 2).min(width) {
                let values = &grid.data[(row * width + column) * channels..][..channels];
                pixel
                    .iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += value);
            }
        }
        pixel.iter_mut().for_each(|sum| *sum /= 9.0);
    }
    out
}

/// The teacher and the memory bank.
#[derive(Debug)]
pub struct PatchCore {
    teacher: CpuTeacher,
    bank: Rows,
    neighbours: usize,
    side: usize,
}

/// What the bank says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchScores {
    /// Distance of each patch to the nearest one of the bank.
    pub patches: AnomalyMap,
    /// The image score.
    pub score: f32,
}

impl PatchCore {
    /// A bank of these patches (`[patches, dimensions]`).
    ///
    /// # Errors
    /// [`Error::Model`] for an empty or misshapen bank.
    pub fn new(config: &BankConfig, teacher: CpuTeacher, bank: Array) -> Result<Self> {
        let dimensions = config.dimensions();
        let [rows, width] = bank.shape[..] else {
            return Err(misshapen(&bank, dimensions));
        };
        if rows == 0 || width != dimensions || bank.data.len() != rows * width {
            return Err(misshapen(&bank, dimensions));
        }
        Ok(Self {
            teacher,
            bank: Rows::new(bank.data, dimensions),
            neighbours: config.neighbours,
            side: config.input_size,
        })
    }

    /// How many patches the bank has.
    pub fn len(&self) -> usize {
        self.bank.len()
    }

    /// Whether the bank is empty; never, as [`Self::new`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.bank.is_empty()
    }

    /// The scores of one image that is normalised for the teacher.
    ///
    /// # Errors
    /// [`Error::Device`] if the features are no numbers.
    pub fn score(&self, image: &Grid) -> Result<PatchScores> {
        self.score_features(&self.teacher.run(image))
    }

    fn score_features(&self, features: &[Grid; 3]) -> Result<PatchScores> {
        let patches = patches(features);
        let nearest = self.bank.nearest(&patches);
        let distances: Vec<f32> = nearest.iter().map(|&(_, distance)| distance).collect();
        let worst = (0..distances.len()).max_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        let score = worst.map_or(0.0, |worst| {
            let patch = &patches.data[worst * patches.channels..][..patches.channels];
            self.weight(patch, nearest[worst].0) * distances[worst]
        });
        let patches = AnomalyMap::new(patches.width, patches.height, distances).ok_or_else(not_numbers)?;
        Ok(PatchScores { patches, score })
    }

    /// The map of the whole input.
    pub fn smooth(&self, patches: &AnomalyMap) -> AnomalyMap {
        smooth(patches, [self.side; 2])
    }

    /// What the distance of a patch counts in the image score, in [0, 1].
    pub fn weight_of(&self, patch: &[f32]) -> f32 {
        let distances = self.bank.iter().map(|row| distance(patch, row));
        let nearest = distances.zip(0..).min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map_or(1.0, |(_, row)| self.weight(patch, row))
    }

    /// What a patch's distance counts: less where its nearest patch of the bank is a usual one, near
    /// which there are others (equation 7 of the paper).
    fn weight(&self, patch: &[f32], nearest: usize) -> f32 {
        if self.neighbours <= 1 {
            return 1.0;
        }
        let neighbours = self.neighbourhood(nearest);
        1.0 - soften(neighbours.map(|row| distance(patch, self.bank.row(row))))
    }

    /// The rows of the bank nearest to one of them, itself first.
    fn neighbourhood(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let own = self.bank.row(row);
        let mut rows: Vec<(f32, usize)> = self
            .bank
            .iter()
            .map(|other| distance(own, other))
            .zip(0..)
            .collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        // of equal patches the one that was found is the first
        std::iter::once(row).chain(
            rows.into_iter()
                .map(|(_, other)| other)
                .filter(move |&other| other != row)
                .take(self.neighbours - 1),
        )
    }
}

impl Network for PatchCore {
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps> {
        Box::pin(async {
            let features = self.teacher.run(image);
            let found = self.score_features(&features)?;
            Ok(ViewMaps {
                segmentation: None,
                dest: self.smooth(&found.patches),
                levels: [AnomalyMap::empty(), AnomalyMap::empty(), AnomalyMap::empty()],
                score: Some(found.score),
                features: unit_vectors(&features),
            })
        })
    }

    fn features<'a>(&'a self, _: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]> {
        Box::pin(async {
            Err(Error::Model(
                "PatchCore has no student to look into: choose a trained model".into(),
            ))
        })
    }

    fn scores_views(&self) -> bool {
        true
    }
}

/// The softmax of the first of these values, without overflow.
fn soften(values: impl Iterator<Item = f32>) -> f32 {
    let values: Vec<f32> = values.collect();
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = values.iter().map(|value| (value - largest).exp()).sum();
    values.first().map_or(0.0, |first| (first - largest).exp() / sum)
}

fn misshapen(bank: &Array, dimensions: usize) -> Error {
    Error::Model(format!(
        "the memory bank has shape {:?} instead of [patches, {dimensions}]: build it again",
        bank.shape
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_softmax_does_not_overflow() {
        assert!((soften([200.0, 200.0].into_iter()) - 0.5).abs() < 1e-6);
        assert!(soften([0.0, 500.0].into_iter()) < 1e-6);
    }
}
