//! `destseg predict`.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::image::{ImageBuffer, ImageFormat, Luma};
use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::common::{
    DeviceArg, check_output_folder, load_detector, make_folder, open_device, output_name, write_file,
};
use super::number::{MOST, whole};
use super::output::show;
use super::threshold::ThresholdArgs;
use destseg_engine::config::InputLayout;
use destseg_engine::data::dataset::some_image_files;
use destseg_engine::data::facts::FileFacts;
use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::data::regions::{Instance, instances};
use destseg_engine::inspect::{Detection, Detector};
use destseg_engine::render::{ColorMap, overlay};
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::calibration::SetBy;
use destseg_engine::verdict::certainty::Certainty;
use destseg_engine::verdict::decision::Verdict;
use destseg_engine::verdict::difference::Difference;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images to analyse; of a folder, all images directly in it.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Model file.
    #[arg(short, long)]
    model: PathBuf,
    /// Folder for overlays and maps; made if it does not exist.
    #[arg(short, long)]
    output: PathBuf,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    #[command(flatten)]
    threshold: ThresholdArgs,
    /// Look at the image in overlapping tiles of so many pixels, for small defects in large images; the
    /// model's input size, unless given.
    #[arg(long, value_name = "PIXELS", num_args = 0..=1, default_missing_value = "0", value_parser = whole(0..=MOST))]
    tile: Option<usize>,
    /// Size of the raw map: that of the image, or as finely as the model sees it.
    #[arg(long, value_enum, default_value_t)]
    map_size: MapSize,
    /// Colours of the heat map.
    #[arg(long, value_enum, default_value = "turbo")]
    colors: ColorMap,
    /// Opacity of the heat map, from 0 to 1.
    #[arg(long, default_value_t = 0.5, value_parser = unit_interval)]
    opacity: f32,
}

/// `--map-size`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum MapSize {
    #[default]
    Image,
    Model,
}

fn unit_interval(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("give a number between 0 and 1".into()),
    }
}

/// One line of output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a Path,
    score: f32,
    dest_score: f32,
    /// The threshold in force, and who set it.
    threshold: Option<f32>,
    threshold_set: Option<SetBy>,
    /// The score on the scale on which the calibrated decision is at 0.5.
    decision_score: Option<f32>,
    verdict: Option<Verdict>,
    /// How sure the verdict about a defect is; none for an unfamiliar image.
    certainty: Option<Certainty>,
    /// The share of good images that score as high; see `Calibration::p_value`.
    p_value: Option<f32>,
    /// None where there is no verdict about a defect: without calibration, and for an unfamiliar image.
    defective: Option<bool>,
    /// How an unfamiliar image differs from the good ones.
    difference: Option<Difference>,
    /// Distance from the good images, and the one from which on an image is unfamiliar.
    distance: Option<f32>,
    distance_limit: Option<f32>,
    width: u32,
    height: u32,
    milliseconds: f64,
    overlay: PathBuf,
    map: PathBuf,
    /// Regions of the map above the pixel threshold, in pixels of the image.
    instances: Vec<Instance>,
    /// The map's value that is white in its picture.
    map_white: f32,
}

/// The images of files and folders, in the order given; in place of a folder without images, why it gives none.
fn images_of(paths: &[PathBuf]) -> Vec<Result<PathBuf>> {
    let images = paths.iter().flat_map(|path| match path.is_dir() {
        false => vec![Ok(path.clone())],
        true => match some_image_files(path) {
            Ok(files) => files.into_iter().map(Ok).collect(),
            Err(err) => vec![Err(err.into())],
        },
    });
    images.collect()
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut images = images_of(&args.images);
    if images.iter().all(Result::is_err) {
        return images.swap_remove(0).map(drop);
    }
    check_output_folder(&args.output)?;
    let (device, _) = open_device(args.device).await?;
    let mut detector = load_detector(&args.model, args.teacher.as_deref(), &device)?;
    if let Some(tile) = args.tile {
        let own = detector.input_size();
        if detector.fit() != InputLayout::Tile {
            eprintln!(
                "note: {} was not trained on tiles, which show the part larger: expect `unfamiliar`, or train a model with \
                 `--fit tile`",
                args.model.display()
            );
        }
        detector = detector.with_tiles(if tile == 0 { own } else { tile });
    }
    args.threshold.apply_to(&mut detector)?;
    if detector.familiarity().is_none() {
        eprintln!(
            "note: {} cannot tell whether an image shows the part it knows: make it learn that from good images with \
             `destseg calibrate`",
            args.model.display()
        );
    }
    let files = FileFacts::probe(images.iter().flatten());
    if let Some(note) = detector.note_on(files.as_ref()) {
        eprintln!("note: {note}");
    }
    make_folder(&args.output)?;
    let mut taken = Vec::new();
    let (mut failed, count) = (0, images.len());
    for image in images {
        let line = match image {
            Ok(path) => predict(&args, &detector, &path, &mut taken).await,
            Err(err) => Err(err),
        };
        match line {
            Ok(line) => show(&line)?,
            Err(err) if count == 1 => return Err(err),
            // one bad file must not cost the others their result
            Err(err) => {
                eprintln!("error: {err:#}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {count} images could not be analysed");
    }
    Ok(())
}

/// Writes the pictures of an image; returns its line of output.
async fn predict(args: &Args, detector: &Detector, path: &Path, taken: &mut Vec<String>) -> Result<String> {
    let image = image::read(path)?;
    let start = Instant::now();
    let detection = detector.detect(&image).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let name = output_name(path, taken);
    let calibration = detector.calibration();
    let thresholds = calibration.map(Calibration::thresholds);
    let verdict = detector.verdict(&detection);
    let difference = detection
        .difference
        .filter(|_| verdict == Some(Verdict::Unfamiliar));
    if let Some(difference) = difference {
        eprintln!("note: {}: {}", path.display(), difference.note("the model"));
    }
    let line = Line {
        file: path,
        score: detection.score,
        dest_score: detection.dest_score,
        threshold: thresholds.map(|own| own.image),
        threshold_set: calibration.map(|own| own.set_by),
        decision_score: thresholds.map(|own| own.decision_score(detection.score)),
        verdict,
        certainty: calibration
            .filter(|_| verdict != Some(Verdict::Unfamiliar))
            .map(|own| own.certainty(detection.score)),
        p_value: calibration.map(|own| own.p_value(detection.score)),
        defective: verdict
            .filter(|&own| own != Verdict::Unfamiliar)
            .map(|own| own == Verdict::Defective),
        difference,
        distance: detection.distance,
        distance_limit: detector.familiarity().map(|own| own.record().limit),
        width: image.width(),
        height: image.height(),
        milliseconds,
        overlay: args.output.join(format!("{name}.overlay.png")),
        map: args.output.join(format!("{name}.map.png")),
        instances: thresholds.map_or_else(Vec::new, |own| {
            instances(detection.map(), own.pixel, image.dimensions())
        }),
        // a probability's scale is fixed; products of distances have no upper end of their own
        map_white: match &detection.segmentation {
            Some(_) => 1.0,
            None => detection.dest.maximum(),
        },
    };
    // without a fixed scale, the threshold is in the middle of the colours
    let hottest = match (&detection.segmentation, thresholds) {
        (None, Some(own)) => 2.0 * own.pixel,
        _ => line.map_white,
    };
    write_pictures(args, &image, &detection, &line, hottest)?;
    Ok(serde_json::to_string(&line)? + "\n")
}

fn write_pictures(
    args: &Args,
    image: &RgbImage,
    detection: &Detection,
    line: &Line<'_>,
    hottest: f32,
) -> Result<()> {
    let (width, height) = image.dimensions();
    let pixels = overlay(
        image.as_raw(),
        width as usize,
        height as usize,
        detection.map(),
        args.colors,
        (0.0, hottest),
        args.opacity,
    );
    let picture = RgbImage::from_raw(width, height, pixels).context("the overlay has a wrong size")?;
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    write_file(&line.overlay, bytes.get_ref())?;
    let map = detection.map();
    let raw = match args.map_size {
        MapSize::Model => raw_map(map, line.map_white)?,
        MapSize::Image => raw_map(&map.resize(width as usize, height as usize), line.map_white)?,
    };
    write_file(&line.map, &raw)
}

/// The map as 16-bit grey PNG: 65535 is the value `white`.
fn raw_map(map: &AnomalyMap, white: f32) -> Result<Vec<u8>> {
    let full = f32::from(u16::MAX) / white.max(f32::MIN_POSITIVE);
    let values: Vec<u16> = map
        .values()
        .iter()
        .map(|v| (v.clamp(0.0, white) * full).round() as u16)
        .collect();
    let (width, height) = (u32::try_from(map.width())?, u32::try_from(map.height())?);
    let picture: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_raw(width, height, values).context("the map has a wrong size")?;
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}
