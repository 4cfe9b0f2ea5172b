//! A new inspector, from an empty page to a model file that the command line reads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use destseg::config::{Preset, Settings};
use destseg::dataset::load_good;
use destseg::model::file::parse_teacher;
use destseg::synthesis::{Synthesiser, TextureSource};
use destseg::train::Trainer;

use crate::harness::{Gpu, in_browser};
use crate::native;
use crate::page::{Page, SOON, check_sentence};

/// A few steps at the smallest size: what is tested is the way, not the result.
const STEPS: &str = "steps=8-6";
/// The teacher of the compact preset.
const TEACHER: &str = "models/efficientnet-lite0.safetensors";
/// Losses of page and command line differ by this share at most: rounding grows from step to step, and each
/// processor rounds its own way (8e-5 at the fifth step where this was written).
const APART: f32 = 2e-4;
/// How long a short training may take.
const TRAINING: Duration = Duration::from_secs(150);

/// What the room shows.
const SHOWN: &str = r#"
    const one = id => document.querySelector(`[data-testid="${id}"]`);
    const text = id => one(id)?.innerText.trim() ?? null;
    return {
        good: [...document.querySelectorAll("[data-testid=good]")].map(e => [e.dataset.name, e.dataset.state]),
        advice: text("good-advice"), samples: document.querySelectorAll("[data-testid=sample]").length,
        preview_ms: text("preview-ms"), stage: text("train-stage"), failed: text("train-failed"),
        step: Number(one("train-progress")?.dataset.step ?? -1), look: one("look")?.dataset.step ?? null,
        saved: text("train-saved"), trained: text("trained-words"),
        kept: [...document.querySelectorAll("[data-testid=inspector]")].map(e => e.dataset.name),
        unfinished: document.querySelectorAll("[data-testid=unfinished]").length,
        can_train: one("train") ? !one("train").disabled : false,
        notices: [...document.querySelectorAll("[data-testid=notice]")].map(e => e.innerText.trim()),
    };
"#;

#[test]
fn an_inspector_is_taught_on_the_cpu() {
    in_browser(Gpu::None, taught);
}

/// Good pictures of the command line's inspection line.
fn good_images(page: &Page) -> Result<Vec<PathBuf>> {
    let folder = page.folder().join("line");
    let out = folder.to_str().context("a path")?;
    native::run(&["demo-data", out, "--category", "fabric", "--seed", "3"])?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("fabric/train/good"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files.truncate(8);
    Ok(files)
}

async fn shown(page: &Page) -> Result<Value> {
    page.execute(SHOWN, vec![]).await
}

/// Looks until the room is as it should be.
async fn until(page: &Page, what: &str, limit: Duration, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let end = Instant::now() + limit;
    loop {
        let now = shown(page).await?;
        if is_so(&now) {
            return Ok(now);
        }
        if Instant::now() > end {
            bail!("waited {limit:?} in vain for {what}; the room shows {now:#}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The losses of the first steps, natively on the same images with the page's settings.
fn native_losses(files: &[PathBuf], steps: usize) -> Result<Vec<f32>> {
    let mut settings = Settings::preset(Preset::Compact);
    settings.model.input_size = 128;
    settings.training.held_out = 0.2;
    settings.training.student.steps = 8;
    settings.training.segmentation.steps = 6;
    let (_, teacher) = parse_teacher(&std::fs::read(xtask::process::root().join(TEACHER))?)?;
    let images = load_good(files, settings.model.input_size, settings.model.fit)?.images;
    let synthesis = settings.training.synthesis.clone();
    let synthesiser = Synthesiser::new(synthesis, settings.training.augment, TextureSource::Procedural);
    let device = burn::tensor::Device::flex();
    let mut trainer = Trainer::new(
        settings.model,
        settings.training,
        &teacher,
        images,
        synthesiser,
        &device,
    )?;
    let mut losses = Vec::new();
    for _ in 0..steps {
        let report = pollster::block_on(trainer.step())?;
        losses.push(report.context("too few steps")?.loss);
    }
    Ok(losses)
}

async fn taught(page: Page) -> Result<()> {
    let files = good_images(&page)?;
    let broken = page.folder().join("broken.png");
    std::fs::write(&broken, b"no picture")?;
    page.open_to_first_map(&format!("?backend=cpu&{STEPS}"), SOON)
        .await?;
    page.execute(WATCH_LONG_TASKS, vec![]).await?;

    // collect
    page.click("[data-testid=teach-open]").await?;
    page.choose_entry("input-size", "128").await?;
    let all: Vec<PathBuf> = files
        .iter()
        .take(7)
        .chain([&files[0], &broken])
        .cloned()
        .collect();
    page.choose("good-input", &all).await?;
    let collected = until(&page, "all images", SOON, |room| {
        let good = room["good"].as_array().map_or(&[][..], Vec::as_slice);
        good.len() == 9 && good.iter().all(|image| image[1] != "reading")
    })
    .await?;
    let state = |index: usize| collected["good"][index][1].clone();
    ensure!((0..7).all(|i| state(i) == "ready"), "{collected:#}");
    ensure!(state(7) == "copy" && state(8) == "refused", "{collected:#}");
    let advice = collected["advice"].as_str().context("no advice")?;
    check_sentence(advice, "same pixels")?;

    // preview
    until(&page, "a preview", SOON, |room| room["samples"] == 4).await?;
    page.screenshot("teach-preview").await?;

    // train, interrupted by a reload after the first saving
    page.click("[data-testid=train]").await?;
    let begun = until(&page, "the first steps", TRAINING, |room| {
        room["step"].as_f64() >= Some(2.0)
    })
    .await?;
    ensure!(!begun["look"].is_null(), "nothing to look at: {begun:#}");
    let saved = begun["saved"].as_str().context("nothing about saving")?;
    ensure!(saved.starts_with("Kept"), "{saved}");
    page.screenshot("teach-training").await?;
    let enough = |room: &Value| room["step"].as_f64() >= Some(5.0);
    until(&page, "five steps", TRAINING, enough).await?;
    // it must not be over before the reload
    page.click("[data-testid=pause]").await?;
    until(&page, "the pause", SOON, |room| room["stage"] == "Paused").await?;
    let losses: Vec<f32> = serde_json::from_value(page.execute("return destseg.losses()", vec![]).await?)?;
    let paths: Vec<PathBuf> = files.iter().take(7).chain([&files[0]]).cloned().collect();
    let native = tokio::task::spawn_blocking(move || native_losses(&paths, 5)).await??;
    for (step, (page, native)) in losses.iter().zip(&native).enumerate() {
        println!("step {}: page {page}, command line {native}", step + 1);
        ensure!(
            (page - native).abs() < APART * native,
            "losses differ at step {}: {page} and {native}",
            step + 1
        );
    }
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=teach-open]").await?;
    until(&page, "the interrupted training", SOON, |room| {
        room["unfinished"] == 1
    })
    .await?;
    page.click("[data-testid=resume]").await?;

    // calibrated, kept, in use
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null() && room["kept"].as_array().is_some_and(|kept| kept.len() == 1)
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    page.screenshot("teach-result").await?;
    let long = page.execute("return window.longTasks ?? 0", vec![]).await?;
    println!("main-thread tasks over 100 ms after the reload: {long}");
    page.wait("the new model", SOON, |page| page.model.contains("My inspector"))
        .await?;

    // another visit finds it, and its file is the command line's
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=teach-open]").await?;
    until(&page, "the kept inspector", SOON, |room| {
        room["kept"] == json!(["My inspector"])
    })
    .await?;
    page.click("[data-testid=open-kept]").await?;
    page.wait("the kept model", SOON, |page| page.model.contains("My inspector"))
        .await?;
    page.click("[data-testid=teach-open]").await?;
    let name = files[7]
        .file_name()
        .and_then(|name| name.to_str())
        .context("a name")?
        .to_owned();
    page.analyse(&files[7..8], SOON).await?;
    let maps = page.maps_of(&name).await?;
    let bytes = page.execute_async(READ_KEPT, vec![]).await?;
    let bytes: Vec<u8> = serde_json::from_value(bytes).context("the kept file cannot be read")?;
    let model = page.folder().join("kept.safetensors");
    std::fs::write(&model, bytes)?;
    let native = native::predict(&files[7..8], &model)?;
    let native = &native.first().context("no prediction")?.map;
    ensure!(
        native.len() == maps.segmentation.len(),
        "the maps have different sizes"
    );
    let apart = native::largest_difference(native, &maps.segmentation);
    println!("page and command line differ by at most {apart:e} with the downloaded inspector");
    ensure!(apart < 1e-3, "they differ by {apart}");
    Ok(())
}

/// Counts the main thread's long tasks.
const WATCH_LONG_TASKS: &str = "
    window.longTasks = 0;
    new PerformanceObserver(list => {
        window.longTasks += list.getEntries().filter(entry => entry.duration > 100).length;
    }).observe({ type: 'longtask' });
";
/// The kept model file, byte by byte.
const READ_KEPT: &str = "
    const done = arguments[arguments.length - 1];
    (async () => {
        const root = await navigator.storage.getDirectory();
        const all = await root.getDirectoryHandle('inspectors');
        for await (const own of all.values()) {
            const file = await (await own.getFileHandle('model.safetensors')).getFile();
            return [...new Uint8Array(await file.arrayBuffer())];
        }
    })().then(done, error => done(String(error)));
";
