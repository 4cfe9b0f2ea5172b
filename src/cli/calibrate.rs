//! `destseg calibrate`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::common::open_device;
use super::retrain::{Good, RetrainArgs};
use super::threshold::ThresholdArgs;
use super::train::{report, report_as, report_ready};
use destseg_engine::config::{FEWEST_IMAGES, Method, Preset, TrainConfig};
use destseg_engine::data::image;
use destseg_engine::error::{count, percent};
use destseg_engine::inspect::{Codebook, Detector, Familiarity};
use destseg_engine::methods;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::train::Recalibration;
use destseg_engine::verdict::calibration::{Calibration, SetBy};
use destseg_engine::verdict::corrections::Correction;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Light, camera or material have changed a little, and good parts are stopped: measure the thresholds \
    anew on good images from there. The networks stay as they are. Of the images given, as many are looked at as \
    training would hold out; --all looks at every one, if none of them was trained on. Without --data the scores in \
    the file are kept, and only the threshold moves: --promise, --threshold or --restore."
)]
pub(super) struct Args {
    #[command(flatten)]
    files: RetrainArgs,
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long, required_unless_present_any = ["threshold", "promise", "restore"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    threshold: ThresholdArgs,
    /// Put the threshold in force again that training, or the last calibration on good images, measured.
    #[arg(long, conflicts_with_all = ["data", "threshold", "promise"])]
    restore: bool,
    /// Look at all good images instead of the share that training held out.
    #[arg(long, requires = "data")]
    all: bool,
    /// Keep the thresholds: only learn what the good images look like, so that the model can tell other parts from its
    /// own.
    #[arg(long, requires = "data", conflicts_with_all = ["threshold", "promise"])]
    keep_thresholds: bool,
    /// Also learn the codebook of good features from the good images that thresholds are not measured on, as training does: it
    /// sees defects that the networks miss.
    #[arg(long, requires = "data", conflicts_with_all = ["keep_thresholds", "all"])]
    codebook: bool,
    /// The good images may show another part than the model knows: they become the part that it knows.
    #[arg(long, requires = "data")]
    new_part: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut file = args.files.open()?;
    args.threshold.check(file.header.gives_probabilities())?;
    let measured = match &args.data {
        Some(data) => measure(&args, data, &mut file).await?,
        None if args.restore => {
            let Some(own) = &mut file.header.calibration else {
                bail!("{} has no threshold to go back to", args.files.model.display());
            };
            own.restore();
            None
        }
        None => None,
    };
    if !args.threshold.is_empty() || args.restore {
        let calibration = args.threshold.apply(file.header.calibration.take())?;
        file.header.calibration = calibration;
    }
    match (&file.header.calibration, measured) {
        (Some(calibration), Some(images)) => {
            report_as(calibration, &summary(calibration));
            report_ready(calibration, images);
        }
        (Some(calibration), None) if !args.keep_thresholds => report(calibration),
        _ => {}
    }
    args.files.write(&file)
}

/// What was measured, in a sentence: the good images are not held out of a training.
fn summary(calibration: &Calibration) -> String {
    let quality = calibration.quality();
    let (found, stopped) = (quality.found, quality.stopped);
    format!(
        "finds {} of {} painted defects and stops {} of {} good photos",
        found.hits, found.all, stopped.hits, stopped.all
    )
}

/// Names the good images that the model does not know, and refuses them if they are most: its record of the part would be
/// lost.
async fn check_part(
    args: &Args,
    detector: &Detector,
    (good, measured): (&Good, &Recalibration),
) -> Result<()> {
    /// Images that are looked at.
    const MOST: usize = 100;
    /// Images that are named.
    const NAMED: usize = 3;
    let images = measured.good_images();
    let every = images.len().div_ceil(MOST).max(1);
    let (mut unfamiliar, mut all) = (Vec::new(), 0);
    for (image, &index) in images.zip(measured.good_indices()).step_by(every) {
        let found = detector.detect_pixels(&image::to_f32(image)).await?;
        if detector.is_unfamiliar(found.distance, found.difference) == Some(true) {
            unfamiliar.push(good.file(index).display().to_string());
        }
        all += 1;
    }
    let count = unfamiliar.len();
    unfamiliar.sort();
    unfamiliar.dedup();
    let more = if unfamiliar.len() > NAMED { ", …" } else { "" };
    unfamiliar.truncate(NAMED);
    let said = format!(
        "{count} of {all} good images do not look like the part that {} knows ({}{more})",
        args.files.model.display(),
        unfamiliar.join(", ")
    );
    if 2 * count > all {
        bail!("{said}: train a model on them, or add --new-part to calibrate this one for them all the same");
    }
    if count > 0 {
        eprintln!("note: {said}: look at them, and calibrate again without those of another part");
    }
    Ok(())
}

/// Says that the good images seem to be those of the training, where the model has seen some that are looked at now.
fn note_trained_on(args: &Args, file: &ModelFile, good: &Good, measured: &Recalibration) {
    let Some((data, images)) = file.header.trained_on() else {
        return;
    };
    let held_none_out = file.header.measuring().held_out == 0.0;
    let trained_on = match held_none_out {
        true => good.images.len(),
        false => good.images.len() - measured.held_out(),
    };
    if (args.all || held_none_out) && data == good.name && images == trained_on {
        eprintln!(
            "note: these look like the images of the training ({data}, {trained_on} of them trained on): what is measured on \
             them is too optimistic, so give good images that the model has not seen"
        );
    }
}

/// Measures thresholds and the familiarity record anew; returns the number of good images, unless the thresholds are kept.
async fn measure(args: &Args, data: &Path, file: &mut ModelFile) -> Result<Option<usize>> {
    let teacher = args.files.teacher(file)?;
    let (device, _) = open_device(args.files.device).await?;
    let too_few = || {
        format!(
            "there are too few good images in {} to calibrate with: give at least {FEWEST_IMAGES}",
            data.display()
        )
    };
    let good = args.files.good(file, data)?;
    if good.images.len() < FEWEST_IMAGES {
        bail!(too_few());
    }
    let mut measuring = file.header.measuring();
    if measuring.held_out == 0.0 {
        measuring.held_out = TrainConfig::preset(Preset::Compact).held_out;
    }
    let textures = args.files.textures(file)?;
    let detector = || methods::detector(file, Some(&teacher), &device);
    let mut measured = Recalibration::new(detector()?, measuring, textures, &good.images, good.views());
    if !args.new_part {
        check_part(args, &detector()?, (&good, &measured)).await?;
    }
    if args.keep_thresholds {
        let familiarity = measured.familiarity().await?.with_context(too_few)?;
        note_kinds(&familiarity);
        file.set_familiarity(Some(familiarity));
        return Ok(None);
    }
    note_trained_on(args, file, &good, &measured);
    if args.all {
        measured.hold_out_all();
    }
    let mut codebook = None;
    if args.codebook {
        (measured, codebook) = learn_codebook(file, measured, &good.name).await?;
    }
    let thresholds = measured.calibration().await?.with_context(too_few)?;
    let familiarity = measured.familiarity().await?;
    familiarity.iter().for_each(note_kinds);
    let before = file.header.calibration.replace(thresholds);
    file.set_familiarity(familiarity);
    if codebook.is_some() {
        file.set_codebook(codebook);
    }
    if let (Some(before), Some(own)) = (&before, &mut file.header.calibration) {
        keep_promise(args, before, own);
        keep_corrections(args, before, own);
    }
    Ok(Some(good.images.len()))
}

/// Measures with a codebook of the good images that are not held out.
async fn learn_codebook(
    file: &ModelFile,
    measured: Recalibration,
    data: &str,
) -> Result<(Recalibration, Option<Codebook>)> {
    if !matches!(file.header.method(), Method::Destseg) {
        bail!(
            "a codebook adds to the map of a segmentation network, which only DeSTSeg has: leave out --codebook"
        );
    }
    let (measured, codebook) = measured.learn_codebook().await?;
    if codebook.is_none() {
        bail!("there are too few good images in {data} for a codebook: give more, or leave out --codebook");
    }
    Ok((measured, codebook))
}

/// Says what to know about the good images.
fn note_kinds(familiarity: &Familiarity) {
    if let Some(note) = familiarity.record().kinds_note() {
        eprintln!("note: {note}");
    }
}

/// Takes over what was said about images. How they look is forgotten: that was told by the record of before.
fn keep_corrections(args: &Args, before: &Calibration, own: &mut Calibration) {
    if before.corrections.is_empty() || args.new_part {
        return;
    }
    let kept = before.corrections.iter().map(|own| Correction {
        places: Vec::new(),
        distance: None,
        difference: None,
        ..own.clone()
    });
    own.correct(kept.collect::<Vec<_>>());
    eprintln!(
        "note: {} kept, but the model no longer remembers how their images look: correct them again for that",
        count(own.corrections.len(), "correction is", "corrections are")
    );
}

/// Puts the promise that the file had in force for the new scores, and says so. A number that was set by hand belongs to the
/// old ones.
fn keep_promise(args: &Args, before: &Calibration, own: &mut Calibration) {
    match (before.promised(), before.set_by) {
        _ if !args.threshold.is_empty() => {}
        (Some(share), _) => {
            own.promise(share);
            eprintln!(
                "the promise of {} stays in force: at most {} % of good parts are stopped",
                args.files.model.display(),
                percent(share)
            );
        }
        (None, SetBy::Hand) => eprintln!(
            "note: the threshold {} that was set by hand gives way to the measured one: add --threshold to set it again",
            before.image_threshold
        ),
        _ => {}
    }
}
