//! Where an image is defective, as people mark that: painted masks, outlines of `LabelMe` and COCO, lines of YOLO.
//!
//! An outline is as good as a mask. A box, a line or a point says that the image is defective, not where: it gives the image
//! its class and counts in no figure of pixels.

mod coco;
mod labelme;
mod outline;
mod yolo;

#[cfg(test)]
mod tests;

use std::path::Path;

use ::image::GrayImage;

use super::{labelled, mask, paths};
use crate::{Error, Result};

pub(crate) use coco::names;

/// A file that says something about an image.
#[derive(Debug, Clone, Copy)]
pub struct MarkFile<'a> {
    /// Its name or path: its ending tells what it is.
    pub name: &'a str,
    /// Its content, or why it cannot be read.
    pub bytes: std::result::Result<&'a [u8], &'a str>,
}

/// What the files about an image say.
#[derive(Debug, Clone, PartialEq)]
pub enum Marks {
    /// 255 where it is defective and 0 elsewhere; all 0, if it is good.
    Mask(GrayImage),
    /// Whether it is defective.
    Label(bool),
}

impl Marks {
    /// Whether the image is defective.
    pub fn is_defective(&self) -> bool {
        match self {
            Self::Mask(mask) => mask::marks_anything(mask),
            Self::Label(defective) => *defective,
        }
    }
}

/// Reads all that is said about an image and unites it. `image` is the image's path from its data set, as annotations name it,
/// `size` its width and height.
///
/// # Errors
/// [`Error::Image`] as [`mask::decode`], for masks of different sizes, and for annotations that are damaged or about other images.
pub fn read(files: &[MarkFile<'_>], image: &str, size: (u32, u32)) -> Result<Marks> {
    let mut all: Option<GrayImage> = None;
    let mut label = None;
    for file in files {
        match read_one(*file, image, size)? {
            Marks::Label(defective) => label = Some(defective || label == Some(true)),
            Marks::Mask(mask) => match &mut all {
                None => all = Some(mask),
                Some(own) if own.dimensions() == mask.dimensions() => {
                    own.iter_mut()
                        .zip(mask.iter())
                        .for_each(|(own, other)| *own = (*own).max(*other));
                }
                Some(_) => {
                    return Err(Error::Image(
                        "the masks of the image have different sizes: give all the same".into(),
                    ));
                }
            },
        }
    }
    Ok(match (all, label) {
        // a box beside outlines leaves them incomplete
        (_, Some(true)) | (None, _) => Marks::Label(label == Some(true)),
        (Some(mask), _) => Marks::Mask(mask),
    })
}

fn read_one(file: MarkFile<'_>, image: &str, size: (u32, u32)) -> Result<Marks> {
    let bytes = file.bytes.map_err(|reason| Error::Image(reason.into()))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match paths::ending(file.name).as_deref() {
        Some("json") if coco::is_coco(text) => coco::read(text, image),
        Some("json") => labelme::read(text),
        Some("txt") => yolo::read(text, size),
        _ => mask::decode(bytes).map(Marks::Mask),
    }
}

/// Whether files say that an image is good; `image` is its path from its data set.
///
/// # Errors
/// As [`read`], with the first file's name, and [`Error::Io`].
pub fn is_good(files: &[&Path], image: &str) -> Result<bool> {
    // shares of any size mark something or nothing
    const ANY: (u32, u32) = (64, 64);
    let contents = files
        .iter()
        .map(|path| std::fs::read(path).map_err(Error::io("read", path)))
        .collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = files
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    let marks: Vec<MarkFile<'_>> = names
        .iter()
        .zip(&contents)
        .map(|(name, bytes)| MarkFile {
            name,
            bytes: Ok(bytes),
        })
        .collect();
    match (read(&marks, image, ANY), files.first()) {
        (Ok(marks), _) => Ok(!marks.is_defective()),
        (Err(error), Some(first)) => Err(error.in_file(first)),
        (Err(error), None) => Err(error),
    }
}

/// Whether a name of a class says that something is no defect.
fn is_no_defect(class: &str) -> bool {
    const PARTS: [&str; 3] = ["part", "object", "background"];
    labelled::says_good(class) || PARTS.iter().any(|own| class.eq_ignore_ascii_case(own))
}

fn damaged(program: &str) -> Error {
    Error::Image(format!(
        "the file is no annotation of {program}, or it is damaged: export it again"
    ))
}
