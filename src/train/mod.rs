//! Training: dataset -> synthesis -> stage 1 (student) -> stage 2 (segmentation) -> calibration.
//!
//! [`Trainer::step`] does one optimiser step, so that a command line can draw a progress bar and a
//! page can stay responsive around the same code.

mod calibrate;
mod checkpoint;
mod cpu;
mod memory;
mod sampler;
mod sgd;
mod stages;
mod tape;
mod whiten;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::calibration::Calibration;
use crate::config::{Distance, FEWEST_IMAGES, ModelConfig, Reduction, TrainConfig};
use crate::image::{self, RgbImage};
use crate::inference::Detector;
use crate::model::features::Features;
use crate::model::segmentation::Segmentation;
use crate::model::storage::Precision;
use crate::model::student::Student;
use crate::model::teacher::Teacher;
use crate::model::weights::{self, Weights, read};
use crate::model::{DeSTSeg, init, loss, prefix};
use crate::synthesis::{Sample, Synthesiser, loss_mask};
use crate::{Error, Result, device, preprocess};

pub use checkpoint::model_so_far;
use checkpoint::{Checkpoint, Run};
use cpu::{Changes, Cpu};
pub use memory::{Coreset, MemoryBuilder, MemoryProgress};
use sampler::Sampler;
use sgd::Sgd;
use stages::learning_rate;

/// Which of the two stages a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Stage 1.
    Student,
    /// Stage 2.
    Segmentation,
}

/// The losses of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The stage.
    pub stage: Stage,
    /// Steps done in all, this one included.
    pub step: usize,
    /// What the stage minimises: cosine loss, or focal plus L1.
    pub loss: f32,
    /// Focal and L1 loss, stage 2 only.
    pub parts: Option<[f32; 2]>,
}

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
    student_optimiser: Sgd,
    segmentation_optimiser: Sgd,
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
        let student = init::initialise(network.student.clone(), scheme, config.seed).train();
        let segmentation = network
            .segmentation
            .clone()
            .map(|own| init::initialise(own, init::Scheme::Segmentation, config.seed).train());
        Ok(Self {
            network: network.with(student, segmentation),
            cpu,
            student_optimiser: Sgd::new(&config),
            segmentation_optimiser: Sgd::new(&config),
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
        })
    }

    /// Does one step of each stage, and looks at one image, with a network that is thrown away: a GPU
    /// compiles its kernels when they are first used, which no step of the training then waits for. Calls
    /// `report` before each part with those done and their number.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn warm_up(&self, report: &mut dyn FnMut(usize, usize)) -> Result<()> {
        const PARTS: usize = 3;
        let fresh = DeSTSeg::new(&self.model_config, self.network.teacher.clone(), &self.device)?;
        let segmentation = fresh.segmentation.clone().map(Module::train);
        let mut config = self.config.clone();
        config.select_every = 0;
        config.student.steps = config.student.steps.min(1);
        config.segmentation.steps = config.segmentation.steps.min(1);
        let mut twin = Self {
            model_config: self.model_config.clone(),
            network: fresh.with(fresh.student.clone().train(), segmentation),
            cpu: None,
            views: self.views,
            student_optimiser: Sgd::new(&config),
            segmentation_optimiser: Sgd::new(&config),
            synthesiser: self.synthesiser.clone(),
            images: self.images.iter().take(1).cloned().collect(),
            held_out: Vec::new(),
            places: Vec::new(),
            sampler: self.sampler.clone(),
            device: self.device.clone(),
            step: 0,
            best: None,
            config,
        };
        let batch = self.batch()?;
        for part in 0..twin.total_steps() {
            report(part, PARTS);
            twin.step_on(batch.clone()).await?;
        }
        report(PARTS - 1, PARTS);
        twin.detector()
            .await?
            .detect_pixels(&image::unit(&self.images[0]))
            .await?;
        Ok(())
    }

    /// Goes on from trained weights instead of random ones.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub fn start_from(&mut self, weights: &Weights) -> Result<()> {
        let loaded = self.model().load(weights)?;
        let (student, segmentation) = (loaded.student.train(), loaded.segmentation.map(Module::train));
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
        self.network.student = student.train();
        Ok(())
    }

    /// The state between two steps, for [`Self::resume`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost, [`Error::Training`] if the weights are no numbers any
    /// more or the state cannot be serialised.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        let weights = self.finite_weights().await?;
        let best = match &self.best {
            Some(best) => Some((best.mean, weights::collect(&best.student, prefix::STUDENT).await?)),
            None => None,
        };
        let mut momenta = self.student_optimiser.state().await?.prefixed(prefix::STUDENT);
        momenta.extend(
            self.segmentation_optimiser
                .state()
                .await?
                .prefixed(prefix::SEGMENTATION),
        );
        let checkpoint = Checkpoint {
            run: self.run(),
            step: self.step,
            weights,
            best,
            momenta,
        };
        checkpoint.to_bytes()
    }

    /// Goes on where [`Self::checkpoint`] was taken, in this process or another: all later steps are
    /// bit by bit those of an uninterrupted run on the same device.
    ///
    /// # Errors
    /// [`Error::Training`] for a file that is no checkpoint or belongs to another run.
    pub fn resume(&mut self, checkpoint: &[u8]) -> Result<()> {
        let checkpoint = Checkpoint::parse(checkpoint)?;
        if checkpoint.run != self.run() {
            return Err(Error::Training(
                "the checkpoint is of a run with other settings or images: give the same ones, or start again"
                    .into(),
            ));
        }
        self.start_from(&checkpoint.weights)?;
        let momenta = |prefix| checkpoint.momenta.with_prefix(prefix);
        self.student_optimiser
            .restore(&momenta(prefix::STUDENT), &self.device)?;
        self.segmentation_optimiser
            .restore(&momenta(prefix::SEGMENTATION), &self.device)?;
        self.best = match &checkpoint.best {
            Some((mean, weights)) => Some(Best {
                mean: *mean,
                student: weights::load(self.network.student.clone(), weights, prefix::STUDENT)?,
            }),
            None => None,
        };
        self.step = checkpoint.step;
        Ok(())
    }

    fn run(&self) -> Run {
        Run {
            model: self.model_config.clone(),
            config: self.config.clone(),
            images: self.images.len() + self.held_out.len(),
        }
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

    /// Does the next step; `None` once all are done.
    ///
    /// # Errors
    /// [`Error::Training`] if the loss is not a number any more, [`Error::Device`] if the device was lost.
    pub async fn step(&mut self) -> Result<Option<StepReport>> {
        if self.step >= self.total_steps() {
            return Ok(None);
        }
        let batch = self.batch()?;
        self.step_on(batch).await.map(Some)
    }

    /// Does the next step on a given batch, whatever the sampler would draw.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn step_on(&mut self, batch: Batch) -> Result<StepReport> {
        let report = match self.step.checked_sub(self.config.student.steps) {
            None => self.student_step(batch).await?,
            Some(step) => {
                if step == 0 {
                    self.whiten().await?;
                }
                self.segmentation_step(step, batch).await?
            }
        };
        if !report.loss.is_finite() {
            return Err(self.diverged("the loss"));
        }
        self.step += 1;
        self.select().await?;
        Ok(report)
    }

    async fn finite_weights(&self) -> Result<Weights> {
        let weights = self.model().trained_weights().await?;
        if weights.is_finite() {
            Ok(weights)
        } else {
            Err(self.diverged("a weight"))
        }
    }

    fn diverged(&self, what: &str) -> Error {
        Error::Training(format!(
            "{what} is not a number any more at step {}: try smaller learning rates",
            self.step + 1
        ))
    }

    /// Chooses the student of stage 1 by the held-out good images, where that is asked for.
    async fn select(&mut self) -> Result<()> {
        let (every, last) = (self.config.select_every, self.config.student.steps);
        if every == 0 || self.step > last {
            return Ok(());
        }
        if self.step.is_multiple_of(every) {
            let detector = self.detector().await?;
            let mut sum = 0.0;
            for image in &self.held_out {
                let found = detector.detect_pixels(&image::unit(image)).await?;
                sum += found.dest.values().iter().sum::<f32>() / found.dest.values().len() as f32;
            }
            let mean = sum / self.held_out.len() as f32;
            if self.best.as_ref().is_none_or(|best| mean < best.mean) {
                let student = self.network.student.clone();
                self.best = Some(Best { mean, student });
            }
        }
        if self.step == last
            && let Some(best) = self.best.take()
        {
            self.network.student = best.student;
            self.forget_plan();
        }
        Ok(())
    }

    async fn student_step(&mut self, batch: Batch) -> Result<StepReport> {
        let [images, ..] = batch.clean.dims();
        let rate = learning_rate(&self.config.student, self.step);
        let seen = if self.config.denoising {
            batch.corrupted
        } else {
            batch.clean.clone()
        };
        let mut factor = self.model_config.distance.scale();
        if self.config.cosine_reduction == Reduction::Sum {
            factor *= images as f32;
        }
        if let Some(cpu) = &self.cpu {
            let weights = weights::collect(&self.network.student.valid(), "").await?;
            let images = [batch.clean, seen];
            let (changes, loss) = cpu
                .student_step(&self.model_config, &weights, images, factor)
                .await?;
            let student = weights::update(self.network.student.clone(), &changes.statistics);
            self.network.student = self
                .student_optimiser
                .apply(|_| rate, student, changes.gradients());
            self.forget_plan();
            return Ok(self.student_report(loss));
        }
        let clean = self.network.teacher.forward(batch.clean);
        let clean = Features(clean.normalise().0.map(Tensor::from_inner));
        let student = &self.network.student;
        let given = student.forward(Tensor::from_inner(seen)).normalise();
        let loss = loss::cosine(clean, given) * factor;
        let value = loss.clone().inner();
        self.network.student = self.student_optimiser.step(|_| rate, student.clone(), &loss);
        Ok(self.student_report(read(value).await?[0]))
    }

    fn student_report(&self, loss: f32) -> StepReport {
        StepReport {
            stage: Stage::Student,
            step: self.step + 1,
            loss,
            parts: None,
        }
    }

    /// Learns, before stage 2, which differences of teacher and student are usual on good images.
    async fn whiten(&mut self) -> Result<()> {
        if let Some(whitening) = self.network.whitening.take() {
            // what varies among good images is usual
            let varied = self.images.iter().enumerate().map(|(place, image)| {
                let mut rng = sampler::whitening_rng(self.config.seed, place);
                self.synthesiser.good(image, &mut rng)
            });
            let fitted =
                whiten::fit(whitening, &self.model(), varied, &self.model_config, &self.device).await?;
            self.network.whitening = Some(fitted);
            self.forget_plan();
        }
        Ok(())
    }

    async fn segmentation_step(&mut self, step: usize, batch: Batch) -> Result<StepReport> {
        let Some(network) = self.network.segmentation.clone() else {
            return Err(Error::Config("there is no segmentation network to train".into()));
        };
        let rate = learning_rate(&self.config.segmentation, step);
        let head_share = self.config.segmentation.head_learning_rate / self.config.segmentation.learning_rate;
        // the residual blocks and the head have rates of their own
        let rates = |path: &[String]| match path.first().map(String::as_str) {
            Some("head") => rate * head_share,
            _ => rate,
        };
        if let Some((changes, parts)) = self.segmentation_changes(&network, &batch).await? {
            let network = weights::update(network, &changes.statistics);
            let gradients = changes.gradients();
            self.network.segmentation = Some(self.segmentation_optimiser.apply(rates, network, gradients));
            return Ok(self.segmentation_report(parts));
        }
        // teacher and student are frozen now: running statistics, no gradients
        let evidence = self.model().evidence(batch.corrupted);
        let map = network.forward(evidence.tracked());
        let mask = Tensor::from_inner(batch.mask);
        let focal = loss::focal(map.clone(), mask.clone(), self.config.focal_gamma);
        let l1 = loss::l1(map, mask);
        let loss = focal.clone() + l1.clone();
        let values = Tensor::cat(vec![focal.inner(), l1.inner()], 0);
        self.network.segmentation = Some(self.segmentation_optimiser.step(rates, network, &loss));
        let parts = read(values).await?;
        Ok(self.segmentation_report([parts[0], parts[1]]))
    }

    fn segmentation_report(&self, [focal, l1]: [f32; 2]) -> StepReport {
        StepReport {
            stage: Stage::Segmentation,
            step: self.step + 1,
            loss: focal + l1,
            parts: Some([focal, l1]),
        }
    }

    /// What a step changes, on the CPU's own kernels; `None` on other devices.
    async fn segmentation_changes(
        &mut self,
        network: &Segmentation,
        batch: &Batch,
    ) -> Result<Option<(Changes, [f32; 2])>> {
        if self.cpu.as_ref().is_some_and(|cpu| !cpu.is_ready()) {
            let weights = self.model().trained_weights().await?;
            if let Some(cpu) = &mut self.cpu {
                cpu.set(Some(cpu.plan(&self.model_config, &weights)?));
            }
        }
        let Some(cpu) = &self.cpu else { return Ok(None) };
        let weights = weights::collect(&network.valid(), "").await?;
        let seen = [batch.corrupted.clone(), batch.mask.clone()];
        cpu.segmentation_step(&self.model_config, &weights, seen, self.config.focal_gamma)
            .await
    }

    /// Student or whitening are others now.
    fn forget_plan(&mut self) {
        if let Some(cpu) = &mut self.cpu {
            cpu.set(None);
        }
    }

    /// The images of the current step; a function of seed and step alone.
    fn batch(&self) -> Result<Batch> {
        let samples: Vec<Sample> = self
            .sampler
            .indices(self.step)
            .into_iter()
            .map(|(index, mut rng)| self.synthesiser.sample(&self.images[index], &mut rng))
            .collect::<Result<_>>()?;
        let side = self.model_config.input_size;
        let images = |pixels: Vec<&[f32]>| {
            preprocess::batch(pixels.into_iter(), side, self.model_config.teacher, &self.device)
        };
        let clean: Vec<Vec<f32>> = samples.iter().map(|sample| image::unit(&sample.clean)).collect();
        let map_side = side / 4;
        let mask: Vec<f32> = samples
            .iter()
            .flat_map(|sample| loss_mask(&sample.mask, side, self.config.synthesis.cell_share))
            .collect();
        let shape = [samples.len(), 1, map_side, map_side];
        Ok(Batch {
            clean: images(clean.iter().map(Vec::as_slice).collect()),
            corrupted: images(samples.iter().map(|sample| sample.corrupted.as_slice()).collect()),
            mask: Tensor::from_data(TensorData::new(mask, shape), &self.device),
        })
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
            &calibrate::Rule {
                seed: self.config.seed,
                views: self.views,
                fuse: self.config.fuse_scores,
            },
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
            let found = detector.detect_pixels(&image::unit(image)).await?;
            let score = calibration.image_score(found.score, found.dest_score);
            if score >= calibration.image_threshold {
                outliers.push(Outlier { place, score });
            }
        }
        outliers.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(outliers)
    }
}

/// A training image that looks defective to the trained model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its place among the images given.
    pub place: usize,
    /// Its image score.
    pub score: f32,
}

/// One step's tensors on the plain device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[batch, 3, side, side]`, normalised.
    pub clean: Tensor<4>,
    /// The same with anomalies.
    pub corrupted: Tensor<4>,
    /// `[batch, 1, side / 4, side / 4]`, 1 where anomalous.
    pub mask: Tensor<4>,
}
