//! Zip archives, read where they lie: the directory at the end says where each image is, and only one
//! image at a time is unpacked. No browser calls and nothing unpacked here: what is read comes as bytes,
//! and the work that a crafted archive can cause is bounded by the size of its directory.

mod path;
#[cfg(test)]
mod tests;

pub use path::{clean, file_name, is_image, is_litter};

use crate::{Error, Result};

/// Bytes at the end of an archive that hold the record about its directory: that record, the longest
/// comment, and the two records of archives above 4 GB.
pub const TAIL: u64 = (END_SIZE + u16::MAX as usize + LOCATOR_64_SIZE + END_64_SIZE) as u64;
/// Bytes of an entry's own head that say where its content begins.
pub const HEAD: u64 = 30;
/// Largest image, packed or not, in bytes.
pub const MOST_BYTES: u64 = 100_000_000;
/// Longest directory that is read, in bytes: more than a hundred thousand entries.
pub const MOST_DIRECTORY: u64 = 16_000_000;
/// Images unpack to this many times their size at most, if they are large: photographs are compressed
/// already.
const MOST_RATIO: u64 = 100;
/// From this many bytes on, the ratio counts.
const LARGE: u64 = 10_000_000;

const ENTRY: [u8; 4] = *b"PK\x01\x02";
const HEAD_MAGIC: [u8; 4] = *b"PK\x03\x04";
const END: [u8; 4] = *b"PK\x05\x06";
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

/// How an image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is.
    Stored,
    /// By deflate, without zlib's frame.
    Deflated,
}

/// An image in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its head begins in the archive.
    pub offset: u64,
    /// Bytes in the archive.
    pub packed: u64,
    /// Bytes of the image.
    pub size: u64,
    /// How it is packed.
    pub method: Method,
    /// CRC-32 of the image.
    pub checksum: u32,
}

/// What is in an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Images in the archive's order: the tame path of each, and where it is or one sentence why it is
    /// refused.
    pub images: Vec<(String, Result<Entry, String>)>,
    /// Paths of files that are no images.
    pub others: Vec<String>,
}

/// Finds the directory in the last [`TAIL`] bytes (or all) of an archive of `size` bytes.
///
/// # Errors
/// [`Error::Dataset`] if this is no zip archive, is cut off, or has a directory of absurd length.
pub fn locate(tail: &[u8], size: u64) -> Result<Directory> {
    let before = size.checked_sub(tail.len() as u64).ok_or_else(damaged)?;
    // the comment may hold anything: the record is the last place from which it reaches to the end
    let end = (0..=tail.len().saturating_sub(END_SIZE)).rev().find(|&at| {
        let record = Bytes(tail.get(at..).unwrap_or_default());
        let comment = record.clone().skip(20).and_then(|rest| rest.clone().u16());
        record.0.starts_with(&END)
            && comment.is_ok_and(|length| at + END_SIZE + usize::from(length) == tail.len())
    });
    let end = end.ok_or_else(|| {
        Error::Dataset("this is no zip archive, or it is cut off: copy or download it again".into())
    })?;
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

/// Reads the bytes of a directory.
///
/// # Errors
/// [`Error::Dataset`] if they are damaged, or if entries share bytes as in a zip bomb.
pub fn list(bytes: &[u8], directory: &Directory) -> Result<Listing> {
    let mut bytes = Bytes(bytes);
    let mut listing = Listing::default();
    let mut packed = 0_u64;
    for _ in 0..directory.entries {
        let (path, entry) = entry(&mut bytes, directory.shift)?;
        packed = packed.saturating_add(entry.packed());
        if path.ends_with(['/', '\\']) || is_litter(&path) {
            continue;
        }
        let path = clean(&path);
        if is_image(&path) {
            listing.images.push((path, entry.checked(directory.start)));
        } else {
            listing.others.push(path);
        }
    }
    if packed > directory.start {
        return Err(Error::Dataset(
            "the zip archive is a zip bomb, its files overlap: do not open it".into(),
        ));
    }
    Ok(listing)
}

impl Entry {
    /// Where the image's bytes begin in the archive, by the [`HEAD`] bytes at [`Self::offset`].
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

/// An entry as the directory has it, nothing of it believed yet.
struct Raw {
    flags: u16,
    method: u16,
    entry: Entry,
}

impl Raw {
    fn packed(&self) -> u64 {
        self.entry.packed
    }

    /// The entry, or why it is refused; its content must end before `end`.
    fn checked(self, end: u64) -> Result<Entry, String> {
        let Self { flags, method, entry } = self;
        if flags & ENCRYPTED != 0 {
            return Err("It is encrypted: unpack the archive first, then add its images.".into());
        }
        let method = match method {
            0 if entry.packed == entry.size => Method::Stored,
            8 => Method::Deflated,
            0 => return Err("Its entry in the zip archive is damaged: pack it again.".into()),
            _ => {
                return Err(
                    "It is packed in an unusual way: pack it again as an ordinary zip archive.".into(),
                );
            }
        };
        let most = MOST_BYTES / 1_000_000;
        if entry.size > MOST_BYTES || entry.packed > MOST_BYTES {
            return Err(format!("It has more than {most} MB: add smaller images."));
        }
        if entry.size > LARGE && entry.size / MOST_RATIO > entry.packed {
            return Err(format!(
                "It unpacks to more than {MOST_RATIO} times its size, as a zip bomb does: it was left packed."
            ));
        }
        if entry.offset.saturating_add(HEAD + entry.packed) > end {
            return Err("It is cut off: copy or download the archive again.".into());
        }
        Ok(Entry { method, ..entry })
    }
}

/// The next entry of the directory and its path as it stands there.
fn entry(bytes: &mut Bytes<'_>, shift: u64) -> Result<(String, Raw)> {
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
    let mut wide = extra_64(bytes.take(extra.into())?);
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
    // older programs write other alphabets: the name is for people only
    let path = String::from_utf8_lossy(path).into_owned();
    Ok((path, Raw { flags, method, entry }))
}

/// The 64-bit numbers among an entry's extra fields; empty if there are none.
fn extra_64(extra: &[u8]) -> Bytes<'_> {
    let mut fields = Bytes(extra);
    while let (Ok(tag), Ok(size)) = (fields.u16(), fields.u16()) {
        match fields.take(size.into()) {
            Ok(content) if tag == EXTRA_64 => return Bytes(content),
            Ok(_) => {}
            // padding
            Err(_) => break,
        }
    }
    Bytes(&[])
}

/// Bytes that are read from the front, never beyond the end.
#[derive(Clone)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(mut self, count: usize) -> Result<Self> {
        self.take(count)?;
        Ok(self)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
