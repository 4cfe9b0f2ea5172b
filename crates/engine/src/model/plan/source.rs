//! Convolutions from a file's tensors.

use destseg_kernels::conv::Shape;
use destseg_kernels::dense::Dense;
use destseg_kernels::depthwise::Depthwise;

use crate::model::BATCH_NORM_EPSILON;
use crate::model::weights::{Array, Weights};
use crate::{Error, Result};

/// A network's tensors.
pub(crate) struct Source<'a> {
    weights: &'a Weights,
    /// Before all names.
    prefix: &'a str,
}

/// The zeros around an image.
#[derive(Clone, Copy)]
pub(crate) enum Padding {
    /// As many on all sides as keep the size at stride 1.
    Symmetric,
    /// TensorFlow's SAME: the odd one goes after the image.
    Same,
}

/// How a convolution is laid over its input.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) padding: Padding,
}

/// Every pixel, its direct neighbours, symmetric.
pub(crate) const PLAIN: Layout = Layout {
    stride: 1,
    dilation: 1,
    padding: Padding::Symmetric,
};

/// Weights and bias of a convolution.
pub(crate) struct Kernel {
    /// Outputs, inputs per group, side.
    pub(crate) shape: [usize; 3],
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(weights: &'a Weights, prefix: &'a str) -> Self {
        Self { weights, prefix }
    }

    fn get(&self, name: &str) -> Result<&'a Array> {
        self.weights.get(&format!("{}{name}", self.prefix))
    }

    /// The convolution `name`; without a bias of its own it has zeros.
    pub(crate) fn kernel(&self, name: &str) -> Result<Kernel> {
        let array = self.get(&format!("{name}.weight"))?;
        let [outputs, inputs, side, _] = array.shape[..] else {
            return Err(Error::Model(format!(
                "the tensor `{name}.weight` belongs to no convolution"
            )));
        };
        let bias_name = format!("{name}.bias");
        let bias = match self.get(&bias_name) {
            Ok(bias) => bias.data.clone(),
            Err(_) => vec![0.0; outputs],
        };
        Ok(Kernel {
            shape: [outputs, inputs, side],
            weights: array.data.clone(),
            bias,
        })
    }

    /// The convolution `conv` with the batch normalisation `norm` folded in.
    pub(crate) fn folded(&self, conv: &str, norm: &str) -> Result<Kernel> {
        let mut kernel = self.kernel(conv)?;
        let part = |part: &str| Ok::<_, Error>(&self.get(&format!("{norm}.{part}"))?.data);
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let per_output = kernel.weights.len() / kernel.shape[0].max(1);
        for (output, filter) in kernel.weights.chunks_exact_mut(per_output.max(1)).enumerate() {
            let scale = gamma[output] / (variance[output] + BATCH_NORM_EPSILON as f32).sqrt();
            filter.iter_mut().for_each(|weight| *weight *= scale);
            kernel.bias[output] = beta[output] + (kernel.bias[output] - mean[output]) * scale;
        }
        Ok(kernel)
    }

    /// A plain convolution for images of `side` pixels.
    pub(crate) fn conv(&self, name: &str, side: usize) -> Result<Dense> {
        Ok(self.kernel(name)?.dense(PLAIN, side))
    }
}

impl Layout {
    /// The shape of a convolution of inputs of `side` pixels.
    pub(crate) fn shape(self, inputs: usize, outputs: usize, kernel: usize, side: usize) -> Shape {
        let reach = self.dilation * (kernel - 1);
        let padding = match self.padding {
            Padding::Symmetric => [reach / 2, 2 * (reach / 2)],
            Padding::Same => {
                let all = ((side.div_ceil(self.stride) - 1) * self.stride + reach + 1).saturating_sub(side);
                [all / 2, all]
            }
        };
        Shape {
            inputs,
            outputs,
            kernel,
            stride: self.stride,
            dilation: self.dilation,
            padding,
        }
    }
}

impl Kernel {
    /// Packed for inputs of `side` pixels.
    pub(crate) fn dense(self, layout: Layout, side: usize) -> Dense {
        let [outputs, inputs, kernel] = self.shape;
        let shape = layout.shape(inputs, outputs, kernel, side);
        Dense::new(shape, side.div_ceil(layout.stride), &self.weights, self.bias)
    }

    /// The same for a convolution within each channel.
    ///
    /// # Errors
    /// [`Error::Model`] for a kernel that no known network has.
    pub(crate) fn depthwise(self, layout: Layout, side: usize) -> Result<Depthwise> {
        let [channels, _, kernel] = self.shape;
        let shape = layout.shape(channels, channels, kernel, side);
        Depthwise::new(shape, &self.weights, self.bias)
            .ok_or_else(|| Error::Model(format!("a depthwise convolution of {kernel}x{kernel} is unknown")))
    }
}
