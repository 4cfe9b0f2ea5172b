//! The tape against Burn's autodiff: losses, all gradients and running statistics of both networks.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;
use pollster::block_on;

use super::{Batch, Tape, cosine, focal_and_l1};
use crate::config::{ModelConfig, Preset, SegmentationConfig, Stem};
use crate::model::features::{Features, Levels};
use crate::model::loss;
use crate::model::names::param_id;
use crate::model::plan::tests::randomised;
use crate::model::segmentation::Segmentation;
use crate::model::student::Student;
use crate::model::weights::{Weights, collect, load, read};

const IMAGES: usize = 3;

fn batch(seed: usize, side: usize, channels: usize) -> Batch {
    let image = |image: usize| {
        let mut grid = Grid::zeros(side, side, channels);
        for (i, value) in grid.data.iter_mut().enumerate() {
            *value = ((i * i + 7 * i + 31 * image + seed) % 1009) as f32 / 504.0 - 1.0;
        }
        grid
    };
    (0..IMAGES).map(image).collect::<Vec<Grid>>().into()
}

fn tensor(batch: &[Grid], device: &Device) -> Tensor<4> {
    let Grid {
        height,
        width,
        channels,
        ..
    } = batch[0];
    let plane = |image: &Grid, c: usize| {
        image
            .data
            .iter()
            .skip(c)
            .step_by(channels)
            .copied()
            .collect::<Vec<f32>>()
    };
    let values: Vec<f32> = batch
        .iter()
        .flat_map(|image| (0..channels).flat_map(|c| plane(image, c)))
        .collect();
    Tensor::from_data(
        TensorData::new(values, [batch.len(), channels, height, width]),
        device,
    )
}

/// New statistics and gradients of a network's weights.
type Backward = (Weights, Weights);

/// What a student of these weights is asked, of images drawn by `seed`: the teacher's features are always the same.
fn student_step(config: &ModelConfig, weights: &Weights, seed: usize, pool: &Arc<Pool>) -> (f32, Backward) {
    let channels = config.teacher.channels();
    let mut tape = Tape::new(weights, pool);
    let images = tape.input(batch(seed, 64, 3));
    let levels = tape.student(&config.student, images).expect("runs");
    let mut loss = 0.0;
    let slopes = levels.iter().enumerate().map(|(i, &level)| {
        let (own, slopes) = cosine(&teacher_level(i, channels[i]), tape.value(level), 1.0);
        loss += own;
        (level, slopes)
    });
    let slopes = slopes.collect();
    (loss, tape.backward(slopes))
}

fn teacher_level(level: usize, channels: usize) -> Batch {
    batch(5 + level, 16 >> level, channels)
}

/// Channels of what the segmentation networks are shown.
const SHOWN: [usize; 3] = [5, 9, 12];

fn shown(seed: usize) -> [Batch; 3] {
    std::array::from_fn(|i| batch(seed + i, 16 >> i, SHOWN[i]))
}

fn anomalous_cells() -> Vec<f32> {
    (0..IMAGES * 256)
        .map(|i| if i % 7 < 2 { 1.0 } else { 0.0 })
        .collect()
}

/// What a segmentation network of these weights is asked, of features drawn by `seed`: both losses apart.
fn segmentation_step(
    config: &SegmentationConfig,
    weights: &Weights,
    seed: usize,
    pool: &Arc<Pool>,
) -> ([f32; 2], Backward) {
    let mut tape = Tape::new(weights, pool);
    let levels = shown(seed).map(|level| tape.input(level));
    let logits = tape.segmentation(config, levels.into()).expect("runs");
    let (losses, slopes) = focal_and_l1(tape.value(logits), &anomalous_cells(), 4.0);
    (losses, tape.backward(vec![(logits, slopes)]))
}

/// The preset's student with weights that are far from those it starts with.
fn compact_student() -> (ModelConfig, Weights) {
    let config = ModelConfig::preset(Preset::Compact);
    let student = Student::new(&config.student, config.teacher, &Device::flex());
    let weights = randomised(&block_on(collect(&student, "")).expect("reads"));
    (config, weights)
}

/// The preset's segmentation network, likewise.
fn compact_segmentation() -> (SegmentationConfig, Weights) {
    let config = ModelConfig::preset(Preset::Compact)
        .segmentation
        .expect("has one");
    let network = Segmentation::new(&config, SHOWN.iter().sum(), &Device::flex());
    let weights = randomised(&block_on(collect(&network, "")).expect("reads"));
    (config, weights)
}

/// Compares gradients and the statistics that change.
fn agree(ours: Backward, gradients: &GradientsParams, after: &Weights) {
    let (statistics, of_weights) = ours;
    // rounding decides for a few values whether `ReLU` lets them through: single gradients may differ, all together
    // hardly
    let mut totals = [0f64; 2];
    let mut close = |name: &str, ours: &[f32], theirs: &[f32]| {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let square = |value: f32| f64::from(value) * f64::from(value);
        let apart: f64 = ours.iter().zip(theirs).map(|(a, b)| square(a - b)).sum();
        let length: f64 = theirs.iter().map(|&b| square(b)).sum();
        assert!(
            apart.sqrt() < 0.1 * length.sqrt() + 1e-5,
            "{name}: {apart} apart, {length} long"
        );
        totals = [totals[0] + apart, totals[1] + length];
    };
    let mut compared = 0;
    for (name, array) in after.iter() {
        if name.contains("running_") {
            close(name, &statistics.get(name).expect("is there").data, &array.data);
            continue;
        }
        let ours = of_weights.get(name).expect("has a gradient");
        assert_eq!(ours.shape, array.shape, "{name}");
        let theirs = match array.shape.len() {
            4 => gradients
                .get::<4>(param_id(name))
                .map(|tensor| tensor.flatten::<1>(0, 3)),
            _ => gradients.get::<1>(param_id(name)),
        };
        let theirs = block_on(read(theirs.expect("Burn has one"))).expect("reads");
        close(name, &ours.data, &theirs);
        compared += 1;
    }
    assert_eq!(compared, of_weights.iter().count());
    let [apart, length] = totals.map(f64::sqrt);
    assert!(apart < 5e-3 * length, "{apart} apart, {length} long");
}

#[test]
fn a_students_gradients_are_burns() {
    let device = Device::flex();
    let compact = ModelConfig::preset(Preset::Compact);
    let mut other = ModelConfig::stpm(Preset::Paper);
    other.student.stem_channels = 8;
    other.student.encoder = [8, 16, 24, 32];
    other.student.projection = true;
    assert_eq!(other.student.stem, Stem::Resnet);
    for config in [compact, other] {
        let student = Student::new(&config.student, config.teacher, &device);
        let weights = randomised(&block_on(collect(&student, "")).expect("reads"));
        let student = load(student, &weights, "").expect("loads").train();
        let channels = config.teacher.channels();
        let teacher: [Batch; 3] = std::array::from_fn(|i| teacher_level(i, channels[i]));

        let clean = Features(teacher.each_ref().map(|level| tensor(level, &device))).normalise();
        let clean = Features(clean.0.map(Tensor::from_inner));
        let given = student
            .forward(Tensor::from_inner(tensor(&batch(1, 64, 3), &device)))
            .normalise();
        let loss = loss::cosine(clean, given);
        let expected = block_on(read(loss.clone().inner())).expect("reads")[0];
        let gradients = GradientsParams::from_grads(loss.backward(), &student);
        let after = block_on(collect(&student.valid(), "")).expect("reads");

        let (loss, ours) = student_step(&config, &weights, 1, &Arc::default());
        assert!((loss - expected).abs() < 1e-5, "{loss} instead of {expected}");
        agree(ours, &gradients, &after);
    }
}

#[test]
fn a_segmentation_networks_gradients_are_burns() {
    let device = Device::flex();
    let compact = ModelConfig::preset(Preset::Compact)
        .segmentation
        .expect("has one");
    let mut paper = ModelConfig::preset(Preset::Paper).segmentation.expect("has one");
    paper.width = 20;
    for config in [compact, paper] {
        let network = Segmentation::new(&config, SHOWN.iter().sum(), &device);
        let weights = randomised(&block_on(collect(&network, "")).expect("reads"));
        let network = load(network, &weights, "").expect("loads").train();
        let levels = shown(3);
        let map = network.forward(Levels(levels.each_ref().map(|level| tensor(level, &device))).tracked());
        let data = TensorData::new(anomalous_cells(), [IMAGES, 1, 16, 16]);
        let target = Tensor::from_inner(Tensor::from_data(data, &device));
        let parts = [
            loss::focal(map.clone(), target.clone(), 4.0),
            loss::l1(map, target),
        ];
        let expected = parts
            .clone()
            .map(|part| block_on(read(part.inner())).expect("reads")[0]);
        let [focal, l1] = parts;
        let gradients = GradientsParams::from_grads((focal + l1).backward(), &network);
        let after = block_on(collect(&network.valid(), "")).expect("reads");

        let (losses, ours) = segmentation_step(&config, &weights, 3, &Arc::default());
        for (ours, theirs) in losses.iter().zip(expected) {
            assert!((ours - theirs).abs() < 1e-5, "{ours} instead of {theirs}");
        }
        agree(ours, &gradients, &after);
    }
}

/// Every layer writes all of its output: what the memory held before, of other images, does not matter.
#[test]
fn memory_used_before_changes_nothing() {
    let same = |run: &dyn Fn(usize, &Arc<Pool>) -> Backward| {
        let (fresh, used) = (Arc::default(), Arc::default());
        run(400, &used);
        let [(statistics, gradients), (again, same)] = [run(1, &fresh), run(1, &used)];
        for (ours, theirs) in [(statistics, again), (gradients, same)] {
            for (name, array) in ours.iter() {
                assert_eq!(array.data, theirs.get(name).expect("is there").data, "{name}");
            }
        }
    };
    let (config, weights) = compact_student();
    same(&|seed, pool| student_step(&config, &weights, seed, pool).1);
    let (config, weights) = compact_segmentation();
    same(&|seed, pool| segmentation_step(&config, &weights, seed, pool).1);
}

/// Every weight's gradient against finite differences of the loss along it: nothing of Burn is asked.
fn are_finite_differences(weights: &Weights, run: impl Fn(&Weights) -> (f32, Weights)) {
    // how far the loss should move, and how far the weights may
    const MOVE: f64 = 5e-4;
    const SHARE: f64 = 5e-3;
    // rounding of the loss
    const ROUNDING: f64 = 1e-6;
    let length = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let (_, gradients) = run(weights);
    let mut totals = [0.0; 2];
    for (name, gradient) in gradients.iter() {
        let slope = length(&gradient.data);
        assert!(slope > 0.0, "{name} got no gradient");
        let array = weights.get(name).expect("is there");
        let step = (MOVE / slope).min(SHARE * length(&array.data));
        let loss = |by: f64| {
            let mut moved = array.clone();
            for (value, &along) in moved.data.iter_mut().zip(&gradient.data) {
                *value += (by / slope * f64::from(along)) as f32;
            }
            let mut weights = weights.clone();
            weights.insert(name.to_owned(), moved);
            f64::from(run(&weights).0)
        };
        let measured = (loss(step) - loss(-step)) / (2.0 * step);
        let apart = (measured - slope).abs();
        // a `ReLU` has two slopes where it bends: of small tensors it shows
        assert!(
            apart < 0.2 * slope + ROUNDING / step,
            "{name}: the loss rises by {measured}, its gradient says {slope}"
        );
        totals = [totals[0] + apart * apart, totals[1] + slope * slope];
    }
    let [apart, length] = totals.map(f64::sqrt);
    println!("gradients {length:.4} long differ from finite differences by {apart:.1e}");
    assert!(apart < 0.02 * length, "{apart} apart, {length} long");
}

#[test]
fn a_students_gradients_are_finite_differences() {
    let (config, weights) = compact_student();
    // every run computes in what the last one left
    let pool = Arc::default();
    are_finite_differences(&weights, |weights| {
        let (loss, (_, gradients)) = student_step(&config, weights, 1, &pool);
        (loss, gradients)
    });
}

#[test]
fn a_segmentation_networks_gradients_are_finite_differences() {
    let (config, weights) = compact_segmentation();
    // every run computes in what the last one left
    let pool = Arc::default();
    are_finite_differences(&weights, |weights| {
        let (losses, (_, gradients)) = segmentation_step(&config, weights, 3, &pool);
        (losses.iter().sum(), gradients)
    });
}
