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
            paths.push(table.to_string_lossy().replace('\\', "/"));
            files.push(table);
        }
        let read = |file: usize| {
            let bytes = std::fs::read(&files[file]).map_err(Error::io("read", &files[file]))?;
            Ok((file, bytes))
        };
        let texts: Vec<(usize, Vec<u8>)> = labelled::texts_to_read(&paths)
            .into_iter()
            .map(read)
            .collect::<Result<_>>()?;
        let set = labelled::classify(&paths, &texts);
        Ok(Self { name, set, files })
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
        annotations::is_good(&masks, &self.files[image])
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

/// Tables in a folder `split_csv` beside a category, where `VisA` has them.
fn tables_beside(root: &Path) -> Vec<PathBuf> {
    let folder = root.with_file_name("split_csv");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
        })
        .collect();
    found.sort();
    // one class in training: the split of the published figures
    let one_class = found.iter().position(|path| path.ends_with("1cls.csv"));
    one_class.map_or(found.clone(), |index| vec![found[index].clone()])
}
