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
    after_help = "The threshold and the record of the model's part follow the corrections at once. With --data the \
    segmentation network is trained further, too, on the corrected images and on samples of the good images as before. \
    The model file stays as it is, so nothing is lost: `destseg calibrate --restore` takes the threshold back."
)]
pub(super) struct Args {
    #[command(flatten)]
    files: RetrainArgs,
    /// Folder of images that are good, whatever the model says.
    #[arg(long, value_name = "DIR", required_unless_present = "defective")]
    good: Option<PathBuf>,
    /// Folder of images that have a defect.
    #[arg(long, value_name = "DIR")]
    defective: Option<PathBuf>,
    /// Folder of masks of the defective images, with the same names; without one the model's own map says where to look.
    #[arg(long, value_name = "DIR", requires = "defective")]
    masks: Option<PathBuf>,
    /// Train the segmentation network further, with the good images of this folder in MVTec layout as before.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Steps of the further training.
    #[arg(long, default_value_t = STEPS, requires = "data", value_parser = whole(1..=MOST_STEPS))]
    steps: usize,
}

/// A corrected image's file.
struct Marked {
    path: PathBuf,
    defective: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut file = args.files.open()?;
    let marked = marked(&args)?;
    let teacher = args.files.teacher(&file)?;
    let (device, _) = open_device(args.files.device).await?;
    let start = Instant::now();
    if let Some(data) = &args.data {
        train(&args, data, &marked, &mut file, (&teacher, &device)).await?;
    }
    let detector = methods::detector(&file, Some(&teacher), &device)?;
    let mut calibration = file.header.calibration.take().unwrap_or_default();
    let wrong_before = follow(&mut calibration, &detector, &marked).await?;
    report(&calibration);
    let wrong = marked.len() - right(&calibration);
    eprintln!(
        "of {} corrected images {wrong_before} were judged wrongly before the threshold moved, and {wrong} are now; {:.1} s",
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

/// Moves the threshold; returns how many verdicts were wrong before that.
async fn follow(calibration: &mut Calibration, detector: &Detector, marked: &[Marked]) -> Result<usize> {
    let threshold = calibration.image_threshold;
    let mut wrong = 0;
    for own in marked {
        let found = detector.detect(&image::read(&own.path)?).await?;
        let is_unfamiliar = detector.is_unfamiliar(found.distance, found.difference) == Some(true);
        wrong += usize::from(is_unfamiliar || (found.score >= threshold) != own.defective);
        calibration.correct(Correction {
            name: own.path.display().to_string(),
            defective: own.defective,
            score: found.score,
            distance: found.distance,
            difference: found.difference,
        });
    }
    Ok(wrong)
}

fn right(calibration: &Calibration) -> usize {
    let threshold = calibration.image_threshold;
    let right = |own: &&Correction| (own.score >= threshold) == own.defective;
    calibration.corrections.iter().filter(right).count()
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
