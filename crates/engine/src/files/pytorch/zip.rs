//! The container that `torch.save` writes: a zip archive whose entries are stored as they are.
//!
//! One pass over one directory is all the work that a crafted archive can cause, and the entries are
//! borrowed from the file.

use std::collections::BTreeMap;

use super::refuse;
use crate::files::zip::{self, Entry, HEAD, TAIL};
use crate::{Error, Result};

/// First bytes of an archive.
pub(super) const MAGIC: [u8; 4] = zip::HEAD_MAGIC;

/// All entries by name.
pub(super) fn entries(file: &[u8]) -> Result<BTreeMap<&str, &[u8]>> {
    let size = file.len() as u64;
    let tail = part(file, size.saturating_sub(TAIL), size.min(TAIL))?;
    let directory = zip::locate(tail, size).map_err(|_| damaged())?;
    let mut entries = BTreeMap::new();
    let mut total = 0;
    for record in directory.records(part(file, directory.start, directory.length)?) {
        let record = record.map_err(|_| damaged())?;
        if !record.is_plain() {
            return Err(refuse(
                "its zip archive is compressed or encrypted, so save it again with torch.save",
            ));
        }
        let name = str::from_utf8(record.path).map_err(|_| damaged())?;
        let data = content(file, &record.entry)?;
        total += data.len();
        // entries that share bytes could ask for more than the file has
        if total > file.len() || entries.insert(name, data).is_some() {
            return Err(damaged());
        }
    }
    Ok(entries)
}

/// The bytes of an entry, whole and as they were written.
fn content<'a>(file: &'a [u8], entry: &Entry) -> Result<&'a [u8]> {
    let start = entry.content(part(file, entry.offset, HEAD)?);
    let data = part(file, start.map_err(|_| damaged())?, entry.packed)?;
    if entry.size != entry.packed || crc32fast::hash(data) != entry.checksum {
        return Err(damaged());
    }
    Ok(data)
}

/// So many bytes of the file from `start` on.
fn part(file: &[u8], start: u64, length: u64) -> Result<&[u8]> {
    let start = usize::try_from(start).ok();
    let rest = start.and_then(|start| file.get(start..));
    let length = usize::try_from(length).ok();
    length.and_then(|length| rest?.get(..length)).ok_or_else(damaged)
}

fn damaged() -> Error {
    refuse("its zip archive is damaged, so copy or download it again")
}
