//! How DSR looks at an image.

use destseg_kernels::Grid;

use super::DsrConfig;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::backend::network::FrozenNetwork;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};
use crate::methods::beside::{TeacherBeside, anomalous};
use crate::{Error, Result};

/// All networks, and the teacher that says whether an image shows the model's part.
#[derive(Debug)]
pub(super) struct Dsr {
    networks: FrozenNetwork,
    teacher: TeacherBeside,
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
            teacher: TeacherBeside::new(config.teacher, teacher, config.input_size)?,
        })
    }

    async fn look(&self, image: &Grid) -> Result<ViewMaps> {
        let outputs = self.networks.run(&[image]).await?;
        let [detected, refined] = outputs.as_slice() else {
            return Err(not_numbers());
        };
        Ok(self
            .teacher
            .maps(image, anomalous(detected)?, anomalous(refined)?))
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
