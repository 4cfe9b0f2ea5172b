//! `destseg train`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use super::common::{DeviceArg, folder_name, load_teacher, open_device, progress_bar, write_file};
use crate::Error;
use crate::config::{ModelConfig, Preset, TrainConfig};
use crate::dataset::{Category, load_good};
use crate::model::file::{FORMAT_VERSION, ModelFile, ModelHeader, TrainingRecord};
use crate::model::prefix;
use crate::model::weights::{Precision, Weights};
use crate::synthesis::{Synthesiser, TextureSource};
use crate::train::{Stage, Trainer};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long)]
    data: PathBuf,
    /// Model file to write.
    #[arg(short, long)]
    out: PathBuf,
    /// Network and recipe to start from.
    #[arg(long, value_enum, default_value_t)]
    preset: Preset,
    /// Folder of texture images (such as DTD) for the synthetic anomalies; without it, built-in
    /// procedural textures.
    #[arg(long)]
    textures: Option<PathBuf>,
    /// Teacher file; the compact preset has its own built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    /// Seed of every random number.
    #[arg(long)]
    seed: Option<u64>,
    /// Images per step.
    #[arg(long)]
    batch: Option<usize>,
    /// Steps of stage 1.
    #[arg(long)]
    student_steps: Option<usize>,
    /// Steps of stage 2.
    #[arg(long)]
    segmentation_steps: Option<usize>,
    /// Rotate good images by random multiples of 90 degrees.
    #[arg(long)]
    rotate_90: bool,
    /// Rotate good images by up to this many degrees either way.
    #[arg(long)]
    rotate: Option<f32>,
    /// Use only the first N good images.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    precision: Precision,
    /// Settings file (JSON), as printed by --print-config; flags come on top.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print all settings as JSON and stop.
    #[arg(long)]
    print_config: bool,
    /// Keep the state of the training beside the model file every so many steps; 0 keeps none.
    #[arg(long, value_name = "STEPS", default_value_t = 100)]
    checkpoint_every: usize,
    /// Go on with an interrupted training, from OUT.checkpoint.
    #[arg(long)]
    resume: bool,
    /// Replace an existing model file.
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Where the state of the training is kept.
    fn checkpoint(&self) -> PathBuf {
        let mut name = self.out.clone().into_os_string();
        name.push(".checkpoint");
        name.into()
    }

    fn settings(&self) -> Result<TrainConfig> {
        let mut config = match &self.config {
            None => TrainConfig::preset(self.preset),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
                serde_json::from_str(&text).map_err(|err| {
                    Error::Config(format!("the settings cannot be read: {err}")).in_file(path)
                })?
            }
        };
        let set = |target: &mut usize, flag: Option<usize>| *target = flag.unwrap_or(*target);
        set(&mut config.batch, self.batch);
        set(&mut config.student.steps, self.student_steps);
        set(&mut config.segmentation.steps, self.segmentation_steps);
        config.seed = self.seed.unwrap_or(config.seed);
        config.augment.rotate_90 |= self.rotate_90;
        config.augment.rotate = self.rotate.unwrap_or(config.augment.rotate);
        config.validate()?;
        Ok(config)
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let config = args.settings()?;
    if args.print_config {
        println!("{}", serde_json::to_string_pretty(&config)?);
        return Ok(());
    }
    if args.out.exists() && !args.force {
        bail!(
            "{} exists already: choose another name or add --force",
            args.out.display()
        );
    }
    let checkpoint = args.checkpoint();
    if checkpoint.exists() && !args.resume && !args.force {
        bail!(
            "{} is left of an interrupted training: go on with --resume, or start again with --force",
            checkpoint.display()
        );
    }
    let folder = args.out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("the folder {} does not exist: create it first", folder.display());
    }
    // minutes of training must not end in a file that cannot be written
    tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))
        .map_err(Error::io("write", &args.out))?;
    let model_config = ModelConfig::preset(args.preset);
    let teacher = load_teacher(model_config.teacher, args.teacher.as_deref())?;
    let mut paths = Category::open(&args.data)?.train_good()?;
    paths.truncate(args.limit.unwrap_or(usize::MAX));
    let loaded = load_good(&paths, model_config.input_size)?;
    if let Some(first) = loaded.skipped.into_iter().next() {
        return Err(first.into());
    }
    let (textures, texture_name) = match &args.textures {
        Some(path) => (
            TextureSource::folder(path, model_config.input_size)?,
            folder_name(path),
        ),
        None => (
            TextureSource::Procedural,
            "built-in procedural textures".to_owned(),
        ),
    };
    let (device, device_name) = open_device(args.device).await?;
    let synthesiser = Synthesiser::new(config.synthesis.clone(), config.augment, textures);
    let mut trainer = Trainer::new(
        model_config.clone(),
        config.clone(),
        &teacher,
        loaded.images,
        synthesiser,
        &device,
    )?;
    eprintln!(
        "training {} on {} good images of {} with {texture_name}, on the {device_name}",
        args.preset.id(),
        trainer.image_count(),
        args.data.display()
    );
    if args.resume {
        resume(&mut trainer, &checkpoint)?;
    }
    let start = Instant::now();
    train(&mut trainer, &config, args.checkpoint_every, &checkpoint).await?;
    let calibration = trainer.calibrate().await?;
    let seconds = start.elapsed().as_secs_f64();
    if let Some(calibration) = &calibration {
        eprintln!(
            "calibrated: images from {:.3}, pixels from {:.3} (F1 {:.3} on {} held-out good images and synthetic defects)",
            calibration.image_threshold,
            calibration.pixel_threshold,
            calibration.image_f1,
            calibration.good_scores.len()
        );
    }
    let mut weights = trainer.model().trained_weights().await?;
    if args.preset == Preset::Paper {
        // this teacher is not shipped, so the file carries it
        weights.extend(teacher.prefixed(prefix::TEACHER));
    }
    let record = TrainingRecord {
        data: folder_name(&args.data),
        images: trainer.image_count(),
        textures: texture_name,
        config,
        device: device_name,
    };
    write_model(&args, model_config, weights, record, calibration)?;
    if checkpoint.exists() {
        std::fs::remove_file(&checkpoint).map_err(Error::io("remove", &checkpoint))?;
    }
    eprintln!("wrote {} after {seconds:.0} s", args.out.display());
    Ok(())
}

fn resume(trainer: &mut Trainer, checkpoint: &Path) -> Result<()> {
    if !checkpoint.exists() {
        bail!(
            "there is no {} to go on from: leave out --resume to start from the beginning",
            checkpoint.display()
        );
    }
    let bytes = std::fs::read(checkpoint).map_err(Error::io("read", checkpoint))?;
    trainer.resume(&bytes).map_err(|err| err.in_file(checkpoint))?;
    eprintln!(
        "going on after step {} of {}",
        trainer.steps_done(),
        trainer.total_steps()
    );
    Ok(())
}

async fn train(
    trainer: &mut Trainer,
    config: &TrainConfig,
    checkpoint_every: usize,
    checkpoint: &Path,
) -> Result<()> {
    /// A log file gets a line every so many steps; a terminal has the bar.
    const LOG_EVERY: usize = 50;
    let done = trainer.steps_done();
    let bar = if done <= config.student.steps {
        progress_bar(config.student.steps, "stage 1").with_position(done as u64)
    } else {
        let done = done - config.student.steps;
        progress_bar(config.segmentation.steps, "stage 2").with_position(done as u64)
    };
    let start = Instant::now();
    // a smooth number is easier to read than each batch's
    let mut smooth: Option<f32> = None;
    while let Some(report) = trainer.step().await? {
        const KEEP: f32 = 0.9;
        if report.stage == Stage::Segmentation && report.step == config.student.steps + 1 {
            bar.suspend(|| eprintln!("stage 1 done, cosine loss {:.4}", smooth.unwrap_or_default()));
            bar.set_prefix("stage 2");
            bar.set_length(config.segmentation.steps as u64);
            bar.reset();
            smooth = None;
        }
        let value = smooth.map_or(report.loss, |old| KEEP * old + (1.0 - KEEP) * report.loss);
        smooth = Some(value);
        let losses = match report.parts {
            None => format!("cosine {value:.4}"),
            Some([focal, l1]) => format!("loss {value:.4} (focal {focal:.4}, L1 {l1:.4})"),
        };
        if bar.is_hidden() && report.step.is_multiple_of(LOG_EVERY) {
            let rate = (report.step - done) as f64 / start.elapsed().as_secs_f64();
            eprintln!(
                "step {} of {}: {losses}, {rate:.2} steps/s",
                report.step,
                trainer.total_steps()
            );
        }
        bar.set_message(losses);
        bar.inc(1);
        if checkpoint_every > 0
            && report.step.is_multiple_of(checkpoint_every)
            && report.step < trainer.total_steps()
        {
            write_file(checkpoint, &trainer.checkpoint().await?)?;
        }
    }
    bar.finish_and_clear();
    eprintln!("stage 2 done, loss {:.4}", smooth.unwrap_or_default());
    Ok(())
}

fn write_model(
    args: &Args,
    config: ModelConfig,
    weights: Weights,
    record: TrainingRecord,
    calibration: Option<crate::calibration::Calibration>,
) -> Result<()> {
    let header = ModelHeader {
        format_version: FORMAT_VERSION,
        written_by: format!("destseg {}", env!("CARGO_PKG_VERSION")),
        config,
        training: Some(record),
        calibration,
    };
    write_file(
        &args.out,
        &ModelFile { header, weights }.to_bytes(args.precision)?,
    )
}
