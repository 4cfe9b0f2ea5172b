//! Stages 2 and 3 of DSR (sections 3.2 and 3.3 of the paper).

use destseg_kernels::Grid;

use super::item::Corrupted;
use crate::Result;
use crate::arch::dsr::{self, DsrShape, prefix};
use crate::arch::graph::Graph;
use crate::arch::init::{Scheme, initialise};
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::backend::network::{FrozenNetwork, TrainedNetwork};
use crate::backend::optimiser::{Rule, StepSize};
use crate::inspect::not_numbers;
use crate::methods::draem::{focal, squared};

/// Weight of the object-specific image's error.
const IMAGE: f32 = 10.0;

/// The only output of a network.
pub(super) fn one_of(mut outputs: Vec<Grid>) -> Result<Grid> {
    outputs.pop().ok_or_else(not_numbers)
}

/// Gradients of a loss with this weight.
pub(super) fn scaled(mut gradients: Vec<Grid>, weight: f32) -> Vec<Grid> {
    let values = gradients.iter_mut().flat_map(|own| &mut own.data);
    values.for_each(|value| *value *= weight);
    gradients
}

/// The channels of two maps of one size, one behind the other.
fn beside(first: &Grid, second: &Grid) -> Grid {
    let mut both = Grid::zeros(first.height, first.width, first.channels + second.channels);
    let pixels = first
        .data
        .chunks_exact(first.channels)
        .zip(second.data.chunks_exact(second.channels));
    for (to, (a, b)) in both
        .data
        .chunks_exact_mut(first.channels + second.channels)
        .zip(pixels)
    {
        to[..a.len()].copy_from_slice(a);
        to[a.len()..].copy_from_slice(b);
    }
    both
}

/// What a stage begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    /// Widths of the networks.
    pub(super) shape: &'a DsrShape,
    /// Side of the images in pixels.
    pub(super) side: usize,
    /// Weights of the stages before.
    pub(super) known: &'a Weights,
    /// Of all other first weights.
    pub(super) seed: u64,
    /// How weights follow their gradients.
    pub(super) rule: Rule,
    /// Where to compute.
    pub(super) device: &'a Device,
}

impl Start<'_> {
    fn graph(&self, of: fn(&DsrShape, usize) -> Graph) -> Graph {
        of(self.shape, self.side)
    }

    /// A network to train.
    fn network(&self, graph: &Graph, rule: Rule) -> TrainedNetwork {
        let mut weights = initialise(graph, Scheme::Dsr, self.seed);
        for (name, _) in graph.tensors("").iter() {
            if let Ok(own) = self.known.get(name) {
                weights.insert(name.to_owned(), own.clone());
            }
        }
        TrainedNetwork::new(graph, weights, rule, self.device)
    }
}

/// What a step of stage 2 says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DetectionLosses {
    /// Mean squared errors of the restored features, coarse and fine.
    pub(super) features: [f32; 2],
    /// Mean squared error of the object-specific image.
    pub(super) image: f32,
    /// Focal loss of the anomaly detection module.
    pub(super) focal: f32,
}

impl DetectionLosses {
    /// The loss of subspace restriction and object-specific decoder.
    pub(super) fn restoration(&self) -> f32 {
        self.features[0] + self.features[1] + IMAGE * self.image
    }
}

/// Subspace restriction, object-specific decoder and anomaly detection while they are trained.
#[derive(Debug)]
pub(super) struct DetectionTraining {
    restoration: TrainedNetwork,
    detection: TrainedNetwork,
}

impl DetectionTraining {
    /// Around a VQ-VAE with the weights `known`. Networks that are among these start with them.
    pub(super) fn new(start: &Start<'_>) -> Self {
        let [restoration, detection] = [dsr::restoration, dsr::detection].map(|graph| start.graph(graph));
        Self {
            restoration: start.network(&restoration, start.rule.freezing(prefix::GENERAL)),
            detection: start.network(&detection, start.rule),
        }
    }

    /// A step. The anomaly detection module does not change what it is shown, so it is a step of its own.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn step(&mut self, items: &[Corrupted], size: StepSize) -> Result<DetectionLosses> {
        let all = |of: fn(&Corrupted) -> &Grid| -> Vec<Grid> {
            items.iter().map(|item| of(item).clone()).collect()
        };
        let shown = vec![all(|item| &item.shown[0]), all(|item| &item.shown[1])];
        let targets = [
            all(|item| &item.good[0]),
            all(|item| &item.good[1]),
            all(|item| &item.image),
        ];
        let loss = |outputs: &[&[Grid]]| {
            let (mut losses, mut gradients) = ([0.0; 3], Vec::new());
            let weights = [1.0, 1.0, IMAGE];
            for (i, (output, target)) in outputs.iter().zip(&targets).enumerate() {
                let (loss, gradient) = squared(output, target);
                losses[i] = loss;
                gradients.push(scaled(gradient, weights[i]));
            }
            ((losses, outputs[2].to_vec()), gradients)
        };
        let ([coarse, fine, image], objects) = self.restoration.step(shown, size, loss).await?;
        let pairs = objects.iter().zip(items);
        let images = pairs
            .map(|(object, item)| beside(object, &item.painted))
            .collect();
        let masks: Vec<Vec<u8>> = items.iter().map(|item| item.mask.clone()).collect();
        let focal = marked(&mut self.detection, images, &masks, size).await?;
        Ok(DetectionLosses {
            features: [coarse, fine],
            image,
            focal,
        })
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn weights(&self) -> Result<Weights> {
        let mut weights = self.restoration.weights().await?;
        weights.extend(self.detection.weights().await?);
        Ok(weights)
    }
}

/// A step of a U-Net; the focal loss.
async fn marked(
    network: &mut TrainedNetwork,
    shown: Vec<Grid>,
    masks: &[Vec<u8>],
    size: StepSize,
) -> Result<f32> {
    let loss = |outputs: &[&[Grid]]| {
        let (loss, gradient) = focal(outputs[0], masks);
        (loss, vec![gradient])
    };
    network.step(vec![shown], size, loss).await
}

/// The upsampling module while it is trained, behind all other networks.
#[derive(Debug)]
pub(super) struct UpsamplingTraining {
    evidence: FrozenNetwork,
    upsampling: TrainedNetwork,
}

impl UpsamplingTraining {
    /// Behind networks with the weights `known`. A module that is among these starts with them.
    ///
    /// # Errors
    /// [`crate::Error::Model`] naming a missing tensor.
    pub(super) fn new(start: &Start<'_>) -> Result<Self> {
        let [evidence, upsampling] = [dsr::evidence, dsr::upsampling].map(|graph| start.graph(graph));
        Ok(Self {
            evidence: FrozenNetwork::new(&evidence, &evidence.own(start.known)?, start.device)?,
            upsampling: start.network(&upsampling, start.rule),
        })
    }

    /// A step on images and the masks of their smudges; the focal loss.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn step(&mut self, images: &[Grid], masks: &[Vec<u8>], size: StepSize) -> Result<f32> {
        let mut shown = Vec::with_capacity(images.len());
        for image in images {
            shown.push(one_of(self.evidence.run(&[image]).await?)?);
        }
        marked(&mut self.upsampling, shown, masks, size).await
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn weights(&self) -> Result<Weights> {
        self.upsampling.weights().await
    }
}
