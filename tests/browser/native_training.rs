//! The training that the page should do, by the command line's code on the CPU.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use destseg_engine::arch::weights::Weights;
use destseg_engine::config::{Preset, Settings};
use destseg_engine::data::dataset::load_good;
use destseg_engine::methods::file::parse_teacher;
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::Trainer;

/// The teacher of the compact preset.
const TEACHER: &str = "models/efficientnet-lite0.safetensors";
/// Share of the images that the page holds out.
const HELD_OUT: f64 = 0.2;

/// The page's settings with this side of the input, images of a step and steps of the two stages.
pub(crate) fn settings(side: usize, batch: usize, [student, segmentation]: [usize; 2]) -> Settings {
    let mut settings = Settings::preset(Preset::Compact);
    settings.model.input_size = side;
    settings.training.held_out = HELD_OUT;
    settings.training.batch = batch;
    settings.training.student.steps = student;
    settings.training.segmentation.steps = segmentation;
    settings
}

/// A training of the compact preset that has not begun.
pub(crate) fn trainer(settings: Settings, files: &[PathBuf]) -> Result<Trainer> {
    let (_, teacher) = parse_teacher(&std::fs::read(xtask::process::root().join(TEACHER))?)?;
    trainer_with(settings, &teacher, files)
}

/// A training with a teacher that has not begun.
pub(crate) fn trainer_with(settings: Settings, teacher: &Weights, files: &[PathBuf]) -> Result<Trainer> {
    let images = load_good(files, settings.model.input_size, settings.model.fit)?.images;
    let synthesis = settings.training.synthesis.clone();
    let synthesiser = Synthesiser::new(synthesis, settings.training.augment, TextureSource::Procedural);
    let device = destseg_engine::backend::device::Device::Cpu;
    Ok(Trainer::new(
        settings.model,
        settings.training,
        teacher,
        images,
        synthesiser,
        &device,
    )?)
}

/// The next losses.
pub(crate) fn steps(trainer: &mut Trainer, count: usize) -> Result<Vec<f32>> {
    let mut losses = Vec::new();
    for _ in 0..count {
        let report = pollster::block_on(trainer.step())?;
        losses.push(report.context("too few steps")?.loss);
    }
    Ok(losses)
}

/// The losses of the first steps.
pub(crate) fn losses(settings: Settings, files: &[PathBuf], count: usize) -> Result<Vec<f32>> {
    steps(&mut trainer(settings, files)?, count)
}
