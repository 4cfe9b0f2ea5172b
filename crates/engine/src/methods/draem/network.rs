//! How DRAEM looks at an image.

use destseg_kernels::Grid;

use crate::arch;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::backend::network::FrozenNetwork;
use crate::data::map::AnomalyMap;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};
use crate::methods::beside::{TeacherBeside, anomalous};
use crate::{Error, Result};

use super::DraemConfig;

/// Both networks, and the teacher that says whether an image shows the model's part.
#[derive(Debug)]
pub(super) struct Draem {
    networks: FrozenNetwork,
    teacher: TeacherBeside,
}

impl Draem {
    /// The networks of a configuration with a file's `weights`; `teacher` holds folded ones.
    pub(super) fn new(
        config: &DraemConfig,
        weights: &Weights,
        teacher: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let graph = arch::draem(config.widths, config.input_size);
        Ok(Self {
            networks: FrozenNetwork::new(&graph, &graph.own(weights)?, device)?,
            teacher: TeacherBeside::new(config.teacher, teacher, config.input_size)?,
        })
    }

    async fn look(&self, image: &Grid) -> Result<ViewMaps> {
        let outputs = self.networks.run(&[image]).await?;
        let [reconstruction, probabilities] = outputs.as_slice() else {
            return Err(not_numbers());
        };
        let pixels = reconstruction
            .data
            .as_chunks::<3>()
            .0
            .iter()
            .zip(image.data.as_chunks::<3>().0);
        let error = |(ours, theirs): (&[f32; 3], &[f32; 3])| {
            ours.iter()
                .zip(theirs)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f32>()
                / 3.0
        };
        let errors = pixels.map(error).collect();
        let dest = AnomalyMap::new(image.width, image.height, errors).ok_or_else(not_numbers)?;
        Ok(self.teacher.maps(image, dest, anomalous(probabilities)?))
    }
}

impl Network for Draem {
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps> {
        Box::pin(self.look(image))
    }

    fn features<'a>(&'a self, _: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]> {
        Box::pin(async {
            Err(Error::Model(
                "DRAEM has no student to look into: choose a model of DeSTSeg or STPM".into(),
            ))
        })
    }
}
