//! `destseg train`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use super::baseline;
use super::common::{
    DeviceArg, check_output, folder_name, load_all_good, load_model, load_teacher, load_textures,
    open_device, progress_bar, read_list, write_file,
};
use super::number::{MOST, whole};
use super::output::show;
use super::settings::{self, Format, SettingsText as _};
use destseg_engine::Error;
use destseg_engine::arch::cost::Costs;
use destseg_engine::arch::prefix;
use destseg_engine::config::{MOST_STEPS, Settings, TeacherKind, TrainConfig};
use destseg_engine::data::dataset::Category;
use destseg_engine::error::count;
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{Body, ModelFile, TrainingRecord};
use destseg_engine::synthesis::Synthesiser;
use destseg_engine::train::{Stage, Trainer};
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::quality::READY;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long, required_unless_present = "print_config")]
    data: Option<PathBuf>,
    /// Model file to write; its settings go beside it, as OUT with the ending .toml.
    #[arg(short, long, required_unless_present = "print_config")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    settings: settings::Args,
    /// Folder of texture images (such as DTD) for the synthetic anomalies; without it, built-in
    /// procedural textures.
    #[arg(long)]
    pub(super) textures: Option<PathBuf>,
    /// Teacher file; the compact preset has its own built in.
    #[arg(long)]
    pub(super) teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    pub(super) device: DeviceArg,
    /// Start from this model's networks, whatever shape they have, instead of random ones, as the page does with the
    /// model that is open: it needs fewer images and steps.
    #[arg(long, value_name = "MODEL", conflicts_with = "student_from")]
    start_from: Option<PathBuf>,
    /// Start from this model's student instead of a random one; with --student-steps 0 it stays as it is.
    #[arg(long, value_name = "MODEL")]
    student_from: Option<PathBuf>,
    /// Use only the first N good images.
    #[arg(long, value_name = "N", value_parser = whole(1..=MOST))]
    limit: Option<usize>,
    /// Use only the good images that this file names: one a line, as paths from DATA.
    #[arg(long, value_name = "FILE", conflicts_with = "limit")]
    only: Option<PathBuf>,
    /// How weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    pub(super) precision: Precision,
    /// Print all settings and stop.
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "toml")]
    pub(super) print_config: Option<Format>,
    /// Keep the state of the training beside the model file every so many steps; 0 keeps none.
    #[arg(long, value_name = "STEPS", default_value_t = 100, value_parser = whole(0..=MOST_STEPS))]
    checkpoint_every: usize,
    /// Resume an interrupted training from OUT.checkpoint.
    #[arg(long)]
    pub(super) resume: bool,
    /// Replace an existing model file.
    #[arg(long)]
    pub(super) force: bool,
}

/// The files that a run writes.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) model: PathBuf,
    pub(super) settings: PathBuf,
    checkpoint: PathBuf,
}

impl Outputs {
    pub(super) fn new(model: PathBuf) -> Self {
        let mut checkpoint = model.clone().into_os_string();
        checkpoint.push(".checkpoint");
        Self {
            settings: model.with_extension("toml"),
            checkpoint: checkpoint.into(),
            model,
        }
    }

    /// Refuses to replace files, and finds out now whether they can be written: minutes of training
    /// must not be for nothing.
    pub(super) fn check(&self, args: &Args) -> Result<()> {
        let ending = self.model.extension().unwrap_or_default();
        if ["toml", "json"]
            .iter()
            .any(|own| ending.eq_ignore_ascii_case(own))
        {
            bail!(
                "{} is named like a settings file: give the model another ending, such as {}",
                self.model.display(),
                self.model.with_extension("safetensors").display()
            );
        }
        for file in [&self.model, &self.settings, &self.checkpoint] {
            check_output(file)?;
        }
        // what goes on may have been stopped between its last files
        if args.resume {
            if !self.checkpoint.exists() {
                bail!(
                    "there is no {} to go on from: leave out --resume to start from the beginning",
                    self.checkpoint.display()
                );
            }
            return Ok(());
        }
        if self.settings.exists() && !settings::is_settings(&self.settings) {
            bail!(
                "the model's settings would replace {}, which holds other things: choose another name for the model",
                self.settings.display()
            );
        }
        if !args.force {
            if let Some(file) = [&self.model, &self.settings]
                .into_iter()
                .find(|file| file.exists())
            {
                bail!(
                    "{} exists already: choose another name or add --force",
                    file.display()
                );
            }
            if self.checkpoint.exists() {
                bail!(
                    "{} is left of an interrupted training: go on with --resume, or start again with --force",
                    self.checkpoint.display()
                );
            }
        }
        Ok(())
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let category = args.data.as_deref().map(Category::open).transpose()?;
    let mut paths = match &category {
        Some(category) => category.train_good()?,
        None => Vec::new(),
    };
    if let (Some(list), Some(category)) = (&args.only, &category) {
        paths = listed(list, &category.root, &paths)?;
    }
    paths.truncate(args.limit.unwrap_or(usize::MAX));
    if let Some(own) = args.settings.baseline()? {
        return baseline::run(&args, own, category.as_ref(), &paths).await;
    }
    let name = category.as_ref().map_or("", |category| &category.name);
    let mut settings = args.settings.settings(name, &paths)?;
    let start_from = match &args.start_from {
        Some(path) => Some((path, load_model(path)?)),
        None => None,
    };
    if let Some((path, file)) = &start_from {
        let networks = file.header.networks().map_err(|err| err.in_file(path))?;
        let asked = settings.model.preset;
        if networks.preset != asked {
            eprintln!(
                "note: the networks keep the shape of {} (preset {}); the preset {} only says how they are trained",
                path.display(),
                networks.preset.id(),
                asked.id()
            );
        }
        settings.model = settings.model.with_networks_of(networks);
    }
    if let Some(format) = args.print_config {
        return show(&settings.to_text(format)?);
    }
    let (Some(category), Some(out)) = (category, args.out.clone()) else {
        bail!("--data and --out are needed to train");
    };
    let outputs = Outputs::new(out);
    outputs.check(&args)?;
    let settings_text = settings.to_text(Format::Toml)?;
    let Settings {
        model: model_config,
        training: config,
    } = settings;
    let teacher = load_teacher(model_config.teacher, args.teacher.as_deref())?;
    let loaded = load_all_good(&paths, model_config.input_size, model_config.fit)?;
    let (origins, files) = (loaded.origins, loaded.facts);
    let distinct: HashSet<&[u8]> = loaded.images.iter().map(|image| &**image).collect();
    if distinct.len() < loaded.images.len() {
        let copies = loaded.images.len() - distinct.len();
        eprintln!(
            "note: {copies} of the {} {} others: the model learns as much from {}",
            count(loaded.images.len(), "good image", "good images"),
            if copies == 1 {
                "is a copy of"
            } else {
                "are copies of"
            },
            distinct.len()
        );
    }
    let textures = load_textures(args.textures.as_deref(), model_config.input_size)?;
    let texture_name = match &args.textures {
        Some(path) => format!("the textures in {}", folder_name(path)),
        None => "built-in procedural textures".to_owned(),
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
    trainer.set_views(origins.len() as f32 / paths.len() as f32);
    if let Some((path, file)) = &start_from {
        trainer
            .start_from(&file.weights)
            .map_err(|err| err.in_file(path))?;
    }
    if let Some(path) = &args.student_from {
        let weights = load_model(path)?.weights;
        trainer
            .start_from_student(&weights)
            .map_err(|err| err.in_file(path))?;
    }
    if args.resume {
        resume(&mut trainer, &outputs.checkpoint)?;
    }
    let cost = Costs::of(&model_config).total();
    eprintln!(
        "training {} ({:.2} M parameters, {:.2} GMAC an image) on {} of {} with {texture_name}, on the {device_name}",
        model_config.preset.id(),
        cost.parameters as f64 / 1e6,
        cost.macs as f64 / 1e9,
        count(trainer.image_count(), "good image", "good images"),
        category.root.display()
    );
    if args.resume {
        eprintln!(
            "going on after step {} of {}",
            trainer.steps_done(),
            trainer.total_steps()
        );
    }
    let start = Instant::now();
    train(&mut trainer, &config, args.checkpoint_every, &outputs.checkpoint).await?;
    // calibrated is what the file will hold
    let trained = trainer.finish(args.precision).await?;
    let seconds = start.elapsed().as_secs_f64();
    for note in trained.notes() {
        eprintln!("note: {note}");
    }
    if let Some(calibration) = &trained.calibration {
        report(calibration);
        report_ready(calibration, trainer.image_count() + trainer.held_out_count());
        for outlier in trainer.outliers(calibration, usize::MAX).await? {
            eprintln!(
                "note: {} scores {:.3}, as defects do: if it is defective, train again without it",
                paths[origins[outlier.index]].display(),
                outlier.score
            );
        }
    }
    let record = TrainingRecord {
        data: category.name,
        images: trainer.image_count(),
        textures: texture_name,
        config,
        device: device_name,
        files,
    };
    let kind = model_config.teacher;
    let body = Body::Networks {
        config: model_config.into(),
        training: Some(record.into()),
    };
    let mut file = ModelFile::trained(body, trained)?;
    if kind != TeacherKind::EfficientnetLite0 {
        // this teacher is not shipped, so the file carries it
        file.weights.extend(teacher.prefixed(prefix::TEACHER));
    }
    write_file(&outputs.settings, settings_text.as_bytes())?;
    write_file(&outputs.model, &file.to_bytes(args.precision)?)?;
    if outputs.checkpoint.exists() {
        std::fs::remove_file(&outputs.checkpoint).map_err(Error::io("remove", &outputs.checkpoint))?;
    }
    eprintln!(
        "wrote {} and its settings {} after {seconds:.0} s",
        outputs.model.display(),
        outputs.settings.display()
    );
    Ok(())
}

/// Those of the `good` images that a list names, in the order of the folder.
fn listed(list: &Path, data: &Path, good: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let named: HashSet<PathBuf> = read_list(list, data)?.into_iter().collect();
    if let Some(other) = named.iter().find(|path| !good.contains(path)) {
        bail!(
            "{} names {}, which is not among the good images to train on",
            list.display(),
            other.display()
        );
    }
    Ok(good
        .iter()
        .filter(|path| named.contains(*path))
        .cloned()
        .collect())
}

/// What the model can be expected to do.
pub(super) fn report(calibration: &Calibration) {
    let quality = calibration.quality();
    let (least, most) = calibration.false_alarm_interval();
    eprintln!(
        "at the threshold {:.3} the model {}; with 95 % confidence {:.0} to {:.0} % of good parts are false alarms",
        calibration.image_threshold,
        quality.summary(),
        100.0 * least,
        100.0 * most
    );
    for kind in quality.by_kind() {
        eprintln!("  {kind}");
    }
}

/// Whether it is ready, and what to do if it is not.
fn report_ready(calibration: &Calibration, images: usize) {
    let quality = calibration.quality();
    if quality.ready {
        return;
    }
    eprintln!(
        "not ready: it finds at least {:.0} % of defects like the painted ones (90 % confidence), and {:.0} % are needed",
        100.0 * quality.least_found,
        100.0 * READY
    );
    for sentence in quality.advice(images, true) {
        eprintln!("  {sentence}");
    }
}

fn resume(trainer: &mut Trainer, checkpoint: &Path) -> Result<()> {
    let bytes = std::fs::read(checkpoint).map_err(Error::io("read", checkpoint))?;
    Ok(trainer.resume(&bytes).map_err(|err| err.in_file(checkpoint))?)
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
            if let Some(loss) = smooth.take() {
                bar.suspend(|| eprintln!("stage 1 done, cosine loss {loss:.4}"));
            }
            bar.set_prefix("stage 2");
            bar.set_length(config.segmentation.steps as u64);
            bar.reset();
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
    let stage = if config.segmentation.steps > 0 { 2 } else { 1 };
    if let Some(loss) = smooth {
        eprintln!("stage {stage} done, loss {loss:.4}");
    }
    Ok(())
}
