//! Images that the visitor gave, as files of their own or in a zip archive: nothing of them is in memory
//! until their bytes are asked for, and of an archive only one image at a time is unpacked.

use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Function, Reflect, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ReadableStream, ReadableStreamDefaultReader};

use super::js::get;

use super::convert::{MOST_SMALL, is_readable, readable};
use destseg_engine::files::zip::{self, Entry, Method};

/// An image of the visitor, or one sentence why it is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct UserFile {
    /// Where it was in its folder or archive, with plain slashes; its name, if it came alone. Two may have
    /// the same.
    pub path: Rc<str>,
    /// Its bytes.
    pub content: Result<Content, String>,
}

/// The bytes of a file, wherever they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A file, or bytes that the page made itself.
    File(Blob),
    /// An image in a zip archive.
    Packed(Rc<Packed>),
}

/// An image in a zip archive that the visitor gave.
#[derive(Debug, PartialEq)]
pub struct Packed {
    archive: Blob,
    entry: Entry,
}

/// What a folder or archive holds.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// Images, in the order of the archive.
    pub images: Vec<UserFile>,
    /// Texts that may say what images show.
    pub texts: Vec<UserFile>,
    /// Archives in it.
    archives: Vec<UserFile>,
    /// Paths of other files.
    pub others: Vec<String>,
    /// Why archives in it could not be opened, one sentence each.
    pub remarks: Vec<String>,
}

impl Content {
    /// The bytes as a blob; those of an archive are unpacked now, and a picture that the engine cannot decode is one that it can.
    ///
    /// # Errors
    /// One sentence, if they are not what the archive says, or damaged.
    pub async fn blob(&self) -> Result<Blob, String> {
        readable(self.raw().await?).await
    }

    /// The bytes as they are.
    async fn raw(&self) -> Result<Blob, String> {
        match self {
            Self::File(blob) => Ok(blob.clone()),
            Self::Packed(packed) => packed.unpack().await,
        }
    }

    /// Bytes that [`Self::stored`] makes.
    fn bytes_to_unpack(&self) -> u64 {
        match self {
            Self::Packed(packed) if packed.entry.method == Method::Deflated => packed.entry.size,
            _ => 0,
        }
    }

    /// The bytes as a blob that takes no memory, where an archive holds them as they are.
    async fn stored(&self) -> Result<Blob, String> {
        match self {
            Self::Packed(packed) if packed.entry.method == Method::Stored => {
                let (start, end) = packed.place().await?;
                part(&packed.archive, start, end)
            }
            _ => self.raw().await,
        }
    }

    /// The bytes of [`Self::blob`].
    ///
    /// # Errors
    /// One sentence, if they cannot be read.
    pub async fn bytes(&self) -> Result<ArrayBuffer, String> {
        // each blob that is made costs the page's thread a call of the browser: small files need none
        let bytes = match self {
            Self::File(file) if file.size() < MOST_SMALL => read(file).await?,
            Self::Packed(packed) if (packed.entry.size as f64) < MOST_SMALL => packed.bytes().await?,
            _ => return read(&self.blob().await?).await,
        };
        match is_readable(&bytes) {
            true => Ok(bytes),
            false => read(&self.blob().await?).await,
        }
    }
}

/// Archives in archives are opened down to this depth.
const DEPTH: usize = 3;
/// Bytes of archives in an archive that are unpacked to be opened: the browser keeps them. Stored ones need no unpacking.
const MOST_UNPACKED: u64 = 500_000_000;

/// Looks into a zip archive, and into archives in it; none of its images is unpacked.
///
/// # Errors
/// One sentence, if it is no archive that can be used.
pub async fn open_zip(zip: &Blob) -> Result<FolderContents, String> {
    let mut all = list_zip(zip).await?;
    let mut waiting: Vec<(UserFile, usize)> = all.archives.drain(..).map(|own| (own, 1)).collect();
    let mut unpacked = 0;
    while let Some((archive, depth)) = waiting.pop() {
        let inner = match &archive.content {
            Ok(content) if depth <= DEPTH => open_inner(content, &mut unpacked).await,
            Ok(_) => Err("It lies too deep in other archives: unpack these first.".into()),
            Err(reason) => Err(reason.clone()),
        };
        let inner = match inner {
            Ok(inner) => inner,
            Err(reason) => {
                all.remarks.push(format!("{}: {reason}", archive.path));
                continue;
            }
        };
        let folder = archive
            .path
            .rsplit_once('.')
            .map_or(&*archive.path, |(folder, _)| folder);
        let below = |path: &str| format!("{folder}/{path}");
        let moved = |files: Vec<UserFile>| {
            let file = |own: UserFile| UserFile {
                path: below(&own.path).into(),
                ..own
            };
            files.into_iter().map(file)
        };
        all.images.extend(moved(inner.images));
        all.texts.extend(moved(inner.texts));
        waiting.extend(moved(inner.archives).map(|own| (own, depth + 1)));
        all.others.extend(inner.others.iter().map(|path| below(path)));
    }
    Ok(all)
}

/// Opens an archive in an archive.
async fn open_inner(content: &Content, unpacked: &mut u64) -> Result<FolderContents, String> {
    *unpacked += content.bytes_to_unpack();
    if *unpacked > MOST_UNPACKED {
        let most = MOST_UNPACKED / 1_000_000;
        return Err(format!(
            "The archives in the archive have more than {most} MB: unpack it first."
        ));
    }
    list_zip(&content.stored().await?).await
}

async fn list_zip(zip: &Blob) -> Result<FolderContents, String> {
    let say = |err: destseg_engine::Error| destseg_engine::error::sentence(&err.to_string());
    let size = zip.size();
    let tail = slice(zip, (size - zip::TAIL as f64).max(0.0), size).await?;
    let directory = zip::locate(&tail, size as u64).map_err(say)?;
    let end = directory.start + directory.length;
    let bytes = slice(zip, directory.start as f64, end as f64).await?;
    let listing = zip::list(&bytes, &directory).map_err(say)?;
    let files = |listed: Vec<(String, Result<Entry, String>)>| {
        let file = |(path, entry): (String, Result<Entry, String>)| {
            let packed = |entry| {
                let archive = zip.clone();
                Content::Packed(Packed { archive, entry }.into())
            };
            UserFile {
                path: path.into(),
                content: entry.map(packed),
            }
        };
        listed.into_iter().map(file).collect()
    };
    Ok(FolderContents {
        images: files(listing.images),
        texts: files(listing.texts),
        archives: files(listing.archives),
        others: listing.others,
        remarks: Vec::new(),
    })
}

fn damaged() -> String {
    "Its entry in the zip archive is damaged: copy or pack the archive again.".into()
}

impl Packed {
    /// Where its bytes begin and end in the archive.
    async fn place(&self) -> Result<(f64, f64), String> {
        let head = self.entry.offset as f64;
        let head = slice(&self.archive, head, head + zip::HEAD as f64).await?;
        let start = self.entry.content(&head).map_err(|_| damaged())? as f64;
        Ok((start, start + self.entry.packed as f64))
    }

    async fn unpack(&self) -> Result<Blob, String> {
        let parts = self.parts().await?;
        Blob::new_with_u8_array_sequence(&parts).map_err(|_| damaged())
    }

    async fn bytes(&self) -> Result<ArrayBuffer, String> {
        let all = Uint8Array::new_with_length(self.entry.size as u32);
        let mut end = 0;
        for part in self.parts().await?.iter() {
            let part = part.unchecked_into::<Uint8Array>();
            all.set(&part, end);
            end += part.length();
        }
        Ok(all.buffer())
    }

    /// Never more bytes than the archive's directory says, whatever the stream would give.
    async fn parts(&self) -> Result<Array, String> {
        let entry = &self.entry;
        let (start, end) = self.place().await?;
        let packed = part(&self.archive, start, end)?;
        let stream = match entry.method {
            Method::Stored => packed.stream(),
            Method::Deflated => inflated(&packed.stream())?,
        };
        let reader = stream
            .get_reader()
            .unchecked_into::<ReadableStreamDefaultReader>();
        let (parts, mut size, mut checksum) = (Array::new(), 0_u64, crc32fast::Hasher::new());
        loop {
            let chunk = JsFuture::from(reader.read()).await.map_err(|_| damaged())?;
            if get(&chunk, "done").is_truthy() {
                break;
            }
            let part = get(&chunk, "value").unchecked_into::<Uint8Array>();
            size += u64::from(part.length());
            if size > entry.size {
                let _cancelled = JsFuture::from(reader.cancel()).await;
                return Err(damaged());
            }
            checksum.update(&part.to_vec());
            parts.push(&part);
        }
        if size != entry.size || checksum.finalize() != entry.checksum {
            return Err(damaged());
        }
        Ok(parts)
    }
}

/// A stream of the bytes that a deflated stream holds.
fn inflated(stream: &ReadableStream) -> Result<ReadableStream, String> {
    let unpacked = || {
        let class = get(&js_sys::global(), "DecompressionStream")
            .dyn_into::<Function>()
            .ok()?;
        let inflate = Reflect::construct(&class, &Array::of1(&"deflate-raw".into())).ok()?;
        let pipe = get(stream, "pipeThrough").dyn_into::<Function>().ok()?;
        pipe.call1(stream, &inflate).ok()?.dyn_into().ok()
    };
    unpacked().ok_or_else(|| {
        "This browser cannot unpack zip archives: unpack it first, then add its images.".into()
    })
}

/// The bytes of a part of a file.
///
/// # Errors
/// One sentence, if the file changed or is gone.
pub async fn slice(blob: &Blob, start: f64, end: f64) -> Result<Vec<u8>, String> {
    let buffer = read(&part(blob, start, end)?).await?;
    Ok(Uint8Array::new(buffer.as_ref()).to_vec())
}

fn part(blob: &Blob, start: f64, end: f64) -> Result<Blob, String> {
    blob.slice_with_f64_and_f64(start, end)
        .map_err(|_| UNREADABLE.into())
}

/// All bytes of a blob.
///
/// # Errors
/// One sentence, if the file changed or is gone.
pub async fn read(blob: &Blob) -> Result<ArrayBuffer, String> {
    let read = JsFuture::from(blob.array_buffer()).await.ok();
    read.and_then(|buffer| buffer.dyn_into().ok())
        .ok_or_else(|| UNREADABLE.into())
}

const UNREADABLE: &str = "The file could not be read; it may have been moved or changed: add it again.";
