//! The threshold is one number that belongs to the model: moved in one room, it holds in all, and in the next visit.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};
use crate::room::{TRAINING, collect, enter, good_images, until};

/// What the panel shows.
const PANEL: &str = "
    const one = id => document.querySelector(`[data-testid=${id}]`);
    const words = one('threshold-words');
    return { words: words?.textContent ?? null, threshold: +(words?.dataset.threshold ?? -1),
        card: +(one('score')?.dataset.threshold ?? -1), guarantee: one('guarantee')?.textContent ?? null,
        pressed: one('promise-1')?.ariaPressed ?? null, restore: !!one('threshold-restore'),
        verdict: one('verdict')?.textContent ?? null };
";

/// Moves the slider in Inspect to this share of the scale.
pub(crate) async fn slide(page: &Page, share: f64) -> Result<()> {
    const SET: &str = "const slider = document.querySelector('[data-testid=image-threshold]'); \
        slider.value = arguments[0]; slider.dispatchEvent(new Event('input', { bubbles: true }));";
    page.execute(SET, vec![json!(share)]).await.map(|_| ())
}

async fn panel(page: &Page, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    page.until(PANEL, what, SOON, is_so).await
}

fn near(value: &Value, expected: f64) -> bool {
    value
        .as_f64()
        .is_some_and(|value| (value - expected).abs() < 2e-3)
}

#[test]
fn a_moved_threshold_is_kept() {
    in_browser(Gpu::None, shipped);
}

async fn shipped(page: Page) -> Result<()> {
    const QUERY: &str = "?backend=cpu&model=fabric";
    page.open_to_first_map(QUERY, SOON).await?;
    let trained = panel(&page, "the trained threshold", |own| {
        own["words"]
            .as_str()
            .is_some_and(|words| words.starts_with("Set by training"))
    })
    .await?;
    ensure!(
        trained["card"] == trained["threshold"] && trained["restore"] == false,
        "{trained:#}"
    );
    slide(&page, 0.97).await?;
    let moved = panel(&page, "the moved threshold", |own| near(&own["threshold"], 0.97)).await?;
    ensure!(
        moved["card"] == moved["threshold"] && moved["verdict"] == "Looks good",
        "{moved:#}"
    );
    page.screenshot("threshold-moved").await?;
    // another visit
    page.open_to_first_map(QUERY, SOON).await?;
    panel(&page, "the kept threshold", |own| {
        near(&own["threshold"], 0.97)
            && own["words"]
                .as_str()
                .is_some_and(|words| words.starts_with("Set by hand"))
    })
    .await?;
    // a promise that ten images cannot guarantee
    page.click("[data-testid=promise-1]").await?;
    let promised = panel(&page, "the promise", |own| own["pressed"] == "true").await?;
    let guarantee = promised["guarantee"].as_str().context("nothing is said")?;
    ensure!(guarantee.contains("check 89 more good images"), "{guarantee}");
    page.click("[data-testid=threshold-restore]").await?;
    let back = panel(&page, "the trained threshold again", |own| {
        own["restore"] == false
    })
    .await?;
    ensure!(back["threshold"] == trained["threshold"], "{back:#}");
    page.open_to_first_map(QUERY, SOON).await?;
    let again = panel(&page, "the trained threshold in the next visit", |own| {
        own["words"].is_string()
    })
    .await?;
    ensure!(again["threshold"] == trained["threshold"], "{again:#}");
    Ok(())
}

#[test]
fn a_correction_is_kept_and_taken_back() {
    in_browser(Gpu::None, corrected);
}

async fn corrected(page: Page) -> Result<()> {
    const MARKS: &str = "
        const one = id => document.querySelector(`[data-testid=${id}]`);
        return { good: one('mark-good')?.ariaPressed ?? null, defective: one('mark-defective')?.ariaPressed ?? null,
            contradiction: one('contradiction')?.textContent ?? null, verdict: one('verdict')?.textContent ?? null,
            threshold: +(one('score')?.dataset.threshold ?? -1), score: +(one('score')?.dataset.value ?? -1),
            hint: one('paint-hint') != null, painted: document.querySelectorAll('.marker circle').length };
    ";
    const PAINT: &str = "
        const sheet = document.querySelector('[data-testid=marker]');
        const { left, top, width, height } = sheet.getBoundingClientRect();
        const at = (kind, x, y) => sheet.dispatchEvent(new PointerEvent(kind,
            { bubbles: true, pointerId: 1, clientX: left + x * width, clientY: top + y * height }));
        at('pointerdown', 0.45, 0.5); at('pointermove', 0.5, 0.52); at('pointermove', 0.55, 0.5); at('pointerup', 0.55, 0.5);
    ";
    const QUERY: &str = "?backend=cpu&model=fabric";
    let marks = |what: &'static str, is_so: fn(&Value) -> bool| page.until(MARKS, what, SOON, is_so);
    page.open_to_first_map(QUERY, SOON).await?;
    let before = marks("no mark", |own| {
        own["good"] == "false" && own["defective"] == "false"
    })
    .await?;
    // what is called good is remembered: the image is looked at again, and the threshold stays
    page.click("[data-testid=mark-good]").await?;
    let marked = marks("the mark", |own| own["good"] == "true").await?;
    ensure!(marked["threshold"] == before["threshold"], "{marked:#}");
    page.screenshot("corrected").await?;
    page.open_to_first_map(QUERY, SOON).await?;
    marks("the mark in the next visit", |own| own["good"] == "true").await?;
    page.click("[data-testid=mark-defective]").await?;
    marks("the other mark", |own| {
        own["defective"] == "true" && own["good"] == "false" && own["contradiction"].is_null()
    })
    .await?;
    // what is painted over the defect is remembered, and images like it score higher
    let unmarked = marks("a hint to paint", |own| own["hint"] == true).await?;
    page.execute(PAINT, vec![]).await?;
    let painted = marks("the score with it", |own| {
        own["painted"].as_u64() > Some(3) && own["hint"] == false
    })
    .await?;
    ensure!(
        painted["score"].as_f64() > unmarked["score"].as_f64(),
        "{unmarked:#} {painted:#}"
    );
    page.screenshot("painted").await?;
    page.click("[data-testid=mark-defective]").await?;
    marks("no mark again", |own| {
        own["defective"] == "false" && own["painted"] == 0
    })
    .await?;
    // from the list of all that was said, too
    page.click("[data-testid=mark-good]").await?;
    marks("the mark", |own| own["good"] == "true").await?;
    page.click("[data-testid=corrections] summary").await?;
    page.screenshot("corrections").await?;
    page.click("[data-testid=take-all-back]").await?;
    let after = marks("no mark at all", |own| {
        own["good"] == "false" && own["score"].as_f64() > Some(0.0)
    })
    .await?;
    ensure!(after["threshold"] == before["threshold"], "{after:#}");
    let left = page
        .execute(
            "return document.querySelector('[data-testid=corrections]') === null",
            vec![],
        )
        .await?;
    ensure!(left == serde_json::json!(true), "a list is left");
    marks("the score of before", |own| own["score"].as_f64() > Some(0.5)).await?;
    Ok(())
}

#[test]
fn an_inspector_keeps_its_threshold_and_says_what_it_can_find() {
    in_browser(Gpu::None, inspector);
}

async fn inspector(page: Page) -> Result<()> {
    const KEPT: &str = "return document.querySelector('[data-testid=kept-quality]')?.textContent ?? null";
    let files = good_images(&page)?;
    enter(&page, "?backend=cpu&steps=2-2&batch=4&side=64").await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null() && room["kept"].as_array().is_some_and(|kept| kept.len() == 1)
    })
    .await?;
    // a training of four steps finds little, and says so
    let words = done["trained"].as_str().context("no words")?;
    ensure!(
        words.starts_with("It finds ") && words.contains(" of 100 painted defects"),
        "{words}"
    );
    let head = "const own = document.querySelector('[data-testid=trained]'); \
        return [own.dataset.ready, own.querySelector('h2').textContent, \
            document.querySelectorAll('[data-testid=advice] li').length]";
    let head = page.execute(head, vec![]).await?;
    ensure!(head[0] == "false" && head[2].as_u64() >= Some(1), "{head}");
    ensure!(
        head[1]
            .as_str()
            .is_some_and(|text| text.ends_with("is not ready yet")),
        "{head}"
    );
    page.screenshot("not-ready").await?;
    let kept = page.execute(KEPT, vec![]).await?;
    ensure!(
        kept.as_str().is_some_and(|text| text.contains("painted defects")),
        "{kept}"
    );
    page.click("[data-testid=use-it]").await?;
    page.analyse(&files[..1], SOON).await?;
    slide(&page, 0.4).await?;
    panel(&page, "the moved threshold", |own| near(&own["threshold"], 0.4)).await?;
    // its file has it a moment later, and needs no page to say so
    const IN_FILE: &str = "
        const done = arguments[arguments.length - 1];
        (async () => {
            const root = await navigator.storage.getDirectory();
            const all = await root.getDirectoryHandle('inspectors');
            for await (const own of all.values()) {
                const file = await (await own.getFileHandle('model.safetensors')).getFile();
                const bytes = await file.arrayBuffer();
                const length = Number(new DataView(bytes).getBigUint64(0, true));
                const head = JSON.parse(new TextDecoder().decode(bytes.slice(8, 8 + length)));
                const { calibration } = JSON.parse(head.__metadata__.destseg);
                return [calibration.image_threshold, calibration.set_by.by];
            }
        })().then(done, error => done(String(error)));";
    let started = std::time::Instant::now();
    loop {
        let own = page.execute_async(IN_FILE, vec![]).await?;
        if near(&own[0], 0.4) && own[1] == "hand" {
            break;
        }
        ensure!(started.elapsed() < SOON, "the file has {own}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    page.open_to_first_map("?backend=cpu&model=fabric", SOON).await?;
    page.click("[data-testid=train-open]").await?;
    until(&page, "the kept inspector", SOON, |room| {
        room["kept"].as_array().is_some_and(|kept| kept.len() == 1)
    })
    .await?;
    page.click("[data-testid=open-kept]").await?;
    page.wait("the kept model", SOON, |page| page.model.contains("My inspector"))
        .await?;
    // back to the image
    page.click("[data-testid=train-open]").await?;
    panel(&page, "its threshold", |own| near(&own["threshold"], 0.4)).await?;
    Ok(())
}
