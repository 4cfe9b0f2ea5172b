//! `destseg predict`.

use std::borrow::Cow;
use std::io::{Cursor, IsTerminal as _, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ::image::{ImageBuffer, ImageFormat, Luma};
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;

use super::common::{
    DeviceArg, check_output, check_output_folder, load_detector, make_folder, open_device, write_file,
};
use super::inputs::{Input, inputs};
use super::names::{self, MAP, OVERLAY};
use super::number::{MOST, whole};
use super::opened::{incomplete, with_tiles};
use super::output::show;
use super::progress::Counter;
use super::threshold::ThresholdArgs;
use destseg_engine::data::facts::FileFacts;
use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::error::count;
use destseg_engine::evaluation::table::Table;
use destseg_engine::inspect::{Detection, Detector, Finding};
use destseg_engine::render::{ColorMap, overlay};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images to analyse; of a folder, all images below it. Patterns such as `*.png` may be quoted.
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
    /// Look at the image in overlapping tiles of so many pixels, for small defects in large images and models trained
    /// with `--fit tile`. 0, or no number, stands for the model's input size; a quarter of that is the least.
    #[arg(long, value_name = "PIXELS", num_args = 0..=1, default_missing_value = "0", value_parser = whole(0..=MOST))]
    tile: Option<usize>,
    /// Size of the raw map: that of the image, or as finely as the model sees it.
    #[arg(long, value_enum, default_value_t)]
    map_size: MapSize,
    /// Colours of the heat map.
    #[arg(long, value_enum, default_value = "turbo")]
    colors: ColorMap,
    /// Table to write with a row for each image.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
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
    /// Bytes of its path that are no UTF-8 are replaced.
    file: Cow<'a, str>,
    #[serde(flatten)]
    finding: Finding,
    milliseconds: f64,
    overlay: PathBuf,
    map: PathBuf,
}

/// The images of files and folders, in the order given; in place of a folder without images, why it gives none. Pictures
/// that an earlier run wrote into `output` are left out.
fn images_of(paths: &[PathBuf], output: &Path) -> Vec<Result<Input>> {
    let images = inputs(paths).into_iter();
    let is_output = |image: &Result<Input>| {
        image
            .as_ref()
            .is_ok_and(|own| names::is_output(&own.path, output))
    };
    let (own, images): (Vec<_>, Vec<_>) = images.partition(is_output);
    if !own.is_empty() {
        eprintln!(
            "note: {} of an earlier run in {} {} left out",
            count(own.len(), "picture", "pictures"),
            output.display(),
            if own.len() == 1 { "is" } else { "are" }
        );
    }
    images
}

/// A name for the outputs of each image; of those that an earlier run wrote, it is said how many are replaced.
fn names_of(images: &[Result<Input>], output: &Path) -> Vec<String> {
    let images: Vec<&Input> = images.iter().flatten().collect();
    let names = names::output_names(&images);
    let replaced = names::count_replaced(&names, output);
    if replaced > 0 {
        eprintln!(
            "note: {} of an earlier run in {} {} replaced",
            count(replaced, "result", "results"),
            output.display(),
            if replaced == 1 { "is" } else { "are" }
        );
    }
    names
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut images = images_of(&args.images, &args.output);
    if images.is_empty() {
        bail!(
            "{} holds nothing but pictures of an earlier run: give other images",
            args.output.display()
        );
    }
    if images.iter().all(Result::is_err) {
        return images.swap_remove(0).map(drop);
    }
    check_output_folder(&args.output)?;
    if let Some(path) = &args.csv {
        // its folder may be that of the other results
        make_folder(&args.output)?;
        check_output(path)?;
    }
    let (device, _) = open_device(args.device).await?;
    let mut detector = load_detector(&args.model, args.teacher.as_deref(), &device)?;
    if let Some(tile) = args.tile {
        detector = with_tiles(detector, tile, &args.model)?;
    }
    args.threshold.apply_to(&mut detector)?;
    if let Some(note) = incomplete(&detector, &args.model, args.teacher.as_deref()) {
        eprintln!("note: {}: {note}", args.model.display());
    }
    let facts: Vec<_> = images
        .iter()
        .map(|own| image::probe(&own.as_ref().ok()?.path))
        .collect();
    let files = FileFacts::of(facts.iter().flatten().copied());
    if let Some(note) = detector.note_on(files.as_ref()) {
        eprintln!("note: {note}");
    }
    make_folder(&args.output)?;
    let mut names = names_of(&images, &args.output).into_iter();
    let (mut failed, all) = (0, images.len());
    let (mut rows, mut reduced) = (Vec::new(), Vec::new());
    // where results are read on the screen, they show how far it is
    let mut counter = (!stdout().is_terminal()).then(|| Counter::new("analysing", "", all));
    for (done, (image, fact)) in images.into_iter().zip(facts).enumerate() {
        let (path, line) = match image {
            Ok(own) => {
                let name = names.next().unwrap_or_default();
                let line = predict(&args, &detector, &own.path, &name).await;
                (Some(own.path), line)
            }
            Err(err) => (None, Err(err)),
        };
        match line {
            Ok((line, row)) => {
                show(&line)?;
                rows.push(row);
                let size = fact.map(|(_, size)| size);
                let large = size.filter(|&(width, height)| image::is_large(width, height));
                reduced.extend(large.zip(path));
            }
            Err(err) if all == 1 => return Err(err),
            // one bad file must not cost the others their result
            Err(err) => {
                eprintln!("error: {err:#}");
                failed += 1;
                rows.extend(path.map(|path| failed_row(&path, &err)));
            }
        }
        if let Some(counter) = &mut counter {
            counter.show(done + 1, all);
        }
    }
    if let Some(counter) = counter {
        counter.finish();
    }
    if let Some(note) = note_reduced(&reduced) {
        eprintln!("note: {note}");
    }
    if let Some(path) = &args.csv {
        write_file(path, table(rows).as_bytes())?;
    }
    if failed > 0 {
        bail!("{failed} of {all} images could not be analysed");
    }
    Ok(())
}

/// What is to be known of images that were too large to be decoded as they are, with their width and height.
fn note_reduced(reduced: &[((u32, u32), PathBuf)]) -> Option<String> {
    let ((width, height), first) = reduced.first()?;
    let others = match reduced.len() - 1 {
        0 => String::new(),
        more => format!(" and {}", count(more, "other", "others")),
    };
    Some(format!(
        "{} ({width} x {height} pixels){others}: reduced while read, to at most {} megapixels; regions, heat map and size are \
         those of the smaller picture",
        first.display(),
        image::MAX_PIXELS / 1_000_000
    ))
}

/// Writes the pictures of an image under this name; returns its line of output, and its row of the table.
async fn predict(args: &Args, detector: &Detector, path: &Path, name: &str) -> Result<(String, Vec<String>)> {
    let image = image::read(path)?;
    let start = Instant::now();
    let detection = detector.detect(&image).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    let finding = detector.finding(&detection, image.dimensions());
    if let Some(difference) = finding.difference {
        eprintln!("note: {}: {}", path.display(), difference.note("the model"));
    }
    let line = Line {
        file: path.to_string_lossy(),
        finding,
        milliseconds,
        overlay: args.output.join(format!("{name}{OVERLAY}")),
        map: args.output.join(format!("{name}{MAP}")),
    };
    write_pictures(args, &image, &detection, &line, detector.hottest(&detection))?;
    Ok((serde_json::to_string(&line)? + "\n", line.row()))
}

/// What `--csv` says of each image.
const COLUMNS: [&str; 15] = [
    "file",
    "error",
    "verdict",
    "score",
    "threshold",
    "decision score",
    "certainty",
    "p-value",
    "difference",
    "distance",
    "distance limit",
    "width",
    "height",
    "regions",
    "milliseconds",
];

impl Line<'_> {
    fn row(&self) -> Vec<String> {
        let number = |value: Option<f32>| value.map_or_else(String::new, |value| value.to_string());
        // as in the line of JSON
        let word = |value: serde_json::Result<Value>| match value {
            Ok(Value::String(word)) => word,
            _ => String::new(),
        };
        let found = &self.finding;
        vec![
            self.file.to_string(),
            String::new(),
            word(serde_json::to_value(found.verdict)),
            found.score.to_string(),
            number(found.threshold),
            number(found.decision_score),
            word(serde_json::to_value(found.certainty)),
            number(found.p_value),
            word(serde_json::to_value(found.difference)),
            number(found.distance),
            number(found.distance_limit),
            found.width.to_string(),
            found.height.to_string(),
            found.instances.len().to_string(),
            format!("{:.1}", self.milliseconds),
        ]
    }
}

/// The row of an image that could not be analysed.
fn failed_row(path: &Path, reason: &anyhow::Error) -> Vec<String> {
    let mut row = vec![String::new(); COLUMNS.len()];
    row[0] = path.to_string_lossy().into_owned();
    row[1] = format!("{reason:#}");
    row
}

fn table(rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new(2, COLUMNS.map(str::to_owned).to_vec());
    rows.into_iter().for_each(|row| table.push(row));
    table.to_csv()
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
    if let Some(folder) = line.overlay.parent() {
        make_folder(folder)?;
    }
    write_file(&line.overlay, bytes.get_ref())?;
    let (map, white) = (detection.map(), line.finding.map_white);
    let raw = match args.map_size {
        MapSize::Model => raw_map(map, white)?,
        MapSize::Image => raw_map(&map.resize(width as usize, height as usize), white)?,
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
