//! Activations.

use std::fs;
use std::path::Path;

use destseg_engine::arch::weights::Weights;
use destseg_engine::arch::{self, prefix};
use destseg_engine::backend::cpu::{CpuModel, CpuTeacher, Program};
use destseg_engine::backend::device::Device;
use destseg_engine::config::TeacherKind;
use destseg_engine::files::teacher::fold;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, ModelHeader, parse_teacher};
use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

use crate::reference::{check, expected, formula, formula_teacher, input, paper, parameters, planes};

/// Largest relative error of a summary on the CPU.
const TOLERANCE: f64 = 1e-5;

/// Largest relative error on a GPU, whose drivers round and sum as they like.
const GPU_TOLERANCE: f64 = 1e-3;

fn folded_teacher() -> Weights {
    fold(TeacherKind::Resnet18, &formula_teacher()).expect("folds")
}

/// Every network by itself on the CPU.
fn networks_agree(side: usize) {
    let Some(fixture) = expected("forward_train_expected.json") else {
        return;
    };
    let expected = &fixture[format!("forward_{side}")];
    let (config, weights) = paper(side);
    let images = input(&format!("input_aug_{side}"), 4.0, [2, 3, side, side]);
    check("input", &planes(&images), &expected["input"], TOLERANCE);

    let teacher = CpuTeacher::new(config.teacher, &folded_teacher(), side).expect("builds");
    let student =
        Program::new(&arch::student(&config), &weights.with_prefix(prefix::STUDENT)).expect("builds");
    let pool = Pool::default();
    let of_teacher: Vec<[Grid; 3]> = images.iter().map(|image| teacher.run(image)).collect();
    let of_student: Vec<Vec<Grid>> = images.iter().map(|image| student.run(&[image], &pool)).collect();
    let model = CpuModel::new(&config, teacher.into(), &weights).expect("builds");
    let maps: Vec<_> = images.iter().map(|image| model.run(image)).collect();
    for level in 0..3 {
        for (what, values) in [
            ("teacher", planes(of_teacher.iter().map(|levels| &levels[level]))),
            ("student", planes(of_student.iter().map(|levels| &levels[level]))),
            ("dist", planes(maps.iter().map(|maps| &maps.levels[level]))),
        ] {
            let key = format!("{what}_{}", level + 1);
            check(&key, &values, &expected[&key], TOLERANCE);
        }
    }
    let segmentation = planes(maps.iter().filter_map(|maps| maps.segmentation.as_ref()));
    check(
        "segmentation",
        &segmentation,
        &expected["segmentation"],
        TOLERANCE,
    );
}

/// The whole way of an image, on any device.
async fn images_agree(side: usize, device: Device, tolerance: f64) {
    let Some(fixture) = expected("forward_train_expected.json") else {
        return;
    };
    let expected = &fixture[format!("forward_{side}")];
    let (config, weights) = paper(side);
    let file = ModelFile::new(ModelHeader::of_networks(config), weights).expect("is whole");
    let detector = methods::detector(&file, Some(&folded_teacher()), &device).expect("builds");
    let images = input(&format!("input_aug_{side}"), 4.0, [2, 3, side, side]);
    let (mut levels, mut dest, mut segmentation) = ([(); 3].map(|()| Vec::new()), Vec::new(), Vec::new());
    let scores = expected["image_score_T100"].as_array().expect("a list");
    for (image, score) in images.iter().zip(scores) {
        // the inverse of the teacher's normalisation
        let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        let pixel = |(i, value): (usize, &f32)| value * std[i % 3] + mean[i % 3];
        let pixels: Vec<f32> = image.data.iter().enumerate().map(pixel).collect();
        let found = detector.detect_pixels(&pixels).await.expect("detects");
        for (all, level) in levels.iter_mut().zip(&found.levels) {
            all.extend_from_slice(level.values());
        }
        dest.extend_from_slice(found.dest.values());
        segmentation.extend_from_slice(found.map().values());
        let error = (f64::from(found.score) - score.as_f64().expect("is a number")).abs();
        assert!(error <= tolerance, "the score is off by {error}");
    }
    for (index, level) in levels.iter().enumerate() {
        let key = format!("dist_{}", index + 1);
        check(&key, level, &expected[&key], tolerance);
    }
    check("upsampled", &segmentation, &expected["seg_up"], tolerance);
    assert_eq!(dest.len(), 2 * side * side);
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

#[test]
fn the_paper_network_has_as_many_parameters_as_published() {
    assert_eq!(parameters(), 35_154_177);
}

#[test]
fn activations_of_large_images_agree() {
    networks_agree(256);
}

#[test]
fn activations_of_small_images_agree() {
    networks_agree(64);
}

#[tokio::test]
async fn images_agree_on_the_cpu() {
    images_agree(64, Device::Cpu, TOLERANCE).await;
    images_agree(256, Device::Cpu, TOLERANCE).await;
}

#[tokio::test]
async fn images_agree_by_burn_on_the_cpu() {
    images_agree(64, Device::Burn(burn::tensor::Device::flex()), TOLERANCE).await;
}

#[tokio::test]
async fn images_agree_on_a_gpu() {
    if let Some(gpu) = crate::gpu().await {
        images_agree(64, gpu, GPU_TOLERANCE).await;
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
    let teacher = CpuTeacher::new(kind, &weights, 256).expect("builds");
    let images = input("input_effnet_256", 2.0, [2, 3, 256, 256]);
    let features: Vec<[Grid; 3]> = images.iter().map(|image| teacher.run(image)).collect();
    for (level, block) in ["block2", "block4", "block10"].into_iter().enumerate() {
        let expected = &fixture["features"][block];
        let number = |key: &str| expected[key].as_f64().expect("is a number");
        let values = planes(features.iter().map(|levels| &levels[level]));
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
