//! What the files of images are: their types and their typical size. A model notices both, so its file says what it was
//! trained from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::image::{LOSSY, probe};
use crate::order;

/// Shorter sides that differ by more than this factor are worth a note: other details are seen.
const OTHER_SIZE: f64 = 1.5;

/// Types of image files, and their typical size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Types such as `JPEG`, each once, sorted.
    pub types: Vec<String>,
    /// Median width and median height in pixels, upright.
    pub size: [u32; 2],
}

/// The type of an image file as [`super::image::type_name`] says it, and its width and height in pixels.
pub type FileFact = (&'static str, (u32, u32));

impl FileFacts {
    /// Those of some files; none of none.
    pub fn of(files: impl IntoIterator<Item = FileFact>) -> Option<Self> {
        let (mut types, mut widths, mut heights) = (Vec::new(), Vec::new(), Vec::new());
        for (name, (width, height)) in files {
            if !types.iter().any(|own: &String| own == name) {
                types.push(name.to_owned());
            }
            widths.push(width);
            heights.push(height);
        }
        order::sort_by(&mut types, Ord::cmp);
        let median = |mut values: Vec<u32>| {
            order::sort_by(&mut values, Ord::cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Self {
            types,
            size: [median(widths)?, median(heights)?],
        })
    }

    /// Those of files on disk, of which only the beginnings are looked at; files that cannot be read are left out.
    pub fn probe<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Option<Self> {
        Self::of(paths.into_iter().filter_map(|path| probe(path)))
    }

    /// What is to be known of other images by a model that was trained from these; none where they are alike. Whether
    /// compression loses something matters, and the shorter side's length.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let is_lossy = |name: &String| LOSSY.contains(&name.as_str());
        let lossy = self.types.first().map(is_lossy);
        let is_mixed = self.types.iter().any(|name| Some(is_lossy(name)) != lossy);
        let odd: Vec<&str> = other
            .types
            .iter()
            .filter(|name| !is_mixed && Some(is_lossy(name)) != lossy)
            .map(String::as_str)
            .collect();
        let side = |own: &Self| f64::from(own.size[0].min(own.size[1]).max(1));
        let factor = side(self) / side(other);
        let other_size = !(1.0 / OTHER_SIZE..=OTHER_SIZE).contains(&factor);
        let [own, these] = [(self, self.types.join(", ")), (other, odd.join(", "))].map(|(facts, types)| {
            let [width, height] = facts.size;
            let mut words = match (odd.is_empty(), facts == self) {
                (true, _) => "images".to_owned(),
                (_, true) => {
                    let kind = if lossy == Some(true) { "lossy" } else { "lossless" };
                    format!("{kind} files ({types})")
                }
                (_, false) => format!("{types} files"),
            };
            if other_size {
                words += &format!(" of {width} x {height} pixels");
            }
            words
        });
        (other_size || !odd.is_empty()).then(|| {
            format!(
                "the model was trained on {own}, not on {these}: scores may differ slightly, check some good parts"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(types: &[&'static str], size: (u32, u32)) -> FileFacts {
        FileFacts::of(types.iter().map(|&name| (name, size))).expect("has files")
    }

    #[test]
    fn types_come_once_and_sizes_are_medians() {
        assert_eq!(FileFacts::of([]), None);
        let files = [("PNG", (10, 500)), ("JPEG", (30, 20)), ("PNG", (20, 30))];
        let found = FileFacts::of(files).expect("has files");
        assert_eq!(found.types, ["JPEG", "PNG"]);
        assert_eq!(found.size, [20, 30]);
    }

    #[test]
    fn another_class_of_type_and_another_size_are_said() {
        let trained = facts(&["PNG", "BMP"], (512, 512));
        let said = |types: &[&'static str], size| trained.difference(&facts(types, size)).unwrap_or_default();
        assert_eq!(
            said(&["JPEG", "PNG"], (600, 400)),
            "the model was trained on lossless files (BMP, PNG), not on JPEG files: scores may differ slightly, check \
             some good parts"
        );
        assert!(said(&["PNG"], (340, 900)).starts_with(
            "the model was trained on images of 512 x 512 pixels, not on images of 340 x 900 pixels:"
        ));
        assert!(said(&["JPEG"], (3024, 4032)).starts_with(
            "the model was trained on lossless files (BMP, PNG) of 512 x 512 pixels, not on JPEG files of 3024 x 4032 \
             pixels:"
        ));
        let lossy = facts(&["JPEG"], (512, 512));
        let text = lossy.difference(&facts(&["PNG"], (512, 512))).expect("differs");
        assert!(text.contains("lossy files (JPEG), not on PNG files"), "{text}");
    }

    #[test]
    fn alike_is_alike() {
        let trained = facts(&["PNG"], (300, 450));
        for (types, size) in [
            (&["BMP"][..], (450, 300)),
            (&["lossless WebP"], (450, 450)),
            (&["GIF", "PNG"], (200, 9000)),
        ] {
            assert_eq!(
                trained.difference(&facts(types, size)),
                None,
                "{types:?} {size:?}"
            );
        }
        // who was trained on both knows both
        let both = facts(&["JPEG", "PNG"], (300, 300));
        for name in ["JPEG", "PNG"] {
            assert_eq!(both.difference(&facts(&[name], (300, 300))), None);
        }
    }
}
