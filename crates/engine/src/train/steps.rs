//! One optimiser step after the other, of either stage, on either kind of device.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use super::optimiser::{Optimiser, Pace};
use super::stages::learning_rate;
use super::whiten::Survey;
use super::{Best, Trainer, sampler, whiten};
use crate::config::Reduction;
use crate::model::features::Features;
use crate::model::weights::{self, read};
use crate::model::{DeSTSeg, loss};
use crate::synthesis::{Sample, loss_mask};
use crate::data::{image, preprocess};
use crate::{Error, Result};

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

impl Trainer {
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
            student_optimiser: Optimiser::new(&config),
            segmentation_optimiser: Optimiser::new(&config),
            synthesiser: self.synthesiser.clone(),
            images: self.images.iter().take(1).cloned().collect(),
            held_out: Vec::new(),
            places: Vec::new(),
            sampler: self.sampler.clone(),
            device: self.device.clone(),
            step: 0,
            best: None,
            survey: Some(Survey::new(&self.model_config)),
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
                while self.prepare().await? {}
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

    pub(super) fn diverged(&self, what: &str) -> Error {
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
        let pace = Pace {
            rate: |_: &[String]| rate,
            step: self.step,
        };
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
            self.network.student = self.student_optimiser.apply(pace, student, changes.gradients());
            self.forget_plan();
            return Ok(self.student_report(loss));
        }
        let clean = self.network.teacher.forward(batch.clean);
        let clean = Features(clean.normalise().0.map(Tensor::from_inner));
        let student = &self.network.student;
        let given = student.forward(Tensor::from_inner(seen)).normalise();
        let loss = loss::cosine(clean, given) * factor;
        let value = loss.clone().inner();
        self.network.student = self.student_optimiser.step(pace, student.clone(), &loss);
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

    /// Does part of what stage 2 needs before its first step, one image's share: learns which differences of teacher
    /// and student are usual on good images. `false` if there is nothing to do. [`Self::step`] does all that is left;
    /// this is for who must not wait so long.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn prepare(&mut self) -> Result<bool> {
        let begins = self.step == self.config.student.steps && self.config.segmentation.steps > 0;
        let Some(whitening) = self.network.whitening.as_ref().filter(|_| begins) else {
            return Ok(false);
        };
        let Some(mut survey) = self.survey.take() else {
            return Ok(false);
        };
        let place = survey.seen();
        if let Some(image) = self.images.get(place).filter(|_| place < whiten::MOST_IMAGES) {
            // what varies among good images is usual
            let mut rng = sampler::whitening_rng(self.config.seed, place);
            let varied = self.synthesiser.good(image, &mut rng);
            survey
                .add(&varied, &self.model(), &self.model_config, &self.device)
                .await?;
            self.survey = Some(survey);
            return Ok(true);
        }
        self.network.whitening = Some(survey.fit(whitening.clone(), &self.device)?);
        self.forget_plan();
        Ok(true)
    }

    async fn segmentation_step(&mut self, step: usize, batch: Batch) -> Result<StepReport> {
        let (Some(network), Some(shape)) =
            (self.network.segmentation.clone(), &self.model_config.segmentation)
        else {
            return Err(Error::Config("there is no segmentation network to train".into()));
        };
        let rate = learning_rate(&self.config.segmentation, step);
        let head_share = self.config.segmentation.head_learning_rate / self.config.segmentation.learning_rate;
        // the residual blocks and the head have rates of their own
        let rate = move |path: &[String]| match path.first().map(String::as_str) {
            Some("head") => rate * head_share,
            _ => rate,
        };
        let pace = Pace { rate, step };
        let model = self.model();
        if let Some(cpu) = &mut self.cpu {
            let weights = weights::collect(&network.valid(), "").await?;
            let frozen = cpu.frozen(&self.model_config, &model).await?;
            let images = [batch.corrupted, batch.mask];
            let gamma = self.config.focal_gamma;
            let (changes, parts) = frozen.segmentation_step(shape, &weights, images, gamma).await?;
            let network = weights::update(network, &changes.statistics);
            let gradients = changes.gradients();
            self.network.segmentation = Some(self.segmentation_optimiser.apply(pace, network, gradients));
            return Ok(self.segmentation_report(parts));
        }
        // teacher and student are frozen now: running statistics, no gradients
        let evidence = model.evidence(batch.corrupted);
        let map = network.forward(evidence.tracked());
        let mask = Tensor::from_inner(batch.mask);
        let focal = loss::focal(map.clone(), mask.clone(), self.config.focal_gamma);
        let l1 = loss::l1(map, mask);
        let loss = focal.clone() + l1.clone();
        let values = Tensor::cat(vec![focal.inner(), l1.inner()], 0);
        self.network.segmentation = Some(self.segmentation_optimiser.step(pace, network, &loss));
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
}
