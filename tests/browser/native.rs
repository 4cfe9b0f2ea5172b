//! The command line's answer for the same image and model.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// What `destseg predict` says about one image.
#[derive(Debug, Deserialize)]
pub(crate) struct Prediction {
    /// The segmentation network's map, row by row, in steps of 1/65535.
    #[serde(skip)]
    pub(crate) map: Vec<f32>,
    /// Where it lies.
    #[serde(rename = "map")]
    map_file: PathBuf,
    /// The image score.
    pub(crate) score: f32,
    /// Where good ends, as stored in the model.
    pub(crate) threshold: f32,
    /// The score on the scale on which 0.5 decides.
    pub(crate) decision_score: f32,
    /// The verdict in a word.
    pub(crate) verdict: String,
    /// How sure it is.
    pub(crate) certainty: Option<String>,
    /// The share of good images that score as high.
    pub(crate) p_value: Option<f32>,
    /// The regions above the pixel threshold.
    pub(crate) instances: Vec<serde_json::Value>,
}

/// Runs `destseg predict` on the CPU over all images, in order.
pub(crate) fn predict(images: &[PathBuf], model: &Path) -> Result<Vec<Prediction>> {
    let out = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .arg("predict")
        .args(images)
        .arg("--model")
        .arg(model)
        .arg("-o")
        .arg(out.path())
        .args(["--map-size", "model", "--device", "cpu"])
        .output()
        .context("cannot start destseg")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "destseg predict failed: {errors}");
    let text = String::from_utf8(output.stdout)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(
        lines.len() == images.len(),
        "destseg predict wrote {} lines for {} images",
        lines.len(),
        images.len()
    );
    let read = |line: &str| {
        let mut said: Prediction = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let map = image::open(&said.map_file)
            .with_context(|| format!("cannot open {}", said.map_file.display()))?
            .into_luma16();
        ensure!(map.width() == map.height(), "the map is {:?}", map.dimensions());
        let values = map.as_raw().iter();
        said.map = values
            .map(|&value| f32::from(value) / f32::from(u16::MAX))
            .collect();
        Ok(said)
    };
    lines.into_iter().map(read).collect()
}

/// Runs the command line.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(arguments)
        .output();
    let output = output.context("cannot start destseg")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "destseg {arguments:?} failed: {errors}");
    Ok(())
}

/// The largest difference between two maps.
pub(crate) fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "both maps have the same size");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Area under the ROC curve of the map as a detector of the mask's pixels: the share of pairs of
/// a defective and a good pixel that it puts in the right order, ties counting half.
pub(crate) fn pixel_auc(map: &[f32], mask: &Path) -> Result<f64> {
    let mask = image::open(mask)
        .with_context(|| format!("cannot open {}", mask.display()))?
        .into_luma8();
    let side = map.len().isqrt() as u32;
    let mask = image::imageops::resize(&mask, side, side, image::imageops::FilterType::Triangle);
    let mut pixels: Vec<(f32, bool)> = map
        .iter()
        .copied()
        .zip(mask.iter().map(|&value| value > 127))
        .collect();
    pixels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let defective = pixels.iter().filter(|(_, defective)| *defective).count();
    let good = pixels.len() - defective;
    ensure!(
        defective > 0 && good > 0,
        "the mask has no defective or no good pixel"
    );
    let mut below = 0;
    let mut right = 0.0;
    for ties in pixels.chunk_by(|a, b| a.0 == b.0) {
        let tied_defective = ties.iter().filter(|(_, defective)| *defective).count();
        let tied_good = ties.len() - tied_defective;
        right += tied_defective as f64 * (below as f64 + tied_good as f64 / 2.0);
        below += tied_good;
    }
    Ok(right / (defective as f64 * good as f64))
}

#[test]
fn the_area_under_the_curve_is_right_in_known_cases() {
    const SIDE: u32 = 256;
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path().join("mask.png");
    let left = image::GrayImage::from_fn(SIDE, SIDE, |x, _| image::Luma([if x < 64 { 255 } else { 0 }]));
    left.save(&path).expect("writes");
    let map = |value: fn(u32) -> f32| -> Vec<f32> { (0..SIDE * SIDE).map(|i| value(i % SIDE)).collect() };
    let auc = |map: Vec<f32>| pixel_auc(&map, &path).expect("has both kinds");
    assert!(auc(map(|x| 1.0 - x as f32 / 256.0)) > 0.999);
    assert!(auc(map(|x| x as f32 / 256.0)) < 0.001);
    assert!((auc(map(|_| 0.5)) - 0.5).abs() < 1e-9);
    // half of the defective columns above all good ones, half among the tied rest: 1/2 + 1/2 * 1/2
    assert!((auc(map(|x| if x < 32 { 1.0 } else { 0.0 })) - 0.75).abs() < 0.02);
}
