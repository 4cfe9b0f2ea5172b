//! The paper's network in the page: a step of each stage, as the command line does it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use destseg_engine::config::{Preset, Settings, TeacherKind};
use destseg_engine::files::storage::Precision;
use destseg_engine::files::teacher::fold;
use destseg_engine::methods::file::teacher_to_bytes;

use crate::formula::formula_teacher;
use crate::harness::{Gpu, in_browser};
use crate::native_training;
use crate::page::{Page, SOON, check_sentence};
use crate::room::{TRAINING, collect, enter, good_images, shown, until, use_trained};

const SIDE: usize = 64;
const BATCH: usize = 2;
/// Losses of page and command line differ by this share at most.
const APART: f64 = 1e-4;

#[test]
fn the_papers_network_is_trained_on_the_cpu() {
    in_browser(Gpu::None, trained);
}

/// The losses that the page should have.
fn native(files: &[PathBuf]) -> Result<Vec<f32>> {
    let compact = native_training::settings(SIDE, BATCH, [1, 1]);
    let mut settings = Settings::preset(Preset::Paper);
    settings.model.input_size = SIDE;
    // how defects are painted is the visitor's choice, whatever the network
    settings.training.synthesis = compact.training.synthesis;
    settings.training.augment = compact.training.augment;
    settings.training.held_out = compact.training.held_out;
    settings.training.batch = BATCH;
    settings.training.student.steps = 1;
    settings.training.segmentation.steps = 1;
    let teacher = fold(TeacherKind::Resnet18, &formula_teacher())?;
    native_training::steps(&mut native_training::trainer_with(settings, &teacher, files)?, 2)
}

async fn trained(page: Page) -> Result<()> {
    let files = good_images(&page)?;
    enter(
        &page,
        &format!("?backend=cpu&model=none&steps=1-1&batch={BATCH}&side={SIDE}"),
    )
    .await?;
    collect(&page, &files).await?;
    page.choose_entry("preset", "paper").await?;
    // its teacher is not shipped: the page says where to get it, and takes it
    let room = until(&page, "a word about the teacher", SOON, |room| {
        room["can_train"] == false
    })
    .await?;
    check_sentence(room["estimate"].as_str().unwrap_or_default(), "teacher")?;
    page.screenshot("train-paper-asks").await?;
    let teacher = fold(TeacherKind::Resnet18, &formula_teacher())?;
    let teacher = teacher_to_bytes(TeacherKind::Resnet18, &teacher, Precision::F32)?;
    let path = page.folder().join("resnet18.safetensors");
    std::fs::write(&path, teacher)?;
    page.choose("teacher-input", &[path]).await?;
    until(&page, "the teacher", SOON, |room| room["can_train"] == true).await?;

    page.click("[data-testid=train]").await?;
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null() || !room["failed"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    let numbers = page
        .execute("return [destseg.losses(), destseg.stepTimes()]", vec![])
        .await?;
    let [losses, times]: [Vec<f64>; 2] = serde_json::from_value(numbers).context("numbers")?;
    println!("a step of each stage took {times:.0?} ms");
    let expected = tokio::task::spawn_blocking(move || native(&files)).await??;
    ensure!(
        losses.len() == expected.len(),
        "{losses:?} instead of {expected:?}"
    );
    for (page, native) in losses.iter().zip(expected) {
        println!("page {page}, command line {native}");
        let apart = (page - f64::from(native)).abs();
        ensure!(apart < APART * page, "losses differ: {page} and {native}");
    }
    ensure!(shown(&page).await?["kept"] == serde_json::json!(["My inspector"]));
    use_trained(&page, SOON).await?;
    Ok(())
}
