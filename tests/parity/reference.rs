//! The reference's numbers, weights and inputs.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use destseg_engine::config::{ModelConfig, Preset};
use destseg_engine::files::teacher::{Teacher, fold};
use destseg_engine::arch::weights::{Weights, collect};
use destseg_engine::model::{DeSTSeg, prefix};
use serde_json::Value;

use crate::formula::teacher_shapes;
pub(crate) use crate::formula::{formula, formula_teacher, uniform};

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
