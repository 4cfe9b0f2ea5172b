//! Tables that say what each image is, as `VisA` has them: a row of comma-separated values for each image.
//!
//! ```text
//! object,split,label,image,mask
//! candle,train,normal,candle/Data/Images/Normal/0000.JPG,
//! candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
//! ```

use std::collections::BTreeMap;

use super::layout::{says_defective, says_good};
use super::{Class, SOME_DEFECT};

/// Names of the columns with images ...
const IMAGE: [&str; 3] = ["image", "image_path", "filename"];
/// ... and masks.
const MASK: [&str; 2] = ["mask", "mask_path"];

/// What tables say of the images of a folder.
#[derive(Default)]
pub(super) struct Table {
    /// By the images' paths.
    rows: BTreeMap<String, Row>,
    /// Whether they say which images are there to train on.
    pub(super) has_split: bool,
}

struct Row {
    split: Option<String>,
    class: Class,
    mask: Option<String>,
}

/// What a table says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// A good image to train on.
    Train,
    /// An image to test with, and its masks.
    Test(Class, Vec<usize>),
    /// An image for validation, or a defective one to train on.
    Unused,
    /// A mask of another file.
    Mask,
}

impl Table {
    /// Reads all texts that are tables with a column of images and one that says what these are.
    pub(super) fn read<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut own = Self::default();
        for text in texts.filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
            own.add(text);
        }
        own
    }

    fn add(&mut self, text: &str) -> Option<()> {
        let mut lines = text.trim_start_matches('\u{feff}').lines();
        let header = cells(lines.next()?);
        let column = |names: &[&str]| {
            header
                .iter()
                .position(|cell| names.iter().any(|name| cell.eq_ignore_ascii_case(name)))
        };
        let (image, label) = (column(&IMAGE)?, column(&["label"])?);
        let (split, mask) = (column(&["split"]), column(&MASK));
        self.has_split |= split.is_some();
        for row in lines.map(cells) {
            let cell = |at: Option<usize>| {
                let cell = row.get(at?)?;
                (!cell.is_empty()).then(|| cell.replace('\\', "/"))
            };
            let (Some(image), Some(label)) = (cell(Some(image)), cell(Some(label))) else {
                continue;
            };
            let row = Row {
                split: cell(split),
                class: class_of(&label),
                mask: cell(mask),
            };
            self.rows.insert(image, row);
        }
        Some(())
    }

    /// What is said of files, by their paths.
    pub(super) fn find<'a>(&self, files: impl Iterator<Item = (usize, &'a str)>) -> BTreeMap<usize, Listed> {
        if self.rows.is_empty() {
            return BTreeMap::new();
        }
        let files: Vec<(usize, String)> = files
            .map(|(file, path)| (file, path.replace('\\', "/")))
            .collect();
        let mut by_end: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (file, path) in &files {
            for end in ends(path) {
                by_end.entry(end).or_default().push(*file);
            }
        }
        let only = |path: &str| match by_end.get(path).map(Vec::as_slice) {
            Some(&[file]) => Some(file),
            _ => None,
        };
        let mut listed = BTreeMap::new();
        for (image, row) in &self.rows {
            let Some(file) = only(image) else { continue };
            let mask = row.mask.as_deref().and_then(only);
            let is_train = row
                .split
                .as_deref()
                .is_some_and(|split| split.eq_ignore_ascii_case("train"));
            let is_test = row
                .split
                .as_deref()
                .is_none_or(|split| split.eq_ignore_ascii_case("test"));
            let own = match (&row.class, is_train, is_test) {
                (Class::Good, true, _) => Listed::Train,
                (class, _, true) => Listed::Test(class.clone(), mask.into_iter().collect()),
                _ => Listed::Unused,
            };
            listed.insert(file, own);
            if let Some(mask) = mask {
                listed.insert(mask, Listed::Mask);
            }
        }
        listed
    }
}

/// A path, and what is left of it without its first folders.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
    std::iter::once(path).chain(inner)
}

fn class_of(label: &str) -> Class {
    if says_good(label) || label == "0" {
        Class::Good
    } else if says_defective(label) || label == "1" {
        Class::Defective(SOME_DEFECT.into())
    } else {
        Class::Defective(label.into())
    }
}

/// The cells of a line; quotation marks around them are left out.
fn cells(line: &str) -> Vec<&str> {
    line.split(',')
        .map(|cell| cell.trim().trim_matches('"'))
        .collect()
}
