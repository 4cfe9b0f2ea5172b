//! `destseg eval`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use destseg_engine::backend::device::Device;

use super::common::{DeviceArg, check_output, load_detector, open_device, read_list, write_file};
use super::number::{MOST, whole};
use super::output::show;
use super::progress::Counter;
use super::threshold::{ThresholdArgs, setter};
use destseg_engine::Error;
use destseg_engine::data::dataset::{Category, TestSet, categories};
use destseg_engine::data::facts::FileFacts;
use destseg_engine::error::count;
use destseg_engine::evaluation::{CategoryReport, Evaluation, Report, evaluate, nuisance};
use destseg_engine::inspect::Detector;
use destseg_engine::report::{self, Part};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder in MVTec layout, of one category (`test/` and `ground_truth/` are used) or, with
    /// --models, of several.
    #[arg(long)]
    data: PathBuf,
    /// Model file; several are compared in one table.
    #[arg(short, long, required_unless_present = "models")]
    model: Vec<PathBuf>,
    /// Folder of models, one for each category: CATEGORY.safetensors or
    /// CATEGORY/model.safetensors.
    #[arg(long, conflicts_with = "model", value_name = "DIR")]
    models: Option<PathBuf>,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    /// How to print the figures: text and Markdown in percent, JSON and CSV as shares.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Short for --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write to this file instead of standard output.
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Write all about every image, too: FILE.html is a page with charts and pictures, FILE.json and
    /// FILE.csv are for other programs (of one model). Can be given several times.
    #[arg(long, value_name = "FILE", conflicts_with = "models")]
    report: Vec<PathBuf>,
    /// Use only N of the test images, spread over the set.
    #[arg(long, value_name = "N", conflicts_with = "models", value_parser = whole(1..=MOST))]
    limit: Option<usize>,
    /// Test further good images: those that this file names, one a line, as paths from DATA.
    #[arg(long, value_name = "FILE", conflicts_with = "models")]
    more_good: Option<PathBuf>,
    /// Print what the model says of images with nuisances, as JSON: for `bench`.
    #[arg(long, hide = true, conflicts_with_all = ["models", "report"])]
    nuisances: bool,
    #[command(flatten)]
    threshold: ThresholdArgs,
}

/// An evaluation and the small pictures of its images.
type Measured = (Evaluation, Vec<Vec<u8>>);

/// Ways to print a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Csv,
    Markdown,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let format = if args.json { Format::Json } else { args.format };
    check_outputs(&args)?;
    let (text, failed) = match (&args.model[..], &args.models) {
        ([model], _) if args.nuisances => (nuisances(&args, model).await?, Vec::new()),
        ([model], _) => (one(&args, model, format).await?, Vec::new()),
        ([], Some(models)) => several(&args, models, format).await?,
        ([], None) => bail!("--model or --models is needed: give a model file or a folder of them"),
        (models, _) => (compare(&args, models, format).await?, Vec::new()),
    };
    match &args.out {
        Some(path) => write_file(path, text.as_bytes())?,
        None => show(&text)?,
    }
    if !failed.is_empty() {
        bail!(
            "could not evaluate {}: see above; the table is about the others",
            failed.join(", ")
        );
    }
    Ok(())
}

/// One model on one category.
async fn one(args: &Args, model: &Path, format: Format) -> Result<String> {
    let test = open_test(args)?;
    let (device, _) = open_device(args.device).await?;
    let measured = measure(args, &test, model, &device).await?;
    write_reports(args, std::slice::from_ref(&measured))?;
    let report = measured.0.report;
    Ok(match format {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Text => {
            let images = count(report.images, "test image", "test images");
            let head = format!("{images} of {}\n\n", report.category);
            let tail = details(&report);
            head + &Report::new(vec![report]).table().to_text() + &tail
        }
        Format::Csv | Format::Markdown => print(&Report::new(vec![report]), format)?,
    })
}

/// What one model says of images with nuisances.
async fn nuisances(args: &Args, model: &Path) -> Result<String> {
    let test = open_test(args)?;
    let (device, _) = open_device(args.device).await?;
    let detector = open_detector(args, model, &device)?;
    let mut counter = Counter::new("nuisances", &test.name, test.set.images.len());
    let counts = nuisance::measure(&detector, &test, |done, all| counter.show(done, all)).await;
    counter.finish();
    Ok(serde_json::to_string_pretty(&counts?)? + "\n")
}

/// The model with the thresholds that the flags ask for.
fn open_detector(args: &Args, model: &Path, device: &Device) -> Result<Detector> {
    let mut detector = load_detector(model, args.teacher.as_deref(), device)?;
    args.threshold.apply_to(&mut detector)?;
    Ok(detector)
}

/// Several models on the same category.
async fn compare(args: &Args, models: &[PathBuf], format: Format) -> Result<String> {
    let test = open_test(args)?;
    let (device, _) = open_device(args.device).await?;
    let mut all = Vec::new();
    for model in models {
        let mut measured = measure(args, &test, model, &device).await?;
        measured.0.report.model = Some(measured.0.model.clone());
        all.push(measured);
    }
    write_reports(args, &all)?;
    let reports = all.into_iter().map(|(evaluation, _)| evaluation.report);
    print(&Report::new(reports.collect()), format)
}

/// The test images, with those that `--more-good` names.
fn open_test(args: &Args) -> Result<TestSet> {
    let mut test = TestSet::open(&args.data)?;
    if let Some(list) = &args.more_good {
        test.add_good(&args.data, read_list(list, &args.data)?)?;
    }
    if let Some(limit) = args.limit {
        test.thin_out(limit);
    }
    eprintln!("{}: {}", test.name, test.set.summary());
    if !test.set.has_split {
        eprintln!(
            "note: {} has no train folder: a model that was trained on its good images has seen them, which flatters it",
            test.name
        );
    }
    Ok(test)
}

/// Writes what `--report` asks for.
fn write_reports(args: &Args, all: &[Measured]) -> Result<()> {
    let parts: Vec<Part<'_>> = all
        .iter()
        .map(|(evaluation, pictures)| Part {
            evaluation,
            pictures,
            threshold: evaluation.threshold(),
        })
        .collect();
    args.report.iter().try_for_each(|path| write_report(path, &parts))
}

fn write_report(path: &Path, parts: &[Part<'_>]) -> Result<()> {
    let text = match (ReportKind::of(path)?, parts) {
        (ReportKind::Json, [part, ..]) => report::json(part.evaluation),
        (ReportKind::Csv, [part, ..]) => report::csv(part.evaluation, part.threshold),
        (_, parts) => report::html(parts),
    };
    write_file(path, text.as_bytes())
}

/// What `--report` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReportKind {
    Html,
    Json,
    Csv,
}

impl ReportKind {
    /// As the file's ending says.
    fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("json") => Ok(Self::Json),
            Some("csv") => Ok(Self::Csv),
            _ => bail!("--report {} must end in .html, .json or .csv", path.display()),
        }
    }
}

/// Finds out whether all files can be written, before the images are analysed.
fn check_outputs(args: &Args) -> Result<()> {
    for path in &args.report {
        if ReportKind::of(path)? != ReportKind::Html && args.model.len() > 1 {
            bail!(
                "--report {} can hold one model only: give one --model, or a file that ends in .html",
                path.display()
            );
        }
    }
    args.report
        .iter()
        .chain(&args.out)
        .try_for_each(|path| check_output(path))
}

/// Each category with its model, and the categories that could not be evaluated.
async fn several(args: &Args, models: &Path, format: Format) -> Result<(String, Vec<String>)> {
    let pairs = pair(categories(&args.data)?, models)?;
    let (device, _) = open_device(args.device).await?;
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    for (category, model) in pairs {
        let measured = async {
            let test = TestSet::open(&category.root)?;
            measure(args, &test, &model, &device).await
        };
        match measured.await {
            Ok((evaluation, _)) => reports.push(evaluation.report),
            Err(err) => {
                eprintln!("{}: {err:#}", category.name);
                failed.push(category.name);
            }
        }
    }
    if reports.is_empty() {
        bail!("could not evaluate any category: see above");
    }
    Ok((print(&Report::new(reports), format)?, failed))
}

async fn measure(args: &Args, test: &TestSet, model: &Path, device: &Device) -> Result<Measured> {
    let detector = open_detector(args, model, device)?;
    let files = FileFacts::probe(test.set.images.iter().map(|image| &test.files[image.file]));
    if let Some(note) = detector.note_on(files.as_ref()) {
        eprintln!("note: {}: {note}", model.display());
    }
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    let mut counter = Counter::new("evaluating", &test.name, test.set.images.len());
    let measured = evaluate(&detector, test, &name, |done, all| counter.show(done, all)).await;
    counter.finish();
    let (evaluation, pictures) = measured?;
    if let Some(note) = another_part(&evaluation.report) {
        eprintln!("note: {}: {note}", model.display());
    }
    for note in &evaluation.notes {
        eprintln!("note: {note}");
    }
    Ok((evaluation, pictures))
}

/// That most images do not show the model's part, so that all figures are about something else.
fn another_part(report: &CategoryReport) -> Option<String> {
    let share = report.unfamiliar?.all();
    (2 * share.of > share.all).then(|| {
        format!(
            "{} of the {} test images are not of the part that this model knows: its figures say nothing about them",
            share.of, share.all
        )
    })
}

/// Finds the model of each category; what has no partner is said.
fn pair(categories: Vec<Category>, models: &Path) -> Result<Vec<(Category, PathBuf)>> {
    const ENDING: &str = "safetensors";
    let candidates = |name: &str| {
        [
            models.join(format!("{name}.{ENDING}")),
            models.join(name).join(format!("model.{ENDING}")),
        ]
    };
    let mut entries: Vec<PathBuf> = std::fs::read_dir(models)
        .map_err(Error::io("read", models))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("read", models))?;
    entries.sort();
    for path in entries {
        let is_model = path.extension().is_some_and(|ending| ending == ENDING)
            || path.join(format!("model.{ENDING}")).is_file();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if is_model && !categories.iter().any(|category| category.name == stem) {
            eprintln!(
                "note: {} is left out, there is no category called {stem}",
                path.display()
            );
        }
    }
    let mut pairs = Vec::new();
    for category in categories {
        match candidates(&category.name).into_iter().find(|path| path.is_file()) {
            Some(model) => pairs.push((category, model)),
            None => eprintln!(
                "note: category {} is left out, there is no model {}",
                category.name,
                candidates(&category.name)[0].display()
            ),
        }
    }
    if pairs.is_empty() {
        bail!(
            "no file in {} is called like a category: name models CATEGORY.{ENDING}",
            models.display()
        );
    }
    Ok(pairs)
}

fn print(report: &Report, format: Format) -> Result<String> {
    Ok(match format {
        Format::Text => report.table().to_text(),
        Format::Markdown => report.table().to_markdown(),
        Format::Csv => report.csv(),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
    })
}

/// What only one category's report has room for.
fn details(report: &CategoryReport) -> String {
    let mut text = String::new();
    if !report.per_defect.is_empty() {
        text += "\nimage AUC per defect\n";
    }
    for (kind, auc) in &report.per_defect {
        let auc = auc.map_or_else(|| "n/a".into(), |auc| format!("{:.1}", 100.0 * auc));
        text += &format!("  {kind:<24}{auc:>6}\n");
    }
    if let Some(decisions) = &report.decisions {
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "n/a".into(), |share| format!("{:.1} %", 100.0 * share))
        };
        text += &format!(
            "\nat the threshold {:.3}{}: F1 {}, false alarms {}, misses {}\n",
            decisions.threshold,
            decisions
                .threshold_set
                .map_or_else(String::new, |by| format!(" ({})", setter(by))),
            decisions.f1.map_or_else(|| "n/a".into(), |f1| format!("{f1:.3}")),
            percent(decisions.false_alarms),
            percent(decisions.misses)
        );
    }
    if let Some(unfamiliar) = &report.unfamiliar {
        text += &format!("{}\n", unfamiliar.sentence());
    }
    text + &format!("{:.0} ms per image\n", report.milliseconds_per_image)
}
