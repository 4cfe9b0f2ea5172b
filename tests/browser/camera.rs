//! The camera: verdicts on its picture as it comes, and photos. Chromium plays a film in place of a camera.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use image::DynamicImage;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Gpu, in_browser_with};
use crate::images;
use crate::page::{Page, SOON, check_sentence};
use crate::site::Site;
use crate::spy;

/// Pictures of the film that show the same, two seconds of a camera.
const SCENE: usize = 60;
/// A picture passes through JPEG and the camera's colours before it is looked at.
const TOLERANCE: f32 = 0.1;

/// Reads what the dialog [shows](Shown).
const LOOK: &str = "
    const find = id => document.querySelector(`[data-testid=${id}]`);
    const canvas = find('live-canvas');
    const context = canvas?.getContext('2d');
    const pixels = context?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    let painted = 0;
    for (let i = 3; i < pixels.length; i += 4) painted += pixels[i] > 64;
    return {
        verdict: find('live-verdict')?.innerText.trim() ?? null,
        score: parseFloat(find('live-score')?.dataset.value),
        rate: parseFloat(find('live-rate')?.dataset.value),
        painted: painted / Math.max(pixels.length / 4, 1),
        size: canvas ? [canvas.width, canvas.height] : null,
    };
";

/// What the dialog shows.
#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    verdict: Option<String>,
    score: Option<f32>,
    /// Looks per second.
    pub(crate) rate: Option<f64>,
    /// Share of the picture that is clearly painted over.
    painted: f64,
    /// Width and height of the camera's picture.
    pub(crate) size: Option<(u32, u32)>,
}

#[test]
fn the_camera_is_judged_as_it_moves() {
    in_browser_with(Gpu::None, good_then_defective, judged);
}

#[test]
fn a_killed_engine_ends_the_live_verdict_with_a_sentence() {
    in_browser_with(Gpu::None, good_then_defective, killed);
}

/// A film of the first model's good and defective example by turns, Motion JPEG.
pub(crate) fn good_then_defective(site: &Site, folder: &Path) -> Result<PathBuf> {
    let (defective, _) = site.defective_example()?;
    let mut examples = site.first_model().examples.iter();
    let good = examples
        .find(|example| example.label == "good")
        .context("no example is good")?;
    let mut film = Vec::new();
    for example in [good, defective] {
        let picture = image::open(site.path(&example.file))?;
        film.extend(images::jpeg(&picture)?.repeat(SCENE));
    }
    images::write(folder, "camera.mjpeg", &film)
}

/// Looks at the dialog until it is as it should be.
pub(crate) async fn until(page: &Page, what: &str, is_so: impl Fn(&Shown) -> bool) -> Result<Shown> {
    let read = |value: &Value| serde_json::from_value::<Shown>(value.clone());
    let value = page
        .until(LOOK, what, SOON, |value| {
            read(value).is_ok_and(|shown| is_so(&shown))
        })
        .await?;
    Ok(read(&value)?)
}

fn says(shown: &Shown, words: &str) -> bool {
    shown
        .verdict
        .as_deref()
        .is_some_and(|verdict| verdict.contains(words))
}

async fn judged(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=camera]").await?;
    let good = until(&page, "a good picture", |shown| says(shown, "Looks good")).await?;
    let defective = until(&page, "a defective picture", |shown| {
        says(shown, "Defect found") && shown.rate.is_some()
    })
    .await?;
    page.screenshot("camera").await?;
    println!("live: {good:?}, {defective:?}");
    let (example, _) = page.site().defective_example()?;
    let picture = image::open(page.site().path(&example.file))?;
    ensure!(
        defective.size == Some((picture.width(), picture.height())),
        "the overlay is not the camera's picture's size: {defective:?}"
    );
    ensure!(
        (1e-3..0.5).contains(&defective.painted),
        "the defect is not marked: {defective:?}"
    );

    // the photo is a picture of either scene, and has the verdict that the scene had
    page.click("[data-testid=take-photo]").await?;
    let names = ["photo 1.png".to_owned()];
    let queue = page
        .wait("the photo's result", SOON, |page| page.are_over(&names))
        .await?;
    let photo = queue.item(&names[0]).and_then(|item| item.score);
    let photo = photo.context("the photo has no score")?;
    let like = |shown: &Shown| shown.score.is_some_and(|score| (score - photo).abs() < TOLERANCE);
    ensure!(
        like(&good) || like(&defective),
        "the photo's score is {photo}, the live ones were {good:?} and {defective:?}"
    );

    page.click("[data-testid=live-switch]").await?;
    let off = until(&page, "the end", |shown| says(shown, "Photos only")).await?;
    ensure!(
        off.painted == 0.0 && off.score.is_none(),
        "it was switched off: {off:?}"
    );
    page.click("[data-testid=live-switch]").await?;
    until(&page, "verdicts again", |shown| shown.score.is_some()).await?;
    page.click("dialog .button:not([data-testid])").await?;
    until(&page, "the closed dialog", |shown| shown.verdict.is_none()).await?;
    // the queue goes on
    let file = images::write(
        page.folder(),
        "after.png",
        &images::png(&DynamicImage::new_rgb8(64, 64))?,
    )?;
    page.analyse(&[file], SOON).await?;
    Ok(())
}

async fn killed(page: Page) -> Result<()> {
    spy::install(&page, "")?;
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=camera]").await?;
    until(&page, "a verdict", |shown| shown.score.is_some()).await?;
    spy::kill_worker(&page).await?;
    let ended = until(&page, "a word about it", |shown| says(shown, "engine")).await?;
    check_sentence(ended.verdict.as_deref().unwrap_or_default(), "again")?;
    page.screenshot("camera-after-crash").await?;
    page.click("[data-testid=live-switch]").await?;
    until(&page, "verdicts again", |shown| shown.score.is_some()).await?;
    Ok(())
}
