//! The CPU's own convolutions, for inference and training.
//!
//! A [`Grid`] is one image's feature map with the channels innermost, so that every kernel works on
//! vectors of channels and a 1x1 convolution is a matrix product as it stands. Weights are packed once,
//! for the vectors of the machine (`simd`); bias, shortcut and `ReLU` are part of the convolution
//! ([`Finish`]). Beside each kernel's tests stands the plain loop that it must equal (`reference.rs`).
//!
//! | file | what |
//! |---|---|
//! | `tile.rs` | the one inner loop: a few pixels times a panel of output channels, in registers |
//! | `conv.rs` | any dense convolution, as a product of pixels that are found where they lie |
//! | `dense.rs` | which of the two ways is quicker |
//! | `winograd.rs` | 3x3 convolutions of stride 1 with a quarter of the multiplications |
//! | `depthwise.rs` | convolutions within each channel |
//! | `resample.rs` | bilinear upsampling, pooling |
//! | `compare.rs` | what teacher and student features are compared by |
//! | `nearest.rs` | the nearest of many rows, for memory bank and codebook |
//! | `gradient.rs` | gradients of dense convolutions, for training |
//! | `norm.rs` | batch normalisation, there and back, for training |
//! | `pool.rs` | memory that goes from one layer to a later one |
//! | `threads.rs` | sharing work among threads, where there are any |

pub mod compare;
pub mod conv;
pub mod dense;
pub mod depthwise;
pub mod gradient;
pub mod nearest;
pub mod norm;
pub mod pool;
#[cfg(test)]
mod reference;
pub mod resample;
mod simd;
#[cfg(test)]
mod tests;
mod threads;
mod tile;
pub mod winograd;

pub use threads::{for_each, threads};

/// Values per pixel of one image: `data[(y * width + x) * channels + c]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
    /// All values.
    pub data: Vec<f32>,
}

impl Grid {
    /// A grid of zeros.
    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        let data = vec![0.0; height * width * channels];
        Self {
            height,
            width,
            channels,
            data,
        }
    }

    /// All channels from `first` on, to be written.
    pub fn from_channel(&mut self, first: usize) -> Target<'_> {
        Target { grid: self, first }
    }

    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    Linear,
    /// At least 0.
    Relu,
    /// Between 0 and 6.
    Relu6,
}

impl Activation {
    /// Smallest and largest value.
    pub fn bounds(self) -> [f32; 2] {
        match self {
            Self::Linear => [f32::NEG_INFINITY, f32::INFINITY],
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
        }
    }
}

/// What a convolution does with its sums, in this order: bias, shortcut, activation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added, of the output's shape.
    pub shortcut: Option<&'a Grid>,
    /// Instead of the convolution's own bias: one for each place of a pixel in the image, row by row
    /// first, middle and last.
    pub edges: Option<&'a [Vec<f32>; 9]>,
    /// Comes last.
    pub activation: Activation,
}

/// Where a convolution writes: the channels from `first` on of a grid.
#[derive(Debug)]
pub struct Target<'a> {
    /// The grid, of the output's height and width.
    pub grid: &'a mut Grid,
    /// Its first channel written.
    pub first: usize,
}

impl<'a> From<&'a mut Grid> for Target<'a> {
    fn from(grid: &'a mut Grid) -> Self {
        Self { grid, first: 0 }
    }
}
