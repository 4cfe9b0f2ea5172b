//! The paper preset gives the numbers of the reference implementation: weights and inputs come
//! from a formula, expected activations from `../shared/fixtures` (`DESTSEG_SHARED` names another
//! folder). Where that is absent the tests say that they skipped.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use destseg::config::{ModelConfig, Preset, TeacherKind};
use destseg::map::AnomalyMap;
use destseg::model::file::parse_teacher;
use destseg::model::teacher::{Teacher, fold};
use destseg::model::weights::{Array, Weights, collect};
use destseg::model::{DeSTSeg, prefix};
use serde_json::Value;

/// Largest relative error of a summary on the CPU.
const TOLERANCE: f64 = 1e-5;

fn expected(name: &str) -> Option<Value> {
    let shared = std::env::var_os("DESTSEG_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = shared.join("fixtures").join(name);
    let Ok(text) = fs::read(&path) else {
        println!("skipped: {} is absent", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).expect("is JSON"))
}

/// The fixtures' portable random numbers in [-0.5, 0.5): a hash of a tensor's name and an index.
fn uniform(name: &str, count: usize) -> Vec<f32> {
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
fn formula(name: &str, shape: &[usize]) -> Array {
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
fn teacher_shapes() -> Vec<(String, Vec<usize>)> {
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

fn formula_teacher() -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in teacher_shapes() {
        let array = formula(&format!("{}{name}", prefix::TEACHER), &shape);
        weights.insert(name, array);
    }
    weights
}

/// The paper's network with formula weights, and how many parameters it has.
async fn paper(device: &Device) -> (DeSTSeg, usize) {
    let config = ModelConfig::preset(Preset::Paper);
    let is_parameter = |name: &str| !name.contains("running_");
    let mut parameters: usize = teacher_shapes()
        .iter()
        .filter(|(name, _)| is_parameter(name))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let folded = fold(TeacherKind::Resnet18, formula_teacher()).expect("folds");
    let teacher = Teacher::load(TeacherKind::Resnet18, &folded, device).expect("loads");
    let empty = DeSTSeg::new(&config, teacher, device).expect("builds");
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
    fill(
        collect(&empty.segmentation, prefix::SEGMENTATION)
            .await
            .expect("reads"),
    );
    (empty.load(&weights).expect("loads"), parameters)
}

fn input(name: &str, scale: f32, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = uniform(name, shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|u| scale * u).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec().expect("is f32")
}

/// Compares mean, deviation, extremes and samples, relative to the tensor's largest value.
fn check(what: &str, values: &[f32], expected: &Value, tolerance: f64) {
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

async fn forward(side: usize) {
    let Some(fixture) = expected("forward_train_expected.json") else {
        return;
    };
    let expected = &fixture[format!("forward_{side}")];
    let device = Device::flex();
    let (model, _) = paper(&device).await;
    let images = input(&format!("input_aug_{side}"), 4.0, [2, 3, side, side], &device);
    check("input", &values(&images), &expected["input"], TOLERANCE);

    for (what, levels) in [
        ("teacher", model.teacher.forward(images.clone()).0),
        ("student", model.student.forward(images.clone()).0),
        ("dist", model.similarity(images.clone()).distances()),
    ] {
        for (index, level) in levels.iter().enumerate() {
            let key = format!("{what}_{}", index + 1);
            check(&key, &values(level), &expected[&key], TOLERANCE);
        }
    }

    let output = model.forward(images);
    check("DeST", &values(&output.dest), &expected["de_st"], TOLERANCE);
    let segmentation = values(&output.segmentation);
    check(
        "segmentation",
        &segmentation,
        &expected["segmentation"],
        TOLERANCE,
    );
    let small = side / 4;
    let maps: Vec<AnomalyMap> = segmentation
        .chunks(small * small)
        .map(|map| AnomalyMap::new(small, small, map.to_vec()).expect("is a map"))
        .map(|map| map.resize(side, side))
        .collect();
    let up: Vec<f32> = maps.iter().flat_map(|map| map.values().to_vec()).collect();
    check("upsampled", &up, &expected["seg_up"], TOLERANCE);
    for (map, score) in maps
        .iter()
        .zip(expected["image_score_T100"].as_array().expect("a list"))
    {
        let error = (f64::from(map.score()) - score.as_f64().expect("is a number")).abs();
        assert!(error <= TOLERANCE, "the score is off by {error}");
    }
}

#[test]
fn formula_weights_are_the_fixtures() {
    let Some(fixture) = expected("forward_train_expected.json") else {
        return;
    };
    for (name, shape) in [
        ("teacher_net.encoder.conv1.weight", &[64, 3, 7, 7][..]),
        ("student_net.decoder_layer1.0.bn1.running_var", &[64]),
        ("segmentation_net.head.4.bias", &[1]),
    ] {
        let ours = formula(name, shape).data;
        for (ours, theirs) in ours
            .iter()
            .zip(fixture["weight_check"][name].as_array().expect("a list"))
        {
            let theirs = theirs.as_f64().expect("is a number");
            assert!(
                (f64::from(*ours) - theirs).abs() < 1e-7,
                "{name}: {ours} is not {theirs}"
            );
        }
    }
}

#[tokio::test]
async fn the_paper_network_has_as_many_parameters_as_published() {
    let (_, parameters) = paper(&Device::flex()).await;
    assert_eq!(parameters, 35_154_177);
}

#[tokio::test]
async fn activations_of_large_images_agree() {
    forward(256).await;
}

#[tokio::test]
async fn activations_of_small_images_agree() {
    forward(64).await;
}

#[test]
fn the_shipped_teacher_is_the_published_one() {
    // stored with 11 bits of mantissa
    const OF_HALF_PRECISION: f64 = 5e-3;
    let Some(fixture) = expected("efficientnet_lite0_expected.json") else {
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors");
    let (kind, weights) = parse_teacher(&fs::read(path).expect("reads")).expect("parses");
    let device = Device::flex();
    let teacher = Teacher::load(kind, &weights, &device).expect("loads");
    let images = input("input_effnet_256", 2.0, [2, 3, 256, 256], &device);
    let features = teacher.forward(images).0;
    for (level, block) in features.iter().zip(["block2", "block4", "block10"]) {
        let expected = &fixture["features"][block];
        let number = |key: &str| expected[key].as_f64().expect("is a number");
        let values = values(level);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let scale = number("max");
        let mut pairs = vec![(mean, number("mean"))];
        for (index, theirs) in expected["first5"].as_array().expect("a list").iter().enumerate() {
            pairs.push((f64::from(values[index]), theirs.as_f64().expect("is a number")));
        }
        for (ours, theirs) in pairs {
            let error = (ours - theirs).abs() / scale;
            assert!(error < OF_HALF_PRECISION, "{block}: {ours} instead of {theirs}");
        }
    }
}
