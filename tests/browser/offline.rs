//! The page without a network, and its next version.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use xtask::serve::Fault;

use crate::harness::{Gpu, in_browser};
use crate::page::{Page, SOON};
use crate::room::{TRAINING, collect, good_images, until};

/// Waits until the page says that it works without a network.
pub(crate) async fn until_kept(page: &Page) -> Result<()> {
    page.until(IS_KEPT, "the word that it works offline", SOON, |kept| {
        *kept == json!(true)
    })
    .await
    .map(|_| ())
}

const IS_KEPT: &str = "return document.querySelector('[data-testid=offline]')?.checkVisibility() ?? false";
const IS_UPDATE_OFFERED: &str =
    "return document.querySelector('[data-testid=update]')?.checkVisibility() ?? false";

#[test]
fn the_second_visit_needs_no_network() {
    in_browser(Gpu::None, without_network);
}

#[test]
fn a_new_version_is_offered_and_never_forced() {
    in_browser(Gpu::None, new_version);
}

async fn without_network(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    until_kept(&page).await?;
    page.screenshot("works-offline").await?;
    let asked = page.server().requests();
    let engine_for_gpus = asked.iter().any(|path| path.starts_with("worker_gpu"));
    ensure!(!engine_for_gpus, "it fetched what nobody needs: {asked:?}");
    page.server().stop();

    // inspect, with all pictures that the page shows
    page.open_to_first_map("?backend=cpu&steps=1-1&batch=4&side=64", SOON)
        .await?;
    let second = page.site().first_model().examples[1].file.clone();
    let name = second.rsplit('/').next().context("a name")?.to_owned();
    page.click(&format!("[data-testid=example][data-file=\"{second}\"]"))
        .await?;
    page.wait("the next example", SOON, |page| {
        page.shown.as_deref() == Some(&name)
    })
    .await?;
    let broken =
        "return [...document.images].filter(own => own.complete && !own.naturalWidth).map(own => own.src)";
    let broken = page.execute(broken, vec![]).await?;
    ensure!(broken == json!([]), "these pictures are missing: {broken}");

    // train two steps
    page.click("[data-testid=train-open]").await?;
    collect(&page, &good_images(&page)?).await?;
    page.click("[data-testid=train]").await?;
    let done = until(&page, "the inspector", TRAINING, |room| {
        !room["trained"].is_null()
    })
    .await?;
    ensure!(done["failed"].is_null(), "{done:#}");

    // the other views, and the article
    for view in ["evaluate", "compare"] {
        page.click(&format!("[data-testid={view}-open]")).await?;
        let shown = format!("return document.querySelector('main[data-testid={view}]') != null");
        page.until(&shown, view, SOON, |shown| *shown == json!(true))
            .await?;
    }
    page.open("how-it-works.html").await?;
    let title = page.execute("return document.title", vec![]).await?;
    ensure!(
        title
            .as_str()
            .is_some_and(|title| title.starts_with("How it works")),
        "{title}"
    );
    Ok(())
}

async fn new_version(page: Page) -> Result<()> {
    page.open_to_first_map("?backend=cpu", SOON).await?;
    until_kept(&page).await?;
    let offered = page.execute(IS_UPDATE_OFFERED, vec![]).await?;
    ensure!(offered == json!(false), "there is nothing new yet");

    // the host has another document, and the worker that lists it
    let read = |name: &str| fs::read_to_string(page.site().path(name));
    let (document, worker) = (read("index.html")?, read("sw.js")?);
    let new_document = document.replace("<body>", "<body data-version=\"2\">");
    let hash = |text: &str| {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(text.as_bytes());
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let new_worker = worker.replace(&hash(&document), &hash(&new_document));
    ensure!(new_worker != worker, "the worker does not list the document");
    page.server().set_faults(move |path| match path {
        "" => Some(Fault::ReplaceBody(new_document.clone().into())),
        "sw.js" => Some(Fault::ReplaceBody(new_worker.clone().into())),
        _ => None,
    });

    // the next visit still has the old version whole, and hears of the new one
    let version = "return document.body.dataset.version ?? null";
    page.open_to_first_map("?backend=cpu", SOON).await?;
    ensure!(
        page.execute(version, vec![]).await? == Value::Null,
        "it was forced"
    );
    page.until(IS_UPDATE_OFFERED, "the offer", SOON, |offered| {
        *offered == json!(true)
    })
    .await?;
    let image: Vec<PathBuf> = vec![page.site().path(&page.site().first_model().examples[1].file)];
    page.analyse(&image, SOON).await?;
    page.screenshot("new-version").await?;
    ensure!(
        page.execute(version, vec![]).await? == Value::Null,
        "it was forced in mid-work"
    );
    page.click("#update-now").await?;
    page.until(version, "the new version", SOON, |version| *version == json!("2"))
        .await?;
    page.wait("the first heat map of it", SOON, |page| page.shown.is_some())
        .await?;
    Ok(())
}
