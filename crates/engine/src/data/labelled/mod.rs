//! Which files of a folder are good, which are defective, and which are masks: told by their paths
//! alone, so that the page and the command line tell it alike.
//!
//! ```text
//! test/good/*   test/DEFECT/*   ground_truth/DEFECT/NAME_mask.*    MVTec AD
//! good/*        defective/*     masks/NAME.*                       any names for the folders of defects
//! ```
//!
//! Masks belong to the image of the same name in the same folder, folders like `test`, `images` and `masks` left out: so
//! other layouts of the field are read, too (MVTec LOCO, AD 2 and 3D-AD, `VisA`, BTAD, `KolektorSDD`).

mod layout;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::paths::{is_litter, is_readable_image};
use crate::error::count;
use layout::{Place, Purpose};
pub use layout::{image_stem, is_telling};

/// What defective images are called where nothing names the kind of defect.
pub const SOME_DEFECT: &str = "defective";

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
    /// The files with masks of its defects: one, or one for each defect. An image without class has one that tells its class.
    pub masks: Vec<usize>,
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
    /// Images that are there to train on, each with the mask that tells whether it is good.
    pub train_masked: Vec<(usize, usize)>,
    /// Whether folders say which images are there to train on or to test with.
    pub has_split: bool,
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

/// What masks are found by: whether they lie in `train` or `test`, if in any, the other folders, and the stem.
type Key<'a> = (Option<Purpose>, Vec<&'a str>, &'a str);

/// Masks by what they belong to.
#[derive(Default)]
struct Masks<'a> {
    by_key: BTreeMap<Key<'a>, Vec<usize>>,
    taken: Vec<usize>,
}

impl<'a> Masks<'a> {
    fn add(&mut self, place: &Place<'a>, stem: &'a str, file: usize) {
        let (purpose, mut key) = (place.named_purpose(), place.key.clone());
        self.by_key
            .entry((purpose, key.clone(), stem))
            .or_default()
            .push(file);
        // a folder of masks for each image
        if let Some(own) = key.pop() {
            self.by_key.entry((purpose, key, own)).or_default().push(file);
        }
    }

    /// Those of an image. Masks that lie in one folder for all kinds belong to the only image of their name.
    fn take(&mut self, image: &Parsed<'a>, place: &Place<'a>, names: &BTreeMap<&str, usize>) -> Vec<usize> {
        let mut key = place.key.clone();
        // masks beside `test` have no purpose of their own
        let find = |own: &Self, key: &[&'a str]| {
            let purposes = [place.named_purpose(), None].into_iter();
            let mut found =
                purposes.filter_map(|purpose| own.by_key.get(&(purpose, key.to_vec(), image.stem)));
            found.next().cloned()
        };
        let mut found = find(self, &key);
        if found.is_none() && names.get(image.stem) == Some(&1) {
            key.pop();
            found = find(self, &key);
        }
        let found = found.unwrap_or_default();
        self.taken.extend(&found);
        found
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
    let mut set = LabelledSet {
        name: common
            .iter()
            .rev()
            .find(|part| !is_telling(part))
            .map(|part| (*part).to_owned()),
        ..LabelledSet::default()
    };
    let beside: BTreeSet<(&[&str], &str)> = all.iter().map(|own| (&own.folders[..], own.stem)).collect();
    let places: Vec<Place<'_>> = all.iter().map(|own| Place::of(&own.folders)).collect();
    let image_stems: BTreeSet<&str> = all
        .iter()
        .zip(&places)
        .filter(|(_, place)| !place.is_mask)
        .map(|(own, _)| own.stem)
        .collect();
    let mut masks = Masks::default();
    let mut given_masks = Vec::new();
    let mut images = Vec::new();
    let mut unlabelled = Vec::new();
    let mut unused = [0; 2];
    for (parsed, place) in all.iter().zip(places) {
        set.has_split |= place.has_purpose;
        let stem = image_stem(parsed.stem);
        let is_beside = stem.len() < parsed.stem.len()
            && (parsed.stem.to_lowercase().ends_with("_mask")
                || beside.contains(&(&parsed.folders[..], stem)));
        if place.is_measurement {
            unused[0] += 1;
        } else if place.is_mask || is_beside {
            // a name that ends like a mask's may be the image's own
            let is_whole = place.is_mask && image_stems.contains(parsed.stem);
            masks.add(&place, if is_whole { parsed.stem } else { stem }, parsed.file);
            given_masks.push(parsed.file);
        } else if place.purpose == Purpose::Train {
            match place.says_good() {
                true => set.train_good.push(parsed.file),
                false => unlabelled.push((parsed, place)),
            }
        } else if place.purpose == Purpose::Validation {
            unused[1] += 1;
        } else {
            images.push((parsed, place));
        }
    }
    let roots: BTreeSet<&[&str]> = images
        .iter()
        .filter_map(|(_, place)| place.beside_good())
        .collect();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let classes: Vec<Class> = images
        .iter()
        .map(|(_, place)| place.class(&roots, set.has_split))
        .collect();
    for ((parsed, _), class) in images.iter().zip(&classes) {
        *names.entry(parsed.stem).or_default() += usize::from(*class != Class::Good);
    }
    for ((parsed, place), class) in images.iter().zip(classes) {
        let masks = match class {
            Class::Good => Vec::new(),
            Class::Defective(_) | Class::Unlabelled => masks.take(parsed, place, &names),
        };
        let mut name: Vec<&str> = parsed.folders[common.len().min(parsed.folders.len())..].to_vec();
        name.push(parsed.name);
        set.images.push(LabelledImage {
            file: parsed.file,
            name: name.join("/"),
            class,
            masks,
        });
    }
    for (parsed, place) in &unlabelled {
        if let [mask] = masks.take(parsed, place, &names)[..] {
            set.train_masked.push((parsed.file, mask));
        }
    }
    set.images
        .sort_by(|a, b| (&a.class, &a.name).cmp(&(&b.class, &b.name)));
    let is_left = |file: &usize| !masks.taken.contains(file);
    let left = given_masks.into_iter().filter(is_left);
    set.notes = notes(&set, left.map(|file| paths[file].as_ref()), unused);
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

fn notes<'a>(
    set: &LabelledSet,
    unused: impl Iterator<Item = &'a str>,
    [measurements, validation]: [usize; 2],
) -> Vec<String> {
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
    if measurements > 0 {
        notes.push(format!(
            "{} left out: distances or heights, not pictures.",
            count(measurements, "file is", "files are")
        ));
    }
    if validation > 0 {
        notes.push(format!(
            "{} for validation left out: neither trained on nor tested with.",
            count(validation, "image is", "images are")
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
    let unused: Vec<&str> = unused.collect();
    if let Some(first) = unused.first() {
        notes.push(format!(
            "{} to no defective image (the first: {first}): name masks as their images, with _mask behind.",
            count(unused.len(), "mask belongs", "masks belong")
        ));
    }
    notes
}

impl LabelledSet {
    /// What was understood of the folder, in a sentence.
    pub fn summary(&self) -> String {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        let [mut good, mut unlabelled, mut masks] = [0; 3];
        for image in &self.images {
            match &image.class {
                Class::Good => good += 1,
                Class::Defective(kind) => *kinds.entry(kind).or_default() += 1,
                Class::Unlabelled => unlabelled += 1,
            }
            masks += usize::from(!image.masks.is_empty());
        }
        let defective: usize = kinds.values().sum();
        let mut parts = vec![format!("{good} good"), format!("{defective} defective")];
        if kinds.len() > 1 {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            parts[1] = format!("{defective} defective ({})", kinds.join(", "));
        }
        if unlabelled > 0 {
            parts.push(format!("{unlabelled} without a label"));
        }
        format!(
            "{}: {}; {masks} of them with masks",
            count(self.images.len(), "test image", "test images"),
            parts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests;
