//! A page that is left open: hundreds of steps and analyses take no more memory than the first ones.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::{Gpu, in_browser, number};
use crate::images;
use crate::page::{Page, SOON};
use crate::room::{collect, enter, good_images, pause, until, use_trained};
use crate::spy::{self, Memory};

/// Memory may grow by this share after the warm-up.
const GROWTH: f64 = 0.1;
/// One larger block may take this share at most.
const JUMP: f64 = 0.4;
/// Parts that the time after the warm-up is divided into. A leak grows in every part. An allocator
/// that needs one larger block, because a save met a step, grows in one of them.
pub(crate) const PARTS: usize = 3;
/// Steps of each stage that warm up. Within them the state is saved, which takes the most memory of all.
const WARM_STEPS: usize = 40;
/// Steps of each stage after the warm-up.
const STEPS: usize = 210;
/// Steps on a GPU whose least counts: what one of them holds for a moment is no growth.
const LOOKS: usize = 5;
/// How long hundreds of steps on a software adapter may take.
const LONG: Duration = Duration::from_secs(400);
/// Analyses that warm up.
const WARM: usize = 10;
/// Analyses after the warm-up, where `DESTSEG_IMAGES` says nothing.
const ANALYSES: usize = 201;

#[test]
fn memory_is_flat_on_the_cpu() {
    in_browser(Gpu::None, |page| flat(page, "cpu", SOON));
}

#[test]
fn memory_is_flat_on_webgpu() {
    in_browser(Gpu::SwiftShader, |page| flat(page, "webgpu", LONG));
}

/// Checks that the module and the GPU did not grow in every part, by memory at the parts' borders.
pub(crate) fn check(what: &str, borders: &[Memory]) -> Result<()> {
    let mega = |bytes: f64| bytes / 1e6;
    for memory in borders {
        println!(
            "{what}: module {:.1} MB, GPU {:.1} MB in {} buffers",
            mega(memory.wasm),
            mega(memory.gpu),
            memory.buffers,
        );
    }
    let least = |of: fn(&Memory) -> f64| {
        let growth = borders
            .windows(2)
            .map(|pair| of(&pair[1]) / of(&pair[0]).max(1.0) - 1.0);
        growth.fold(f64::INFINITY, f64::min)
    };
    let allowed = GROWTH / PARTS as f64;
    let overall = |of: fn(&Memory) -> f64| of(&borders[borders.len() - 1]) / of(&borders[0]).max(1.0) - 1.0;
    ensure!(
        overall(|memory| memory.wasm) <= JUMP && overall(|memory| memory.gpu) <= JUMP,
        "{what} took far more memory: {borders:?}"
    );
    ensure!(
        least(|memory| memory.wasm) <= allowed,
        "{what} grew the module's memory: {borders:?}"
    );
    ensure!(
        least(|memory| memory.gpu) <= allowed,
        "{what} grew the GPU's memory: {borders:?}"
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

/// What is held at least in so many steps from this one on.
async fn held_from(page: &Page, step: usize, looks: usize, limit: Duration) -> Result<Memory> {
    let mut least = at_step(page, step, limit).await?;
    for step in step + 1..step + looks {
        let now = at_step(page, step, limit).await?;
        if now.gpu < least.gpu {
            least = now;
        }
    }
    Ok(least)
}

async fn flat(page: Page, backend: &str, limit: Duration) -> Result<()> {
    spy::install(&page, "")?;
    // the CPU's memory is the module's alone, and its steps are over before five looks
    let looks = if backend == "cpu" { 1 } else { LOOKS };
    let files = good_images(&page)?;
    let steps = WARM_STEPS + STEPS;
    enter(
        &page,
        &format!("?backend={backend}&model=none&steps={steps}-{steps}&batch=2&side=32"),
    )
    .await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;
    for stage in 0..2 {
        let first = stage * (WARM_STEPS + STEPS);
        at_step(&page, first + WARM_STEPS / 2, limit).await?;
        // who pauses has the state saved
        pause(&page, limit).await?;
        page.click("[data-testid=pause]").await?;
        let mut borders = Vec::new();
        for part in 0..=PARTS {
            let step = first + WARM_STEPS + (STEPS - looks) * part / PARTS;
            borders.push(held_from(&page, step, looks, limit).await?);
        }
        check(
            &format!("{} steps of stage {}", STEPS - looks, stage + 1),
            &borders,
        )?;
    }
    until(&page, "the inspector", limit, |room| !room["trained"].is_null()).await?;
    use_trained(&page, limit).await?;

    let bytes = std::fs::read(&files[0])?;
    let copies = |name: &str, count: usize| -> Result<Vec<_>> {
        let copy = |index: usize| images::write(page.folder(), &format!("{name}{index}.png"), &bytes);
        (0..count).map(copy).collect()
    };
    page.analyse(&copies("warm", WARM)?, limit).await?;
    let mut borders = vec![spy::memory(&page).await?];
    let analyses = number("DESTSEG_IMAGES").unwrap_or(ANALYSES);
    for part in 0..PARTS {
        let more = copies(&format!("more{part}-"), analyses / PARTS)?;
        let longer = u32::try_from(analyses.div_ceil(ANALYSES))?;
        page.analyse_many(&more, limit * longer).await?;
        borders.push(spy::memory(&page).await?);
    }
    check(&format!("{analyses} analyses"), &borders)
}
