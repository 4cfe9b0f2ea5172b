//! A new inspector, from an empty page to a model file that the command line reads.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Gpu, in_browser};
use crate::native;
use crate::native_training;
use crate::page::{Page, SOON, check_sentence};
use crate::room::{TRAINING, collect, enter, good_images, until, use_trained, was_fluid, watch_long_tasks};

/// A few steps at the smallest size: what is tested is the way, not the result.
const STEPS: &str = "steps=8-6";
/// Losses of page and command line differ by this share at most: rounding grows from step to step, and each
/// processor rounds its own way (8e-5 at the fifth step where this was written).
const APART: f32 = 1e-4;

#[test]
fn an_inspector_is_taught_on_the_cpu() {
    in_browser(Gpu::None, taught);
}

#[test]
fn the_page_stays_fluid_while_it_trains() {
    in_browser(Gpu::None, fluid);
}

async fn taught(page: Page) -> Result<()> {
    let files = good_images(&page)?;
    let broken = page.folder().join("broken.png");
    std::fs::write(&broken, b"no picture")?;
    page.open_to_first_map(&format!("?backend=cpu&{STEPS}"), SOON)
        .await?;

    // collect
    page.click("[data-testid=train-open]").await?;
    page.choose_entry("input-size", "128").await?;
    // the open model is offered as a start; here the page's steps are compared with those from random weights
    let offered = "return document.querySelector('[data-testid=fine-tune]')?.checked ?? null";
    let offered: Value = page.execute(offered, vec![]).await?;
    ensure!(
        offered == true,
        "the open model is not offered as a start: {offered}"
    );
    page.click("[data-testid=fine-tune]").await?;
    let all: Vec<PathBuf> = files
        .iter()
        .take(7)
        .chain([&files[0], &broken])
        .cloned()
        .collect();
    let collected = collect(&page, &all).await?;
    let state = |index: usize| collected["good"][index][1].clone();
    ensure!((0..7).all(|i| state(i) == "ready"), "{collected:#}");
    ensure!(state(7) == "copy" && state(8) == "refused", "{collected:#}");
    let advice = collected["advice"].as_str().context("no advice")?;
    check_sentence(advice, "same pixels")?;

    // preview
    until(&page, "a preview", SOON, |room| room["samples"] == 4).await?;
    page.screenshot("train-preview").await?;

    // train, interrupted by a reload after the first saving
    page.click("[data-testid=train]").await?;
    let begun = until(&page, "the first steps", TRAINING, |room| {
        room["step"].as_f64() >= Some(2.0)
    })
    .await?;
    ensure!(!begun["look"].is_null(), "nothing to look at: {begun:#}");
    let saved = begun["saved"].as_str().context("nothing about saving")?;
    ensure!(saved.starts_with("Saved at step"), "{saved}");
    page.screenshot("train-training").await?;
    let enough = |room: &Value| room["step"].as_f64() >= Some(5.0);
    until(&page, "five steps", TRAINING, enough).await?;
    // it must not be over before the reload
    page.click("[data-testid=pause]").await?;
    until(&page, "the pause", SOON, |room| room["stage"] == "Paused").await?;
    let losses: Vec<f32> = serde_json::from_value(page.execute("return destseg.losses()", vec![]).await?)?;
    let paths: Vec<PathBuf> = files.iter().take(7).chain([&files[0]]).cloned().collect();
    let settings = native_training::settings(128, 8, [8, 6]);
    let native = tokio::task::spawn_blocking(move || native_training::losses(settings, &paths, 5)).await??;
    for (step, (page, native)) in losses.iter().zip(&native).enumerate() {
        println!("step {}: page {page}, command line {native}", step + 1);
        ensure!(
            (page - native).abs() < APART * native,
            "losses differ at step {}: {page} and {native}",
            step + 1
        );
    }
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=train-open]").await?;
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
    page.screenshot("train-result").await?;
    let model = page.look().await?.model;
    ensure!(
        !model.contains("My inspector"),
        "it was put in use by itself: {model}"
    );
    use_trained(&page, SOON).await?;

    // another visit finds it, and its file is the command line's
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=train-open]").await?;
    until(&page, "the kept inspector", SOON, |room| {
        room["kept"] == json!(["My inspector"])
    })
    .await?;
    page.click("[data-testid=open-kept]").await?;
    page.wait("the kept model", SOON, |page| page.model.contains("My inspector"))
        .await?;

    // several of them, and one is used as quickly as the other
    page.click("[data-testid=copy-kept]").await?;
    until(&page, "the copy", SOON, |room| {
        room["kept"].as_array().is_some_and(|kept| kept.len() == 2)
    })
    .await?;
    for name in ["My inspector (copy)", "My inspector"] {
        let took = page.execute_async(SWITCH, vec![json!(name)]).await?;
        println!("{name} was in use after {took} ms");
        ensure!(took.as_f64() < Some(1000.0), "it took {took} ms to use {name}");
    }
    page.click("[data-testid=train-open]").await?;
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
    check_onnx(&page, &model).await
}

/// Compares the ONNX file that the page gives with the command line's for the same model.
async fn check_onnx(page: &Page, model: &Path) -> Result<()> {
    page.click("[data-testid=train-open]").await?;
    let given = page.execute_async(READ_ONNX, vec![]).await?;
    let expected = page.folder().join("kept.onnx");
    let [model, out] = [model, &expected].map(|path| path.to_string_lossy());
    native::run(&["export", &model, "--format", "onnx", "--out", &out])?;
    let expected = std::fs::read(&expected)?;
    let hash = Sha256::digest(&expected).to_vec();
    let expected = json!(["My_inspector.onnx", expected.len(), hash]);
    ensure!(
        given == expected,
        "the page's file is {given}, that of the command line {expected}"
    );
    Ok(())
}

/// From the collected images to the inspector in use.
async fn fluid(page: Page) -> Result<()> {
    let files = good_images(&page)?;
    enter(&page, "?backend=cpu&steps=30-30&batch=4&side=64").await?;
    collect(&page, &files).await?;
    for round in 1.. {
        watch_long_tasks(&page).await?;
        page.click("[data-testid=train]").await?;
        let done = until(&page, "the inspector", TRAINING, |room| {
            !room["trained"].is_null()
        })
        .await?;
        ensure!(done["failed"].is_null(), "{done:#}");
        if was_fluid(&page, "it trained and calibrated", round).await? {
            break;
        }
        page.click("[data-testid=train-again]").await?;
    }
    Ok(())
}

/// Uses a kept inspector, and answers with the milliseconds until it is in place.
const SWITCH: &str = r#"
    const [name, done] = arguments;
    const entry = document.querySelector(`[data-testid=inspector][data-name="${name}"] [data-testid=open-kept]`);
    const start = performance.now();
    entry.click();
    const look = () => {
        const model = document.querySelector("[data-testid=status-model]")?.innerText.trim();
        model?.startsWith(`${name},`) ? done(performance.now() - start) : setTimeout(look, 5);
    };
    setTimeout(look, 0);
"#;

/// Name, length and hash of the ONNX file that the page offers for download.
const READ_ONNX: &str = r#"
    const done = arguments[arguments.length - 1];
    const offer = URL.createObjectURL;
    URL.createObjectURL = blob => {
        URL.createObjectURL = offer;
        setTimeout(async () => {
            const bytes = await blob.arrayBuffer();
            done([name, bytes.byteLength, [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))]]);
        }, 0);
        return offer.call(URL, blob);
    };
    let name = null;
    const click = HTMLAnchorElement.prototype.click;
    HTMLAnchorElement.prototype.click = function () { name = this.download; click.call(this); };
    document.querySelector('[data-name="My inspector"] [data-testid=download-onnx]').click();
"#;

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
