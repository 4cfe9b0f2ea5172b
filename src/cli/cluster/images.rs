//! Images of a set in chunks: what is planned, and how a chunk is measured.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::files::{blob, put_blob};
use super::source::{Planned, Source};
use super::store::Store;
use super::unit::Unit;
use super::{Named, Storage, read};
use crate::cli::common::{DeviceArg, load_detector, open_device, write_file};
use crate::cli::number::{MOST, whole};
use destseg_engine::Error;
use destseg_engine::data::annotations::MarkFile;
use destseg_engine::data::labelled::{self, Class, LabelledSet};
use destseg_engine::error::count;
use destseg_engine::evaluation::{Prediction, Session, Subject};

/// What `destseg plan eval` is given.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// Images: a folder or `s3://BUCKET/PREFIX`. One in MVTec layout is evaluated, any other gives a row of scores for each image.
    #[arg(long, value_name = "PLACE")]
    data: String,
    /// Model file.
    #[arg(short, long)]
    model: PathBuf,
    /// Teacher file, where the model needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Images of a unit.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole(1..=MOST))]
    chunk: usize,
}

/// Images that one worker measures.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Where the images are.
    data: String,
    /// SHA-256 of the model's file and of the teacher's.
    pub(super) model: String,
    pub(super) teacher: Option<String>,
    /// Index of the first image in the set.
    pub(super) first: usize,
    pub(super) images: Vec<Entry>,
}

/// An image and the files that say where it is defective.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    image: Planned,
    path: String,
    name: String,
    class: Class,
    masks: Vec<Planned>,
}

/// A set in chunks, and what is known of it.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) set: String,
    pub(super) model: String,
    pub(super) labelled: bool,
    pub(super) notes: Vec<String>,
    pub(super) units: Vec<(String, Unit)>,
}

/// Puts model and teacher into the storage, and shares out the images.
///
/// # Errors
/// If the data hold no images, or the model cannot be used.
pub(super) fn plan(what: &What, store: &Store, storage: &Storage) -> Result<Chunks> {
    let source = Source::open(&what.data, storage)?;
    let (name, set, files) = sort_out(&source)?;
    if set.images.is_empty() {
        bail!(
            "there are no images to measure in {}: give another folder",
            source.address()
        );
    }
    let put = |path: &PathBuf| -> Result<String> {
        put_blob(store, std::fs::read(path).map_err(Error::io("read", path))?)
    };
    // refused now rather than by every worker
    load_detector(
        &what.model,
        what.teacher.as_deref(),
        &destseg_engine::backend::device::Device::Cpu,
    )?;
    let (model, teacher) = (put(&what.model)?, what.teacher.as_ref().map(put).transpose()?);
    eprintln!("{name}: {}", set.summary());
    let planned = |place: usize| -> Result<Planned> {
        let (file, listed) = &files[place];
        let mark = match listed {
            Some(mark) => mark.clone(),
            // an image that cannot be read has a row that says so
            None => source
                .read(file)?
                .map_or_else(|_| String::new(), |(_, mark)| mark),
        };
        Ok(Planned {
            file: file.clone(),
            mark,
        })
    };
    let entries = set.images.iter().map(|image| {
        Ok(Entry {
            image: planned(image.file)?,
            path: image.path.clone(),
            name: image.name.clone(),
            class: image.class.clone(),
            masks: image
                .masks
                .iter()
                .map(|&mask| planned(mask))
                .collect::<Result<_>>()?,
        })
    });
    let labelled = set
        .images
        .iter()
        .any(|image| image.class != Class::Unlabelled || !image.masks.is_empty());
    let mut entries = entries.peekable();
    let mut units = Vec::new();
    let mut first = 0;
    while entries.peek().is_some() {
        let images: Vec<Entry> = entries.by_ref().take(what.chunk).collect::<Result<_>>()?;
        let next = first + images.len();
        let title = format!("{name}, images {} to {next}", first + 1);
        let chunk = Chunk {
            data: source.address(),
            model: model.clone(),
            teacher: teacher.clone(),
            first,
            images,
        };
        units.push((title, Unit::Images(chunk)));
        first = next;
    }
    Ok(Chunks {
        set: name,
        model: what
            .model
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        labelled,
        notes: set.notes,
        units,
    })
}

/// A set, and its files as [`Source::list`] has them.
type SortedOut = (String, LabelledSet, Vec<(String, Option<String>)>);

/// The files of a place, sorted out as `destseg eval` does, and its name.
fn sort_out(source: &Source) -> Result<SortedOut> {
    let name = source.name();
    let files = source.list()?;
    let paths: Vec<String> = files.iter().map(|(file, _)| format!("{name}/{file}")).collect();
    let mut texts = Vec::new();
    for file in labelled::texts_to_read(&paths) {
        if let Ok((bytes, _)) = source.read(&files[file].0)?
            && labelled::is_useful(&paths[file], &bytes)
        {
            texts.push((file, bytes));
        }
    }
    Ok((name, labelled::classify(&paths, &texts, &[]), files))
}

/// `destseg work-images`: measures a chunk, for `work`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    storage: Storage,
    /// The unit.
    #[arg(long)]
    unit: String,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t)]
    device: DeviceArg,
    /// File to write what was seen to.
    #[arg(short, long)]
    out: PathBuf,
}

/// Measures the images of a unit and writes what was seen.
///
/// # Errors
/// If the storage cannot be reached, or the device was lost.
pub(in crate::cli) async fn run(args: Args) -> Result<()> {
    let store = args.storage.open()?;
    let named = Named {
        id: args.unit,
        name: String::new(),
    };
    let Unit::Images(chunk) = read(&store, &named.unit())? else {
        bail!("{} is no unit of images", named.id);
    };
    let source = Source::open(&chunk.data, &args.storage)?;
    let folder = tempfile::tempdir().context("cannot write a temporary file")?;
    let local = |hash: &str, name: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        let content = blob(&store, hash)?.map_err(|what| anyhow!("{what} in {store}: plan again"))?;
        write_file(&path, &content)?;
        Ok(path)
    };
    let model = local(&chunk.model, "model.safetensors")?;
    let teacher = chunk
        .teacher
        .as_deref()
        .map(|hash| local(hash, "teacher"))
        .transpose()?;
    let (device, _) = open_device(args.device).await?;
    let detector = load_detector(&model, teacher.as_deref(), &device)?;
    let mut session = Session::new(&detector);
    for (index, entry) in chunk.images.iter().enumerate() {
        let masks = entry.masks.iter().map(|mask| source.get(mask));
        let masks = masks.collect::<Result<Vec<_>>>()?;
        let marks = entry.masks.iter().zip(&masks).map(|(mask, bytes)| MarkFile {
            name: &mask.file,
            bytes: bytes.as_deref().map_err(String::as_str),
        });
        let marks: Vec<MarkFile<'_>> = marks.collect();
        let image = source.get(&entry.image)?;
        let prediction = match &image {
            Ok(bytes) => Prediction::of(&detector, bytes).await?,
            Err(reason) => Err(reason.clone()),
        };
        let subject = Subject {
            path: &entry.path,
            name: &entry.name,
            class: &entry.class,
            image: image.as_deref().unwrap_or_default(),
            masks: &marks,
        };
        session.take(chunk.first + index, subject, prediction)?;
    }
    write_file(&args.out, &pack(&session)?)
}

/// What was seen, as a file.
pub(super) fn pack(session: &Session) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(session, &mut bytes).context("cannot pack what was seen")?;
    Ok(bytes)
}

/// What was seen.
///
/// # Errors
/// If the file is damaged.
pub(super) fn unpack(bytes: &[u8]) -> Result<Session> {
    ciborium::from_reader(bytes).context("what was seen is damaged")
}

/// How many images were seen, in words.
pub(super) fn said(session: &Session) -> String {
    count(session.len(), "image", "images")
}
