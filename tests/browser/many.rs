//! A queue of very many photos: helpers look at them, memory stays flat, nothing is lost, the page stays responsive.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

use crate::harness::{Gpu, in_browser, number};
use crate::pack;
use crate::page::{Item, OVER, Page, SOON};
use crate::spy;

/// Photos, where `DESTSEG_PHOTOS` says nothing.
const PHOTOS: usize = 60;
/// Photos whose verdicts are compared one by one: all are listed at once.
const FEW: usize = 40;
/// How long one may take, on a machine that does other things, too.
const EACH: Duration = Duration::from_secs(1);
/// Memory may grow by this share after the first third: allocators round up.
const GROWTH: f64 = 0.25;
/// A browser with one processor.
const ONE_PROCESSOR: &str = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 1 });";

#[test]
fn an_archive_of_many_photos() {
    in_browser(Gpu::None, many);
}

#[test]
fn helpers_say_what_one_worker_says() {
    in_browser(Gpu::None, as_one_worker);
}

#[test]
fn a_lost_helper_loses_no_photo() {
    in_browser(Gpu::None, lost_helpers);
}

#[test]
fn a_queue_that_is_cleared_stays_empty() {
    in_browser(Gpu::None, cleared);
}

/// A photo that no other equals.
fn photo(index: usize) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(320, 240, |x, y| {
        Rgb([
            (x + index as u32) as u8,
            (y + index as u32 / 256) as u8,
            (x ^ y) as u8,
        ])
    });
    image.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

/// An archive of so many photos.
fn archive(page: &Page, photos: usize) -> Result<PathBuf> {
    let files: Vec<(String, Vec<u8>)> = (0..photos)
        .map(|index| Ok((format!("{index:05}.jpg"), photo(index)?)))
        .collect::<Result<_>>()?;
    let files: Vec<pack::File<'_>> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice(), false))
        .collect();
    let archive = page.folder().join("photos.zip");
    std::fs::write(&archive, pack::zip(&files, false, ""))?;
    Ok(archive)
}

/// Opens the page, clears the queue and gives it photos.
async fn give(page: &Page, photos: usize) -> Result<()> {
    let archive = archive(page, photos)?;
    page.open_to_first_map("?backend=cpu&model=fabric", SOON).await?;
    page.click("[data-testid=clear]").await?;
    page.choose("file-input", &[archive]).await?;
    Ok(())
}

/// Waits until so many photos are over.
async fn wait_for(page: &Page, photos: usize) -> Result<Value> {
    let limit = EACH * u32::try_from(photos)? + SOON;
    let is_over = |over: &Value| over.as_u64() >= Some(photos as u64);
    page.until(OVER, &format!("{photos} photos"), limit, is_over)
        .await
}

async fn many(page: Page) -> Result<()> {
    let photos = number("DESTSEG_PHOTOS").unwrap_or(PHOTOS);
    spy::install(&page, "")?;
    give(&page, photos).await?;
    page.execute("gaps.length = 0", vec![]).await?;
    let start = Instant::now();
    let mut warm = None;
    for part in 1..=3 {
        wait_for(&page, photos * part / 3).await?;
        let seconds = start.elapsed().as_secs_f64();
        let modules = spy::modules(&page).await?;
        let (own, workers) = modules.split_at(1);
        // helpers end with the queue: the largest module tells more than the sum
        let now = [own[0], workers.iter().copied().fold(0.0, f64::max)];
        println!(
            "{} of {photos} photos after {seconds:.1} s: the page's module has {:.1} MB, the largest of {} workers' {:.1} MB",
            photos * part / 3,
            now[0] / 1e6,
            workers.len(),
            now[1] / 1e6
        );
        let before = *warm.get_or_insert(now);
        let is_flat = now
            .iter()
            .zip(before)
            .all(|(now, before)| *now <= (1.0 + GROWTH) * before);
        ensure!(
            is_flat,
            "{photos} photos grow the memory from {before:?} to {now:?}"
        );
    }
    let gaps =
        "gaps.sort((a, b) => b - a); return [gaps[0], gaps.filter(gap => gap > 100).length, gaps.length]";
    println!(
        "longest gap between frames, gaps above 100 ms, frames: {}",
        page.execute(gaps, vec![]).await?
    );
    // a photo selected late has its map; only the rows around it are in the page
    page.execute(
        "document.querySelector('[data-testid=queue]').scrollTop = 1e9",
        vec![],
    )
    .await?;
    let last = format!("{:05}.jpg", photos - 1);
    let listed = format!("return !!document.querySelector('[data-name=\"{last}\"]')");
    page.until(&listed, &last, SOON, |is_listed| *is_listed == true)
        .await?;
    for name in [&last, "00000.jpg"] {
        if name != last {
            page.execute(
                "document.querySelector('[data-testid=queue]').scrollTop = 0",
                vec![],
            )
            .await?;
            let listed = format!("return !!document.querySelector('[data-name=\"{name}\"]')");
            page.until(&listed, name, SOON, |is_listed| *is_listed == true)
                .await?;
        }
        let maps = page.maps_of(name).await?;
        ensure!(
            maps.dest.iter().any(|&value| value > 0.0),
            "{name} has an empty map"
        );
    }
    let rows = page.look().await?.items.len();
    ensure!(rows <= 50, "{rows} rows are in the page");
    page.screenshot("queue-many").await
}

/// What the page says of the photos, in its order.
async fn said(page: &Page, before: &str) -> Result<Vec<Item>> {
    spy::install(page, before)?;
    give(page, FEW).await?;
    wait_for(page, FEW).await?;
    Ok(page.look().await?.items)
}

async fn as_one_worker(page: Page) -> Result<()> {
    let alone = said(&page, ONE_PROCESSOR).await?;
    let helped = said(&page, "").await?;
    ensure!(alone.len() == FEW && helped.len() == FEW, "photos are missing");
    for (index, (alone, helped)) in alone.iter().zip(&helped).enumerate() {
        ensure!(
            helped.name == format!("{index:05}.jpg"),
            "{helped:?} is at place {index}"
        );
        let all = [alone, helped].map(|item| (item.name.as_str(), item.state.as_str(), item.score));
        ensure!(all[0] == all[1] && helped.state == "done", "{all:?}");
    }
    Ok(())
}

async fn lost_helpers(page: Page) -> Result<()> {
    spy::install(&page, "")?;
    give(&page, FEW).await?;
    for done in [5, 15, 25] {
        wait_for(&page, done).await?;
        ensure!(
            spy::lose_helper(&page).await?,
            "there was no helper after {done} photos"
        );
    }
    wait_for(&page, FEW).await?;
    let page = page.look().await?;
    ensure!(page.items.len() == FEW, "photos are missing: {:?}", page.items);
    ensure!(
        page.items.iter().all(|item| item.state == "done"),
        "{:?}",
        page.items
    );
    ensure!(page.notices.is_empty(), "{:?}", page.notices);
    Ok(())
}

async fn cleared(page: Page) -> Result<()> {
    spy::install(&page, "")?;
    give(&page, FEW).await?;
    wait_for(&page, FEW / 4).await?;
    page.click("[data-testid=clear]").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = page.look().await?;
    ensure!(now.items.is_empty() && now.shown.is_none(), "{now:?}");
    let modules = spy::modules(&page).await?.len();
    ensure!(modules == 2, "page and engine are left, not {modules} modules");
    // and takes photos again
    page.choose("file-input", &[page.folder().join("photos.zip")])
        .await?;
    wait_for(&page, FEW).await?;
    page.look().await?.shown.context("no result is shown")?;
    Ok(())
}
