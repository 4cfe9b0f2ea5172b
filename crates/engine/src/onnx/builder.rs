//! Writing a graph of ONNX one operation at a time.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;
use prost::Message as _;

use super::proto::{
    Attribute, AttributeType, DataType, Dimension, Entry, Graph, IR_VERSION, Model, Node, OPSET, OperatorSet,
    Shape, Size, Tensor, TensorType, Type, ValueInfo,
};
use crate::files::storage::Precision;

/// The name of a value in the graph.
pub(super) type Name = String;

/// Size of an axis of an input or output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis {
    /// Known.
    Fixed(usize),
    /// Known at run time; axes of one name have the same size.
    Free(&'static str),
}

/// A graph that grows.
#[derive(Debug)]
pub(super) struct Builder {
    graph: Graph,
    names: BTreeSet<Name>,
    /// Constants that are there already.
    constants: BTreeMap<String, Name>,
    precision: Precision,
}

impl Builder {
    /// A graph without operations, whose weights are stored in this precision where that loses nothing.
    pub(super) fn new(name: &str, precision: Precision) -> Self {
        Self {
            graph: Graph {
                name: name.into(),
                ..Graph::default()
            },
            names: BTreeSet::new(),
            constants: BTreeMap::new(),
            precision,
        }
    }

    /// This name, or this name with a number that makes it the only one.
    fn unique(&mut self, name: &str) -> Name {
        let numbered = (1..).map(|number| match number {
            1 => name.to_owned(),
            _ => format!("{name}_{number}"),
        });
        let free = numbered.into_iter().find(|name| !self.names.contains(name));
        let name = free.unwrap_or_default();
        self.names.insert(name.clone());
        name
    }

    /// An input of the graph.
    pub(super) fn input(&mut self, name: &str, element: DataType, shape: &[Axis], about: &str) -> Name {
        let name = self.unique(name);
        self.graph.input.push(info(&name, element, shape, about));
        name
    }

    /// A number that other programs find in the file by its name.
    pub(super) fn setting(&mut self, name: &str, value: f32) -> Name {
        let name = self.unique(name);
        let bytes = value.to_le_bytes().to_vec();
        self.graph
            .initializer
            .push(tensor(&name, &[1], DataType::Float, bytes));
        name
    }

    /// Gives a value this name as an output of the graph.
    pub(super) fn output(&mut self, name: &str, element: DataType, shape: &[Axis], about: &str, value: &str) {
        let name = self.unique(name);
        self.graph.node.push(Node {
            input: vec![value.to_owned()],
            output: vec![name.clone()],
            name: name.clone(),
            op_type: "Identity".into(),
            attribute: Vec::new(),
        });
        self.graph.output.push(info(&name, element, shape, about));
    }

    /// An operation with one result.
    pub(super) fn node<const N: usize>(
        &mut self,
        op: &str,
        inputs: [&str; N],
        attributes: Vec<Attribute>,
    ) -> Name {
        let [result] = self.node_of(op, op, &inputs, attributes);
        result
    }

    /// The same without attributes.
    pub(super) fn op<const N: usize>(&mut self, op: &str, inputs: [&str; N]) -> Name {
        self.node(op, inputs, Vec::new())
    }

    /// An operation that is called `name` with so many results.
    pub(super) fn node_of<const N: usize>(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        attribute: Vec<Attribute>,
    ) -> [Name; N] {
        let results: [Name; N] = std::array::from_fn(|_| self.unique(name));
        self.graph.node.push(Node {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: results.to_vec(),
            name: results[0].clone(),
            op_type: op.into(),
            attribute,
        });
        results
    }

    /// A number.
    pub(super) fn number(&mut self, value: f32) -> Name {
        self.constant(&format!("number {value:e}"), DataType::Float, &[], || {
            value.to_le_bytes().to_vec()
        })
    }

    /// A list of integers.
    pub(super) fn integers(&mut self, values: &[i64]) -> Name {
        self.constant(
            &format!("integers {values:?}"),
            DataType::Int64,
            &[values.len()],
            || values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    }

    /// One integer.
    pub(super) fn integer(&mut self, value: i64) -> Name {
        self.constant(&format!("integer {value}"), DataType::Int64, &[], || {
            value.to_le_bytes().to_vec()
        })
    }

    fn constant(
        &mut self,
        key: &str,
        element: DataType,
        shape: &[usize],
        bytes: impl FnOnce() -> Vec<u8>,
    ) -> Name {
        if let Some(name) = self.constants.get(key) {
            return name.clone();
        }
        let name = self.unique(&key.replace([',', '[', ']'], "").replace(' ', "_"));
        self.graph
            .initializer
            .push(tensor(&name, shape, element, bytes()));
        self.constants.insert(key.to_owned(), name.clone());
        name
    }

    /// Weights. They are stored as 16-bit numbers, which the graph casts, where all of them are such numbers.
    pub(super) fn weights(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Name {
        let is_half = |value: &f32| f16::from_f32(*value).to_f32().to_bits() == value.to_bits();
        let name = self.unique(name);
        if self.precision == Precision::F32 || !values.iter().all(is_half) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.graph
                .initializer
                .push(tensor(&name, shape, DataType::Float, bytes));
            return name;
        }
        let halves = values.iter().map(|&value| f16::from_f32(value));
        let bytes = halves.flat_map(f16::to_le_bytes).collect();
        self.graph
            .initializer
            .push(tensor(&name, shape, DataType::Float16, bytes));
        self.cast(&name, DataType::Float)
    }

    /// Another number type.
    pub(super) fn cast(&mut self, value: &str, to: DataType) -> Name {
        self.node("Cast", [value], vec![int("to", to as i64)])
    }

    /// The axes in another order.
    pub(super) fn transpose(&mut self, value: &str, order: &[i64]) -> Name {
        self.node("Transpose", [value], vec![ints("perm", order)])
    }

    /// The same values in another shape; 0 keeps an axis, -1 takes the rest.
    pub(super) fn reshape(&mut self, value: &str, shape: &[i64]) -> Name {
        let shape = self.integers(shape);
        self.op("Reshape", [value, &shape])
    }

    /// New axes of size 1.
    pub(super) fn unsqueeze(&mut self, value: &str, axes: &[i64]) -> Name {
        let axes = self.integers(axes);
        self.op("Unsqueeze", [value, &axes])
    }

    /// Values one behind the other along an axis.
    pub(super) fn concat(&mut self, values: &[Name], axis: i64) -> Name {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let [result] = self.node_of("Concat", "Concat", &values, vec![int("axis", axis)]);
        result
    }

    /// The part of an axis from `range.0` up to but without `range.1`.
    pub(super) fn slice(&mut self, value: &str, axis: i64, range: (i64, i64)) -> Name {
        let [start, end, axes] = [range.0, range.1, axis].map(|own| self.integers(&[own]));
        self.op("Slice", [value, &start, &end, &axes])
    }

    /// Reduces an axis by an operation such as `ReduceMax`; `keep` leaves it with size 1.
    pub(super) fn reduce(&mut self, op: &str, value: &str, axis: i64, keep: bool) -> Name {
        let keep = int("keepdims", i64::from(keep));
        if op == "ReduceSum" {
            let axes = self.integers(&[axis]);
            return self.node(op, [value, &axes], vec![keep]);
        }
        self.node(op, [value], vec![ints("axes", &[axis]), keep])
    }

    /// The file.
    pub(super) fn file(
        self,
        producer: (&str, &str),
        about: &str,
        metadata: BTreeMap<String, String>,
    ) -> Vec<u8> {
        self.model(producer, about, metadata).encode_to_vec()
    }

    fn model(self, producer: (&str, &str), about: &str, metadata: BTreeMap<String, String>) -> Model {
        let entry = |(key, value)| Entry { key, value };
        Model {
            ir_version: IR_VERSION,
            producer_name: producer.0.into(),
            producer_version: producer.1.into(),
            doc_string: about.into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet {
                domain: Some(String::new()),
                version: OPSET,
            }],
            metadata_props: metadata.into_iter().map(entry).collect(),
        }
    }
}

fn attribute(name: &str, kind: AttributeType) -> Attribute {
    Attribute {
        name: name.into(),
        kind: kind as i32,
        ..Attribute::default()
    }
}

/// An attribute that is an integer.
pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute {
        i: Some(value),
        ..attribute(name, AttributeType::Int)
    }
}

/// Several integers.
pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// A number.
pub(super) fn float(name: &str, value: f32) -> Attribute {
    Attribute {
        f: Some(value),
        ..attribute(name, AttributeType::Float)
    }
}

/// A text.
pub(super) fn text(name: &str, value: &str) -> Attribute {
    Attribute {
        s: Some(value.into()),
        ..attribute(name, AttributeType::String)
    }
}

fn tensor(name: &str, shape: &[usize], element: DataType, bytes: Vec<u8>) -> Tensor {
    Tensor {
        dims: shape.iter().map(|&size| size as i64).collect(),
        data_type: element as i32,
        name: name.into(),
        raw_data: Some(bytes),
    }
}

fn info(name: &str, element: DataType, shape: &[Axis], about: &str) -> ValueInfo {
    let size = |axis: &Axis| match axis {
        Axis::Fixed(size) => Size::Value(*size as i64),
        Axis::Free(name) => Size::Name((*name).into()),
    };
    let dim = shape.iter().map(|axis| Dimension {
        size: Some(size(axis)),
    });
    ValueInfo {
        name: name.into(),
        kind: Some(Type {
            tensor: Some(TensorType {
                element: element as i32,
                shape: Some(Shape { dim: dim.collect() }),
            }),
        }),
        doc_string: about.into(),
    }
}
