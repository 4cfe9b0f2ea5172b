//! The `MVTec` AD folder layout.

use std::path::{Path, PathBuf};

use super::TestSet;
use super::files::no_images;
use crate::data::labelled;
use crate::{Error, Result};

/// Name of the folders that hold good images.
pub const GOOD: &str = "good";

/// One kind of product: a folder with `train` and, for evaluation, `test` and `ground_truth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// The folder.
    pub root: PathBuf,
    /// The folder's name.
    pub name: String,
}

/// The categories of a data set folder, sorted: its subfolders with a `train/good`, or the folder
/// itself if it is a category.
///
/// # Errors
/// [`Error::Io`] or [`Error::Dataset`] if there is none.
pub fn categories(root: &Path) -> Result<Vec<Category>> {
    match Category::open(root) {
        Ok(category) => return Ok(vec![category]),
        Err(error) if !root.is_dir() => return Err(error),
        Err(_) => {}
    }
    let mut found: Vec<Category> = subfolders(root)?
        .iter()
        .filter_map(|folder| Category::open(folder).ok())
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if found.is_empty() {
        Err(not_this_layout(root))
    } else {
        Ok(found)
    }
}

impl Category {
    /// A folder with a folder in it that says what its images are or are for, such as `train`, `test` or `good`.
    ///
    /// # Errors
    /// [`Error::Dataset`] if it is missing, no folder or laid out in another way.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.exists() {
            return Err(Error::Dataset(format!(
                "the folder {} does not exist: check the path",
                root.display()
            )));
        }
        if !root.is_dir() {
            return Err(Error::Dataset(format!(
                "{} is a file: give the folder that holds train/{GOOD}",
                root.display()
            )));
        }
        if !subfolders(root)?
            .iter()
            .any(|folder| labelled::is_telling(&name_of(folder)))
        {
            return Err(not_this_layout(root));
        }
        let absolute = root.canonicalize().map_err(Error::io("read", root))?;
        let name = match name_of(&absolute) {
            name if name.is_empty() => "category".into(),
            name => name,
        };
        Ok(Self {
            root: root.to_path_buf(),
            name,
        })
    }

    /// The good images to train on, sorted: those of `train`, or without such a folder all that are good.
    ///
    /// # Errors
    /// [`Error::Dataset`] if there is none, [`Error::Io`] if the folder cannot be read, and the reasons of
    /// [`annotations::is_good`](crate::data::annotations::is_good) where masks tell which images are good.
    pub fn train_good(&self) -> Result<Vec<PathBuf>> {
        let good = TestSet::sort_out(&self.root)?.train_good()?;
        let folder = self.root.join("train").join(GOOD);
        match good.is_empty() {
            true if folder.is_dir() => Err(no_images(&folder)),
            true => Err(not_this_layout(&self.root)),
            false => Ok(good),
        }
    }
}

fn name_of(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn subfolders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).map_err(Error::io("read", root))? {
        let path = entry.map_err(Error::io("read", root))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

pub(super) fn not_this_layout(root: &Path) -> Error {
    Error::Dataset(format!(
        "{} is not laid out as expected: put good images into train/{GOOD}, for example train/{GOOD}/000.png",
        root.display()
    ))
}
