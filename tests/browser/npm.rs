//! The npm package in pages of others: without a bundler, in a frame, in a project with TypeScript and Vite, and in Node. All
//! are compared with the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use xtask::process;
use xtask::serve::{Fault, Server};

use crate::harness::{Gpu, in_browser};
use crate::native::{self, Prediction, largest_difference};
use crate::page::{Page, check_sentence};
use crate::site::Site;

/// Most that numbers may differ from those of the command line.
const APART: f32 = 1e-5;
/// The same for maps, which the command line writes in steps of 1/65535.
const MAPS_APART: f32 = 2e-5;
/// Most that scores may differ where a browser decodes or draws the image.
const DRAWN_APART: f64 = 0.02;

/// The part of a result that is compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    verdict: String,
    score: f32,
    threshold: f32,
    decision_score: f32,
    certainty: Option<String>,
    p_value: Option<f32>,
    regions: Vec<Value>,
    map: FoundMap,
}

#[derive(Debug, Deserialize)]
struct FoundMap {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl Found {
    /// Reads a result and compares it with the command line's.
    fn check(value: &Value, native: &Prediction) -> Result<Self> {
        let own: Self =
            serde_json::from_value(value.clone()).with_context(|| format!("no result: {value:#.300}"))?;
        ensure!(
            own.verdict == native.verdict && own.certainty == native.certainty,
            "{own:?} is not {native:?}"
        );
        for (name, own, native) in [
            ("score", own.score, native.score),
            ("threshold", own.threshold, native.threshold),
            ("decision score", own.decision_score, native.decision_score),
            (
                "p-value",
                own.p_value.unwrap_or_default(),
                native.p_value.unwrap_or_default(),
            ),
        ] {
            println!("{name}: package {own}, command line {native}");
            ensure!((own - native).abs() <= APART, "{name}: {own} is not {native}");
        }
        ensure!(
            own.map.width * own.map.height == own.map.data.len(),
            "{:?}",
            own.map.width
        );
        let apart = largest_difference(&own.map.data, &native.map);
        println!("maps differ by at most {apart:e}");
        ensure!(apart <= MAPS_APART, "maps differ by {apart}");
        ensure!(own.regions.len() == native.instances.len(), "{:?}", own.regions);
        for (own, native) in own.regions.iter().zip(&native.instances) {
            for name in ["x", "y", "width", "height", "area", "peak", "mean"] {
                let [one, two] = [own, native].map(|region| region[name].as_f64().unwrap_or(f64::NAN));
                let apart = (one - two).abs();
                ensure!(
                    apart <= f64::from(APART),
                    "{name} of {own} is not that of {native}"
                );
            }
        }
        Ok(own)
    }
}

/// What the command line says of the image.
fn predicted(site: &Site, image: &Path) -> Result<Prediction> {
    let model = site.path(&site.first_model().file.file);
    let mut all = native::predict(&[image.to_owned()], &model)?;
    all.pop().context("no prediction")
}

/// A defective image of the first model, as a path on the site.
fn photo(site: &Site) -> Result<String> {
    Ok(site.defective_example()?.0.file.clone())
}

/// The built package.
fn package(site: &Site) -> Result<PathBuf> {
    let folder = site.path("inspector");
    ensure!(
        folder.join("package.json").is_file(),
        "there is no npm package in {}: run `cargo xtask test`, which builds it first",
        folder.display()
    );
    Ok(folder)
}

/// Copies a folder with all in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// A site of others: the package, the page for frames and the models of this one, and what `tests/npm/KIND` has.
fn other_site(site: &Site, folder: &Path, kind: &str) -> Result<()> {
    copy(&package(site)?, &folder.join("inspector"))?;
    copy(&site.path("models"), &folder.join("models"))?;
    for name in ["embed.html", "embed.js", "icon.svg"] {
        fs::copy(site.path(name), folder.join(name)).with_context(|| format!("the page has no {name}"))?;
    }
    copy(&process::root().join("tests/npm").join(kind), folder)
}

/// Opens the page without a bundler.
async fn open_plain(page: &Page) -> Result<Server> {
    let folder = page.folder().join("plain");
    other_site(page.site(), &folder, "plain")?;
    let server = Server::start(folder, 0)?;
    page.open_address(&format!("{}plain.html", server.url())).await?;
    Ok(server)
}

/// What a function of `tests/npm/plain/plain.js` gives.
async fn ask(page: &Page, test: &str, arguments: &[&str]) -> Result<Value> {
    const ASK: &str = "
        const [test, given, done] = arguments;
        const ready = () => window.tests
            ? window.tests[test](...given).then(done, error => done({ failed: `${error} ${error.stack}` }))
            : setTimeout(ready, 20);
        ready();
    ";
    let answer = page
        .execute_async(ASK, vec![json!(test), json!(arguments)])
        .await?;
    if let Some(reason) = answer.get("failed") {
        bail!("{test}: {reason}");
    }
    Ok(answer)
}

/// Whether a failure has this code, and a sentence with these words.
fn check_failure(what: &str, failure: &Value, code: &str, words: &str) -> Result<()> {
    let text = |index: usize| failure[index].as_str().unwrap_or_default();
    ensure!(text(0) == code, "{what} has the code {failure}, not {code}");
    let sentence = text(1);
    let is_sentence = sentence.starts_with(char::is_uppercase) && sentence.ends_with('.');
    ensure!(is_sentence, "{what}: this is no sentence: {sentence}");
    check_sentence(sentence, words).with_context(|| what.to_owned())
}

#[test]
fn a_page_without_a_bundler_inspects_as_the_command_line_does() {
    in_browser(Gpu::None, sources);
}

async fn sources(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let native = predicted(page.site(), &page.site().path(&photo))?;
    let _server = open_plain(&page).await?;
    let found = ask(&page, "sources", &[&photo]).await?;
    Found::check(&found["result"], &native)?;
    let score = f64::from(native.score);
    let scores = found["scores"].as_object().context("no scores")?;
    ensure!(scores.len() == 7, "{scores:?}");
    for (source, own) in scores {
        println!("{source}: {own}");
        let apart = (own.as_f64().context("no score")? - score).abs();
        ensure!(apart <= DRAWN_APART, "{source} scores {own}, not {score}");
    }
    for exact in [
        &scores["file"],
        &scores["bytes"],
        &scores["address"],
        &found["again"],
    ] {
        ensure!(*exact == found["result"]["score"], "{exact} is another score");
    }
    ensure!(
        found["globals"] == json!([]),
        "the package has globals: {}",
        found["globals"]
    );
    ensure!(
        found["model"]["method"] == "destseg" && found["model"]["unit"] == "probability",
        "{}",
        found["model"]
    );
    let values = found["result"]["map"]["data"].as_array().map_or(0, Vec::len);
    ensure!(
        found["result"]["heat"] == 4 * values,
        "the heat map has another size"
    );
    Ok(())
}

#[test]
fn failures_have_codes_and_sentences() {
    in_browser(Gpu::None, failures);
}

async fn failures(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let server = open_plain(&page).await?;
    let found = ask(&page, "failures", &[&photo]).await?;
    for (what, code, words) in [
        ("no model", "model", "image"),
        ("an empty model", "model", "empty"),
        ("a teacher", "model", "only a teacher"),
        ("a newer model", "model", "newer destseg"),
        ("a model of DSR", "model", "command line only"),
        ("a number as model", "model", "give the address or the bytes"),
        ("a missing model", "download", "the server answered 404"),
        ("no image", "image", "not an image"),
        ("an empty image", "image", "empty"),
        ("nothing as image", "image", "give an image file"),
        ("no pixels", "image", "no pixels"),
        ("too few pixels", "image", "5 bytes"),
        ("an empty canvas", "image", "no pixels"),
        ("a video without picture", "image", "loadeddata"),
        ("a broken image element", "image", "shows no image"),
        ("too large an image", "image", "too large"),
        ("deep pixels", "image", "8 bits"),
        ("half a pixel", "image", "whole numbers"),
        ("sent bytes", "image", "sent elsewhere"),
        ("a sent model", "model", "sent elsewhere"),
        ("no drawing", "image", "no image"),
        ("a TIFF file", "image", "png or jpeg"),
        ("a loading that was stopped", "closed", "closed"),
        ("closed meanwhile", "closed", "closed"),
        ("closed before", "closed", "closed"),
        ("no SIMD", "platform", "webassembly with simd"),
    ] {
        check_failure(what, &found[what], code, words)?;
    }
    ensure!(
        found["after"] == "defective",
        "afterwards it says {}",
        found["after"]
    );

    // what the server does not give
    for (file, code, words) in [
        ("inspector/worker.js", "platform", "worker-src"),
        ("destseg_bg.wasm", "platform", "gives the file"),
        ("efficientnet-lite0.safetensors", "download", "answered 404"),
    ] {
        server.set_faults(move |path| path.ends_with(file).then_some(Fault::Status(404)));
        page.open_address(&format!("{}plain.html", server.url())).await?;
        let failure = ask(&page, "loading", &[]).await?;
        check_failure(file, &failure, code, words)?;
    }
    Ok(())
}

#[test]
fn elements_share_a_page_and_may_go_at_any_time() {
    in_browser(Gpu::None, elements);
}

async fn elements(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let native = predicted(page.site(), &page.site().path(&photo))?;
    let _server = open_plain(&page).await?;
    let found = ask(&page, "elements", &[&photo]).await?;
    page.screenshot("npm-element").await?;
    let score = found["scores"][0].as_f64().context("no score")?;
    ensure!(
        (score - f64::from(native.score)).abs() <= f64::from(APART),
        "{found:#}"
    );
    // fabric is no tablet
    ensure!(
        found["verdicts"] == json!(["defective", "unfamiliar", "unfamiliar"]),
        "{found:#}"
    );
    ensure!(found["scores"][1] == found["scores"][2], "{found:#}");
    check_failure("removed", &found["code"], "closed", "closed")?;
    ensure!(found["silent"] == true, "a removed element said something");
    check_failure("missing", &found["missing"], "download", "404")?;
    ensure!(found["said"] == found["missing"][1], "{found:#}");
    ensure!(
        found["shown"]
            .as_str()
            .is_some_and(|shown| shown.starts_with("Defective (score 0.")),
        "{found:#}"
    );
    Ok(())
}

#[test]
fn what_images_hold_at_the_call_counts() {
    in_browser(Gpu::None, changed);
}

async fn changed(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let _server = open_plain(&page).await?;
    let found = ask(&page, "changed", &[&photo]).await?;
    ensure!(found["before"] == found["after"], "{found:#}");
    ensure!(found["events"][0] == "result", "{found:#}");
    let results = found["events"].as_array().context("no events")?;
    let results = results.iter().filter(|event| *event == "result").count();
    // declared, shown, and after the missing model
    ensure!(results == 3, "{found:#}");
    ensure!(found["scores"][0] == found["before"][0], "{found:#}");
    ensure!(found["scores"][1] == found["before"][2], "{found:#}");
    ensure!(found["failures"] == json!(["download"]), "{found:#}");
    check_failure("removed", &found["waiting"], "closed", "closed")
}

#[test]
fn a_frame_answers_the_page_around_it_and_no_other() {
    in_browser(Gpu::None, framed);
}

async fn framed(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let native = predicted(page.site(), &page.site().path(&photo))?;
    let _server = open_plain(&page).await?;
    let found = ask(&page, "frame", &[&photo, ""]).await?;
    page.screenshot("npm-frame").await?;
    Found::check(&found["answer"], &native)?;
    ensure!(
        found["model"]["model"]["method"] == "destseg",
        "{}",
        found["model"]
    );
    ensure!(
        found["address"]["model"] == found["model"]["model"],
        "{}",
        found["address"]
    );
    let failure = |name: &str| json!([found[name]["code"], found[name]["message"]]);
    check_failure("text", &failure("image"), "image", "not an image")?;
    check_failure("another site", &failure("foreign"), "model", "another site")?;
    check_failure("an address as image", &failure("text"), "image", "send a blob")?;
    check_failure("no address", &failure("bracket"), "model", "no address")?;
    ensure!(found["others"] == 0, "{} answers to nobody", found["others"]);
    let heard = ask(&page, "stranger", &[]).await?;
    ensure!(heard == 0, "a frame for another page said {heard} things");
    Ok(())
}

/// A project in a folder of its own that has the package as npm installs it.
fn project(site: &Site, folder: &Path) -> Result<()> {
    copy(&process::root().join("tests/npm/project"), folder)?;
    copy(&package(site)?, &folder.join("node_modules/destseg"))
}

/// What a program of npm prints, run in a project.
fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let found = process::find(program).with_context(|| {
        format!("{program} is missing: install Node 20 or newer and run `cargo xtask test`")
    })?;
    let mut command = process::command(found);
    let output = command.args(arguments).current_dir(folder).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{program} {arguments:?} failed: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

#[test]
fn a_project_with_typescript_and_a_bundler_inspects() {
    in_browser(Gpu::None, bundled);
}

async fn bundled(page: Page) -> Result<()> {
    let photo = photo(page.site())?;
    let native = predicted(page.site(), &page.site().path(&photo))?;
    let folder = page.folder().join("project");
    project(page.site(), &folder)?;
    run("tsc", &["--project", "."], &folder)?;
    run("vite", &["build", "--base", "./"], &folder)?;
    let built = folder.join("dist");
    copy(&page.site().path("models"), &built.join("models"))?;
    let server = Server::start(built, 0)?;
    page.open_address(&server.url()).await?;
    const INSPECT: &str = "
        const [model, photo, done] = arguments;
        inspected(model, photo).then(done, error => done(String(error)));
    ";
    let model = &page.site().first_model().file.file;
    let found = page
        .execute_async(INSPECT, vec![json!(model), json!(photo)])
        .await?;
    let score = found["score"]
        .as_f64()
        .with_context(|| format!("it says {found}"))?;
    ensure!(
        (score - f64::from(native.score)).abs() <= f64::from(APART),
        "{found}"
    );
    ensure!(
        found["verdict"] == native.verdict && found["closed"] == "closed",
        "{found}"
    );
    ensure!(
        found["map"] == native.map.len() && found["regions"] == native.instances.len(),
        "{found}"
    );
    Ok(())
}

#[test]
fn node_inspects_as_the_command_line_does() {
    let node = || -> Result<()> {
        let site = Site::open()?;
        let image = site.path(&photo(&site)?);
        let native = predicted(&site, &image)?;
        let folder = tempfile::tempdir()?;
        project(&site, folder.path())?;
        let model = site.path(&site.first_model().file.file);
        let (model, image) = (model.to_string_lossy(), image.to_string_lossy());
        let said = run("node", &["node.mjs", &model, &image], folder.path())?;
        let found: Value = serde_json::from_str(&said)?;
        let own = Found::check(&found["result"], &native)?;
        let score = found["result"]["score"].clone();
        ensure!(
            found["scores"][0] == score && found["scores"][1] == score,
            "{}",
            found["scores"]
        );
        ensure!(
            found["heat"] == 4 * own.map.data.len(),
            "the heat map has another size"
        );
        for (what, code, words) in [
            ("no image", "image", "not an image"),
            ("a missing image", "download", "check the path"),
            ("nothing as image", "image", "give the path"),
            ("a missing model", "download", "check the path"),
            ("an image as model", "model", "image"),
        ] {
            check_failure(what, &found["failures"][what], code, words)?;
        }
        let element = found["failures"]["no element"].to_string();
        ensure!(element.contains("needs a browser"), "{element}");
        Ok(())
    };
    if let Err(error) = node() {
        panic!("{error:#}");
    }
}
