//! Images of more than [`MAX_PIXELS`](super::MAX_PIXELS): reduced by a power of two while they are decoded, so that no more
//! than a few of their rows are ever in memory at full size.
//!
//! JPEG files are reduced where they are transformed back; of PNG and TIFF files, blocks of pixels become one.

use std::io::Cursor;

use ::image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Pixel, Rgb, Rgba};
use tiff::decoder::DecodingResult;

use super::decode::{MAX_BYTES, Merge, Stored, jpeg_kind};

/// Why a large image cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A kind of file that can only be decoded as a whole.
    Whole,
    /// Its bytes are wrong, or too few.
    Damaged,
}

type Result<T> = std::result::Result<T, Refused>;

/// Decodes an image at one `factor`-th of its width and height, rounded up; the factor is a power of two, at least 2. JPEG files
/// are averaged, however pixels are to be merged.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, factor: u32, merge: Merge) -> Result<Stored> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes, factor),
        ImageFormat::Png => png(bytes, factor, merge),
        ImageFormat::Tiff => tiff(bytes, factor, merge),
        _ => Err(Refused::Whole),
    }
}

fn jpeg(bytes: &[u8], factor: u32) -> Result<Stored> {
    /// The decoder knows no smaller pictures than an eighth.
    const LEAST: u32 = 8;
    /// Bytes of a coefficient: of progressive files all are kept until the end.
    const COEFFICIENT: u64 = 2;
    /// Most bytes of them all.
    const MOST: u64 = 2_500_000_000;
    // of other numbers of colours it makes no RGB
    let Some((colours @ (1 | 3), is_progressive)) = jpeg_kind(bytes) else {
        return Err(Refused::Whole);
    };
    if factor > LEAST {
        return Err(Refused::Whole);
    }
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    decoder.set_max_decoding_buffer_size(MAX_BYTES as usize);
    decoder.read_info().map_err(of_jpeg)?;
    let info = decoder.info().ok_or(Refused::Damaged)?;
    let coefficients = u64::from(info.width) * u64::from(info.height) * u64::from(colours);
    if is_progressive && coefficients * COEFFICIENT > MOST {
        return Err(Refused::Whole);
    }
    let factor = factor as u16;
    let part = |side: u16| side.div_ceil(factor);
    let (width, height) = decoder
        .scale(part(info.width), part(info.height))
        .map_err(of_jpeg)?;
    let pixels = decoder.decode().map_err(of_jpeg)?;
    let (width, height) = (u32::from(width), u32::from(height));
    let image = match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        jpeg_decoder::PixelFormat::RGB24 => {
            ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        _ => return Err(Refused::Whole),
    };
    Ok(Stored {
        image: image.ok_or(Refused::Damaged)?,
        highest: None,
    })
}

fn of_jpeg(error: jpeg_decoder::Error) -> Refused {
    match error {
        jpeg_decoder::Error::Unsupported(_) => Refused::Whole,
        _ => Refused::Damaged,
    }
}

fn png(bytes: &[u8], factor: u32, merge: Merge) -> Result<Stored> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_limits(png::Limits {
        bytes: MAX_BYTES as usize,
    });
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(of_png)?;
    if reader.info().interlaced {
        return Err(Refused::Whole);
    }
    let (color, depth) = reader.output_color_type();
    let is_deep = depth == png::BitDepth::Sixteen;
    let (width, height) = (reader.info().width, reader.info().height);
    let mut reducer = Reducer::new(width, color.samples(), factor, merge);
    let mut values = Vec::new();
    for _ in 0..height {
        let row = reader.next_row().map_err(of_png)?.ok_or(Refused::Damaged)?;
        values.clear();
        if is_deep {
            let pairs = row.data().as_chunks().0.iter();
            values.extend(pairs.map(|&pair| u16::from_be_bytes(pair)));
        } else {
            values.extend(row.data().iter().map(|&value| u16::from(value)));
        }
        reducer.add(&values);
    }
    // the checksums come last
    reader.finish().map_err(of_png)?;
    reducer.finish(is_deep)
}

fn of_png(error: png::DecodingError) -> Refused {
    match error {
        png::DecodingError::LimitsExceeded => Refused::Whole,
        _ => Refused::Damaged,
    }
}

fn tiff(bytes: &[u8], factor: u32, merge: Merge) -> Result<Stored> {
    use tiff::ColorType;
    use tiff::tags::Tag;
    /// Kinds of compression that are JPEG's, and the longest side that their decoder takes.
    const JPEG: [u16; 2] = [6, 7];
    const LONGEST: u32 = 16_384;
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = MAX_BYTES as usize;
    limits.intermediate_buffer_size = MAX_BYTES as usize;
    // where the strips of a large file lie takes more than the default
    limits.ifd_value_size = bytes.len();
    let decoder = tiff::decoder::Decoder::new(Cursor::new(bytes)).map_err(of_tiff)?;
    let mut decoder = decoder.with_limits(limits);
    let (channels, bits) = match decoder.colortype().map_err(of_tiff)? {
        ColorType::Gray(bits @ (1 | 8 | 16)) => (1, bits),
        ColorType::GrayA(bits @ (8 | 16)) => (2, bits),
        ColorType::RGB(bits @ (8 | 16)) => (3, bits),
        ColorType::RGBA(bits @ (8 | 16)) => (4, bits),
        _ => return Err(Refused::Whole),
    };
    let mut number = |tag| decoder.find_tag_unsigned::<u16>(tag).map_err(of_tiff);
    let is_planar = number(Tag::PlanarConfiguration)?.is_some_and(|planes| planes != 1);
    let is_jpeg = number(Tag::Compression)?.is_some_and(|kind| JPEG.contains(&kind));
    let (width, height) = decoder.dimensions().map_err(of_tiff)?;
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    if chunk_width == 0 || chunk_height == 0 {
        return Err(Refused::Damaged);
    }
    if is_planar && channels > 1 || is_jpeg && chunk_width.max(chunk_height.min(height)) > LONGEST {
        return Err(Refused::Whole);
    }
    let across = width.div_ceil(chunk_width);
    let mut reducer = Reducer::new(width, channels, factor, merge);
    let mut row = Vec::new();
    for first in 0..height.div_ceil(chunk_height) {
        let rows = chunk_height.min(height - first * chunk_height) as usize;
        // a strip, or tiles side by side
        let mut chunks = Vec::new();
        for column in 0..across {
            let index = first * across + column;
            let values = chunk_width.min(width - column * chunk_width) as usize * channels;
            let chunk = decoder.read_chunk(index).map_err(of_tiff)?;
            chunks.push((values, chunk));
        }
        for y in 0..rows {
            row.clear();
            for (values, chunk) in &chunks {
                let part = y * values..(y + 1) * values;
                let whole = match chunk {
                    DecodingResult::U8(bytes) if bits == 1 => add_bits(&mut row, bytes, y, *values),
                    DecodingResult::U8(bytes) => bytes
                        .get(part)
                        .map(|part| row.extend(part.iter().map(|&value| u16::from(value)))),
                    DecodingResult::U16(numbers) => numbers.get(part).map(|part| row.extend_from_slice(part)),
                    _ => return Err(Refused::Whole),
                };
                whole.ok_or(Refused::Damaged)?;
            }
            reducer.add(&row);
        }
    }
    reducer.finish(bits == 16)
}

/// Adds a row of single bits, which begins with a byte of its own, as black and white.
fn add_bits(row: &mut Vec<u16>, bytes: &[u8], y: usize, width: usize) -> Option<()> {
    let stride = width.div_ceil(8);
    let bytes = bytes.get(y * stride..(y + 1) * stride)?;
    let bit = |x: usize| u16::from(bytes[x / 8] >> (7 - x % 8) & 1);
    row.extend((0..width).map(|x| bit(x) * u16::from(u8::MAX)));
    Some(())
}

fn of_tiff(error: tiff::TiffError) -> Refused {
    match error {
        tiff::TiffError::UnsupportedError(_) | tiff::TiffError::LimitsExceeded => Refused::Whole,
        _ => Refused::Damaged,
    }
}

/// Makes blocks of pixels one, row by row; at the right and lower border they may be smaller. Colours count as much as they are
/// opaque.
struct Reducer {
    factor: usize,
    merge: Merge,
    /// Of the full size, in pixels.
    width: usize,
    channels: usize,
    /// Colours, without transparency.
    colours: usize,
    /// Of the rows of the current block.
    sums: Vec<u64>,
    rows: usize,
    values: Vec<u16>,
    /// Of all colours.
    highest: u16,
}

impl Reducer {
    fn new(width: u32, channels: usize, factor: u32, merge: Merge) -> Self {
        Self {
            factor: factor as usize,
            merge,
            width: width as usize,
            channels,
            colours: channels - usize::from(channels.is_multiple_of(2)),
            sums: vec![0; width.div_ceil(factor) as usize * channels],
            rows: 0,
            values: Vec::new(),
            highest: 0,
        }
    }

    /// The next row's interleaved values.
    fn add(&mut self, row: &[u16]) {
        let (channels, colours) = (self.channels, self.colours);
        let blocks = row.chunks(self.factor * channels);
        for (sums, block) in self.sums.chunks_exact_mut(channels).zip(blocks) {
            for pixel in block.chunks_exact(channels) {
                self.highest = pixel[..colours].iter().fold(self.highest, |a, &b| a.max(b));
                let weight = match self.merge {
                    Merge::Mean if colours < channels => u64::from(pixel[colours]),
                    _ => 1,
                };
                for (place, (sum, &value)) in sums.iter_mut().zip(pixel).enumerate() {
                    let value = u64::from(value);
                    *sum = match self.merge {
                        Merge::Brightest => value.max(*sum),
                        Merge::Mean if place < colours => *sum + value * weight,
                        Merge::Mean => *sum + value,
                    };
                }
            }
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (block, sums) in self.sums.chunks_exact_mut(self.channels).enumerate() {
            let pixels = (self.rows * self.factor.min(self.width - block * self.factor)) as u64;
            let alphas = sums[self.colours..].first().copied();
            for (place, sum) in sums.iter_mut().enumerate() {
                let weight = match self.merge {
                    Merge::Brightest => 1,
                    Merge::Mean if place < self.colours => alphas.unwrap_or(pixels).max(1),
                    Merge::Mean => pixels,
                };
                self.values.push(((*sum + weight / 2) / weight) as u16);
                *sum = 0;
            }
        }
        self.rows = 0;
    }

    fn finish(mut self, is_deep: bool) -> Result<Stored> {
        if self.rows > 0 {
            self.flush();
        }
        let width = self.sums.len() / self.channels;
        let height = self.values.len() / self.sums.len().max(1);
        let (width, height) = (width as u32, height as u32);
        let image = if is_deep {
            let values = std::mem::take(&mut self.values);
            match self.channels {
                1 => buffer::<Luma<u16>>(width, height, values).map(DynamicImage::ImageLuma16),
                2 => buffer::<LumaA<u16>>(width, height, values).map(DynamicImage::ImageLumaA16),
                3 => buffer::<Rgb<u16>>(width, height, values).map(DynamicImage::ImageRgb16),
                _ => buffer::<Rgba<u16>>(width, height, values).map(DynamicImage::ImageRgba16),
            }
        } else {
            let values = self.values.iter().map(|&value| value as u8).collect();
            match self.channels {
                1 => buffer::<Luma<u8>>(width, height, values).map(DynamicImage::ImageLuma8),
                2 => buffer::<LumaA<u8>>(width, height, values).map(DynamicImage::ImageLumaA8),
                3 => buffer::<Rgb<u8>>(width, height, values).map(DynamicImage::ImageRgb8),
                _ => buffer::<Rgba<u8>>(width, height, values).map(DynamicImage::ImageRgba8),
            }
        };
        Ok(Stored {
            image: image.ok_or(Refused::Damaged)?,
            highest: is_deep.then_some(self.highest),
        })
    }
}

fn buffer<P: Pixel>(
    width: u32,
    height: u32,
    values: Vec<P::Subpixel>,
) -> Option<ImageBuffer<P, Vec<P::Subpixel>>> {
    ImageBuffer::from_raw(width, height, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::codecs::jpeg::JpegEncoder;
    use ::image::imageops;

    /// A picture that differs everywhere, but little from pixel to pixel, so that JPEG keeps it.
    fn picture(width: u32, height: u32) -> ::image::RgbImage {
        ::image::RgbImage::from_fn(width, height, |x, y| {
            Rgb([(2 * x) as u8, (3 * y) as u8, (x + y) as u8])
        })
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("is written");
        bytes.into_inner()
    }

    fn mean(bytes: &[u8], format: ImageFormat, factor: u32) -> Result<DynamicImage> {
        decode(bytes, format, factor, Merge::Mean).map(|own| own.image)
    }

    /// The largest difference to an image that was averaged by definition, colours by how opaque they are.
    fn difference(found: &DynamicImage, whole: &DynamicImage, factor: u32) -> f32 {
        let (found, whole) = (found.to_rgba32f(), whole.to_rgba32f());
        let (width, height) = whole.dimensions();
        assert_eq!(
            found.dimensions(),
            (width.div_ceil(factor), height.div_ceil(factor))
        );
        let mut largest = 0.0_f32;
        for (x, y, pixel) in found.enumerate_pixels() {
            let (right, lower) = (
                width.min((x + 1) * factor) - x * factor,
                height.min((y + 1) * factor) - y * factor,
            );
            let block = imageops::crop_imm(&whole, x * factor, y * factor, right, lower).to_image();
            let alpha: f32 = block.pixels().map(|own| own.0[3]).sum();
            for channel in 0..4 {
                let mean = if channel == 3 {
                    alpha / (right * lower) as f32
                } else {
                    let sum: f32 = block.pixels().map(|own| own.0[channel] * own.0[3]).sum();
                    sum / alpha.max(f32::MIN_POSITIVE)
                };
                largest = largest.max((mean - pixel.0[channel]).abs());
            }
        }
        largest
    }

    #[test]
    fn blocks_are_averaged_for_all_kinds_of_pixels() {
        let rgb = DynamicImage::ImageRgb8(picture(53, 41));
        let mut clear = rgb.to_rgba8();
        clear.pixels_mut().for_each(|pixel| pixel.0[3] = pixel.0[0]);
        let clear = DynamicImage::ImageRgba8(clear);
        let all = [
            rgb.clone(),
            DynamicImage::ImageLuma8(rgb.to_luma8()),
            DynamicImage::ImageRgb16(rgb.to_rgb16()),
            DynamicImage::ImageLuma16(rgb.to_luma16()),
            DynamicImage::ImageLumaA8(clear.to_luma_alpha8()),
            DynamicImage::ImageRgba16(clear.to_rgba16()),
            clear,
        ];
        for image in all {
            for format in [ImageFormat::Png, ImageFormat::Tiff] {
                if format == ImageFormat::Tiff && image.color() == ::image::ColorType::La8 {
                    // its encoder writes none
                    continue;
                }
                for factor in [2, 4, 8] {
                    let found = mean(&encoded(&image, format), format, factor).expect("is decoded");
                    assert_eq!(found.color(), image.color());
                    let off = difference(&found, &image, factor);
                    assert!(
                        off < 0.51 / 255.0,
                        "{format:?} {:?} / {factor}: {off}",
                        image.color()
                    );
                }
            }
        }
    }

    #[test]
    fn jpeg_files_are_reduced_down_to_an_eighth() {
        for image in [
            DynamicImage::ImageRgb8(picture(90, 60)),
            DynamicImage::ImageLuma8(DynamicImage::ImageRgb8(picture(90, 60)).to_luma8()),
        ] {
            let mut bytes = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
            image.write_with_encoder(encoder).expect("is written");
            for factor in [2, 4, 8] {
                let found = mean(&bytes, ImageFormat::Jpeg, factor).expect("is decoded");
                assert_eq!(found.color(), image.color());
                let off = difference(&found, &image, factor);
                assert!(off < 12.0 / 255.0, "/ {factor}: {off}");
            }
            assert_eq!(mean(&bytes, ImageFormat::Jpeg, 16), Err(Refused::Whole));
        }
    }

    #[test]
    fn tiles_are_put_together() {
        use std::io::{Seek as _, Write as _};
        // written by hand: the encoder writes strips alone
        let image = picture(100, 70).into_raw();
        let (tile, across, down) = (32_usize, 4, 3);
        let mut file = Cursor::new(Vec::new());
        file.write_all(b"II*\0\0\0\0\0").expect("is written");
        let mut offsets = Vec::new();
        for index in 0..across * down {
            offsets.push(file.stream_position().expect("has one") as u32);
            for y in 0..tile {
                for x in 0..tile {
                    let (x, y) = (index % across * tile + x, index / across * tile + y);
                    let at = 3 * (100 * y + x);
                    let pixel = if x < 100 && y < 70 {
                        &image[at..at + 3]
                    } else {
                        &[9, 9, 9]
                    };
                    file.write_all(pixel).expect("is written");
                }
            }
        }
        let table = |file: &mut Cursor<Vec<u8>>, values: &[u32]| {
            let at = file.stream_position().expect("has one") as u32;
            for value in values {
                file.write_all(&value.to_le_bytes()).expect("is written");
            }
            at
        };
        let count = offsets.len() as u32;
        let bits = table(&mut file, &[0x0008_0008, 8]);
        let places = table(&mut file, &offsets);
        let lengths = table(&mut file, &vec![(3 * tile * tile) as u32; offsets.len()]);
        let start = file.stream_position().expect("has one") as u32;
        let entries: [(u16, u16, u32, u32); 10] = [
            (256, 4, 1, 100),
            (257, 4, 1, 70),
            (258, 3, 3, bits),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (277, 3, 1, 3),
            (322, 4, 1, tile as u32),
            (323, 4, 1, tile as u32),
            (324, 4, count, places),
            (325, 4, count, lengths),
        ];
        file.write_all(&(entries.len() as u16).to_le_bytes())
            .expect("is written");
        for (tag, kind, count, value) in entries {
            file.write_all(&[tag.to_le_bytes(), kind.to_le_bytes()].concat())
                .expect("is written");
            file.write_all(&[count.to_le_bytes(), value.to_le_bytes()].concat())
                .expect("is written");
        }
        file.write_all(&[0; 4]).expect("is written");
        let mut bytes = file.into_inner();
        bytes[4..8].copy_from_slice(&start.to_le_bytes());
        let whole = DynamicImage::ImageRgb8(picture(100, 70));
        let found = mean(&bytes, ImageFormat::Tiff, 4).expect("is decoded");
        assert!(difference(&found, &whole, 4) < 0.51 / 255.0);
    }

    #[test]
    fn of_masks_nothing_is_lost() {
        // labels, and a crack of one pixel
        let mut mask = ::image::GrayImage::new(90, 60);
        mask.put_pixel(41, 30, Luma([1]));
        (0..60).for_each(|y| mask.put_pixel(5, y, Luma([3])));
        let mask = DynamicImage::ImageLuma8(mask);
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let found = decode(&encoded(&mask, format), format, 8, Merge::Brightest).expect("is decoded");
            let found = found.image.to_luma8();
            for (x, y, pixel) in found.enumerate_pixels() {
                let expected = match (x, y) {
                    (5, 3) => 1,
                    (0, _) => 3,
                    _ => 0,
                };
                assert_eq!(pixel.0[0], expected, "{format:?} {x} {y}");
            }
        }
    }

    #[test]
    fn the_highest_value_is_that_before() {
        let deep = ImageBuffer::from_fn(64, 8, |x, _| Luma([if x % 4 == 0 { 8_000_u16 } else { 1_000 }]));
        let bytes = encoded(&DynamicImage::ImageLuma16(deep), ImageFormat::Png);
        let found = decode(&bytes, ImageFormat::Png, 4, Merge::Mean).expect("is decoded");
        assert_eq!(found.highest, Some(8_000));
        assert_eq!(found.image.to_luma16().get_pixel(3, 1).0, [2_750]);
    }

    #[test]
    fn what_cannot_be_reduced_or_is_cut_off_is_refused() {
        let image = DynamicImage::ImageRgb8(picture(90, 60));
        for format in [ImageFormat::Bmp, ImageFormat::Gif] {
            assert_eq!(mean(&encoded(&image, format), format, 2), Err(Refused::Whole));
        }
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let bytes = encoded(&image, format);
            assert_eq!(mean(&bytes[..bytes.len() / 2], format, 2), Err(Refused::Damaged));
        }
        // the last chunk is missing, or a checksum wrong
        let mut bytes = encoded(&image, ImageFormat::Png);
        let end = bytes.len();
        assert_eq!(
            mean(&bytes[..end - 12], ImageFormat::Png, 2),
            Err(Refused::Damaged)
        );
        bytes[end - 18] ^= 1;
        assert_eq!(mean(&bytes, ImageFormat::Png, 2), Err(Refused::Damaged));
    }
}
