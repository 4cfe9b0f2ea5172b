//! The room for a new inspector as a visitor sees it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::native;
use crate::page::{Page, SOON};

/// How long a short training may take.
pub(crate) const TRAINING: Duration = Duration::from_secs(150);

/// What the room shows.
const SHOWN: &str = r#"
    const one = id => document.querySelector(`[data-testid="${id}"]`);
    const text = id => one(id)?.innerText.trim() ?? null;
    return {
        good: [...document.querySelectorAll("[data-testid=good]")].map(e => [e.dataset.name, e.dataset.state, e.title]),
        count: text("good-count"), advice: text("good-advice"),
        samples: document.querySelectorAll("[data-testid=sample]").length,
        preview_ms: text("preview-ms"), stage: text("train-stage"), failed: text("train-failed"),
        step: Number(one("train-progress")?.dataset.step ?? -1), look: one("look")?.dataset.step ?? null,
        saved: text("train-saved"), trained: text("trained-words"),
        kept: [...document.querySelectorAll("[data-testid=inspector]")].map(e => e.dataset.name),
        unfinished: document.querySelectorAll("[data-testid=unfinished]").length,
        can_train: one("train") ? !one("train").disabled : false,
        estimate: text("train-estimate"),
        notices: [...document.querySelectorAll("[data-testid=notice]")].map(e => e.innerText.trim()),
    };
"#;

/// What the room shows now.
pub(crate) async fn shown(page: &Page) -> Result<Value> {
    page.execute(SHOWN, vec![]).await
}

/// Looks until the room is as it should be.
pub(crate) async fn until(
    page: &Page,
    what: &str,
    limit: Duration,
    is_so: impl Fn(&Value) -> bool,
) -> Result<Value> {
    page.until(SHOWN, what, limit, is_so).await
}

/// Opens the page with this query and then the room, without waiting for a result.
pub(crate) async fn enter(page: &Page, query: &str) -> Result<()> {
    page.open(query).await?;
    page.wait("the page", SOON, |page| !page.backend.is_empty())
        .await?;
    page.click("[data-testid=train-open]").await?;
    until(page, "the room", SOON, |room| room["advice"].is_string()).await?;
    Ok(())
}

/// Gives images to the collection and waits until all are read.
pub(crate) async fn collect(page: &Page, files: &[PathBuf]) -> Result<Value> {
    collect_more(page, files, files.len()).await
}

/// Gives more images, so that there are `count`.
pub(crate) async fn collect_more(page: &Page, files: &[PathBuf], count: usize) -> Result<Value> {
    page.choose("good-input", files).await?;
    read(page, count).await
}

/// Waits until so many images are read.
pub(crate) async fn read(page: &Page, count: usize) -> Result<Value> {
    until(page, "all images", SOON, |room| {
        let good = room["good"].as_array().map_or(&[][..], Vec::as_slice);
        good.len() == count && good.iter().all(|image| image[1] != "reading")
    })
    .await
}

/// Pauses a training and waits until its state is saved; the step that was done last.
pub(crate) async fn pause(page: &Page, limit: Duration) -> Result<usize> {
    page.click("[data-testid=pause]").await?;
    let paused = until(page, "the saving", limit, |room| {
        let saved = format!("step {}.", step(room));
        room["saved"].as_str().is_some_and(|text| text.contains(&saved)) && room["stage"] == "Paused"
    })
    .await?;
    Ok(step(&paused))
}

/// Uses the inspector that was trained.
pub(crate) async fn use_trained(page: &Page, limit: Duration) -> Result<()> {
    page.click("[data-testid=use-it]").await?;
    page.wait("the new model", limit, |page| page.model.contains("My inspector"))
        .await?;
    Ok(())
}

/// The step that was done last.
pub(crate) fn step(room: &Value) -> usize {
    room["step"].as_f64().map_or(0, |step| step.max(0.0) as usize)
}

/// Good pictures of the command line's inspection line, eight of them.
pub(crate) fn good_images(page: &Page) -> Result<Vec<PathBuf>> {
    let folder = page.folder().join("line");
    let out = folder.to_str().context("a path")?;
    native::run(&["demo-data", out, "--category", "fabric", "--seed", "3"])?;
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("fabric/train/good"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files.truncate(8);
    ensure!(
        files.len() == 8,
        "the inspection line gave {} images",
        files.len()
    );
    Ok(files)
}

/// Counts the main thread's tasks that a visitor would notice, from now on.
pub(crate) async fn watch_long_tasks(page: &Page) -> Result<()> {
    let watch = "
        window.longTasks = [];
        window.taskObserver ??= new PerformanceObserver(list => {
            for (const entry of list.getEntries()) longTasks.push(Math.round(entry.duration));
        });
        taskObserver.takeRecords();
        taskObserver.observe({ type: 'longtask' });
    ";
    page.execute(watch, vec![]).await.map(|_| ())
}

/// Whether since [`watch_long_tasks`] no task of the main thread took more than 100 ms. The browser counts the
/// time that a task waits for a processor, too: what was too long may be so by chance, and is done again.
/// What is long in each of three rounds is so by itself.
pub(crate) async fn was_fluid(page: &Page, what: &str, round: usize) -> Result<bool> {
    const LONGEST: f64 = 100.0;
    const ROUNDS: usize = 3;
    let tasks = page.execute("return longTasks", vec![]).await?;
    let tasks: Vec<f64> = serde_json::from_value(tasks)?;
    println!("round {round}: tasks of the main thread over 50 ms while {what}: {tasks:?} ms");
    let fluid = tasks.iter().all(|&ms| ms <= LONGEST);
    ensure!(
        fluid || round < ROUNDS,
        "the page froze while {what}, {ROUNDS} times: tasks of {tasks:?} ms at last"
    );
    Ok(fluid)
}
