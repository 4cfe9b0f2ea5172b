//! A network's graph on Burn, operation by operation.

use std::collections::BTreeMap;

use burn::nn::PaddingConfig2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::activation::softmax;
use burn::tensor::module::{batch_norm, batch_norm_train, conv_transpose2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::conv::Shape;

use super::conv::{activate, convolve};
use super::upsample::{bilinear, bilinear_of_pixels};
use crate::arch::graph::{Conv, Corners, Graph, Node, Op, Pool};
use crate::arch::weights::{Array, Weights};
use crate::arch::{BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM};
use crate::{Error, Result};

/// A network's tensors on a device, by the names of its graph; flat.
#[derive(Debug, Clone, Default)]
pub(super) struct Tensors(BTreeMap<String, Parameter>);

/// A tensor and the shape that it has in files.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) shape: Vec<usize>,
    /// Row-major.
    pub(super) values: Tensor<1>,
}

impl Parameter {
    /// From a file's array.
    pub(super) fn new(Array { shape, data }: &Array, device: &Device) -> Self {
        let values = TensorData::new(data.clone(), [data.len()]);
        Self {
            shape: shape.clone(),
            values: Tensor::from_data(values, device),
        }
    }

    fn kernel(&self) -> Tensor<4> {
        let mut shape = [1; 4];
        shape
            .iter_mut()
            .zip(&self.shape)
            .for_each(|(to, &from)| *to = from);
        self.values.clone().reshape(shape)
    }
}

impl Tensors {
    /// On a device without autodiff.
    pub(super) fn new(weights: &Weights, device: &Device) -> Self {
        let tensors = weights
            .iter()
            .map(|(name, array)| (name.to_owned(), Parameter::new(array, device)));
        Self(tensors.collect())
    }

    pub(super) fn get(&self, name: &str) -> Result<&Parameter> {
        self.0
            .get(name)
            .ok_or_else(|| Error::Model(format!("the tensor `{name}` is missing")))
    }

    pub(super) fn insert(&mut self, name: String, parameter: Parameter) {
        self.0.insert(name, parameter);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Parameter)> {
        self.0.iter()
    }

    /// The same tensors recorded for autodiff; gradients are wanted of all but running statistics.
    pub(super) fn recorded(&self) -> Self {
        let record = |(name, parameter): (&String, &Parameter)| {
            let values = match is_statistic(name) {
                true => parameter.values.clone(),
                false => Tensor::from_inner(parameter.values.clone()).require_grad(),
            };
            let shape = parameter.shape.clone();
            (name.clone(), Parameter { shape, values })
        };
        Self(self.0.iter().map(record).collect())
    }

    /// The tensors for inference: see [`arch::fold`](crate::arch::fold).
    pub(super) fn folded(&self, pairs: &[(String, String)]) -> Result<Self> {
        let mut folded = self.clone();
        for (conv, norm) in pairs {
            let part = |part: &str| Ok::<_, Error>(self.get(&format!("{norm}.{part}"))?.values.clone());
            let std = part("running_var")?.add_scalar(BATCH_NORM_EPSILON).sqrt();
            let scale = part("weight")? / std;
            let mut shift = part("bias")? - part("running_mean")? * scale.clone();
            if let Ok(bias) = self.get(&format!("{conv}.bias")) {
                shift = shift + bias.values.clone() * scale.clone();
            }
            let name = format!("{conv}.weight");
            let weight = self.get(&name)?;
            let [outputs] = scale.dims();
            let values = weight.kernel() * scale.reshape([outputs, 1, 1, 1]);
            let shape = weight.shape.clone();
            let values = values.flatten(0, 3);
            folded.insert(name, Parameter { shape, values });
            let shape = vec![outputs];
            folded.insert(format!("{conv}.bias"), Parameter { shape, values: shift });
        }
        Ok(folded)
    }
}

/// Whether a tensor is a running statistic of a batch normalisation.
pub(super) fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// How batches are normalised.
#[derive(Debug)]
pub(super) enum Mode<'a> {
    /// By running statistics.
    Inference,
    /// By the batch's own statistics; the running ones after it are written here.
    Training(&'a mut Vec<(String, Tensor<1>)>),
}

/// What a network gives for maps `[batch, channels, height, width]`.
///
/// # Errors
/// [`Error::Model`] naming a missing tensor.
pub(super) fn run(
    graph: &Graph,
    tensors: &Tensors,
    inputs: Vec<Tensor<4>>,
    mut mode: Mode<'_>,
) -> Result<Vec<Tensor<4>>> {
    let mut left = graph.uses();
    let mut inputs = inputs.into_iter();
    let mut values: Vec<Option<Tensor<4>>> = Vec::with_capacity(graph.len());
    for (_, node) in graph.nodes() {
        let mut operands = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let at = input.index();
            left[at] -= 1;
            // what nothing uses any more gives its memory back
            let operand = if left[at] == 0 {
                values[at].take()
            } else {
                values[at].clone()
            };
            operands.extend(operand);
        }
        let value = match node.op {
            Op::Input => inputs
                .next()
                .ok_or_else(|| Error::Model("a network got too few maps".into()))?,
            _ => operation(node, tensors, operands, &mut mode)?,
        };
        values.push(Some(value));
    }
    let output = |at: usize| values[at].clone();
    Ok(graph
        .outputs()
        .iter()
        .filter_map(|value| output(value.index()))
        .collect())
}

fn operation(
    node: &Node,
    tensors: &Tensors,
    operands: Vec<Tensor<4>>,
    mode: &mut Mode<'_>,
) -> Result<Tensor<4>> {
    let [height, width, channels] = node.size;
    let size = [height, width];
    if matches!(node.op, Op::Concat) {
        return Ok(Tensor::cat(operands, 1));
    }
    let mut operands = operands.into_iter();
    let mut next = || {
        operands
            .next()
            .ok_or_else(|| Error::Model("an operation got too few maps".into()))
    };
    let x = next()?;
    Ok(match &node.op {
        Op::Input | Op::Concat => x,
        Op::Conv(conv) => self::conv(conv, tensors, x)?,
        Op::ConvTranspose(conv) => {
            let weight = tensors.get(&format!("{}.weight", conv.name))?.kernel();
            let bias = tensors.get(&format!("{}.bias", conv.name))?.values.clone();
            let options = ConvTransposeOptions::new([conv.stride; 2], [conv.padding; 2], [0; 2], [1; 2], 1);
            conv_transpose2d(x, weight, Some(bias), options)
        }
        Op::BatchNorm { name, activation } => activate(normalise(name, tensors, x, mode)?, *activation),
        Op::InstanceNorm => {
            let mean = x.clone().mean_dims(&[2, 3]);
            let centred = x - mean;
            let variance = centred.clone().square().mean_dims(&[2, 3]);
            centred / variance.add_scalar(BATCH_NORM_EPSILON).sqrt()
        }
        Op::Activation(activation) => activate(x, *activation),
        Op::Add(activation) => activate(x + next()?, *activation),
        Op::MaxPool(Pool {
            kernel,
            stride,
            padding,
        }) => MaxPool2dConfig::new([*kernel; 2])
            .with_strides([*stride; 2])
            .with_padding(PaddingConfig2d::Explicit(*padding, *padding, *padding, *padding))
            .init()
            .forward(x),
        Op::Resize(Corners::OfImage) => bilinear(x, size),
        Op::Resize(Corners::OfPixels) => bilinear_of_pixels(x, size),
        Op::Mean => x.mean_dims(&[2, 3]),
        Op::Expand => {
            let [batch, ..] = x.dims();
            x.expand([batch, channels, height, width])
        }
        Op::Softmax => softmax(x, 1),
        Op::NearestCode { name, codes } => {
            let book = &tensors.get(name)?.values;
            nearest_code(x, book.clone().reshape([*codes, channels]))
        }
    })
}

fn conv(conv: &Conv, tensors: &Tensors, x: Tensor<4>) -> Result<Tensor<4>> {
    let Shape {
        inputs,
        kernel,
        stride,
        dilation,
        padding: [before, all],
        ..
    } = conv.shape;
    let mut weight = tensors.get(&format!("{}.weight", conv.name))?.kernel();
    if let Some([first, _]) = conv.slice {
        weight = weight.slice_dim(1, first..first + inputs);
    }
    let bias = match conv.bias {
        true => Some(tensors.get(&format!("{}.bias", conv.name))?.values.clone()),
        false => None,
    };
    let groups = if conv.depthwise { inputs } else { 1 };
    // a kernel of 1 has no dilation to speak of
    let dilation = if kernel == 1 { 1 } else { dilation };
    let padding = [(before, all - before); 2];
    let options = ConvOptions::new_with_padding([stride; 2], padding, [dilation; 2], groups);
    Ok(convolve(x, weight, bias, options, conv.activation))
}

/// Batch normalisation with PyTorch's running statistics: Burn averages the biased variance, PyTorch and so every published
/// checkpoint the unbiased one.
fn normalise(name: &str, tensors: &Tensors, x: Tensor<4>, mode: &mut Mode<'_>) -> Result<Tensor<4>> {
    let part = |part: &str| Ok::<_, Error>(tensors.get(&format!("{name}.{part}"))?.values.clone());
    let (gamma, beta) = (part("weight")?, part("bias")?);
    let (mean, variance) = (part("running_mean")?, part("running_var")?);
    let Mode::Training(statistics) = mode else {
        return Ok(batch_norm(x, gamma, beta, mean, variance, BATCH_NORM_EPSILON));
    };
    let [batch, _, height, width] = x.dims();
    let count = (batch * height * width) as f64;
    let result = batch_norm_train(x, gamma, beta, BATCH_NORM_EPSILON);
    let keep = |old: Tensor<1>, new: Tensor<1>| {
        old.mul_scalar(1.0 - BATCH_NORM_MOMENTUM)
            .add(new.mul_scalar(BATCH_NORM_MOMENTUM))
    };
    let unbiased = result.variance.inner().mul_scalar(count / (count - 1.0).max(1.0));
    statistics.push((format!("{name}.running_mean"), keep(mean, result.mean.inner())));
    statistics.push((format!("{name}.running_var"), keep(variance, unbiased)));
    Ok(result.output)
}

/// Each pixel's channels replaced by the nearest row of `book`; the gradient passes straight through.
fn nearest_code(x: Tensor<4>, book: Tensor<2>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let plain = |x: Tensor<4>| if x.device().is_autodiff() { x.inner() } else { x };
    let book = if book.device().is_autodiff() {
        book.inner()
    } else {
        book
    };
    let pixels = plain(x.clone())
        .permute([0, 2, 3, 1])
        .reshape([batch * height * width, channels]);
    let lengths = book.clone().square().sum_dim(1).transpose();
    // the pixel's own length is the same for all rows
    let distances = lengths - pixels.matmul(book.clone().transpose()).mul_scalar(2.0);
    let codes = distances.argmin(1).flatten::<1>(0, 1);
    let nearest = book
        .select(0, codes)
        .reshape([batch, height, width, channels])
        .permute([0, 3, 1, 2]);
    if x.device().is_autodiff() {
        let change = nearest - x.clone().inner();
        return x + Tensor::from_inner(change);
    }
    nearest
}
