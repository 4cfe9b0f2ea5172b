//! Inference on the CPU: a network's graph made into a program once, then run on one image after the other.
//!
//! What the program does differently from the graph: batch normalisation is folded; bias, shortcut and activation belong
//! to the convolution before them; concatenated maps are written side by side where they are computed; a branch that is
//! the same for all pixels is only a bias of the convolution that sees it ([`Edges`]); weights are packed once; memory is
//! used again.

use destseg_kernels::dense::Dense;
use destseg_kernels::depthwise::Depthwise;
use destseg_kernels::nearest::Rows;
use destseg_kernels::norm::Norm;
use destseg_kernels::pool::Pool as Memory;
use destseg_kernels::resample::{Onto, bilinear, mean};
use destseg_kernels::{Activation, Finish, Grid};

use super::operations::{self, Transposed, activate, copy_channels, nearest_code, repeat};
use super::weights::{Kernel, columns, tensor};
use crate::arch::graph::{Conv, Corners, Graph, Node, Op, Pool, Value};
use crate::arch::weights::Weights;
use crate::arch::{BATCH_NORM_EPSILON, fold, narrow_before_resizing};
use crate::{Error, Result};

/// A network for images of one size.
#[derive(Debug)]
pub struct Program {
    steps: Vec<Step>,
    /// Rows, columns and channels of each register; a register is written whole or channel by channel.
    registers: Vec<[usize; 3]>,
    /// Registers whose memory is free after each step.
    freed: Vec<Vec<usize>>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

/// Where a result is written: a register, and its first channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    register: usize,
    first: usize,
}

/// What is computed at once.
#[derive(Debug)]
struct Step {
    kind: Kind,
    /// Registers that are read, as far as [`Kind`] does not say it.
    input: usize,
    to: Place,
}

#[derive(Debug)]
enum Kind {
    Conv {
        conv: Dense,
        shortcut: Option<usize>,
        /// A branch that is the same for all pixels: its register, and what the convolution makes of it.
        edges: Option<(usize, Edges)>,
        activation: Activation,
    },
    Depthwise {
        conv: Depthwise,
        activation: Activation,
    },
    ConvTranspose(Transposed),
    BatchNorm {
        norm: Norm,
        relu: bool,
    },
    InstanceNorm,
    Activation(Activation),
    Add {
        other: usize,
        activation: Activation,
    },
    MaxPool(Pool),
    Resize(Corners),
    /// Resized and added to what the register holds.
    ResizeOnto(Activation),
    Mean,
    Expand,
    Copy,
    Softmax,
    NearestCode(Rows),
}

impl Program {
    /// The program of a network with these weights, which have no prefix.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor.
    pub fn new(graph: &Graph, weights: &Weights) -> Result<Self> {
        let (graph, weights) = fold(graph, weights)?;
        let graph = narrow_before_resizing(&graph);
        Compiler::new(&graph, &weights).compile()
    }

    /// What the network gives for these inputs.
    pub fn run(&self, inputs: &[&Grid], memory: &Memory) -> Vec<Grid> {
        let mut registers: Vec<Register<'_>> = self.registers.iter().map(|_| Register::Empty).collect();
        for (&register, input) in self.inputs.iter().zip(inputs) {
            registers[register] = Register::Lent(input);
        }
        for (step, freed) in self.steps.iter().zip(&self.freed) {
            let to = step.to.register;
            let mut out = match std::mem::replace(&mut registers[to], Register::Empty) {
                Register::Own(grid) => grid,
                Register::Empty | Register::Lent(_) => {
                    let [height, width, channels] = self.registers[to];
                    memory.take(height, width, channels)
                }
            };
            step.run(&registers, &mut out);
            registers[to] = Register::Own(out);
            for &register in freed {
                if let Register::Own(grid) = std::mem::replace(&mut registers[register], Register::Empty) {
                    memory.give(grid);
                }
            }
        }
        self.outputs
            .iter()
            .map(
                |&output| match std::mem::replace(&mut registers[output], Register::Empty) {
                    Register::Own(grid) => grid,
                    Register::Lent(grid) => grid.clone(),
                    Register::Empty => Grid::default(),
                },
            )
            .collect()
    }
}

/// A value at run time.
enum Register<'a> {
    Empty,
    /// From outside.
    Lent(&'a Grid),
    Own(Grid),
}

/// What a register that no step has written holds.
static NOTHING: Grid = Grid {
    height: 0,
    width: 0,
    channels: 0,
    data: Vec::new(),
};

impl Register<'_> {
    fn grid(&self) -> &Grid {
        match self {
            Self::Own(grid) => grid,
            Self::Lent(grid) => grid,
            Self::Empty => &NOTHING,
        }
    }
}

impl Step {
    fn run(&self, registers: &[Register<'_>], out: &mut Grid) {
        let (input, first) = (registers[self.input].grid(), self.to.first);
        match &self.kind {
            Kind::Conv {
                conv,
                shortcut,
                edges,
                activation,
            } => {
                let edges = edges
                    .as_ref()
                    .map(|(pixel, edges)| edges.of(registers[*pixel].grid()));
                let finish = Finish {
                    shortcut: shortcut.map(|register| registers[register].grid()),
                    edges: edges.as_ref(),
                    activation: *activation,
                };
                conv.run(input, out.from_channel(first), finish);
            }
            Kind::Depthwise { conv, activation } => conv.run(input, out, *activation),
            Kind::ConvTranspose(conv) => conv.run(input, out),
            Kind::BatchNorm { norm, relu } => {
                norm.run(std::slice::from_ref(input), *relu, std::slice::from_mut(out));
            }
            Kind::InstanceNorm => {
                out.data.copy_from_slice(&input.data);
                operations::instance_norm(out);
            }
            Kind::Activation(activation) => {
                out.data.copy_from_slice(&input.data);
                activate(out, *activation);
            }
            Kind::Add { other, activation } => {
                let values = input.data.iter().zip(&registers[*other].grid().data);
                out.data
                    .iter_mut()
                    .zip(values)
                    .for_each(|(out, (a, b))| *out = a + b);
                activate(out, *activation);
            }
            Kind::MaxPool(pool) => operations::max_pool(input, *pool, out),
            Kind::Resize(corners) => operations::resize(input, *corners, out, first),
            Kind::ResizeOnto(activation) => bilinear(input, out.into(), Onto::Sum(*activation)),
            Kind::Mean => out.data.copy_from_slice(&mean(input)),
            Kind::Expand => repeat(&input.data, out),
            Kind::Copy => copy_channels(input, out, first),
            Kind::Softmax => {
                out.data.copy_from_slice(&input.data);
                operations::softmax(out);
            }
            Kind::NearestCode(book) => {
                out.data.copy_from_slice(&input.data);
                nearest_code(out, book);
            }
        }
    }

    /// Registers that are read.
    fn reads(&self) -> Vec<usize> {
        let mut reads = vec![self.input];
        match &self.kind {
            Kind::Conv { shortcut, edges, .. } => {
                reads.extend(shortcut);
                reads.extend(edges.as_ref().map(|(pixel, _)| *pixel));
            }
            Kind::Add { other, .. } => reads.push(*other),
            _ => {}
        }
        reads
    }
}

/// What a 3x3 convolution makes of channels that are the same for all pixels: a bias for each place in the image,
/// because the convolution sees zeros beyond the edge.
#[derive(Debug)]
struct Edges {
    /// `[tap, input, output]`.
    weights: Vec<f32>,
    /// Of the whole convolution.
    bias: Vec<f32>,
}

impl Edges {
    /// From weights `[outputs, inputs, 3, 3]` of these channels alone.
    fn new(weights: &[f32], [outputs, inputs, taps]: [usize; 3], bias: Vec<f32>) -> Self {
        let weight = |i: usize| {
            let (tap, input, output) = (i / (inputs * outputs), i / outputs % inputs, i % outputs);
            weights[(output * inputs + input) * taps + tap]
        };
        Self {
            weights: (0..taps * inputs * outputs).map(weight).collect(),
            bias,
        }
    }

    /// The bias for each place in the image, row by row first, middle and last.
    fn of(&self, pixel: &Grid) -> [Vec<f32>; 9] {
        let outputs = self.bias.len();
        let taps = self
            .weights
            .chunks_exact(pixel.channels * outputs)
            .map(|weights| {
                let mut sums = vec![0.0; outputs];
                for (&value, weights) in pixel.data.iter().zip(weights.chunks_exact(outputs)) {
                    sums.iter_mut()
                        .zip(weights)
                        .for_each(|(sum, weight)| *sum += value * weight);
                }
                sums
            });
        let taps: Vec<Vec<f32>> = taps.collect();
        std::array::from_fn(|place| {
            // tap 0 of the first pixel and tap 2 of the last lie beyond the edge
            let inside = |place: usize, tap: usize| place == 1 || place != tap;
            let mut bias = self.bias.clone();
            for (tap, sums) in taps.iter().enumerate() {
                if inside(place / 3, tap / 3) && inside(place % 3, tap % 3) {
                    bias.iter_mut().zip(sums).for_each(|(all, own)| *all += own);
                }
            }
            bias
        })
    }
}

/// Makes a program of a graph.
struct Compiler<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    uses: Vec<usize>,
    /// The operation that each value is an operand of, if it is just one.
    user: Vec<Option<Value>>,
    places: Vec<Option<Place>>,
    registers: Vec<[usize; 3]>,
    steps: Vec<Step>,
}

/// A value that becomes part of the step that uses it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fused {
    /// A convolution whose result is only added to something.
    IntoAdd,
    /// A resized map that is only added to something.
    OntoSum,
    /// A pixel, repeated for a convolution that sees it.
    AsEdges,
    /// A concatenation of which one part became [`Self::AsEdges`].
    Concat,
    No,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, weights: &'a Weights) -> Self {
        let mut user = vec![None; graph.len()];
        for (value, node) in graph.nodes() {
            for input in &node.inputs {
                user[input.index()] = Some(value);
            }
        }
        Self {
            uses: graph.uses(),
            user,
            places: vec![None; graph.len()],
            registers: Vec::new(),
            steps: Vec::new(),
            graph,
            weights,
        }
    }

    fn compile(mut self) -> Result<Program> {
        let mut inputs = Vec::new();
        for (value, node) in self.graph.nodes() {
            if node.op == Op::Input {
                let place = self.place_of(value);
                inputs.push(place.register);
            } else if matches!(self.fused(value), Fused::No | Fused::Concat) {
                self.node(value, node)?;
            }
        }
        let outputs: Vec<usize> = self
            .graph
            .outputs()
            .iter()
            .filter_map(|output| self.places[output.index()].map(|place| place.register))
            .collect();
        let mut freed = vec![Vec::new(); self.steps.len()];
        let mut is_last = vec![true; self.registers.len()];
        for register in inputs.iter().chain(&outputs) {
            is_last[*register] = false;
        }
        for (step, freed) in self.steps.iter().zip(&mut freed).rev() {
            for register in step.reads() {
                if std::mem::replace(&mut is_last[register], false) {
                    freed.push(register);
                }
            }
        }
        Ok(Program {
            steps: self.steps,
            registers: self.registers,
            freed,
            inputs,
            outputs,
        })
    }

    /// The one operation that uses a value.
    fn only_user(&self, value: Value) -> Option<(Value, &'a Node)> {
        let user = self.user[value.index()].filter(|_| self.uses[value.index()] == 1)?;
        Some((user, self.graph.node(user)))
    }

    /// Whether a value is computed by the step that uses it.
    fn fused(&self, value: Value) -> Fused {
        let Some((_, user)) = self.only_user(value) else {
            return Fused::No;
        };
        let is_resized = |value: &Value| {
            self.uses[value.index()] == 1 && self.graph.node(*value).op == Op::Resize(Corners::OfImage)
        };
        match (&self.graph.node(value).op, &user.op) {
            // the first of two resized maps is there to be added to
            (Op::Resize(Corners::OfImage), Op::Add(_)) if user.inputs[1] == value => Fused::OntoSum,
            (Op::Conv(conv), Op::Add(_))
                if !conv.depthwise
                    && conv.activation == Activation::Linear
                    && !is_resized(&user.inputs[1])
                    // of two convolutions the first one adds the second's result
                    && (user.inputs[0] == value || !self.is_convolution_alone(user.inputs[0])) =>
            {
                Fused::IntoAdd
            }
            (Op::Expand, Op::Concat) if self.edges_of(user).is_some_and(|(part, _)| part == value) => {
                Fused::AsEdges
            }
            (Op::Concat, Op::Conv(_)) if self.edges_of(self.graph.node(value)).is_some() => Fused::Concat,
            _ => Fused::No,
        }
    }

    fn is_convolution_alone(&self, value: Value) -> bool {
        let is_linear = |conv: &Conv| !conv.depthwise && conv.activation == Activation::Linear;
        self.uses[value.index()] == 1
            && matches!(&self.graph.node(value).op, Op::Conv(conv) if is_linear(conv))
    }

    /// The repeated pixel among concatenated maps which only a 3x3 convolution sees, and its first channel.
    fn edges_of(&self, concat: &Node) -> Option<(Value, usize)> {
        let (_, conv) = self
            .only_user(*concat.inputs.first()?)
            .and_then(|(concat, _)| self.only_user(concat))?;
        let Op::Conv(conv) = &conv.op else { return None };
        let shape = &conv.shape;
        if conv.depthwise
            || (shape.kernel, shape.stride, shape.padding) != (3, 1, [1, 2])
            || conv.slice.is_some()
        {
            return None;
        }
        let mut first = 0;
        for &part in &concat.inputs {
            if self.uses[part.index()] == 1 && self.graph.node(part).op == Op::Expand {
                return Some((part, first));
            }
            first += self.graph.size(part)[2];
        }
        None
    }

    /// Where a value is computed: among its neighbours, if it is only concatenated with them.
    fn place_of(&mut self, value: Value) -> Place {
        if let Some(place) = self.places[value.index()] {
            return place;
        }
        let place = self.place_among_others(value).unwrap_or_else(|| {
            let mut size = self.graph.size(value);
            if self.fused(value) == Fused::Concat
                && let Some((part, _)) = self.edges_of(self.graph.node(value))
            {
                size[2] -= self.graph.size(part)[2];
            }
            self.registers.push(size);
            Place {
                register: self.registers.len() - 1,
                first: 0,
            }
        });
        self.places[value.index()] = Some(place);
        place
    }

    fn place_among_others(&mut self, value: Value) -> Option<Place> {
        let (concat, user) = self.only_user(value)?;
        let writes_channels = match &self.graph.node(value).op {
            Op::Conv(conv) => !conv.depthwise,
            Op::Resize(_) => true,
            _ => false,
        };
        if !matches!(user.op, Op::Concat) || !writes_channels {
            return None;
        }
        let first = self.first_channel(user, value);
        let register = self.place_of(concat).register;
        Some(Place { register, first })
    }

    /// The first channel of a part of a concatenation, without what became [`Edges`].
    fn first_channel(&self, concat: &Node, value: Value) -> usize {
        let edges = self.edges_of(concat).map(|(part, _)| part);
        let before = concat.inputs.iter().take_while(|&&part| part != value);
        before
            .filter(|&&part| Some(part) != edges)
            .map(|&part| self.graph.size(part)[2])
            .sum()
    }

    fn register(&mut self, value: Value) -> usize {
        self.place_of(value).register
    }

    fn push(&mut self, value: Value, input: Value, kind: Kind) {
        let (input, to) = (self.register(input), self.place_of(value));
        self.steps.push(Step { kind, input, to });
    }

    fn node(&mut self, value: Value, node: &'a Node) -> Result<()> {
        let of = |i: usize| node.inputs[i];
        let kind = match &node.op {
            Op::Input => return Ok(()),
            Op::Conv(conv) => return self.conv(value, conv, of(0), None, conv.activation),
            Op::Add(activation) => return self.add(value, node, *activation),
            Op::Concat => {
                self.concat(value, node);
                return Ok(());
            }
            Op::ConvTranspose(conv) => {
                let [inputs, outputs] = conv.channels;
                let shape = [inputs, outputs, conv.kernel, conv.kernel];
                let weights = tensor(self.weights, &format!("{}.weight", conv.name), &shape)?;
                let bias = tensor(self.weights, &format!("{}.bias", conv.name), &[outputs])?;
                Kind::ConvTranspose(Transposed::new(
                    conv,
                    &weights.data,
                    bias.data.clone(),
                    node.size[0],
                ))
            }
            Op::BatchNorm { name, activation } => {
                let norm = self.norm(name, node.size[2])?;
                let relu = match activation {
                    Activation::Linear => false,
                    Activation::Relu => true,
                    Activation::Relu6 => {
                        return Err(Error::Model(format!(
                            "the normalisation `{name}` has an unusual activation"
                        )));
                    }
                };
                Kind::BatchNorm { norm, relu }
            }
            Op::InstanceNorm => Kind::InstanceNorm,
            Op::Activation(activation) => Kind::Activation(*activation),
            Op::MaxPool(pool) => Kind::MaxPool(*pool),
            Op::Resize(corners) => Kind::Resize(*corners),
            Op::Mean => Kind::Mean,
            Op::Expand => Kind::Expand,
            Op::Softmax => Kind::Softmax,
            Op::NearestCode { name, codes } => {
                let book = tensor(self.weights, name, &[*codes, node.size[2]])?;
                Kind::NearestCode(Rows::new(book.data.clone(), node.size[2]))
            }
        };
        self.push(value, of(0), kind);
        Ok(())
    }

    /// A batch normalisation that could not be folded, by its running statistics.
    fn norm(&self, name: &str, channels: usize) -> Result<Norm> {
        let part = |part: &str| {
            Ok::<_, Error>(
                tensor(self.weights, &format!("{name}.{part}"), &[channels])?
                    .data
                    .clone(),
            )
        };
        let variance = part("running_var")?;
        let inverse = variance
            .iter()
            .map(|v| (v + BATCH_NORM_EPSILON as f32).sqrt().recip());
        Ok(Norm {
            mean: part("running_mean")?,
            inverse: inverse.collect(),
            gamma: part("weight")?,
            beta: part("bias")?,
        })
    }

    /// A convolution; its result is written where `value` is.
    fn conv(
        &mut self,
        value: Value,
        conv: &Conv,
        input: Value,
        shortcut: Option<Value>,
        activation: Activation,
    ) -> Result<()> {
        let [side, ..] = self.graph.size(input);
        let mut kernel = Kernel::of(conv, self.weights)?;
        if conv.depthwise {
            let conv = kernel.depthwise(conv)?;
            self.push(value, input, Kind::Depthwise { conv, activation });
            return Ok(());
        }
        let mut own = conv.clone();
        let mut edges = None;
        if self.fused(input) == Fused::Concat
            && let Some((part, first)) = self.edges_of(self.graph.node(input))
        {
            let pixel = self.graph.node(part).inputs[0];
            let channels = self.graph.size(part)[2];
            let (taps, inputs, outputs) = (conv.shape.taps(), conv.shape.inputs, conv.shape.outputs);
            let matrix = [outputs, inputs * taps];
            let of_pixel = columns(&kernel.weights, matrix, first * taps..(first + channels) * taps);
            let before = columns(&kernel.weights, matrix, 0..first * taps);
            let behind = columns(&kernel.weights, matrix, (first + channels) * taps..inputs * taps);
            let (rows_before, rows_behind) = (first * taps, (inputs - first - channels) * taps);
            let row = |output: usize| {
                let before = &before[output * rows_before..][..rows_before];
                before
                    .iter()
                    .chain(&behind[output * rows_behind..][..rows_behind])
            };
            kernel.weights = (0..outputs).flat_map(row).copied().collect();
            own.shape.inputs -= channels;
            // the bias comes with the repeated pixel
            let bias = std::mem::replace(&mut kernel.bias, vec![0.0; outputs]);
            edges = Some((
                self.register(pixel),
                Edges::new(&of_pixel, [outputs, channels, taps], bias),
            ));
        }
        let shortcut = shortcut.map(|value| self.register(value));
        let conv = kernel.dense(&own, side);
        self.push(
            value,
            input,
            Kind::Conv {
                conv,
                shortcut,
                edges,
                activation,
            },
        );
        Ok(())
    }

    fn add(&mut self, value: Value, node: &'a Node, activation: Activation) -> Result<()> {
        let [a, b] = [node.inputs[0], node.inputs[1]];
        if self.fused(b) == Fused::OntoSum && self.uses[a.index()] == 1 && self.places[a.index()].is_some() {
            // in the place of the first operand, which nothing else reads
            let place = self.place_of(a);
            if place.first == 0 && self.registers[place.register] == node.size {
                self.places[value.index()] = Some(place);
                let narrow = self.graph.node(b).inputs[0];
                self.push(value, narrow, Kind::ResizeOnto(activation));
                return Ok(());
            }
        }
        for (own, other) in [(a, b), (b, a)] {
            if self.fused(own) == Fused::IntoAdd
                && let Op::Conv(conv) = &self.graph.node(own).op
            {
                return self.conv(
                    value,
                    conv,
                    self.graph.node(own).inputs[0],
                    Some(other),
                    activation,
                );
            }
        }
        if self.fused(b) == Fused::OntoSum {
            let resized = self.graph.node(b).inputs[0];
            self.push(b, resized, Kind::Resize(Corners::OfImage));
        }
        let other = self.register(b);
        self.push(value, a, Kind::Add { other, activation });
        Ok(())
    }

    /// Copies what could not be written in its place at once.
    fn concat(&mut self, value: Value, node: &'a Node) {
        let to = self.place_of(value);
        for &part in &node.inputs {
            let place = self.place_of_part(part);
            let first = self.first_channel(node, part);
            if let Some(place) = place
                && place.register != to.register
            {
                self.steps.push(Step {
                    kind: Kind::Copy,
                    input: place.register,
                    to: Place { first, ..to },
                });
            }
        }
    }

    /// Where a part of a concatenation is; none if it became [`Edges`].
    fn place_of_part(&mut self, part: Value) -> Option<Place> {
        (self.fused(part) != Fused::AsEdges).then(|| self.place_of(part))
    }
}
