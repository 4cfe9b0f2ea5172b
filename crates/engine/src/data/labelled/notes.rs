//! What is odd about a folder.

use super::{Class, LabelledSet};
use crate::data::paths::ending;
use crate::error::count;
use crate::order;

/// Files that serve for nothing.
#[derive(Default)]
pub(super) struct Unused<'a> {
    pub(super) measurements: usize,
    pub(super) validation: usize,
    /// Images that cannot be opened.
    pub(super) unreadable: Vec<&'a str>,
    /// Masks of no image.
    pub(super) masks: Vec<&'a str>,
    /// Tables and annotations of many images, none of which is here.
    pub(super) tables: Vec<&'a str>,
}

/// What is odd about a folder, one sentence each.
pub(super) fn notes(set: &LabelledSet, unused: &Unused<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(unreadable(&unused.unreadable));
    let of = |wanted: Option<bool>| {
        let matching = set
            .images
            .iter()
            .filter(|image| image.class.is_defective() == wanted);
        matching.collect::<Vec<_>>()
    };
    let (good, defective, unlabelled) = (of(Some(false)), of(Some(true)), of(None));
    if set.images.is_empty() {
        notes.push(
            "There are no images to evaluate: give a folder with test/good and test/DEFECT, or with good and \
             defective."
                .into(),
        );
        return notes;
    }
    let unlabelled: Vec<_> = unlabelled.iter().filter(|image| image.masks.is_empty()).collect();
    let by_mask = set
        .images
        .iter()
        .filter(|image| image.class == Class::Unlabelled && !image.masks.is_empty())
        .count();
    match by_mask {
        0 => {}
        found => notes.push(format!(
            "{} in no folder that says what they are: they are defective where their masks mark something.",
            count(found, "image lies", "images lie")
        )),
    }
    if unused.measurements > 0 {
        notes.push(format!(
            "{} left out: distances or heights, not pictures.",
            count(unused.measurements, "file is", "files are")
        ));
    }
    if unused.validation > 0 {
        notes.push(format!(
            "{} left out, as for validation: neither trained on nor tested with.",
            count(unused.validation, "image is", "images are")
        ));
    }
    if let Some(first) = unlabelled.first() {
        notes.push(format!(
            "{} in no folder that says what they are (the first: {}): they get scores but count in no figure. Put \
             them into good or defective.",
            count(unlabelled.len(), "image lies", "images lie"),
            first.name
        ));
    }
    if defective.is_empty() && by_mask == 0 {
        notes.push(
            "No image is labelled defective: how well defects are told from good parts cannot be computed."
                .into(),
        );
    }
    if good.is_empty() && by_mask == 0 {
        notes.push(
            "No image is labelled good: false alarms and the area under the ROC curve cannot be computed."
                .into(),
        );
    }
    let without: Vec<_> = defective.iter().filter(|image| image.masks.is_empty()).collect();
    if let Some(first) = without.first() {
        let what = if without.len() == defective.len() {
            "No defective image has a mask: figures of pixels and instances cannot be computed.".to_owned()
        } else {
            format!(
                "{} no mask (the first: {}): figures of pixels and instances are about the others.",
                count(without.len(), "defective image has", "defective images have"),
                first.name
            )
        };
        notes.push(what);
    }
    if let Some(first) = unused.tables.first() {
        notes.push(format!(
            "{} none of the images here (the first: {first}): check the paths in it.",
            count(
                unused.tables.len(),
                "file with labels names",
                "files with labels name"
            )
        ));
    }
    if let Some(first) = unused.masks.first() {
        notes.push(format!(
            "{} to no defective image (the first: {first}): name masks as their images, with _mask behind.",
            count(unused.masks.len(), "mask belongs", "masks belong")
        ));
    }
    notes
}

/// That images cannot be opened, by the endings of their names.
pub fn unreadable(paths: &[impl AsRef<str>]) -> Option<String> {
    let first = paths.first()?.as_ref();
    let mut endings: Vec<String> = paths.iter().filter_map(|path| ending(path.as_ref())).collect();
    order::sort_by(&mut endings, Ord::cmp);
    endings.dedup();
    Some(format!(
        "{} left out (the first: {first}): {} files are not read here; convert them to PNG or JPEG.",
        count(paths.len(), "image is", "images are"),
        endings.join(", ").to_uppercase()
    ))
}
