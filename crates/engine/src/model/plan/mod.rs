//! The network as the CPU runs it for inference: made once from a file's weights, on [`destseg_kernels`].
//!
//! It is the same function as [`DeSTSeg::forward`](super::DeSTSeg::forward) on Burn, which trains, runs on GPUs
//! and is what the tests compare this with. What it does differently: batch normalisation is folded, bias,
//! shortcut and `ReLU` belong to the convolution before them, weights are packed once, memory is reused.

mod blocks;
mod segmentation;
pub(crate) mod source;
mod student;
mod teacher;
#[cfg(all(test, feature = "burn"))]
pub(crate) mod tests;

use std::sync::Arc;

use destseg_kernels::compare::{compare, log_squares};
use destseg_kernels::dense::Dense;
use destseg_kernels::pool::Pool;
use destseg_kernels::resample::{Onto, bilinear};
use destseg_kernels::{Activation, Finish, Grid};

use super::prefix;
use super::weights::Weights;
use crate::Result;
use crate::config::{ModelConfig, TeacherKind};
use segmentation::Segmentation;
use source::Source;
use student::Student;
use teacher::Teacher;

/// The whole network for images of one size.
#[derive(Debug)]
pub struct Plan {
    teacher: Arc<TeacherPlan>,
    student: Student,
    /// One map per level, where the segmentation network is shown whitened differences.
    whitening: Vec<Dense>,
    /// The same of the teacher's features.
    features: Vec<Dense>,
    segmentation: Option<Segmentation>,
    distance_scale: f32,
    pool: Pool,
}

/// What the network says about one image; see [`Output`](super::Output).
#[derive(Debug)]
pub struct Maps {
    /// Probability of an anomaly, a quarter of the image's side.
    pub segmentation: Option<Grid>,
    /// The DeST map, of the same size.
    pub dest: Grid,
    /// The levels' distances, each at its own size.
    pub levels: [Grid; 3],
}

impl Plan {
    /// The network of `config` around its teacher, with a file's `weights`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn new(config: &ModelConfig, teacher: Arc<TeacherPlan>, weights: &Weights) -> Result<Self> {
        let side = config.input_size;
        let times = config
            .segmentation
            .as_ref()
            .map_or(0, |network| network.evidence.times());
        let maps = |name: &str, needed: usize| {
            let source = Source::new(weights, prefix::WHITENING);
            let level = |i| source.conv(&format!("{name}.{i}"), side >> (2 + i));
            let count = if times >= needed { 3 } else { 0 };
            (0..count).map(level).collect::<Result<Vec<_>>>()
        };
        let segmentation = config.segmentation.as_ref().map(|network| {
            let source = Source::new(weights, prefix::SEGMENTATION);
            Segmentation::new(network, config.teacher, &source, side / 4)
        });
        Ok(Self {
            teacher,
            student: Student::new(&config.student, &Source::new(weights, prefix::STUDENT), side)?,
            whitening: maps("levels", 2)?,
            features: maps("features", 3)?,
            segmentation: segmentation.transpose()?,
            distance_scale: config.distance.scale(),
            pool: Pool::default(),
        })
    }

    /// All maps of an image that is normalised for the teacher.
    pub fn run(&self, image: &Grid) -> Maps {
        let (levels, evidence) = self.evidence(image);
        let segmentation = self.segmentation.as_ref();
        Maps {
            segmentation: segmentation.map(|network| network.run(evidence, &self.pool)),
            dest: dest(&levels),
            levels,
        }
    }

    /// Features of teacher and student at the three levels, every vector of length 1.
    pub fn features(&self, image: &Grid) -> [[Grid; 3]; 2] {
        let mut found = [self.teacher.run(image), self.student.run(image, &self.pool)];
        found.iter_mut().flatten().for_each(normalise);
        found
    }

    /// The levels' distances, and what the segmentation network, if there is one, is shown of each.
    pub fn evidence(&self, image: &Grid) -> ([Grid; 3], Vec<Grid>) {
        let teacher = self.teacher.run(image);
        let student = self.student.run(image, &self.pool);
        let mut levels = Vec::with_capacity(3);
        let mut evidence = Vec::with_capacity(3);
        for (i, (teacher, student)) in teacher.into_iter().zip(student).enumerate() {
            let (distance, seen) = self.compare(i, &teacher, &student);
            levels.push(distance);
            evidence.extend(seen);
            self.teacher.pool.give(teacher);
            self.pool.give(student);
        }
        (std::array::from_fn(|i| std::mem::take(&mut levels[i])), evidence)
    }

    /// The distance of a level's features, and what the segmentation network is shown of them.
    fn compare(&self, level: usize, teacher: &Grid, student: &Grid) -> (Grid, Option<Grid>) {
        let Grid {
            height,
            width,
            channels,
            ..
        } = *teacher;
        let whitening = self.whitening.get(level);
        let features = self.features.get(level);
        let seen = channels * (1 + usize::from(whitening.is_some()) + usize::from(features.is_some()));
        let take = |channels| self.pool.take(height, width, channels);
        let mut products = self.segmentation.is_some().then(|| take(seen));
        let mut differences = whitening.map(|_| take(channels));
        let mut distance = compare(teacher, student, products.as_mut(), differences.as_mut());
        distance
            .data
            .iter_mut()
            .for_each(|value| *value *= self.distance_scale);
        if let (Some(whitening), Some(mut differences), Some(seen)) = (whitening, differences, &mut products)
        {
            let target = seen.from_channel(channels);
            whitening.run(&differences, target, Finish::default());
            if let Some(features) = features {
                // the differences are used up: their memory takes the teacher's vectors
                differences.data.clone_from(&teacher.data);
                normalise(&mut differences);
                let target = seen.from_channel(2 * channels);
                features.run(&differences, target, Finish::default());
            }
            log_squares(seen, channels);
            self.pool.give(differences);
        }
        (distance, products)
    }
}

/// Scales every vector to length 1.
fn normalise(grid: &mut Grid) {
    // as `Features::normalise`
    const TINY: f32 = 1e-24;
    for vector in grid.data.chunks_exact_mut(grid.channels) {
        let length = (vector.iter().map(|value| value * value).sum::<f32>() + TINY).sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

/// The product of the levels' distances at the finest one's size.
fn dest([fine, middle, coarse]: &[Grid; 3]) -> Grid {
    let mut product = fine.clone();
    for level in [middle, coarse] {
        let mut large = Grid::zeros(fine.height, fine.width, 1);
        bilinear(level, (&mut large).into(), Onto::Nothing);
        product
            .data
            .iter_mut()
            .zip(&large.data)
            .for_each(|(all, own)| *all *= own);
    }
    product
}

/// The frozen teacher alone, which training needs too.
#[derive(Debug)]
pub struct TeacherPlan {
    network: Teacher,
    pool: Pool,
}

impl TeacherPlan {
    /// The teacher with folded weights, for images of this side.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn new(kind: TeacherKind, weights: &Weights, side: usize) -> Result<Self> {
        Ok(Self {
            network: Teacher::new(kind, &Source::new(weights, ""), side)?,
            pool: Pool::default(),
        })
    }

    /// Features of an image that is normalised for the teacher, at 1/4, 1/8 and 1/16 of its side.
    pub fn run(&self, image: &Grid) -> [Grid; 3] {
        self.network.run(image, &self.pool)
    }
}

/// A convolution into a grid of its own.
fn convolve(conv: &Dense, input: &Grid, stride: usize, activation: Activation, pool: &Pool) -> Grid {
    let mut out = pool.take(
        input.height.div_ceil(stride),
        input.width.div_ceil(stride),
        conv.outputs(),
    );
    let finish = Finish {
        activation,
        ..Finish::default()
    };
    conv.run(input, &mut out, finish);
    out
}
