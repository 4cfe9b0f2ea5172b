//! `destseg manifest`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::common::write_file;
use destseg_engine::Error;
use destseg_engine::config::Component;
use destseg_engine::data::dataset::{GOOD, image_files};
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use crate::page::protocol::{AblatedModel, Example, Manifest, ManifestFile, ManifestModel};

/// Folder of the small networks that show what a component is worth, below the models.
const ABLATIONS: &str = "ablations";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder with model and teacher files, with `examples/MODEL/LABEL_NAME.png` and
    /// `ablations/MODEL-{whole,without-COMPONENT}.safetensors`; its manifest.json is written anew.
    folder: PathBuf,
    /// Model that the page opens with.
    #[arg(long, value_name = "MODEL")]
    first: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut manifest = Manifest::default();
    for path in weight_files(&args.folder)? {
        let (file, bytes) = described(&path, page_path(&path)?)?;
        if let Ok((kind, _)) = parse_teacher(&bytes) {
            manifest.teachers.push(ManifestFile {
                id: kind.id().into(),
                ..file
            });
            continue;
        }
        let model = ModelFile::parse(&bytes).map_err(|err| err.in_file(&path))?;
        manifest.models.push(ManifestModel {
            name: title(&file.id),
            teacher: model.header.teacher().id().into(),
            examples: examples(&args.folder.join("examples").join(&file.id), &file.id)?,
            file,
        });
    }
    if let Some(first) = &args.first {
        let Some(place) = manifest.models.iter().position(|model| model.file.id == *first) else {
            bail!(
                "there is no model {first} in {}: name one of its files",
                args.folder.display()
            );
        };
        manifest.models[..=place].rotate_right(1);
    }
    manifest.ablations = ablations(&args.folder.join(ABLATIONS), &manifest)?;
    let path = args.folder.join("manifest.json");
    write_file(
        &path,
        (serde_json::to_string_pretty(&manifest)? + "\n").as_bytes(),
    )?;
    eprintln!("wrote {} with {} models", path.display(), manifest.models.len());
    Ok(())
}

/// The files of a folder that may hold weights, sorted.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .collect();
    files.sort();
    Ok(files)
}

/// A file's entry, with its path as the page sees it, and its content.
fn described(path: &Path, file: String) -> Result<(ManifestFile, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let file = ManifestFile {
        id: id.unwrap_or_default(),
        file,
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    };
    Ok((file, bytes))
}

/// Small networks that lack a component, and the whole ones they are compared with.
fn ablations(folder: &Path, manifest: &Manifest) -> Result<Vec<AblatedModel>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in weight_files(folder)? {
        let beside = path.file_name().unwrap_or_default().to_string_lossy();
        let models = folder.parent().context("the ablations have no folder")?;
        let (file, bytes) = described(&path, format!("{}/{ABLATIONS}/{beside}", page_path(models)?))?;
        ModelFile::parse(&bytes).map_err(|err| err.in_file(&path))?;
        let named = manifest.models.iter().find_map(|model| {
            let of = &model.file.id;
            let rest = file.id.strip_prefix(of.as_str())?;
            if rest == "-whole" {
                return Some((of, None));
            }
            let lacks = rest.strip_prefix("-without-")?;
            let lacks = Component::ALL
                .into_iter()
                .find(|component| component.id() == lacks)?;
            Some((of, Some(lacks)))
        });
        let Some((of, lacks)) = named else {
            bail!(
                "{} must be named MODEL-whole or MODEL-without-COMPONENT, for one of the models and denoising or \
                 encoder-decoder",
                path.display()
            );
        };
        let of = of.clone();
        found.push(AblatedModel { file, of, lacks });
    }
    Ok(found)
}

/// Examples of a model, defective ones first: the page opens with the first.
fn examples(folder: &Path, model: &str) -> Result<Vec<Example>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut examples = Vec::new();
    for path in image_files(folder)? {
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let label = name
            .rsplit_once('_')
            .map_or(name.as_str(), |(label, _)| label)
            .replace('_', " ");
        let alt = if label == GOOD {
            format!("Picture of a good part, {model}")
        } else {
            format!("Picture of a defective part, {model}: {label}")
        };
        // examples/MODEL/FILE stands two folders below the models
        let file = path
            .file_name()
            .map(|file| file.to_string_lossy().into_owned())
            .unwrap_or_default();
        let models = folder.ancestors().nth(2).context("the examples have no folder")?;
        let file = format!("{}/examples/{model}/{file}", page_path(models)?);
        examples.push(Example { file, label, alt });
    }
    examples.sort_by_key(|example| example.label == GOOD);
    Ok(examples)
}

/// A path as the page sees it: the models' folder stands beside the page.
fn page_path(path: &Path) -> Result<String> {
    let full = path.canonicalize().map_err(Error::io("read", path))?;
    let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = last(&full).context("a path without a name")?;
    match full.parent().filter(|_| full.is_file()).and_then(last) {
        Some(folder) => Ok(format!("{folder}/{name}")),
        None => Ok(name),
    }
}

/// `printed_circuit` as "Printed circuit".
fn title(id: &str) -> String {
    let text = id.replace(['_', '-'], " ");
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
