//! Look inside: the maps behind a result, with their numbers, follow the pointer.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};

/// Names, values and drawn canvases of the maps that the page shows.
const SHOWN: &str = "return [...document.querySelectorAll('[data-testid=inside-map]')].map((map) => { \
    const canvas = map.querySelector('canvas'); \
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
    return { name: map.dataset.map, value: map.querySelector('[data-testid=inside-value] b').textContent, \
        colours: new Set(new Uint32Array(pixels.buffer)).size, rings: map.querySelectorAll('circle').length, \
        wide: map.querySelector('.inside-map').clientWidth, high: map.querySelector('.inside-map').clientHeight }; });";
/// The highest value of each map.
const HIGHEST: &str = "const maps = window.destseg.maps(); \
    return [...maps.levels, maps.dest, maps.segmentation].map((map) => Math.max(...map));";
/// Points at a place of an element, in parts of its width and height.
const POINT: &str = "const box = document.querySelector(arguments[0]).getBoundingClientRect(); \
    document.querySelector(arguments[0]).dispatchEvent(new PointerEvent('pointermove', { bubbles: true, \
        clientX: box.left + arguments[1] * box.width, clientY: box.top + arguments[2] * box.height }));";

#[test]
fn the_maps_behind_a_result_are_linked() {
    in_browser(Gpu::None, linked);
}

async fn linked(page: Page) -> Result<()> {
    page.open_to_first_map("", SOON).await?;
    page.click("[data-testid=look-inside]").await?;
    let resting = shown(&page).await?;
    let highest = page.execute(HIGHEST, vec![]).await?;
    let names: Vec<&str> = resting.iter().filter_map(|map| map["name"].as_str()).collect();
    ensure!(
        names == ["Fine", "Middle", "Coarse", "Product", "Segmentation"],
        "the maps are {names:?}"
    );
    for (map, highest) in resting.iter().zip(highest.as_array().context("no values")?) {
        let highest = highest.as_f64().context("no number")?;
        let value = value(map)?;
        ensure!(
            (value - highest).abs() <= 0.06 * highest,
            "the highest value is {highest}: {map}"
        );
        ensure!(
            map["colours"].as_u64() > Some(20),
            "the map is not painted: {map}"
        );
        ensure!(map["rings"] == 0, "nothing is pointed at: {map}");
        ensure!(
            map["wide"] == map["high"],
            "a square image's map is not square: {map}"
        );
    }
    let mut seen = Vec::new();
    let image = "[data-testid=heatmap-canvas]";
    let first_map = "[data-testid=inside-map] .inside-map";
    for (target, x, y) in [(image, 0.4, 0.2), (image, 0.5, 0.52), (first_map, 0.9, 0.9)] {
        page.execute(POINT, vec![json!(target), json!(x), json!(y)])
            .await?;
        let now = shown(&page).await?;
        ensure!(
            now.iter().all(|map| map["rings"] == 2),
            "the ring is not on every map: {now:?}"
        );
        seen.push(now.iter().map(value).collect::<Result<Vec<_>>>()?);
    }
    ensure!(
        seen[0] != seen[1] && seen[1] != seen[2],
        "the values do not follow: {seen:?}"
    );
    page.screenshot("inside").await
}

async fn shown(page: &Page) -> Result<Vec<Value>> {
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let shown = page.execute(SHOWN, vec![]).await?;
    Ok(shown.as_array().context("no maps are shown")?.clone())
}

fn value(map: &Value) -> Result<f64> {
    let text = map["value"].as_str().context("no value")?;
    text.parse().with_context(|| format!("`{text}` is no number"))
}
