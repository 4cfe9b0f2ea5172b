//! Image files made for the tests: unusual good ones, and broken ones.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, imageops};

/// Writes a file and gives its path.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

pub(crate) fn png(image: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok(bytes)
}

pub(crate) fn tiff(image: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Tiff)?;
    Ok(bytes)
}

/// A picture that only browsers decode, of 64 x 48 pixels.
pub(crate) const AVIF: &[u8] = include_bytes!("../fixtures/drawn.avif");

pub(crate) fn jpeg(image: &DynamicImage) -> Result<Vec<u8>> {
    const QUALITY: u8 = 90;
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&image.to_rgb8())?;
    Ok(bytes)
}

/// An image as a camera held sideways stores it: turned a quarter to the left, with the note
/// (EXIF orientation 6) that viewers shall turn it to the right.
pub(crate) fn sideways_jpeg(upright: &DynamicImage) -> Result<Vec<u8>> {
    // APP1 segment of 34 bytes: "Exif", a little-endian TIFF header, a directory of one entry
    // (tag 0x0112, type SHORT, count 1, value 6), and no further directory.
    const EXIF: [u8; 36] =
        *b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    const START: usize = 2;
    let mut bytes = jpeg(&upright.rotate270())?;
    bytes.splice(START..START, EXIF);
    Ok(bytes)
}

/// An animated GIF of these frames; of one frame, a still one.
pub(crate) fn gif(frames: &[&DynamicImage]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new(&mut bytes);
        for frame in frames {
            encoder.encode_frame(Frame::new(frame.to_rgba8()))?;
        }
    }
    Ok(bytes)
}

/// Files that cannot be analysed, each with a word that its sentence must contain.
pub(crate) fn broken(folder: &Path, good: &DynamicImage) -> Result<Vec<(PathBuf, &'static str)>> {
    let whole_png = png(good)?;
    let whole_jpeg = jpeg(good)?;
    let whole_tiff = tiff(good)?;
    Ok(vec![
        (
            write(folder, "notes.png", b"Dear diary, this is no image.")?,
            "not an image",
        ),
        (write(folder, "empty.png", b"")?, "empty"),
        (
            write(folder, "truncated.png", &whole_png[..whole_png.len() / 2])?,
            "cut off",
        ),
        (
            write(folder, "truncated.jpg", &whole_jpeg[..whole_jpeg.len() / 2])?,
            "cut off",
        ),
        (
            write(folder, "truncated.tif", &whole_tiff[..whole_tiff.len() / 2])?,
            "cut off",
        ),
        (write(folder, "bomb.png", &header_bomb(60_000))?, "too large"),
    ])
}

/// Unusual files that work, each with the size of the upright image.
pub(crate) fn unusual(folder: &Path, good: &DynamicImage) -> Result<Vec<(PathBuf, (u32, u32))>> {
    let (width, height) = (good.width(), good.height());
    let size = (width, height);
    let mut translucent = good.to_rgba8();
    for (x, _, pixel) in translucent.enumerate_pixels_mut() {
        pixel[3] = (255 * x / width) as u8;
    }
    let other = DynamicImage::ImageRgba8(imageops::flip_horizontal(&good.to_rgba8()));
    Ok(vec![
        (
            write(folder, "one-pixel.png", &png(&good.crop_imm(0, 0, 1, 1))?)?,
            (1, 1),
        ),
        (
            write(
                folder,
                "sixteen-bit.png",
                &png(&DynamicImage::ImageRgb16(good.to_rgb16()))?,
            )?,
            size,
        ),
        (
            write(
                folder,
                "grey.png",
                &png(&DynamicImage::ImageLuma8(good.to_luma8()))?,
            )?,
            size,
        ),
        (
            write(
                folder,
                "sixteen-bit-grey.png",
                &png(&DynamicImage::ImageLuma16(good.to_luma16()))?,
            )?,
            size,
        ),
        (
            write(
                folder,
                "grey-alpha.png",
                &png(&DynamicImage::ImageLumaA8(good.to_luma_alpha8()))?,
            )?,
            size,
        ),
        (
            write(
                folder,
                "translucent.png",
                &png(&DynamicImage::ImageRgba8(translucent))?,
            )?,
            size,
        ),
        (write(folder, "sideways.jpg", &sideways_jpeg(good)?)?, size),
        (
            write(
                folder,
                "scan.tif",
                &tiff(&DynamicImage::ImageRgb8(good.to_rgb8()))?,
            )?,
            size,
        ),
        (
            write(
                folder,
                "deep.tiff",
                &tiff(&DynamicImage::ImageLuma16(good.to_luma16()))?,
            )?,
            size,
        ),
        // longer than the engine takes: another worker reduces it by two
        (
            write(
                folder,
                "long.png",
                &png(&DynamicImage::ImageRgb8(RgbImage::from_pixel(
                    26_000,
                    300,
                    Rgb([90, 80, 70]),
                )))?,
            )?,
            (13_000, 150),
        ),
        (write(folder, "still.gif", &gif(&[good])?)?, size),
        (write(folder, "animated.gif", &gif(&[good, &other])?)?, size),
    ])
}

/// A PNG file of a few bytes that claims to be `side` pixels wide and high.
fn header_bomb(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(side.to_be_bytes());
    header.extend(side.to_be_bytes());
    // 8 bits per channel, RGB, the usual compression, filter and order.
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    // zlib's stream of nothing.
    for chunk in [&header[..], b"IDAT\x78\x9c\x03\x00\x00\x00\x00\x01", b"IEND"] {
        let length = chunk.len() as u32 - 4;
        bytes.extend(length.to_be_bytes());
        bytes.extend(chunk);
        bytes.extend(crc32(chunk).to_be_bytes());
    }
    bytes
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    })
}

/// A model file whose header says that a later version wrote it; otherwise as it was.
pub(crate) fn newer_model(model: &[u8]) -> Result<Vec<u8>> {
    const KEY: &[u8] = b"format_version";
    let key = model
        .windows(KEY.len())
        .position(|window| window == KEY)
        .context("the model states its version")?;
    let digit = model[key..]
        .iter()
        .position(u8::is_ascii_digit)
        .context("a version is a number")?;
    let mut bytes = model.to_vec();
    bytes[key + digit] = b'9';
    Ok(bytes)
}

#[test]
fn checksums_are_those_of_png() {
    assert_eq!(crc32(b"IEND"), 0xae42_6082);
}

#[test]
fn the_bomb_is_a_valid_header_of_that_size() {
    let bytes = header_bomb(60_000);
    let reader = image::ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    assert_eq!(
        reader.into_dimensions().expect("reads the header"),
        (60_000, 60_000)
    );
}

#[test]
fn a_sideways_image_is_stored_turned_and_marked() {
    use image::ImageDecoder as _;
    let bytes = sideways_jpeg(&DynamicImage::new_rgb8(30, 20)).expect("encodes");
    let reader = image::ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
    let mut decoder = reader.into_decoder().expect("decodes");
    assert_eq!(decoder.dimensions(), (20, 30));
    assert_eq!(
        decoder.orientation().expect("is marked"),
        image::metadata::Orientation::Rotate90
    );
}
