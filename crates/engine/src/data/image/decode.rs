//! From a file's bytes to upright RGB pixels. Files come from anyone, so nothing is allocated
//! before the header was looked at, and half an image is never taken for a whole one.

use std::io::{Cursor, ErrorKind, Read as _, Seek as _};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbaImage,
};

use super::RgbImage;
use crate::{Error, Result};

/// The longest side of a decoded image, in pixels.
const MAX_SIDE: u32 = 25_000;
/// The largest area of a decoded image, in pixels.
pub const MAX_PIXELS: u64 = 100_000_000;
/// The most memory that one decoded image may take, in bytes; deep colour reaches it first.
pub(super) const MAX_BYTES: u64 = 800_000_000;
/// The largest area that is decoded at all, in pixels: larger images are reduced meanwhile, which takes about 10 ns a pixel.
#[cfg(feature = "large-images")]
const MOST_PIXELS: u64 = 2_000_000_000;

/// The formats that can be opened, for messages. The page has the decoder for TIFF in a worker of its own (`crates/converter`): it is
/// as large as a tenth of the page's engine.
const FORMATS: &str = "PNG, JPEG, TIFF, WebP, BMP or GIF";

/// Decodes an image: upright as its EXIF data says, transparency over white, 16-bit and grey
/// values brought to 8-bit RGB, of an animation the first picture.
///
/// # Errors
/// [`Error::Image`], one sentence: empty, no image, a format that is not supported, too large, no
/// pixels, cut off, or damaged.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    let Stored { image, highest } = stored(bytes, Merge::Mean)?;
    Ok(flatten(with_full_range(image, highest)))
}

/// An image of `size` (width and height) from its pixels, 8 bits each, row by row: grey, red with green and blue, or these
/// with an opacity, which is laid over white.
///
/// # Errors
/// [`Error::Image`], one sentence: no pixels, too large, or another number of bytes.
pub fn from_pixels((width, height): (u32, u32), pixels: Vec<u8>) -> Result<RgbImage> {
    check_pixels(width, height)?;
    if is_large(width, height) {
        return Err(too_large(width, height, MAX_PIXELS));
    }
    let (bytes, area) = (pixels.len(), width as usize * height as usize);
    let image = match bytes / area {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        4 => RgbaImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => None,
    };
    let image = image.filter(|_| bytes.is_multiple_of(area)).ok_or_else(|| {
        Error::Image(format!(
            "the image of {width} x {height} pixels has {bytes} bytes: give one, three or four for each pixel"
        ))
    })?;
    Ok(flatten(image))
}

/// The format that a file's beginning tells.
fn format_of(head: &[u8]) -> Option<ImageFormat> {
    /// Beginnings of TIFF files with long offsets.
    const BIG_TIFF: [&[u8]; 2] = [b"II+\0", b"MM\0+"];
    let is_tiff = BIG_TIFF.iter().any(|start| head.starts_with(start));
    is_tiff
        .then_some(ImageFormat::Tiff)
        .or_else(|| ::image::guess_format(head).ok())
}

/// How an image file says that its picture is to be turned.
pub fn orientation(bytes: &[u8]) -> Orientation {
    let reader = format_of(bytes).map(|format| ImageReader::with_format(Cursor::new(bytes), format));
    let decoder = reader.and_then(|reader| reader.into_decoder().ok());
    decoder.map_or(Orientation::NoTransforms, |mut decoder| turn(&mut decoder))
}

/// Whether width and height change places.
pub(crate) fn is_sideways(turn: Orientation) -> bool {
    matches!(
        turn,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

fn turn(decoder: &mut impl ImageDecoder) -> Orientation {
    /// Some programs write what begins Exif data in JPEG files into WebP files, too.
    const JPEG_START: &[u8] = b"Exif\0\0";
    match decoder.orientation() {
        Ok(turn) if turn != Orientation::NoTransforms => turn,
        _ => {
            let exif = decoder.exif_metadata().ok().flatten().unwrap_or_default();
            let inner = exif.strip_prefix(JPEG_START);
            inner
                .and_then(Orientation::from_exif_chunk)
                .unwrap_or(Orientation::NoTransforms)
        }
    }
}

/// Whether a file begins as an image does, of a kind that can be opened or not.
pub fn is_image(bytes: &[u8]) -> bool {
    format_of(bytes).is_some()
}

/// Names of the types whose compression loses something, as [`type_name`] says them.
pub const LOSSY: [&str; 2] = ["JPEG", "WebP"];

/// The type of an image file from its beginning; none for files that cannot be opened.
pub fn type_name(bytes: &[u8]) -> Option<&'static str> {
    /// Where a WebP file names its first block, and the name of a block without loss.
    const BLOCK: std::ops::Range<usize> = 12..16;
    const LOSSLESS: &[u8] = b"VP8L";
    match format_of(bytes)? {
        ImageFormat::WebP if bytes.get(BLOCK) == Some(LOSSLESS) => Some("lossless WebP"),
        format => name_of(format),
    }
}

fn name_of(format: ImageFormat) -> Option<&'static str> {
    Some(match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::WebP => "WebP",
        _ => return None,
    })
}

/// Type, width and height (upright) of an image file, without decoding its pixels; none where they cannot be told.
pub fn probe(path: &Path) -> Option<(&'static str, (u32, u32))> {
    /// Bytes that tell the format.
    const HEAD: u64 = 16;
    let mut file = ImageReader::open(path).ok()?.into_inner();
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head).ok()?;
    file.rewind().ok()?;
    let format = format_of(&head)?;
    let reader = ImageReader::with_format(file, format);
    let name = match format {
        // there are two kinds
        ImageFormat::WebP => type_name(&std::fs::read(path).ok()?)?,
        other => name_of(other)?,
    };
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let is_turned = is_sideways(turn(&mut decoder));
    Some((
        name,
        if is_turned {
            (height, width)
        } else {
            (width, height)
        },
    ))
}

/// Reads and decodes an image file.
///
/// # Errors
/// [`Error::Io`], or [`Error::File`] with the reasons of [`decode`].
pub fn read(path: &Path) -> Result<RgbImage> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    decode(&bytes).map_err(|error| error.in_file(path))
}

/// The pixels of an image file with their depth and transparency, upright.
///
/// # Errors
/// As [`decode`].
pub fn decode_as_stored(bytes: &[u8]) -> Result<DynamicImage> {
    stored(bytes, Merge::Mean).map(|own| own.image)
}

/// The same for a mask: where it is reduced, the brightest pixel of each block is kept, so that no defect is lost.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_mask(bytes: &[u8]) -> Result<DynamicImage> {
    stored(bytes, Merge::Brightest).map(|own| own.image)
}

/// What becomes of the pixels that are made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merge {
    Mean,
    Brightest,
}

/// A decoded image.
pub(super) struct Stored {
    pub(super) image: DynamicImage,
    /// The highest value of a colour before the image was reduced, if it was and has 16 bits.
    pub(super) highest: Option<u16>,
}

fn stored(bytes: &[u8], merge: Merge) -> Result<Stored> {
    if bytes.is_empty() {
        return Err(Error::Image(format!(
            "the file is empty: choose a {FORMATS} image"
        )));
    }
    let format = format_of(bytes).ok_or_else(|| {
        Error::Image(match other_format(bytes) {
            Some(name) => format!("{name} files are not supported: convert it to PNG or JPEG"),
            None => format!("the file is not an image: choose a {FORMATS} file"),
        })
    })?;
    let Some(name) = name_of(format) else {
        let name = format.extensions_str().first().unwrap_or(&"these").to_uppercase();
        return Err(Error::Image(format!(
            "{name} images are not supported: convert it to PNG or JPEG"
        )));
    };
    if let (ImageFormat::Png, Some((width, height))) = (format, png_size(bytes)) {
        // The decoder wants more than the header before it tells the size.
        check_reducible(width, height)?;
    }

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let complete = is_complete(bytes, format);
    let explain = |error| {
        if complete {
            explain(name, &error)
        } else {
            cut_off(name)
        }
    };
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    check_reducible(width, height)?;
    let factor = factor_for(width, height, decoder.total_bytes());
    // These two decoders return half an image without complaint.
    if !complete && matches!(format, ImageFormat::Jpeg | ImageFormat::WebP) {
        return Err(cut_off(name));
    }
    if format == ImageFormat::Jpeg && !is_interleaved(bytes) {
        return Err(Error::Image(
            "the JPEG file holds its colours one after the other, which is not supported: save it again as an ordinary \
             JPEG or PNG"
                .into(),
        ));
    }
    let orientation = turn(&mut decoder);
    let mut own = if factor > 1 {
        reduced(bytes, format, factor, (width, height), merge)?
    } else {
        Stored {
            image: DynamicImage::from_decoder(decoder).map_err(explain)?,
            highest: None,
        }
    };
    own.image.apply_orientation(orientation);
    Ok(own)
}

/// The power of two that width and height must be divided by to be decoded; 1, if the image fits as it is.
fn factor_for(width: u32, height: u32, bytes: u64) -> u32 {
    let fits = |factor: &u32| {
        let (width, height) = (width.div_ceil(*factor), height.div_ceil(*factor));
        let bytes = bytes / (u64::from(*factor) * u64::from(*factor));
        !is_large(width, height) && bytes <= MAX_BYTES
    };
    let mut powers = (0..u32::BITS).map(|bits| 1 << bits);
    powers.find(fits).unwrap_or(1 << (u32::BITS - 1))
}

/// By how much an image of this size is reduced while it is decoded; 1 for most.
///
/// # Errors
/// [`Error::Image`] for sizes that cannot be decoded.
pub(crate) fn reduction(width: u32, height: u32) -> Result<u32> {
    check_reducible(width, height)?;
    Ok(factor_for(width, height, 0))
}

/// Whether an image of this size is larger than images are when they are decoded.
pub fn is_large(width: u32, height: u32) -> bool {
    width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS
}

/// Whether there is something to decode, and whether it is not too large even to be reduced.
#[cfg(feature = "large-images")]
fn check_reducible(width: u32, height: u32) -> Result<()> {
    check_pixels(width, height)?;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(too_large(width, height, MOST_PIXELS));
    }
    Ok(())
}

#[cfg(not(feature = "large-images"))]
fn check_reducible(width: u32, height: u32) -> Result<()> {
    check_pixels(width, height)?;
    if is_large(width, height) {
        return Err(too_large(width, height, MAX_PIXELS));
    }
    Ok(())
}

#[cfg(feature = "large-images")]
fn reduced(bytes: &[u8], format: ImageFormat, factor: u32, size: (u32, u32), merge: Merge) -> Result<Stored> {
    use super::large::{Refused, decode};
    decode(bytes, format, factor, merge).map_err(|refused| match refused {
        Refused::Whole => whole_only(format, size),
        Refused::Damaged => {
            let name = name_of(format).unwrap_or("image");
            Error::Image(format!(
                "the {name} file is cut off or damaged: copy or download it again"
            ))
        }
    })
}

#[cfg(not(feature = "large-images"))]
fn reduced(_: &[u8], format: ImageFormat, _: u32, size: (u32, u32), _: Merge) -> Result<Stored> {
    Err(whole_only(format, size))
}

/// Of images that cannot be reduced while they are decoded.
fn whole_only(format: ImageFormat, (width, height): (u32, u32)) -> Error {
    if !is_large(width, height) {
        // deep colour
        return needs_memory();
    }
    let kind = match format {
        ImageFormat::Png => "an interlaced PNG file",
        ImageFormat::Jpeg => "such a JPEG file",
        ImageFormat::Tiff => "such a TIFF file",
        _ => name_of(format).unwrap_or("such a file"),
    };
    Error::Image(format!(
        "the image is too large ({width} x {height} pixels) for {kind}: save it as an ordinary PNG, JPEG or TIFF file, or make \
         it smaller than {} megapixels and {MAX_SIDE} pixels a side",
        MAX_PIXELS / 1_000_000
    ))
}

/// Width and height in a PNG file's first chunk, which its first 24 bytes hold.
pub fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

fn check_pixels(width: u32, height: u32) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::Image(format!(
            "the image has no pixels ({width} x {height}): choose another file"
        )));
    }
    Ok(())
}

fn too_large(width: u32, height: u32, most: u64) -> Error {
    Error::Image(format!(
        "the image is too large ({width} x {height} pixels): make it smaller than {} megapixels{}",
        most / 1_000_000,
        if most == MAX_PIXELS {
            format!(" and {MAX_SIDE} pixels a side")
        } else {
            String::new()
        }
    ))
}

fn needs_memory() -> Error {
    Error::Image("the image needs too much memory: make it smaller or save it with 8 bits per channel".into())
}

fn cut_off(format: &str) -> Error {
    Error::Image(format!("the {format} file is cut off: copy or download it again"))
}

/// One sentence for what the decoder reports.
fn explain(format: &str, error: &ImageError) -> Error {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => cut_off(format),
        ImageError::Limits(_) => needs_memory(),
        ImageError::Unsupported(_) => Error::Image(format!(
            "the file uses a kind of {format} that is not supported: save it again as an ordinary PNG or JPEG"
        )),
        _ => Error::Image(format!(
            "the {format} file is damaged: copy it again or save it anew"
        )),
    }
}

/// Whether the file reaches its own end, as far as that is easily told; the PNG and BMP decoders
/// say themselves when it does not.
fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_ends(bytes).is_some(),
        ImageFormat::WebP => bytes
            .get(4..8)
            .and_then(|length| length.try_into().ok())
            .is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(length))),
        ImageFormat::Gif => bytes.last() == Some(&b';'),
        _ => true,
    }
}

/// What a file is whose type the decoders do not know.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 7] = [
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"%PDF", "PDF"),
        (b"<svg", "SVG"),
        (b"\x89HDF", "HDF5"),
    ];
    /// Where files of the family of MP4 name their kind.
    const BRAND: std::ops::Range<usize> = 4..12;
    const BRANDS: [(&[u8], &str); 4] = [
        (b"ftypheic", "HEIC"),
        (b"ftypheix", "HEIC"),
        (b"ftypmif1", "HEIF"),
        (b"ftypavif", "AVIF"),
    ];
    let brand = bytes.get(BRAND).unwrap_or_default();
    let starts = STARTS.into_iter().find(|(start, _)| bytes.starts_with(start));
    let found = starts.or_else(|| BRANDS.into_iter().find(|(own, _)| *own == brand));
    found.map(|(_, name)| name)
}

/// Number of colours of a JPEG file, and whether it is progressive.
#[cfg(feature = "large-images")]
pub(super) fn jpeg_kind(bytes: &[u8]) -> Option<(u8, bool)> {
    /// Markers of frames of all kinds; three others lie between them.
    const FRAMES: std::ops::RangeInclusive<u8> = 0xc0..=0xcf;
    const OTHERS: [u8; 3] = [0xc4, 0xc8, 0xcc];
    const PROGRESSIVE: u8 = 0xc2;
    let mut found = None;
    jpeg_segments(bytes, |marker, segment| {
        if FRAMES.contains(&marker) && !OTHERS.contains(&marker) {
            let components = segment.get(COMPONENTS_OF_FRAME).copied();
            found = components.map(|components| (components, marker == PROGRESSIVE));
        }
    })?;
    found
}

/// Where a frame's segment has the number of its components.
const COMPONENTS_OF_FRAME: usize = 7;

/// Whether the scans of a baseline JPEG file hold all colours: the decoder reads no others, and does not say so.
fn is_interleaved(bytes: &[u8]) -> bool {
    const BASELINE: [u8; 2] = [0xc0, 0xc1];
    const SCAN: u8 = 0xda;
    /// Where a scan's segment has it.
    const COMPONENTS_OF_SCAN: usize = 2;
    let mut frame = None;
    let mut answer = true;
    let _ = jpeg_segments(bytes, |marker, segment| {
        if BASELINE.contains(&marker) {
            frame = segment.get(COMPONENTS_OF_FRAME).copied();
        } else if marker == SCAN && frame.is_some() {
            answer &= segment.get(COMPONENTS_OF_SCAN).copied() == frame;
        }
    });
    answer
}

/// Whether the file's segments reach its end.
fn jpeg_ends(bytes: &[u8]) -> Option<()> {
    jpeg_segments(bytes, |_, _| {})
}

/// Walks a JPEG file's segments up to the end-of-image marker; `see` gets each marker, and what follows from the segment's
/// length on. Thumbnails have an end, too, but inside of a segment, which is stepped over.
fn jpeg_segments(bytes: &[u8], mut see: impl FnMut(u8, &[u8])) -> Option<()> {
    const END: u8 = 0xd9;
    let mut at = 2;
    loop {
        // Skips picture data, which follows a scan's segment, and fill bytes before the marker.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            END => return Some(()),
            // Stuffed zeros and restart markers of picture data stand alone.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                see(marker, &bytes[at..]);
                at += usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
            }
        }
    }
}

/// Brings every kind of pixel to RGB over a white ground.
fn flatten(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let over_white = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let (width, height) = image.dimensions();
    let pixels = image
        .pixels()
        .flat_map(|&::image::Rgba([r, g, b, a])| [r, g, b].map(|v| over_white(v, a)));
    RgbImage::from_raw(width, height, pixels.collect()).unwrap_or_default()
}

/// Cameras of 12 bits save values of 16 bits that leave the highest four empty, which would be nearly black.
///
/// `highest` is the highest value, where it is known.
fn with_full_range(image: DynamicImage, highest: Option<u16>) -> DynamicImage {
    const FULL: u16 = (1 << 12) - 1;
    let channels = usize::from(image.color().channel_count());
    let colours = channels - usize::from(image.color().has_alpha());
    let stretch = |values: &mut [u16]| {
        let pixels = values.chunks_exact(channels);
        let found = || pixels.flat_map(|pixel| &pixel[..colours]).max().copied();
        let highest = highest.or_else(found).unwrap_or_default();
        if !(u16::from(u8::MAX) + 1..=FULL).contains(&highest) {
            return;
        }
        for pixel in values.chunks_exact_mut(channels) {
            for value in &mut pixel[..colours] {
                *value = (u32::from(*value) * u32::from(u16::MAX) / u32::from(FULL)) as u16;
            }
        }
    };
    let mut image = image;
    match &mut image {
        DynamicImage::ImageLuma16(own) => stretch(own),
        DynamicImage::ImageLumaA16(own) => stretch(own),
        DynamicImage::ImageRgb16(own) => stretch(own),
        DynamicImage::ImageRgba16(own) => stretch(own),
        _ => {}
    }
    image
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
