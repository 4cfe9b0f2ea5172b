//! `destseg calibrate`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::common::{
    DeviceArg, load_all_good, load_model, load_teacher, load_textures, open_device, refuse_existing,
    write_file,
};
use super::threshold::ThresholdArgs;
use super::train::report;
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Preset, TrainConfig};
use destseg_engine::data::dataset::Category;
use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::files::storage::Precision;
use destseg_engine::methods;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::synthesis::Synthesiser;
use destseg_engine::train::Trainer;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Light, camera or material have changed a little, and good parts are stopped: measure the thresholds \
    anew on good images from there. The networks stay as they are. Of the images given, as many are looked at as \
    training would hold out; --all looks at every one, if none of them was trained on. Without --data the scores in \
    the file are kept, and only the threshold moves: --promise, --threshold or --restore."
)]
pub(super) struct Args {
    /// Model file.
    #[arg(short, long)]
    model: PathBuf,
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long, required_unless_present_any = ["threshold", "promise", "restore"])]
    data: Option<PathBuf>,
    #[command(flatten)]
    threshold: ThresholdArgs,
    /// Put the threshold that training found in force again.
    #[arg(long, conflicts_with_all = ["data", "threshold", "promise"])]
    restore: bool,
    /// Model file to write.
    #[arg(short, long)]
    out: PathBuf,
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
    /// Folder of texture images for the synthetic anomalies; without it, built-in textures.
    #[arg(long)]
    textures: Option<PathBuf>,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    /// How weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    precision: Precision,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    refuse_existing(&args.out, args.force)?;
    let mut file = load_model(&args.model)?;
    match &args.data {
        Some(data) => measure(&args, data, &mut file).await?,
        None if args.restore => {
            let Some(own) = &mut file.header.calibration else {
                bail!("{} has no threshold to go back to", args.model.display());
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
    write_file(&args.out, &file.to_bytes(args.precision)?)?;
    eprintln!("wrote {}", args.out.display());
    Ok(())
}

/// Refuses good images that the model does not know: its record of the part would be lost.
async fn refuse_another_part(
    args: &Args,
    file: &ModelFile,
    teacher: &Weights,
    images: &[RgbImage],
    device: &Device,
) -> Result<()> {
    /// Images that are looked at.
    const MOST: usize = 20;
    let detector = methods::detector(file, Some(teacher), device)?;
    let (mut unfamiliar, mut all) = (0, 0);
    for image in images.iter().step_by(images.len().div_ceil(MOST).max(1)) {
        let found = detector.detect_pixels(&image::to_f32(image)).await?;
        unfamiliar += usize::from(detector.is_unfamiliar(found.distance) == Some(true));
        all += 1;
    }
    if 2 * unfamiliar > all {
        bail!(
            "{unfamiliar} of {all} good images do not look like the part that {} knows: train a model on them, or add \
             --new-part to calibrate this one for them all the same",
            args.model.display()
        );
    }
    Ok(())
}

/// Measures thresholds and the familiarity record anew.
async fn measure(args: &Args, data: &Path, file: &mut ModelFile) -> Result<()> {
    let model = file
        .header
        .networks()
        .map_err(|err| err.in_file(&args.model))?
        .clone();
    let recipe = file.header.training().map(|record| record.config.clone());
    let mut config = recipe.unwrap_or_else(|| TrainConfig::preset(model.preset));
    if config.held_out == 0.0 {
        config.held_out = TrainConfig::preset(Preset::Compact).held_out;
    }
    if model.segmentation.is_none() {
        config.segmentation.steps = 0;
        config.student.steps = config.student.steps.max(1);
    }
    let paths = Category::open(data)?.train_good()?;
    let good = load_all_good(&paths, model.input_size, model.fit)?;
    let textures = load_textures(args.textures.as_deref(), model.input_size)?;
    let teacher = match file.teacher() {
        Some(own) => own,
        None => load_teacher(model.teacher, args.teacher.as_deref())?,
    };
    let (device, _) = open_device(args.device).await?;
    if !args.new_part {
        refuse_another_part(args, file, &teacher, &good.images, &device).await?;
    }
    let views = good.origins.len() as f32 / paths.len().max(1) as f32;
    let synthesiser = Synthesiser::new(config.synthesis.clone(), config.augment, textures);
    let mut trainer = Trainer::new(model, config, &teacher, good.images, synthesiser, &device)?;
    trainer.set_views(views);
    if args.all {
        trainer.hold_out_all();
    }
    let own_teacher = file.weights.take_prefix(prefix::TEACHER);
    trainer.start_from(&file.weights)?;
    let trained = trainer.finish(args.precision).await?;
    let Some(calibration) = trained.calibration else {
        bail!(
            "there are too few good images in {}: give at least 4",
            data.display()
        );
    };
    if !args.keep_thresholds {
        file.header.calibration = Some(calibration);
    }
    file.weights = trained.weights;
    file.set_familiarity(trained.familiarity);
    file.weights.extend(own_teacher.prefixed(prefix::TEACHER));
    Ok(())
}
