//! A whole model on the CPU: teacher, student, what they are compared by, segmentation network.

use std::sync::Arc;

use destseg_kernels::compare::{compare, log_squares};
use destseg_kernels::dense::Dense;
use destseg_kernels::pool::Pool;
use destseg_kernels::resample::{Onto, bilinear};
use destseg_kernels::{Finish, Grid};

use super::program::Program;
use super::weights::Kernel;
use crate::Result;
use crate::arch::weights::Weights;
use crate::arch::{self, prefix};
use crate::config::{ModelConfig, TeacherKind};
use crate::data::map::AnomalyMap;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};

/// The frozen teacher, which trainings need alone.
#[derive(Debug)]
pub struct CpuTeacher {
    network: Program,
    pool: Pool,
}

impl CpuTeacher {
    /// The teacher with folded weights, for images of this side.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn new(kind: TeacherKind, weights: &Weights, side: usize) -> Result<Self> {
        Ok(Self {
            network: Program::new(&arch::teacher(kind, side), weights)?,
            pool: Pool::default(),
        })
    }

    /// Features of an image that is normalised for the teacher, at 1/4, 1/8 and 1/16 of its side.
    pub fn run(&self, image: &Grid) -> [Grid; 3] {
        levels(self.network.run(&[image], &self.pool))
    }
}

/// A model for images of one size.
#[derive(Debug)]
pub struct CpuModel {
    teacher: Arc<CpuTeacher>,
    student: Program,
    /// One map per level, where the segmentation network is shown whitened differences.
    differences: Vec<Dense>,
    /// The same of the teacher's features.
    features: Vec<Dense>,
    segmentation: Option<Program>,
    distance_scale: f32,
    pool: Pool,
}

/// What a model says about one image.
#[derive(Debug)]
pub struct Maps {
    /// Probability of an anomaly, a quarter of the image's side.
    pub segmentation: Option<Grid>,
    /// The DeST map, of the same size.
    pub dest: Grid,
    /// The levels' distances, each at its own size.
    pub levels: [Grid; 3],
    /// The teacher's normalised features at the middle and the coarse level.
    pub(crate) features: [Grid; 2],
}

impl CpuModel {
    /// The model of `config` around its teacher, with a file's `weights`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub fn new(config: &ModelConfig, teacher: Arc<CpuTeacher>, weights: &Weights) -> Result<Self> {
        let program = |graph, prefix| Program::new(&graph, &weights.with_prefix(prefix));
        let mut whitening = Vec::new();
        if let Some(graph) = arch::whitening(config) {
            let weights = weights.with_prefix(prefix::WHITENING);
            for (conv, &input) in graph.convs().zip(graph.inputs()) {
                whitening.push(Kernel::of(conv, &weights)?.dense(conv, graph.size(input)[0]));
            }
        }
        let features = whitening.split_off(whitening.len().min(3));
        Ok(Self {
            teacher,
            student: program(arch::student(config), prefix::STUDENT)?,
            differences: whitening,
            features,
            segmentation: arch::segmentation(config)
                .map(|graph| program(graph, prefix::SEGMENTATION))
                .transpose()?,
            distance_scale: config.distance.scale(),
            pool: Pool::default(),
        })
    }

    /// All maps of an image that is normalised for the teacher.
    pub fn run(&self, image: &Grid) -> Maps {
        let teacher = self.teacher.run(image);
        let features = unit_vectors(&teacher);
        let (levels, fusion_input) = self.compare_levels(teacher, self.student(image));
        let segmentation = self.segmentation.as_ref().map(|network| {
            let inputs: Vec<&Grid> = fusion_input.iter().collect();
            let mut map = network.run(&inputs, &self.pool).swap_remove(0);
            let sigmoid = |value: &mut f32| *value = 1.0 / (1.0 + (-*value).exp());
            map.data.iter_mut().for_each(sigmoid);
            map
        });
        fusion_input.into_iter().for_each(|level| self.pool.give(level));
        Maps {
            segmentation,
            dest: dest(&levels),
            levels,
            features,
        }
    }

    /// Features of teacher and student at the three levels, every vector of length 1.
    pub fn features(&self, image: &Grid) -> [[Grid; 3]; 2] {
        let mut features = [self.teacher.run(image), self.student(image)];
        features.iter_mut().flatten().for_each(normalise);
        features
    }

    fn student(&self, image: &Grid) -> [Grid; 3] {
        levels(self.student.run(&[image], &self.pool))
    }

    /// The levels' distances, and what the segmentation network, if there is one, is shown of each.
    pub fn fusion_input(&self, image: &Grid) -> ([Grid; 3], Vec<Grid>) {
        self.compare_levels(self.teacher.run(image), self.student(image))
    }

    fn compare_levels(&self, teacher: [Grid; 3], student: [Grid; 3]) -> ([Grid; 3], Vec<Grid>) {
        let mut distances = Vec::with_capacity(3);
        let mut fusion_input = Vec::with_capacity(3);
        for (i, (teacher, student)) in teacher.into_iter().zip(student).enumerate() {
            let (distance, shown) = self.compare(i, &teacher, &student);
            distances.push(distance);
            fusion_input.extend(shown);
            self.teacher.pool.give(teacher);
            self.pool.give(student);
        }
        (levels(distances), fusion_input)
    }

    /// The distance of a level's features, and what the segmentation network is shown of them.
    fn compare(&self, level: usize, teacher: &Grid, student: &Grid) -> (Grid, Option<Grid>) {
        let Grid {
            height,
            width,
            channels,
            ..
        } = *teacher;
        let whitening = self.differences.get(level);
        let features = self.features.get(level);
        let shown = channels * (1 + usize::from(whitening.is_some()) + usize::from(features.is_some()));
        let take = |channels| self.pool.take(height, width, channels);
        let mut products = self.segmentation.is_some().then(|| take(shown));
        let mut differences = whitening.map(|_| take(channels));
        let mut distance = compare(teacher, student, products.as_mut(), differences.as_mut());
        distance
            .data
            .iter_mut()
            .for_each(|value| *value *= self.distance_scale);
        if let (Some(whitening), Some(mut differences), Some(shown)) = (whitening, differences, &mut products)
        {
            whitening.run(&differences, shown.from_channel(channels), Finish::default());
            if let Some(features) = features {
                // the differences are used up: their memory takes the teacher's vectors
                differences.data.clone_from(&teacher.data);
                normalise(&mut differences);
                features.run(&differences, shown.from_channel(2 * channels), Finish::default());
            }
            log_squares(shown, channels);
            self.pool.give(differences);
        }
        (distance, products)
    }
}

impl Maps {
    /// The same as maps whose values are known to be numbers.
    pub(crate) fn checked(self) -> Result<ViewMaps> {
        let map = |grid: Grid| AnomalyMap::new(grid.width, grid.height, grid.data).ok_or_else(not_numbers);
        let [fine, middle, coarse] = self.levels;
        Ok(ViewMaps {
            segmentation: self.segmentation.map(map).transpose()?,
            dest: map(self.dest)?,
            levels: [map(fine)?, map(middle)?, map(coarse)?],
            score: None,
            features: self.features,
        })
    }
}

impl Network for CpuModel {
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps> {
        Box::pin(async { self.run(image).checked() })
    }

    fn features<'a>(&'a self, image: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]> {
        Box::pin(async { Ok(Self::features(self, image)) })
    }
}

fn levels(grids: Vec<Grid>) -> [Grid; 3] {
    let mut grids = grids.into_iter();
    std::array::from_fn(|_| grids.next().unwrap_or_default())
}

/// The teacher's features at the middle and the coarse level, every vector of length 1.
pub(crate) fn unit_vectors([_, middle, coarse]: &[Grid; 3]) -> [Grid; 2] {
    let mut levels = [middle.clone(), coarse.clone()];
    levels.iter_mut().for_each(normalise);
    levels
}

/// Scales every vector to length 1.
fn normalise(grid: &mut Grid) {
    // keeps a vector of zeros from being divided by zero
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
