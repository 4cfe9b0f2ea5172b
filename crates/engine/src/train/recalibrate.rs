//! Thresholds and record of a finished model, measured anew on good images. The networks stay as they are, so that is the same
//! for every method.

use std::sync::Arc;

use super::calibrate::calibrate;
use super::hold_out;
use crate::Result;
use crate::config::{AugmentConfig, SynthesisConfig};
use crate::data::image::RgbImage;
use crate::inspect::{Codebook, Detector, Familiarity, Learned};
use crate::synthesis::{Synthesiser, TextureSource};
use crate::verdict::calibration::Calibration;

/// How thresholds are measured, as the training of a model did it.
#[derive(Debug, Clone)]
pub struct Measuring {
    /// Synthetic defects that thresholds are found with.
    pub synthesis: SynthesisConfig,
    /// Variation of good images.
    pub augment: AugmentConfig,
    /// Share of the good images that thresholds are measured on.
    pub held_out: f64,
    /// Seed of every random number.
    pub seed: u64,
}

/// A model and the good images that it is measured on.
#[derive(Debug)]
pub struct Recalibration {
    detector: Detector,
    /// Those that are not held out, then those that are.
    images: Vec<Arc<RgbImage>>,
    held_out: usize,
    indices: Vec<usize>,
    synthesiser: Synthesiser,
    seed: u64,
    views: f32,
}

impl Recalibration {
    /// Prepares to measure a model on good `images` of its input's size, each of so many `views` of a larger one on average.
    pub fn new(
        mut detector: Detector,
        measuring: Measuring,
        textures: TextureSource,
        images: &[Arc<RgbImage>],
        views: f32,
    ) -> Self {
        // what is remembered of corrected images belongs to the old thresholds
        detector.set_calibration(None);
        let mut synthesiser = Synthesiser::new(measuring.synthesis, measuring.augment, textures);
        synthesiser.follow_light(images.iter().map(AsRef::as_ref));
        let mut indices: Vec<usize> = (0..images.len()).collect();
        let held_out = hold_out(&mut indices, measuring.held_out, measuring.seed);
        let count = held_out.len();
        indices.extend(held_out);
        Self {
            images: indices.iter().map(|&index| Arc::clone(&images[index])).collect(),
            held_out: count,
            indices,
            detector,
            synthesiser,
            seed: measuring.seed,
            views,
        }
    }

    /// Measures on all images, not only on those held out.
    pub fn hold_out_all(&mut self) {
        let rest = self.images.len() - self.held_out;
        self.images.rotate_left(rest);
        self.indices.rotate_left(rest);
        self.held_out = self.images.len();
    }

    /// Good images that thresholds are measured on.
    pub fn held_out(&self) -> usize {
        self.held_out
    }

    /// All good images: those that are not held out, then those that are.
    pub fn good_images(&self) -> impl ExactSizeIterator<Item = &RgbImage> {
        self.images.iter().map(AsRef::as_ref)
    }

    /// For each of [`Self::good_images`], its index among the images given.
    pub fn good_indices(&self) -> &[usize] {
        &self.indices
    }

    /// What the features of the good images are like; none if they are too few.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost.
    pub async fn familiarity(&self) -> Result<Option<Familiarity>> {
        Ok(Learned::of(&self.detector, self.good_images(), 0)
            .await?
            .familiarity)
    }

    /// Learns the codebook anew from the good images that are not held out, and measures with it; none if they are too few.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost.
    pub async fn learn_codebook(mut self) -> Result<(Self, Option<Codebook>)> {
        let others = self.images.len() - self.held_out;
        let learned = Learned::of(&self.detector, self.good_images(), others).await?;
        self.detector = self.detector.with_codebook(learned.codebook.clone());
        Ok((self, learned.codebook))
    }

    /// Thresholds from the held-out images; none if none were held out.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost.
    pub async fn calibration(&self) -> Result<Option<Calibration>> {
        let held_out = &self.images[self.images.len() - self.held_out..];
        if held_out.is_empty() {
            return Ok(None);
        }
        calibrate(
            &self.detector,
            held_out,
            &[],
            &self.synthesiser,
            self.seed,
            self.views,
        )
        .await
        .map(Some)
    }
}
