//! Methods side by side: a memory built in the page, and its score beside the loaded model's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};
use crate::room::good_images;

/// Eight images on a busy machine may take this long.
const BUILDING: Duration = Duration::from_secs(60);

const SHOWN: &str = r#"
    const all = id => [...document.querySelectorAll(`[data-testid="${id}"]`)];
    const text = id => all(id)[0]?.innerText.trim() ?? null;
    return {
        count: text("compare-count"), error: text("compare-error"),
        memory: text("baseline-patchcore"), ready: all("baseline-patchcore")[0]?.dataset.ready,
        student: text("baseline-stpm"), trained: all("baseline-stpm")[0]?.dataset.ready,
        columns: all("compare-column").map(column => ({ method: column.dataset.method, score: Number(column.dataset.score),
            words: column.innerText, colours: (canvas => canvas.width > 0 ? new Set(new Uint32Array(canvas.getContext("2d")
                .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size : 0)(column.querySelector("canvas")) })),
    };
"#;

async fn until(page: &Page, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    page.until(SHOWN, what, BUILDING, is_so).await
}

/// Opens the room with this addition to the page's address, waits for the loaded model's column and gives eight good
/// images.
async fn enter(page: &Page, query: &str) -> Result<()> {
    let files = good_images(page)?;
    page.open_to_first_map(&format!("?backend=cpu&model=fabric{query}"), SOON)
        .await?;
    page.click("[data-testid=compare-open]").await?;
    until(page, "the loaded model's map", |room| {
        room["columns"].as_array().map(Vec::len) == Some(1)
    })
    .await?;
    page.choose("compare-good", &files).await?;
    until(page, "eight good images", |room| {
        room["count"] == "8 good images ready"
    })
    .await?;
    Ok(())
}

/// Whether both columns show a heat map: scores are there a moment before the pixels.
fn both_are_drawn(room: &Value) -> bool {
    let columns = room["columns"].as_array().map_or(&[][..], Vec::as_slice);
    columns.len() == 2 && columns.iter().all(|column| column["colours"].as_u64() > Some(50))
}

#[test]
fn stpm_is_trained_and_compared() {
    in_browser(Gpu::None, trained);
}

async fn trained(page: Page) -> Result<()> {
    enter(&page, "&steps=4-2").await?;
    page.click("[data-testid=prepare-stpm]").await?;
    let made = until(&page, "STPM", |room| {
        room["trained"] == "true" || room["error"].is_string()
    })
    .await?;
    ensure!(made["error"].is_null(), "{made:#}");
    let words = made["student"].as_str().context("nothing is said")?;
    ensure!(words.contains("from 6 images"), "{words}");
    let both = until(&page, "both maps", both_are_drawn).await?;
    let stpm = &both["columns"][1];
    ensure!(
        stpm["method"] == "STPM" && stpm["score"].as_f64() > Some(0.0),
        "{both:#}"
    );
    let words = stpm["words"].as_str().context("no words")?;
    ensure!(words.contains("threshold") && words.contains("MB"), "{words}");
    page.screenshot("compare-stpm").await
}

#[test]
fn a_memory_is_built_and_compared() {
    in_browser(Gpu::None, compared);
}

async fn compared(page: Page) -> Result<()> {
    enter(&page, "").await?;
    page.click("[data-testid=prepare-patchcore]").await?;
    let built = until(&page, "the memory", |room| {
        room["ready"] == "true" || room["error"].is_string()
    })
    .await?;
    ensure!(built["error"].is_null(), "{built:#}");
    let words = built["memory"].as_str().context("nothing is said")?;
    println!("{words}");
    // six images of 1024 patches, a tenth of them
    ensure!(words.contains("614 of 6144 patches (10 %)"), "{words}");
    let both = until(&page, "both maps", both_are_drawn).await?;
    let methods: Vec<&str> = both["columns"]
        .as_array()
        .context("no columns")?
        .iter()
        .filter_map(|column| column["method"].as_str())
        .collect();
    ensure!(methods == ["DeSTSeg", "PatchCore"], "{methods:?}");
    for column in both["columns"].as_array().context("no columns")? {
        ensure!(column["score"].as_f64() > Some(0.0), "{column:#}");
        let words = column["words"].as_str().context("no words")?;
        ensure!(
            words.contains("threshold") && words.contains("MB") && words.contains("defective"),
            "{words}"
        );
    }
    page.screenshot("compare").await?;
    // another image is looked at by both
    let scores = |room: &Value| json!([room["columns"][0]["score"], room["columns"][1]["score"]]);
    let first = scores(&both);
    page.click("[data-testid=compare-open]").await?;
    page.click("[data-testid=example][data-label=good]").await?;
    page.click("[data-testid=compare-open]").await?;
    until(&page, "the other image", |room| {
        room["columns"].as_array().map(Vec::len) == Some(2) && scores(room) != first
    })
    .await?;
    Ok(())
}
