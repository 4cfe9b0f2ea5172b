//! Files that visitors do give a page: unusual ones work, broken ones get one clear sentence, and
//! the page goes on.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use destseg_engine::methods::file::parse_teacher;
use image::DynamicImage;

use crate::analysis::CPU_TOLERANCE;
use crate::harness::{Gpu, in_browser};
use crate::native::largest_difference;
use crate::page::{Page, SOON, Snapshot, check_sentence};
use crate::torch::StateDict;
use crate::{images, native};

#[test]
fn broken_and_unusual_images_in_one_queue() {
    in_browser(Gpu::None, all_images);
}

#[test]
fn files_that_are_no_usable_model() {
    in_browser(Gpu::None, bad_models);
}

/// An image of 300 x 200 pixels that the model knows something about.
fn good_image(page: &Page) -> Result<DynamicImage> {
    let (example, _) = page.site().defective_example()?;
    let path = page.site().path(&example.file);
    let image = image::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(image.resize_exact(300, 200, image::imageops::FilterType::Triangle))
}

async fn all_images(page: Page) -> Result<()> {
    page.open_to_first_map("", SOON).await?;
    let good = good_image(&page)?;
    let broken = images::broken(page.folder(), &good)?;
    let unusual = images::unusual(page.folder(), &good)?;
    let files: Vec<PathBuf> = broken
        .iter()
        .map(|(path, _)| path)
        .chain(unusual.iter().map(|(path, _)| path))
        .cloned()
        .collect();
    let items = page.analyse(&files, SOON).await?;
    page.screenshot("queue").await?;
    let (failed, done) = items.split_at(broken.len());

    for (item, (_, expected)) in failed.iter().zip(&broken) {
        ensure!(item.state == "failed", "{} is {}", item.name, item.state);
        let shown = page.select(&item.name).await?;
        println!("{}: {}", item.name, shown.item_error.replace('\n', " "));
        check_sentence(&shown.item_error, expected).with_context(|| item.name.clone())?;
    }
    page.screenshot("not-usable").await?;

    // this one is decoded by the browser, so no other program says what the engine should see
    let avif = images::write(page.folder(), "drawn.avif", images::AVIF)?;
    let item = page.analyse(&[avif], SOON).await?;
    ensure!(item[0].state == "done", "{} is {}", item[0].name, item[0].state);
    let shown = page.select("drawn.avif").await?;
    ensure!(shown.canvas == Some((64, 48)), "{:?}", shown.canvas);

    let works: Vec<PathBuf> = unusual.iter().map(|(path, _)| path.clone()).collect();
    let predictions = native::predict(&works, &page.site().path(&page.site().first_model().file.file))?;
    for ((item, (_, size)), expected) in done.iter().zip(&unusual).zip(&predictions) {
        ensure!(item.state == "done", "{} is {}", item.name, item.state);
        let maps = page.maps_of(&item.name).await?;
        page.wait(&format!("{} as {size:?} pixels", item.name), SOON, |page| {
            page.canvas == Some(*size)
        })
        .await?;
        let difference = largest_difference(&maps.segmentation, &expected.map);
        let of_score = item
            .score
            .map_or(f32::INFINITY, |score| (score - expected.score).abs());
        println!(
            "{}: largest difference {difference:.2e}, of the score {of_score:.2e}",
            item.name
        );
        ensure!(
            difference <= CPU_TOLERANCE,
            "{}: the map differs by {difference}",
            item.name
        );
        ensure!(
            of_score <= CPU_TOLERANCE,
            "{}: the score differs by {of_score}",
            item.name
        );
    }
    // The second picture of the animation is another one and must not be looked at.
    let still = page.maps_of("still.gif").await?;
    ensure!(still.segmentation == page.maps_of("animated.gif").await?.segmentation);
    Ok(())
}

/// The shipped teacher as PyTorch would save it.
fn torch_teacher(page: &Page) -> Result<Vec<u8>> {
    let (_, weights) = parse_teacher(&fs::read(page.site().first_teacher()?)?)?;
    let tensors = weights
        .iter()
        .map(|(name, array)| (name, &*array.shape, &*array.data));
    Ok(StateDict(tensors.collect()).zip())
}

async fn bad_models(page: Page) -> Result<()> {
    let before = page.open_to_first_map("", SOON).await?;
    let model = fs::read(page.site().path(&page.site().first_model().file.file))?;
    let mut files = vec![
        (
            "notes.safetensors",
            b"Dear diary, this is no model.".to_vec(),
            "model",
        ),
        ("empty.safetensors", Vec::new(), "empty"),
        ("cut.safetensors", model[..model.len() / 2].to_vec(), "complete"),
        ("newer.safetensors", images::newer_model(&model)?, "newer"),
        (
            "crafted.pckl",
            b"\x80\x02}cos\nsystem\nX\x04\x00\x00\x00echo\x85Rs.".to_vec(),
            "nothing of it was run",
        ),
        (
            "other.pt",
            StateDict(vec![("linear.weight", &[2], &[1.0, 2.0])]).legacy(),
            "another network",
        ),
        // no fault at all, but no model either: told, and kept
        ("teacher.pth", torch_teacher(&page)?, "teacher is kept"),
    ];
    for (name, bytes, expected) in files.drain(..) {
        let earlier = page.look().await?.notices;
        let file = images::write(page.folder(), name, &bytes)?;
        page.choose("model-input", &[file]).await?;
        let is_told = |page: &Snapshot| page.notices.iter().any(|notice| !earlier.contains(notice));
        let shown = page.wait(&format!("a word about {name}"), SOON, is_told).await?;
        let notice = shown
            .notices
            .iter()
            .find(|notice| !earlier.contains(notice))
            .context("there is one")?;
        println!("{name}: {notice}");
        check_sentence(notice, expected)?;
        let is_back = |page: &Snapshot| page.model == before.model;
        page.wait("the model from before", SOON, is_back).await?;
    }
    let file = images::write(page.folder(), "after.png", &images::png(&good_image(&page)?)?)?;
    let items = page.analyse(&[file], SOON).await?;
    ensure!(items[0].state == "done", "the page does not go on: {items:?}");
    page.screenshot("no-model").await?;

    // One's own copy of a good model works.
    let own = images::write(page.folder(), "own.safetensors", &model)?;
    page.choose("model-input", &[own]).await?;
    let is_open = |page: &Snapshot| page.model.contains("own") && page.first_ms.contains(char::is_numeric);
    page.wait("the visitor's model", SOON, is_open).await?;
    Ok(())
}
