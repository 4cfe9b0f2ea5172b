//! The records of a zip archive: where its directory lies, and what the directory says of each entry.
//! User archives and PyTorch's checkpoints are both read by them; what an entry may hold is up to the reader.

use super::{Entry, MOST_DIRECTORY, Method};
use crate::{Error, Result};

/// Bytes at the end of an archive that hold the record about its directory: that record, the longest
/// comment, and the two records of archives above 4 GB.
pub const TAIL: u64 = (END_SIZE + u16::MAX as usize + LOCATOR_64_SIZE + END_64_SIZE) as u64;
/// Bytes of an entry's own head that say where its content begins.
pub const HEAD: u64 = 30;
/// First bytes of an entry's own head, and so of most archives.
pub(crate) const HEAD_MAGIC: [u8; 4] = *b"PK\x03\x04";

pub(super) const ENTRY: [u8; 4] = *b"PK\x01\x02";
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const END_SIZE: usize = 22;
const END_64_SIZE: usize = 56;
const LOCATOR_64_SIZE: usize = 20;
/// Tag of the extra field with 64-bit numbers.
const EXTRA_64: u16 = 1;
/// Flag of encrypted entries.
const ENCRYPTED: u16 = 1;

/// Where an archive's directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes, at most [`MOST_DIRECTORY`].
    pub length: u64,
    entries: u64,
    /// Bytes in front of the archive, as in self-extracting ones.
    shift: u64,
}

/// An entry as the directory has it, nothing of it believed yet.
pub(crate) struct Record<'a> {
    /// Its path.
    pub(crate) path: &'a [u8],
    /// Its extra fields.
    pub(super) extra: &'a [u8],
    flags: u16,
    /// Number of the way it is packed.
    pub(super) method: u16,
    /// The numbers; how it is packed is not looked at yet.
    pub(crate) entry: Entry,
}

impl Record<'_> {
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    /// Whether its content stands in the archive as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.method == 0 && !self.is_encrypted()
    }
}

/// Finds the directory in the last [`TAIL`] bytes (or all) of an archive of `size` bytes.
///
/// # Errors
/// [`Error::Dataset`] if this is no zip archive, is cut off, or has a directory of absurd length.
pub fn locate(tail: &[u8], size: u64) -> Result<Directory> {
    let before = size.checked_sub(tail.len() as u64).ok_or_else(damaged)?;
    // the comment may hold anything: the record is the last place from which it reaches to the end, or, where bytes were
    // added behind the archive, not beyond it
    let find = |fits: fn(usize, usize) -> bool| {
        (0..=tail.len().saturating_sub(END_SIZE)).rev().find(|&at| {
            let record = Bytes(tail.get(at..).unwrap_or_default());
            let comment = record.clone().skip(20).and_then(|rest| rest.clone().u16());
            record.0.starts_with(&END)
                && comment.is_ok_and(|length| fits(at + END_SIZE + usize::from(length), tail.len()))
        })
    };
    let reaches = find(|end, all| end == all);
    let cut_off =
        || Error::Dataset("this is no zip archive, or it is cut off: copy or download it again".into());
    let end = reaches
        .or_else(|| find(|end, all| end < all))
        .ok_or_else(cut_off)?;
    let mut record = Bytes(&tail[end..]).skip(10)?;
    let (entries, length, offset) = (record.u16()?, record.u32()?, record.u32()?);
    let (mut entries, mut length, mut offset) = (u64::from(entries), u64::from(length), u64::from(offset));
    let mut directory_end = before + end as u64;
    let locator = end.checked_sub(LOCATOR_64_SIZE).map(|at| &tail[at..end]);
    if locator.is_some_and(|bytes| bytes.starts_with(&LOCATOR_64)) {
        // the record stands right in front of its locator, with its own extensions between at most
        let place = Bytes(locator.unwrap_or_default()).skip(8)?.u64()?;
        let at = place.checked_sub(before).and_then(|at| usize::try_from(at).ok());
        let mut record = Bytes(at.and_then(|at| tail.get(at..end)).ok_or_else(damaged)?);
        if record.array()? != END_64 {
            return Err(damaged());
        }
        record = record.skip(28)?;
        (entries, length, offset) = (record.u64()?, record.u64()?, record.u64()?);
        directory_end = place;
    }
    let start = directory_end.checked_sub(length).ok_or_else(damaged)?;
    let shift = start.checked_sub(offset).ok_or_else(damaged)?;
    if reaches.is_none() && shift > 0 {
        // of an archive within one that is cut off
        return Err(cut_off());
    }
    if length > MOST_DIRECTORY {
        return Err(Error::Dataset(
            "the zip archive has too many files: give it in several parts".into(),
        ));
    }
    Ok(Directory {
        start,
        length,
        entries,
        shift,
    })
}

impl Directory {
    /// The entries by the directory's own `bytes`. Whoever reads them stops at the first error.
    pub(crate) fn records<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = Result<Record<'a>>> {
        let mut bytes = Bytes(bytes);
        let shift = self.shift;
        (0..self.entries).map(move |_| record(&mut bytes, shift))
    }
}

impl Entry {
    /// Where the content begins in the archive, by the [`HEAD`] bytes at [`Self::offset`].
    ///
    /// # Errors
    /// [`Error::Dataset`] if there is no entry.
    pub fn content(&self, head: &[u8]) -> Result<u64> {
        let mut head = Bytes(head);
        if head.array()? != HEAD_MAGIC {
            return Err(damaged());
        }
        let mut head = head.skip(22)?;
        let (name, extra) = (head.u16()?, head.u16()?);
        Ok(self.offset + HEAD + u64::from(name) + u64::from(extra))
    }
}

fn damaged() -> Error {
    Error::Dataset("the zip archive is damaged: copy or download it again".into())
}

/// The next entry of the directory.
fn record<'a>(bytes: &mut Bytes<'a>, shift: u64) -> Result<Record<'a>> {
    if bytes.array()? != ENTRY {
        return Err(damaged());
    }
    bytes.take(4)?;
    let (flags, method) = (bytes.u16()?, bytes.u16()?);
    bytes.take(4)?;
    let checksum = bytes.u32()?;
    let (packed, size) = (bytes.u32()?, bytes.u32()?);
    let [path, extra, comment] = [bytes.u16()?, bytes.u16()?, bytes.u16()?];
    bytes.take(8)?;
    let offset = bytes.u32()?;
    let path = bytes.take(path.into())?;
    let extra = bytes.take(extra.into())?;
    let mut wide = extra_field(extra, EXTRA_64);
    bytes.take(comment.into())?;
    // in this order, and only those that do not fit
    let mut number = |narrow: u32| match narrow {
        u32::MAX => wide.u64(),
        _ => Ok(narrow.into()),
    };
    let (size, packed, offset) = (number(size)?, number(packed)?, number(offset)?);
    let entry = Entry {
        offset: offset.checked_add(shift).ok_or_else(damaged)?,
        packed,
        size,
        method: Method::Stored,
        checksum,
    };
    Ok(Record {
        path,
        extra,
        flags,
        method,
        entry,
    })
}

/// The content of an entry's extra field with this tag; empty if there is none.
pub(super) fn extra_field(extra: &[u8], wanted: u16) -> Bytes<'_> {
    let mut fields = Bytes(extra);
    while let (Ok(tag), Ok(size)) = (fields.u16(), fields.u16()) {
        match fields.take(size.into()) {
            Ok(content) if tag == wanted => return Bytes(content),
            Ok(_) => {}
            // padding
            Err(_) => break,
        }
    }
    Bytes(&[])
}

/// Bytes that are read from the front, never beyond the end.
#[derive(Clone)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn skip(mut self, count: usize) -> Result<Self> {
        self.take(count)?;
        Ok(self)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
