//! A labelled folder on disk, and the truth of a mask.

use std::path::{Path, PathBuf};

use super::files::no_images;
use crate::data::image::{GrayImage, resize_mask};
use crate::data::labelled::{self, Class, LabelledImage, LabelledSet};
use crate::data::paths::is_litter;
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
        let absolute = root.canonicalize().map_err(Error::io("read", root))?;
        let name = absolute
            .file_name()
            .map_or_else(|| "category".into(), |name| name.to_string_lossy().into_owned());
        let mut files = Vec::new();
        list(root, &mut files)?;
        files.sort();
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
                mask: None,
            });
            self.files.push(path);
        }
        Ok(())
    }
}

/// All files below a folder, hidden folders left out.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !is_litter(&name) {
            list(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// `true` where a mask says defective, row by row in a square of `side`; `size` is the image's.
///
/// # Errors
/// [`Error::Image`] if the mask has another size than its image or is a picture of another kind.
pub fn truth(mask: &GrayImage, (width, height): (u32, u32), side: usize) -> Result<Vec<bool>> {
    if mask.dimensions() != (width, height) {
        return Err(Error::Image(format!(
            "the mask has {} x {} pixels but its image {width} x {height}: they must have the same size",
            mask.width(),
            mask.height()
        )));
    }
    check_black_and_white(mask)?;
    Ok(resize_mask(mask, side, side))
}

/// Refuses what cannot be a mask. Grey along the edges is fine (half grey is where defects begin);
/// grey all over is a photo, and dark grey alone means labels that were counted, not painted.
fn check_black_and_white(mask: &GrayImage) -> Result<()> {
    const BLACK: u8 = 25;
    const WHITE: u8 = 230;
    const GREY_SHARE: f64 = 0.05;
    let values = mask.as_raw();
    let grey = values
        .iter()
        .filter(|value| (BLACK..WHITE).contains(value))
        .count();
    let brightest = values.iter().max().copied().unwrap_or_default();
    let reason = if grey as f64 > GREY_SHARE * values.len() as f64 {
        format!(
            "is grey in {:.0} % of its area",
            100.0 * grey as f64 / values.len() as f64
        )
    } else if brightest > 0 && brightest < WHITE {
        format!("is nowhere brighter than {brightest} of 255")
    } else {
        return Ok(());
    };
    Err(Error::Image(format!(
        "the mask {reason}: masks must be white where the part is defective and black elsewhere"
    )))
}
