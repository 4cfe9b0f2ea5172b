//! Tables that say what each image is, as `VisA` has them: a row of comma-separated values for each image.
//!
//! ```text
//! object,split,label,image,mask
//! candle,train,normal,candle/Data/Images/Normal/0000.JPG,
//! candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
//! ```

use super::layout::{Purpose, says_defective, says_good};
use super::{Class, SOME_DEFECT};
use crate::data::paths::{ends_with, plain};

/// Names of the columns with images ...
const IMAGE: [&str; 3] = ["image", "image_path", "filename"];
/// ... and masks.
const MASK: [&str; 2] = ["mask", "mask_path"];

/// What tables say of the images of a folder.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

struct Row {
    image: String,
    split: Option<String>,
    class: Class,
    mask: Option<String>,
}

/// What a table says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    /// An image of this class. The purpose is none where the table has no column for it.
    Image {
        class: Class,
        purpose: Option<Purpose>,
        mask: Option<usize>,
    },
    /// A mask of another file.
    Mask,
}

impl Table {
    /// Reads all texts that are tables with a column of images and one that says what these are.
    pub(super) fn read<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut own = Self::default();
        for text in texts.filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
            own.rows.extend(rows(text).into_iter().flatten());
        }
        own
    }

    /// Whether there is any row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What is said of each of so many files, by their numbers and paths. Compares all with all: that is quick enough for some
    /// ten thousand, and in the page every sort costs code.
    pub(super) fn find<'a>(
        &self,
        count: usize,
        files: impl Iterator<Item = (usize, &'a str)>,
    ) -> Vec<Option<Listed>> {
        let files: Vec<(usize, String)> = files
            .map(|(file, path)| (file, path.replace('\\', "/")))
            .collect();
        let only = |end: &str| {
            let mut found = files.iter().filter(|(_, path)| ends_with(path, end));
            let first = found.next()?;
            found.next().is_none().then_some(first.0)
        };
        let mut listed = Vec::new();
        listed.resize_with(count, || None);
        for row in &self.rows {
            let Some(file) = only(&row.image) else { continue };
            let mask = row.mask.as_deref().and_then(only);
            listed[file] = Some(Listed::Image {
                class: row.class.clone(),
                purpose: row.split.as_deref().map(Purpose::of_split),
                mask,
            });
            if let Some(mask) = mask {
                listed[mask] = Some(Listed::Mask);
            }
        }
        listed
    }
}

/// The rows of a table; none, if it is another one. Some label must say that an image is good, or the column is
/// about something else, such as the name of the part.
fn rows(text: &str) -> Option<Vec<Row>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    let header = cells(lines.next()?);
    let column = |names: &[&str]| {
        header
            .iter()
            .position(|cell| names.iter().any(|name| cell.eq_ignore_ascii_case(name)))
    };
    let (image, label) = (column(&IMAGE)?, column(&["label"])?);
    let (split, mask) = (column(&["split"]), column(&MASK));
    let mut all = Vec::new();
    for row in lines.map(cells) {
        let cell = |at: Option<usize>| row.get(at?).filter(|cell| !cell.is_empty()).cloned();
        let (Some(image), Some(label)) = (cell(Some(image)), cell(Some(label))) else {
            continue;
        };
        all.push(Row {
            image: plain(&image),
            split: cell(split),
            class: class_of(&label),
            mask: cell(mask).map(|mask| plain(&mask)),
        });
    }
    all.iter().any(|row| row.class == Class::Good).then_some(all)
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

/// The cells of a line; one in quotation marks may hold commas.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => {
                if let Some(cell) = cells.last_mut() {
                    cell.push(letter);
                }
            }
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}
