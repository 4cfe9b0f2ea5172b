//! The segmentation network; see [`Segmentation`](crate::model::segmentation::Segmentation).

use destseg_kernels::dense::Dense;
use destseg_kernels::pool::Pool;
use destseg_kernels::resample::{Onto, bilinear, mean};
use destseg_kernels::{Activation, Finish, Grid};

use super::blocks::{Block, run, stage};
use super::convolve;
use super::source::{Kernel, Layout, PLAIN, Source};
use crate::Result;
use crate::config::{SegmentationConfig, TeacherKind};

#[derive(Debug)]
pub(super) struct Segmentation {
    /// The 1x1 convolution that narrows the input, a part for each level: they come before the upsampling,
    /// because both are linear and the coarse levels have few pixels.
    squeeze: Option<[Dense; 3]>,
    res: Vec<Block>,
    pooled: Pooled,
    atrous: Vec<Dense>,
    fusion: Dense,
    conv: Dense,
    out: Dense,
}

/// The pyramid's branch on the global mean. It is the same for all pixels, so what the fusion makes of it is
/// only a bias: one for each place in the image, because the fusion sees zeros beyond the edge.
#[derive(Debug)]
struct Pooled {
    branch: Dense,
    /// The fusion's weights of this branch: `[tap, input, output]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Segmentation {
    /// For maps of `side` pixels.
    pub(super) fn new(
        config: &SegmentationConfig,
        teacher: TeacherKind,
        source: &Source<'_>,
        side: usize,
    ) -> Result<Self> {
        let pyramid = "head.0.aspp_feature_extractors";
        let atrous = config.rates.iter().enumerate().map(|(i, &dilation)| {
            let name = format!("{pyramid}.{}", i + 1);
            let kernel = source.folded(&format!("{name}.conv"), &format!("{name}.norm"))?;
            Ok(kernel.dense(Layout { dilation, ..PLAIN }, side))
        });
        let atrous = atrous.collect::<Result<_>>()?;
        let fusion = source.folded("head.0.aspp_fusion_layer.conv", "head.0.aspp_fusion_layer.norm")?;
        let [pool, branches] = fusion.split([config.width, 3 * config.width]);
        let branch = source.folded(&format!("{pyramid}.0.1.conv"), &format!("{pyramid}.0.1.norm"))?;
        let squeeze = match config.squeeze {
            true => {
                let kernel = source.folded("squeeze.conv", "squeeze.norm")?;
                let each = kernel.shape[1] / teacher.channels().iter().sum::<usize>();
                let parts = kernel.split(teacher.channels().map(|channels| each * channels));
                let mut level = 0;
                Some(parts.map(|part| {
                    level += 1;
                    part.dense(PLAIN, side >> (level - 1))
                }))
            }
            false => None,
        };
        Ok(Self {
            squeeze,
            res: stage(source, "res", config.blocks, 1, side)?,
            pooled: Pooled::new(branch, &pool),
            atrous,
            // its bias comes with the pooled branch
            fusion: branches.dense(PLAIN, side),
            conv: source.folded("head.1", "head.2")?.dense(PLAIN, side),
            out: source.conv("head.4", side)?,
        })
    }

    /// The map of what the levels show, fine to coarse.
    pub(super) fn run(&self, evidence: Vec<Grid>, pool: &Pool) -> Grid {
        let x = match &self.squeeze {
            Some(parts) => squeezed(parts, &evidence, pool),
            None => stacked(&evidence, pool),
        };
        evidence.into_iter().for_each(|level| pool.give(level));
        let x = run(&self.res, x, pool);
        let edges = self.pooled.run(&x, pool);
        let mut branches = pool.take(x.height, x.width, 3 * x.channels);
        for (i, conv) in self.atrous.iter().enumerate() {
            let finish = Finish {
                activation: Activation::Relu,
                ..Finish::default()
            };
            conv.run(&x, branches.from_channel(i * x.channels), finish);
        }
        let mut fused = x;
        let finish = Finish {
            edges: Some(&edges),
            activation: Activation::Relu,
            ..Finish::default()
        };
        self.fusion.run(&branches, &mut fused, finish);
        pool.give(branches);
        let hidden = convolve(&self.conv, &fused, 1, Activation::Relu, pool);
        pool.give(fused);
        let mut map = convolve(&self.out, &hidden, 1, Activation::Linear, pool);
        pool.give(hidden);
        map.data
            .iter_mut()
            .for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
        map
    }
}

/// The squeezed levels, summed at the finest one's size.
fn squeezed(parts: &[Dense; 3], evidence: &[Grid], pool: &Pool) -> Grid {
    let [fine, coarser @ ..] = parts;
    let mut sum = convolve(fine, &evidence[0], 1, Activation::Linear, pool);
    for (i, (part, level)) in coarser.iter().zip(&evidence[1..]).enumerate() {
        let narrow = convolve(part, level, 1, Activation::Linear, pool);
        let last = i + 1 == coarser.len();
        let activation = if last {
            Activation::Relu
        } else {
            Activation::Linear
        };
        bilinear(&narrow, (&mut sum).into(), Onto::Sum(activation));
        pool.give(narrow);
    }
    sum
}

/// The levels at the finest one's size, one behind the other.
fn stacked(evidence: &[Grid], pool: &Pool) -> Grid {
    let channels = evidence.iter().map(|level| level.channels).sum();
    let mut all = pool.take(evidence[0].height, evidence[0].width, channels);
    let mut first = 0;
    for level in evidence {
        bilinear(level, all.from_channel(first), Onto::Nothing);
        first += level.channels;
    }
    all
}

impl Pooled {
    fn new(branch: Kernel, fusion: &Kernel) -> Self {
        let [outputs, inputs, side] = fusion.shape;
        let taps = side * side;
        let weight = |i: usize| {
            let (tap, input, output) = (i / (inputs * outputs), i / outputs % inputs, i % outputs);
            fusion.weights[(output * inputs + input) * taps + tap]
        };
        Self {
            branch: branch.dense(PLAIN, 1),
            weights: (0..taps * inputs * outputs).map(weight).collect(),
            bias: fusion.bias.clone(),
        }
    }

    /// The bias of the fusion for each place in the image, row by row first, middle and last.
    fn run(&self, x: &Grid, pool: &Pool) -> [Vec<f32>; 9] {
        let mean = Grid {
            height: 1,
            width: 1,
            channels: x.channels,
            data: mean(x),
        };
        let pooled = convolve(&self.branch, &mean, 1, Activation::Relu, pool);
        let outputs = self.bias.len();
        let taps = self
            .weights
            .chunks_exact(pooled.channels * outputs)
            .map(|weights| {
                let mut sums = vec![0.0; outputs];
                for (&value, weights) in pooled.data.iter().zip(weights.chunks_exact(outputs)) {
                    sums.iter_mut()
                        .zip(weights)
                        .for_each(|(sum, weight)| *sum += value * weight);
                }
                sums
            });
        let taps: Vec<Vec<f32>> = taps.collect();
        std::array::from_fn(|place| {
            // tap 0 of the first pixel and tap 2 of the last lie beyond the edge
            let inside = |place: usize, tap: usize| place == 1 || place != tap;
            let mut bias = self.bias.clone();
            for (tap, sums) in taps.iter().enumerate() {
                if inside(place / 3, tap / 3) && inside(place % 3, tap % 3) {
                    bias.iter_mut().zip(sums).for_each(|(all, own)| *all += own);
                }
            }
            bias
        })
    }
}

impl Kernel {
    /// The parts for consecutive runs of input channels; the bias stays with the first.
    fn split<const N: usize>(&self, inputs: [usize; N]) -> [Self; N] {
        let [outputs, all, side] = self.shape;
        let taps = side * side;
        let mut first = 0;
        inputs.map(|own| {
            let part = |output: usize| {
                let from = (output * all + first) * taps;
                &self.weights[from..from + own * taps]
            };
            let kernel = Self {
                shape: [outputs, own, side],
                weights: (0..outputs).flat_map(part).copied().collect(),
                bias: if first == 0 {
                    self.bias.clone()
                } else {
                    vec![0.0; outputs]
                },
            };
            first += own;
            kernel
        })
    }
}
