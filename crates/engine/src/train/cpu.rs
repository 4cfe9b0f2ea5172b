//! Steps on the CPU's own kernels: the frozen networks by a plan, the trained one by a tape.

use std::sync::Arc;

use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use super::tape::{self, Tape};
use crate::config::{ModelConfig, SegmentationConfig};
use crate::model::DeSTSeg;
use crate::model::plan::{Plan, TeacherPlan};
use crate::model::weights::{Weights, read};
use crate::Result;
use crate::backend::device;

/// What a run needs for that.
#[derive(Debug)]
pub(super) struct Cpu {
    teacher: Arc<TeacherPlan>,
    /// Teacher, student and whitening of stage 2; made when it begins.
    network: Option<Plan>,
    /// What the steps of a stage compute in.
    pool: Arc<Pool>,
}

impl Cpu {
    pub(super) fn new(config: &ModelConfig, teacher: &Weights) -> Result<Self> {
        let teacher = TeacherPlan::new(config.teacher, teacher, config.input_size)?;
        Ok(Self {
            teacher: Arc::new(teacher),
            network: None,
            pool: Arc::default(),
        })
    }

    /// A plan of the network with these weights.
    pub(super) fn plan(&self, config: &ModelConfig, weights: &Weights) -> Result<Plan> {
        Plan::new(config, Arc::clone(&self.teacher), weights)
    }

    /// A step of stage 1 on images as teacher and student see them: what it changes, and the loss times `factor`.
    pub(super) async fn student_step(
        &self,
        config: &ModelConfig,
        weights: &Weights,
        [clean, seen]: [Tensor<4>; 2],
        factor: f32,
    ) -> Result<(Changes, f32)> {
        let mut of_levels: [Vec<Grid>; 3] = Default::default();
        for image in grids(clean).await? {
            for (all, own) in of_levels.iter_mut().zip(self.teacher.run(&image)) {
                all.push(own);
            }
        }
        let mut tape = Tape::new(weights, &self.pool);
        let images = tape.input(grids(seen).await?);
        let features = tape.student(&config.student, images)?;
        let mut loss = 0.0;
        let mut slopes = Vec::new();
        for (teacher, level) in of_levels.iter().zip(features) {
            let (own, of_level) = tape::cosine(teacher, tape.value(level), factor);
            loss += own;
            slopes.push((level, of_level));
        }
        Ok((Changes::of(tape.backward(slopes)), loss))
    }

    /// The networks that stage 2 does not change, made when they are first asked for.
    pub(super) async fn frozen(&mut self, config: &ModelConfig, model: &DeSTSeg) -> Result<Frozen<'_>> {
        let network = match self.network.take() {
            Some(network) => network,
            None => {
                // the student's grids have other sizes
                self.pool = Arc::default();
                self.plan(config, &model.trained_weights().await?)?
            }
        };
        Ok(Frozen {
            network: self.network.insert(network),
            pool: &self.pool,
        })
    }

    /// Forgets the networks of stage 2, because one has changed.
    pub(super) fn forget(&mut self) {
        self.network = None;
    }
}

/// The networks that stage 2 does not change, and what its steps compute in.
pub(super) struct Frozen<'a> {
    network: &'a Plan,
    pool: &'a Arc<Pool>,
}

impl Frozen<'_> {
    /// A step of stage 2 on what they see: what it changes, and the focal and L1 loss.
    pub(super) async fn segmentation_step(
        self,
        config: &SegmentationConfig,
        weights: &Weights,
        [images, mask]: [Tensor<4>; 2],
        gamma: f64,
    ) -> Result<(Changes, [f32; 2])> {
        let mut of_levels: [Vec<Grid>; 3] = Default::default();
        for image in grids(images).await? {
            for (all, own) in of_levels.iter_mut().zip(self.network.evidence(&image).1) {
                all.push(own);
            }
        }
        let mask = read(mask.flatten::<1>(0, 3)).await?;
        let mut tape = Tape::new(weights, self.pool);
        let evidence = of_levels.map(|level| tape.input(level)).into();
        let logits = tape.segmentation(config, evidence)?;
        let (losses, slopes) = tape::focal_and_l1(tape.value(logits), &mask, gamma as f32);
        Ok((Changes::of(tape.backward(vec![(logits, slopes)])), losses))
    }
}

/// What a step says about a network.
pub(super) struct Changes {
    /// Gradients by the names of the weights.
    gradients: Weights,
    /// Running statistics after it.
    pub(super) statistics: Weights,
}

impl Changes {
    /// The gradients as optimisers take them.
    pub(super) fn gradients(&self) -> GradientsParams {
        tape::gradients(&self.gradients, &device::any())
    }

    fn of((statistics, of_weights): (Weights, Weights)) -> Self {
        Self {
            gradients: of_weights,
            statistics,
        }
    }
}

/// The images of a batch, channels innermost.
async fn grids(images: Tensor<4>) -> Result<Vec<Grid>> {
    let [_, channels, height, width] = images.dims();
    let size = height * width;
    let values = read(images.flatten::<1>(0, 3)).await?;
    let grid = |planes: &[f32]| {
        let mut grid = Grid::zeros(height, width, channels);
        for (channel, plane) in planes.chunks_exact(size).enumerate() {
            let to = grid.data.iter_mut().skip(channel).step_by(channels);
            to.zip(plane).for_each(|(to, &from)| *to = from);
        }
        grid
    };
    Ok(values.chunks_exact(channels * size).map(grid).collect())
}
