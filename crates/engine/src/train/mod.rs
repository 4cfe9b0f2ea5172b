//! Training: dataset -> synthesis -> stage 1 (student) -> stage 2 (segmentation) -> calibration.
//!
//! [`Trainer::step`] does one optimiser step, so that a command line can draw a progress bar and a
//! page can stay responsive around the same code.

pub(crate) mod calibrate;
mod checkpoint;
mod corrected;
pub mod footprint;
mod learning_rate;
mod networks;
mod recalibrate;
mod sampler;
mod steps;
mod whiten;

use std::sync::Arc;

use crate::arch::weights::Weights;
use crate::arch::{self, init, prefix};
use crate::backend::device::Device;
use crate::backend::optimiser::Rule;
use crate::config::{Distance, FEWEST_IMAGES, ModelConfig, TrainConfig};
use crate::data::image::{self, RgbImage};
use crate::error::count;
use crate::files::storage::Precision;
use crate::inspect::{Codebook, Detector, Familiarity, FamiliarityRecord, Learned};
use crate::order;
use crate::synthesis::{Sample, Synthesiser};
use crate::verdict::calibration::Calibration;
use crate::{Error, Result};

pub use checkpoint::model_so_far;
pub use corrected::{CorrectedImage, LEARNING_RATE, STEPS, suspected};
use networks::Networks;
pub use recalibrate::{Measuring, Recalibration};
use sampler::Sampler;
pub use sampler::draw_subset;
pub(crate) use sampler::hold_out;
#[cfg(not(target_family = "wasm"))]
pub(crate) use sampler::item_rng;
pub use steps::{Batch, Stage, StepReport};
use whiten::FeatureStatistics;

/// A training run.
#[derive(Debug)]
pub struct Trainer {
    model_config: ModelConfig,
    config: TrainConfig,
    networks: Networks,
    synthesiser: Arc<Synthesiser>,
    images: Vec<Arc<RgbImage>>,
    held_out: Vec<Arc<RgbImage>>,
    /// For each image trained on, then for each held out, its index among the images given.
    indices: Vec<usize>,
    sampler: Sampler,
    /// Views of the network that an image is shown in, on average.
    views: f32,
    step: usize,
    /// The best student so far, where one is chosen.
    best: Option<Best>,
    /// Statistics of the good images' features, until stage 2 begins.
    statistics: Option<FeatureStatistics>,
    /// Images whose verdicts were corrected.
    corrected: Vec<CorrectedImage>,
    /// How the file will hold the weights, unless [`Self::finish`] is told.
    precision: Precision,
    /// That of the finished model.
    codebook: Option<Codebook>,
}

/// What a training gives.
#[derive(Debug)]
pub struct Trained {
    /// All weights that were trained or estimated, under the names of a file.
    pub weights: Weights,
    /// Thresholds, if images were held out.
    pub calibration: Option<Calibration>,
    /// The record of the good images' features, if there were enough.
    pub familiarity: Option<Familiarity>,
    /// The codebook of good features, if the settings have one and there were enough images.
    pub codebook: Option<Codebook>,
}

impl Trained {
    /// What to know about the good images, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let record = self.familiarity.as_ref().map(Familiarity::record);
        record
            .and_then(FamiliarityRecord::kinds_note)
            .into_iter()
            .collect()
    }
}

/// A student whose mean map of the held-out good images was the lowest so far.
#[derive(Debug)]
struct Best {
    mean: f32,
    /// Under the names of a file.
    student: Weights,
}

/// Refuses so few good images that nothing can be trained on them.
///
/// # Errors
/// [`Error::Dataset`].
pub(crate) fn check_enough(images: usize) -> Result<()> {
    if images < FEWEST_IMAGES {
        return Err(Error::Dataset(format!(
            "{} too few to train on: give at least {FEWEST_IMAGES}",
            count(images, "good image is", "good images are")
        )));
    }
    Ok(())
}

impl Trainer {
    /// Prepares a run on good `images` of the model's input size. `device` is plain (without
    /// autodiff); `synthesiser` follows `config.synthesis`.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible settings, [`Error::Dataset`] for too few images.
    pub fn new(
        model_config: ModelConfig,
        config: TrainConfig,
        teacher: &Weights,
        images: impl IntoIterator<Item = impl Into<Arc<RgbImage>>>,
        mut synthesiser: Synthesiser,
        device: &Device,
    ) -> Result<Self> {
        model_config.validate()?;
        config.validate()?;
        let mut images: Vec<Arc<RgbImage>> = images.into_iter().map(Into::into).collect();
        check_enough(images.len())?;
        synthesiser.follow_light(images.iter().map(AsRef::as_ref));
        let mut indices: Vec<usize> = (0..images.len()).collect();
        // the order depends on the number of items alone
        let indices_held_out = hold_out(&mut indices, config.held_out, config.seed);
        indices.extend(indices_held_out);
        let held_out = hold_out(&mut images, config.held_out, config.seed);
        if model_config.segmentation.is_none() && config.segmentation.steps > 0 {
            return Err(Error::Config(
                "there is no segmentation network to train: give stage 2 no steps".into(),
            ));
        }
        let mut networks = Networks::new(&model_config, teacher, Rule::new(&config), device)?;
        let scheme = match model_config.distance {
            Distance::Cosine => init::Scheme::Student,
            Distance::SquaredEuclidean => init::Scheme::PlainStudent,
        };
        let student = init::initialise(&arch::student(&model_config), scheme, config.seed);
        let mut weights = student.prefixed(prefix::STUDENT);
        if let Some(graph) = arch::segmentation(&model_config) {
            let own = init::initialise(&graph, init::Scheme::Segmentation, config.seed);
            weights.extend(own.prefixed(prefix::SEGMENTATION));
        }
        networks.set_weights(&weights);
        Ok(Self {
            networks,
            sampler: Sampler::new(images.len(), config.batch, config.seed),
            statistics: FeatureStatistics::new(&model_config),
            model_config,
            config,
            synthesiser: synthesiser.into(),
            images,
            held_out,
            indices,
            views: 1.0,
            step: 0,
            best: None,
            corrected: Vec::new(),
            precision: Precision::default(),
            codebook: None,
        })
    }

    /// Starts from trained weights instead of random ones.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing, misshapen or unknown tensor.
    pub fn start_from(&mut self, weights: &Weights) -> Result<()> {
        for (prefix, graph) in arch::parts(&self.model_config) {
            graph.tensors(prefix).check(weights, prefix)?;
        }
        self.networks.set_weights(weights);
        Ok(())
    }

    /// Says that the images are views of larger ones, so many each on average: the highest score of an
    /// image's views counts, and the threshold must allow for that.
    pub fn set_views(&mut self, views: f32) {
        self.views = views;
    }

    /// Says how the file will hold the weights, unless [`Self::finish`] is told.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Starts from another model's student instead of a random one.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing, misshapen or unknown tensor.
    pub fn start_from_student(&mut self, weights: &Weights) -> Result<()> {
        let shapes = arch::student(&self.model_config).tensors(prefix::STUDENT);
        shapes.check(weights, prefix::STUDENT)?;
        let student = weights.with_prefix(prefix::STUDENT).prefixed(prefix::STUDENT);
        self.networks.set_weights(&student);
        Ok(())
    }

    /// Steps done so far.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Steps of both stages together.
    pub fn total_steps(&self) -> usize {
        self.config.student.steps + self.config.segmentation.steps
    }

    /// All good images: those trained on, then those held out.
    pub fn good_images(&self) -> Vec<&RgbImage> {
        self.images
            .iter()
            .chain(&self.held_out)
            .map(AsRef::as_ref)
            .collect()
    }

    /// For each of [`Self::good_images`], its index among the images given.
    pub fn good_indices(&self) -> &[usize] {
        &self.indices
    }

    /// Good images held out for calibration.
    pub fn held_out_count(&self) -> usize {
        self.held_out.len()
    }

    /// Good images that are trained on (without the held-out ones).
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// The trained weights as they are now, under the names of a file.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn weights(&self) -> Result<Weights> {
        self.networks.weights().await
    }

    /// Thresholds from the held-out images; `None` if none were held out.
    async fn calibrate(&self, detector: &Detector) -> Result<Option<Calibration>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        // distances have no usual amount by which they are lower, and without a step nothing was trained on
        let trained = match detector.gives_probabilities() && self.step > 0 {
            true => &self.images[..],
            false => &[],
        };
        calibrate::calibrate(
            detector,
            &self.held_out,
            trained,
            &self.synthesiser,
            self.config.seed,
            self.views,
        )
        .await
        .map(Some)
    }

    /// Ends the training: the weights as a file of this precision will hold them, the thresholds of just those weights,
    /// and what the features of the good images are like. Without a precision it is that of [`Self::set_precision`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost, [`Error::Training`] if a weight is no number any more.
    pub async fn finish(&mut self, precision: impl Into<Option<Precision>>) -> Result<Trained> {
        let precision = precision.into().unwrap_or(self.precision);
        let weights = self.finite_weights().await?.rounded(precision)?;
        self.start_from(&weights)?;
        self.codebook = None;
        let trained_on = if self.config.codebook {
            self.images.len()
        } else {
            0
        };
        let learned = Learned::of(&self.detector()?, self.good_images(), trained_on).await?;
        self.codebook.clone_from(&learned.codebook);
        Ok(Trained {
            calibration: self.calibrate(&self.detector()?).await?,
            familiarity: learned.familiarity,
            codebook: learned.codebook,
            weights,
        })
    }

    /// A held-out good image (or the first one, where none is held out) and the same with a synthetic
    /// anomaly, always the same ones. Their maps show the progress of a training.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`] if a texture file cannot be read.
    pub fn preview_sample(&self) -> Result<(RgbImage, Sample)> {
        let Some(image) = self.held_out.first().or(self.images.first()) else {
            return Err(Error::Dataset("there are no good images to look at".into()));
        };
        let drawn = calibrate::draw(&self.synthesiser, image, &mut calibrate::rng(self.config.seed))?;
        let sample = drawn.ok_or_else(|| {
            Error::Config("the settings of the synthetic defects leave every image as it is".into())
        })?;
        Ok((RgbImage::clone(image), sample))
    }

    /// The network as it is now, ready to look at images; once the training has ended, with its codebook.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub fn detector(&self) -> Result<Detector> {
        let detector = self.networks.detector(&self.model_config)?;
        Ok(detector.with_codebook(self.codebook.clone()))
    }

    /// The images trained on or held out whose score is at or above the calibrated threshold, worst
    /// first: a defective one may have slipped in among the good ones. Of very many, `most` are looked at.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn outliers(&self, calibration: &Calibration, most: usize) -> Result<Vec<Outlier>> {
        let detector = self.detector()?;
        let mut outliers = Vec::new();
        let all = self.images.iter().chain(&self.held_out).zip(&self.indices);
        let every = self.indices.len().div_ceil(most.max(1)).max(1);
        for (image, &index) in all.step_by(every) {
            let score = detector.detect_pixels(&image::to_f32(image)).await?.score;
            if score >= calibration.image_threshold {
                outliers.push(Outlier { index, score });
            }
        }
        order::sort_by(&mut outliers, |a, b| b.score.total_cmp(&a.score));
        Ok(outliers)
    }
}

/// A training image that looks defective to the trained model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its index among the images given.
    pub index: usize,
    /// Its image score.
    pub score: f32,
}
