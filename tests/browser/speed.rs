//! How quick the page's engine is: `cargo xtask bench-web`. Measurements, no tests: they cannot fail for being
//! slow, because a shared machine is slow at times.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SLOW, SOON};

/// Images whose median is taken: SwiftShader needs seconds for each.
const ON_CPU: usize = 40;
const ON_GPU: usize = 5;

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

/// Analyses copies of one example and prints the page's own times as a line of JSON.
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
    let limit = if images > ON_GPU { SOON } else { SLOW };
    page.analyse(&files, limit).await?;
    let shown = page.look().await?;
    let line = json!({
        "backend": shown.backend,
        "adapter": shown.adapter,
        "model": shown.model,
        "images": images,
        "first_map_ms": opened.now.round(),
        "first_run": shown.first_ms,
        "median": shown.median_ms,
    });
    println!("{line}");
    Ok(())
}
