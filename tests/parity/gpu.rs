//! A training on a GPU is that of the CPU: Burn's autodiff there, a tape of our own here.
//!
//! `cargo xtask test` gives these tests the software adapter of Chromium where there is no GPU.

use std::path::Path;

use destseg_demo_data::{Category, DemoConfig, Split, draw};
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Preset, Settings};
use destseg_engine::methods::file::parse_teacher;
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::Trainer;

use crate::momenta::{Differences, agree_in_some, compare, momenta};

/// Pixels of the input's side, images of a step, steps of a run. In smaller batches the lowest level has so few
/// values that one of them on the other side of zero moves all gradients by a hundredth.
const SIDE: u32 = 64;
const BATCH: usize = 8;
const STEPS: usize = 5;
/// Seeds of the pictures whose first steps are compared. In some of them rounding moves a value across zero, and all gradients
/// with it; in others it does not.
const SEEDS: [u64; 6] = [3, 4, 5, 6, 7, 8];
/// Losses differ by this share at most.
const APART: f32 = 5e-3;

/// A run of these steps of the two stages, on pictures drawn with this seed.
fn trainer(steps: [usize; 2], seed: u64, device: &Device) -> Trainer {
    let mut settings = Settings::preset(Preset::Compact);
    settings.model.input_size = SIDE as usize;
    settings.training.batch = BATCH;
    [
        settings.training.student.steps,
        settings.training.segmentation.steps,
    ] = steps;
    let demo = DemoConfig {
        category: Category::Fabric,
        seed,
        size: 256,
        train_good: 8,
        test_good: 0,
        test_per_defect: 0,
    };
    let picture = |index| {
        let whole = draw(&demo, Split::Train, index).expect("draws").image;
        image::imageops::resize(&whole, SIDE, SIDE, image::imageops::FilterType::Triangle)
    };
    let teacher = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors");
    let (_, teacher) = parse_teacher(&std::fs::read(teacher).expect("reads")).expect("parses");
    let (synthesis, augment) = (settings.training.synthesis.clone(), settings.training.augment);
    let synthesiser = Synthesiser::new(synthesis, augment, TextureSource::Procedural);
    let images = (0..demo.train_good).map(picture);
    Trainer::new(
        settings.model,
        settings.training,
        &teacher,
        images,
        synthesiser,
        device,
    )
    .expect("starts")
}

/// The losses so far, then the sums of the gradients.
async fn run(trainer: &mut Trainer, count: usize) -> (Vec<f32>, Vec<u8>) {
    let mut losses = Vec::new();
    for _ in 0..count {
        losses.push(trainer.step().await.expect("steps").expect("is not over").loss);
    }
    (losses, trainer.checkpoint().await.expect("is serialised"))
}

/// Goes on from the state after a few steps on the CPU, when every layer has a gradient and the whitening is fitted (its
/// axes may be others on another device). Compares all losses, and the gradients of the first step: later ones are of
/// weights that rounding has parted.
async fn agrees(steps: [usize; 2], before: usize) {
    let Some(gpu) = crate::gpu().await else { return };
    let mut batches = Vec::new();
    for seed in SEEDS {
        batches.push(differences(steps, before, seed, &gpu).await);
    }
    agree_in_some(&batches).expect("the gradients agree");
}

/// What [`agrees`] compares, for the pictures of one seed.
async fn differences(steps: [usize; 2], before: usize, seed: u64, gpu: &Device) -> Differences {
    let mut theirs = trainer(steps, seed, &Device::Cpu);
    let (_, state) = run(&mut theirs, before).await;
    let mut ours = trainer(steps, seed, gpu);
    ours.resume(&state).expect("goes on");
    let mut differences = Differences::new();
    // all losses of the first pictures; of the others only what comes with the gradients
    let later = if seed == SEEDS[0] { STEPS - 1 } else { 0 };
    for count in [1, later] {
        let (gpu, state) = run(&mut ours, count).await;
        let (cpu, expected) = run(&mut theirs, count).await;
        for (gpu, cpu) in gpu.iter().zip(&cpu) {
            println!("loss on the GPU {gpu}, on the CPU {cpu}");
            assert!(
                (gpu - cpu).abs() < APART * cpu,
                "the losses {gpu} and {cpu} are apart"
            );
        }
        if count == 1 {
            let [state, expected] = [state, expected].map(|state| momenta(&state).expect("is a checkpoint"));
            differences = compare(&state, &expected).expect("the gradients agree");
        }
    }
    differences
}

#[tokio::test]
async fn the_student_learns_as_on_the_cpu() {
    agrees([2 + STEPS, 0], 2).await;
}

#[tokio::test]
async fn the_segmentation_network_learns_as_on_the_cpu() {
    agrees([2, 1 + STEPS], 3).await;
}

/// Who asks may pause between images; the step after them is the one that does all by itself.
#[tokio::test]
async fn what_stage_2_needs_is_learned_image_by_image() {
    let device = Device::Cpu;
    let [mut parts, mut whole] = [(); 2].map(|()| trainer([0, 1], SEEDS[0], &device));
    let mut count = 0;
    while parts.prepare().await.expect("looks at an image") {
        count += 1;
    }
    // the last time the maps are made
    assert_eq!(count, parts.image_count() + 1);
    let [parts, whole] = [parts.step().await, whole.step().await].map(|report| report.expect("steps"));
    assert!(parts.is_some(), "no step was done");
    assert_eq!(parts, whole);
}
