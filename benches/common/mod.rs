//! What several benchmarks share: networks without meaning, timed.

use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::{Array, Weights};
use destseg_engine::backend::burn::BurnModel;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{
    FusionInput, ModelConfig, Preset, SegmentationConfig, TeacherKind, TrainConfig,
};
use destseg_engine::data::image::{Rgb, RgbImage};
use destseg_engine::files::teacher::fold;
use destseg_engine::inspect::Detector;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, ModelHeader, parse_teacher};
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::{Batch, Trainer};
use destseg_kernels::Grid;
use pollster::block_on;

/// Milliseconds of each run after a first one.
pub(crate) fn time(runs: usize, mut work: impl FnMut()) -> Vec<f64> {
    work();
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..runs).map(timed).collect()
}

/// A network as a training leaves it before its first step, with its teacher.
pub(crate) fn file(config: ModelConfig) -> ModelFile {
    let teacher = teacher(config.teacher);
    let trainer = trainer(config.clone(), [1, 1], 4, &teacher, &Device::Cpu);
    let mut weights = block_on(trainer.weights()).expect("reads");
    weights.extend(teacher.prefixed(prefix::TEACHER));
    ModelFile::new(ModelHeader::of_networks(config), weights).expect("is whole")
}

/// The same network, ready to look at images.
pub(crate) fn detector(config: ModelConfig, device: &Device) -> Detector {
    methods::detector(&file(config), None, device).expect("builds")
}

/// The first trial of a compact network, which is larger than what became of it. The peers' scripts have it: with it
/// both sides do the same.
pub(crate) fn trial() -> ModelConfig {
    let mut config = ModelConfig::preset(Preset::Compact);
    config.student.encoder = [48, 64, 112, 160];
    config.student.decoder = Some([160, 112, 64, 48]);
    config.segmentation = config.segmentation.map(|own| SegmentationConfig {
        evidence: FusionInput::Products,
        width: 40,
        ..own
    });
    config
}

/// Milliseconds of looks at an image of the network's input size.
pub(crate) fn inference(config: ModelConfig, device: &Device, runs: usize) -> Vec<f64> {
    let side = config.input_size;
    let detector = detector(config, device);
    let pixels: Vec<f32> = (0..3 * side * side).map(|i| (i % 251) as f32 / 250.0).collect();
    time(runs, || {
        block_on(detector.detect_pixels(&pixels)).expect("detects");
    })
}

/// Milliseconds of predictions for a batch that is on the graphics card, until its segmentation maps are back.
pub(crate) fn batches(config: ModelConfig, batch: usize, device: &Device, runs: usize) -> Vec<f64> {
    let side = config.input_size;
    let Device::Burn(device) = device else {
        panic!("only a graphics card takes batches");
    };
    let teacher = teacher(config.teacher);
    let model = BurnModel::new(&config, &teacher, &file(config.clone()).weights, device);
    let model = model.expect("builds");
    let images = Tensor::<4>::random([batch, 3, side, side], Distribution::Default, device);
    time(runs, || {
        let map = model
            .forward(images.clone())
            .expect("runs")
            .segmentation
            .expect("has one");
        map.into_data();
    })
}

/// Steps on one batch: the peers make no images either.
pub(crate) fn training(
    config: ModelConfig,
    steps: [usize; 2],
    batch: usize,
    device: &Device,
    runs: usize,
) -> Vec<f64> {
    let side = config.input_size;
    let teacher = teacher(config.teacher);
    let mut trainer = trainer(config, steps, batch, &teacher, device);
    let value = |i: usize| (i * 7919 % 2017) as f32 / 1008.5 - 1.0;
    let image = |seed: usize| Grid {
        height: side,
        width: side,
        channels: 3,
        data: (0..3 * side * side).map(|i| value(i + seed)).collect(),
    };
    let images = |seed| (0..batch).map(|i| image(seed + 31 * i)).collect();
    let batch = Batch {
        clean: images(0),
        corrupted: images(1000),
        mask: (0..batch * side * side / 16)
            .map(|i| f32::from(u8::from(value(i) > 0.9)))
            .collect(),
    };
    time(runs, || {
        block_on(trainer.step_on(batch.clone())).expect("does a step");
    })
}

fn trainer(
    config: ModelConfig,
    [student, segmentation]: [usize; 2],
    batch: usize,
    teacher: &Weights,
    device: &Device,
) -> Trainer {
    let mut training = TrainConfig::preset(Preset::Compact);
    training.batch = batch;
    training.student.steps = student;
    training.segmentation.steps = segmentation * usize::from(config.segmentation.is_some());
    let synthesiser = Synthesiser::new(
        training.synthesis.clone(),
        training.augment,
        TextureSource::Procedural,
    );
    let side = config.input_size as u32;
    let image = RgbImage::from_fn(side, side, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let images = vec![image; 2 * batch];
    Trainer::new(config, training, teacher, images, synthesiser, device).expect("starts")
}

/// The shipped teacher, or `ResNet18` with weights of no meaning.
fn teacher(kind: TeacherKind) -> Weights {
    if kind == TeacherKind::EfficientnetLite0 {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/models/efficientnet-lite0.safetensors"
        );
        return parse_teacher(&std::fs::read(file).expect("is shipped"))
            .expect("is a teacher")
            .1;
    }
    let mut weights = Weights::default();
    let mut unit = |conv: String, shape: [usize; 4]| {
        let len = shape.iter().product();
        let spread = (2.0 / (shape[1] * shape[2] * shape[3]) as f32).sqrt();
        let data = (0..len)
            .map(|i| spread * ((i * 7919 % 2017) as f32 / 1008.0 - 1.0))
            .collect();
        weights.insert(
            format!("{conv}.weight"),
            Array {
                shape: shape.to_vec(),
                data,
            },
        );
        let bias = Array {
            shape: vec![shape[0]],
            data: vec![0.0; shape[0]],
        };
        weights.insert(format!("{conv}.bias"), bias);
    };
    unit("conv1".into(), [64, 3, 7, 7]);
    for (layer, [inputs, outputs]) in [[64, 64], [64, 128], [128, 256]].into_iter().enumerate() {
        let at = |part: &str| format!("layer{}.{part}", layer + 1);
        unit(at("0.conv1"), [outputs, inputs, 3, 3]);
        for part in ["0.conv2", "1.conv1", "1.conv2"] {
            unit(at(part), [outputs, outputs, 3, 3]);
        }
        if inputs != outputs {
            unit(at("0.downsample.0"), [outputs, inputs, 1, 1]);
        }
    }
    fold(kind, &weights).expect("is a whole ResNet18")
}
