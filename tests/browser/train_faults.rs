//! What goes wrong around a training: the engine dies, the storage is full or missing, another tab trains,
//! the visitor changes their mind.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{Gpu, in_browser, number};
use crate::page::{Page, SOON, check_sentence};
use crate::room::{TRAINING, collect, enter, good_images, shown, step, until, use_trained};
use crate::spy;

#[test]
fn a_training_survives_the_death_of_its_engine() {
    in_browser(Gpu::None, killed);
}

#[test]
fn a_full_storage_costs_no_training() {
    in_browser(Gpu::None, full);
}

#[test]
fn a_storage_that_the_browser_cleared_is_said() {
    in_browser(Gpu::None, evicted);
}

#[test]
fn a_private_window_trains_and_says_what_it_does_not_keep() {
    in_browser(Gpu::None, private);
}

#[test]
fn two_tabs_train_at_the_same_time() {
    in_browser(Gpu::None, two_tabs);
}

#[test]
fn pausing_and_discarding_wait_for_one_step_at_most() {
    in_browser(Gpu::None, patient);
}

/// Opens the room, gives images and starts a training.
async fn begin(page: &Page, files: &[PathBuf], query: &str) -> Result<()> {
    enter(page, query).await?;
    collect(page, files).await?;
    page.click("[data-testid=train]").await?;
    until(page, "the first step", TRAINING, |room| step(room) >= 1).await?;
    Ok(())
}

/// Checks all notices and gives the one with these words.
fn notice(room: &Value, words: &str) -> Result<String> {
    let notices = room["notices"].as_array().context("notices")?;
    for notice in notices {
        check_sentence(notice.as_str().unwrap_or_default(), "")?;
    }
    let found = notices.iter().filter_map(Value::as_str);
    let mut found = found.filter(|notice| notice.to_lowercase().contains(words));
    let found = found
        .next()
        .with_context(|| format!("nothing about `{words}`: {room:#}"))?;
    println!("{found}");
    Ok(found.to_owned())
}

/// Kills of the engine; without `DESTSEG_KILLS` one is enough.
fn kills() -> usize {
    number("DESTSEG_KILLS").unwrap_or(1)
}

async fn killed(page: Page) -> Result<()> {
    /// Steps of each stage for every kill.
    const STEPS: usize = 30;
    spy::install(&page, "")?;
    let steps = STEPS * kills();
    let query = format!("?backend=cpu&steps={steps}-{steps}&batch=4&side=64");
    begin(&page, &good_images(&page)?, &query).await?;
    for kill in 0..kills() {
        // a state is kept at the start and when the visitor pauses, not only every half minute
        page.click("[data-testid=pause]").await?;
        let saved = |room: &Value| {
            room["saved"]
                .as_str()
                .is_some_and(|text| !text.contains("step 0."))
        };
        let paused = until(&page, "the saving", SOON, saved).await?;
        let kept = step(&paused);
        page.click("[data-testid=pause]").await?;
        let further = kept + 3 + kill % 5;
        until(&page, "some more steps", TRAINING, |room| step(room) >= further).await?;
        spy::kill_worker(&page).await?;
        let is_said = |room: &Value| room["notices"].as_array().is_some_and(|all| !all.is_empty());
        let room = until(&page, "a word about it", SOON, is_said).await?;
        notice(&room, "engine")?;
        until(&page, "the steps after it", TRAINING, |room| step(room) > further).await?;
    }
    // most steps are still to be done
    let rest = TRAINING * u32::try_from(kills().div_ceil(3))?;
    let done = until(&page, "the inspector", rest, |room| !room["trained"].is_null()).await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    // it went on from what was kept, and did no step twice but those that came after
    let losses = page.execute("return destseg.losses().length", vec![]).await?;
    ensure!(
        losses == json!(2 * steps),
        "{losses} losses of {} steps",
        2 * steps
    );
    println!("{} kills, and no step lost that was kept", kills());
    Ok(())
}

async fn full(page: Page) -> Result<()> {
    begin(
        &page,
        &good_images(&page)?,
        "?backend=cpu&steps=12-12&batch=4&side=64",
    )
    .await?;
    page.click("[data-testid=pause]").await?;
    until(&page, "the saving", SOON, |room| {
        room["saved"]
            .as_str()
            .is_some_and(|text| text.starts_with("Saved"))
    })
    .await?;
    let origin = page.execute("return location.origin", vec![]).await?;
    page.devtools(
        "Storage.overrideQuotaForOrigin",
        json!({ "origin": origin, "quotaSize": 1000 }),
    )
    .await?;
    page.click("[data-testid=pause]").await?;
    until(&page, "some more steps", TRAINING, |room| step(room) >= 6).await?;
    page.click("[data-testid=pause]").await?;
    let room = until(&page, "a word about the storage", SOON, |room| {
        room["notices"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await?;
    notice(&room, "storage for this page is full")?;
    check_sentence(room["saved"].as_str().unwrap_or_default(), "not saved")?;
    page.screenshot("train-storage-full").await?;
    page.click("[data-testid=pause]").await?;
    // the inspector is made and used all the same, and can be downloaded
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    let download = page
        .execute(
            "return document.querySelector('[data-testid=download-model]') != null",
            vec![],
        )
        .await?;
    ensure!(download == json!(true), "nothing to download");
    use_trained(&page, SOON).await?;
    Ok(())
}

async fn evicted(page: Page) -> Result<()> {
    const QUERY: &str = "?backend=cpu&steps=4-4&batch=2&side=64";
    begin(&page, &good_images(&page)?, QUERY).await?;
    let is_kept = |room: &Value| room["kept"].as_array().is_some_and(|all| all.len() == 1);
    until(&page, "the inspector", TRAINING, is_kept).await?;
    let said = |room: &Value| room["notices"].to_string().contains("cleared its storage");
    // another visit finds it
    enter(&page, QUERY).await?;
    let room = until(&page, "the inspector of before", SOON, is_kept).await?;
    ensure!(!said(&room), "{room:#}");
    let origin = page.execute("return location.origin", vec![]).await?;
    page.devtools(
        "Storage.clearDataForOrigin",
        json!({ "origin": origin, "storageTypes": "file_systems" }),
    )
    .await?;
    enter(&page, QUERY).await?;
    let room = until(&page, "a word about it", SOON, said).await?;
    notice(&room, "1 of your inspectors")?;
    page.screenshot("storage-cleared").await?;
    // once is enough
    enter(&page, QUERY).await?;
    let room = until(&page, "the room", SOON, |room| room["kept"] == json!([])).await?;
    ensure!(!said(&room), "{room:#}");
    Ok(())
}

/// As in private windows of some browsers: there is a storage, and it refuses.
const NO_STORAGE: &str = "
    StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('no', 'SecurityError'));
";

async fn private(page: Page) -> Result<()> {
    spy::install(&page, NO_STORAGE)?;
    begin(
        &page,
        &good_images(&page)?,
        "?backend=cpu&steps=6-6&batch=4&side=64",
    )
    .await?;
    let room = shown(&page).await?;
    notice(&room, "private window")?;
    check_sentence(room["saved"].as_str().unwrap_or_default(), "not saved")?;
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null() && done["kept"] == json!([]), "{done:#}");
    page.screenshot("train-private").await?;
    use_trained(&page, SOON).await?;
    // the engine's end is the training's, which is said
    Ok(())
}

async fn two_tabs(page: Page) -> Result<()> {
    const QUERY: &str = "?backend=cpu&steps=40-20&batch=4&side=64";
    let files = good_images(&page)?;
    begin(&page, &files, QUERY).await?;
    let first = page.tab().await?;
    let second = page.new_tab().await?;
    begin(&page, &files, QUERY).await?;
    let room = shown(&page).await?;
    ensure!(
        room["unfinished"] == 0,
        "the other tab's training is offered here: {room:#}"
    );
    let done = until(&page, "the second tab's inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    page.show_tab(&first).await?;
    let done = until(&page, "the first tab's inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");
    // each tab hears of what the other keeps, and another visit finds both
    let has_both = |room: &Value| room["kept"] == json!(["My inspector", "My inspector"]);
    for tab in [first, second] {
        page.show_tab(&tab).await?;
        until(&page, "both inspectors", TRAINING, has_both).await?;
    }
    enter(&page, "?backend=cpu").await?;
    until(&page, "both inspectors after a reload", SOON, has_both).await?;
    Ok(())
}

/// Clicks and counts the steps that were done before.
const CLICK_AND_COUNT: &str = "
    document.querySelector(arguments[0]).click();
    return destseg.losses().length;
";
/// Clicks, and answers with the milliseconds until the training is gone.
const CLICK_AND_WAIT: &str = "
    const [selector, done] = arguments;
    const start = performance.now();
    document.querySelector(selector).click();
    const look = () => document.querySelector('[data-testid=train-progress]')
        ? setTimeout(look, 5) : done(performance.now() - start);
    look();
";

async fn patient(page: Page) -> Result<()> {
    begin(
        &page,
        &good_images(&page)?,
        "?backend=cpu&steps=100-100&batch=8&side=128",
    )
    .await?;
    until(&page, "some steps", TRAINING, |room| step(room) >= 4).await?;
    let before = page
        .execute(CLICK_AND_COUNT, vec![json!("[data-testid=pause]")])
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = page.execute("return destseg.losses().length", vec![]).await?;
    let (before, after) = (
        before.as_u64().context("a number")?,
        after.as_u64().context("a number")?,
    );
    ensure!(
        after <= before + 1,
        "{} steps were done after the click",
        after - before
    );
    page.click("[data-testid=pause]").await?;
    until(&page, "two more steps", TRAINING, |room| {
        step(room) as u64 >= after + 2
    })
    .await?;
    let took = page
        .execute_async(CLICK_AND_WAIT, vec![json!("[data-testid=discard]")])
        .await?;
    let steps: Vec<f64> = serde_json::from_value(page.execute("return destseg.stepTimes()", vec![]).await?)?;
    ensure!(steps.is_empty(), "the training is still there");
    println!("discarding took {took} ms");
    // a step of this size takes about half a second, and the map that is shown now and then no longer
    ensure!(took.as_f64() < Some(2000.0), "discarding took {took} ms");
    Ok(())
}
