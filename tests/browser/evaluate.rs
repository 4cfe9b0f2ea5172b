//! Measuring a model in the page: the figures are the command line's, the threshold moves its consequences,
//! and what is saved can be opened again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use destseg_engine::evaluation::{Evaluation, Metrics};
use serde_json::{Value, json};

use crate::dropped::drop_folder;
use crate::harness::{Gpu, in_browser};
use crate::images;
use crate::native;
use crate::pack;
use crate::page::{Page, SOON, check_sentence};

/// Ten small images may take this long, their neighbours on the machine included.
const MEASURING: Duration = Duration::from_secs(120);
/// Figures of page and command line differ by this much at most: maps are computed by different processors'
/// instructions.
const APART: f64 = 1e-3;

/// What the room shows.
const SHOWN: &str = r#"
    const all = id => [...document.querySelectorAll(`[data-testid="${id}"]`)];
    const text = id => all(id)[0]?.innerText.trim() ?? null;
    return {
        set: text("evaluate-set"), ready: all("evaluate-begin")[0]?.disabled === false, notes: all("evaluate-note").map(note => note.innerText.trim()),
        progress: text("evaluate-progress"), error: text("evaluate-error"), done: all("figures").length > 0,
        figures: Object.fromEntries([...document.querySelectorAll(".figures tbody tr:first-child td[data-figure]")]
            .map(cell => [cell.dataset.figure, cell.dataset.value ?? cell.innerText.trim()])),
        missing: text("figure-notes"),
        kinds: all("kinds").flatMap(table => [...table.querySelectorAll("tbody th")].map(head => head.innerText.trim())),
        counts: ["hits", "misses", "alarms", "passes"].map(id => Number(text(id))),
        wrong: text("wrong-count"),
        items: all("gallery-item").map(item => [item.dataset.name, item.dataset.judged]),
        instances: all("instance").map(instance => instance.dataset.found),
        readings: all("curve-reading").map(reading => reading.innerText.trim()),
    };
"#;

/// Moves the pointer over an element, in parts of its size, with its button held or not.
const POINT: &str = "
    const element = document.querySelector(arguments[0]);
    const box = element.getBoundingClientRect();
    for (const name of arguments[3])
        element.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerId: 1, buttons: arguments[4],
            clientX: box.left + arguments[1] * box.width, clientY: box.top + arguments[2] * box.height }));
";

pub(crate) async fn until(page: &Page, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    page.until(SHOWN, what, MEASURING, is_so).await
}

/// All files below a folder, with their paths from its parent.
fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    let parent = folder.parent().context("a folder has a parent")?;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(parent)?.to_string_lossy().replace('\\', "/");
                found.push((name, fs::read(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A labelled set on disk and as zip archive.
pub(crate) fn data(page: &Page) -> Result<(PathBuf, PathBuf)> {
    let out = page.folder().join("set");
    let folder = out.to_str().context("a path")?;
    let arguments = [
        "demo-data",
        folder,
        "--category",
        "fabric",
        "--size",
        "256",
        "--seed",
        "9",
    ];
    native::run(
        &[
            &arguments[..],
            &["--train", "1", "--good", "4", "--defective", "1"],
        ]
        .concat(),
    )?;
    let root = out.join("fabric");
    // not to be measured, only to be carried
    fs::remove_dir_all(root.join("train"))?;
    let archive = page.folder().join("fabric.zip");
    fs::write(&archive, packed(&files(&root)?))?;
    Ok((root, archive))
}

/// An archive of these files.
fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<pack::File<'_>> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice(), false))
        .collect();
    pack::zip(&files, false, "")
}

pub(crate) async fn enter(page: &Page, archive: &Path) -> Result<Value> {
    open(page).await?;
    page.choose("evaluate-files", &[archive.to_path_buf()]).await?;
    given(page).await
}

async fn open(page: &Page) -> Result<()> {
    page.open("?backend=cpu&model=fabric").await?;
    page.wait("the model", SOON, |page| !page.model.is_empty())
        .await?;
    page.click("[data-testid=evaluate-open]").await
}

async fn given(page: &Page) -> Result<Value> {
    until(page, "the set, and an engine to measure it", |room| {
        room["set"].is_string() && room["ready"] == true
    })
    .await
}

/// Measures what was given; what the room shows then.
async fn measure(page: &Page) -> Result<Value> {
    page.click("[data-testid=evaluate-begin]").await?;
    let done = until(page, "figures", |room| {
        room["done"] == true || room["error"].is_string()
    })
    .await?;
    ensure!(done["error"].is_null(), "{done:#}");
    Ok(done)
}

/// Checks that the room shows the command line's figures.
fn check_figures(shown: &Value, native: &Evaluation) -> Result<()> {
    for (name, value) in Metrics::NAMES.into_iter().zip(native.metrics().values()) {
        let page: f64 = shown["figures"][name].as_str().context("no figure")?.parse()?;
        let value = value.with_context(|| format!("{name} is not defined"))?;
        println!(
            "{name}: page {page}, command line {value}, apart {:.1e}",
            (page - value).abs()
        );
        ensure!((page - value).abs() < APART, "{name}: {page} is not {value}");
    }
    Ok(())
}

/// Takes an outline of `LabelMe` in place of a painted mask.
fn outline_one(root: &Path) -> Result<()> {
    let mask = root.join("ground_truth/hole/000_mask.png");
    ensure!(mask.is_file(), "there is no {}", mask.display());
    fs::remove_file(mask)?;
    let shape =
        json!({"label": "hole", "shape_type": "polygon", "points": [[60, 70], [140, 80], [120, 150]]});
    let outlines = json!({"shapes": [shape], "imageWidth": 256, "imageHeight": 256, "imagePath": "000.png"});
    fs::write(root.join("test/hole/000.json"), outlines.to_string())?;
    Ok(())
}

#[test]
fn a_dropped_folder_is_measured() {
    in_browser(Gpu::None, dropped);
}

async fn dropped(page: Page) -> Result<()> {
    let (root, _) = data(&page)?;
    outline_one(&root)?;
    open(&page).await?;
    let files = files(&root)?;
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    drop_folder(&page, &files).await?;
    let given = given(&page).await?;
    let set = given["set"].as_str().context("no set")?;
    ensure!(set.contains("4 good") && set.contains("with masks"), "{set}");
    ensure!(given["notes"] == json!([]), "{given:#}");
    let native = native_evaluation(&page, &root, &page.site().path("models/fabric.safetensors"))?;
    check_figures(&measure(&page).await?, &native)
}

#[test]
fn a_model_is_measured_as_the_command_line_does() {
    in_browser(Gpu::None, measured);
}

async fn measured(page: Page) -> Result<()> {
    let (root, archive) = data(&page)?;
    let given = enter(&page, &archive).await?;
    let set = given["set"].as_str().context("no set")?;
    ensure!(set.contains("4 good") && set.contains("with masks"), "{set}");
    ensure!(given["notes"] == json!([]), "{given:#}");
    page.screenshot("evaluate-given").await?;

    // given up, then measured to the end
    page.click("[data-testid=evaluate-begin]").await?;
    until(&page, "progress", |room| room["progress"].is_string()).await?;
    page.click("[data-testid=evaluate-cancel]").await?;
    until(&page, "the end of progress", |room| room["progress"].is_null()).await?;
    let done = measure(&page).await?;
    page.screenshot("evaluate-figures").await?;

    // the command line on the same folder
    let model = page.site().path("models/fabric.safetensors");
    let native = native_evaluation(&page, &root, &model)?;
    check_figures(&done, &native)?;
    let kinds: Vec<&str> = native.kinds.iter().map(|row| &*row.kind).collect();
    ensure!(done["kinds"] == json!(kinds), "{done:#}");

    // the threshold moves its consequences
    let scores: Vec<(f32, bool)> = native.scores().collect();
    let defective = scores.iter().filter(|(_, defective)| *defective).count();
    let drag = |share: f64| {
        let names = json!(["pointerdown", "pointermove"]);
        let selector = json!("[data-testid=score-histogram]");
        page.execute(POINT, vec![selector, json!(share), json!(0.5), names, json!(1)])
    };
    drag(0.999).await?;
    let strict = until(&page, "no alarms", |room| {
        room["counts"][2] == 0 && room["counts"][0] == 0
    })
    .await?;
    ensure!(strict["counts"][1] == json!(defective), "{strict:#}");
    drag(0.001).await?;
    let loose = until(&page, "all alarms", |room| {
        room["counts"][1] == 0 && room["counts"][3] == 0
    })
    .await?;
    ensure!(loose["counts"][2] == json!(scores.len() - defective), "{loose:#}");
    let wrong = loose["wrong"].as_str().context("no count")?;
    ensure!(
        wrong.starts_with(&format!("{} ", scores.len() - defective)),
        "{wrong}"
    );
    // worst first: every false alarm stands before every right decision
    let judged: Vec<&str> = loose["items"]
        .as_array()
        .context("no images")?
        .iter()
        .filter_map(|item| item[1].as_str())
        .collect();
    let last_wrong = judged.iter().rposition(|&one| one == "wrong");
    ensure!(
        last_wrong < judged.iter().position(|&one| one == "right"),
        "{judged:?}"
    );
    // suggestions, and one of them put in force for good
    page.click("[data-testid=threshold-all]").await?;
    until(&page, "all defects", |room| room["counts"][1] == 0).await?;
    page.click("[data-testid=threshold-alarms]").await?;
    let few = until(&page, "no alarm", |room| room["counts"][2] == 0).await?;
    page.click("[data-testid=use-threshold]").await?;
    until(&page, "the threshold in force", |room| {
        room["counts"] == few["counts"]
    })
    .await?;
    page.click("[data-testid=evaluate-threshold-restore]").await?;
    until(&page, "the trained threshold", |room| {
        room["counts"] == done["counts"]
    })
    .await?;
    drag(0.001).await?;
    until(&page, "all alarms again", |room| {
        room["counts"] == loose["counts"]
    })
    .await?;
    page.click("[data-testid=evaluate-threshold-reset]").await?;
    let back = until(&page, "the model's threshold", |room| {
        room["counts"] == done["counts"]
    })
    .await?;

    // values under the pointer
    let curve = json!("[data-testid=curve] > div");
    page.execute(
        POINT,
        vec![curve, json!(0.4), json!(0.5), json!(["pointermove"]), json!(0)],
    )
    .await?;
    until(&page, "a reading", |room| {
        room["readings"][0]
            .as_str()
            .is_some_and(|text| text.contains("true positive rate"))
    })
    .await?;

    // one image large
    page.choose_entry("gallery-order", "score").await?;
    page.click("[data-testid=gallery-item]").await?;
    let large = until(&page, "its defects", |room| room["instances"] != json!([])).await?;
    let first = large["items"][0][0].as_str().context("no name")?;
    let known = native
        .images
        .iter()
        .find(|image| image.name == first)
        .context("no such image")?;
    let count = known.instances.as_ref().map_or(0, Vec::len);
    ensure!(
        large["instances"].as_array().map(Vec::len) == Some(count),
        "{large:#}"
    );
    page.screenshot("evaluate-images").await?;
    ensure!(back["error"].is_null(), "{back:#}");

    // what is saved is what is shown
    let saved = page.execute("return destseg.saved('json')", vec![]).await?;
    let saved: Evaluation = serde_json::from_str(saved.as_str().context("nothing is saved")?)?;
    ensure!(saved.images.len() == native.images.len() && saved.kinds.len() == native.kinds.len());
    for (name, value) in Metrics::NAMES.into_iter().zip(saved.metrics().values()) {
        let shown: f64 = done["figures"][name].as_str().context("no figure")?.parse()?;
        ensure!(value == Some(shown), "{name}: {shown} is shown, {value:?} saved");
    }
    for (saved, native) in saved.images.iter().zip(&native.images) {
        let scores = (
            saved.score.context("no score")?,
            native.score.context("no score")?,
        );
        ensure!(
            saved.name == native.name && saved.class == native.class && (scores.0 - scores.1).abs() < 1e-3,
            "{}: {scores:?}",
            saved.name
        );
    }
    let table = page.execute("return destseg.saved('csv')", vec![]).await?;
    let rows = table.as_str().context("no table")?.lines().count();
    ensure!(rows == native.images.len() + 1, "{rows} rows");
    let html = page.execute("return destseg.saved('html')", vec![]).await?;
    let html = html.as_str().context("no report")?;
    let path = page.folder().join("report.html");
    fs::write(&path, html)?;
    page.open_file(&path).await?;
    let opened = page
        .execute(
            "return { pictures: [...document.images].filter(image => image.naturalWidth > 0).length, \
             charts: document.querySelectorAll('svg.plot polyline').length, \
             cells: [...document.querySelectorAll('table')][0].innerText }",
            vec![],
        )
        .await?;
    ensure!(opened["pictures"] == json!(native.images.len()), "{opened:#}");
    ensure!(opened["charts"] == 5, "{opened:#}");
    let auc = done["figures"]["image AUC"]
        .as_str()
        .context("no figure")?
        .parse::<f64>()?;
    let shown = format!("{:.1}", 100.0 * auc);
    ensure!(
        opened["cells"]
            .as_str()
            .is_some_and(|cells| cells.contains(&shown)),
        "{opened:#}"
    );
    page.screenshot("evaluate-report").await
}

#[test]
fn a_memory_is_measured_after_a_model() {
    in_browser(Gpu::None, memory);
}

/// The helpers of an evaluation have the quick engine, which knows no memories: they must not answer for one.
async fn memory(page: Page) -> Result<()> {
    let (root, archive) = data(&page)?;
    let parts = page.folder().join("parts");
    let file = page.folder().join("memory.safetensors");
    let teacher = page.site().path("models/efficientnet-lite0.safetensors");
    native::run(&[
        "demo-data",
        text(&parts)?,
        "--category",
        "fabric",
        "--size",
        "256",
        "--train",
        "4",
        "--good",
        "1",
        "--defective",
        "1",
    ])?;
    native::run(&[
        "train",
        "--method",
        "patchcore",
        "--data",
        text(&parts.join("fabric"))?,
        "--teacher",
        text(&teacher)?,
        "--device",
        "cpu",
        "-o",
        text(&file)?,
    ])?;
    enter(&page, &archive).await?;
    page.choose("model-input", std::slice::from_ref(&file)).await?;
    page.wait("the memory", MEASURING, |page| page.model.contains("memory"))
        .await?;
    until(&page, "an engine to measure with", |room| room["ready"] == true).await?;
    let done = measure(&page).await?;
    let native = native_evaluation(&page, &root, &file)?;
    ensure!(native.images.len() >= 8, "too few images for helpers");
    check_figures(&done, &native)
}

/// The command line's evaluation of the same folder.
fn native_evaluation(page: &Page, root: &Path, model: &Path) -> Result<Evaluation> {
    let report = page.folder().join("native.json");
    native::run(&[
        "eval",
        "--data",
        text(root)?,
        "-m",
        text(model)?,
        "--device",
        "cpu",
        "--report",
        text(&report)?,
    ])?;
    Ok(serde_json::from_slice(&fs::read(&report)?)?)
}

#[test]
fn odd_sets_say_what_could_not_be_computed() {
    in_browser(Gpu::None, odd);
}

async fn odd(page: Page) -> Result<()> {
    let (root, _) = data(&page)?;
    let good = fs::read(root.join("test/good/000.png"))?;
    let mut small = Vec::new();
    let mut mask = image::GrayImage::new(9, 5);
    mask.put_pixel(4, 2, image::Luma([255]));
    mask.write_to(&mut std::io::Cursor::new(&mut small), image::ImageFormat::Png)?;
    let set = [
        ("odd/good/a.png".to_owned(), good.clone()),
        ("odd/good/b.png".to_owned(), Vec::new()),
        ("odd/bad/c.png".to_owned(), good.clone()),
        ("odd/masks/c.png".to_owned(), small),
        ("odd/masks/zzz.png".to_owned(), good),
    ];
    let archive = page.folder().join("odd.zip");
    fs::write(&archive, packed(&set))?;
    let given = enter(&page, &archive).await?;
    let note = given["notes"][0].as_str().context("no note")?;
    check_sentence(note, "belongs to no defective image")?;
    page.click("[data-testid=evaluate-begin]").await?;
    let done = until(&page, "figures", |room| room["done"] == true).await?;
    let words = done["missing"].as_str().context("nothing is said")?;
    for part in [
        "All scores are",
        "could not be analysed",
        "9 x 5",
        "no defective image has a mask",
    ] {
        ensure!(words.contains(part), "{part}: {words}");
    }
    ensure!(
        done["figures"]["pixel AP"] == "n/a" && done["figures"]["image AUC"] == "0.5",
        "{done:#}"
    );
    page.screenshot("evaluate-odd").await?;

    // the browser decodes what the engine cannot
    let set = [
        (
            "more/good/a.png".to_owned(),
            fs::read(root.join("test/good/000.png"))?,
        ),
        ("more/bad/drawn.avif".to_owned(), images::AVIF.to_vec()),
    ];
    let archive = page.folder().join("more.zip");
    fs::write(&archive, packed(&set))?;
    enter(&page, &archive).await?;
    page.click("[data-testid=evaluate-begin]").await?;
    let done = until(&page, "figures", |room| room["done"] == true).await?;
    ensure!(
        done["figures"]["image AUC"] != "n/a"
            && !done["missing"].to_string().contains("could not be analysed"),
        "{done:#}"
    );
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is no text")
}
