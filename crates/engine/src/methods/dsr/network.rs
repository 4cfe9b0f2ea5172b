//! How DSR looks at an image.

use destseg_kernels::Grid;

use super::DsrConfig;
use crate::arch::weights::Weights;
use crate::backend::cpu::{CpuTeacher, unit_vectors};
use crate::backend::device::Device;
use crate::backend::network::FrozenNetwork;
use crate::config::TeacherKind;
use crate::data::map::AnomalyMap;
use crate::data::preprocess;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};
use crate::{Error, Result};

/// All networks, and the teacher that says whether an image shows the model's part.
#[derive(Debug)]
pub(super) struct Dsr {
    networks: FrozenNetwork,
    teacher: CpuTeacher,
    kind: TeacherKind,
}

impl Dsr {
    /// The networks of a configuration with a file's `weights`; `teacher` holds folded ones.
    pub(super) fn new(
        config: &DsrConfig,
        weights: &Weights,
        teacher: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let graph = config.graph();
        Ok(Self {
            networks: FrozenNetwork::new(&graph, &graph.own(weights)?, device)?,
            teacher: CpuTeacher::new(config.teacher, teacher, config.input_size)?,
            kind: config.teacher,
        })
    }

    async fn look(&self, image: &Grid) -> Result<ViewMaps> {
        let outputs = self.networks.run(&[image]).await?;
        let [detected, refined] = outputs.as_slice() else {
            return Err(not_numbers());
        };
        let anomalous = |probabilities: &Grid| {
            let values = probabilities.data.iter().skip(1).step_by(2).copied().collect();
            AnomalyMap::new(probabilities.width, probabilities.height, values).ok_or_else(not_numbers)
        };
        // also where a GPU computes the rest: it is small
        let normalised = preprocess::grid(&image.data, image.width, self.kind);
        Ok(ViewMaps {
            segmentation: Some(anomalous(refined)?),
            dest: anomalous(detected)?,
            levels: [AnomalyMap::empty(), AnomalyMap::empty(), AnomalyMap::empty()],
            score: None,
            features: unit_vectors(&self.teacher.run(&normalised)),
        })
    }
}

impl Network for Dsr {
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps> {
        Box::pin(self.look(image))
    }

    fn features<'a>(&'a self, _: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]> {
        Box::pin(async {
            Err(Error::Model(
                "DSR has no student to look into: choose a model of DeSTSeg or STPM".into(),
            ))
        })
    }

    fn scores_first_map(&self) -> bool {
        true
    }
}
