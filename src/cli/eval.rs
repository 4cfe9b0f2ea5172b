//! `destseg eval`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::common::{DeviceArg, load_detector, open_device, progress_bar};
use crate::dataset::{Category, TestItem};
use crate::inference::Detector;
use crate::metrics::{AUPRO_LIMIT, Ranking};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder in MVTec layout; `test/` and `ground_truth/` are used.
    #[arg(long)]
    data: PathBuf,
    /// Model file.
    #[arg(short, long)]
    model: PathBuf,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The metrics of one output; none where the test set does not define it.
#[derive(Debug, Serialize)]
struct Metrics {
    image_auc: Option<f64>,
    pixel_auc: Option<f64>,
    pixel_ap: Option<f64>,
    aupro: Option<f64>,
    iap: Option<f64>,
    iap90: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    data: String,
    images: usize,
    segmentation: Metrics,
    dest: Metrics,
    /// Image AUC of each kind of defect against all good images, segmentation map.
    per_defect: BTreeMap<String, Option<f64>>,
    /// Decisions at the calibrated threshold.
    decisions: Option<Decisions>,
    milliseconds_per_image: f64,
}

#[derive(Debug, Serialize)]
struct Decisions {
    threshold: f32,
    f1: f64,
    false_alarms: f64,
    misses: f64,
}

/// Everything collected over the test set for one output.
#[derive(Debug, Default)]
struct Collected {
    scores: Vec<f32>,
    pixels: Vec<f32>,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let items = Category::open(&args.data)?.test()?;
    let (device, _) = open_device(args.device).await?;
    let (detector, _) = load_detector(&args.model, args.teacher.as_deref(), &device)?;
    let report = evaluate(&detector, &items, &args.data).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

async fn evaluate(detector: &Detector, items: &[TestItem], data: &Path) -> Result<Report> {
    let side = detector.config().input_size;
    let (mut segmentation, mut dest) = (Collected::default(), Collected::default());
    let mut masks = Vec::new();
    let bar = progress_bar(items.len(), "evaluating");
    let mut milliseconds = 0.0;
    for item in items {
        let test = item.load(side)?;
        let start = std::time::Instant::now();
        let found = detector.detect(&test.image).await?;
        milliseconds += start.elapsed().as_secs_f64() * 1e3;
        for (collected, map) in [(&mut segmentation, found.map()), (&mut dest, &found.dest)] {
            collected.scores.push(map.score());
            collected.pixels.extend_from_slice(map.values());
        }
        masks.extend(test.mask);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let labels: Vec<bool> = items.iter().map(TestItem::is_defective).collect();
    Ok(Report {
        data: super::common::folder_name(data),
        images: items.len(),
        per_defect: per_defect(items, &segmentation.scores),
        decisions: detector
            .calibration()
            .map(|c| decide(&segmentation.scores, &labels, c.image_threshold)),
        segmentation: measure(&segmentation, &labels, &masks, side),
        dest: measure(&dest, &labels, &masks, side),
        milliseconds_per_image: milliseconds / items.len().max(1) as f64,
    })
}

fn measure(collected: &Collected, labels: &[bool], masks: &[bool], side: usize) -> Metrics {
    let images = Ranking::new(&collected.scores, labels);
    let pixels = Ranking::of_images(&collected.pixels, masks, (side, side));
    let instances = pixels.as_ref().ok().and_then(|pixels| pixels.instance_ap().ok());
    Metrics {
        image_auc: images.and_then(|images| images.auc()).ok(),
        pixel_auc: pixels.as_ref().ok().and_then(|pixels| pixels.auc().ok()),
        pixel_ap: pixels
            .as_ref()
            .ok()
            .and_then(|pixels| pixels.average_precision().ok()),
        aupro: pixels
            .as_ref()
            .ok()
            .and_then(|pixels| pixels.aupro(AUPRO_LIMIT).ok()),
        iap: instances.as_ref().map(|instances| instances.iap),
        iap90: instances.as_ref().map(|instances| instances.iap90),
    }
}

fn per_defect(items: &[TestItem], scores: &[f32]) -> BTreeMap<String, Option<f64>> {
    let mut kinds: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for kind in items
        .iter()
        .filter(|item| item.is_defective())
        .map(|item| &item.defect)
    {
        if kinds.contains_key(kind) {
            continue;
        }
        let chosen = items
            .iter()
            .zip(scores)
            .filter(|(item, _)| !item.is_defective() || item.defect == *kind);
        let (labels, scores): (Vec<bool>, Vec<f32>) =
            chosen.map(|(item, score)| (item.is_defective(), *score)).unzip();
        kinds.insert(
            kind.clone(),
            Ranking::new(&scores, &labels)
                .and_then(|ranking| ranking.auc())
                .ok(),
        );
    }
    kinds
}

fn decide(scores: &[f32], labels: &[bool], threshold: f32) -> Decisions {
    let count = |defective: bool, called: bool| {
        scores
            .iter()
            .zip(labels)
            .filter(|(score, label)| **label == defective && (**score >= threshold) == called)
            .count() as f64
    };
    let (hits, misses) = (count(true, true), count(true, false));
    let (alarms, passes) = (count(false, true), count(false, false));
    Decisions {
        threshold,
        f1: 2.0 * hits / (2.0 * hits + misses + alarms).max(1.0),
        false_alarms: alarms / (alarms + passes).max(1.0),
        misses: misses / (hits + misses).max(1.0),
    }
}

fn print(report: &Report) {
    let cell = |value: Option<f64>| value.map_or_else(|| "   n/a".into(), |value| format!("{value:6.4}"));
    println!("{} test images of {}\n", report.images, report.data);
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
        "", "image AUC", "pixel AUC", "pixel AP", "PRO", "IAP", "IAP@90"
    );
    for (name, m) in [("segmentation", &report.segmentation), ("DeST", &report.dest)] {
        println!(
            "{name:<14}{:>10}{:>10}{:>10}{:>8}{:>8}{:>8}",
            cell(m.image_auc),
            cell(m.pixel_auc),
            cell(m.pixel_ap),
            cell(m.aupro),
            cell(m.iap),
            cell(m.iap90)
        );
    }
    println!("\nimage AUC per defect");
    for (kind, auc) in &report.per_defect {
        println!("  {kind:<24}{}", cell(*auc));
    }
    if let Some(decisions) = &report.decisions {
        println!(
            "\nat the calibrated threshold {:.3}: F1 {:.3}, false alarms {:.1} %, misses {:.1} %",
            decisions.threshold,
            decisions.f1,
            100.0 * decisions.false_alarms,
            100.0 * decisions.misses
        );
    }
    println!("{:.0} ms per image", report.milliseconds_per_image);
}
