//! Residual blocks, which student, segmentation network and `ResNet` teacher share.

use destseg_kernels::dense::Dense;
use destseg_kernels::pool::Pool;
use destseg_kernels::{Activation, Finish, Grid};

use super::convolve;
use super::source::{Kernel, Layout, PLAIN, Source};
use crate::Result;

/// Two 3x3 convolutions and a way around them.
#[derive(Debug)]
pub(super) struct Block {
    stride: usize,
    first: Dense,
    second: Dense,
    shortcut: Option<Dense>,
}

impl Block {
    /// A block for inputs of `side` pixels; `kernel` gives the convolutions `conv1`, `conv2` and, where it
    /// has one, `downsample`.
    pub(super) fn new(
        stride: usize,
        side: usize,
        kernel: impl Fn(&str) -> Result<Kernel>,
        has_shortcut: bool,
    ) -> Result<Self> {
        let strided = Layout { stride, ..PLAIN };
        Ok(Self {
            stride,
            first: kernel("conv1")?.dense(strided, side),
            second: kernel("conv2")?.dense(PLAIN, side.div_ceil(stride)),
            shortcut: match has_shortcut {
                true => Some(kernel("downsample")?.dense(strided, side)),
                false => None,
            },
        })
    }

    fn run(&self, input: Grid, pool: &Pool) -> Grid {
        let hidden = convolve(&self.first, &input, self.stride, Activation::Relu, pool);
        let shortcut = match &self.shortcut {
            Some(conv) => {
                let shortcut = convolve(conv, &input, self.stride, Activation::Linear, pool);
                pool.give(input);
                shortcut
            }
            None => input,
        };
        let mut out = pool.take(hidden.height, hidden.width, self.second.outputs());
        let finish = Finish {
            shortcut: Some(&shortcut),
            edges: None,
            activation: Activation::Relu,
        };
        self.second.run(&hidden, &mut out, finish);
        pool.give(hidden);
        pool.give(shortcut);
        out
    }
}

/// Blocks in a row, named `name.0`, `name.1` and so on, with batch normalisation; the first has the stride.
pub(super) fn stage(
    source: &Source<'_>,
    name: &str,
    blocks: usize,
    stride: usize,
    side: usize,
) -> Result<Vec<Block>> {
    let block = |i: usize| {
        let (stride, side) = if i == 0 {
            (stride, side)
        } else {
            (1, side.div_ceil(stride))
        };
        let norm_of = |part: &str| match part {
            "conv1" => ("conv1", "bn1"),
            "conv2" => ("conv2", "bn2"),
            _ => ("downsample.0", "downsample.1"),
        };
        let kernel = |part: &str| {
            let (conv, norm) = norm_of(part);
            source.folded(&format!("{name}.{i}.{conv}"), &format!("{name}.{i}.{norm}"))
        };
        let has_shortcut = kernel("downsample").is_ok();
        Block::new(stride, side, kernel, has_shortcut)
    };
    (0..blocks).map(block).collect()
}

/// Runs them one after the other.
pub(super) fn run(stage: &[Block], input: Grid, pool: &Pool) -> Grid {
    stage.iter().fold(input, |x, block| block.run(x, pool))
}

/// A copy, for what is needed a second time.
pub(super) fn copy(grid: &Grid, pool: &Pool) -> Grid {
    let mut copy = pool.take(grid.height, grid.width, grid.channels);
    copy.data.copy_from_slice(&grid.data);
    copy
}
