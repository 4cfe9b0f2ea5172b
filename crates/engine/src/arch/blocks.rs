//! Blocks of convolutions that several networks are built of, under the names of PyTorch's sequences of layers.

use destseg_kernels::Activation::Relu;

use super::graph::{Corners, Graph, Layer, Pool, Value};

/// What follows each convolution of a block, before its `ReLU`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    /// Batch normalisation, whose tensors have the place behind the convolution's.
    Batch,
    /// Instance normalisation, which has no tensors.
    Instance,
}

impl Pool {
    /// The maximum of two by two pixels.
    pub const HALVING: Self = Self {
        kernel: 2,
        stride: 2,
        padding: 0,
    };
}

impl Graph {
    /// Two convolutions with normalisation and `ReLU`, of these widths.
    pub(super) fn pair(&mut self, norm: Norm, x: Value, name: &str, [first, second]: [usize; 2]) -> Value {
        let x = self.step(norm, x, name, 0, first);
        self.step(norm, x, name, 3, second)
    }

    /// Twice the size, then such a convolution.
    pub(super) fn enlarged(&mut self, norm: Norm, x: Value, name: &str, width: usize) -> Value {
        let [height, columns, _] = self.size(x);
        let x = self.resize(x, [2 * height, 2 * columns], Corners::OfPixels);
        self.step(norm, x, name, 1, width)
    }

    /// A 3x3 convolution with bias, normalisation and `ReLU`; `at` is its place among the layers of its block.
    fn step(&mut self, norm: Norm, x: Value, name: &str, at: usize, width: usize) -> Value {
        let x = self.conv(x, format!("{name}.{at}"), Layer::dense(width, 3).bias());
        match norm {
            Norm::Batch => self.batch_norm(x, format!("{name}.{}", at + 1), Relu),
            Norm::Instance => {
                let x = self.instance_norm(x);
                self.activation(x, Relu)
            }
        }
    }
}
