//! Hashes of files and folders, and files under their hash.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::store::Store;
use destseg_engine::Error;
use destseg_engine::data::dataset::{TestSet, files_below};

/// SHA-256 in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes).into_iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes of what lies on the disk, each computed once.
#[derive(Debug, Default)]
pub(super) struct Hashes(Mutex<HashMap<PathBuf, String>>);

impl Hashes {
    /// The hash of a file's content, or of the names and contents of all files of a folder and of the folder's name.
    ///
    /// # Errors
    /// If something cannot be read.
    pub(super) fn of(&self, path: &Path) -> Result<String> {
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let own = if path.is_dir() {
            of_folder(path)?
        } else {
            of_file(path)?
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.entry(path.to_owned()).or_insert(own).clone())
    }
}

fn of_file(path: &Path) -> Result<String> {
    Ok(hash(&std::fs::read(path).map_err(Error::io("read", path))?))
}

fn of_folder(folder: &Path) -> Result<String> {
    // a labelled set has tables beside its folder
    let files = match TestSet::open(folder) {
        Ok(set) => set.files,
        Err(_) => files_below(folder)?,
    };
    let mut text = crate::cli::common::folder_name(folder);
    for file in files {
        let inner = file.strip_prefix(folder).ok();
        let name = inner.or(file.file_name().map(Path::new)).unwrap_or(&file);
        text += &format!(
            "\n{} {}",
            of_file(&file)?,
            name.to_string_lossy().replace('\\', "/")
        );
    }
    Ok(hash(text.as_bytes()))
}

/// Puts a file under its hash, which is returned. A damaged one is written anew.
///
/// # Errors
/// If the storage cannot be reached.
pub(super) fn put_blob(store: &Store, content: Vec<u8>) -> Result<String> {
    let hash = hash(&content);
    if blob(store, &hash)?.is_err() {
        store.put(&name_of(&hash), content)?;
    }
    Ok(hash)
}

/// The file with this hash, or in words what is wrong with it.
///
/// # Errors
/// If the storage cannot be reached.
pub(super) fn blob(store: &Store, wanted: &str) -> Result<Result<Vec<u8>, String>> {
    let name = name_of(wanted);
    Ok(match store.get(&name)? {
        None => Err(format!("{name} is missing")),
        Some(content) if hash(&content) != wanted => Err(format!("{name} is damaged")),
        Some(content) => Ok(content),
    })
}

fn name_of(hash: &str) -> String {
    format!("blobs/{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_count_and_times_do_not() {
        let folder = tempfile::tempdir().expect("creates");
        let root = folder.path().join("part");
        let good = root.join("train/good");
        std::fs::create_dir_all(&good).expect("creates");
        let write = |name: &str, text: &str| std::fs::write(good.join(name), text).expect("writes");
        write("a.txt", "a");
        let first = Hashes::default().of(&root).expect("reads");
        // written by a machine whose clock is wrong
        let file = std::fs::File::options().write(true).open(good.join("a.txt"));
        let past = std::time::SystemTime::UNIX_EPOCH;
        file.and_then(|file| file.set_modified(past)).expect("sets");
        assert_eq!(Hashes::default().of(&root).expect("reads"), first);
        write("a.txt", "b");
        let other = Hashes::default().of(&root).expect("reads");
        assert_ne!(other, first);
        std::fs::rename(good.join("a.txt"), good.join("c.txt")).expect("renames");
        assert_ne!(Hashes::default().of(&root).expect("reads"), other);
    }
}
