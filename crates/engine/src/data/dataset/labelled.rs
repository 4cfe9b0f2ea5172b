//! A labelled folder on disk.

use std::path::{Path, PathBuf};

use super::files::{files_below, no_images};
use crate::data::annotations;
use crate::data::labelled::{self, Class, LabelledImage, LabelledSet};
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
    /// Their paths with the folder's name in front.
    paths: Vec<String>,
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
        let own = Self::sort_out(root)?;
        if own.set.images.is_empty() {
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
        Ok(own)
    }
}

impl TestSet {
    /// Sorts out a folder, whatever is in it.
    pub(super) fn sort_out(root: &Path) -> Result<Self> {
        let absolute = root.canonicalize().map_err(Error::io("read", root))?;
        let name = absolute
            .file_name()
            .map_or_else(|| "category".into(), |name| name.to_string_lossy().into_owned());
        let mut files = files_below(root)?;
        let mut paths: Vec<String> = files
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
        for table in tables_beside(&absolute) {
            let name = table.file_name().unwrap_or_default().to_string_lossy();
            paths.push(format!("split_csv/{name}"));
            files.push(table);
        }
        let mut texts = Vec::new();
        for file in labelled::texts_to_read(&paths) {
            let bytes = read_text(&files[file])?;
            if labelled::is_useful(&paths[file], &bytes) {
                texts.push((file, bytes));
            }
        }
        let set = labelled::classify(&paths, &texts, &[]);
        Ok(Self {
            name,
            set,
            files,
            paths,
        })
    }

    /// The images to train on: those of `train`, or without such a folder all that are good. Where no folder says what images
    /// are, their masks and annotations do.
    pub(super) fn train_good(&self) -> Result<Vec<PathBuf>> {
        let mut good: Vec<usize> = self.set.train_good.clone();
        if good.is_empty() {
            for (image, masks) in &self.set.train_masked {
                if self.is_good(*image, masks)? {
                    good.push(*image);
                }
            }
        }
        if good.is_empty() && !self.set.has_split {
            for image in &self.set.images {
                let by_masks = image.class == Class::Unlabelled && !image.masks.is_empty();
                if image.class == Class::Good || by_masks && self.is_good(image.file, &image.masks)? {
                    good.push(image.file);
                }
            }
        }
        Ok(good.into_iter().map(|file| self.files[file].clone()).collect())
    }

    fn is_good(&self, image: usize, masks: &[usize]) -> Result<bool> {
        let masks: Vec<&Path> = masks.iter().map(|&file| &*self.files[file]).collect();
        annotations::is_good(&masks, &self.paths[image])
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
                path: name.clone(),
                name,
                class: Class::Good,
                masks: Vec::new(),
            });
            self.files.push(path);
        }
        Ok(())
    }
}

/// The content of a text that may say what images show.
fn read_text(path: &Path) -> Result<Vec<u8>> {
    /// Longest text in bytes: annotations of some hundred thousand images.
    const LONGEST: u64 = 200_000_000;
    let length = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if length > LONGEST {
        return Err(Error::Dataset(format!(
            "{} has {} MB: annotations of at most {} MB are read, so give the data set in parts",
            path.display(),
            length / 1_000_000,
            LONGEST / 1_000_000
        )));
    }
    std::fs::read(path).map_err(Error::io("read", path))
}

/// Tables in a folder `split_csv` beside a category, where `VisA` has them.
fn tables_beside(root: &Path) -> Vec<PathBuf> {
    let folder = root.with_file_name("split_csv");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
        })
        .collect()
}
