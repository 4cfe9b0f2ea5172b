//! `destseg correct`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::common::{note_unreadable, open_device};
use super::number::whole;
use super::retrain::{RetrainArgs, take};
use super::train::report;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{MOST_STEPS, ModelConfig, Preset, Schedule, TrainConfig};
use destseg_engine::data::dataset::some_image_files;
use destseg_engine::data::image::{self, GrayImage};
use destseg_engine::data::{labelled, mask};
use destseg_engine::error::count;
use destseg_engine::inspect::Detector;
use destseg_engine::methods;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::train::{CorrectedImage, LEARNING_RATE, STEPS, suspected};
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::corrections::{Correction, fingerprint};

/// Images that a note names.
const NAMED: usize = 5;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The model remembers how the decisive places of the corrected images look: places like those of a false \
    alarm count less from then on, places like a marked defect more. Threshold and record of the model's part follow, too. \
    All that takes seconds and is in the model file, so --take-back and --undo take it back exactly. With --data the \
    segmentation network is trained further before, on the corrected images and on samples of the good images; that \
    cannot be taken back."
)]
pub(super) struct Args {
    #[command(flatten)]
    files: RetrainArgs,
    /// Folder of images that are good, whatever the model says.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["defective", "take_back", "undo"])]
    good: Option<PathBuf>,
    /// Folder of images that have a defect.
    #[arg(long, value_name = "DIR")]
    defective: Option<PathBuf>,
    /// Folder of masks of the defective images, with the same names: without them the model cannot remember how the
    /// defects look.
    #[arg(long, value_name = "DIR", requires = "defective")]
    masks: Option<PathBuf>,
    /// Train the segmentation network further, with the good images of this folder in MVTec layout as before.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Steps of the further training.
    #[arg(long, default_value_t = STEPS, requires = "data", value_parser = whole(1..=MOST_STEPS))]
    steps: usize,
    /// Take back what was said about an image, named as it was given; may be repeated.
    #[arg(long, value_name = "IMAGE")]
    take_back: Vec<PathBuf>,
    /// Take back all corrections.
    #[arg(long, conflicts_with_all = ["good", "defective", "take_back", "data"])]
    undo: bool,
}

/// A corrected image.
struct Marked {
    path: PathBuf,
    fingerprint: String,
    defective: bool,
}

impl Marked {
    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut file = args.files.open()?;
    take_back(&args, &mut file)?;
    if args.good.is_none() && args.defective.is_none() {
        return args.files.write(&file);
    }
    let marked = marked(&args)?;
    let teacher = args.files.teacher(&file)?;
    let (device, _) = open_device(args.files.device).await?;
    let start = Instant::now();
    if let Some(data) = &args.data {
        train(&args, data, &marked, &mut file, (&teacher, &device)).await?;
    }
    let mut detector = methods::detector(&file, Some(&teacher), &device)?;
    let Some(mut calibration) = file.header.calibration.take() else {
        bail!(
            "{} has no threshold to correct: calibrate it first, with `destseg calibrate`",
            args.files.model.display()
        );
    };
    let wrong_before = follow(&args, &mut calibration, &mut detector, &marked).await?;
    report(&calibration);
    let wrong = calibration.not_followed();
    let of_these = |own: &&&Correction| marked.iter().any(|marked| marked.name() == own.name);
    eprintln!(
        "of {} {wrong_before} {} judged wrongly before, {} {} now; {:.1} s",
        count(marked.len(), "corrected image", "corrected images"),
        if wrong_before == 1 { "was" } else { "were" },
        wrong.iter().filter(of_these).count(),
        if wrong.iter().filter(of_these).count() == 1 {
            "is"
        } else {
            "are"
        },
        start.elapsed().as_secs_f64()
    );
    if let Some(text) = calibration.contradiction() {
        eprintln!("note: {text}");
        for own in wrong.iter().take(NAMED) {
            eprintln!(
                "  {} scores {:.3}, the threshold is {:.3}",
                own.name,
                own.score_after.unwrap_or(own.score),
                calibration.image_threshold
            );
        }
    }
    file.header.calibration = Some(calibration);
    args.files.write(&file)
}

/// The images of both folders. One that lies in both contradicts itself.
fn marked(args: &Args) -> Result<Vec<Marked>> {
    let mut all: Vec<Marked> = Vec::new();
    for (folder, defective) in [(&args.good, false), (&args.defective, true)] {
        let Some(folder) = folder else { continue };
        note_unreadable(folder);
        for path in some_image_files(folder)? {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let fingerprint = fingerprint(&bytes);
            if let Some(other) = all.iter().find(|other| other.fingerprint == fingerprint)
                && other.defective != defective
            {
                bail!(
                    "{} and {} are the same image, once said to be good and once defective: remove one of them",
                    other.path.display(),
                    path.display()
                );
            }
            all.push(Marked {
                path,
                fingerprint,
                defective,
            });
        }
    }
    Ok(all)
}

/// Takes back what is to be.
fn take_back(args: &Args, file: &mut ModelFile) -> Result<()> {
    if !args.undo && args.take_back.is_empty() {
        return Ok(());
    }
    let model = args.files.model.display();
    let calibration = file.header.calibration.as_mut();
    let Some(own) = calibration.filter(|own| !own.corrections.is_empty()) else {
        bail!("{model} has no corrections to take back");
    };
    if args.undo {
        let all = own.corrections.len();
        own.take_all_back();
        eprintln!("took back {}", count(all, "correction", "corrections"));
    }
    for image in &args.take_back {
        let given = image.display().to_string();
        let name = given.strip_prefix("./").unwrap_or(&given);
        let found = std::fs::read(image).ok().map(|bytes| fingerprint(&bytes));
        // the file may have been saved anew
        let is_found = own.take_back(name, found.as_deref())
            || own.take_back_named(name)
            || own.take_back_named(&given)
            || own.take_back_named(&format!("./{name}"));
        if !is_found {
            let names: Vec<&str> = own.corrections.iter().map(|own| &*own.name).collect();
            bail!(
                "nothing was said about {name}: corrected are {}",
                names.join(", ")
            );
        }
    }
    Ok(())
}

/// Takes in the corrections, and looks at the images again with them; returns how many verdicts were wrong before.
async fn follow(
    args: &Args,
    calibration: &mut Calibration,
    detector: &mut Detector,
    marked: &[Marked],
) -> Result<usize> {
    let threshold = calibration.image_threshold;
    let mut wrong = 0;
    let mut foreign = Vec::new();
    let mut corrections = Vec::new();
    let mut changed = 0;
    for own in marked {
        let image = image::read(&own.path)?;
        let found = detector.detect(&image).await?;
        if detector.is_beyond(found.distance, found.difference) {
            foreign.push(own);
        }
        let is_unfamiliar = detector.is_unfamiliar(found.distance, found.difference) == Some(true);
        wrong += usize::from(is_unfamiliar || (found.score >= threshold) != own.defective);
        let mask = match own.defective {
            true => mask_of(args, &own.path)?.map(|mask| detector.mask_pixels(&mask)),
            false => None,
        };
        let before = calibration.correction(&own.name(), Some(&own.fingerprint));
        changed += usize::from(before.is_some_and(|before| before.defective != own.defective));
        corrections.push(Correction {
            name: own.name(),
            fingerprint: Some(own.fingerprint.clone()),
            defective: own.defective,
            score: found.plain_score,
            distance: found.distance,
            difference: found.difference,
            places: detector.places(&found, mask.as_deref(), own.defective),
            score_after: None,
        });
    }
    if let Some(first) = foreign.first() {
        bail!(
            "{} of {} another part than the model's, the first is {}: leave them out, or train a model on that part",
            foreign.len(),
            count(marked.len(), "image shows", "images show"),
            first.path.display()
        );
    }
    if changed > 0 {
        eprintln!(
            "note: of {} the opposite was said before; what is said now counts",
            count(changed, "image", "images")
        );
    }
    calibration.correct(corrections);
    // where something is no longer known for the model's part after that, the maps stay
    detector.set_calibration(Some(calibration.clone()));
    for own in marked {
        let found = detector.detect(&image::read(&own.path)?).await?;
        calibration.settle(&own.name(), Some(&own.fingerprint), found.score);
    }
    Ok(wrong)
}

/// Trains the segmentation network further.
async fn train(
    args: &Args,
    data: &Path,
    marked: &[Marked],
    file: &mut ModelFile,
    (teacher, device): (&Weights, &Device),
) -> Result<()> {
    let model = &args.files.model;
    let is_trainable = |networks: &ModelConfig| networks.segmentation.is_some();
    if !file.header.networks().is_ok_and(is_trainable) {
        bail!(
            "{} has no segmentation network to train further: leave out --data",
            model.display()
        );
    }
    let detector = methods::detector(file, Some(teacher), device)?;
    let corrected = corrected(args, &detector, marked).await?;
    let mut trainer = args.files.trainer(file, data, (teacher, device), |config| {
        config.student.steps = 0;
        if config.held_out == 0.0 {
            config.held_out = TrainConfig::preset(Preset::Compact).held_out;
        }
        let stage = &mut config.segmentation;
        stage.steps = args.steps;
        stage.learning_rate = LEARNING_RATE;
        stage.head_learning_rate = LEARNING_RATE;
        stage.schedule = Schedule::Cosine;
    })?;
    trainer.set_corrected(corrected);
    while trainer.step().await?.is_some() {}
    let trained = trainer.finish(None).await?;
    let before = std::mem::replace(&mut file.header.calibration, trained.calibration.clone());
    take(file, trained);
    if let (Some(before), Some(own)) = (before, &mut file.header.calibration) {
        if let Some(share) = before.promised() {
            own.promise(share);
        }
        if !before.corrections.is_empty() {
            eprintln!(
                "note: {} of before left out, because the trained network sees their images otherwise: give them again",
                count(before.corrections.len(), "correction is", "corrections are")
            );
        }
    }
    Ok(())
}

/// The corrected images as the network sees them, and where their defects are.
async fn corrected(args: &Args, detector: &Detector, marked: &[Marked]) -> Result<Vec<CorrectedImage>> {
    let side = detector.input_size();
    let mut all = Vec::new();
    for own in marked {
        let image = image::read(&own.path)?;
        let (view, is_whole) = detector.first_view(&image);
        let mask = match own.defective {
            true => mask_of(args, &own.path)?,
            false => None,
        };
        let mask = match (own.defective, mask) {
            (false, _) => vec![0; side * side],
            (true, Some(mask)) if is_whole => {
                let truth = mask::truth(&mask, side)?;
                truth.into_iter().map(u8::from).collect()
            }
            (true, _) => suspected(
                &detector
                    .detect_pixels(&image::to_f32(&view))
                    .await?
                    .map()
                    .resize(side, side),
            ),
        };
        all.push(CorrectedImage {
            image: Arc::new(view),
            mask,
        });
    }
    Ok(all)
}

/// The mask of a defective image, at the image's size, if there is one.
fn mask_of(args: &Args, image: &Path) -> Result<Option<GrayImage>> {
    let Some(folder) = &args.masks else {
        return Ok(None);
    };
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let own = stem(image).unwrap_or_default();
    let files = some_image_files(folder)?;
    let find = |is_own: &dyn Fn(&str) -> bool| {
        files
            .iter()
            .find(|mask| stem(mask).is_some_and(|mask| is_own(&mask)))
    };
    // an image's own name may end like a mask's
    let found = find(&|mask| mask == own).or_else(|| find(&|mask| labelled::image_stem(mask) == own));
    let Some(path) = found.cloned() else {
        bail!(
            "{} has no mask in {}: give one of the same name, or with _mask behind",
            image.display(),
            folder.display()
        );
    };
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let upright = image::decode(&bytes).map_err(|err| err.in_file(image))?;
    let size = upright.dimensions();
    let read = mask::read(&path)?;
    if !mask::marks_anything(&read) {
        bail!(
            "the mask {} is black all over: paint the defect white",
            path.display()
        );
    }
    let fitted = mask::fit(read, size, image::orientation(&bytes)).map_err(|err| err.in_file(&path))?;
    Ok(Some(mask::resized(&fitted, size)))
}
