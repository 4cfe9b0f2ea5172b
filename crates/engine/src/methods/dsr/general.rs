//! Stage 1 of DSR: the VQ-VAE that paints any image from codes, and how the later stages use it, frozen.

use destseg_kernels::Grid;
use rand_pcg::Pcg64;

use super::codebook::{Codebook, Means};
use super::stages::{one_of, scaled};
use crate::Result;
use crate::arch::dsr::{self, COARSE_CODES, DsrShape, FINE_CODES};
use crate::arch::graph::Graph;
use crate::arch::init;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::backend::network::{FrozenNetwork, TrainedNetwork};
use crate::backend::optimiser::{Rule, StepSize};
use crate::methods::draem::squared;

/// Steps in which the features are not yet codes, and the largest share of the stage that they take. Codes that are drawn
/// before there are features collapse to a few.
const WARM_UP: usize = 70;
const MOST_WARM_UP: f64 = 0.25;
/// Weight of the distance between features and codes (van den Oord et al., 2017).
const COMMITMENT: f32 = 0.25;
/// The codebooks' tensors, coarse and fine.
const BOOKS: [&str; 2] = [COARSE_CODES, FINE_CODES];

fn frozen(graph: &Graph, weights: &Weights, device: &Device) -> Result<FrozenNetwork> {
    FrozenNetwork::new(graph, &graph.own(weights)?, device)
}

/// The frozen VQ-VAE.
#[derive(Debug)]
pub(super) struct General {
    encoder: FrozenNetwork,
    fine_encoder: FrozenNetwork,
    decoder: FrozenNetwork,
    codebooks: [Codebook; 2],
}

impl General {
    /// With these weights, for images of `side` pixels.
    ///
    /// # Errors
    /// [`crate::Error::Model`] naming a missing tensor.
    pub(super) fn new(shape: &DsrShape, side: usize, weights: &Weights, device: &Device) -> Result<Self> {
        let book = |name: &str| {
            Ok::<_, crate::Error>(Codebook::new(weights.get(name)?.data.clone(), shape.embedding))
        };
        Ok(Self {
            encoder: frozen(&dsr::encoder(shape, side), weights, device)?,
            fine_encoder: frozen(&dsr::fine_encoder(shape, side), weights, device)?,
            decoder: frozen(&dsr::general_decoder(shape, side), weights, device)?,
            codebooks: [book(COARSE_CODES)?, book(FINE_CODES)?],
        })
    }

    /// Of the coarse and of the fine level.
    pub(super) fn codebooks(&self) -> &[Codebook; 2] {
        &self.codebooks
    }

    /// What the fine level is computed from, and the features of the coarse one.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost, as the other functions.
    pub(super) async fn coarse(&self, image: &Grid) -> Result<[Grid; 2]> {
        let outputs = self.encoder.run(&[image]).await?;
        outputs.try_into().map_err(|_| crate::inspect::not_numbers())
    }

    /// The features of the fine level.
    pub(super) async fn fine(&self, encoded: &Grid, coarse: &Grid) -> Result<Grid> {
        one_of(self.fine_encoder.run(&[encoded, coarse]).await?)
    }

    /// The general decoder's image.
    pub(super) async fn image(&self, coarse: &Grid, fine: &Grid) -> Result<Grid> {
        one_of(self.decoder.run(&[coarse, fine]).await?)
    }
}

/// What a step of stage 1 says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GeneralLosses {
    /// Mean squared error of the image.
    pub(super) image: f32,
    /// Weighted distances of features and codes, coarse and fine.
    pub(super) commitments: [f32; 2],
}

/// The VQ-VAE while it is trained.
#[derive(Debug)]
pub(super) struct GeneralTraining {
    shape: DsrShape,
    side: usize,
    network: TrainedNetwork,
    /// Both codebooks, once there are codes.
    means: Option<[Means; 2]>,
    warm_up: usize,
    device: Device,
}

impl GeneralTraining {
    /// For images of `side` pixels, with so many steps in all.
    pub(super) fn new(shape: DsrShape, side: usize, steps: usize, seed: u64, device: &Device) -> Self {
        let graph = dsr::vq_vae(&shape, side, false);
        let weights = init::initialise(&graph, init::Scheme::Dsr, seed);
        Self {
            network: TrainedNetwork::new(&graph, weights, Rule::adam(), device),
            means: None,
            warm_up: WARM_UP.min((MOST_WARM_UP * steps as f64) as usize),
            device: device.clone(),
            shape,
            side,
        }
    }

    /// A network whose codes follow these means from the first step on.
    pub(super) fn with_codes(
        shape: DsrShape,
        side: usize,
        mut weights: Weights,
        means: [Means; 2],
        rule: Rule,
        device: &Device,
    ) -> Self {
        for (name, means) in BOOKS.into_iter().zip(&means) {
            weights.insert(name.into(), means.tensor());
        }
        let graph = dsr::vq_vae(&shape, side, true);
        Self {
            network: TrainedNetwork::new(&graph, weights, rule, device),
            means: Some(means),
            warm_up: 0,
            device: device.clone(),
            shape,
            side,
        }
    }

    /// A step on images. `size` counts the steps from the beginning of the stage.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn step(
        &mut self,
        images: Vec<Grid>,
        size: StepSize,
        rng: &mut Pcg64,
    ) -> Result<GeneralLosses> {
        if self.means.is_none() && size.step >= self.warm_up {
            self.begin_codes(&images, size.step, rng).await?;
        }
        let size = StepSize {
            // the optimiser begins anew with the codes
            step: if self.means.is_some() {
                size.step - self.warm_up
            } else {
                size.step
            },
            ..size
        };
        let means = &mut self.means;
        let loss = |outputs: &[&[Grid]]| {
            let (image, gradient) = squared(outputs[0], &images);
            let (mut commitments, mut gradients) = ([0.0; 2], vec![gradient]);
            let levels = commitments.iter_mut().zip(&outputs[1..]);
            for ((commitment, features), means) in levels.zip(means.iter_mut().flatten()) {
                let book = means.codebook();
                let codes: Vec<Vec<usize>> = features.iter().map(|own| book.nearest(own)).collect();
                let pairs = features.iter().zip(&codes);
                let targets: Vec<Grid> = pairs.map(|(own, codes)| book.map(own, codes)).collect();
                let (distance, gradient) = squared(features, &targets);
                *commitment = COMMITMENT * distance;
                gradients.push(scaled(gradient, COMMITMENT));
                means.follow(features, &codes);
                means.redraw(features, rng);
            }
            (GeneralLosses { image, commitments }, gradients)
        };
        let said = self.network.step(vec![images.clone()], size, loss).await?;
        for (name, means) in BOOKS.into_iter().zip(self.means.iter().flatten()) {
            self.network.set_tensor(name, means.tensor());
        }
        Ok(said)
    }

    /// Draws the codes from the features of some images, the fine ones after the coarse ones, on which they depend.
    async fn begin_codes(&mut self, images: &[Grid], step: usize, rng: &mut Pcg64) -> Result<()> {
        let weights = self.network.weights().await?;
        let encoder = frozen(&dsr::encoder(&self.shape, self.side), &weights, &self.device)?;
        let fine_encoder = frozen(&dsr::fine_encoder(&self.shape, self.side), &weights, &self.device)?;
        let (mut encoded, mut coarse, mut fine) = (Vec::new(), Vec::new(), Vec::new());
        for image in images {
            let mut outputs = encoder.run(&[image]).await?;
            coarse.extend(outputs.pop());
            encoded.extend(outputs.pop());
        }
        let coarse_means = Means::drawn(self.shape.codes, &coarse, rng);
        let book = coarse_means.codebook();
        for (encoded, coarse) in encoded.iter().zip(&coarse) {
            fine.push(one_of(
                fine_encoder.run(&[encoded, &book.quantised(coarse)]).await?,
            )?);
        }
        let means = [coarse_means, Means::drawn(self.shape.codes, &fine, rng)];
        *self = Self {
            warm_up: step,
            ..Self::with_codes(self.shape, self.side, weights, means, Rule::adam(), &self.device)
        };
        Ok(())
    }

    /// The weights as they are now, codebooks included.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub(super) async fn weights(&self) -> Result<Weights> {
        self.network.weights().await
    }
}
