//! Differences of teacher and student measured by what is usual on good images.
//!
//! The products of normalised features hardly change where a part only has another colour: the few
//! channels that vary most decide a cosine. Whitened by their covariance on good images, all
//! directions count alike (Mahalanobis, 1936; for features of a pretrained network: Rippel et al.,
//! "Modeling the distribution of normal data in pre-trained deep features", ICPR 2020). Not in the
//! paper; `docs/compact-model.md` has what it brings.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::features::Features;
use super::layers::ConvSpec;
use crate::config::{Evidence, ModelConfig};

/// One linear map per level, estimated from good images between the two stages; never trained.
#[derive(Module, Debug)]
pub struct Whitening {
    /// 1x1 convolutions from differences to whitened ones, at 1/4, 1/8 and 1/16 of the image's side.
    pub levels: Vec<Conv2d>,
}

impl Whitening {
    /// The maps of a configuration, still zero; none where the network does without.
    pub(super) fn of(config: &ModelConfig, device: &Device) -> Option<Self> {
        let evidence = config.segmentation.as_ref()?.evidence;
        let level = |channels| {
            ConvSpec {
                bias: true,
                ..ConvSpec::new(channels, channels, 1)
            }
            .init(device)
        };
        (evidence == Evidence::ProductsAndDifferences).then(|| Self {
            levels: config.teacher.channels().map(level).to_vec(),
        })
    }

    /// How unusual each whitened channel is: `ln(1 + w^2)`, `[batch, channels, height, width]` per level,
    /// of normalised features.
    pub(super) fn forward(&self, teacher: &Features, student: &Features) -> Vec<Tensor<4>> {
        let differences = teacher.clone().difference(student.clone());
        let levels = self.levels.iter().zip(differences);
        levels
            .map(|(level, difference)| level.forward(difference).square().log1p())
            .collect()
    }
}
