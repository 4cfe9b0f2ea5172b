//! The baseline, STPM.

use burn::tensor::Device;
use destseg_engine::config::{ModelConfig, Preset};
use destseg_engine::arch::weights::{Weights, collect};
use destseg_engine::model::{loss, prefix};

use crate::reference::{check, empty, expected, formula, input, values};

const TOLERANCE: f64 = 1e-5;

#[tokio::test]
async fn loss_and_map_of_stpm_are_the_references() {
    let Some(fixture) = expected("baselines_expected.json") else {
        return;
    };
    let expected = &fixture["stpm"];
    let device = Device::flex();
    let config = ModelConfig::stpm(Preset::Paper);
    let empty = empty(&config, &device);
    let mut weights = Weights::default();
    for (name, array) in collect(&empty.student, "").await.expect("reads").iter() {
        let array = formula(&format!("stpm_student.{name}"), &array.shape);
        weights.insert(format!("{}{name}", prefix::STUDENT), array);
    }
    let model = empty.load(&weights).expect("loads");
    let images = input("stpm_input", 4.0, [3, 3, 64, 64], &device);

    let teacher = model.teacher.forward(images.clone()).normalise();
    let student = model.student.forward(images.clone()).normalise();
    let loss = loss::cosine(teacher, student) * config.distance.scale();
    let error =
        f64::from(loss.into_scalar::<f32>()) - expected["loss_official_mean"].as_f64().expect("is a number");
    assert!(error.abs() < TOLERANCE, "the loss is off by {error}");

    let output = model.forward(images);
    assert!(output.segmentation.is_none());
    check("map", &values(&output.dest), &expected["map16"], TOLERANCE);
}
