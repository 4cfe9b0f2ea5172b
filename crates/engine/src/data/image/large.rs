//! Images of more than [`MAX_PIXELS`](super::MAX_PIXELS): reduced by a whole number while they are decoded, so that no more
//! than a few of their rows are ever in memory at full size.
//!
//! JPEG files are reduced where they are transformed back, to a half, a quarter or an eighth; of PNG and TIFF files, blocks
//! of pixels are averaged.

use std::io::Cursor;

use ::image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Pixel, Rgb, Rgba};
use tiff::decoder::DecodingResult;

use super::decode::{MAX_BYTES, jpeg_components};

/// Why a large image cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A kind of file that can only be decoded as a whole.
    Whole,
    /// Its bytes are wrong, or too few.
    Damaged,
}

type Result<T> = std::result::Result<T, Refused>;

/// Decodes an image at one `factor`-th of its width and height, at least 2, rounded up; JPEG files at the next power of two.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, factor: u32) -> Result<DynamicImage> {
    match format {
        ImageFormat::Jpeg => jpeg(bytes, factor),
        ImageFormat::Png => png(bytes, factor),
        ImageFormat::Tiff => tiff(bytes, factor),
        _ => Err(Refused::Whole),
    }
}

fn jpeg(bytes: &[u8], factor: u32) -> Result<DynamicImage> {
    /// The decoder knows no smaller pictures than an eighth.
    const LEAST: u32 = 8;
    // of other numbers it makes no RGB
    if !matches!(jpeg_components(bytes), Some(1 | 3)) || factor > LEAST {
        return Err(Refused::Whole);
    }
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    decoder.set_max_decoding_buffer_size(MAX_BYTES as usize);
    decoder.read_info().map_err(of_jpeg)?;
    let info = decoder.info().ok_or(Refused::Damaged)?;
    let factor = factor.next_power_of_two() as u16;
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
    image.ok_or(Refused::Damaged)
}

fn of_jpeg(error: jpeg_decoder::Error) -> Refused {
    match error {
        jpeg_decoder::Error::Unsupported(_) => Refused::Whole,
        _ => Refused::Damaged,
    }
}

fn png(bytes: &[u8], factor: u32) -> Result<DynamicImage> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|_| Refused::Damaged)?;
    if reader.info().interlaced {
        return Err(Refused::Whole);
    }
    let (color, depth) = reader.output_color_type();
    let is_deep = depth == png::BitDepth::Sixteen;
    let (width, height) = (reader.info().width, reader.info().height);
    let mut reducer = Reducer::new(width, color.samples(), factor);
    for _ in 0..height {
        let row = reader.next_row().map_err(|_| Refused::Damaged)?;
        let row = row.ok_or(Refused::Damaged)?;
        if is_deep {
            let pairs = row.data().as_chunks().0.iter();
            reducer.add(pairs.map(|&pair| u16::from_be_bytes(pair)));
        } else {
            reducer.add(row.data().iter().map(|&value| u16::from(value)));
        }
    }
    reducer.finish(is_deep)
}

fn tiff(bytes: &[u8], factor: u32) -> Result<DynamicImage> {
    use tiff::ColorType;
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = MAX_BYTES as usize;
    limits.intermediate_buffer_size = MAX_BYTES as usize;
    // where the strips of a large file lie takes more than the default
    limits.ifd_value_size = bytes.len();
    let decoder = tiff::decoder::Decoder::new(Cursor::new(bytes)).map_err(of_tiff)?;
    let mut decoder = decoder.with_limits(limits);
    let channels = match decoder.colortype().map_err(of_tiff)? {
        ColorType::Gray(8 | 16) => 1,
        ColorType::GrayA(8 | 16) => 2,
        ColorType::RGB(8 | 16) => 3,
        ColorType::RGBA(8 | 16) => 4,
        _ => return Err(Refused::Whole),
    };
    let planes = decoder
        .find_tag_unsigned::<u16>(tiff::tags::Tag::PlanarConfiguration)
        .map_err(of_tiff)?;
    if planes.is_some_and(|planes| planes != 1) && channels > 1 {
        return Err(Refused::Whole);
    }
    let (width, height) = decoder.dimensions().map_err(of_tiff)?;
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    if chunk_width == 0 || chunk_height == 0 {
        return Err(Refused::Damaged);
    }
    let across = width.div_ceil(chunk_width);
    let row = width as usize * channels;
    // a band of rows: one strip, or tiles side by side
    if row as u64 * u64::from(chunk_height.min(height)) > MAX_BYTES / 2 {
        return Err(Refused::Whole);
    }
    let mut reducer = Reducer::new(width, channels, factor);
    let mut is_deep = false;
    for first in 0..height.div_ceil(chunk_height) {
        let rows = chunk_height.min(height - first * chunk_height) as usize;
        let mut band = vec![0_u16; row * rows];
        for column in 0..across {
            let index = first * across + column;
            let own = decoder.chunk_data_dimensions(index).0 as usize * channels;
            let start = (column * chunk_width) as usize * channels;
            let values: Vec<u16> = match decoder.read_chunk(index).map_err(of_tiff)? {
                DecodingResult::U8(values) => values.into_iter().map(u16::from).collect(),
                DecodingResult::U16(values) => {
                    is_deep = true;
                    values
                }
                _ => return Err(Refused::Whole),
            };
            let places = band.chunks_exact_mut(row).zip(values.chunks_exact(own.max(1)));
            for (place, values) in places {
                let place = place.get_mut(start..start + own).ok_or(Refused::Damaged)?;
                place.copy_from_slice(values);
            }
        }
        for values in band.chunks_exact(row) {
            reducer.add(values.iter().copied());
        }
    }
    reducer.finish(is_deep)
}

fn of_tiff(error: tiff::TiffError) -> Refused {
    match error {
        tiff::TiffError::UnsupportedError(_) | tiff::TiffError::LimitsExceeded => Refused::Whole,
        _ => Refused::Damaged,
    }
}

/// Averages blocks of pixels, row by row; at the right and lower border they may be smaller.
struct Reducer {
    factor: usize,
    /// Of the full size, in pixels.
    width: usize,
    channels: usize,
    /// Of the rows of the current block.
    sums: Vec<u64>,
    rows: usize,
    values: Vec<u16>,
}

impl Reducer {
    fn new(width: u32, channels: usize, factor: u32) -> Self {
        Self {
            factor: factor as usize,
            width: width as usize,
            channels,
            sums: vec![0; width.div_ceil(factor) as usize * channels],
            rows: 0,
            values: Vec::new(),
        }
    }

    /// The next row's interleaved values.
    fn add(&mut self, row: impl Iterator<Item = u16>) {
        let (mut at, mut within, mut channel) = (0, 0, 0);
        for value in row {
            self.sums[at + channel] += u64::from(value);
            channel += 1;
            if channel == self.channels {
                channel = 0;
                within += 1;
                if within == self.factor {
                    within = 0;
                    at += self.channels;
                }
            }
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (place, sum) in self.sums.iter_mut().enumerate() {
            let start = place / self.channels * self.factor;
            let pixels = (self.rows * self.factor.min(self.width - start)) as u64;
            self.values.push(((*sum + pixels / 2) / pixels) as u16);
            *sum = 0;
        }
        self.rows = 0;
    }

    fn finish(mut self, is_deep: bool) -> Result<DynamicImage> {
        if self.rows > 0 {
            self.flush();
        }
        let width = self.sums.len() / self.channels;
        let height = self.values.len() / self.sums.len().max(1);
        let (width, height) = (width as u32, height as u32);
        let image = if is_deep {
            let values = self.values;
            match self.channels {
                1 => buffer::<Luma<u16>>(width, height, values).map(DynamicImage::ImageLuma16),
                2 => buffer::<LumaA<u16>>(width, height, values).map(DynamicImage::ImageLumaA16),
                3 => buffer::<Rgb<u16>>(width, height, values).map(DynamicImage::ImageRgb16),
                _ => buffer::<Rgba<u16>>(width, height, values).map(DynamicImage::ImageRgba16),
            }
        } else {
            let values = self.values.into_iter().map(|value| value as u8).collect();
            match self.channels {
                1 => buffer::<Luma<u8>>(width, height, values).map(DynamicImage::ImageLuma8),
                2 => buffer::<LumaA<u8>>(width, height, values).map(DynamicImage::ImageLumaA8),
                3 => buffer::<Rgb<u8>>(width, height, values).map(DynamicImage::ImageRgb8),
                _ => buffer::<Rgba<u8>>(width, height, values).map(DynamicImage::ImageRgba8),
            }
        };
        image.ok_or(Refused::Damaged)
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

    /// The largest difference to an image that was averaged by definition.
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
            for channel in 0..4 {
                let mean = block.pixels().map(|own| own.0[channel]).sum::<f32>() / (right * lower) as f32;
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
                for factor in [2, 3, 7] {
                    let found = decode(&encoded(&image, format), format, factor).expect("is decoded");
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
    fn jpeg_files_are_reduced_by_powers_of_two() {
        for image in [
            DynamicImage::ImageRgb8(picture(90, 60)),
            DynamicImage::ImageLuma8(DynamicImage::ImageRgb8(picture(90, 60)).to_luma8()),
        ] {
            let mut bytes = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
            image.write_with_encoder(encoder).expect("is written");
            for (factor, used) in [(2, 2), (3, 4), (4, 4), (8, 8)] {
                let found = decode(&bytes, ImageFormat::Jpeg, factor).expect("is decoded");
                assert_eq!(found.color(), image.color());
                let off = difference(&found, &image, used);
                assert!(off < 12.0 / 255.0, "/ {factor}: {off}");
            }
            assert_eq!(decode(&bytes, ImageFormat::Jpeg, 9), Err(Refused::Whole));
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
        let found = decode(&bytes, ImageFormat::Tiff, 3).expect("is decoded");
        assert!(difference(&found, &whole, 3) < 0.51 / 255.0);
    }

    #[test]
    fn what_cannot_be_reduced_or_is_cut_off_is_refused() {
        let image = DynamicImage::ImageRgb8(picture(90, 60));
        for format in [ImageFormat::Bmp, ImageFormat::Gif] {
            assert_eq!(decode(&encoded(&image, format), format, 2), Err(Refused::Whole));
        }
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            let bytes = encoded(&image, format);
            assert_eq!(
                decode(&bytes[..bytes.len() / 2], format, 2),
                Err(Refused::Damaged)
            );
        }
    }
}
