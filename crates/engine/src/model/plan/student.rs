//! The student; see [`Student`](crate::model::student::Student) for what it is.

use destseg_kernels::dense::Dense;
use destseg_kernels::pool::Pool;
use destseg_kernels::resample::{Onto, bilinear, max_pool};
use destseg_kernels::{Activation, Grid};

use super::blocks::{Block, copy, run, stage};
use super::convolve;
use super::source::{Layout, PLAIN, Source};
use crate::Result;
use crate::config::{Stem, StudentConfig};

#[derive(Debug)]
pub(super) struct Student {
    stem: Dense,
    /// Whether a 3x3 maximum of stride 2 follows.
    pooled: bool,
    encoder: Vec<Vec<Block>>,
    /// Coarse to fine; empty in a student that is an encoder alone.
    decoder: Vec<Vec<Block>>,
    /// To the teacher's channels, fine to coarse.
    projections: Vec<Dense>,
}

impl Student {
    pub(super) fn new(config: &StudentConfig, source: &Source<'_>, side: usize) -> Result<Self> {
        let pooled = config.stem == Stem::Resnet;
        let stages = if config.decoder.is_some() { 4 } else { 3 };
        let encoder = (0..stages).map(|i| {
            let stride = if i == 0 && pooled { 1 } else { 2 };
            let output = side >> (2 + i);
            stage(
                source,
                &format!("encoder.layer{}", i + 1),
                config.blocks,
                stride,
                output * stride,
            )
        });
        let decoder = (1..=4).rev().filter(|_| config.decoder.is_some()).map(|i| {
            stage(
                source,
                &format!("decoder_layer{i}"),
                config.blocks,
                1,
                side >> (1 + i),
            )
        });
        let projections = (0..3)
            .filter(|_| config.projection)
            .map(|i| source.conv(&format!("projections.{i}"), side >> (2 + i)));
        let halving = Layout { stride: 2, ..PLAIN };
        Ok(Self {
            stem: source
                .folded("encoder.conv1", "encoder.bn1")?
                .dense(halving, side),
            pooled,
            encoder: encoder.collect::<Result<_>>()?,
            decoder: decoder.collect::<Result<_>>()?,
            projections: projections.collect::<Result<_>>()?,
        })
    }

    /// Features in the teacher's shapes, fine to coarse.
    pub(super) fn run(&self, image: &Grid, pool: &Pool) -> [Grid; 3] {
        let mut x = halved(
            convolve(&self.stem, image, 2, Activation::Relu, pool),
            self.pooled,
            pool,
        );
        let mut levels = Vec::with_capacity(4);
        for stage in &self.encoder {
            x = run(stage, x, pool);
            if self.decoder.is_empty() {
                levels.push(copy(&x, pool));
            }
        }
        if let Some((first, others)) = self.decoder.split_first() {
            x = run(first, x, pool);
            for stage in others {
                let mut large = pool.take(2 * x.height, 2 * x.width, x.channels);
                bilinear(&x, (&mut large).into(), Onto::Nothing);
                pool.give(x);
                x = run(stage, large, pool);
                levels.insert(0, copy(&x, pool));
            }
        }
        pool.give(x);
        for (level, projection) in levels.iter_mut().zip(&self.projections) {
            let projected = convolve(projection, level, 1, Activation::Linear, pool);
            pool.give(std::mem::replace(level, projected));
        }
        std::array::from_fn(|i| std::mem::take(&mut levels[i]))
    }
}

/// 3x3 maximum of stride 2, where the network has it.
pub(super) fn halved(x: Grid, pooled: bool, pool: &Pool) -> Grid {
    if !pooled {
        return x;
    }
    let mut out = pool.take(x.height.div_ceil(2), x.width.div_ceil(2), x.channels);
    max_pool(&x, &mut out);
    pool.give(x);
    out
}
