//! Our side of `cargo xtask bench-peers`: one kind of work on the CPU with all threads, timed as the peers'
//! scripts time theirs. `cargo bench --bench speed -- WORK RUNS` prints the milliseconds of each run as JSON.
//!
//! WORK is `paper`, `compact` or `trial` (one image of 256 pixels), `stage1` or `stage2` (a training step of the compact
//! network, batches of 8; `trial1` and `trial2` of the trial network), or `stpm` (a step of a whole `ResNet18`
//! student, batches of 4). The trial network is the one that the peers' scripts have for `compact`.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use destseg::config::{Evidence, ModelConfig, Preset, SegmentationConfig, TeacherKind, TrainConfig};
use destseg::image::{Rgb, RgbImage};
use destseg::inference::Detector;
use destseg::model::file::{ModelFile, ModelHeader, parse_teacher};
use destseg::model::teacher::fold;
use destseg::model::weights::{Array, Weights};
use destseg::synthesis::{Synthesiser, TextureSource};
use destseg::train::{Batch, Trainer};
use pollster::block_on;

const SIDE: usize = 256;

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let (Some(work), Some(runs)) = (
        arguments.first(),
        arguments.get(1).and_then(|runs| runs.parse().ok()),
    ) else {
        // `cargo bench` alone starts all benchmarks
        return println!("speed: say what, and how often: cargo bench --bench speed -- compact 30");
    };
    let times = match work.as_str() {
        "paper" => inference(ModelConfig::preset(Preset::Paper), runs),
        "compact" => inference(ModelConfig::preset(Preset::Compact), runs),
        "trial" => inference(trial(), runs),
        "stage1" => training(ModelConfig::preset(Preset::Compact), [1000, 0], 8, runs),
        "stage2" => training(ModelConfig::preset(Preset::Compact), [0, 1000], 8, runs),
        "trial1" => training(trial(), [1000, 0], 8, runs),
        "trial2" => training(trial(), [0, 1000], 8, runs),
        "stpm" => training(ModelConfig::stpm(Preset::Paper), [1000, 0], 4, runs),
        other => return println!("speed: `{other}` is unknown"),
    };
    let times: Vec<String> = times.iter().map(|time| format!("{time:.3}")).collect();
    println!("[{}]", times.join(", "));
}

/// Milliseconds of each run after a first one.
fn time(runs: usize, mut work: impl FnMut()) -> Vec<f64> {
    work();
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..runs).map(timed).collect()
}

/// The first trial of a compact network, which is larger than what became of it: with it both sides do the same.
fn trial() -> ModelConfig {
    let mut config = ModelConfig::preset(Preset::Compact);
    config.student.encoder = [48, 64, 112, 160];
    config.student.decoder = Some([160, 112, 64, 48]);
    config.segmentation = config.segmentation.map(|own| SegmentationConfig {
        evidence: Evidence::Products,
        width: 40,
        ..own
    });
    config
}

fn inference(config: ModelConfig, runs: usize) -> Vec<f64> {
    let device = Device::flex();
    let teacher = teacher(config.teacher);
    // as a training leaves it before its first step
    let trainer = trainer(config.clone(), [1, 1], 4, &teacher);
    let weights = block_on(trainer.model().trained_weights()).expect("reads");
    let file = ModelFile::new(ModelHeader::new(config), weights).expect("is whole");
    let detector = Detector::new(&file, Some(&teacher), &device).expect("builds");
    let pixels: Vec<f32> = (0..3 * SIDE * SIDE).map(|i| (i % 251) as f32 / 250.0).collect();
    time(runs, || {
        block_on(detector.detect_pixels(&pixels)).expect("detects");
    })
}

/// Steps on one batch: the peers make no images either.
fn training(config: ModelConfig, steps: [usize; 2], batch: usize, runs: usize) -> Vec<f64> {
    let device = Device::flex();
    let teacher = teacher(config.teacher);
    let mut trainer = trainer(config, steps, batch, &teacher);
    let images = || Tensor::random([batch, 3, SIDE, SIDE], Distribution::Default, &device);
    let mask = Tensor::<4>::random([batch, 1, SIDE / 4, SIDE / 4], Distribution::Default, &device);
    let batch = Batch {
        clean: images(),
        corrupted: images(),
        mask: mask.greater_elem(0.95).float(),
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
    let image = RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        Rgb([x as u8, y as u8, (x ^ y) as u8])
    });
    let images = vec![image; 2 * batch];
    Trainer::new(config, training, teacher, images, synthesiser, &Device::flex()).expect("starts")
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
