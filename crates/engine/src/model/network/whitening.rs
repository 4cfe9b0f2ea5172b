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

use super::conv::{After, conv2d};
use super::features::Features;
use super::layers::ConvSpec;
use crate::config::{Evidence, ModelConfig};

/// Linear maps, estimated from good images between the two stages; never trained.
#[derive(Module, Debug)]
pub struct Whitening {
    /// 1x1 convolutions from differences to whitened ones, at 1/4, 1/8 and 1/16 of the image's side.
    pub levels: Vec<Conv2d>,
    /// The same for the teacher's features; empty where the network is not shown them.
    pub features: Vec<Conv2d>,
}

impl Whitening {
    /// The maps of a configuration, still zero; none where the network does without.
    pub(in crate::model) fn of(config: &ModelConfig, device: &Device) -> Option<Self> {
        let evidence = config.segmentation.as_ref()?.evidence;
        let level = |channels| {
            ConvSpec {
                bias: true,
                ..ConvSpec::new(channels, channels, 1)
            }
            .init(device)
        };
        let levels = |times: usize| {
            if evidence.times() >= times {
                config.teacher.channels().map(level).to_vec()
            } else {
                Vec::new()
            }
        };
        (evidence != Evidence::Products).then(|| Self {
            levels: levels(2),
            features: levels(3),
        })
    }

    /// How unusual each whitened channel is: `ln(1 + w^2)`, `[batch, channels, height, width]` per level,
    /// of normalised features.
    pub(super) fn forward(&self, teacher: &Features, student: &Features) -> Vec<Tensor<4>> {
        let unusual =
            |map: &Conv2d, vectors: Tensor<4>| conv2d(map, vectors, After::Nothing).square().log1p();
        let differences = teacher.clone().difference(student.clone());
        let mut all: Vec<Tensor<4>> = self
            .levels
            .iter()
            .zip(differences)
            .map(|(level, difference)| unusual(level, difference))
            .collect();
        let features = self.features.iter().zip(teacher.0.clone());
        for (level, (map, feature)) in all.iter_mut().zip(features) {
            *level = Tensor::cat(vec![level.clone(), unusual(map, feature)], 1);
        }
        all
    }
}
