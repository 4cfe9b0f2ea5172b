//! The search for the nearest remembered patches, on Burn.

use burn::nn::PaddingConfig2d;
use burn::nn::pool::AvgPool2dConfig;
use burn::tensor::{Device, Tensor, TensorData};

use super::gaussian;
use crate::config::MemoryConfig;
use crate::data::map::AnomalyMap;
use crate::model::network::features::Features;
use crate::model::network::teacher::Teacher;
use crate::model::network::upsample::bilinear;
use crate::model::weights::{Array, read};
use crate::{Error, Result};

/// Remembered patches that are compared at once: bounds the matrix of distances.
const CHUNK: usize = 4096;
/// Deviation of the smoothing of maps in pixels of the input.
const SIGMA: f32 = 4.0;

/// A patch for every place of the teacher's middle level: the features around it (the mean of 3 x 3,
/// with zeros beyond the border), and those of the coarse level there. `[images * height * width,
/// dimensions]`, image by image, row by row.
pub fn patches(Features([_, middle, coarse]): Features) -> Tensor<2> {
    let pool = AvgPool2dConfig::new([3, 3])
        .with_strides([1, 1])
        .with_padding(PaddingConfig2d::Same)
        .init();
    let (middle, coarse) = (pool.forward(middle), pool.forward(coarse));
    let [images, _, height, width] = middle.dims();
    let both = Tensor::cat(vec![middle, bilinear(coarse, [height, width])], 1);
    let [_, dimensions, ..] = both.dims();
    both.permute([0, 2, 3, 1])
        .reshape([images * height * width, dimensions])
}

/// The teacher and the remembered patches.
#[derive(Debug)]
pub struct PatchCore {
    teacher: Teacher,
    /// Row by row.
    bank: Vec<f32>,
    dimensions: usize,
    chunks: Vec<Chunk>,
    neighbours: usize,
    side: usize,
}

/// A part of the memory, laid out for matrix products.
#[derive(Debug)]
struct Chunk {
    /// `[dimensions, patches]`.
    columns: Tensor<2>,
    /// Half of each patch's squared length, `[1, patches]`.
    halves: Tensor<2>,
}

/// What the memory says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Strangeness {
    /// Distance of each patch to the nearest remembered one.
    pub patches: AnomalyMap,
    /// The image score.
    pub score: f32,
}

impl PatchCore {
    /// A memory of these patches (`[patches, dimensions]`).
    ///
    /// # Errors
    /// [`Error::Model`] for an empty or misshapen bank.
    pub fn new(config: &MemoryConfig, teacher: Teacher, bank: Array, device: &Device) -> Result<Self> {
        let dimensions = config.dimensions();
        let [rows, width] = bank.shape[..] else {
            return Err(misshapen(&bank, dimensions));
        };
        if rows == 0 || width != dimensions || bank.data.len() != rows * width {
            return Err(misshapen(&bank, dimensions));
        }
        let chunks = bank
            .data
            .chunks(CHUNK * dimensions)
            .map(|values| {
                let rows = values.len() / dimensions;
                let patches: Tensor<2> =
                    Tensor::from_data(TensorData::new(values.to_vec(), [rows, dimensions]), device);
                Chunk {
                    halves: patches.clone().square().sum_dim(1).mul_scalar(0.5).transpose(),
                    columns: patches.transpose(),
                }
            })
            .collect();
        Ok(Self {
            teacher,
            bank: bank.data,
            dimensions,
            chunks,
            neighbours: config.neighbours,
            side: config.input_size,
        })
    }

    /// How many patches are remembered.
    pub fn len(&self) -> usize {
        self.bank.len() / self.dimensions
    }

    /// Whether nothing is remembered; never, as [`Self::new`] refuses that.
    pub fn is_empty(&self) -> bool {
        self.bank.is_empty()
    }

    /// Looks at one image `[1, 3, side, side]`, already normalised for the teacher.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn look(&self, image: Tensor<4>) -> Result<Strangeness> {
        let features = self.teacher.forward(image);
        let [_, _, height, width] = features.0[1].dims();
        let patches = patches(features);
        let count = height * width;
        // half the squared distance without what is the same for all neighbours
        let mut parts = vec![patches.clone().flatten::<1>(0, 1)];
        for Chunk { columns, halves } in &self.chunks {
            let (nearest, which) =
                (halves.clone() - patches.clone().matmul(columns.clone())).min_dim_with_indices(1);
            parts.push(nearest.flatten(0, 1));
            parts.push(which.float().flatten(0, 1));
        }
        let values = read(Tensor::cat(parts, 0)).await?;
        let (patches, found) = values.split_at(count * self.dimensions);
        let mut nearest = vec![(f32::INFINITY, 0); count];
        for (chunk, found) in found.chunks_exact(2 * count).enumerate() {
            let (distances, which) = found.split_at(count);
            for ((best, distance), which) in nearest.iter_mut().zip(distances).zip(which) {
                if *distance < best.0 {
                    *best = (*distance, chunk * CHUNK + *which as usize);
                }
            }
        }
        // differences of large products lose digits: measured again where it counts
        let distances: Vec<f32> = patches
            .chunks_exact(self.dimensions)
            .zip(&nearest)
            .map(|(patch, &(_, row))| distance(patch, self.row(row)))
            .collect();
        let worst = (0..count).max_by(|&a, &b| distances[a].total_cmp(&distances[b]));
        let score = worst.map_or(0.0, |worst| {
            let patch = &patches[worst * self.dimensions..][..self.dimensions];
            self.weight(patch, nearest[worst].1) * distances[worst]
        });
        let patches = AnomalyMap::new(width, height, distances).ok_or_else(|| {
            Error::Device("the device returned values that are not numbers: try the other backend".into())
        })?;
        Ok(Strangeness { patches, score })
    }

    /// The map of the whole input: patches upsampled bilinearly, then smoothed.
    pub fn smooth(&self, patches: &AnomalyMap) -> AnomalyMap {
        gaussian(&patches.resize(self.side, self.side), SIGMA)
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.bank[row * self.dimensions..][..self.dimensions]
    }

    /// What the distance of a patch counts in the image score, in [0, 1].
    pub fn weight_of(&self, patch: &[f32]) -> f32 {
        let distances = self
            .bank
            .chunks_exact(self.dimensions)
            .map(|row| distance(patch, row));
        let nearest = distances.zip(0..).min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map_or(1.0, |(_, row)| self.weight(patch, row))
    }

    /// What a patch's distance counts: less where its nearest remembered patch is a usual one, near
    /// which there are others (equation 7 of the paper).
    fn weight(&self, patch: &[f32], nearest: usize) -> f32 {
        if self.neighbours <= 1 {
            return 1.0;
        }
        let neighbours = self.neighbourhood(nearest);
        1.0 - soften(neighbours.map(|row| distance(patch, self.row(row))))
    }

    /// The rows of the memory nearest to one of them, itself first.
    fn neighbourhood(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let own = self.row(row);
        let mut rows: Vec<(f32, usize)> = self
            .bank
            .chunks_exact(self.dimensions)
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

/// The softmax of the first of these values, without overflow.
fn soften(values: impl Iterator<Item = f32>) -> f32 {
    let values: Vec<f32> = values.collect();
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = values.iter().map(|value| (value - largest).exp()).sum();
    values.first().map_or(0.0, |first| (first - largest).exp() / sum)
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    squares.sqrt() as f32
}

fn misshapen(bank: &Array, dimensions: usize) -> Error {
    Error::Model(format!(
        "the memory has shape {:?} instead of [patches, {dimensions}]: build it again",
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
