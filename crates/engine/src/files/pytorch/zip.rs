//! The container that `torch.save` writes: a zip archive whose entries are stored as they are.
//!
//! Read here and not by a library, because only this little is needed, borrowed from the file, and
//! because one pass over one directory is all the work that a crafted archive can cause.

use std::collections::BTreeMap;

use super::bytes::Bytes;
use super::refuse;
use crate::{Error, Result};

/// First bytes of an archive.
pub(super) const MAGIC: [u8; 4] = *b"PK\x03\x04";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
/// Sizes of the last two records.
const END_SIZE: usize = 22;
const LOCATOR_64_SIZE: usize = 20;
/// Tag of the extra field with 64-bit numbers.
const EXTRA_64: u16 = 1;

/// All entries by name.
pub(super) fn entries(file: &[u8]) -> Result<BTreeMap<&str, &[u8]>> {
    let (count, offset) = directory(file)?;
    let mut directory = Bytes::at(file, offset)?;
    let mut entries = BTreeMap::new();
    let mut total = 0;
    for _ in 0..count {
        let (name, data) = entry(file, &mut directory)?;
        total += data.len();
        // entries that share bytes could ask for more than the file has
        if total > file.len() || entries.insert(name, data).is_some() {
            return Err(damaged());
        }
    }
    Ok(entries)
}

fn damaged() -> Error {
    refuse("its zip archive is damaged, so copy or download it again")
}

fn expect(bytes: &mut Bytes<'_>, signature: [u8; 4]) -> Result<()> {
    if bytes.array()? == signature {
        Ok(())
    } else {
        Err(damaged())
    }
}

/// Number of entries and place of the directory.
fn directory(file: &[u8]) -> Result<(u64, u64)> {
    let end = file.len().checked_sub(END_SIZE).ok_or_else(damaged)?;
    let mut record = Bytes(&file[end..]);
    expect(&mut record, END)?;
    record.take(6)?;
    let (count, _size, offset) = (record.u16()?, record.u32()?, record.u32()?);
    let locator = end.checked_sub(LOCATOR_64_SIZE).map(|start| &file[start..]);
    match locator.and_then(|bytes| bytes.strip_prefix(&LOCATOR_64)) {
        None => Ok((count.into(), offset.into())),
        Some(locator) => {
            let mut locator = Bytes(locator);
            locator.take(4)?;
            let mut record = Bytes::at(file, locator.u64()?)?;
            expect(&mut record, END_64)?;
            record.take(28)?;
            let (count, _size, offset) = (record.u64()?, record.u64()?, record.u64()?);
            Ok((count, offset))
        }
    }
}

/// The next entry of the directory: its name and its bytes.
fn entry<'a>(file: &'a [u8], directory: &mut Bytes<'a>) -> Result<(&'a str, &'a [u8])> {
    expect(directory, ENTRY)?;
    directory.take(4)?;
    let (flags, method) = (directory.u16()?, directory.u16()?);
    directory.take(4)?;
    let checksum = directory.u32()?;
    let (stored, size) = (directory.u32()?, directory.u32()?);
    let [name, extra, comment] = [directory.u16()?, directory.u16()?, directory.u16()?];
    directory.take(8)?;
    let offset = directory.u32()?;
    let name = directory.take(name.into())?;
    let extra = directory.take(extra.into())?;
    directory.take(comment.into())?;
    const ENCRYPTED: u16 = 1;
    if method != 0 || flags & ENCRYPTED != 0 {
        return Err(refuse(
            "its zip archive is compressed or encrypted, so save it again with torch.save",
        ));
    }
    let mut wide = extra_64(extra)?;
    let mut number = |narrow: u32| match narrow {
        u32::MAX => wide.u64(),
        _ => Ok(narrow.into()),
    };
    let (size, stored, offset) = (number(size)?, number(stored)?, number(offset)?);
    let mut local = Bytes::at(file, offset)?;
    expect(&mut local, MAGIC)?;
    local.take(22)?;
    let (own_name, own_extra) = (local.u16()?, local.u16()?);
    local.take(u64::from(own_name) + u64::from(own_extra))?;
    let data = local.take(size)?;
    if size != stored || crc32fast::hash(data) != checksum {
        return Err(damaged());
    }
    Ok((str::from_utf8(name).map_err(|_| damaged())?, data))
}

/// The 64-bit numbers among an entry's extra fields; empty if there are none.
fn extra_64(extra: &[u8]) -> Result<Bytes<'_>> {
    let mut fields = Bytes(extra);
    // padding may be shorter than a field's head
    while fields.0.len() >= 4 {
        let (tag, size) = (fields.u16()?, fields.u16()?);
        let content = fields.take(size.into())?;
        if tag == EXTRA_64 {
            return Ok(Bytes(content));
        }
    }
    Ok(Bytes(&[]))
}
