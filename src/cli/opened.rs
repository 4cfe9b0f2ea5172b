//! What to know about a model before its verdicts are read.

use std::path::Path;

use anyhow::{Result, bail};

use destseg_engine::config::InputLayout;
use destseg_engine::inspect::Detector;
use destseg_engine::verdict::calibration::Calibration;

/// A tile has at least this part of the side of the model's input: smaller ones show more enlargement than part.
const LEAST_TILE: f32 = 0.25;

/// Painted defects that say how much a model finds; older files rest on fewer.
const ENOUGH: usize = 100;

/// What was wrong with a model when it was trained, if it could find too few defects.
pub(super) fn not_ready(calibration: &Calibration) -> Option<String> {
    let mut trained = calibration.clone();
    trained.restore();
    let quality = trained.quality();
    let found = quality.found;
    (!quality.ready && found.all >= ENOUGH).then(|| {
        format!(
            "this model was not ready when it was trained: it found {} of {} painted defects",
            found.hits, found.all
        )
    })
}

/// What verdicts lack, and the command that adds it; none for a model that can tell all.
pub(super) fn incomplete(detector: &Detector, model: &Path, teacher: Option<&Path>) -> Option<String> {
    let command = |more: &str| {
        let teacher = teacher.map_or_else(String::new, |path| format!(" --teacher {}", path.display()));
        let stem = model.file_stem().unwrap_or_default().to_string_lossy();
        let out = model.with_file_name(format!("{stem}-calibrated.safetensors"));
        format!(
            "`destseg calibrate -m {}{teacher} --data DATA{more} -o {}`, with good images in DATA/train/good",
            model.display(),
            out.display()
        )
    };
    match (detector.calibration(), detector.familiarity()) {
        (None, _) => Some(format!(
            "it has no threshold, so there is no verdict: measure one with {}, or give --threshold",
            command("")
        )),
        (_, None) => Some(format!(
            "it cannot tell whether an image shows the part that it knows: make it learn that with {}",
            command(" --keep-thresholds")
        )),
        _ => None,
    }
}

/// The model with images shown in tiles of so many pixels; 0 stands for the side of its input.
///
/// # Errors
/// Tiles so small that an image has thousands of them.
pub(super) fn with_tiles(detector: Detector, tile: usize, model: &Path) -> Result<Detector> {
    let own = detector.input_size();
    let least = least_tile(own);
    if (1..least).contains(&tile) {
        bail!(
            "tiles of {tile} pixels are too small for a model that sees {own}: give --tile {least} or more"
        );
    }
    if detector.fit() != InputLayout::Tile {
        eprintln!(
            "note: {} was not trained on tiles, which show the part larger: expect `unfamiliar`, or train a model with \
             `--fit tile`",
            model.display()
        );
    }
    Ok(detector.with_tiles(if tile == 0 { own } else { tile }))
}

fn least_tile(input: usize) -> usize {
    (LEAST_TILE * input as f32).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use destseg_engine::verdict::calibration::SetBy;

    #[test]
    fn the_least_tile_is_a_quarter_of_the_input() {
        assert_eq!([192, 256, 130].map(least_tile), [48, 64, 33]);
    }

    #[test]
    fn what_counts_is_the_threshold_of_the_training() {
        let mut own = Calibration {
            image_threshold: 0.5,
            synthetic_scores: vec![0.9; 100],
            ..Calibration::default()
        };
        assert_eq!(not_ready(&own), None);
        own.set(0.95, SetBy::Hand);
        assert_eq!(not_ready(&own), None, "another threshold was chosen later");
        own.restore();
        own.synthetic_scores = vec![0.1; 100];
        let said = not_ready(&own).expect("finds nothing");
        assert!(said.ends_with("it found 0 of 100 painted defects"), "{said}");
        // an older file has no scores of painted defects
        own.synthetic_scores.clear();
        assert_eq!(not_ready(&own), None);
    }
}
