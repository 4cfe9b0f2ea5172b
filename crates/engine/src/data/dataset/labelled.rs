//! A labelled folder on disk.

use std::path::{Path, PathBuf};

use super::files::{files_below, no_images};
use crate::data::labelled::{self, Class, LabelledImage, LabelledSet};
use crate::data::mask;
use crate::{Error, Result};

/// A folder's files, sorted out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestSet {
    /// The folder's name.
    pub name: String,
    /// What the files are.
    pub set: LabelledSet,
    /// The files, as [`LabelledSet`] counts them.
    pub files: Vec<PathBuf>,
}

impl TestSet {
    /// Sorts out a folder in `MVTec` layout or with `good` and `defective` in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Dataset`] if it holds no images to evaluate.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.is_dir() {
            return Err(Error::Dataset(format!(
                "there is no folder {}: give the one that holds test/good or good",
                root.display()
            )));
        }
        let Self { name, set, files } = Self::sort_out(root)?;
        if set.images.is_empty() {
            let test = root.join("test");
            return Err(if test.is_dir() {
                no_images(&test)
            } else if !root.join("train").is_dir() {
                no_images(root)
            } else {
                Error::Dataset(format!(
                    "{} has no test folder: evaluation needs test/good and test/<defect> with images",
                    root.display()
                ))
            });
        }
        Ok(Self { name, set, files })
    }
}

impl TestSet {
    /// Sorts out a folder, whatever is in it.
    pub(super) fn sort_out(root: &Path) -> Result<Self> {
        let absolute = root.canonicalize().map_err(Error::io("read", root))?;
        let name = absolute
            .file_name()
            .map_or_else(|| "category".into(), |name| name.to_string_lossy().into_owned());
        let files = files_below(root)?;
        let paths: Vec<String> = files
            .iter()
            .map(|file| {
                let inner = file.strip_prefix(root).unwrap_or(file);
                // a hidden folder that is named is meant
                format!(
                    "{}/{}",
                    name.trim_start_matches('.'),
                    inner.to_string_lossy().replace('\\', "/")
                )
            })
            .collect();
        let set = labelled::classify_paths(&paths);
        Ok(Self { name, set, files })
    }

    /// The images to train on: those of `train`, of which masks beside them may tell which are good, or without such a
    /// folder all that are good.
    pub(super) fn train_good(&self) -> Result<Vec<PathBuf>> {
        let path = |file: usize| self.files[file].clone();
        let mut good: Vec<PathBuf> = self.set.train_good.iter().map(|&file| path(file)).collect();
        if good.is_empty() {
            for &(image, mask) in &self.set.train_masked {
                if !mask::marks_anything(&mask::read(&self.files[mask])?) {
                    good.push(path(image));
                }
            }
        }
        if good.is_empty() && !self.set.has_split {
            let images = self.set.images.iter();
            let own = images.filter(|image| image.class == Class::Good);
            good.extend(own.map(|image| path(image.file)));
        }
        Ok(good)
    }

    /// Leaves `count` images, spread over the set, if there are more.
    pub fn thin_out(&mut self, count: usize) {
        let all = self.set.images.len();
        let count = count.min(all);
        let mut place = 0;
        self.set.images.retain(|_| {
            place += 1;
            // so many of the first `place` images are kept
            place * count / all.max(1) > (place - 1) * count / all.max(1)
        });
    }

    /// Adds good images. `root` is the folder that their names are shown from.
    ///
    /// # Errors
    /// [`Error::Dataset`] for a file that does not exist, or that is among the images already.
    pub fn add_good(&mut self, root: &Path, files: Vec<PathBuf>) -> Result<()> {
        for path in files {
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('\\', "/");
            if !path.is_file() {
                return Err(Error::Dataset(format!(
                    "{} does not exist: check the list",
                    path.display()
                )));
            }
            let is_in = |image: &LabelledImage| self.files[image.file] == path;
            if self.set.images.iter().any(is_in) {
                return Err(Error::Dataset(format!(
                    "{} is among the test images already: take it off the list",
                    path.display()
                )));
            }
            self.set.images.push(LabelledImage {
                file: self.files.len(),
                name,
                class: Class::Good,
                masks: Vec::new(),
            });
            self.files.push(path);
        }
        Ok(())
    }
}
