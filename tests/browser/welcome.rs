//! The first screen, and the ways that begin there.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xtask::serve::Fault;

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};
use crate::room::{TRAINING, collect, enter, good_images, step, until};

/// What stands on the first screen.
const SCREEN: &str = "
    const picture = document.querySelector('#boot img');
    return {
        head: document.querySelector('h1')?.textContent ?? null,
        ways: [...document.querySelectorAll('#welcome a')].map(way => way.getAttribute('href')),
        is_seen: document.querySelector('#welcome')?.checkVisibility() ?? false,
        picture: picture != null && picture.complete && picture.naturalWidth > 0,
        text: document.querySelector('#boot-text')?.textContent ?? null,
        fits: document.documentElement.scrollWidth <= innerWidth,
    };
";

/// How much the page has shifted by itself, by the measure of the browser.
const SHIFT: &str = "
    const done = arguments[arguments.length - 1];
    let shift = 0;
    const observer = new PerformanceObserver(list => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
    });
    observer.observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => done(shift), 500);
";

#[test]
fn the_first_screen_needs_no_program() {
    in_browser(Gpu::None, painted);
}

#[test]
fn a_stranger_trains_on_photos_of_ours() {
    in_browser(Gpu::None, tried);
}

#[test]
fn a_training_is_seen_everywhere_and_changes_nothing_by_itself() {
    in_browser(Gpu::None, announced);
}

#[test]
fn what_was_taken_off_the_queue_comes_back() {
    in_browser(Gpu::None, undone);
}

#[test]
fn every_control_has_a_name() {
    in_browser(Gpu::None, named);
}

async fn painted(page: Page) -> Result<()> {
    // no program arrives
    page.server()
        .set_faults(|path| path.ends_with(".wasm").then_some(Fault::Status(503)));
    page.open("").await?;
    let is_told = |screen: &Value| {
        screen["text"]
            .as_str()
            .is_some_and(|text| text.contains("could not be started"))
    };
    let screen = page
        .until(SCREEN, "a word about the failure", SOON, is_told)
        .await?;
    ensure!(
        screen["head"] == "Find defects in photos of your parts"
            && screen["ways"] == json!(["#example", "#photo", "#train"])
            && screen["is_seen"] == true
            && screen["picture"] == true
            && screen["fits"] == true,
        "{screen:#}"
    );
    page.screenshot("first-screen").await?;
    // a click before the program is there is not lost
    page.click("#welcome a[href='#train']").await?;
    page.server().clear_faults();
    page.execute("location.reload()", vec![]).await?;
    until(&page, "the room", SOON, |room| room["advice"].is_string()).await?;
    // and the page shifts nothing when it takes over
    page.open_to_first_map("?", SOON).await?;
    let shift = page.execute_async(SHIFT, vec![]).await?;
    println!("layout shift of the first screen: {shift}");
    ensure!(shift.as_f64() < Some(0.1), "the page shifts by {shift}");
    let screen = page.execute(SCREEN, vec![]).await?;
    ensure!(
        screen["is_seen"] == true,
        "the ways to begin are gone: {screen:#}"
    );
    let picker = "
        HTMLInputElement.prototype.click = function () { window.picker = this.dataset.testid; };
        document.querySelector('#welcome a[href=\"#photo\"]').click();
        return window.picker ?? null;
    ";
    let picker = page.execute(picker, vec![]).await?;
    ensure!(picker == "file-input", "no file picker is opened: {picker}");
    let first = page.look().await?.shown;
    page.click("#welcome a[href='#example']").await?;
    page.wait("another example", SOON, |page| {
        page.shown.is_some() && page.shown != first
    })
    .await?;
    let image = page.site().path(&page.site().first_model().examples[2].file);
    page.analyse(&[image], SOON).await?;
    let screen = page.execute(SCREEN, vec![]).await?;
    ensure!(
        screen["is_seen"] == false,
        "the ways to begin are in the way: {screen:#}"
    );
    Ok(())
}

async fn tried(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu&steps=2-2&batch=4&side=64", SOON)
        .await?;
    let asked = page.server().requests();
    ensure!(
        !asked.iter().any(|path| path.starts_with("models/photos")),
        "the photos are fetched before anybody asks: {asked:?}"
    );
    page.click("#welcome a[href='#train']").await?;
    let licence = "return document.querySelector('.trial')?.innerText ?? ''";
    page.until(licence, "the licence of the photos", SOON, |text| {
        text.as_str()
            .is_some_and(|text| text.contains("VisA") && text.contains("CC BY 4.0"))
    })
    .await?;
    page.screenshot("train-empty").await?;
    page.click("a[href='#try-training']").await?;
    let room = until(&page, "the photos", SOON, |room| room["count"] == "20 ready").await?;
    ensure!(room["can_train"] == true, "{room:#}");
    let estimate = room["estimate"].as_str().unwrap_or_default();
    ensure!(
        estimate.starts_with("About ") && estimate.contains("this computer's processor"),
        "{estimate}"
    );
    page.screenshot("train-photos").await?;
    page.click("[data-testid=train]").await?;
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    page.screenshot("train-tried").await?;
    page.click("a[href='#try-inspecting']").await?;
    let shown = page
        .wait("the photos to test it", TRAINING, |page| {
            let own = page
                .items
                .iter()
                .filter(|item| item.state == "done" && !item.name.ends_with(".png"));
            page.model.contains("My inspector") && own.count() == 6
        })
        .await?;
    let defective = shown
        .items
        .iter()
        .filter(|item| item.name.starts_with("defective"));
    ensure!(defective.count() == 3, "{shown:#?}");
    Ok(())
}

/// What those in another view see of a training.
const ELSEWHERE: &str = "
    const text = id => document.querySelector(`[data-testid=${id}]`)?.innerText.trim() ?? null;
    return { button: text('train-open'), title: document.title, model: text('status-model'), offer: text('accept'),
        notice: text('notice') };
";

async fn announced(page: Page) -> Result<()> {
    let files = good_images(&page)?;
    enter(&page, "?backend=cpu&steps=12-8&batch=4&side=64").await?;
    collect(&page, &files).await?;
    page.click("[data-testid=train]").await?;
    until(&page, "some steps", TRAINING, |room| step(room) >= 2).await?;
    for view in ["train-open", "evaluate-open", "compare-open"] {
        page.click(&format!("[data-testid={view}]")).await?;
        let seen = page
            .until(ELSEWHERE, "word of the training", SOON, |seen| {
                seen["button"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("Training "))
            })
            .await?;
        ensure!(
            seen["title"]
                .as_str()
                .is_some_and(|title| title.starts_with("Training ")),
            "{seen:#}"
        );
    }
    // interrupted: the next visit says so wherever it begins, and goes on where the visitor wants
    page.click("[data-testid=train-open]").await?;
    crate::room::pause(&page, TRAINING).await?;
    page.open_to_first_map("?backend=cpu", SOON).await?;
    let seen = page
        .until(ELSEWHERE, "the interrupted training", SOON, |seen| {
            seen["offer"] == "Resume"
        })
        .await?;
    ensure!(
        seen["button"] == "Interrupted"
            && seen["title"]
                .as_str()
                .is_some_and(|title| title.starts_with("Interrupted"))
            && seen["notice"]
                .as_str()
                .is_some_and(|text| text.contains("interrupted at step")),
        "{seen:#}"
    );
    page.screenshot("train-interrupted").await?;
    page.click("[data-testid=accept]").await?;
    until(&page, "steps after it", TRAINING, |room| step(room) >= 3).await?;
    page.click("[data-testid=train-open]").await?;
    // done: an offer, and the same model as before until it is taken
    let seen = page
        .until(ELSEWHERE, "the end of the training", TRAINING, |seen| {
            seen["offer"] == "Use it now"
        })
        .await?;
    let model = seen["model"].as_str().context("a model")?;
    ensure!(model.starts_with("Fabric"), "the model was changed: {seen:#}");
    page.screenshot("train-use-it-now").await?;
    page.click("[data-testid=accept]").await?;
    page.wait("the new model", SOON, |page| page.model.contains("My inspector"))
        .await?;
    let seen = page.execute(ELSEWHERE, vec![]).await?;
    ensure!(seen["offer"] == Value::Null, "it is offered twice: {seen:#}");
    Ok(())
}

async fn undone(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    let examples = &page.site().first_model().examples;
    let files: Vec<_> = (0..3)
        .map(|place| page.site().path(&examples[place].file))
        .collect();
    page.analyse(&files, SOON).await?;
    let names = |shown: &crate::page::Snapshot| {
        shown
            .items
            .iter()
            .map(|item| item.name.clone())
            .collect::<Vec<_>>()
    };
    let before = names(&page.look().await?);
    for remove in [
        "[data-testid=clear]",
        "[data-testid=queue-item]:nth-of-type(2) [aria-label^=Remove]",
    ] {
        page.click(remove).await?;
        page.wait("fewer images", SOON, |page| page.items.len() < before.len())
            .await?;
        page.click("[data-testid=queue-undo]").await?;
        let after = page
            .wait("the images", SOON, |page| {
                page.items.iter().all(|item| item.state == "done") && page.shown.is_some()
            })
            .await?;
        ensure!(
            names(&after) == before,
            "{:?} instead of {before:?}",
            names(&after)
        );
    }
    Ok(())
}

/// Controls without a name, as the browser computes it.
const NAMELESS: &str = "
    const name = control => control.getAttribute('aria-label') ?? control.labels?.[0]?.innerText ?? control.innerText;
    const controls = [...document.querySelectorAll('button, select, input, a[href], summary, textarea')];
    return controls.filter(control => !name(control)?.trim()).map(control => control.outerHTML.slice(0, 200));
";

async fn named(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    let open_all = "document.querySelectorAll('details').forEach(own => { own.open = true; })";
    for view in [
        None,
        Some("train-open"),
        Some("evaluate-open"),
        Some("compare-open"),
    ] {
        if let Some(view) = view {
            page.click(&format!("[data-testid={view}]")).await?;
        }
        page.execute(open_all, vec![]).await?;
        let nameless = page.execute(NAMELESS, vec![]).await?;
        ensure!(
            nameless == json!([]),
            "in {view:?} these have no name: {nameless:#}"
        );
    }
    page.click("[data-testid=keys-open]").await?;
    let keys = page
        .execute("return document.querySelector('#keys').innerText", vec![])
        .await?;
    ensure!(
        keys.as_str().is_some_and(|keys| keys.contains("next image")),
        "{keys}"
    );
    page.screenshot("keys").await?;
    Ok(())
}
