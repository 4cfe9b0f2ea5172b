//! `destseg calibrate`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::common::open_device;
use super::retrain::{RetrainArgs, take};
use super::threshold::ThresholdArgs;
use super::train::report;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Preset, TrainConfig};
use destseg_engine::data::image;
use destseg_engine::methods;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::train::Trainer;

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
    /// Put the threshold that training found in force again.
    #[arg(long, conflicts_with_all = ["data", "threshold", "promise"])]
    restore: bool,
    /// Look at all good images instead of the share that training held out.
    #[arg(long, requires = "data")]
    all: bool,
    /// Keep the thresholds: only learn what the good images look like, so that the model can tell other parts from its
    /// own.
    #[arg(long, requires = "data", conflicts_with_all = ["threshold", "promise"])]
    keep_thresholds: bool,
    /// The good images may show another part than the model knows: they become the part that it knows.
    #[arg(long, requires = "data")]
    new_part: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut file = args.files.open()?;
    match &args.data {
        Some(data) => measure(&args, data, &mut file).await?,
        None if args.restore => {
            let Some(own) = &mut file.header.calibration else {
                bail!("{} has no threshold to go back to", args.files.model.display());
            };
            own.restore();
        }
        None => {}
    }
    if !args.threshold.is_empty() || args.restore {
        let calibration = args.threshold.apply(file.header.calibration.take())?;
        file.header.calibration = calibration;
    }
    if let Some(calibration) = file.header.calibration.as_ref().filter(|_| !args.keep_thresholds) {
        report(calibration);
    }
    args.files.write(&file)
}

/// Refuses good images that the model does not know: its record of the part would be lost.
async fn refuse_another_part(
    args: &Args,
    file: &ModelFile,
    trainer: &Trainer,
    (teacher, device): (&Weights, &Device),
) -> Result<()> {
    /// Images that are looked at.
    const MOST: usize = 20;
    let detector = methods::detector(file, Some(teacher), device)?;
    let (mut unfamiliar, mut all) = (0, 0);
    let images = trainer.good_images();
    for image in images.iter().step_by(images.len().div_ceil(MOST).max(1)) {
        let found = detector.detect_pixels(&image::to_f32(image)).await?;
        unfamiliar += usize::from(detector.is_unfamiliar(found.distance, found.difference) == Some(true));
        all += 1;
    }
    if 2 * unfamiliar > all {
        bail!(
            "{unfamiliar} of {all} good images do not look like the part that {} knows: train a model on them, or add \
             --new-part to calibrate this one for them all the same",
            args.files.model.display()
        );
    }
    Ok(())
}

/// Measures thresholds and the familiarity record anew.
async fn measure(args: &Args, data: &Path, file: &mut ModelFile) -> Result<()> {
    let teacher = args.files.teacher(file)?;
    let (device, _) = open_device(args.files.device).await?;
    let has_segmentation = file
        .header
        .networks()
        .is_ok_and(|model| model.segmentation.is_some());
    let mut trainer = args.files.trainer(file, data, (&teacher, &device), |config| {
        if config.held_out == 0.0 {
            config.held_out = TrainConfig::preset(Preset::Compact).held_out;
        }
        if !has_segmentation {
            config.segmentation.steps = 0;
            config.student.steps = config.student.steps.max(1);
        }
    })?;
    if !args.new_part {
        refuse_another_part(args, file, &trainer, (&teacher, &device)).await?;
    }
    if args.all {
        trainer.hold_out_all();
    }
    let too_few = || {
        format!(
            "there are too few good images in {}: give at least 4",
            data.display()
        )
    };
    if args.keep_thresholds {
        let familiarity = trainer.familiarity().await?;
        file.set_familiarity(Some(familiarity.with_context(too_few)?));
        return Ok(());
    }
    let trained = trainer.finish(args.files.precision).await?;
    let calibration = trained.calibration.clone();
    file.header.calibration = Some(calibration.with_context(too_few)?);
    take(file, trained);
    Ok(())
}
