//! Finding and loading image files.

use std::path::{Path, PathBuf};

use crate::config::InputLayout;
use crate::data::facts::{FileFact, FileFacts};
use crate::data::image::{RgbImage, decode, type_name};
use crate::data::paths::{is_litter, is_readable_image};
use crate::data::placement::ViewLayout;
use crate::error::count;
use crate::{Error, Result};

/// The image files directly in a folder, sorted by name; hidden files are left out.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read.
pub fn image_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_readable_image(&name) && !is_litter(&name) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The same of a folder that is to hold images.
///
/// # Errors
/// [`Error::Dataset`] if it holds none, [`Error::Io`] if the folder cannot be read.
pub fn some_image_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = image_files(folder)?;
    if files.is_empty() {
        return Err(no_images(folder));
    }
    Ok(files)
}

/// All files below a folder, sorted; hidden folders are left out.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    list(folder, &mut files, &mut Vec::new())?;
    files.sort();
    Ok(files)
}

/// `above` are the folders from the root down to this one: a link to one of them leads nowhere new.
fn list(folder: &Path, files: &mut Vec<PathBuf>, above: &mut Vec<PathBuf>) -> Result<()> {
    let own = folder.canonicalize().map_err(Error::io("read", folder))?;
    if above.contains(&own) {
        return Ok(());
    }
    above.push(own);
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !is_litter(&name) {
            list(&path, files, above)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    above.pop();
    Ok(())
}

/// Says that there are no images in a folder, and where they are if they lie deeper.
pub(super) fn no_images(folder: &Path) -> Error {
    const DEPTH: usize = 4;
    let shown = folder.display();
    Error::Dataset(match first_with_images(folder, DEPTH) {
        Some(inner) => format!(
            "{shown} holds no images itself, but folders below it do: give one of those, such as {}",
            inner.display()
        ),
        None => format!("{shown} holds no images: add PNG, JPEG, TIFF, BMP, WebP or GIF files"),
    })
}

/// The first folder below this one, at most `depth` levels down, that holds images.
fn first_with_images(folder: &Path, depth: usize) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut inner: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| !is_litter(&path.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    inner.sort();
    inner.into_iter().find_map(|path| {
        if image_files(&path).is_ok_and(|files| !files.is_empty()) {
            return Some(path);
        }
        first_with_images(&path, depth.checked_sub(1)?)
    })
}

/// Good images at the model's input size.
#[derive(Debug, Default)]
pub struct LoadedImages {
    /// The images as the network sees them, square, in the order of their paths: one each, or several
    /// tiles.
    pub images: Vec<RgbImage>,
    /// Types and typical size of the files that could be used.
    pub facts: Option<FileFacts>,
    /// For each image, the place of its path.
    pub origins: Vec<usize>,
    /// One [`Error::File`] or [`Error::Io`] for every file that could not be used.
    pub skipped: Vec<Error>,
}

/// Reads images and shows them as `fit` says in squares of `size` x `size`, one at a time, so that
/// besides the small ones only one image is in memory.
///
/// # Errors
/// [`Error::Dataset`] if not a single image could be used.
pub fn load_good(paths: &[PathBuf], size: usize, fit: InputLayout) -> Result<LoadedImages> {
    let mut loaded = LoadedImages {
        images: Vec::with_capacity(paths.len()),
        ..LoadedImages::default()
    };
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let image = decode(&bytes).map_err(|error| error.in_file(path))?;
        Ok((image, type_name(&bytes)))
    };
    let mut facts: Vec<FileFact> = Vec::new();
    for (origin, path) in paths.iter().enumerate() {
        match read(path) {
            Ok((image, name)) => {
                facts.extend(name.map(|name| (name, image.dimensions())));
                let layout = ViewLayout::new(fit, image.dimensions(), size, size);
                loaded.images.extend(layout.views(&image));
                loaded.origins.resize(loaded.images.len(), origin);
            }
            Err(error) => loaded.skipped.push(error),
        }
    }
    loaded.facts = FileFacts::of(facts);
    match loaded.skipped.first() {
        Some(first) if loaded.images.is_empty() => Err(Error::Dataset(format!(
            "of {} none can be used, the first because of: {first}",
            count(paths.len(), "good image", "good images")
        ))),
        _ => Ok(loaded),
    }
}
