//! A training on a GPU is that of the CPU: Burn's autodiff there, kernels and a tape of our own here.
//!
//! `cargo xtask test` gives these tests the software adapter of Chromium where there is no GPU.

use std::path::Path;

use destseg::config::{Preset, Settings};
use destseg::device;
use destseg::image::RgbImage;
use destseg::model::file::parse_teacher;
use destseg::protocol::BackendChoice;
use destseg::synthesis::{Synthesiser, TextureSource};
use destseg::train::Trainer;

use crate::momenta::{compare, momenta};

/// Pixels of the input's side, images of a step, steps of the two stages.
const SIDE: u32 = 32;
const BATCH: usize = 2;
const STEPS: [usize; 2] = [5, 4];
/// Losses differ by this share at most.
const APART: f32 = 5e-3;

fn trainer(device: &device::Device) -> Trainer {
    let mut settings = Settings::preset(Preset::Compact);
    settings.model.input_size = SIDE as usize;
    settings.training.batch = BATCH;
    [
        settings.training.student.steps,
        settings.training.segmentation.steps,
    ] = STEPS;
    let picture = |number: u32| {
        RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let wave = (x * (3 + number) + y * 5) % 64;
            image::Rgb([100 + wave as u8, 80 + (y * 4) as u8, (60 + 3 * wave) as u8])
        })
    };
    let teacher = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors");
    let (_, teacher) = parse_teacher(&std::fs::read(teacher).expect("reads")).expect("parses");
    let (synthesis, augment) = (settings.training.synthesis.clone(), settings.training.augment);
    let synthesiser = Synthesiser::new(synthesis, augment, TextureSource::Procedural);
    let images = (0..6).map(picture);
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
async fn steps(trainer: &mut Trainer, count: usize) -> (Vec<f32>, Vec<u8>) {
    let mut losses = Vec::new();
    for _ in 0..count {
        losses.push(trainer.step().await.expect("steps").expect("is not over").loss);
    }
    (losses, trainer.checkpoint().await.expect("is serialised"))
}

#[tokio::test]
async fn a_training_on_a_gpu_is_that_of_the_cpu() {
    let gpu = match device::select(BackendChoice::Webgpu).await {
        Ok(gpu) => gpu,
        Err(reason) => return println!("skipped: {reason}"),
    };
    println!("on {}", gpu.info.adapter);
    let mut ours = trainer(&gpu.device);
    let mut theirs = trainer(&device::Device::flex());
    // into stage 2, so that every layer has had a gradient
    for count in [STEPS[0] + 1, STEPS[1] - 1] {
        let (gpu, state) = steps(&mut ours, count).await;
        let (cpu, expected) = steps(&mut theirs, count).await;
        for (step, (gpu, cpu)) in gpu.iter().zip(&cpu).enumerate() {
            println!("step {}: GPU {gpu}, CPU {cpu}", step + 1);
            assert!(
                (gpu - cpu).abs() < APART * cpu,
                "the losses {gpu} and {cpu} are apart"
            );
        }
        let [state, expected] = [state, expected].map(|state| momenta(&state).expect("is a checkpoint"));
        compare(&state, &expected).expect("the gradients agree");
    }
}
