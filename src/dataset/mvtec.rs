//! The `MVTec` AD folder layout.

use std::path::{Path, PathBuf};

use super::files::image_files;
use crate::image::{GrayImage, RgbImage, read, read_mask, resize_mask};
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

/// One image of the test set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestItem {
    /// The image.
    pub path: PathBuf,
    /// Name of its folder: [`GOOD`] or the kind of defect.
    pub defect: String,
    /// The mask of the defect; `None` for good images.
    pub mask: Option<PathBuf>,
}

/// A test image and its mask at the size at which is measured.
#[derive(Debug, Clone)]
pub struct TestImage {
    /// The image as it is.
    pub image: RgbImage,
    /// `true` where defective, row by row, resized to the measure's square.
    pub mask: Vec<bool>,
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
    /// A folder that holds `train/good` or `test`.
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
        if !root.join("train").join(GOOD).is_dir() && !root.join("test").is_dir() {
            return Err(not_this_layout(root));
        }
        let absolute = root.canonicalize().map_err(Error::io("read", root))?;
        let name = absolute
            .file_name()
            .map_or_else(|| "category".into(), |n| n.to_string_lossy().into_owned());
        Ok(Self {
            root: root.to_path_buf(),
            name,
        })
    }

    /// The good images to train on, sorted.
    ///
    /// # Errors
    /// [`Error::Dataset`] if the folder is missing or holds no image, [`Error::Io`] if it cannot
    /// be read.
    pub fn train_good(&self) -> Result<Vec<PathBuf>> {
        let folder = self.root.join("train").join(GOOD);
        if !folder.is_dir() {
            return Err(not_this_layout(&self.root));
        }
        let files = image_files(&folder)?;
        if files.is_empty() {
            return Err(no_images(&folder));
        }
        Ok(files)
    }

    /// The test images, sorted by defect and name. Masks are `ground_truth/<defect>/<stem>_mask.*`
    /// or `<stem>.*`.
    ///
    /// # Errors
    /// [`Error::Dataset`] if there are no test images or one of the defective images or masks has no
    /// partner, [`Error::Io`] if a folder cannot be read.
    pub fn test(&self) -> Result<Vec<TestItem>> {
        let test = self.root.join("test");
        if !test.is_dir() {
            return Err(Error::Dataset(format!(
                "{} has no test folder: evaluation needs test/{GOOD} and test/<defect> with images",
                self.root.display()
            )));
        }
        let mut items = Vec::new();
        for folder in subfolders(&test)? {
            let Some(defect) = folder.file_name().map(|n| n.to_string_lossy().into_owned()) else {
                continue;
            };
            let masks = self.masks(&defect)?;
            let mut alone = masks.clone();
            for path in image_files(&folder)? {
                let mask = find_mask(&masks, &path).cloned();
                if mask.is_none() && defect != GOOD {
                    return Err(no_mask(&path, &defect));
                }
                alone.retain(|other| Some(other) != mask.as_ref());
                items.push(TestItem {
                    path,
                    defect: defect.clone(),
                    mask,
                });
            }
            if let Some(mask) = alone.first() {
                return Err(Error::Dataset(format!(
                    "the mask {} belongs to no image in {}: add the image or remove the mask",
                    mask.display(),
                    folder.display()
                )));
            }
        }
        if items.is_empty() {
            return Err(no_images(&test));
        }
        Ok(items)
    }

    fn masks(&self, defect: &str) -> Result<Vec<PathBuf>> {
        let folder = self.root.join("ground_truth").join(defect);
        if defect == GOOD || !folder.is_dir() {
            Ok(Vec::new())
        } else {
            image_files(&folder)
        }
    }
}

impl TestItem {
    /// Whether the image is labelled as defective.
    pub fn is_defective(&self) -> bool {
        self.defect != GOOD
    }

    /// Reads image and mask and resizes the mask to `size` x `size`; good images have an empty mask.
    ///
    /// # Errors
    /// [`Error::Dataset`] if the mask has another size or is a picture of another kind, else those
    /// of [`read`].
    pub fn load(&self, size: usize) -> Result<TestImage> {
        let image = read(&self.path)?;
        let mask = match &self.mask {
            Some(path) => {
                let mask = read_mask(path)?;
                if mask.dimensions() != image.dimensions() {
                    return Err(Error::Dataset(format!(
                        "the mask {} has {} x {} pixels but its image {} x {}: they must have the same size",
                        path.display(),
                        mask.width(),
                        mask.height(),
                        image.width(),
                        image.height()
                    )));
                }
                check_black_and_white(path, &mask)?;
                resize_mask(&mask, size, size)
            }
            None => vec![false; size * size],
        };
        Ok(TestImage { image, mask })
    }
}

/// Refuses what cannot be a mask. Grey along the edges is fine (half grey is where defects begin);
/// grey all over is a photo, and dark grey alone means labels that were counted, not painted.
fn check_black_and_white(path: &Path, mask: &GrayImage) -> Result<()> {
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
    Err(Error::Dataset(format!(
        "the mask {} {reason}: masks must be white where the part is defective and black elsewhere",
        path.display()
    )))
}

/// The mask that belongs to an image, by name.
fn find_mask<'a>(masks: &'a [PathBuf], image: &Path) -> Option<&'a PathBuf> {
    let name = stem(image);
    let with_suffix = format!("{name}_mask");
    let named = |wanted: &str| masks.iter().find(|mask| stem(mask) == wanted);
    named(&with_suffix).or_else(|| named(&name))
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
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

fn no_mask(image: &Path, defect: &str) -> Error {
    Error::Dataset(format!(
        "{} has no mask: put it at ground_truth/{defect}/{}_mask.png",
        image.display(),
        stem(image)
    ))
}

fn not_this_layout(root: &Path) -> Error {
    Error::Dataset(format!(
        "{} is not laid out as expected: put good images into train/{GOOD}, for example train/{GOOD}/000.png",
        root.display()
    ))
}

fn no_images(folder: &Path) -> Error {
    Error::Dataset(format!(
        "{} holds no images: add PNG, JPEG, BMP, WebP or GIF files",
        folder.display()
    ))
}
