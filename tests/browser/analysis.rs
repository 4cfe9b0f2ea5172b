//! What the page is for: it finds the defects that the command line finds, on every device.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use destseg::page::protocol::{Example, ManifestModel};
use serde_json::json;

use crate::harness::{Gpu, in_browser};
use crate::images;
use crate::native::{self, Prediction, largest_difference, pixel_auc};
use crate::page::{Page, SLOW, SOON, Snapshot};
use crate::threshold;

/// The page and the command line run the same kernels, only SIMD widths differ.
pub(crate) const CPU_TOLERANCE: f32 = 1e-3;
/// A GPU adds in another order.
const GPU_TOLERANCE: f32 = 5e-3;
/// Least area under the ROC curve of a defective example's map against its mask.
const LEAST_AUC: f64 = 0.9;

#[test]
fn without_a_gpu_the_page_agrees_with_the_command_line() {
    in_browser(Gpu::None, cpu_path);
}

#[test]
fn on_webgpu_the_page_agrees_with_the_command_line() {
    in_browser(Gpu::SwiftShader, webgpu_path);
}

#[test]
fn a_software_adapter_is_left_alone_unless_asked_for() {
    in_browser(Gpu::SwiftShader, software_adapter);
}

#[test]
fn every_shipped_model_can_be_chosen() {
    in_browser(Gpu::None, model_switch);
}

async fn cpu_path(page: Page) -> Result<()> {
    let first = page.open_to_first_map("", SOON).await?;
    println!("first visit: heat map {:.0} ms after the navigation", first.now);
    let second = page.open_to_first_map("", SOON).await?;
    println!("second visit: heat map {:.0} ms after the navigation", second.now);
    ensure!(second.backend == "CPU", "the backend is {}", second.backend);
    ensure!(
        second.device_notice.contains("CPU") && second.device_notice.contains("WebGPU"),
        "the page does not say why it fell back: {}",
        second.device_notice
    );
    agrees_with_command_line(&page, CPU_TOLERANCE).await?;
    shows_everything(&page.look().await?)?;
    page.screenshot("cpu").await?;
    lists_regions_and_decides(&page).await
}

/// The defects of the example on show are listed, and the threshold moves the decision both ways.
async fn lists_regions_and_decides(page: &Page) -> Result<()> {
    const READ: &str = "const text = (id) => document.querySelector(`[data-testid=${id}]`)?.textContent; \
        return [text('verdict'), text('regions-count'), \
            document.querySelectorAll('[data-testid=regions] tbody tr').length];";
    for (threshold, verdict) in [(0.0, "Defect found"), (1.0, "Looks good")] {
        threshold::slide(page, threshold).await?;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let read = page.execute(READ, vec![]).await?;
        ensure!(read[0] == verdict, "at a threshold of {threshold} it says {read}");
        let rows = read[2].as_u64().unwrap_or_default();
        ensure!(rows >= 1, "no region is listed: {read}");
        let count = read[1].as_str().unwrap_or_default();
        ensure!(count.contains(" above "), "the regions are not counted: {read}");
    }
    page.click("[data-testid=threshold-restore]").await
}

async fn webgpu_path(page: Page) -> Result<()> {
    let first = page.open_to_first_map("?backend=webgpu", SLOW).await?;
    println!(
        "WebGPU on SwiftShader: heat map {:.0} ms after the navigation",
        first.now
    );
    ensure!(first.backend == "WebGPU", "the backend is {}", first.backend);
    ensure!(
        !first.software.is_empty(),
        "there is no warning of the software adapter {}",
        first.adapter
    );
    agrees_with_command_line(&page, GPU_TOLERANCE).await?;
    shows_everything(&page.look().await?)?;
    page.screenshot("webgpu").await
}

async fn software_adapter(page: Page) -> Result<()> {
    let shown = page.open_to_first_map("", SOON).await?;
    ensure!(shown.backend == "CPU", "the backend is {}", shown.backend);
    ensure!(
        shown.device_notice.contains("software"),
        "the page does not say why it took the CPU: {}",
        shown.device_notice
    );
    Ok(())
}

/// The example that the page opens with, the defective example and an image of the visitor's.
async fn agrees_with_command_line(page: &Page, tolerance: f32) -> Result<()> {
    let site = page.site();
    let model = site.first_model();
    let (defective, mask) = site.defective_example()?;
    let opened = page.look().await?.shown.context("no result is shown")?;
    let opened = model
        .examples
        .iter()
        .find(|example| file_name(&example.file) == opened);
    let opened = opened.context("the page opens with something that is no example")?;
    choose_example(page, model, defective).await?;
    let upload = page.folder().join("from-the-line.jpg");
    std::fs::write(&upload, images::jpeg(&cropped(&site.path(&defective.file))?)?)?;
    let limit = if tolerance > CPU_TOLERANCE { SLOW } else { SOON };
    page.analyse(std::slice::from_ref(&upload), limit).await?;

    let files = [site.path(&opened.file), site.path(&defective.file), upload];
    compare(page, &files, model, tolerance).await?;
    let map = page.maps_of(file_name(&defective.file)).await?.segmentation;
    let auc = pixel_auc(&map, &mask)?;
    println!("{}: pixel AUC {auc:.4}", defective.file);
    ensure!(
        auc > LEAST_AUC,
        "the map of {} does not show its defect: pixel AUC {auc:.4}",
        defective.file
    );
    Ok(())
}

/// Compares the page's results for these images of its queue with the command line's.
async fn compare(page: &Page, files: &[PathBuf], model: &ManifestModel, tolerance: f32) -> Result<()> {
    let predictions = native::predict(files, &page.site().path(&model.file.file))?;
    for (file, expected) in files.iter().zip(&predictions) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let shown = page.maps_of(&name).await?;
        let difference = largest_difference(&shown.segmentation, &expected.map);
        let of_score = (shown.score - expected.score).abs();
        println!("{name}: largest difference {difference:.2e}, of the score {of_score:.2e}");
        ensure!(
            difference <= tolerance && of_score <= tolerance,
            "{name}: the page's map differs by {difference}, its score by {of_score}"
        );
        decides_alike(page, &name, expected, tolerance).await?;
        // The other map has no counterpart on disk; a map of one value would be no map.
        ensure!(shown.dest.len() == expected.map.len() && shown.dest.iter().any(|&v| v != shown.dest[0]));
    }
    Ok(())
}

/// Verdict, threshold, place on the scale, regions, how sure it is, and the p-value.
type Decided = (String, f32, f32, usize, Option<String>, Option<f32>);

/// Compares the decision on the image shown, and the regions listed, with the command line's.
async fn decides_alike(page: &Page, name: &str, expected: &Prediction, tolerance: f32) -> Result<()> {
    const READ: &str = "
        const find = id => document.querySelector(`[data-testid=${id}]`);
        const { threshold, decisionScore } = find('score').dataset;
        const count = parseInt(find('regions-count')?.textContent);
        const { certainty, pValue } = find('certainty')?.dataset ?? {};
        return [find('verdict').textContent, +threshold, +decisionScore, count || 0, certainty, +pValue];
    ";
    let read = page.execute(READ, vec![]).await?;
    let (verdict, threshold, decision_score, instances, certainty, p_value): Decided =
        serde_json::from_value(read)?;
    let said = match &*expected.verdict {
        "good" => "Looks good",
        "defective" => "Defect found",
        "unfamiliar" => "Unfamiliar part",
        other => bail!("the command line has a verdict `{other}`"),
    };
    ensure!(
        verdict == said && threshold == expected.threshold,
        "{name}: {verdict} from {threshold}; the command line says {} from {}",
        expected.verdict,
        expected.threshold
    );
    // the scale rises by 0.5 from 0 to the threshold, and from there to 1
    let steepest = 0.5 / threshold.min(1.0 - threshold);
    let difference = (decision_score - expected.decision_score).abs();
    ensure!(
        difference <= tolerance * steepest,
        "{name}: the decision score differs by {difference}"
    );
    if expected.verdict == "unfamiliar" {
        ensure!(
            instances == 0,
            "{name}: regions are listed though it is another part"
        );
        return Ok(());
    }
    let said = certainty.map(|words| words.replace(' ', "-"));
    ensure!(
        said == expected.certainty && (p_value == expected.p_value || tolerance > CPU_TOLERANCE),
        "{name}: {said:?} with {p_value:?}; the command line says {:?} with {:?}",
        expected.certainty,
        expected.p_value
    );
    // a pixel at the very threshold may fall on either side on a GPU
    ensure!(
        instances == expected.instances.len() || tolerance > CPU_TOLERANCE,
        "{name}: {instances} regions instead of {}",
        expected.instances.len()
    );
    Ok(())
}

/// All that the page promises to tell about a result.
fn shows_everything(page: &Snapshot) -> Result<()> {
    let has_digits = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    for (what, text) in [
        ("first run", &page.first_ms),
        ("median", &page.median_ms),
        ("score", &page.score),
    ] {
        ensure!(has_digits(text), "the page shows no {what}: `{text}`");
    }
    for (what, text) in [
        ("verdict", &page.verdict),
        ("model", &page.model),
        ("adapter", &page.adapter),
    ] {
        ensure!(!text.is_empty(), "the page shows no {what}");
    }
    println!(
        "first run {}, median {}, {}, {}",
        page.first_ms, page.median_ms, page.adapter, page.model
    );
    Ok(())
}

async fn model_switch(page: Page) -> Result<()> {
    page.open_to_first_map("", SOON).await?;
    let models = page.site().models();
    let count = "return document.querySelectorAll('[data-testid=model-select] option[value]').length";
    let entries = page.execute(count, vec![]).await?.as_u64().unwrap_or_default();
    ensure!(
        entries >= models.len() as u64,
        "the menu has {entries} entries for {} models",
        models.len()
    );
    // The same image for all of them: a result of the model before would not agree.
    let (defective, _) = page.site().defective_example()?;
    let image = page.folder().join("same.png");
    std::fs::copy(page.site().path(&defective.file), &image)?;
    page.analyse(std::slice::from_ref(&image), SOON).await?;
    for (index, model) in models.iter().enumerate().rev() {
        choose_model(&page, index, model).await?;
        let is_done = |page: &Snapshot| page.item("same.png").is_some_and(|item| item.state == "done");
        page.wait("the result of the other model", SOON, is_done).await?;
        compare(&page, std::slice::from_ref(&image), model, CPU_TOLERANCE).await?;
    }
    page.screenshot("other-model").await
}

async fn choose_model(page: &Page, index: usize, model: &ManifestModel) -> Result<()> {
    let options =
        "return [...document.querySelectorAll('[data-testid=model-select] option')].map(o => o.value)";
    let values: Vec<String> = serde_json::from_value(page.execute(options, vec![]).await?)?;
    let value = values
        .iter()
        .find(|value| **value == model.file.id)
        .or(values.get(index));
    page.choose_entry(
        "model-select",
        value.context("the menu has no entry for the model")?,
    )
    .await?;
    let is_loaded =
        |page: &Snapshot| page.model.contains(&model.name) && page.first_ms.contains(char::is_numeric);
    page.wait(&format!("the model {}", model.name), SOON, is_loaded)
        .await?;
    Ok(())
}

/// Clicks an example on the shelf and waits for its result.
async fn choose_example(page: &Page, model: &ManifestModel, example: &Example) -> Result<()> {
    let index = model
        .examples
        .iter()
        .position(|other| other == example)
        .context("it is an example")?;
    let shelf = "document.querySelectorAll('[data-testid=example]')";
    let label = page
        .execute(
            &format!("return {shelf}[arguments[0]]?.dataset.label"),
            vec![json!(index)],
        )
        .await?;
    ensure!(
        label == json!(example.label),
        "example {index} is labelled {label}"
    );
    page.execute(&format!("{shelf}[arguments[0]].click()"), vec![json!(index)])
        .await?;
    let name = file_name(&example.file);
    page.wait(&format!("the example {name}"), SLOW, |page| {
        page.shown.as_deref() == Some(name)
    })
    .await?;
    Ok(())
}

/// A part of an image that is not square, so that it must be resized unevenly.
fn cropped(path: &Path) -> Result<image::DynamicImage> {
    let image = image::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(image.crop_imm(0, 0, image.width(), image.height() * 2 / 3))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
