//! Activations.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::model::Output;
use destseg_engine::methods::file::parse_teacher;
use destseg_engine::files::teacher::Teacher;

use crate::reference::{check, expected, formula, input, paper, values};

/// Largest relative error of a summary on the CPU.
const TOLERANCE: f64 = 1e-5;

/// Largest relative error on a GPU, whose drivers round and sum as they like.
const GPU_TOLERANCE: f64 = 1e-3;

async fn forward(side: usize, device: Device, tolerance: f64) {
    let Some(fixture) = expected("forward_train_expected.json") else {
        return;
    };
    let expected = &fixture[format!("forward_{side}")];
    let model = paper(&device).await.model;
    let images = input(&format!("input_aug_{side}"), 4.0, [2, 3, side, side], &device);
    check("input", &values(&images), &expected["input"], tolerance);

    for (what, levels) in [
        ("teacher", model.teacher.forward(images.clone()).0),
        ("student", model.student.forward(images.clone()).0),
        ("dist", model.similarity(images.clone()).distances()),
    ] {
        for (index, level) in levels.iter().enumerate() {
            let key = format!("{what}_{}", index + 1);
            check(&key, &values(level), &expected[&key], tolerance);
        }
    }

    let output = model.forward(images);
    check("DeST", &values(&output.dest), &expected["de_st"], tolerance);
    let segmentation = values(&output.segmentation.expect("is there"));
    check(
        "segmentation",
        &segmentation,
        &expected["segmentation"],
        tolerance,
    );
    let small = side / 4;
    let maps: Vec<AnomalyMap> = segmentation
        .chunks(small * small)
        .map(|map| AnomalyMap::new(small, small, map.to_vec()).expect("is a map"))
        .map(|map| map.resize(side, side))
        .collect();
    let up: Vec<f32> = maps.iter().flat_map(|map| map.values().to_vec()).collect();
    check("upsampled", &up, &expected["seg_up"], tolerance);
    for (map, score) in maps
        .iter()
        .zip(expected["image_score_T100"].as_array().expect("a list"))
    {
        let error = (f64::from(map.score()) - score.as_f64().expect("is a number")).abs();
        assert!(error <= tolerance, "the score is off by {error}");
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
    let parameters = paper(&Device::flex()).await.parameters;
    assert_eq!(parameters, 35_154_177);
}

/// Inference folds the normalisations; only rounding may differ.
#[tokio::test]
async fn folding_keeps_the_maps() {
    let device = Device::flex();
    let model = paper(&device).await.model;
    let images = input("input_aug_64", 4.0, [2, 3, 64, 64], &device);
    let (whole, folded) = (model.forward(images.clone()), model.folded().forward(images));
    let segmentation = |output: Output| values(&output.segmentation.expect("is there"));
    for (whole, folded) in [
        (values(&whole.dest), values(&folded.dest)),
        (segmentation(whole), segmentation(folded)),
    ] {
        for (whole, folded) in whole.iter().zip(&folded) {
            assert!((whole - folded).abs() <= 1e-5, "{whole} became {folded}");
        }
    }
}

#[tokio::test]
async fn activations_of_large_images_agree() {
    forward(256, Device::flex(), TOLERANCE).await;
}

#[tokio::test]
async fn activations_of_small_images_agree() {
    forward(64, Device::flex(), TOLERANCE).await;
}

#[tokio::test]
async fn activations_on_a_gpu_agree() {
    if let Some(gpu) = crate::gpu().await {
        forward(64, gpu, GPU_TOLERANCE).await;
    }
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
