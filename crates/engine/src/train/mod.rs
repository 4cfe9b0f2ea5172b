//! Training: dataset -> synthesis -> stage 1 (student) -> stage 2 (segmentation) -> calibration.
//!
//! [`Trainer::step`] does one optimiser step, so that a command line can draw a progress bar and a
//! page can stay responsive around the same code.

mod calibrate;
mod checkpoint;
mod cpu;
mod memory;
mod optimiser;
mod sampler;
mod stages;
mod steps;
mod tape;
mod whiten;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;

use crate::verdict::calibration::Calibration;
use crate::config::{Distance, FEWEST_IMAGES, ModelConfig, TrainConfig};
use crate::data::image::{self, RgbImage};
use crate::inference::Detector;
use crate::model::storage::Precision;
use crate::model::student::Student;
use crate::model::teacher::Teacher;
use crate::model::weights::{self, Weights};
use crate::model::{DeSTSeg, init, prefix};
use crate::synthesis::{Sample, Synthesiser};
use crate::backend::device;
use crate::{Error, Result};

pub use checkpoint::model_so_far;
use cpu::Cpu;
pub use memory::{Coreset, MemoryBuilder, MemoryProgress};
use optimiser::Optimiser;
use sampler::Sampler;
pub use steps::{Batch, Stage, StepReport};
use whiten::Survey;

/// A training run.
#[derive(Debug)]
pub struct Trainer {
    model_config: ModelConfig,
    config: TrainConfig,
    device: Device,
    /// Its trained parts are on the autodiff device.
    network: DeSTSeg,
    /// For steps on kernels of our own, where the device is the CPU.
    cpu: Option<Cpu>,
    student_optimiser: Optimiser,
    segmentation_optimiser: Optimiser,
    synthesiser: Arc<Synthesiser>,
    images: Vec<Arc<RgbImage>>,
    held_out: Vec<Arc<RgbImage>>,
    /// For each image trained on, then for each held out, its place among the images given.
    places: Vec<usize>,
    sampler: Sampler,
    /// Views of the network that an image is shown in, on average.
    views: f32,
    step: usize,
    /// The best student so far, where one is chosen.
    best: Option<Best>,
    /// What is usual on good images, until stage 2 begins.
    survey: Option<Survey>,
}

/// A student whose mean map of the held-out good images was the lowest so far.
#[derive(Debug)]
struct Best {
    mean: f32,
    student: Student,
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
        synthesiser: Synthesiser,
        device: &Device,
    ) -> Result<Self> {
        model_config.validate()?;
        config.validate()?;
        let mut images: Vec<Arc<RgbImage>> = images.into_iter().map(Into::into).collect();
        if images.len() < FEWEST_IMAGES {
            return Err(Error::Dataset(format!(
                "{} good images are too few to train on: give at least {FEWEST_IMAGES}",
                images.len()
            )));
        }
        let mut places: Vec<usize> = (0..images.len()).collect();
        // the order depends on the number of items alone
        let places_held_out = sampler::hold_out(&mut places, config.held_out, config.seed);
        places.extend(places_held_out);
        let held_out = sampler::hold_out(&mut images, config.held_out, config.seed);
        let cpu = match device::is_cpu(device) {
            true => Some(Cpu::new(&model_config, teacher)?),
            false => None,
        };
        let teacher = Teacher::load(model_config.teacher, teacher, device)?;
        let network = DeSTSeg::new(&model_config, teacher, device)?;
        if network.segmentation.is_none() && config.segmentation.steps > 0 {
            return Err(Error::Config(
                "there is no segmentation network to train: give stage 2 no steps".into(),
            ));
        }
        let scheme = match model_config.distance {
            Distance::Cosine => init::Scheme::Student,
            Distance::SquaredEuclidean => init::Scheme::PlainStudent,
        };
        let student = init::initialise(network.student.clone(), scheme, config.seed);
        let student = recorded(student, cpu.as_ref());
        let segmentation = network.segmentation.clone().map(|own| {
            let own = init::initialise(own, init::Scheme::Segmentation, config.seed);
            recorded(own, cpu.as_ref())
        });
        let survey = Some(Survey::new(&model_config));
        Ok(Self {
            network: network.with(student, segmentation),
            cpu,
            student_optimiser: Optimiser::new(&config),
            segmentation_optimiser: Optimiser::new(&config),
            sampler: Sampler::new(images.len(), config.batch, config.seed),
            device: device.clone(),
            model_config,
            config,
            synthesiser: synthesiser.into(),
            images,
            held_out,
            places,
            views: 1.0,
            step: 0,
            best: None,
            survey,
        })
    }

    /// Goes on from trained weights instead of random ones.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub fn start_from(&mut self, weights: &Weights) -> Result<()> {
        let loaded = self.model().load(weights)?;
        let student = recorded(loaded.student, self.cpu.as_ref());
        let segmentation = loaded.segmentation.map(|own| recorded(own, self.cpu.as_ref()));
        self.network = self.network.with(student, segmentation);
        self.network.whitening = loaded.whitening;
        self.forget_plan();
        Ok(())
    }

    /// Says that the images are views of larger ones, so many each on average: the highest score of an
    /// image's views counts, and the threshold must allow for that.
    pub fn set_views(&mut self, views: f32) {
        self.views = views;
    }

    /// Looks at all images when thresholds are measured, those for training too: where nothing is trained.
    pub fn hold_out_all(&mut self) {
        self.held_out.append(&mut self.images);
    }

    /// Goes on from another model's student instead of a random one.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub fn start_from_student(&mut self, weights: &Weights) -> Result<()> {
        let student = weights::load(self.network.student.valid(), weights, prefix::STUDENT)?;
        self.network.student = recorded(student, self.cpu.as_ref());
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

    /// Good images held out for calibration.
    pub fn held_out_count(&self) -> usize {
        self.held_out.len()
    }

    /// Good images that are trained on (without the held-out ones).
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// Student or whitening are others now.
    fn forget_plan(&mut self) {
        if let Some(cpu) = &mut self.cpu {
            cpu.forget();
        }
    }

    /// The network as it is now, for inference.
    pub fn model(&self) -> DeSTSeg {
        let segmentation = self.network.segmentation.as_ref().map(Module::valid);
        self.network.with(self.network.student.valid(), segmentation)
    }

    /// Thresholds from the held-out images; `None` if none were held out.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn calibrate(&self) -> Result<Option<Calibration>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        calibrate::calibrate(
            &self.detector().await?,
            &self.held_out,
            &self.synthesiser,
            self.config.seed,
            self.views,
        )
        .await
        .map(Some)
    }

    /// Ends the training: the weights as a file of this precision will hold them, and the thresholds of
    /// just those weights.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost, [`Error::Training`] if a weight is no number any more.
    pub async fn finish(&mut self, precision: Precision) -> Result<(Weights, Option<Calibration>)> {
        let weights = self.finite_weights().await?.rounded(precision)?;
        self.start_from(&weights)?;
        let calibration = self.calibrate().await?;
        Ok((weights, calibration))
    }

    /// A held-out good image (or the first one, where none is held out) and the same with a synthetic
    /// anomaly, always the same ones: what a training is watched by.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Io`] if a texture file cannot be read.
    pub fn specimen(&self) -> Result<(RgbImage, Sample)> {
        let Some(image) = self.held_out.first().or(self.images.first()) else {
            return Err(Error::Dataset("there are no good images to look at".into()));
        };
        let drawn = calibrate::draw(&self.synthesiser, image, &mut calibrate::rng(self.config.seed))?;
        let sample = drawn.ok_or_else(|| {
            Error::Config("the settings of the synthetic anomalies leave every image as it is".into())
        })?;
        Ok((RgbImage::clone(image), sample))
    }

    /// The network as it is now, ready to look at images.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detector(&self) -> Result<Detector> {
        let config = &self.model_config;
        Ok(match &self.cpu {
            Some(cpu) => {
                let weights = self.model().trained_weights().await?;
                Detector::from_plan(cpu.plan(config, &weights)?, config)
            }
            None => Detector::from_model(self.model(), config, &self.device),
        })
    }

    /// The images trained on or held out whose score is at or above the calibrated threshold, worst
    /// first: a defective one may have slipped in among the good ones. Of very many, `most` are looked at.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn outliers(&self, calibration: &Calibration, most: usize) -> Result<Vec<Outlier>> {
        let detector = self.detector().await?;
        let mut outliers = Vec::new();
        let all = self.images.iter().chain(&self.held_out).zip(&self.places);
        let every = self.places.len().div_ceil(most.max(1)).max(1);
        for (image, &place) in all.step_by(every) {
            let score = detector.detect_pixels(&image::unit(image)).await?.score;
            if score >= calibration.image_threshold {
                outliers.push(Outlier { place, score });
            }
        }
        outliers.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(outliers)
    }
}

/// A part to be trained: Burn records what is done with it, unless steps are done by kernels of our own. Burn would
/// keep a record of every step's weights until it is asked for gradients, which those never do.
fn recorded<M: Module>(part: M, cpu: Option<&Cpu>) -> M {
    if cpu.is_some() { part } else { part.train() }
}

/// A training image that looks defective to the trained model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its place among the images given.
    pub place: usize,
    /// Its image score.
    pub score: f32,
}
