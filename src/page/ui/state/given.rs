//! Files that the visitor gives, sorted by what they can be.

use crate::page::shared::content::UserFile;
use destseg_engine::data::paths;

/// Names that are said of files that are left out.
const NAMED: usize = 3;

/// Files of the visitor.
#[derive(Debug, Default)]
pub struct Given {
    /// Images, and files that came alone, whatever they are.
    pub images: Vec<UserFile>,
    /// Texts that may say what the images show.
    pub texts: Vec<Text>,
    /// Paths of other files.
    pub others: Vec<String>,
}

/// A text that may say what images show.
#[derive(Debug)]
pub struct Text {
    /// The file.
    pub file: UserFile,
    /// Its content, where that is needed to sort out a folder.
    pub content: Option<Vec<u8>>,
}

impl From<Vec<UserFile>> for Given {
    fn from(images: Vec<UserFile>) -> Self {
        Self {
            images,
            ..Self::default()
        }
    }
}

impl Given {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.texts.is_empty() && self.others.is_empty()
    }

    /// One sentence about the files that are no images.
    pub fn left_out(&self) -> Option<String> {
        let texts = self.texts.iter().map(|text| &*text.file.path);
        left_out(texts.chain(self.others.iter().map(String::as_str)))
    }
}

/// One sentence about files that are left out.
pub(super) fn left_out<'a>(paths: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = paths.map(paths::file_name).collect();
    let names = &all[..all.len().min(NAMED)];
    let more = all.len() - names.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let names = names.join(", ");
    match all.len() {
        0 => None,
        1 => Some(format!("{names} is not an image and was skipped.")),
        count => Some(format!(
            "{count} files are not images and were skipped: {names}{more}."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_briefly() {
        let said = |count: usize| {
            let paths: Vec<String> = (0..count).map(|index| format!("a/{index}.txt")).collect();
            left_out(paths.iter().map(String::as_str))
        };
        assert_eq!(said(0), None);
        assert_eq!(said(1).as_deref(), Some("0.txt is not an image and was skipped."));
        assert_eq!(
            said(5).as_deref(),
            Some("5 files are not images and were skipped: 0.txt, 1.txt, 2.txt and 2 more.")
        );
    }
}
