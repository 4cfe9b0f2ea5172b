//! Which files of a folder are good, which are defective, and which are masks: told by their paths
//! alone, so that the page and the command line tell it alike.
//!
//! ```text
//! test/good/*   test/DEFECT/*   ground_truth/DEFECT/NAME_mask.*    the layout of MVTec AD
//! good/*        defective/*     masks/NAME.*                       any names for the folders of defects
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::paths::{is_litter, is_readable_image};
use crate::error::count;

/// Names of folders with good images.
const GOOD: [&str; 5] = ["good", "ok", "normal", "ok_images", "pass"];
/// Names of folders with masks.
const MASKS: [&str; 5] = ["ground_truth", "groundtruth", "masks", "mask", "gt"];
/// Names of folders that say no more than that their images are defective.
const DEFECTIVE: [&str; 9] = [
    "defective",
    "defect",
    "defects",
    "bad",
    "ng",
    "nok",
    "anomaly",
    "anomalous",
    "fail",
];
/// What images of those folders are called.
const SOME_DEFECT: &str = "defective";

/// What an image is said to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Good.
    Good,
    /// With this kind of defect.
    Defective(String),
    /// Nothing is said.
    #[default]
    Unlabelled,
}

impl Class {
    /// The class in a word.
    pub fn name(&self) -> &str {
        match self {
            Self::Good => "good",
            Self::Defective(kind) => kind,
            Self::Unlabelled => "no class",
        }
    }

    /// Whether it is defective; none where nothing is said.
    pub fn is_defective(&self) -> Option<bool> {
        match self {
            Self::Good => Some(false),
            Self::Defective(_) => Some(true),
            Self::Unlabelled => None,
        }
    }
}

/// An image to evaluate; files are places in the list that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImage {
    /// The file.
    pub file: usize,
    /// Its path from the folder that all have in common.
    pub name: String,
    /// What it is said to be.
    pub class: Class,
    /// The file with the mask of its defects.
    pub mask: Option<usize>,
}

/// A folder, sorted out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelledSet {
    /// Name of the folder, if the paths tell it.
    pub name: Option<String>,
    /// Images to evaluate, by class and name.
    pub images: Vec<LabelledImage>,
    /// Good images that are there to train on.
    pub train_good: Vec<usize>,
    /// What is odd about the folder, one sentence each.
    pub notes: Vec<String>,
}

/// A path in its parts.
struct Parsed<'a> {
    file: usize,
    folders: Vec<&'a str>,
    stem: &'a str,
    name: &'a str,
}

fn parse(file: usize, path: &str) -> Option<Parsed<'_>> {
    let mut folders: Vec<&str> = path
        .split(['/', '\\'])
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let name = folders.pop()?;
    let (stem, _ending) = name.rsplit_once('.')?;
    (is_readable_image(name) && !is_litter(path)).then_some(Parsed {
        file,
        folders,
        stem,
        name,
    })
}

fn is_one_of(names: &[&str], part: &str) -> bool {
    names.iter().any(|name| part.eq_ignore_ascii_case(name))
}

/// The class that folders tell; the innermost that says anything counts.
fn class_of(folders: &[&str], has_good: bool) -> Class {
    let test = folders.iter().rposition(|part| part.eq_ignore_ascii_case("test"));
    let inner = test.map_or(folders, |test| &folders[test + 1..]);
    let Some(own) = inner.last() else {
        return Class::Unlabelled;
    };
    // a folder in one of defective images
    let is_kind = inner.len() > 1 && is_one_of(&DEFECTIVE, inner[inner.len() - 2]);
    if is_one_of(&GOOD, own) {
        Class::Good
    } else if is_one_of(&DEFECTIVE, own) {
        Class::Defective(SOME_DEFECT.into())
    } else if is_kind || test.is_some() || has_good {
        Class::Defective((*own).into())
    } else {
        Class::Unlabelled
    }
}

/// How a mask says whose it is: the folder below that of the masks, and the image's stem.
fn mask_of<'a>(parsed: &Parsed<'a>) -> Option<(Option<&'a str>, &'a str)> {
    let stem = parsed.stem.strip_suffix("_mask").unwrap_or(parsed.stem);
    match parsed.folders.iter().rposition(|part| is_one_of(&MASKS, part)) {
        Some(masks) => Some((parsed.folders.get(masks + 1).copied(), stem)),
        // beside its image
        None if stem.len() < parsed.stem.len() => Some((parsed.folders.last().copied(), stem)),
        None => None,
    }
}

/// Sorts out a folder by the paths of its files, with `/` between their parts. What is no image is left
/// out.
pub fn classify_paths<S: AsRef<str>>(paths: &[S]) -> LabelledSet {
    let all: Vec<Parsed<'_>> = paths
        .iter()
        .enumerate()
        .filter_map(|(file, path)| parse(file, path.as_ref()))
        .collect();
    let common = common_folders(&all);
    let is_meaningful = |part: &&str| {
        is_one_of(&GOOD, part)
            || is_one_of(&DEFECTIVE, part)
            || is_one_of(&MASKS, part)
            || is_one_of(&["test", "train"], part)
    };
    let mut set = LabelledSet {
        name: common
            .iter()
            .rev()
            .find(|part| !is_meaningful(part))
            .map(|part| (*part).to_owned()),
        ..LabelledSet::default()
    };
    let mut masks: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    let mut images = Vec::new();
    for parsed in &all {
        if let Some(key) = mask_of(parsed) {
            masks.insert(key, parsed.file);
        } else if parsed
            .folders
            .iter()
            .any(|part| part.eq_ignore_ascii_case("train"))
        {
            if parsed.folders.last().is_some_and(|own| is_one_of(&GOOD, own)) {
                set.train_good.push(parsed.file);
            }
        } else {
            images.push(parsed);
        }
    }
    let has_good = images
        .iter()
        .any(|parsed| parsed.folders.last().is_some_and(|own| is_one_of(&GOOD, own)));
    let mut unused = masks.clone();
    for parsed in images {
        // what lies beside the folders has no class
        let class = class_of(&parsed.folders, has_good && parsed.folders.len() > common.len());
        let folder = parsed.folders.last().copied();
        let mask = if class.is_defective() == Some(true) {
            let keys = [(folder, parsed.stem), (None, parsed.stem)];
            let key = keys.into_iter().find(|key| masks.contains_key(key));
            key.and_then(|key| {
                unused.remove(&key);
                masks.get(&key).copied()
            })
        } else {
            None
        };
        let mut name: Vec<&str> = parsed.folders[common.len().min(parsed.folders.len())..].to_vec();
        name.push(parsed.name);
        set.images.push(LabelledImage {
            file: parsed.file,
            name: name.join("/"),
            class,
            mask,
        });
    }
    set.images
        .sort_by(|a, b| (&a.class, &a.name).cmp(&(&b.class, &b.name)));
    set.notes = notes(&set, unused.into_values().map(|file| paths[file].as_ref()));
    set
}

/// The folders that all files lie in.
fn common_folders<'a>(all: &[Parsed<'a>]) -> Vec<&'a str> {
    let mut common = all
        .first()
        .map(|parsed| parsed.folders.clone())
        .unwrap_or_default();
    for parsed in all {
        let same = common
            .iter()
            .zip(&parsed.folders)
            .take_while(|(a, b)| a == b)
            .count();
        common.truncate(same);
    }
    common
}

fn notes<'a>(set: &LabelledSet, unused: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut notes = Vec::new();
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
    if let Some(first) = unlabelled.first() {
        notes.push(format!(
            "{} in no folder that says what they are (the first: {}): they get scores but count in no figure. Put \
             them into good or defective.",
            count(unlabelled.len(), "image lies", "images lie"),
            first.name
        ));
    }
    if defective.is_empty() {
        notes.push(
            "No image is labelled defective: how well defects are told from good parts cannot be computed."
                .into(),
        );
    }
    if good.is_empty() {
        notes.push(
            "No image is labelled good: false alarms and the area under the ROC curve cannot be computed."
                .into(),
        );
    }
    let without: Vec<_> = defective.iter().filter(|image| image.mask.is_none()).collect();
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
    let unused: Vec<&str> = unused.collect();
    if let Some(first) = unused.first() {
        notes.push(format!(
            "{} to no defective image (the first: {first}): name masks as their images, with _mask behind.",
            count(unused.len(), "mask belongs", "masks belong")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(set: &LabelledSet) -> Vec<(&str, &str, Option<usize>)> {
        let images = set.images.iter();
        images
            .map(|image| (&*image.name, image.class.name(), image.mask))
            .collect()
    }

    #[test]
    fn the_layout_of_mvtec() {
        let set = classify_paths(&[
            "bottle/train/good/000.png",
            "bottle/test/good/000.png",
            "bottle/test/crack/000.png",
            "bottle/test/hole/000.png",
            "bottle/ground_truth/crack/000_mask.png",
            "bottle/ground_truth/hole/000.PNG",
            "bottle/license.txt",
            "bottle/test/good/.hidden.png",
            "__MACOSX/bottle/test/good/000.png",
            "bottle/test/good/001.tiff",
        ]);
        assert_eq!(set.name.as_deref(), Some("bottle"));
        assert_eq!(set.train_good, [0]);
        assert_eq!(
            shown(&set),
            [
                ("test/good/000.png", "good", None),
                ("test/crack/000.png", "crack", Some(4)),
                ("test/hole/000.png", "hole", Some(5)),
            ]
        );
        assert!(set.notes.is_empty(), "{:?}", set.notes);
    }

    #[test]
    fn good_and_defective_with_and_without_masks() {
        let set = classify_paths(&["a/good/1.jpg", "a/defective/2.jpg", "a/masks/2.png"]);
        assert_eq!(
            shown(&set),
            [
                ("good/1.jpg", "good", None),
                ("defective/2.jpg", "defective", Some(2))
            ]
        );
        assert!(set.notes.is_empty(), "{:?}", set.notes);
        let set = classify_paths(&["good/1.jpg", "scratch/2.jpg", "scratch/2_mask.png", "dent/3.jpg"]);
        assert_eq!(
            shown(&set)[1..],
            [
                ("dent/3.jpg", "dent", None),
                ("scratch/2.jpg", "scratch", Some(2))
            ]
        );
        let set = classify_paths(&[
            "x/good/1.jpg",
            "x/scratch/2.jpg",
            "x/scratch/2_mask.png",
            "x/bad/dent/3.jpg",
        ]);
        assert_eq!(
            shown(&set)[1..],
            [
                ("bad/dent/3.jpg", "dent", None),
                ("scratch/2.jpg", "scratch", Some(2))
            ]
        );
        assert!(set.notes[0].contains("1 defective image has no mask (the first: bad/dent/3.jpg)"));
        let set = classify_paths(&["set/bad/7.png", "set/good/7.png", "set/gt/bad/7.png"]);
        assert_eq!(shown(&set)[1], ("bad/7.png", "defective", Some(2)));
    }

    #[test]
    fn what_is_odd_is_said() {
        let notes = |paths: &[&str]| classify_paths(paths).notes.join(" ");
        assert!(notes(&["notes.txt"]).contains("no images to evaluate"));
        assert!(notes(&["d/good/1.png"]).contains("No image is labelled defective"));
        assert!(notes(&["d/bad/1.png"]).contains("No image is labelled good"));
        assert!(notes(&["1.png", "2.png"]).contains("2 images lie in no folder"));
        let orphan = notes(&["d/good/1.png", "d/bad/2.png", "d/masks/9.png"]);
        assert!(orphan.contains("No defective image has a mask"), "{orphan}");
        assert!(
            orphan.contains("1 mask belongs to no defective image (the first: d/masks/9.png)"),
            "{orphan}"
        );
    }
}
