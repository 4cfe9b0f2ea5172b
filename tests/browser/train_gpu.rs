//! Training on WebGPU, by Chromium's software adapter: small, but through every layer and both stages.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::harness::{Gpu, in_browser, number};
use crate::native_training;
use crate::page::{Page, check_sentence};
use crate::room::{collect, enter, good_images, pause, step, until};
use crate::spy;

/// Pixels of the input's side, images of a step, steps of the two stages. With two images, the deepest layer would have two
/// numbers a channel, whose normalisation makes differences of any rounding: 0.6 % of the third step's loss.
const SIDE: usize = 32;
const BATCH: usize = 4;
const STEPS: [usize; 2] = [3, 3];
/// How long a part of it may take: five minutes in all on a quiet machine.
const LONG: std::time::Duration = std::time::Duration::from_secs(400);
/// Losses of page and command line differ by this share at most.
const APART: f32 = 5e-3;

#[test]
fn a_training_on_webgpu_is_that_of_the_cpu() {
    in_browser(Gpu::SwiftShader, trained);
}

#[test]
fn a_training_survives_the_loss_of_its_gpu() {
    in_browser(Gpu::SwiftShader, lost);
}

fn query() -> String {
    let [student, segmentation] = STEPS;
    format!("?backend=webgpu&model=none&steps={student}-{segmentation}&batch={BATCH}&side={SIDE}")
}

async fn numbers(page: &Page, script: &str) -> Result<Vec<f64>> {
    Ok(serde_json::from_value(page.execute(script, vec![]).await?)?)
}

/// The losses of stage 1 by the command line.
fn native(files: &[PathBuf]) -> Result<Vec<f32>> {
    native_training::losses(native_training::settings(SIDE, BATCH, STEPS), files, STEPS[0])
}

async fn trained(page: Page) -> Result<()> {
    spy::install(&page, "")?;
    let files = good_images(&page)?;
    enter(&page, &query()).await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;

    // kernels first, and the page says so
    let starting = "return document.querySelector('[data-testid=train-starting]')?.innerText ?? null";
    let preparing = async {
        loop {
            let text = page.execute(starting, vec![]).await?;
            if text
                .as_str()
                .is_some_and(|text| text.contains("Preparing the graphics card"))
            {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, preparing)
        .await
        .context("nothing about preparations")??;
    page.screenshot("train-gpu-preparing").await?;

    // into stage 2, so that every layer has had a gradient
    until(&page, "stage 2", LONG, |room| step(room) > STEPS[0]).await?;
    let pause = pause(&page, LONG).await?;
    let times = numbers(&page, "return destseg.stepTimes()").await?;
    println!("milliseconds of the steps: {times:.0?}");
    let mut later = times[1..].to_vec();
    later.sort_by(f64::total_cmp);
    ensure!(
        times[0] <= 10.0 * later[later.len() / 2],
        "the first step waited: {times:?} ms"
    );
    let memory = spy::memory(&page).await?;
    println!("{memory:?}");
    ensure!(
        memory.asked >= memory.limit,
        "the device has less than the adapter allows: {memory:?}"
    );
    ensure!(
        memory.largest <= memory.limit,
        "a buffer is larger than the adapter allows: {memory:?}"
    );

    let given = files.clone();
    let expected = tokio::task::spawn_blocking(move || native(&given)).await??;

    // another visit goes on with weights and momenta as they were
    let before = numbers(&page, "return destseg.losses()").await?;
    enter(&page, &query()).await?;
    until(&page, "the interrupted training", LONG, |room| {
        room["unfinished"] == 1
    })
    .await?;
    page.click("[data-testid=resume]").await?;
    let done = until(&page, "the inspector", LONG, |room| !room["trained"].is_null()).await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    let after = numbers(&page, "return destseg.losses()").await?;
    ensure!(
        before.len() == pause && before.len() + after.len() == STEPS[0] + STEPS[1],
        "{before:?}, then {after:?}"
    );
    // stage 2 has other axes on another device: `tests/parity/gpu.rs` compares it from one state
    for (index, (&page, &native)) in before.iter().zip(&expected).enumerate() {
        println!("step {}: page {page}, command line {native}", index + 1);
        let apart = (page as f32 - native).abs();
        ensure!(
            apart < APART * native,
            "losses differ at step {}: {page} and {native}",
            index + 1
        );
    }
    // both stages learn
    let losses: Vec<f64> = before.into_iter().chain(after).collect();
    ensure!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    for stage in [&losses[..STEPS[0]], &losses[STEPS[0]..]] {
        ensure!(
            stage[stage.len() - 1] < stage[0],
            "the loss does not fall: {stage:?}"
        );
    }
    Ok(())
}

async fn lost(page: Page) -> Result<()> {
    /// Steps between two losses.
    const APART: usize = 3;
    spy::install(&page, "")?;
    let losses = number("DESTSEG_GPU_LOSSES").unwrap_or(1);
    let files = good_images(&page)?;
    let steps = STEPS.map(|own| own + APART * (losses - 1));
    let [student, segmentation] = steps;
    let query =
        format!("?backend=webgpu&model=none&steps={student}-{segmentation}&batch={BATCH}&side={SIDE}");
    enter(&page, &query).await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;
    for loss in 0..losses {
        let wanted = 2 + APART * loss;
        until(&page, "some steps", LONG, |room| step(room) >= wanted).await?;
        spy::lose_gpu(&page).await?;
        let room = until(&page, "a word about it", LONG, |room| {
            room["notices"].as_array().is_some_and(|all| !all.is_empty())
        })
        .await?;
        for notice in room["notices"].as_array().context("notices")? {
            println!("{notice}");
            check_sentence(notice.as_str().unwrap_or_default(), "")?;
        }
        if losses == 1 {
            page.screenshot("train-gpu-lost").await?;
        }
    }
    let done = until(&page, "the inspector", LONG, |room| !room["trained"].is_null()).await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    let started = page.execute("return workers.length", vec![]).await?;
    ensure!(started == json!(1 + losses), "{started} engines were started");
    Ok(())
}
