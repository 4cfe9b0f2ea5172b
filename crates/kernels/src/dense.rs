//! The quickest of the ways to a dense convolution.

use crate::conv::{Conv, Shape};
use crate::winograd::{Winograd, share};
use crate::{Finish, Grid, Target};

/// A dense convolution with its weights.
#[derive(Debug, Clone)]
pub enum Dense {
    /// Any.
    Direct(Conv),
    /// 3x3 of stride 1.
    Winograd(Winograd),
}

impl Dense {
    /// Packs `weights` of shape `[outputs, inputs, kernel, kernel]` for images that give `side` outputs along
    /// their sides.
    pub fn new(shape: Shape, side: usize, weights: &[f32], bias: Vec<f32>) -> Self {
        let Shape {
            inputs,
            outputs,
            kernel,
            stride,
            dilation,
            padding,
        } = shape;
        let fits = (kernel, stride, padding) == (3, 1, [dilation, 2 * dilation]) && inputs >= 8;
        // its weights are four times as many, and few pixels would share the reading of them
        let enough = 4 * side * side >= inputs.max(outputs);
        if fits && enough && share(side, dilation) < 0.7 {
            Self::Winograd(Winograd::new(inputs, outputs, dilation, weights, bias))
        } else {
            Self::Direct(Conv::new(shape, weights, bias))
        }
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Direct(conv) => conv.outputs(),
            Self::Winograd(conv) => conv.outputs(),
        }
    }

    /// The convolution of `input`.
    pub fn run<'a>(&self, input: &Grid, target: impl Into<Target<'a>>, finish: Finish<'_>) {
        match self {
            Self::Direct(conv) => conv.run(input, target.into(), finish),
            Self::Winograd(conv) => conv.run(input, target.into(), finish),
        }
    }
}
