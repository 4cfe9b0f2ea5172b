//! How quick the page's engine is: `cargo xtask bench-web`. Measurements, no tests: they cannot fail for being
//! slow, because a shared machine is slow at times.

use std::time::Duration;

use anyhow::{Context as _, Result};
use destseg_engine::config::{ModelConfig, Preset};
use destseg_engine::files::storage::Precision;
use serde_json::json;

use crate::camera;
use crate::harness::{Gpu, in_browser, in_browser_with};
use crate::page::{Item, Page, SLOW, Snapshot};

#[path = "../../benches/common/mod.rs"]
#[allow(dead_code, reason = "trainings are timed elsewhere")]
mod networks;

/// Images whose median is taken: SwiftShader needs seconds for each.
const ON_CPU: usize = 15;
const ON_GPU: usize = 3;

#[test]
#[ignore = "a measurement: cargo xtask bench-web"]
fn on_the_cpu() {
    in_browser(Gpu::None, |page| measure(page, "?backend=cpu", ON_CPU));
}

#[test]
#[ignore = "a measurement: cargo xtask bench-web"]
fn on_webgpu() {
    in_browser(Gpu::SwiftShader, |page| measure(page, "?backend=webgpu", ON_GPU));
}

#[test]
#[ignore = "a measurement: cargo xtask bench-web"]
fn of_the_camera() {
    in_browser_with(Gpu::None, camera::good_then_defective, watch);
}

/// Holds the camera for each shipped model and for the preset, and prints the page's own rates as lines of JSON.
async fn watch(page: Page) -> Result<()> {
    const LONG_ENOUGH: Duration = Duration::from_secs(8);
    page.open_to_first_map("?backend=cpu", SLOW).await?;
    let preset = page.folder().join("preset.safetensors");
    let network = networks::file(ModelConfig::preset(Preset::Compact));
    std::fs::write(&preset, network.to_bytes(Precision::F16)?)?;
    let shipped = page.site().models().iter();
    let mut files: Vec<_> = shipped.map(|model| page.site().path(&model.file.file)).collect();
    files.push(preset);
    for file in files {
        let name = page.choose("model-input", &[file]).await?.remove(0);
        page.wait("the model", SLOW, |page| {
            page.model.contains(&name) && !page.model.contains("loading")
        })
        .await?;
        page.click("[data-testid=camera]").await?;
        tokio::time::sleep(LONG_ENOUGH).await;
        let shown = camera::until(&page, "a rate", |shown| shown.rate.is_some()).await?;
        println!(
            "{}",
            json!({ "camera": shown.size, "model": name, "images_per_second": shown.rate })
        );
        page.click("dialog .button:not([data-testid])").await?;
    }
    Ok(())
}

/// Analyses copies of one example with the shipped model and with the peers' networks, and prints the page's own
/// times as lines of JSON.
async fn measure(page: Page, query: &str, images: usize) -> Result<()> {
    let opened = page.open_to_first_map(query, SLOW).await?;
    let example = page
        .site()
        .first_model()
        .examples
        .first()
        .context("has an example")?;
    let source = page.site().path(&example.file);
    let mut files = Vec::new();
    for i in 0..images {
        let file = page.folder().join(format!("{i}.png"));
        std::fs::copy(&source, &file)?;
        files.push(file);
    }
    page.analyse(&files, SLOW).await?;
    let print = |shown: &Snapshot| {
        let line = json!({
            "backend": shown.backend,
            "adapter": shown.adapter,
            "model": shown.model,
            "images": images,
            "page_to_first_map_ms": opened.now.round(),
            "first_run": shown.first_ms,
            "median": shown.median_ms,
        });
        println!("{line}");
    };
    print(&page.look().await?);
    for (name, config) in [
        ("trial", networks::trial()),
        ("paper", ModelConfig::preset(Preset::Paper)),
    ] {
        let path = page.folder().join(format!("{name}.safetensors"));
        std::fs::write(&path, networks::file(config).to_bytes(Precision::F16)?)?;
        page.choose("model-input", &[path]).await?;
        // all images of the queue are looked at anew
        let is_over = |page: &Snapshot| {
            page.model.contains(name)
                && !page.model.contains("loading")
                && page.items.iter().all(Item::is_over)
                && page.median_ms.contains(char::is_numeric)
        };
        print(
            &page
                .wait("all images by the other network", SLOW, is_over)
                .await?,
        );
    }
    Ok(())
}
