//! What goes wrong around the page: the network, the engine; and what must not go out.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xtask::serve::{Fault, Server};

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON, Snapshot, check_sentence};
use crate::spy;
use crate::{images, offline};

#[test]
fn a_cut_off_download_is_said_and_can_be_tried_again() {
    const BYTES: u64 = 10_000;
    in_browser(Gpu::None, |page| broken_download(page, Fault::CutAfter(BYTES)));
}

#[test]
fn a_refused_download_is_said_and_can_be_tried_again() {
    in_browser(Gpu::None, |page| broken_download(page, Fault::Status(503)));
}

#[test]
fn a_killed_engine_costs_no_image() {
    in_browser(Gpu::None, killed_engine);
}

#[test]
fn no_image_leaves_the_page() {
    in_browser(Gpu::None, nothing_leaves);
}

async fn broken_download(page: Page, fault: Fault) -> Result<()> {
    let model = page.site().first_model().file.file.clone();
    page.server()
        .set_faults(move |requested| (requested == model).then(|| fault.clone()));
    page.open("").await?;
    let is_told = |page: &Snapshot| !page.notices.is_empty();
    let shown = page.wait("a word about the download", SOON, is_told).await?;
    println!("{}", shown.notices.join(" | "));
    for notice in &shown.notices {
        check_sentence(notice, "")?;
    }
    page.screenshot("broken-download").await?;
    page.server().clear_faults();
    page.click("[data-testid=retry]").await?;
    page.wait("the first heat map after all", SOON, |page| page.shown.is_some())
        .await?;
    Ok(())
}

async fn killed_engine(page: Page) -> Result<()> {
    spy::install(&page, "")?;
    page.open_to_first_map("", SOON).await?;

    let (example, _) = page.site().defective_example()?;
    let bytes = fs::read(page.site().path(&example.file))?;
    let names = ["one.png", "two.png", "three.png"];
    let files = names
        .map(|name| images::write(page.folder(), name, &bytes))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let names = page.choose("file-input", &files).await?;
    page.wait("an image in the engine", SOON, |page| {
        page.items.iter().any(|item| item.state == "working")
    })
    .await?;
    let before = page.look().await?;
    spy::kill_worker(&page).await?;

    let is_told = |page: &Snapshot| !page.notices.is_empty();
    let told = page.wait("a word about the restart", SOON, is_told).await?;
    println!("after the crash: {}", told.notices.join(" | "));
    check_sentence(&told.notices[0], "engine")?;
    let shown = page
        .wait("all images", SOON, |page| page.are_over(&names))
        .await?;
    let queue = |page: &Snapshot| {
        page.items
            .iter()
            .map(|item| item.name.clone())
            .collect::<Vec<_>>()
    };
    ensure!(
        queue(&shown) == queue(&before),
        "the queue was {:?} and is {:?}",
        queue(&before),
        queue(&shown)
    );
    for item in &shown.items {
        ensure!(item.state == "done", "{} is {}", item.name, item.state);
    }
    let started = page.execute("return workers.length", vec![]).await?;
    ensure!(started == json!(2), "{started} engines were started");
    page.screenshot("after-crash").await
}

async fn nothing_leaves(page: Page) -> Result<()> {
    page.open_to_first_map("", SOON).await?;
    // it fetches itself once more, for visits without a network
    offline::until_kept(&page).await?;
    let (example, _) = page.site().defective_example()?;
    let bytes = fs::read(page.site().path(&example.file))?;
    let before = page.server().requests().len();
    let file = images::write(page.folder(), "secret.png", &bytes)?;
    page.analyse(&[file], SOON).await?;
    let after = page.server().requests();
    ensure!(
        after.len() == before,
        "the analysis made requests: {:?}",
        &after[before..]
    );

    let origin = page.execute("return location.origin", vec![]).await?;
    let origin = origin.as_str().context("a page has an origin")?;
    let loaded = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let loaded: Vec<String> = serde_json::from_value(page.execute(loaded, vec![]).await?)?;
    ensure!(!loaded.is_empty(), "the page loaded nothing");
    for url in &loaded {
        let stays =
            url.starts_with(&format!("{origin}/")) || url.starts_with("blob:") || url.starts_with("data:");
        ensure!(stays, "the page loaded {url}");
    }

    // Even code that wanted to could not: the policy stops it before the other server hears of it.
    let stranger = Server::start(page.folder(), 0)?;
    let attempt = "
        const [url, done] = arguments;
        const image = new Image();
        image.src = url + 'pixel.png';
        fetch(url, { method: 'POST', mode: 'no-cors', body: 'secret' }).then(() => 'sent', () => 'stopped').then(done);
    ";
    let outcome = page.execute_async(attempt, vec![json!(stranger.url())]).await?;
    ensure!(
        outcome == json!("stopped"),
        "a request to another origin was {outcome}"
    );
    ensure!(
        stranger.requests().is_empty(),
        "the other server was asked for {:?}",
        stranger.requests()
    );
    Ok(())
}

#[test]
fn a_host_that_serves_the_page_well_is_told_so() {
    in_browser(Gpu::None, host);
}

async fn host(page: Page) -> Result<()> {
    const READ: &str = "
        const all = id => [...document.querySelectorAll(`[data-testid=${id}]`)].map(own => own.textContent);
        return { yes: all('host-yes').length, no: all('host-no'), summary: all('host-summary')[0] ?? null };
    ";
    page.open("host-check.html").await?;
    let is_done = |own: &Value| own["summary"].is_string();
    let good = page.until(READ, "the checks", SOON, is_done).await?;
    ensure!(good["no"] == json!([]) && good["yes"] == json!(8), "{good:#}");
    page.screenshot("host-check").await?;
    // a host that says nothing of types: the engine cannot start there
    page.server()
        .set_faults(|path| (path == "worker_cpu_bg.wasm").then_some(Fault::Status(404)));
    page.open("host-check.html").await?;
    let bad = page.until(READ, "the checks", SOON, is_done).await?;
    page.server().clear_faults();
    ensure!(bad["no"].as_array().is_some_and(|all| all.len() == 1), "{bad:#}");
    let summary = bad["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains("set up otherwise"), "{summary}");
    Ok(())
}
