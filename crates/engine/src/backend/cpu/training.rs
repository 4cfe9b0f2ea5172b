//! The networks of a training, trained on the CPU.

use std::sync::Arc;

use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use super::part::Part;
use super::tape;
use super::{CpuModel, CpuTeacher};
use crate::Result;
use crate::arch::weights::Weights;
use crate::arch::{self, prefix};
use crate::backend::optimiser::{Rule, StepSize};
use crate::config::ModelConfig;

/// The networks of a training and their optimisers.
#[derive(Debug)]
pub struct CpuTraining {
    config: ModelConfig,
    teacher: Arc<CpuTeacher>,
    student: Part,
    segmentation: Option<Part>,
    whitening: Weights,
    /// Teacher, student and whitening as they are now; made when they are asked for, forgotten when a weight of theirs
    /// changes.
    frozen: Option<Arc<CpuModel>>,
    /// What the steps of a stage compute in.
    pool: Arc<Pool>,
}

impl CpuTraining {
    /// Networks without weights around a teacher, whose weights are folded.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor of the teacher.
    pub fn new(config: &ModelConfig, teacher: &Weights, rule: Rule) -> Result<Self> {
        Ok(Self {
            teacher: Arc::new(CpuTeacher::new(config.teacher, teacher, config.input_size)?),
            student: Part::new(&arch::student(config), rule),
            segmentation: arch::segmentation(config).map(|graph| Part::new(&graph, rule)),
            whitening: arch::whitening(config)
                .map_or_else(Weights::default, |graph| arch::init::zeros(&graph)),
            config: config.clone(),
            frozen: None,
            pool: Arc::default(),
        })
    }

    /// All weights that are trained or estimated, under the names of a file.
    pub fn weights(&self) -> Weights {
        let mut weights = self.student.weights.clone().prefixed(prefix::STUDENT);
        if let Some(part) = &self.segmentation {
            weights.extend(part.weights.clone().prefixed(prefix::SEGMENTATION));
        }
        weights.extend(self.whitening.clone().prefixed(prefix::WHITENING));
        weights
    }

    /// Takes those parts whose weights there are, under the names of a file.
    pub fn set_weights(&mut self, weights: &Weights) {
        let part = |name: &str| Some(weights.with_prefix(name)).filter(|part| !part.is_empty());
        if let Some(weights) = part(prefix::STUDENT) {
            self.student.weights = weights;
        }
        if let (Some(own), Some(weights)) = (&mut self.segmentation, part(prefix::SEGMENTATION)) {
            own.weights = weights;
        }
        if let Some(weights) = part(prefix::WHITENING) {
            self.whitening = weights;
        }
        self.frozen = None;
    }

    /// A step of stage 1: the teacher sees the `clean` images, the student the `seen` ones. The result is the cosine
    /// loss times `factor`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a missing tensor, which no checked weights have.
    pub fn student_step(
        &mut self,
        clean: &[Grid],
        seen: Vec<Grid>,
        size: StepSize,
        factor: f32,
    ) -> Result<f32> {
        let mut targets: [Vec<Grid>; 3] = Default::default();
        for image in clean {
            for (all, own) in targets.iter_mut().zip(self.teacher.run(image)) {
                all.push(own);
            }
        }
        let loss = self.student.step(&self.pool, vec![seen.into()], size, |levels| {
            let all = targets.iter().zip(levels);
            let (losses, gradients): (Vec<f32>, Vec<_>) = all
                .map(|(teacher, level)| tape::cosine(teacher, level, factor))
                .unzip();
            (losses.into_iter().sum(), gradients)
        })?;
        self.frozen = None;
        Ok(loss)
    }

    /// A step of stage 2 on the `corrupted` images and the masks of their anomalies: focal and L1 loss.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if there is no segmentation network.
    pub fn segmentation_step(
        &mut self,
        corrupted: &[Grid],
        mask: &[f32],
        size: StepSize,
        gamma: f32,
    ) -> Result<[f32; 2]> {
        if self.frozen.is_none() {
            // the student's grids have other sizes
            self.pool = Arc::default();
        }
        let frozen = self.frozen()?;
        let Some(part) = &mut self.segmentation else {
            return Err(crate::Error::Config(
                "there is no segmentation network to train".into(),
            ));
        };
        let mut fusion_input: [Vec<Grid>; 3] = Default::default();
        for image in corrupted {
            for (all, own) in fusion_input.iter_mut().zip(frozen.fusion_input(image).1) {
                all.push(own);
            }
        }
        let inputs = fusion_input.map(tape::Batch::from).into();
        part.step(&self.pool, inputs, size, |logits| {
            let (losses, gradient) = tape::focal_and_l1(logits[0], mask, gamma);
            (losses, vec![gradient])
        })
    }

    /// The model as it is now, for inference.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a missing tensor, which no checked weights have.
    pub fn current(&self) -> Result<CpuModel> {
        CpuModel::new(&self.config, Arc::clone(&self.teacher), &self.weights())
    }

    fn frozen(&mut self) -> Result<Arc<CpuModel>> {
        if self.frozen.is_none() {
            self.frozen = Some(Arc::new(self.current()?));
        }
        Ok(Arc::clone(self.frozen.as_ref().expect("just made")))
    }

    /// Features of teacher and student for an image that is normalised for the teacher, every vector of length 1.
    ///
    /// # Errors
    /// As [`Self::current`].
    pub fn features(&mut self, image: &Grid) -> Result<[[Grid; 3]; 2]> {
        Ok(self.frozen()?.features(image))
    }

    /// The moments of both optimisers, under the names of a file.
    pub fn moments(&self) -> Weights {
        let mut moments = self.student.optimiser.state().clone().prefixed(prefix::STUDENT);
        if let Some(part) = &self.segmentation {
            moments.extend(part.optimiser.state().clone().prefixed(prefix::SEGMENTATION));
        }
        moments
    }

    /// Resumes with saved moments.
    ///
    /// # Errors
    /// [`Error::Training`](crate::Error::Training) if they belong to another network.
    pub fn restore(&mut self, moments: &Weights) -> Result<()> {
        self.student
            .optimiser
            .restore(moments.with_prefix(prefix::STUDENT))?;
        match &mut self.segmentation {
            Some(part) => part.optimiser.restore(moments.with_prefix(prefix::SEGMENTATION)),
            None => Ok(()),
        }
    }
}
