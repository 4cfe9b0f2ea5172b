//! `destseg train`.

mod outputs;
mod progress;
mod steps;

use std::any::TypeId;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::FromArgMatches as _;

use crate::cli::baseline;
use crate::cli::common::{
    DeviceArg, folder_name, load_all_good, load_model, load_teacher, load_textures, note_unreadable,
    open_device, read_list, write_file,
};
use crate::cli::interrupt;
use crate::cli::number::{MOST, whole};
use crate::cli::output::show;
use crate::cli::settings::{self, Format, SettingsText as _};
use destseg_engine::Error;
use destseg_engine::arch::cost::Costs;
use destseg_engine::arch::prefix;
use destseg_engine::config::{MOST_STEPS, ModelConfig, Preset, STANDARD_INPUT_SIZE, Settings, TeacherKind};
use destseg_engine::data::dataset::Category;
use destseg_engine::data::image::RgbImage;
use destseg_engine::error::count;
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{Body, ModelFile, TrainingRecord};
use destseg_engine::synthesis::Synthesiser;
use destseg_engine::train::{Trained, Trainer};
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::quality::READY;

pub(super) use outputs::Outputs;
use progress::Progress;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long, required_unless_present = "print_config")]
    data: Option<PathBuf>,
    /// Model file to write; its settings go beside it, as OUT with the ending .toml.
    #[arg(short, long, required_unless_present = "print_config")]
    pub(in crate::cli) out: Option<PathBuf>,
    #[command(flatten)]
    settings: settings::Args,
    /// Folder of texture images (such as DTD) for the synthetic defects; without it, built-in
    /// procedural textures.
    #[arg(long)]
    pub(in crate::cli) textures: Option<PathBuf>,
    /// Teacher file; the compact preset has its own built in.
    #[arg(long)]
    pub(in crate::cli) teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) device: DeviceArg,
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
    pub(in crate::cli) precision: Precision,
    /// Print all settings and stop.
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "toml")]
    pub(in crate::cli) print_config: Option<Format>,
    /// Keep the state of the training beside the model file every so many steps; 0 keeps none.
    #[arg(long, value_name = "STEPS", default_value_t = 100, value_parser = whole(0..=MOST_STEPS))]
    checkpoint_every: usize,
    /// Resume an interrupted training from OUT.checkpoint.
    #[arg(long)]
    pub(in crate::cli) resume: bool,
    /// Replace an existing model file.
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Stop as after Ctrl-C when standard input ends: for `sweep` and `bench`.
    #[arg(long, hide = true)]
    stop_with_input: bool,
}

/// Refuses flags that a training does not take, or whose settings are impossible.
pub(in crate::cli) fn check_flags(flags: &[String]) -> Result<()> {
    /// A line that needs nothing but flags.
    const LINE: &str = "destseg train --data DATA --out OUT --seed 0 --device cpu";
    let is_given = |flag: &&String| {
        let name = flag.split_once('=').map_or(flag.as_str(), |(name, _)| name);
        name.starts_with("--") && LINE.split(' ').any(|own| own == name)
    };
    if let Some(flag) = flags.iter().find(is_given) {
        bail!(
            "flags for `destseg train`: {flag} is chosen by this command itself, see its --help: leave it out after the two dashes"
        );
    }
    let line = LINE.split(' ').chain(flags.iter().map(String::as_str));
    let matches = crate::cli::command().try_get_matches_from(line);
    let parsed = matches.and_then(|all| match all.subcommand() {
        Some((_, own)) => Args::from_arg_matches(own),
        None => Args::from_arg_matches(&all),
    });
    let args = parsed.map_err(|err| {
        let text = err.to_string();
        let reason = text.lines().next().unwrap_or_default();
        anyhow!(
            "flags for `destseg train`: {}",
            reason.trim_start_matches("error: ")
        )
    })?;
    if args.settings.baseline()?.is_none() {
        args.settings.settings("", &[])?;
    }
    Ok(())
}

/// The places of the files and folders that flags for a training name, with the length of what stands before the path.
pub(in crate::cli) fn paths_in(flags: &[String]) -> Vec<(usize, usize)> {
    let command = crate::cli::command();
    let takes_path = |name: &str| {
        let train = command.find_subcommand("train");
        let mut known = train.into_iter().flat_map(clap::Command::get_arguments);
        known.any(|arg| {
            arg.get_long() == Some(name) && arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
        })
    };
    let mut places = Vec::new();
    for (place, flag) in flags.iter().enumerate() {
        let Some(name) = flag.strip_prefix("--") else {
            continue;
        };
        match name.split_once('=') {
            Some((name, _)) if takes_path(name) => places.push((place, "--=".len() + name.len())),
            None if takes_path(name) && place + 1 < flags.len() => places.push((place + 1, 0)),
            _ => {}
        }
    }
    places
}

pub(in crate::cli) async fn run(args: Args) -> Result<()> {
    if args.stop_with_input {
        interrupt::stop_with_input();
    }
    let category = args.data.as_deref().map(Category::open).transpose()?;
    let mut paths = match &category {
        Some(category) => category.train_good()?,
        None => Vec::new(),
    };
    if let (Some(list), Some(category)) = (&args.only, &category) {
        paths = listed(list, &category.root, &paths)?;
    }
    if let Some(category) = &category {
        note_unreadable(&category.root);
    }
    paths.truncate(args.limit.unwrap_or(usize::MAX));
    if let Some(own) = args.settings.baseline()? {
        return baseline::run(&args, own, category.as_ref(), &paths).await;
    }
    let name = category.as_ref().map_or("", |category| &category.name);
    let mut settings = args.settings.settings(name, &paths)?;
    let start_from = match &args.start_from {
        Some(path) => Some(start_from(path, &mut settings.model)?),
        None => None,
    };
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
    if let Some(own) = args.settings.suggested(&paths)
        && own.preset == Preset::Standard
        && model_config.input_size == STANDARD_INPUT_SIZE
    {
        eprintln!(
            "note: the input has {} --preset compact is faster.",
            own.reason().concat()
        );
    }
    note_copies(&loaded.images);
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
    if let (Some(path), Some(file)) = (&args.start_from, &start_from) {
        trainer
            .start_from(&file.weights)
            .map_err(|err| err.in_file(path))?;
    }
    if let Some(path) = &args.student_from {
        let file = load_model(path)?;
        file.header.networks().map_err(|err| err.in_file(path))?;
        trainer
            .start_from_student(&file.weights)
            .map_err(|err| err.in_file(path))?;
    }
    if args.resume {
        steps::resume(&mut trainer, &outputs.checkpoint)?;
    }
    let costs = Costs::of(&model_config);
    let cost = costs.total();
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
    let progress = Progress::new(trainer.steps_done(), &config, &costs);
    steps::train(&mut trainer, progress, args.checkpoint_every, &outputs.checkpoint).await?;
    if trainer.held_out_count() > 0 {
        eprintln!("measuring the thresholds on the held-out images");
    }
    // calibrated is what the file will hold
    let trained = trainer.finish(args.precision).await?;
    let seconds = start.elapsed().as_secs_f64();
    report_trained(&trainer, &trained, |index| &paths[origins[index]]).await?;
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

/// The model to start from, whose networks keep their shape.
fn start_from(path: &Path, model: &mut ModelConfig) -> Result<ModelFile> {
    let file = load_model(path)?;
    let networks = file.header.networks().map_err(|err| err.in_file(path))?;
    if networks.teacher != model.teacher {
        eprintln!(
            "note: the networks keep the shape of {} (preset {}); the preset {} only says how they are trained",
            path.display(),
            networks.preset.id(),
            model.preset.id()
        );
    }
    *model = model.with_networks_of(networks);
    Ok(file)
}

/// Says how many of the good images are copies.
fn note_copies(images: &[RgbImage]) {
    let distinct: HashSet<&[u8]> = images.iter().map(|image| &**image).collect();
    let copies = images.len() - distinct.len();
    if copies > 0 {
        eprintln!(
            "note: {copies} of the {} {} others: the model learns as much from {}",
            count(images.len(), "good image", "good images"),
            if copies == 1 {
                "is a copy of"
            } else {
                "are copies of"
            },
            distinct.len()
        );
    }
}

/// Says what the model can be expected to do, and which of the good images look defective. `path` is the file of an
/// image.
async fn report_trained<'a>(
    trainer: &Trainer,
    trained: &Trained,
    path: impl Fn(usize) -> &'a PathBuf,
) -> Result<()> {
    for note in trained.notes() {
        eprintln!("note: {note}");
    }
    let Some(calibration) = &trained.calibration else {
        return Ok(());
    };
    report(calibration);
    report_ready(calibration, trainer.image_count() + trainer.held_out_count());
    for outlier in trainer.outliers(calibration, usize::MAX).await? {
        eprintln!(
            "note: {} scores {:.3}, as defects do: if it is defective, train again without it",
            path(outlier.index).display(),
            outlier.score
        );
    }
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
pub(in crate::cli) fn report(calibration: &Calibration) {
    report_as(calibration, &calibration.quality().summary());
}

/// The same, with another sentence about the images that were looked at.
pub(in crate::cli) fn report_as(calibration: &Calibration, summary: &str) {
    let (least, most) = calibration.false_alarm_interval();
    eprintln!(
        "at the threshold {:.3} the model {summary}; with 95 % confidence {:.0} to {:.0} % of good parts are false alarms",
        calibration.image_threshold,
        100.0 * least,
        100.0 * most
    );
    for kind in calibration.quality().by_kind() {
        eprintln!("  {kind}");
    }
}

/// Whether it is ready, and what to do if it is not.
pub(in crate::cli) fn report_ready(calibration: &Calibration, images: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_name_files_are_found() {
        let flags = "--batch 2 --textures dtd --config=a.toml --precision f16 --start-from";
        let flags: Vec<String> = flags.split(' ').map(str::to_owned).collect();
        assert_eq!(paths_in(&flags), [(3, 0), (4, "--config=".len())]);
    }
}
