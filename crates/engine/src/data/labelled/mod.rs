//! Which files of a folder are good, which are defective, and which are masks: told by their paths, so that the page and the
//! command line tell it alike.
//!
//! ```text
//! test/good/*   test/DEFECT/*   ground_truth/DEFECT/NAME_mask.*    MVTec AD
//! good/*        defective/*     masks/NAME.*                       any names for the folders of defects
//! ```
//!
//! Masks belong to the image of the same name in the same folder, folders like `test`, `images` and `masks` left out: so
//! other layouts of the field are read, too (MVTec LOCO, AD 2 and 3D-AD, `VisA`, BTAD, `KolektorSDD`). In place of a mask there
//! may be an annotation of `LabelMe`, COCO or YOLO. Of two kinds of files the content counts, too: COCO's, and tables
//! (CSV) that say what each image is.

mod layout;
mod masks;
mod notes;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::annotations;
use super::paths::{ending, is_image, is_litter, is_readable_image};
use crate::error::count;
use crate::order;
pub(crate) use layout::says_good;
use layout::{Place, Purpose};
pub use layout::{image_stem, is_telling};
use masks::Masks;
use notes::Unused;
pub use notes::unreadable;
use table::{Listed, Table};

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
    /// Its path, with plain slashes.
    pub path: String,
    /// The path from the folder that all have in common.
    pub name: String,
    /// What it is said to be.
    pub class: Class,
    /// The files that say where it is defective: masks, one or one for each defect, or annotations. Of an image without class
    /// they tell the class, too.
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
    /// Images that are there to train on, each with the files that tell whether it is good.
    pub train_masked: Vec<(usize, Vec<usize>)>,
    /// Whether folders say which images are there to train on or to test with.
    pub has_split: bool,
    /// What is odd about the folder, one sentence each.
    pub notes: Vec<String>,
}

/// A path in its parts.
struct Parsed<'a> {
    file: usize,
    path: &'a str,
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
    (!is_litter(path)).then_some(Parsed {
        file,
        path,
        folders,
        stem,
        name,
    })
}

impl Parsed<'_> {
    /// The image, with a name that leaves out so many folders.
    fn image(&self, common: usize, class: Class, masks: Vec<usize>) -> LabelledImage {
        let mut name = self.folders[common.min(self.folders.len())..].to_vec();
        name.push(self.name);
        LabelledImage {
            file: self.file,
            path: self.path.replace('\\', "/"),
            name: name.join("/"),
            class,
            masks,
        }
    }
}

/// The text files among these paths whose content [`classify`] wants: tables, and annotations of many images.
pub fn texts_to_read<S: AsRef<str>>(paths: &[S]) -> Vec<usize> {
    /// Of the tables of one folder this one counts: the split of `VisA` that figures are published for.
    const ONE_CLASS: &str = "1cls.csv";
    let all: Vec<Parsed<'_>> = paths
        .iter()
        .enumerate()
        .filter_map(|(file, path)| parse(file, path.as_ref()))
        .collect();
    let images = all.iter().filter(|own| is_image(own.name));
    let images: BTreeSet<&str> = images.map(|own| own.stem).collect();
    let decided: Vec<&[&str]> = all
        .iter()
        .filter(|own| own.name == ONE_CLASS)
        .map(|own| &own.folders[..])
        .collect();
    let is_wanted = |own: &&Parsed<'_>| match ending(own.name).as_deref() {
        Some("csv") => own.name == ONE_CLASS || !decided.contains(&&own.folders[..]),
        // beside `a.png` there may be `a.json` or `a.png.json`
        Some("json") => !images.contains(own.stem) && !is_image(own.stem),
        _ => false,
    };
    all.iter().filter(is_wanted).map(|own| own.file).collect()
}

/// Whether a text says anything about images: others need not be kept.
pub fn is_useful(path: &str, bytes: &[u8]) -> bool {
    ending(path).as_deref() == Some("csv") || annotations::names(bytes).is_some()
}

/// Sorts out a folder by the paths of its files alone.
pub fn classify_paths<S: AsRef<str>>(paths: &[S]) -> LabelledSet {
    classify(paths, &[], &[])
}

/// Sorts out a folder by the paths of its files, with `/` between their parts, and the content of those that [`texts_to_read`]
/// names. What is no image is left out. `more` has endings of image files, in lower case, that the caller can open although the
/// engine cannot.
pub fn classify<S: AsRef<str>>(paths: &[S], texts: &[(usize, Vec<u8>)], more: &[&str]) -> LabelledSet {
    let all = paths
        .iter()
        .enumerate()
        .filter_map(|(file, path)| parse(file, path.as_ref()));
    let is_more = |name: &str| ending(name).is_some_and(|ending| more.contains(&ending.as_str()));
    let (images, others): (Vec<_>, Vec<_>) =
        all.partition(|own| is_readable_image(own.name) || is_more(own.name));
    let common = common_folders(&images);
    let mut sorter = Sorter {
        table: Table::read(texts.iter().map(|(_, bytes)| &bytes[..])),
        ..Sorter::default()
    };
    sorter.set.name = common
        .iter()
        .rev()
        .find(|part| !is_telling(part))
        .map(|part| (*part).to_owned());
    sorter.add_texts(&images, &others, texts);
    sorter.add_images(&images);
    sorter.unused.unreadable = others
        .iter()
        .filter(|own| is_image(own.name))
        .map(|own| own.path)
        .collect();
    sorter.finish(&common, paths)
}

/// An image, and what its folders say.
type Candidate<'a> = (&'a Parsed<'a>, Place<'a>);

/// Sorts the files of a folder.
#[derive(Default)]
struct Sorter<'a> {
    set: LabelledSet,
    table: Table,
    table_is_used: bool,
    masks: Masks<'a>,
    /// Pictures of masks.
    mask_files: Vec<usize>,
    /// Images to evaluate ...
    images: Vec<Candidate<'a>>,
    /// ... those of which a table says what they are, with the masks that it names ...
    listed: Vec<(&'a Parsed<'a>, Place<'a>, Class, Option<usize>)>,
    /// ... and images to train on of which no folder says what they are.
    unlabelled: Vec<Candidate<'a>>,
    unused: Unused<'a>,
}

impl<'a> Sorter<'a> {
    /// Annotations, of one image each or of many.
    fn add_texts(&mut self, images: &[Parsed<'a>], others: &'a [Parsed<'a>], texts: &[(usize, Vec<u8>)]) {
        let stems: BTreeSet<&str> = images.iter().map(|own| own.stem).collect();
        for own in others {
            let text = texts.iter().find(|(file, _)| *file == own.file);
            let names = text.and_then(|(_, bytes)| annotations::names(bytes));
            match (ending(own.name).as_deref(), names) {
                (Some("json"), Some(names)) => self.masks.add_many(own, names, images),
                (Some("json" | "txt"), None) if stems.contains(own.stem) => {
                    self.masks
                        .add_annotation(&Place::of(&own.folders), own.stem, own.file);
                }
                _ => {}
            }
        }
    }

    fn add_images(&mut self, all: &'a [Parsed<'a>]) {
        let beside: BTreeSet<(&[&str], &str)> = all.iter().map(|own| (&own.folders[..], own.stem)).collect();
        let places: Vec<Place<'_>> = all.iter().map(|own| Place::of(&own.folders)).collect();
        let image_stems: BTreeSet<&str> = all
            .iter()
            .zip(&places)
            .filter(|(_, place)| !place.is_mask)
            .map(|(own, _)| own.stem)
            .collect();
        let count = all.iter().map(|own| own.file + 1).max().unwrap_or_default();
        let listed = self.table.find(count, all.iter().map(|own| (own.file, own.path)));
        self.table_is_used = listed.iter().any(Option::is_some);
        for (parsed, place) in all.iter().zip(places) {
            let stem = image_stem(parsed.stem);
            let is_beside = stem.len() < parsed.stem.len()
                && (parsed.stem.to_lowercase().ends_with("_mask")
                    || beside.contains(&(&parsed.folders[..], stem)));
            self.set.has_split |= place.has_purpose;
            match &listed[parsed.file] {
                Some(Listed::Mask) => continue,
                Some(Listed::Image { class, purpose, mask }) => {
                    self.set.has_split |= purpose.is_some();
                    let purpose = purpose.unwrap_or(place.purpose);
                    self.add_listed(parsed, place, purpose, class, *mask);
                    continue;
                }
                None => {}
            }
            if place.is_measurement {
                self.unused.measurements += 1;
            } else if place.is_mask || is_beside {
                // a name that ends like a mask's may be the image's own
                let is_whole = place.is_mask && image_stems.contains(parsed.stem);
                self.masks
                    .add(&place, if is_whole { parsed.stem } else { stem }, parsed.file);
                self.mask_files.push(parsed.file);
            } else if place.purpose == Purpose::Train {
                match place.says_good() {
                    true => self.set.train_good.push(parsed.file),
                    false => self.unlabelled.push((parsed, place)),
                }
            } else if place.purpose == Purpose::Validation {
                self.unused.validation += 1;
            } else {
                self.images.push((parsed, place));
            }
        }
    }

    /// An image of which a table says what it is.
    fn add_listed(
        &mut self,
        parsed: &'a Parsed<'a>,
        place: Place<'a>,
        purpose: Purpose,
        class: &Class,
        mask: Option<usize>,
    ) {
        match (purpose, class) {
            (Purpose::Train, Class::Good) => self.set.train_good.push(parsed.file),
            (Purpose::Test, _) => self.listed.push((parsed, place, class.clone(), mask)),
            _ => self.unused.validation += 1,
        }
    }

    fn finish<S: AsRef<str>>(mut self, common: &[&str], paths: &'a [S]) -> LabelledSet {
        let mut set = self.set;
        let roots: BTreeSet<&[&str]> = self
            .images
            .iter()
            .filter_map(|(_, place)| place.beside_good())
            .collect();
        let classes: Vec<Class> = self
            .images
            .iter()
            .map(|(_, place)| place.class(&roots, set.has_split))
            .collect();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for ((parsed, _), class) in self.images.iter().zip(&classes) {
            *names.entry(parsed.stem).or_default() += usize::from(*class != Class::Good);
        }
        for ((parsed, place), class) in self.images.iter().zip(classes) {
            let masks = match class {
                Class::Good => Vec::new(),
                Class::Defective(_) | Class::Unlabelled => self.masks.take(parsed, place, &names),
            };
            set.images.push(parsed.image(common.len(), class, masks));
        }
        for (parsed, place, class, mask) in self.listed {
            let masks = match (mask, &class) {
                (Some(mask), _) => vec![mask],
                (None, Class::Good) => Vec::new(),
                (None, _) => self.masks.take(parsed, &place, &names),
            };
            set.images.push(parsed.image(common.len(), class, masks));
        }
        for (parsed, place) in &self.unlabelled {
            let masks = self.masks.take(parsed, place, &names);
            if !masks.is_empty() {
                set.train_masked.push((parsed.file, masks));
            }
        }
        order::sort_by(&mut set.images, |a, b| {
            (&a.class, &a.name).cmp(&(&b.class, &b.name))
        });
        let is_left = |file: &usize| !self.masks.taken.contains(file);
        self.unused.tables = self.masks.unused_many(paths);
        if !self.table.is_empty() && !self.table_is_used {
            self.unused.tables.push("a table of labels");
        }
        let left = self.mask_files.into_iter().filter(is_left);
        self.unused.masks = left.map(|file| paths[file].as_ref()).collect();
        set.notes = notes::notes(&set, &self.unused);
        set
    }
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
