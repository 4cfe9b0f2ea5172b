//! One optimiser step after the other, of either stage.

use destseg_kernels::Grid;

use super::learning_rate::learning_rate;
use super::{Best, Trainer, sampler, whiten};
use crate::arch::prefix;
use crate::backend::optimiser::StepSize;
use crate::config::Reduction;
use crate::data::{image, preprocess};
use crate::synthesis::{Sample, loss_mask};
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

/// The images of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Good images, normalised for the teacher.
    pub clean: Vec<Grid>,
    /// The same with anomalies.
    pub corrupted: Vec<Grid>,
    /// A quarter of the input's side along both axes, image by image, row by row: 1 where anomalous.
    pub mask: Vec<f32>,
}

impl Trainer {
    /// Warm-up: does one step of each stage, and looks at one image, with networks that are thrown away. A GPU compiles its
    /// kernels when they are first used; after this no step of the training waits for that. Calls `report` before each
    /// part with those done and their number.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn warm_up(&self, report: &mut dyn FnMut(usize, usize)) -> Result<()> {
        const PARTS: usize = 3;
        let Some(mut copy) = self.networks.untrained_copy() else {
            return Ok(());
        };
        let batch = self.batch()?;
        if self.config.student.steps > 0 {
            report(0, PARTS);
            let (size, factor) = (self.student_step_size(0), self.loss_factor(&batch));
            let denoising = self.config.denoising;
            copy.student_step(batch.clone(), denoising, size, factor).await?;
        }
        if self.config.segmentation.steps > 0 {
            report(1, PARTS);
            let size = self.segmentation_step_size(0);
            copy.segmentation_step(batch, size, self.config.focal_gamma)
                .await?;
        }
        report(PARTS - 1, PARTS);
        copy.detector(&self.model_config)?
            .detect_pixels(&image::to_f32(&self.images[0]))
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
            let detector = self.detector()?;
            let mut sum = 0.0;
            for image in &self.held_out {
                let found = detector.detect_pixels(&image::to_f32(image)).await?;
                sum += found.dest.values().iter().sum::<f32>() / found.dest.values().len() as f32;
            }
            let mean = sum / self.held_out.len() as f32;
            if self.best.as_ref().is_none_or(|best| mean < best.mean) {
                let student = self.networks.weights().await?.take_prefix(prefix::STUDENT);
                self.best = Some(Best { mean, student });
            }
        }
        if self.step == last
            && let Some(best) = self.best.take()
        {
            self.networks.set_weights(&best.student);
        }
        Ok(())
    }

    async fn student_step(&mut self, batch: Batch) -> Result<StepReport> {
        let (size, factor) = (self.student_step_size(self.step), self.loss_factor(&batch));
        let denoising = self.config.denoising;
        let loss = self.networks.student_step(batch, denoising, size, factor).await?;
        Ok(self.student_report(loss))
    }

    fn student_step_size(&self, step: usize) -> StepSize {
        StepSize {
            rate: learning_rate(&self.config.student, step),
            head: 1.0,
            step,
        }
    }

    /// What the cosine loss is multiplied by.
    fn loss_factor(&self, batch: &Batch) -> f32 {
        let scale = self.model_config.distance.scale();
        match self.config.cosine_reduction {
            Reduction::Sum => scale * batch.clean.len() as f32,
            Reduction::Mean => scale,
        }
    }

    fn student_report(&self, loss: f32) -> StepReport {
        StepReport {
            stage: Stage::Student,
            step: self.step + 1,
            loss,
            parts: None,
        }
    }

    /// Does part of what stage 2 needs before its first step, one image at a time: learns which differences of teacher
    /// and student are usual on good images. `false` if there is nothing to do. [`Self::step`] does all that is left;
    /// this is for callers that must not block for so long.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn prepare(&mut self) -> Result<bool> {
        let begins = self.step == self.config.student.steps && self.config.segmentation.steps > 0;
        if !begins {
            return Ok(false);
        }
        let Some(mut statistics) = self.statistics.take() else {
            return Ok(false);
        };
        let index = statistics.images();
        if let Some(image) = self.images.get(index).filter(|_| index < whiten::MOST_IMAGES) {
            // with the variation that training gives the good images; what other cameras add would hide small defects
            let mut rng = sampler::whitening_rng(self.config.seed, index);
            let varied = self.synthesiser.scene(image, &mut rng);
            let image = self.grid(&image::to_f32(&varied));
            statistics.add(&self.networks.features(&image).await?);
            self.statistics = Some(statistics);
            return Ok(true);
        }
        self.networks.set_weights(&statistics.whitening()?);
        Ok(true)
    }

    async fn segmentation_step(&mut self, step: usize, batch: Batch) -> Result<StepReport> {
        let (size, gamma) = (self.segmentation_step_size(step), self.config.focal_gamma);
        let losses = self.networks.segmentation_step(batch, size, gamma).await?;
        Ok(self.segmentation_report(losses))
    }

    fn segmentation_step_size(&self, step: usize) -> StepSize {
        let stage = &self.config.segmentation;
        StepSize {
            rate: learning_rate(stage, step),
            head: stage.head_learning_rate / stage.learning_rate,
            step,
        }
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
            .enumerate()
            .map(|(place, (index, mut rng))| {
                self.corrected_sample(place, &mut rng)
                    .unwrap_or_else(|| self.synthesiser.sample(&self.images[index], &mut rng))
            })
            .collect::<Result<_>>()?;
        let side = self.model_config.input_size;
        let mask = samples
            .iter()
            .flat_map(|sample| loss_mask(&sample.mask, side, self.config.synthesis.cell_share));
        Ok(Batch {
            mask: mask.collect(),
            clean: samples
                .iter()
                .map(|sample| self.grid(&image::to_f32(&sample.clean)))
                .collect(),
            corrupted: samples
                .iter()
                .map(|sample| self.grid(&sample.corrupted))
                .collect(),
        })
    }

    /// Pixels in [0, 1], normalised for the teacher.
    fn grid(&self, pixels: &[f32]) -> Grid {
        preprocess::grid(pixels, self.model_config.input_size, self.model_config.teacher)
    }
}
