//! A page that is left open: hundreds of steps and analyses take no more memory than the first ones.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Gpu, in_browser};
use crate::images;
use crate::page::{Page, SLOW, SOON};
use crate::room::{collect, enter, good_images, until};
use crate::spy::{self, Memory};

/// Memory may grow by this share after the warm-up.
const GROWTH: f64 = 0.1;
/// Steps of each stage: half of them warm up, so that it was looked at and saved before.
const STEPS: usize = 420;
/// Analyses that warm up.
const WARM: usize = 10;
/// Analyses after the warm-up.
const ANALYSES: usize = 200;

#[test]
#[ignore = "FAILS: 208 steps take the module from 56 to 75 MB (issue 5); it was 69 to 100 while Burn recorded weights"]
fn memory_is_flat_on_the_cpu() {
    in_browser(Gpu::None, |page| flat(page, "cpu", SOON));
}

#[test]
#[ignore = "not yet seen to pass on a quiet machine (issue 5): cargo test --test browser -- --ignored teach"]
fn memory_is_flat_on_webgpu() {
    in_browser(Gpu::SwiftShader, |page| flat(page, "webgpu", SLOW));
}

/// Checks what was added since, in bytes of the module and of the GPU.
fn check(what: &str, before: Memory, after: Memory) -> Result<()> {
    let mega = |bytes: f64| bytes / 1e6;
    println!(
        "{what}: module {:.1} MB, then {:.1}; GPU {:.1} MB in {} buffers, then {:.1} in {}",
        mega(before.wasm),
        mega(after.wasm),
        mega(before.gpu),
        before.buffers,
        mega(after.gpu),
        after.buffers
    );
    ensure!(
        after.wasm <= before.wasm * (1.0 + GROWTH),
        "{what} grew the module's memory: {before:?}, {after:?}"
    );
    ensure!(
        after.gpu <= before.gpu * (1.0 + GROWTH),
        "{what} grew the GPU's memory: {before:?}, {after:?}"
    );
    Ok(())
}

async fn at_step(page: &Page, step: usize, limit: Duration) -> Result<Memory> {
    until(page, &format!("step {step}"), limit, |room| {
        room["step"].as_f64() >= Some(step as f64)
    })
    .await?;
    spy::memory(page).await
}

async fn flat(page: Page, backend: &str, limit: Duration) -> Result<()> {
    spy::install(&page, "")?;
    let files = good_images(&page)?;
    enter(
        &page,
        &format!("?backend={backend}&model=none&steps={STEPS}-{STEPS}&batch=2&side=32"),
    )
    .await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;
    for stage in 0..2 {
        let first = stage * STEPS;
        let before = at_step(&page, first + STEPS / 2, limit).await?;
        let after = at_step(&page, first + STEPS - 2, limit).await?;
        check(
            &format!("{} steps of stage {}", STEPS / 2 - 2, stage + 1),
            before,
            after,
        )?;
    }
    until(&page, "the inspector", limit, |room| !room["trained"].is_null()).await?;
    page.wait("the new model", limit, |page| page.model.contains("My inspector"))
        .await?;

    page.click("[data-testid=teach-open]").await?;
    let bytes = std::fs::read(&files[0])?;
    let copies = |name: &str, count: usize| -> Result<Vec<_>> {
        let copy = |index: usize| images::write(page.folder(), &format!("{name}{index}.png"), &bytes);
        (0..count).map(copy).collect()
    };
    page.analyse(&copies("warm", WARM)?, limit).await?;
    let before = spy::memory(&page).await?;
    page.analyse(&copies("more", ANALYSES)?, limit).await?;
    check(&format!("{ANALYSES} analyses"), before, spy::memory(&page).await?)
}
