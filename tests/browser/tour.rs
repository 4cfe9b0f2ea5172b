//! The words that explain: the guided tour, and the page on how it works.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};

/// Steps of the tour.
const STEPS: usize = 5;
const WORDS: &str = "return document.querySelector('[data-testid=tour]')?.innerText ?? '';";

#[test]
fn the_tour_has_five_steps() {
    in_browser(Gpu::None, toured);
}

async fn toured(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu&model=fabric", SOON).await?;
    page.click("[data-testid=tour-begin]").await?;
    let mut seen: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let words = page
            .until(WORDS, "another step of the tour", SOON, |words| {
                let words = words.as_str().unwrap_or_default();
                words.len() > 100 && seen.iter().all(|seen| seen != words)
            })
            .await?;
        seen.push(words.as_str().context("no words")?.to_owned());
        page.screenshot(&format!("tour-{step}")).await?;
        page.click("[data-testid=tour-next]").await?;
    }
    page.until(WORDS, "the end of the tour", SOON, |words| *words == json!(""))
        .await?;
    Ok(())
}
