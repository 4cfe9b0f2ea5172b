//! `destseg correct`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::common::open_device;
use super::number::whole;
use super::retrain::{RetrainArgs, take};
use super::train::report;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{MOST_STEPS, Schedule};
use destseg_engine::data::dataset::image_files;
use destseg_engine::data::image;
use destseg_engine::inspect::Detector;
use destseg_engine::methods;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::train::{CorrectedImage, LEARNING_RATE, STEPS, suspected};
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::corrections::Correction;

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
    #[arg(long, conflicts_with_all = ["good", "defective", "take_back"])]
    undo: bool,
}

/// A corrected image's file.
struct Marked {
    path: PathBuf,
    defective: bool,
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
    let detector = methods::detector(&file, Some(&teacher), &device)?;
    let mut calibration = file.header.calibration.take().unwrap_or_default();
    let wrong_before = follow(&args, &mut calibration, &detector, &marked).await?;
    report(&calibration);
    eprintln!(
        "{wrong_before} of {} corrected images were judged wrongly; {:.1} s",
        marked.len(),
        start.elapsed().as_secs_f64()
    );
    if let Some(text) = calibration.contradiction() {
        eprintln!("note: {text}");
    }
    file.header.calibration = Some(calibration);
    args.files.write(&file)
}

/// The images of both folders. One that lies in both contradicts itself.
fn marked(args: &Args) -> Result<Vec<Marked>> {
    let mut all: Vec<Marked> = Vec::new();
    for (folder, defective) in [(&args.good, false), (&args.defective, true)] {
        for path in folder
            .iter()
            .map(|folder| image_files(folder))
            .collect::<Result<Vec<_>, _>>()?
            .concat()
        {
            all.push(Marked { path, defective });
        }
    }
    if all.is_empty() {
        bail!("there are no images in the folders of --good and --defective: put the corrected images there");
    }
    let mut contents: Vec<(Vec<u8>, &Marked)> = Vec::new();
    for own in &all {
        let bytes =
            std::fs::read(&own.path).with_context(|| format!("cannot read {}", own.path.display()))?;
        if let Some((_, other)) = contents.iter().find(|(other, _)| *other == bytes)
            && other.defective != own.defective
        {
            bail!(
                "{} and {} are the same image, once said to be good and once defective: remove one of them",
                other.path.display(),
                own.path.display()
            );
        }
        contents.push((bytes, own));
    }
    Ok(all)
}

/// Takes back what is to be.
fn take_back(args: &Args, file: &mut ModelFile) -> Result<()> {
    let calibration = &mut file.header.calibration;
    if args.undo
        && let Some(own) = calibration
    {
        own.take_all_back();
    }
    for image in &args.take_back {
        let name = image.display().to_string();
        if !calibration.as_mut().is_some_and(|own| own.take_back(&name)) {
            bail!(
                "nothing was said about {name}: corrected are {}",
                calibration
                    .iter()
                    .flat_map(|own| &own.corrections)
                    .map(|own| &*own.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
    }
    Ok(())
}

/// Takes in the corrections; returns how many verdicts were wrong before that.
async fn follow(
    args: &Args,
    calibration: &mut Calibration,
    detector: &Detector,
    marked: &[Marked],
) -> Result<usize> {
    let threshold = calibration.image_threshold;
    let mut wrong = 0;
    let mut corrections = Vec::new();
    for own in marked {
        let image = image::read(&own.path)?;
        let found = detector.detect(&image).await?;
        let is_unfamiliar = detector.is_unfamiliar(found.distance, found.difference) == Some(true);
        wrong += usize::from(is_unfamiliar || (found.score >= threshold) != own.defective);
        let mask = match own.defective {
            true => mask_of(args, &own.path)?.map(|mask| detector.mask_pixels(&mask)),
            false => None,
        };
        corrections.push(Correction {
            name: own.path.display().to_string(),
            defective: own.defective,
            score: found.plain_score,
            distance: found.distance,
            difference: found.difference,
            places: detector.places(&found, mask.as_deref(), own.defective),
        });
    }
    calibration.correct(corrections);
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
    let networks = file.header.networks().map_err(|err| err.in_file(model))?;
    if networks.segmentation.is_none() {
        bail!(
            "{} has no segmentation network to train further: leave out --data",
            model.display()
        );
    }
    let detector = methods::detector(file, Some(teacher), device)?;
    let corrected = corrected(args, &detector, marked).await?;
    let mut trainer = args.files.trainer(file, data, (teacher, device), |config| {
        config.student.steps = 0;
        let stage = &mut config.segmentation;
        stage.steps = args.steps;
        stage.learning_rate = LEARNING_RATE;
        stage.head_learning_rate = LEARNING_RATE;
        stage.schedule = Schedule::Cosine;
    })?;
    trainer.set_corrected(corrected);
    while trainer.step().await?.is_some() {}
    let trained = trainer.finish(args.files.precision).await?;
    file.header.calibration.clone_from(&trained.calibration);
    take(file, trained);
    Ok(())
}

/// The corrected images as the network sees them, and where their defects are.
async fn corrected(args: &Args, detector: &Detector, marked: &[Marked]) -> Result<Vec<CorrectedImage>> {
    let side = detector.input_size();
    let mut all = Vec::new();
    for own in marked {
        let image = image::read(&own.path)?;
        let (view, is_whole) = detector.first_view(&image);
        let mask = match (own.defective, mask_of(args, &own.path)?) {
            (false, _) => vec![0; side * side],
            (true, Some(mask)) if is_whole => {
                let mask = image::resize_mask(&mask, side, side);
                mask.into_iter().map(u8::from).collect()
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

/// The mask of a defective image, if there is one.
fn mask_of(args: &Args, image: &Path) -> Result<Option<image::GrayImage>> {
    let Some(folder) = &args.masks else {
        return Ok(None);
    };
    let masks = image_files(folder)?;
    let own = masks.iter().find(|mask| mask.file_stem() == image.file_stem());
    let Some(own) = own else {
        bail!(
            "{} has no mask of the same name in {}",
            image.display(),
            folder.display()
        );
    };
    Ok(Some(image::read_mask(own)?))
}
