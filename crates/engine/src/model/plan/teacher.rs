//! The two teachers; see [`Teacher`](crate::model::teacher::Teacher).

use destseg_kernels::dense::Dense;
use destseg_kernels::depthwise::Depthwise;
use destseg_kernels::pool::Pool;
use destseg_kernels::{Activation, Finish, Grid};

use super::blocks::{Block, copy, run};
use super::convolve;
use super::source::{Layout, PLAIN, Padding, Source};
use super::student::halved;
use crate::Result;
use crate::config::TeacherKind;
use crate::model::teacher::{efficientnet, resnet};

#[derive(Debug)]
pub(super) enum Teacher {
    Resnet18 { stem: Dense, layers: Vec<Vec<Block>> },
    EfficientnetLite0 { stem: Dense, blocks: Vec<Inverted> },
}

impl Teacher {
    pub(super) fn new(kind: TeacherKind, source: &Source<'_>, side: usize) -> Result<Self> {
        match kind {
            TeacherKind::Resnet18 => {
                let layer = |i: usize| {
                    let block = |j: usize| {
                        let stride = if i > 0 && j == 0 { 2 } else { 1 };
                        let kernel = |part: &str| {
                            let part = if part == "downsample" {
                                "downsample.0"
                            } else {
                                part
                            };
                            source.kernel(&format!("layer{}.{j}.{part}", i + 1))
                        };
                        Block::new(stride, (side >> (2 + i)) * stride, kernel, stride == 2)
                    };
                    (0..resnet::BLOCKS).map(block).collect()
                };
                let halving = Layout { stride: 2, ..PLAIN };
                Ok(Self::Resnet18 {
                    stem: source.kernel("conv1")?.dense(halving, side),
                    layers: (0..3).map(layer).collect::<Result<_>>()?,
                })
            }
            TeacherKind::EfficientnetLite0 => {
                let stem = source.kernel("stem")?.dense(same(2), side);
                let mut blocks = Vec::new();
                let mut side = side.div_ceil(2);
                for (count, _, _, first, _) in efficientnet::STAGES {
                    for i in 0..count {
                        let stride = if i == 0 { first } else { 1 };
                        let name = format!("blocks.{}", blocks.len());
                        blocks.push(Inverted::new(source, &name, stride, side)?);
                        side = side.div_ceil(stride);
                    }
                }
                Ok(Self::EfficientnetLite0 { stem, blocks })
            }
        }
    }

    /// Features at 1/4, 1/8 and 1/16 of the image's side.
    pub(super) fn run(&self, image: &Grid, pool: &Pool) -> [Grid; 3] {
        let mut taps = Vec::with_capacity(3);
        let rest = match self {
            Self::Resnet18 { stem, layers } => {
                let x = convolve(stem, image, 2, Activation::Relu, pool);
                layers.iter().fold(halved(x, true, pool), |x, layer| {
                    let x = run(layer, x, pool);
                    taps.push(copy(&x, pool));
                    x
                })
            }
            Self::EfficientnetLite0 { stem, blocks } => {
                let x = convolve(stem, image, 2, Activation::Relu6, pool);
                blocks.iter().enumerate().fold(x, |x, (i, block)| {
                    let x = block.run(x, pool);
                    if efficientnet::TAPS.contains(&i) {
                        taps.push(copy(&x, pool));
                    }
                    x
                })
            }
        };
        pool.give(rest);
        std::array::from_fn(|i| std::mem::take(&mut taps[i]))
    }
}

fn same(stride: usize) -> Layout {
    Layout {
        stride,
        padding: Padding::Same,
        ..PLAIN
    }
}

/// Inverted residual block: expand, depthwise, project.
#[derive(Debug)]
pub(super) struct Inverted {
    expand: Option<Dense>,
    depthwise: Depthwise,
    stride: usize,
    project: Dense,
}

impl Inverted {
    fn new(source: &Source<'_>, name: &str, stride: usize, side: usize) -> Result<Self> {
        let expand = source.kernel(&format!("{name}.expand"));
        let depthwise = source.kernel(&format!("{name}.depthwise"))?;
        let project = source.kernel(&format!("{name}.project"))?;
        Ok(Self {
            expand: expand.ok().map(|kernel| kernel.dense(PLAIN, side)),
            depthwise: depthwise.depthwise(same(stride), side)?,
            stride,
            project: project.dense(PLAIN, side.div_ceil(stride)),
        })
    }

    fn run(&self, input: Grid, pool: &Pool) -> Grid {
        let wide = match &self.expand {
            Some(expand) => convolve(expand, &input, 1, Activation::Relu6, pool),
            None => copy(&input, pool),
        };
        let size = [wide.height, wide.width].map(|side| side.div_ceil(self.stride));
        let mut hidden = pool.take(size[0], size[1], wide.channels);
        self.depthwise.run(&wide, &mut hidden, Activation::Relu6);
        pool.give(wide);
        let mut out = pool.take(size[0], size[1], self.project.outputs());
        let residual = self.stride == 1 && out.channels == input.channels;
        let finish = Finish {
            shortcut: residual.then_some(&input),
            ..Finish::default()
        };
        self.project.run(&hidden, &mut out, finish);
        pool.give(hidden);
        pool.give(input);
        out
    }
}
