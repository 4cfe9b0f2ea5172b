//! Further training of the segmentation network on images whose verdicts were corrected, beside samples as before.

use std::sync::Arc;

use rand_pcg::Pcg64;

use super::Trainer;
use crate::Result;
use crate::data::image::{self, RgbImage};
use crate::data::map::AnomalyMap;
use crate::synthesis::Sample;

/// Steps that a handful of corrections needs.
pub const STEPS: usize = 60;
/// The learning rate: little is to change.
pub const LEARNING_RATE: f64 = 5e-4;
/// Corrected images of a batch, as a share of it; the others are replayed samples.
const SHARE: f64 = 0.375;
/// The share of the highest map value from which on a pixel of a defective image without mask belongs to the defect, and
/// the largest share of the image that it may cover.
const SUSPECT: (f32, f32) = (0.5, 0.03);

/// An image whose verdict was corrected, at the model's input size.
#[derive(Debug, Clone)]
pub struct CorrectedImage {
    /// The image.
    pub image: Arc<RgbImage>,
    /// 1 where it is defective, row by row; all 0 for a good image.
    pub mask: Vec<u8>,
}

/// Where a defect probably is in an image that shows one: the highest values of the model's own map, of the input's size.
pub fn suspected(map: &AnomalyMap) -> Vec<u8> {
    let mut values = map.values().to_vec();
    values.sort_by(|a, b| b.total_cmp(a));
    let highest = values.first().copied().unwrap_or_default();
    let most = (SUSPECT.1 * values.len() as f32) as usize;
    let limit = values
        .get(most)
        .copied()
        .unwrap_or(highest)
        .max(SUSPECT.0 * highest);
    map.values()
        .iter()
        .map(|&value| u8::from(value >= limit))
        .collect()
}

impl Trainer {
    /// Trains the segmentation network on these images, too. Student and whitening stay as they are, so the settings must
    /// have no steps of stage 1 and the weights come from a trained model.
    pub fn set_corrected(&mut self, corrected: Vec<CorrectedImage>) {
        self.statistics = None;
        self.corrected = corrected;
    }

    /// The corrected image that takes a sample's place in a batch, if one does.
    pub(super) fn corrected_sample(&self, place: usize, rng: &mut Pcg64) -> Option<Result<Sample>> {
        let share = ((self.config.batch as f64 * SHARE) as usize).max(1);
        if self.corrected.is_empty() || place >= share {
            return None;
        }
        let own = &self.corrected[(self.step * share + place) % self.corrected.len()];
        let clean = self.synthesiser.in_place(&own.image, rng);
        Some(Ok(Sample {
            corrupted: image::to_f32(&clean),
            clean,
            mask: own.mask.clone(),
            anomalies: Vec::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suspected_place_is_the_highest_and_not_large() {
        let mut values = vec![0.01; 100 * 100];
        values[510..520].fill(0.3);
        let map = AnomalyMap::new(100, 100, values).expect("sizes agree");
        let mask = suspected(&map);
        assert_eq!(mask.iter().map(|&own| usize::from(own)).sum::<usize>(), 10);
        let plain = AnomalyMap::new(100, 100, (0..10_000).map(|place| place as f32).collect());
        let mask = suspected(&plain.expect("sizes agree"));
        assert_eq!(mask.iter().map(|&own| usize::from(own)).sum::<usize>(), 301);
    }
}
