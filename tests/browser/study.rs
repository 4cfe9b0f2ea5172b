//! The look inside: features follow the pointer, and the student repairs what is painted.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};

/// What the look inside shows.
const SHOWN: &str = r#"
    const all = id => [...document.querySelectorAll(`[data-testid="${id}"]`)];
    return {
        cosines: all("cosine").map(row => [row.dataset.level, row.children[1].innerText, row.children[2].innerText]),
        channels: all("channel").map(channel => Number(channel.dataset.channel)),
        drawn: [...document.querySelectorAll(".plane canvas")].map(canvas =>
            new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size),
        repair: all("repair-row").map(row => [row.dataset.level, Number(row.dataset.damage), Number(row.dataset.left)]),
        columns: all("compare-column").map(column => [column.querySelector("h3").innerText, Number(column.dataset.score),
            new Set(new Uint32Array(column.querySelector("canvas").getContext("2d").getImageData(0, 0,
                column.querySelector("canvas").width, column.querySelector("canvas").height).data.buffer)).size]),
        words: all("ablation-words").map(words => words.innerText).join(" "),
        readout: all("readout").map(readout => readout.innerText).join(" "),
        error: all("study-error").map(error => error.innerText).join(" "),
    };
"#;

/// Points at a place of an element, in parts of its size.
const POINT: &str = "
    const element = document.querySelector(arguments[0]);
    const box = element.getBoundingClientRect();
    for (const [name, x, y] of arguments[1])
        element.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerId: 1, buttons: 1,
            clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
";

async fn until(page: &Page, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    page.until(SHOWN, what, SOON, is_so).await
}

#[test]
fn features_follow_the_pointer_and_the_student_repairs() {
    in_browser(Gpu::None, looked);
}

async fn looked(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    page.click("[data-testid=look-inside]").await?;
    let resting = until(&page, "features", |look| look["cosines"] != json!([])).await?;
    ensure!(
        resting["cosines"][0][1] == "–",
        "nothing is pointed at: {resting:#}"
    );
    ensure!(
        resting["channels"].as_array().map(Vec::len) == Some(8),
        "{resting:#}"
    );
    let drawn = resting["drawn"].as_array().context("no pictures")?;
    ensure!(
        drawn.iter().all(|colours| colours.as_u64() > Some(4)),
        "{resting:#}"
    );
    let mut seen = Vec::new();
    // the canvas is wider than the picture in it
    for place in [(0.4, 0.2), (0.5, 0.5)] {
        let moves = json!([["pointermove", place.0, place.1]]);
        page.execute(POINT, vec![json!("[data-testid=heatmap-canvas]"), moves])
            .await?;
        let now = until(&page, "a cosine", |look| look["cosines"][0][1] != "–").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        for row in now["cosines"].as_array().context("no cosines")? {
            let value: f64 = row[1].as_str().context("no cosine")?.parse()?;
            ensure!((-1.0..=1.01).contains(&value), "{row}");
        }
        let settled = page.execute(SHOWN, vec![]).await?;
        let readout = settled["readout"].as_str().context("no readout")?;
        ensure!(readout.starts_with("x ") && readout.contains(", y "), "{readout}");
        seen.push(json!([settled["cosines"], readout]));
    }
    ensure!(seen[0] != seen[1], "the values do not follow: {seen:#?}");
    page.screenshot("study-features").await?;

    // without the segmentation network the product of the distances decides
    page.click("[data-testid=without-segmentation]").await?;
    let two = until(&page, "both maps", |look| {
        let columns = look["columns"].as_array().map_or(&[][..], Vec::as_slice);
        columns.len() == 2 && columns.iter().all(|column| column[2].as_u64() > Some(50))
    })
    .await?;
    ensure!(
        two["words"] != "" && two["columns"][0][1] != two["columns"][1][1],
        "{two:#}"
    );
    page.click("[data-testid=without-segmentation]").await?;
    until(&page, "the whole network", |look| look["columns"] == json!([])).await?;

    // a thick stroke across the picture
    page.execute(
        "document.querySelector('[data-testid=paint-canvas]').scrollIntoView()",
        vec![],
    )
    .await?;
    let stroke = json!([
        ["pointerdown", 0.3, 0.4],
        ["pointermove", 0.45, 0.5],
        ["pointermove", 0.7, 0.6],
        ["pointerup", 0.7, 0.6]
    ]);
    page.execute(POINT, vec![json!("[data-testid=paint-canvas]"), stroke])
        .await?;
    let painted = until(&page, "the answers", |look| {
        look["repair"].as_array().map(Vec::len) == Some(3)
    })
    .await?;
    println!("painted: {}", painted["repair"]);
    let repaired = painted["repair"]
        .as_array()
        .context("no rows")?
        .iter()
        .any(|row| {
            let (damage, left) = (row[1].as_f64(), row[2].as_f64());
            damage > Some(0.05) && left < damage
        });
    ensure!(repaired, "the student repairs nothing: {painted:#}");
    page.screenshot("study-painted").await?;
    page.click("[data-testid=synthetic-damage]").await?;
    let before = painted["repair"].clone();
    until(&page, "another defect", |look| {
        look["repair"].as_array().map(Vec::len) == Some(3) && look["repair"] != before
    })
    .await?;
    page.click("[data-testid=clear-damage]").await?;
    until(&page, "a clean picture", |look| look["repair"] == json!([])).await?;
    ensure!(painted["error"] == "", "{painted:#}");
    Ok(())
}

#[test]
fn shipped_networks_show_what_a_component_is_worth() {
    in_browser(Gpu::None, ablated);
}

async fn ablated(page: Page) -> Result<()> {
    let ablations = page.site().ablations().to_vec();
    ensure!(!ablations.is_empty(), "no network without a component is shipped");
    let of = &ablations[0].of;
    page.open_to_first_map(&format!("?backend=cpu&model={of}"), SOON)
        .await?;
    page.click("[data-testid=look-inside]").await?;
    let of_model = ablations.iter().filter(|ablation| ablation.of == *of);
    for (ablation, lacks) in of_model.filter_map(|ablation| Some((ablation, ablation.lacks?))) {
        let switch = format!("[data-testid=without-{}]", lacks.id());
        page.click(&switch).await?;
        let two = until(&page, "both maps", |look| {
            let columns = look["columns"].as_array().map_or(&[][..], Vec::as_slice);
            columns.len() == 2 && columns.iter().all(|column| column[2].as_u64() > Some(50))
        })
        .await?;
        println!("{}: {}", ablation.file.id, two["columns"]);
        ensure!(
            two["columns"][0][1] != two["columns"][1][1],
            "both networks say the same: {two:#}"
        );
        page.screenshot(&format!("without-{}", lacks.id())).await?;
        page.click(&switch).await?;
        until(&page, "the whole network", |look| look["columns"] == json!([])).await?;
    }
    Ok(())
}
