//! Where the images of `destseg plan eval` are: a folder or S3.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::Storage;
use super::files::hash;
use super::store::Store;
use crate::cli::common::folder_name;
use destseg_engine::data::dataset::files_below;

/// A file as it was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Planned {
    /// Its path in the place, with slashes.
    pub(super) file: String,
    /// What changes with its content: its SHA-256, or the tag that S3 gives it. Empty if it could not be read.
    pub(super) mark: String,
}

/// A place with images.
#[derive(Debug)]
pub(super) enum Source {
    Folder(PathBuf),
    Bucket(Store),
}

impl Source {
    /// Opens a folder or an address of S3.
    ///
    /// # Errors
    /// If there is no such place.
    pub(super) fn open(address: &str, storage: &Storage) -> Result<Self> {
        let place = Storage {
            store: address.to_owned(),
            ..storage.clone()
        };
        let store = place.open()?;
        Ok(match store.folder() {
            Some(folder) => Self::Folder(super::plan::absolute(folder)?),
            None => Self::Bucket(store),
        })
    }

    /// Its last part.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder_name(folder),
            Self::Bucket(store) => store.name(),
        }
    }

    /// Its address, wherever a program starts.
    pub(super) fn address(&self) -> String {
        match self {
            Self::Folder(folder) => folder.display().to_string(),
            Self::Bucket(store) => store.to_string(),
        }
    }

    /// All files, each with its mark where a list has it.
    ///
    /// # Errors
    /// If a folder cannot be read, a name is not UTF-8, or the storage cannot be reached.
    pub(super) fn list(&self) -> Result<Vec<(String, Option<String>)>> {
        match self {
            Self::Folder(folder) => {
                let files = files_below(folder)?;
                files
                    .iter()
                    .map(|file| Ok((inner(folder, file)?, None)))
                    .collect()
            }
            Self::Bucket(store) => {
                let files = store.list("")?.into_iter();
                Ok(files.map(|(name, mark)| (name, Some(mark))).collect())
            }
        }
    }

    /// A file with the mark of its content, or in words why there is none.
    ///
    /// # Errors
    /// If the storage cannot be reached, or the folder is gone.
    pub(super) fn read(&self, file: &str) -> Result<Result<(Vec<u8>, String), String>> {
        const GONE: &str = "it has vanished since it was planned";
        match self {
            Self::Folder(folder) => match std::fs::read(folder.join(file)) {
                Ok(content) => {
                    let mark = hash(&content);
                    Ok(Ok((content, mark)))
                }
                Err(_) if !folder.is_dir() => {
                    bail!("there is no folder {}: check the address", folder.display())
                }
                Err(err) if err.kind() == ErrorKind::NotFound => Ok(Err(GONE.into())),
                Err(err) => Ok(Err(format!("it cannot be read ({err})"))),
            },
            Self::Bucket(store) => Ok(store.get_marked(file)?.ok_or_else(|| GONE.into())),
        }
    }

    /// The content of a file that has not changed since it was planned, or in words why there is none.
    ///
    /// # Errors
    /// See [`Self::read`].
    pub(super) fn get(&self, planned: &Planned) -> Result<Result<Vec<u8>, String>> {
        let read = self.read(&planned.file)?;
        Ok(read.and_then(|(content, mark)| match mark == planned.mark {
            true => Ok(content),
            false => Err("it has changed since it was planned".into()),
        }))
    }
}

/// The path of a file below a folder, with slashes.
fn inner(folder: &Path, file: &Path) -> Result<String> {
    let inner = file.strip_prefix(folder).unwrap_or(file);
    match inner.to_str() {
        Some(name) => Ok(name.replace(std::path::MAIN_SEPARATOR, "/")),
        None => Err(anyhow!(
            "the name of {} is not UTF-8, which plans need: rename it",
            file.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path) -> Source {
        Source::Folder(folder.to_owned())
    }

    #[test]
    fn files_keep_odd_names_and_changes_are_said() {
        let folder = tempfile::tempdir().expect("creates");
        let source = source(folder.path());
        let names = ["a b/\u{e9} #1.png", "a b/100%.png", "line\nbreak.png"];
        std::fs::create_dir(folder.path().join("a b")).expect("creates");
        for name in names {
            std::fs::write(folder.path().join(name), name).expect("writes");
        }
        let listed = source.list().expect("lists");
        assert_eq!(listed.len(), names.len());
        for (file, _) in listed {
            let (content, mark) = source.read(&file).expect("reads").expect("is there");
            assert_eq!(content, file.as_bytes());
            let planned = Planned { file, mark };
            assert_eq!(source.get(&planned).expect("reads"), Ok(content.clone()));
            // as many bytes as before
            let path = folder.path().join(&planned.file);
            std::fs::write(&path, vec![b'x'; content.len()]).expect("writes");
            let said = source.get(&planned).expect("reads").expect_err("is another");
            assert!(said.contains("changed"), "{said}");
            std::fs::remove_file(&path).expect("removes");
            let said = source.get(&planned).expect("reads").expect_err("is gone");
            assert!(said.contains("vanished"), "{said}");
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_no_reason_to_call_its_images_gone() {
        let folder = tempfile::tempdir().expect("creates");
        let source = source(&folder.path().join("moved"));
        let err = source.read("a.png").expect_err("is gone");
        assert!(err.to_string().contains("there is no folder"), "{err}");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_is_named() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().expect("creates");
        let name = std::ffi::OsStr::from_bytes(b"part\xff.png");
        std::fs::write(folder.path().join(name), "").expect("writes");
        let err = source(folder.path()).list().expect_err("is refused").to_string();
        assert!(err.contains("part") && err.contains("rename it"), "{err}");
    }
}
