//! The reference's numbers, weights and inputs.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use destseg::config::{ModelConfig, Preset};
use destseg::model::teacher::{Teacher, fold};
use destseg::model::weights::{Array, Weights, collect};
use destseg::model::{DeSTSeg, prefix};
use serde_json::Value;

/// The folder of the specification and its numbers, which may be absent.
pub(crate) fn shared() -> PathBuf {
    std::env::var_os("DESTSEG_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

/// A file of expected numbers; `None`, with a note, where it is absent.
pub(crate) fn expected(name: &str) -> Option<Value> {
    let path = shared().join("fixtures").join(name);
    let Ok(text) = fs::read(&path) else {
        println!("skipped: {} is absent", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).expect("is JSON"))
}

/// The fixtures' portable random numbers in [-0.5, 0.5): a hash of a tensor's name and an index.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0..count as u32)
        .map(|index| {
            let mut x = index.wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            x ^= x >> 16;
            (f64::from(x) / 4_294_967_296.0 - 0.5) as f32
        })
        .collect()
}

/// The fixtures' weights for a tensor of the state dict.
pub(crate) fn formula(name: &str, shape: &[usize]) -> Array {
    let (offset, scale) = if let [_, inputs, height, width] = shape {
        (
            0.0,
            (2.0 * (6.0 / (inputs * height * width) as f64).sqrt()) as f32,
        )
    } else if name.ends_with("running_var") {
        (1.0, 0.4)
    } else if name.ends_with(".weight") {
        (1.0, 0.2)
    } else {
        (0.0, 0.2)
    };
    let data = uniform(name, shape.iter().product());
    Array {
        shape: shape.to_vec(),
        data: data.into_iter().map(|u| offset + scale * u).collect(),
    }
}

/// Names and shapes of torchvision's `resnet18` up to its third layer.
pub(crate) fn teacher_shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut unit = |conv: String, norm: String, shape: [usize; 4]| {
        shapes.push((format!("{conv}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    unit("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    for (layer, (inputs, outputs)) in [(64, 64), (64, 128), (128, 256)].into_iter().enumerate() {
        for block in 0..2 {
            let at = |part: &str| format!("layer{}.{block}.{part}", layer + 1);
            let inputs = if block == 0 { inputs } else { outputs };
            unit(at("conv1"), at("bn1"), [outputs, inputs, 3, 3]);
            unit(at("conv2"), at("bn2"), [outputs, outputs, 3, 3]);
            if inputs != outputs {
                unit(at("downsample.0"), at("downsample.1"), [outputs, inputs, 1, 1]);
            }
        }
    }
    shapes
}

pub(crate) fn formula_teacher() -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in teacher_shapes() {
        let array = formula(&format!("{}{name}", prefix::TEACHER), &shape);
        weights.insert(name, array);
    }
    weights
}

/// The paper's network with formula weights.
pub(crate) struct Paper {
    pub(crate) model: DeSTSeg,
    /// Student and segmentation network.
    pub(crate) weights: Weights,
    /// Numbers that PyTorch counts as parameters, the teacher's included.
    pub(crate) parameters: usize,
}

/// A network with the formula's teacher and nothing else.
pub(crate) fn empty(config: &ModelConfig, device: &Device) -> DeSTSeg {
    let folded = fold(config.teacher, &formula_teacher()).expect("folds");
    let teacher = Teacher::load(config.teacher, &folded, device).expect("loads");
    DeSTSeg::new(config, teacher, device).expect("builds")
}

pub(crate) async fn paper(device: &Device) -> Paper {
    let config = ModelConfig::preset(Preset::Paper);
    let is_parameter = |name: &str| !name.contains("running_");
    let mut parameters: usize = teacher_shapes()
        .iter()
        .filter(|(name, _)| is_parameter(name))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let empty = empty(&config, device);
    let mut weights = Weights::default();
    let mut fill = |own: Weights| {
        for (name, array) in own.iter() {
            if is_parameter(name) {
                parameters += array.data.len();
            }
            weights.insert(name.to_owned(), formula(name, &array.shape));
        }
    };
    fill(collect(&empty.student, prefix::STUDENT).await.expect("reads"));
    let segmentation = empty.segmentation.as_ref().expect("is there");
    fill(collect(segmentation, prefix::SEGMENTATION).await.expect("reads"));
    Paper {
        model: empty.load(&weights).expect("loads"),
        weights,
        parameters,
    }
}

pub(crate) fn input(name: &str, scale: f32, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = uniform(name, shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|u| scale * u).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().expect("is f32")
}

/// Compares mean, deviation, extremes and samples, relative to the tensor's largest value.
pub(crate) fn check(what: &str, values: &[f32], expected: &Value, tolerance: f64) {
    let number = |key: &str| expected[key].as_f64().expect("is a number");
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let extreme =
        |start: f64, pick: fn(f64, f64) -> f64| values.iter().map(|&v| f64::from(v)).fold(start, pick);
    let scale = number("min").abs().max(number("max").abs()).max(1.0);
    let close = |part: &str, ours: f64, theirs: f64| {
        let error = (ours - theirs).abs() / scale;
        assert!(error <= tolerance, "{what}, {part}: {ours} instead of {theirs}");
    };
    close("mean", mean, number("mean"));
    let deviation = number("std");
    // the fixtures' deviation is of a population or of a sample, which here is the same
    close("deviation", (square / count).sqrt(), deviation);
    close("minimum", extreme(f64::INFINITY, f64::min), number("min"));
    close("maximum", extreme(f64::NEG_INFINITY, f64::max), number("max"));
    let indices = expected["idx"].as_array().expect("is a list");
    let samples = expected["vals"].as_array().expect("is a list");
    for (index, sample) in indices.iter().zip(samples) {
        let index = index.as_u64().expect("is an index") as usize;
        close(
            &format!("value {index}"),
            f64::from(values[index]),
            sample.as_f64().expect("is a number"),
        );
    }
}
