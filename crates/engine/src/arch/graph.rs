//! The language that networks are described in.

use destseg_kernels::Activation;
use destseg_kernels::conv::Shape;

use super::shapes::Shapes;
use super::weights::Weights;
use crate::Result;

/// A network: operations in the order of their computation.
///
/// All values are maps of `height x width` pixels with channels; the batch is not part of the description. Sizes are known
/// when the graph is built, so a graph is for one input size.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

/// The result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(usize);

/// An operation, what it is applied to, and the size of its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<Value>,
    /// Rows, columns and channels of the result.
    pub size: [usize; 3],
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A map from outside the network.
    Input,
    /// A convolution: tensors `NAME.weight` and, with a bias, `NAME.bias`.
    Conv(Conv),
    /// A transposed convolution: `NAME.weight` of shape `[inputs, outputs, kernel, kernel]`, and `NAME.bias`.
    ConvTranspose(ConvTranspose),
    /// Batch normalisation, then an activation: tensors `NAME.weight`, `NAME.bias`, `NAME.running_mean` and
    /// `NAME.running_var`.
    BatchNorm {
        /// Name of its tensors.
        name: String,
        /// The activation after it.
        activation: Activation,
    },
    /// Every channel of every image scaled to mean 0 and variance 1 over its pixels; no tensors.
    InstanceNorm,
    /// An activation alone.
    Activation(Activation),
    /// The sum of two maps of one size, then an activation.
    Add(Activation),
    /// The largest value of each neighbourhood.
    MaxPool(Pool),
    /// Bilinear resize to the size of the result.
    Resize(Corners),
    /// The mean of each channel: one pixel.
    Mean,
    /// Broadcasts one pixel to a whole map.
    Expand,
    /// All channels of several maps of one size, one behind the other.
    Concat,
    /// Exponentials of a pixel's channels, scaled to sum 1.
    Softmax,
    /// Each pixel's channels replaced by the nearest row of the codebook `NAME`, `[codes, channels]`.
    NearestCode {
        /// Name of the codebook's tensor.
        name: String,
        /// Rows of the codebook.
        codes: usize,
    },
}

/// A convolution of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Name of its tensors.
    pub name: String,
    /// Channels, kernel, stride, dilation and padding, as the kernels take them. Of a depthwise convolution both
    /// channel counts are the same.
    pub shape: Shape,
    /// Whether every channel has a filter of its own, `[channels, 1, kernel, kernel]`.
    pub depthwise: bool,
    /// Whether it has a bias.
    pub bias: bool,
    /// The activation after it.
    pub activation: Activation,
    /// Where the convolution uses a part of the tensor's input channels only: the first one, and how many the tensor
    /// has (see [`narrow_before_resizing`](super::narrow_before_resizing)).
    pub slice: Option<[usize; 2]>,
}

/// A transposed convolution of a [`Graph`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose {
    /// Name of its tensors.
    pub name: String,
    /// Channels of the input and of the output.
    pub channels: [usize; 2],
    /// Side of the kernel.
    pub kernel: usize,
    /// Distance of neighbouring inputs in the output.
    pub stride: usize,
    /// Rows and columns cut off on every side.
    pub padding: usize,
}

/// The neighbourhoods of a [`Op::MaxPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of a neighbourhood.
    pub kernel: usize,
    /// Distance of neighbouring ones.
    pub stride: usize,
    /// Rows and columns without values around the image.
    pub padding: usize,
}

/// Which points a bilinear resize keeps in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corners {
    /// The corners of the image (PyTorch's `align_corners=False`).
    OfImage,
    /// The centres of the corner pixels (`align_corners=True`).
    OfPixels,
}

/// Where a convolution sees zeros beyond the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    /// `dilation * (kernel / 2)` on all four sides, as PyTorch's networks do.
    Symmetric,
    /// TensorFlow's SAME: the odd one goes after the image.
    Same,
    /// As many on all four sides.
    Explicit(usize),
}

/// The layer of a convolution, before it is part of a graph. A plain one keeps the size and has no bias.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    outputs: Option<usize>,
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: Padding,
    bias: bool,
    activation: Activation,
}

impl Layer {
    /// A dense convolution.
    pub fn dense(outputs: usize, kernel: usize) -> Self {
        Self {
            outputs: Some(outputs),
            kernel,
            stride: 1,
            dilation: 1,
            padding: Padding::Symmetric,
            bias: false,
            activation: Activation::Linear,
        }
    }

    /// A convolution within each channel.
    pub fn depthwise(kernel: usize) -> Self {
        Self {
            outputs: None,
            ..Self::dense(0, kernel)
        }
    }

    /// With another distance of neighbouring outputs.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With another distance of neighbouring taps.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// With TensorFlow's padding.
    #[must_use]
    pub fn same(self) -> Self {
        Self {
            padding: Padding::Same,
            ..self
        }
    }

    /// With so many zeros on each side.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self {
            padding: Padding::Explicit(padding),
            ..self
        }
    }

    /// With a bias.
    #[must_use]
    pub fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// With an activation after it.
    #[must_use]
    pub fn activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// The shape for inputs of `side` pixels.
    fn shape(self, inputs: usize, side: usize) -> Shape {
        let reach = self.dilation * (self.kernel - 1);
        let padding = match self.padding {
            Padding::Symmetric => [reach / 2, 2 * (reach / 2)],
            Padding::Same => {
                let all = ((side.div_ceil(self.stride) - 1) * self.stride + reach + 1).saturating_sub(side);
                [all / 2, all]
            }
            Padding::Explicit(padding) => [padding, 2 * padding],
        };
        Shape {
            inputs,
            outputs: self.outputs.unwrap_or(inputs),
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            padding,
        }
    }
}

impl Value {
    /// Position of the node that computes it.
    pub fn index(self) -> usize {
        self.0
    }
}

impl Graph {
    /// A map from outside, of this many rows, columns and channels.
    pub fn input(&mut self, size: [usize; 3]) -> Value {
        let value = self.push(Op::Input, Vec::new(), size);
        self.inputs.push(value);
        value
    }

    /// Adds an operation of another graph, applied to values of this one.
    pub(super) fn copy(&mut self, op: Op, inputs: Vec<Value>, size: [usize; 3]) -> Value {
        match op {
            Op::Input => self.input(size),
            op => self.push(op, inputs, size),
        }
    }

    /// Adds an operation whose result has this size.
    fn push(&mut self, op: Op, inputs: Vec<Value>, size: [usize; 3]) -> Value {
        self.nodes.push(Node { op, inputs, size });
        Value(self.nodes.len() - 1)
    }

    /// Rows, columns and channels of a value.
    pub fn size(&self, x: Value) -> [usize; 3] {
        self.nodes[x.0].size
    }

    /// A convolution.
    pub fn conv(&mut self, x: Value, name: impl Into<String>, layer: Layer) -> Value {
        let [height, width, channels] = self.size(x);
        let shape = layer.shape(channels, height);
        let size = [shape.size(height), shape.size(width), shape.outputs];
        let conv = Conv {
            name: name.into(),
            shape,
            depthwise: layer.outputs.is_none(),
            bias: layer.bias,
            activation: layer.activation,
            slice: None,
        };
        self.push(Op::Conv(conv), vec![x], size)
    }

    /// A transposed convolution with bias.
    pub fn conv_transpose(
        &mut self,
        x: Value,
        name: impl Into<String>,
        outputs: usize,
        [kernel, stride, padding]: [usize; 3],
    ) -> Value {
        let [height, width, inputs] = self.size(x);
        let side = |side: usize| (side - 1) * stride + kernel - 2 * padding;
        let op = Op::ConvTranspose(ConvTranspose {
            name: name.into(),
            channels: [inputs, outputs],
            kernel,
            stride,
            padding,
        });
        self.push(op, vec![x], [side(height), side(width), outputs])
    }

    /// Batch normalisation.
    pub fn batch_norm(&mut self, x: Value, name: impl Into<String>, activation: Activation) -> Value {
        let name = name.into();
        self.push(Op::BatchNorm { name, activation }, vec![x], self.size(x))
    }

    /// Instance normalisation.
    pub fn instance_norm(&mut self, x: Value) -> Value {
        self.push(Op::InstanceNorm, vec![x], self.size(x))
    }

    /// An activation.
    pub fn activation(&mut self, x: Value, activation: Activation) -> Value {
        self.push(Op::Activation(activation), vec![x], self.size(x))
    }

    /// The sum of two maps of one size.
    pub fn add(&mut self, a: Value, b: Value, activation: Activation) -> Value {
        self.push(Op::Add(activation), vec![a, b], self.size(a))
    }

    /// The largest value of each neighbourhood.
    pub fn max_pool(&mut self, x: Value, pool: Pool) -> Value {
        let [height, width, channels] = self.size(x);
        let side = |side: usize| (side + 2 * pool.padding - pool.kernel) / pool.stride + 1;
        self.push(Op::MaxPool(pool), vec![x], [side(height), side(width), channels])
    }

    /// Bilinear resize; a map of that size stays as it is.
    pub fn resize(&mut self, x: Value, [height, width]: [usize; 2], corners: Corners) -> Value {
        let [rows, columns, channels] = self.size(x);
        if [rows, columns] == [height, width] {
            return x;
        }
        self.push(Op::Resize(corners), vec![x], [height, width, channels])
    }

    /// The mean of each channel.
    pub fn mean(&mut self, x: Value) -> Value {
        let [.., channels] = self.size(x);
        self.push(Op::Mean, vec![x], [1, 1, channels])
    }

    /// Broadcasts one pixel to a whole map.
    pub fn expand(&mut self, x: Value, [height, width]: [usize; 2]) -> Value {
        let [.., channels] = self.size(x);
        self.push(Op::Expand, vec![x], [height, width, channels])
    }

    /// Maps of one size, one behind the other.
    pub fn concat(&mut self, parts: Vec<Value>) -> Value {
        let [height, width, _] = self.size(parts[0]);
        let channels = parts.iter().map(|&part| self.size(part)[2]).sum();
        self.push(Op::Concat, parts, [height, width, channels])
    }

    /// Exponentials of a pixel's channels, scaled to sum 1.
    pub fn softmax(&mut self, x: Value) -> Value {
        self.push(Op::Softmax, vec![x], self.size(x))
    }

    /// The nearest row of a codebook.
    pub fn nearest_code(&mut self, x: Value, name: impl Into<String>, codes: usize) -> Value {
        let name = name.into();
        self.push(Op::NearestCode { name, codes }, vec![x], self.size(x))
    }

    /// Says what the network gives.
    #[must_use]
    pub fn with_outputs(mut self, outputs: impl Into<Vec<Value>>) -> Self {
        self.outputs = outputs.into();
        self
    }

    /// All operations in the order of their computation, with their results.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (Value, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (Value(i), node))
    }

    /// The operation that gives a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The maps from outside, in the order in which they are given.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// What the network gives.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// For each value how often it is used, as an operand or an output.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        for value in self
            .nodes
            .iter()
            .flat_map(|node| &node.inputs)
            .chain(&self.outputs)
        {
            uses[value.0] += 1;
        }
        uses
    }

    /// All convolutions.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.nodes.iter().filter_map(|node| match &node.op {
            Op::Conv(conv) => Some(conv),
            _ => None,
        })
    }

    /// The network's tensors among `weights`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing tensor.
    pub fn own(&self, weights: &Weights) -> Result<Weights> {
        let mut own = Weights::default();
        for (name, _) in self.tensors("").iter() {
            own.insert(name.to_owned(), weights.get(name)?.clone());
        }
        Ok(own)
    }

    /// Names and shapes of all tensors, `prefix` before the names.
    pub fn tensors(&self, prefix: &str) -> Shapes {
        let mut shapes = Shapes::default();
        for node in &self.nodes {
            let [.., channels] = node.size;
            let mut add = |name: &str, part: &str, shape: &[usize]| {
                shapes.insert(format!("{prefix}{name}{part}"), shape);
            };
            match &node.op {
                Op::Conv(conv) => {
                    add(&conv.name, ".weight", &conv.weight_shape());
                    if conv.bias {
                        add(&conv.name, ".bias", &[channels]);
                    }
                }
                Op::ConvTranspose(conv) => {
                    let [inputs, outputs] = conv.channels;
                    add(
                        &conv.name,
                        ".weight",
                        &[inputs, outputs, conv.kernel, conv.kernel],
                    );
                    add(&conv.name, ".bias", &[outputs]);
                }
                Op::BatchNorm { name, .. } => {
                    for part in [".weight", ".bias", ".running_mean", ".running_var"] {
                        add(name, part, &[channels]);
                    }
                }
                Op::NearestCode { name, codes } => add(name, "", &[*codes, channels]),
                Op::Input
                | Op::InstanceNorm
                | Op::Activation(_)
                | Op::Add(_)
                | Op::MaxPool(_)
                | Op::Resize(_)
                | Op::Mean
                | Op::Expand
                | Op::Concat
                | Op::Softmax => {}
            }
        }
        shapes
    }
}

impl Conv {
    /// Shape of the weights' tensor.
    pub fn weight_shape(&self) -> [usize; 4] {
        let Shape {
            inputs,
            outputs,
            kernel,
            ..
        } = self.shape;
        let inputs = match self.slice {
            Some([_, all]) => all,
            None if self.depthwise => 1,
            None => inputs,
        };
        [outputs, inputs, kernel, kernel]
    }
}
