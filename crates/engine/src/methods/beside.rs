//! What methods that reconstruct images have in common: the small teacher beside their networks, whose features say whether an
//! image shows the model's part.

use destseg_kernels::Grid;

use crate::Result;
use crate::arch::weights::Weights;
use crate::backend::cpu::{CpuTeacher, unit_vectors};
use crate::config::TeacherKind;
use crate::data::map::AnomalyMap;
use crate::data::preprocess;
use crate::inspect::{ViewMaps, not_numbers};

/// The teacher. It computes on the CPU also where a GPU computes the rest: it is small.
#[derive(Debug)]
pub(super) struct TeacherBeside {
    teacher: CpuTeacher,
    kind: TeacherKind,
}

impl TeacherBeside {
    /// Of folded weights, for images of this side.
    pub(super) fn new(kind: TeacherKind, weights: &Weights, side: usize) -> Result<Self> {
        Ok(Self {
            teacher: CpuTeacher::new(kind, weights, side)?,
            kind,
        })
    }

    /// The two maps of networks without levels, with the teacher's features of the image, whose pixels are in [0, 1].
    pub(super) fn maps(&self, image: &Grid, dest: AnomalyMap, segmentation: AnomalyMap) -> ViewMaps {
        let normalised = preprocess::grid(&image.data, image.width, self.kind);
        ViewMaps {
            segmentation: Some(segmentation),
            dest,
            levels: [AnomalyMap::empty(), AnomalyMap::empty(), AnomalyMap::empty()],
            score: None,
            features: unit_vectors(&self.teacher.run(&normalised)),
        }
    }
}

/// The map of the second of two probabilities, good and anomalous.
///
/// # Errors
/// [`Error::Training`](crate::Error::Training) if they are not numbers.
pub(super) fn anomalous(probabilities: &Grid) -> Result<AnomalyMap> {
    let values = probabilities.data.iter().skip(1).step_by(2).copied().collect();
    AnomalyMap::new(probabilities.width, probabilities.height, values).ok_or_else(not_numbers)
}
