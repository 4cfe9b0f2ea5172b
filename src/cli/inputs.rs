//! The images that `predict` is given: files, folders with all that is below them, and patterns.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::common::note_unreadable_of;
use destseg_engine::data::dataset::files_below;
use destseg_engine::data::paths::{is_litter, is_readable_image};

/// An image to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// The file.
    pub(super) path: PathBuf,
    /// The folders between the folder that was given and the file: its results lie in folders of the same names.
    pub(super) inner: PathBuf,
}

impl Input {
    pub(super) fn file(path: PathBuf) -> Self {
        Self {
            path,
            inner: PathBuf::new(),
        }
    }
}

/// The images of what was given, in its order; in place of what gives none, why.
pub(super) fn inputs(given: &[PathBuf]) -> Vec<Result<Input>> {
    let mut all = Vec::new();
    for path in given {
        match expanded(path).and_then(|paths| {
            let mut found = Vec::new();
            for path in paths {
                found.extend(images_of(path)?);
            }
            Ok(found)
        }) {
            Ok(found) => all.extend(found.into_iter().map(Ok)),
            Err(err) => all.push(Err(err)),
        }
    }
    all
}

/// The paths that a pattern such as `*.png` stands for, where the shell leaves that to the program; else the path itself.
fn expanded(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let paths = glob::glob(&text).with_context(|| format!("{text} is no pattern of paths"))?;
    let found: Vec<PathBuf> = paths.flatten().collect();
    if found.is_empty() {
        bail!("there are no files like {text}: check the pattern");
    }
    Ok(found)
}

fn images_of(path: PathBuf) -> Result<Vec<Input>> {
    if !path.is_dir() {
        return Ok(vec![Input::file(path)]);
    }
    let files = files_below(&path)?;
    note_unreadable_of(&path, &files);
    let is_meant = |file: &PathBuf| {
        let inner = file.strip_prefix(&path).unwrap_or(file).to_string_lossy();
        is_readable_image(&inner) && !is_litter(&inner)
    };
    let files: Vec<PathBuf> = files.into_iter().filter(is_meant).collect();
    if files.is_empty() {
        bail!(
            "{} holds no images: add PNG, JPEG, TIFF, BMP, WebP or GIF files",
            path.display()
        );
    }
    let input = |file: PathBuf| {
        let folder = file.parent().unwrap_or(&path);
        let inner = folder.strip_prefix(&path).unwrap_or(Path::new("")).to_owned();
        Input { path: file, inner }
    };
    Ok(files.into_iter().map(input).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_all_below_them_and_patterns_what_they_stand_for() {
        let folder = tempfile::tempdir().expect("creates");
        let root = folder.path();
        for name in [
            "a.png",
            "x/b.jpg",
            "x/y/c.tif",
            "x/notes.txt",
            ".hidden/d.png",
            "out/a.overlay.png",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
            std::fs::write(path, "").expect("writes");
        }
        let found = |given: &str| -> Vec<(String, String)> {
            let all = inputs(&[root.join(given)]);
            all.into_iter()
                .map(|input| {
                    let input = input.expect("is found");
                    let path = input.path.strip_prefix(root).expect("is below");
                    (path.display().to_string(), input.inner.display().to_string())
                })
                .collect()
        };
        let named = |own: &[(&str, &str)]| -> Vec<(String, String)> {
            own.iter()
                .map(|&(path, inner)| (path.to_owned(), inner.to_owned()))
                .collect()
        };
        assert_eq!(
            found(""),
            named(&[
                ("a.png", ""),
                ("out/a.overlay.png", "out"),
                ("x/b.jpg", "x"),
                ("x/y/c.tif", "x/y")
            ])
        );
        assert_eq!(found("x"), named(&[("x/b.jpg", ""), ("x/y/c.tif", "y")]));
        assert_eq!(found("*.png"), named(&[("a.png", "")]));
        assert_eq!(found("x/[a-c].jpg"), named(&[("x/b.jpg", "")]));
        for (given, expected) in [
            ("*.bmp", "no files like"),
            (".hidden/none", ""),
            ("out/*.jpg", "no files like"),
        ] {
            let refused = inputs(&[root.join(given)]);
            match (&refused[0], expected) {
                (Ok(input), "") => assert!(!input.path.exists(), "what is missing is said when it is read"),
                (Err(err), _) => assert!(err.to_string().contains(expected), "{err}"),
                (Ok(input), _) => panic!("{input:?}"),
            }
        }
    }
}
