//! Zip archives, read where they lie: the directory at the end says where each image is, and only one
//! image at a time is unpacked. No browser calls and nothing unpacked here: what is read comes as bytes,
//! and the work that a crafted archive can cause is bounded by the size of its directory.

mod names;
mod records;
#[cfg(test)]
mod tests;

pub(crate) use records::HEAD_MAGIC;
pub use records::{Directory, HEAD, TAIL, locate};

use records::Record;

use crate::data::paths::{clean, is_archive, is_image, is_litter, is_text};
use crate::{Error, Result};

/// Largest image, packed or not, in bytes. Masks may shrink a thousandfold when they are packed: what bounds the work is
/// this, as only one image at a time is unpacked.
pub const MOST_BYTES: u64 = 100_000_000;
/// Longest directory that is read, in bytes: more than a hundred thousand entries.
pub const MOST_DIRECTORY: u64 = 16_000_000;

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
    /// Texts that may say what images show, in the same way.
    pub texts: Vec<(String, Result<Entry, String>)>,
    /// Archives in the archive, in the same way. One that is stored may have any size.
    pub archives: Vec<(String, Result<Entry, String>)>,
    /// Paths of other files.
    pub others: Vec<String>,
}

/// Reads the bytes of a directory.
///
/// # Errors
/// [`Error::Dataset`] if they are damaged, or if entries share bytes as in a zip bomb.
pub fn list(bytes: &[u8], directory: &Directory) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut packed = 0_u64;
    for record in directory.records(bytes) {
        let record = record?;
        packed = packed.saturating_add(record.entry.packed);
        let path = record.name();
        if path.ends_with(['/', '\\']) || is_litter(&path) {
            continue;
        }
        let path = clean(&path);
        if is_image(&path) {
            listing.images.push((path, record.checked(directory.start)));
        } else if is_text(&path) {
            listing.texts.push((path, record.checked(directory.start)));
        } else if is_archive(&path) {
            let whole = record.entry.packed == record.entry.size && record.is_plain();
            let most = if whole { u64::MAX } else { MOST_BYTES };
            listing
                .archives
                .push((path, record.checked_to(most, directory.start)));
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

impl Record<'_> {
    /// The entry, or why it is refused; its content must end before `end`.
    fn checked(self, end: u64) -> Result<Entry, String> {
        self.checked_to(MOST_BYTES, end)
    }

    /// The same for one of another size.
    fn checked_to(self, most: u64, end: u64) -> Result<Entry, String> {
        if self.is_encrypted() {
            return Err("It is encrypted: unpack the archive first, then add its images.".into());
        }
        let Self { method, entry, .. } = self;
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
        if entry.size > most || entry.packed > most {
            let most = most / 1_000_000;
            return Err(format!("It has more than {most} MB: add smaller files."));
        }
        if entry.offset.saturating_add(HEAD).saturating_add(entry.packed) > end {
            return Err("It is cut off: copy or download the archive again.".into());
        }
        Ok(Entry { method, ..entry })
    }
}
