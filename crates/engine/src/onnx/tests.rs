//! Whether graphs are well-formed, without a program that runs them.

use std::collections::BTreeSet;

use prost::Message as _;

use super::proto::{DataType, Model, OPSET, Size};
use super::*;
use crate::arch::weights::Array;
use crate::arch::{self, init, prefix};
use crate::config::{ModelConfig, Preset};
use crate::data::map::AnomalyMap;
use crate::inspect::{AppearanceRecord, FamiliarityRecord};
use crate::methods::draem::DraemSettings;
use crate::methods::dsr::{DsrConfig, DsrSettings};
use crate::methods::file::{Body, ModelHeader};
use crate::methods::patchcore::BankConfig;

/// Operators of opset 17 that onnxruntime, `OpenVINO` and `TensorRT` have.
const OPERATORS: &str = "\
    Abs Add And ArgMax AveragePool BatchNormalization Cast Clip Concat Conv ConvTranspose Div Equal Exp Expand \
    Flatten Floor Gather GatherElements GatherND GlobalAveragePool Greater GreaterOrEqual Identity \
    InstanceNormalization Less LessOrEqual Log MatMul Max MaxPool Min Mul Neg Not Or Range ReduceMax ReduceMean \
    ReduceMin ReduceSum ReduceSumSquare Relu Reshape Resize Shape Sigmoid Size Slice Softmax Sqrt Sub TopK Transpose \
    Unsqueeze Where";

fn zeros(shape: &[usize]) -> Array {
    Array {
        data: vec![0.0; shape.iter().product()],
        shape: shape.to_vec(),
    }
}

/// A file with all that a graph can hold; its weights are those that a training begins with.
fn file(body: Body) -> ModelFile {
    let mut weights = match &body {
        Body::Networks { config, .. } => arch::parts(config)
            .into_iter()
            .map(|(prefix, graph)| init::zeros(&graph).prefixed(prefix))
            .fold(Weights::default(), |mut all, own| {
                all.extend(own);
                all
            }),
        Body::Bank { config, .. } => {
            let mut weights = Weights::default();
            weights.insert("bank".into(), zeros(&[20, config.dimensions()]));
            weights
        }
        Body::Draem { config, .. } => init::zeros(&arch::draem(config.widths, config.input_size)),
        Body::Dsr { config, .. } => init::zeros(&config.graph()),
    };
    let mut header = ModelHeader::new(body);
    let teacher = arch::teacher(header.teacher(), header.input_size());
    weights.extend(init::zeros(&teacher).prefixed(prefix::TEACHER));
    let [_, middle, coarse] = header.teacher().channels();
    let channels = middle + coarse;
    for (name, size) in [
        ("mean", channels),
        ("whitening", channels * (channels + 1) / 2),
        ("template", 1024),
    ] {
        weights.insert(format!("familiarity.{name}"), zeros(&[size]));
    }
    let appearance = serde_json::json!({
        "light": [0.0, 0.0, 0.0], "light_limits": [1.0, 1.0, 1.0], "framing_mean": -1.0, "framing_limit": -0.5,
        "better_limits": [0.3, 0.3, 0.3],
    });
    let appearance: AppearanceRecord = serde_json::from_value(appearance).expect("is a record");
    header.familiarity = Some(FamiliarityRecord {
        limit: 1.33,
        good_distances: vec![0.8],
        two_kinds: None,
        appearance: Some(appearance),
    });
    header.calibration = Some(Calibration {
        good_scores: vec![0.1, 0.2],
        ..Calibration::default()
    });
    ModelFile { header, weights }
}

fn networks(config: ModelConfig) -> Body {
    Body::Networks {
        config: config.into(),
        training: None,
    }
}

fn model(file: &ModelFile, input: Input) -> Model {
    let bytes = export(file, None, input, Precision::F16).expect("exports");
    Model::decode(&bytes[..]).expect("is a model")
}

/// All methods, presets and layouts.
fn bodies() -> Vec<Body> {
    let mut bodies = Vec::new();
    for preset in [Preset::Compact, Preset::Paper] {
        let bank = BankConfig::preset(preset);
        bodies.push(networks(ModelConfig::stpm(preset)));
        bodies.push(Body::Bank {
            config: bank.clone(),
            training: None,
        });
        for fit in [
            InputLayout::Squash,
            InputLayout::Pad,
            InputLayout::Crop,
            InputLayout::Tile,
            InputLayout::Strip,
        ] {
            let mut config = ModelConfig::preset(preset);
            config.fit = fit;
            bodies.push(networks(config));
            bodies.push(Body::Bank {
                config: BankConfig { fit, ..bank.clone() },
                training: None,
            });
        }
    }
    for fit in [InputLayout::Squash, InputLayout::Strip] {
        let config = DraemSettings::preset(Preset::Compact).model;
        bodies.push(Body::Draem {
            config: DraemConfig { fit, ..config },
            training: None,
        });
        let config = DsrSettings::preset(Preset::Compact).model;
        bodies.push(Body::Dsr {
            config: DsrConfig { fit, ..config },
            training: None,
        });
    }
    bodies
}

#[test]
fn all_graphs_are_well_formed() {
    for body in bodies() {
        let file = file(body);
        for input in [Input::Image, Input::View] {
            let model = model(&file, input);
            assert_eq!((model.ir_version, model.opset_import[0].version), (8, OPSET));
            let graph = model.graph.expect("has a graph");
            let mut known = BTreeSet::new();
            let constants = graph.initializer.iter().map(|own| &own.name);
            let inputs = graph.input.iter().map(|own| &own.name);
            for name in constants.clone() {
                assert!(known.insert(name), "{name} is there twice");
            }
            for name in inputs {
                assert!(known.insert(name), "{name} is there twice");
            }
            for tensor in &graph.initializer {
                let size = tensor.dims.iter().product::<i64>() as usize;
                let bytes = match tensor.data_type {
                    own if own == DataType::Float as i32 => 4,
                    own if own == DataType::Float16 as i32 => 2,
                    own if own == DataType::Int64 as i32 => 8,
                    own => panic!("{} has type {own}", tensor.name),
                };
                let data = tensor.raw_data.as_ref().expect("has numbers");
                assert_eq!(data.len(), bytes * size, "{}", tensor.name);
            }
            for node in &graph.node {
                let operator = &*node.op_type;
                assert!(OPERATORS.split(' ').any(|own| own == operator), "{operator}");
                for name in node.input.iter().filter(|name| !name.is_empty()) {
                    assert!(known.contains(name), "{} needs {name}", node.name);
                }
                for name in &node.output {
                    assert!(known.insert(name), "{name} is there twice");
                }
            }
            assert!(graph.initializer.iter().any(|own| own.name == "threshold"));
            let outputs: Vec<&str> = graph.output.iter().map(|own| &*own.name).collect();
            assert!(outputs.iter().all(|&name| known.contains(&name.to_owned())));
            assert_eq!(outputs[..2], ["map", "score"]);
            assert!(
                outputs.ends_with(&["verdict", "decision_score", "p_value"]),
                "{outputs:?}"
            );
            let says = |key: &str, value: &str| {
                model
                    .metadata_props
                    .iter()
                    .any(|own| own.key == key && own.value == value)
            };
            assert!(says("destseg.promise", "0.05") && says("destseg.threshold", "0.5"));
            let shows_all = input == Input::Image || outputs.contains(&"distance");
            assert!(shows_all || !says("destseg.layout", "squash"));
        }
    }
}

#[test]
fn the_input_says_what_it_takes() {
    let file = file(networks(ModelConfig::preset(Preset::Compact)));
    for (input, name, expected) in [
        (Input::Image, "image", [None, None, None, Some(3)]),
        (Input::View, "view", [None, Some(3), Some(256), Some(256)]),
    ] {
        let graph = model(&file, input).graph.expect("has a graph");
        let own = &graph.input[0];
        assert_eq!(own.name, name);
        let kind = own.kind.clone().and_then(|own| own.tensor).expect("is a tensor");
        let sizes = kind.shape.expect("has a shape").dim.into_iter();
        let sizes: Vec<_> = sizes
            .map(|own| match own.size {
                Some(Size::Value(size)) => Some(size),
                _ => None,
            })
            .collect();
        assert_eq!(sizes, expected);
    }
}

#[test]
fn weights_are_halved_only_where_that_loses_nothing() {
    let mut b = Builder::new("g", Precision::F16);
    let exact = b.weights("exact", &[2], &[0.5, -3.0]);
    let inexact = b.weights("inexact", &[2], &[0.5, 0.1]);
    assert!(exact != "exact" && inexact == "inexact");
    let mut whole = Builder::new("g", Precision::F32);
    assert_eq!(whole.weights("exact", &[2], &[0.5, -3.0]), "exact");
    // names are the only ones, and constants are shared
    assert_eq!(whole.weights("exact", &[1], &[1.0]), "exact_2");
    assert_eq!(whole.number(1.0), whole.number(1.0));
}

#[test]
fn what_is_missing_is_named() {
    let mut own = file(networks(ModelConfig::preset(Preset::Compact)));
    let removed = own.weights.take_prefix(prefix::TEACHER);
    let error = export(&own, None, Input::Image, Precision::F16).expect_err("has no teacher");
    assert!(error.to_string().contains("--teacher"), "{error}");
    assert!(
        export(
            &own,
            Some(&removed.with_prefix(prefix::TEACHER)),
            Input::Image,
            Precision::F16
        )
        .is_ok()
    );
    own.weights.take("student_net.encoder.conv1.weight");
    let error = export(
        &own,
        Some(&removed.with_prefix(prefix::TEACHER)),
        Input::Image,
        Precision::F16,
    );
    let error = error.expect_err("lacks a tensor").to_string();
    assert!(error.contains("`encoder.conv1.weight` is missing"), "{error}");
}

#[test]
fn a_row_says_how_a_map_is_enlarged() {
    let mut b = Builder::new("g", Precision::F32);
    b.scaled_map("m", "x", 3, |line: &AnomalyMap| line.resize(6, 1));
    let graph = Model::decode(&b.file(("", ""), "", BTreeMap::new())[..])
        .expect("is a model")
        .graph;
    let graph = graph.expect("has a graph");
    let bytes = graph.initializer[0].raw_data.clone().expect("has numbers");
    let values: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|own| f32::from_le_bytes(*own))
        .collect();
    assert_eq!(graph.initializer[0].dims, [3, 6]);
    // each pixel of the result is made of shares that sum to 1
    for column in 0..6 {
        let sum: f32 = (0..3).map(|row| values[row * 6 + column]).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
