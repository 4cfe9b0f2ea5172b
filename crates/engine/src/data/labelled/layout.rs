//! What the path of a file says.

use std::collections::BTreeSet;

use super::{Class, SOME_DEFECT};

/// Names of folders with good images.
const GOOD: [&str; 18] = [
    "good",
    "ok",
    "io",
    "normal",
    "pass",
    "passed",
    "correct",
    "ok_images",
    "good_images",
    "defect_free",
    "defect-free",
    "no_defect",
    "non_defective",
    "gut",
    "bon",
    "bons",
    "buono",
    "bueno",
];
/// Names of folders that say no more than that their images are defective.
const DEFECTIVE: [&str; 22] = [
    "defective",
    "defect",
    "defects",
    "bad",
    "ng",
    "nok",
    "ko",
    "nio",
    "not_ok",
    "anomaly",
    "anomalies",
    "anomalous",
    "abnormal",
    "fail",
    "failed",
    "faulty",
    "reject",
    "rejected",
    "defekt",
    "schlecht",
    "mauvais",
    "difettoso",
];
/// Names of folders with masks.
const MASKS: [&str; 12] = [
    "ground_truth",
    "groundtruth",
    "masks",
    "mask",
    "gt",
    "gts",
    "label",
    "labels",
    "annotation",
    "annotations",
    "segmentation",
    "segmentations",
];
/// Endings of the names of folders with masks of what is before: `bad_masks`.
const MASKS_OF: [&str; 5] = ["_masks", "_mask", "_gt", "_labels", "_ground_truth"];
/// Endings of the stems of masks.
const MASK_STEMS: [&str; 8] = [
    "_mask", "_masks", "_label", "_labels", "_gt", "_seg", "-mask", ".mask",
];
/// Names of folders that say only what their files are.
const NEUTRAL: [&str; 6] = ["rgb", "image", "images", "img", "imgs", "data"];
/// Names of folders with images to test with ...
const TEST: [&str; 3] = ["test", "testing", "test_public"];
/// ... to train on ...
const TRAIN: [&str; 2] = ["train", "training"];
/// ... to choose settings by ...
const VALIDATION: [&str; 4] = ["validation", "valid", "val", "dev"];
/// ... and beginning of the names of folders whose labels are kept back.
const PRIVATE: &str = "test_private";
/// Folders of files that look like images and hold measurements.
const MEASUREMENTS: [&str; 3] = ["xyz", "depth", "pcd"];

/// Whether a folder's name says that its images are good or defective.
fn says_class(part: &str) -> bool {
    is_one_of(&GOOD, part) || is_one_of(&DEFECTIVE, part)
}

/// Whether a word says that something is good.
pub(crate) fn says_good(word: &str) -> bool {
    is_one_of(&GOOD, word)
}

/// Whether a word says no more than that something is defective.
pub(super) fn says_defective(word: &str) -> bool {
    is_one_of(&DEFECTIVE, word)
}

fn is_one_of(names: &[&str], part: &str) -> bool {
    names.iter().any(|name| part.eq_ignore_ascii_case(name))
}

/// Whether a folder's name says what its images are or are for, and does not name the part.
pub fn is_telling(part: &str) -> bool {
    [
        &GOOD[..],
        &DEFECTIVE,
        &MASKS,
        &TEST,
        &TRAIN,
        &VALIDATION,
        &NEUTRAL,
    ]
    .iter()
    .any(|names| is_one_of(names, part))
}

/// The stem without what says that a file is a mask; the whole stem of an image.
pub fn image_stem(stem: &str) -> &str {
    before(stem, &MASK_STEMS).unwrap_or(stem)
}

/// What stands before the first of these endings that a name has.
fn before<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    endings.iter().find_map(|ending| {
        let start = name.len().checked_sub(ending.len())?;
        let own = name.get(start..)?;
        (start > 0 && own.eq_ignore_ascii_case(ending)).then(|| &name[..start])
    })
}

/// What an image is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    Train,
    Test,
    /// Neither.
    Validation,
}

impl Purpose {
    /// As a table names it.
    pub(super) fn of_split(name: &str) -> Self {
        if is_one_of(&TRAIN, name) {
            Self::Train
        } else if is_one_of(&TEST, name) {
            Self::Test
        } else {
            Self::Validation
        }
    }
}

/// What the folders of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) purpose: Purpose,
    /// Whether it lies among masks.
    pub(super) is_mask: bool,
    /// Whether its label is kept back.
    pub(super) is_private: bool,
    /// Whether it is a measurement that looks like an image.
    pub(super) is_measurement: bool,
    /// The folders from the root without those that say what files are or are for: equal for an image and its masks.
    pub(super) key: Vec<&'a str>,
    /// The folders below `test` or `train`; all, where there is none.
    below: Vec<&'a str>,
    /// Whether there is one of these.
    pub(super) has_purpose: bool,
}

impl<'a> Place<'a> {
    pub(super) fn of(folders: &[&'a str]) -> Self {
        let mut own = Self {
            purpose: Purpose::Test,
            is_mask: false,
            is_private: false,
            is_measurement: false,
            key: Vec::new(),
            below: Vec::new(),
            has_purpose: false,
        };
        for &part in folders {
            let purpose = if is_one_of(&TEST, part) {
                Some(Purpose::Test)
            } else if is_one_of(&TRAIN, part) {
                Some(Purpose::Train)
            } else if is_one_of(&VALIDATION, part) {
                Some(Purpose::Validation)
            } else {
                None
            };
            let is_private = part.to_lowercase().starts_with(PRIVATE);
            if let Some(purpose) = purpose.or(is_private.then_some(Purpose::Test)) {
                own.purpose = purpose;
                own.is_private |= is_private;
                own.has_purpose = true;
                own.below.clear();
            } else if is_one_of(&MASKS, part) {
                own.is_mask = true;
            } else if let Some(kind) = before(part, &MASKS_OF) {
                own.is_mask = true;
                own.key.push(kind);
            } else if is_one_of(&MEASUREMENTS, part) {
                own.is_measurement = true;
            } else if !is_one_of(&NEUTRAL, part) {
                own.key.push(part);
                own.below.push(part);
            }
        }
        own
    }

    /// Whether a folder says that its images are good; the outermost that says anything counts.
    pub(super) fn says_good(&self) -> bool {
        self.below
            .iter()
            .find(|part| says_class(part))
            .is_some_and(|part| is_one_of(&GOOD, part))
    }

    /// What the folders name as purpose.
    pub(super) fn named_purpose(&self) -> Option<Purpose> {
        self.has_purpose.then_some(self.purpose)
    }

    /// The folders above the one that says that images are good: what lies beside that is defective.
    pub(super) fn beside_good(&self) -> Option<&[&'a str]> {
        let good = self.below.iter().position(|part| is_one_of(&GOOD, part))?;
        Some(&self.below[..good])
    }

    /// What the image is said to be. `roots` are the folders in which a folder of good images lies; `has_split` is whether
    /// folders say which images are there to test with.
    pub(super) fn class(&self, roots: &BTreeSet<&[&str]>, has_split: bool) -> Class {
        if self.is_private {
            return Class::Unlabelled;
        }
        let named = self.below.iter().position(|part| says_class(part));
        let beside = roots
            .iter()
            .filter(|root| self.below.len() > root.len() && self.below.starts_with(root))
            .map(|root| root.len())
            .max();
        let start = match (named, beside, self.has_purpose) {
            (Some(named), ..) => named,
            // beside `test` and `train` lies anything
            (None, _, false) if has_split => return Class::Unlabelled,
            (None, Some(beside), _) => beside,
            (None, None, true) => 0,
            (None, None, false) => return Class::Unlabelled,
        };
        let Some(&own) = self.below.get(start) else {
            return Class::Unlabelled;
        };
        if is_one_of(&GOOD, own) {
            Class::Good
        } else if is_one_of(&DEFECTIVE, own) {
            // a folder in one of defective images names the kind
            Class::Defective((*self.below.get(start + 1).unwrap_or(&SOME_DEFECT)).into())
        } else {
            Class::Defective(own.into())
        }
    }
}
