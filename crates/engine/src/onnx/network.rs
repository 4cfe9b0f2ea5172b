//! Networks as operations of ONNX: one more reader of [`crate::arch`]'s graphs. Maps are `[batch, channels, height, width]`.

use destseg_kernels::Activation;

use super::builder::{Builder, Name, float, int, ints, text};
use super::proto::Attribute;
use crate::Result;
use crate::arch::graph::{Conv, ConvTranspose, Corners, Graph, Node, Op, Pool};
use crate::arch::weights::Weights;
use crate::arch::{self, BATCH_NORM_EPSILON, prefix};
use crate::backend::cpu::weights::{Kernel, tensor};
use crate::config::{ModelConfig, TeacherKind};

/// Keeps a vector of zeros from being divided by zero; the kernels have the same.
const TINY: f32 = 1e-24;

impl Builder {
    /// What a network gives for these inputs; its weights have no prefix in `weights` and get this one in the file.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
    pub(super) fn network(
        &mut self,
        graph: &Graph,
        weights: &Weights,
        prefix: &str,
        inputs: &[&str],
    ) -> Result<Vec<Name>> {
        let graph = arch::narrow_before_resizing(graph);
        let mut network = Writer {
            builder: self,
            weights,
            prefix,
        };
        let mut inputs = inputs.iter();
        let mut values: Vec<Name> = Vec::with_capacity(graph.len());
        for (_, node) in graph.nodes() {
            let value = match (&node.op, inputs.as_slice()) {
                (Op::Input, [first, ..]) => {
                    inputs.next();
                    (*first).to_owned()
                }
                _ => {
                    let operands: Vec<&str> = node.inputs.iter().map(|own| &*values[own.index()]).collect();
                    let from = node.inputs.first().map(|&own| graph.size(own));
                    network.node(node, &operands, from.unwrap_or(node.size))?
                }
            };
            values.push(value);
        }
        let outputs = graph.outputs().iter();
        Ok(outputs.map(|output| values[output.index()].clone()).collect())
    }

    /// Every pixel's vector scaled to length 1.
    pub(super) fn normalised(&mut self, x: &str) -> Name {
        let squares = self.reduce("ReduceSumSquare", x, 1, true);
        let tiny = self.number(TINY);
        let sum = self.op("Add", [&squares, &tiny]);
        let length = self.op("Sqrt", [&sum]);
        self.op("Div", [x, &length])
    }

    /// Bilinear resize by a whole factor, with half-pixel centres.
    pub(super) fn enlarged(&mut self, x: &str, [from, to]: [usize; 2]) -> Name {
        self.resized(x, [[from; 2], [to; 2]], Corners::OfImage)
    }

    /// Bilinear resize; sizes are rows and columns.
    fn resized(&mut self, x: &str, [from, to]: [[usize; 2]; 2], corners: Corners) -> Name {
        if from == to {
            return x.to_owned();
        }
        let mode = match corners {
            Corners::OfImage => "half_pixel",
            Corners::OfPixels => "align_corners",
        };
        // sizes would need that of the batch, which is not known
        let [down, across] = [0, 1].map(|axis| scale(from[axis], to[axis]));
        let scales = self.weights("scales", &[4], &[1.0, 1.0, down, across]);
        self.node(
            "Resize",
            [x, "", &scales],
            vec![
                text("mode", "linear"),
                text("coordinate_transformation_mode", mode),
            ],
        )
    }
}

/// The factor between two sizes, of which ONNX takes the floor of the product.
fn scale(from: usize, to: usize) -> f32 {
    let scale = to as f32 / from as f32;
    match (from as f32 * scale) as usize >= to {
        true => scale,
        false => scale.next_up(),
    }
}

/// Writes one network.
struct Writer<'a> {
    builder: &'a mut Builder,
    weights: &'a Weights,
    prefix: &'a str,
}

impl Writer<'_> {
    /// An operation; the first operand has size `from`.
    fn node(&mut self, node: &Node, inputs: &[&str], from: [usize; 3]) -> Result<Name> {
        let [height, width, channels] = node.size;
        let x = inputs.first().copied().unwrap_or_default();
        let own = match &node.op {
            // there are as many inputs as the network has
            Op::Input => x.to_owned(),
            Op::Conv(conv) => self.conv(conv, x)?,
            Op::ConvTranspose(conv) => self.conv_transpose(conv, x)?,
            Op::BatchNorm { name, activation } => {
                let normal = self.batch_norm(name, channels, x)?;
                self.activation(*activation, normal)
            }
            Op::InstanceNorm => self.instance_norm(channels, x),
            Op::Activation(activation) => self.activation(*activation, x.to_owned()),
            Op::Add(activation) => {
                let sum = self.builder.op("Add", [x, inputs[1]]);
                self.activation(*activation, sum)
            }
            Op::MaxPool(pool) => self.builder.node("MaxPool", [x], pooling(*pool)),
            Op::Resize(corners) => {
                let sizes = [[from[0], from[1]], [height, width]];
                self.builder.resized(x, sizes, *corners)
            }
            Op::Mean => self.builder.op("GlobalAveragePool", [x]),
            Op::Expand => {
                let size = self.builder.integers(&[1, 1, height as i64, width as i64]);
                self.builder.op("Expand", [x, &size])
            }
            Op::Concat => {
                let inputs: Vec<Name> = inputs.iter().map(|&own| own.to_owned()).collect();
                self.builder.concat(&inputs, 1)
            }
            Op::Softmax => self.builder.node("Softmax", [x], vec![int("axis", 1)]),
            Op::NearestCode { name, codes } => self.nearest_code(name, [*codes, channels], x)?,
        };
        Ok(own)
    }

    /// The name of a layer's tensor in the file.
    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A tensor of the weights.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Name> {
        let array = tensor(self.weights, name, shape)?;
        let name = self.named(name);
        Ok(self.builder.weights(&name, shape, &array.data))
    }

    fn conv(&mut self, conv: &Conv, x: &str) -> Result<Name> {
        let (shape, name) = (&conv.shape, self.named(&conv.name));
        let kernel = Kernel::of(conv, self.weights)?;
        let inputs = if conv.depthwise { 1 } else { shape.inputs };
        let size = [shape.outputs, inputs, shape.kernel, shape.kernel];
        let mut operands = vec![
            x.to_owned(),
            self.builder
                .weights(&format!("{name}.weight"), &size, &kernel.weights),
        ];
        if conv.bias {
            let bias = self
                .builder
                .weights(&format!("{name}.bias"), &[shape.outputs], &kernel.bias);
            operands.push(bias);
        }
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        let side = |size: usize| [size as i64; 2];
        let [before, all] = shape.padding.map(|size| size as i64);
        let attributes = vec![
            ints("kernel_shape", &side(shape.kernel)),
            ints("strides", &side(shape.stride)),
            ints("dilations", &side(shape.dilation)),
            ints("pads", &[before, before, all - before, all - before]),
            int("group", if conv.depthwise { shape.outputs as i64 } else { 1 }),
        ];
        let [result] = self.builder.node_of(&name, "Conv", &operands, attributes);
        Ok(self.activation(conv.activation, result))
    }

    fn conv_transpose(&mut self, conv: &ConvTranspose, x: &str) -> Result<Name> {
        let [inputs, outputs] = conv.channels;
        let shape = [inputs, outputs, conv.kernel, conv.kernel];
        let weight = self.tensor(&format!("{}.weight", conv.name), &shape)?;
        let bias = self.tensor(&format!("{}.bias", conv.name), &[outputs])?;
        let attributes = vec![
            ints("kernel_shape", &[conv.kernel as i64; 2]),
            ints("strides", &[conv.stride as i64; 2]),
            ints("pads", &[conv.padding as i64; 4]),
        ];
        let [result] = self.builder.node_of(
            &self.named(&conv.name),
            "ConvTranspose",
            &[x, &weight, &bias],
            attributes,
        );
        Ok(result)
    }

    fn batch_norm(&mut self, name: &str, channels: usize, x: &str) -> Result<Name> {
        let mut part = |part: &str| self.tensor(&format!("{name}.{part}"), &[channels]);
        let [gamma, beta] = [part("weight")?, part("bias")?];
        let [mean, variance] = [part("running_mean")?, part("running_var")?];
        let epsilon = float("epsilon", BATCH_NORM_EPSILON as f32);
        Ok(self.builder.node(
            "BatchNormalization",
            [x, &gamma, &beta, &mean, &variance],
            vec![epsilon],
        ))
    }

    fn instance_norm(&mut self, channels: usize, x: &str) -> Name {
        let [ones, zeros] = [1.0, 0.0].map(|value| {
            self.builder
                .weights("instance_norm", &[channels], &vec![value; channels])
        });
        let epsilon = float("epsilon", BATCH_NORM_EPSILON as f32);
        self.builder
            .node("InstanceNormalization", [x, &ones, &zeros], vec![epsilon])
    }

    fn activation(&mut self, activation: Activation, x: Name) -> Name {
        match activation {
            Activation::Linear => x,
            Activation::Relu => self.builder.op("Relu", [&x]),
            Activation::Relu6 => {
                let [low, high] = activation.bounds().map(|bound| self.builder.number(bound));
                self.builder.op("Clip", [&x, &low, &high])
            }
        }
    }

    /// The row with the largest product less half its squared length is the nearest one.
    fn nearest_code(&mut self, name: &str, [codes, channels]: [usize; 2], x: &str) -> Result<Name> {
        let book = self.tensor(name, &[codes, channels])?;
        let last = self.builder.transpose(x, &[0, 2, 3, 1]);
        let index = self.builder.nearest_row(&last, &book, 3);
        let rows = self.builder.node("Gather", [&book, &index], vec![int("axis", 0)]);
        Ok(self.builder.transpose(&rows, &[0, 3, 1, 2]))
    }
}

impl Builder {
    /// For every vector of `x`, whose last axis is `axis`, the index of the nearest row of a matrix.
    pub(super) fn nearest_row(&mut self, x: &str, rows: &str, axis: i64) -> Name {
        let columns = self.transpose(rows, &[1, 0]);
        let products = self.op("MatMul", [x, &columns]);
        let squares = self.reduce("ReduceSumSquare", rows, 1, false);
        let minus_half = self.number(-0.5);
        let offsets = self.op("Mul", [&squares, &minus_half]);
        // half the squared distance without what is the same for all rows, negative
        let closeness = self.op("Add", [&products, &offsets]);
        self.node(
            "ArgMax",
            [&closeness],
            vec![int("axis", axis), int("keepdims", 0)],
        )
    }

    /// The teacher's features of an image that is normalised for it, at 1/4, 1/8 and 1/16 of its side.
    pub(super) fn teacher(
        &mut self,
        kind: TeacherKind,
        side: usize,
        weights: &Weights,
        image: &str,
    ) -> Result<Vec<Name>> {
        self.network(&arch::teacher(kind, side), weights, prefix::TEACHER, &[image])
    }
}

/// What teacher and student say about an image.
pub(super) struct Compared {
    /// The levels' distances, `[batch, 1, height, width]`.
    pub(super) distances: Vec<Name>,
    /// The segmentation network's map of probabilities, a quarter of the input's side, where there is such a network.
    pub(super) segmentation: Option<Name>,
}

/// The maps of a student-teacher model; `teacher` holds its features of the image.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming a missing or misshapen tensor.
pub(super) fn student_teacher(
    builder: &mut Builder,
    config: &ModelConfig,
    weights: &Weights,
    image: &str,
    teacher: &[Name],
) -> Result<Compared> {
    let own = weights.with_prefix(prefix::STUDENT);
    let student = builder.network(&arch::student(config), &own, prefix::STUDENT, &[image])?;
    let scale = builder.number(config.distance.scale());
    let one = builder.number(1.0);
    let (mut distances, mut products, mut differences, mut features) = (vec![], vec![], vec![], vec![]);
    for (teacher, student) in teacher.iter().zip(&student) {
        let [t, s] = [teacher, student].map(|own| builder.normalised(own));
        let product = builder.op("Mul", [&t, &s]);
        let cosine = builder.reduce("ReduceSum", &product, 1, true);
        let distance = builder.op("Sub", [&one, &cosine]);
        distances.push(builder.op("Mul", [&distance, &scale]));
        products.push(builder.op("Neg", [&product]));
        differences.push(builder.op("Sub", [&t, &s]));
        features.push(t);
    }
    let Some(graph) = arch::segmentation(config) else {
        return Ok(Compared {
            distances,
            segmentation: None,
        });
    };
    let mut shown: Vec<Vec<Name>> = products.into_iter().map(|own| vec![own]).collect();
    if let Some(whitening) = arch::whitening(config) {
        let inputs: Vec<&str> = differences.iter().chain(&features).map(String::as_str).collect();
        let inputs = &inputs[..whitening.inputs().len()];
        let own = weights.with_prefix(prefix::WHITENING);
        let whitened = builder.network(&whitening, &own, prefix::WHITENING, inputs)?;
        for (place, white) in whitened.iter().enumerate() {
            let square = builder.op("Mul", [white, white]);
            let sum = builder.op("Add", [&square, &one]);
            shown[place % 3].push(builder.op("Log", [&sum]));
        }
    }
    let shown: Vec<Name> = shown
        .iter()
        .map(|parts| match &parts[..] {
            [only] => only.clone(),
            parts => builder.concat(parts, 1),
        })
        .collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let own = weights.with_prefix(prefix::SEGMENTATION);
    let logits = builder.network(&graph, &own, prefix::SEGMENTATION, &shown)?;
    Ok(Compared {
        distances,
        segmentation: logits.first().map(|logits| builder.op("Sigmoid", [logits])),
    })
}

fn pooling(pool: Pool) -> Vec<Attribute> {
    vec![
        ints("kernel_shape", &[pool.kernel as i64; 2]),
        ints("strides", &[pool.stride as i64; 2]),
        ints("pads", &[pool.padding as i64; 4]),
    ]
}
