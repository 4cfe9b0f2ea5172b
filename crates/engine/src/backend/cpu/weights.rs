//! Convolutions from named tensors.

use destseg_kernels::dense::Dense;
use destseg_kernels::depthwise::Depthwise;

use crate::arch::graph::Conv;
use crate::arch::weights::{Array, Weights};
use crate::{Error, Result};

/// Weights and bias of a convolution.
pub(crate) struct Kernel {
    /// `[outputs, inputs, kernel, kernel]`, of a depthwise one `[channels, 1, kernel, kernel]`.
    pub(crate) weights: Vec<f32>,
    /// Zeros where it has none.
    pub(crate) bias: Vec<f32>,
}

/// A tensor, which must have this shape.
pub(crate) fn tensor<'a>(weights: &'a Weights, name: &str, shape: &[usize]) -> Result<&'a Array> {
    let array = weights.get(name)?;
    if array.shape != shape {
        return Err(Error::Model(format!(
            "the tensor `{name}` has shape {:?} instead of {shape:?}",
            array.shape
        )));
    }
    Ok(array)
}

impl Kernel {
    /// The tensors of a convolution; of a sliced one the weights that it uses.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub(crate) fn of(conv: &Conv, weights: &Weights) -> Result<Self> {
        let shape = conv.weight_shape();
        let all = tensor(weights, &format!("{}.weight", conv.name), &shape)?;
        let [outputs, inputs, ..] = shape;
        let own = match conv.slice {
            Some([first, _]) => columns(&all.data, [outputs, inputs * conv.shape.taps()], {
                let taps = conv.shape.taps();
                first * taps..(first + conv.shape.inputs) * taps
            }),
            None => all.data.clone(),
        };
        let bias = match conv.bias {
            true => tensor(weights, &format!("{}.bias", conv.name), &[outputs])?
                .data
                .clone(),
            false => vec![0.0; outputs],
        };
        Ok(Self { weights: own, bias })
    }

    /// Packed for inputs of `side` pixels.
    pub(crate) fn dense(self, conv: &Conv, side: usize) -> Dense {
        Dense::new(conv.shape, conv.shape.size(side), &self.weights, self.bias)
    }

    /// The same for a convolution within each channel.
    ///
    /// # Errors
    /// [`Error::Model`] for a kernel that no known network has.
    pub(crate) fn depthwise(self, conv: &Conv) -> Result<Depthwise> {
        Depthwise::new(conv.shape, &self.weights, self.bias).ok_or_else(|| {
            let kernel = conv.shape.kernel;
            Error::Model(format!("a depthwise convolution of {kernel}x{kernel} is unknown"))
        })
    }
}

/// Some columns of a matrix of `[rows, columns]`.
pub(crate) fn columns(matrix: &[f32], [_, width]: [usize; 2], range: std::ops::Range<usize>) -> Vec<f32> {
    let rows = matrix.chunks_exact(width.max(1));
    rows.flat_map(|row| &row[range.clone()]).copied().collect()
}
