use ::image::codecs::gif::GifEncoder;
use ::image::{Delay, DynamicImage, Frame, Rgb, Rgba, RgbaImage};

use super::*;

const FORMATS_TO_TRY: [ImageFormat; 6] = [
    ImageFormat::Tiff,
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::WebP,
];

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// A smooth picture with a bright upper left corner, so that every format keeps it.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(255 - x * 3) as u8, (255 - y * 4) as u8, 128])
    })
}

fn message(bytes: &[u8]) -> String {
    decode(bytes).expect_err("refused").to_string()
}

#[test]
fn every_format_is_read() {
    let image = picture(60, 40);
    for format in FORMATS_TO_TRY {
        let decoded = decode(&encode(&image.clone().into(), format)).expect("decoded");
        assert_eq!(decoded.dimensions(), (60, 40));
        let worst = decoded
            .iter()
            .zip(image.iter())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        // GIF has 256 colours and JPEG is lossy.
        let allowed = if matches!(format, ImageFormat::Gif | ImageFormat::Jpeg) {
            24
        } else {
            0
        };
        assert!(worst <= Some(allowed), "{format:?}: {worst:?}");
        let single = decode(&encode(&picture(1, 1).into(), format)).expect("1 x 1 works");
        assert_eq!(single.dimensions(), (1, 1));
    }
}

#[test]
fn types_and_sizes_are_told_without_decoding() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("picture");
    // the encoder of WebP at hand loses nothing
    for (format, name) in
        FORMATS_TO_TRY
            .into_iter()
            .zip(["TIFF", "PNG", "JPEG", "GIF", "BMP", "lossless WebP"])
    {
        let bytes = encode(&picture(60, 40).into(), format);
        assert_eq!(type_name(&bytes), Some(name));
        std::fs::write(&path, bytes).expect("written");
        assert_eq!(probe(&path), Some((name, (60, 40))));
    }
    for other in [&b""[..], b"no image", b"II*\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n"] {
        std::fs::write(&path, other).expect("written");
        assert_eq!(probe(&path), None);
    }
    assert_eq!(probe(&folder.path().join("nowhere")), None);
    assert_eq!(type_name(b"RIFF\x10\0\0\0WEBPVP8 "), Some("WebP"));
}

#[test]
fn kinds_of_pixels_become_rgb() {
    let grey16 = ::image::ImageBuffer::from_pixel(3, 2, ::image::Luma([0x8080u16]));
    let rgb16 = ::image::ImageBuffer::from_pixel(3, 2, Rgb([0xffffu16, 0, 0x4040]));
    let grey = GrayImage::from_pixel(3, 2, ::image::Luma([77]));
    let clear = RgbaImage::from_pixel(3, 2, Rgba([255, 0, 100, 51]));
    let cases: [(DynamicImage, [u8; 3]); 4] = [
        (grey16.into(), [0x80; 3]),
        (rgb16.into(), [255, 0, 0x40]),
        (grey.into(), [77; 3]),
        // A fifth of the colour over white.
        (clear.into(), [255, 204, 224]),
    ];
    for (image, expected) in cases {
        let decoded = decode(&encode(&image, ImageFormat::Png)).expect("decoded");
        assert!(
            decoded.pixels().all(|p| p.0 == expected),
            "{:?}: {:?}",
            image.color(),
            decoded.get_pixel(0, 0)
        );
    }
}

/// A palette PNG of 2 x 1 pixels with 1 bit each, assembled by hand: green, then red.
#[test]
fn palettes_are_resolved() {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut bytes, b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 1, 3, 0, 0, 0]);
    chunk(&mut bytes, b"PLTE", &[255, 0, 0, 0, 255, 0]);
    // One stored deflate block with filter byte 0 and the bits 10, then its Adler checksum.
    chunk(
        &mut bytes,
        b"IDAT",
        &[
            0x78, 0x01, 0x01, 2, 0, 0xfd, 0xff, 0, 0x80, 0x00, 0x82, 0x00, 0x81,
        ],
    );
    chunk(&mut bytes, b"IEND", &[]);
    let image = decode(&bytes).expect("decoded");
    assert_eq!(image.as_raw(), &[0, 255, 0, 255, 0, 0]);
}

fn chunk(bytes: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    bytes.extend((data.len() as u32).to_be_bytes());
    let checked = [kind.as_slice(), data].concat();
    let mut crc = !0u32;
    for byte in &checked {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    bytes.extend(checked);
    bytes.extend((!crc).to_be_bytes());
}

/// A JPEG file with an EXIF segment with the one entry "orientation" (0x0112), little endian.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn photographs_are_turned_upright() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("photo");
    let jpeg = encode(&picture(60, 40).into(), ImageFormat::Jpeg);
    let plain = decode(&jpeg).expect("decoded");
    for orientation in 1..=8u8 {
        let turned = with_orientation(&jpeg, orientation);
        let decoded = decode(&turned).expect("decoded");
        let mut expected = DynamicImage::from(plain.clone());
        expected.apply_orientation(Orientation::from_exif(orientation).expect("1 to 8"));
        assert_eq!(decoded, expected.into_rgb8(), "orientation {orientation}");
        std::fs::write(&path, &turned).expect("written");
        assert_eq!(probe(&path), Some(("JPEG", decoded.dimensions())));
        assert_eq!(
            decoded.dimensions(),
            if orientation < 5 { (60, 40) } else { (40, 60) }
        );
    }
}

#[test]
fn the_first_picture_of_an_animation_counts() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for colour in [[255, 0, 0, 255], [0, 0, 255, 255]] {
        let frame = RgbaImage::from_pixel(8, 8, Rgba(colour));
        encoder
            .encode_frame(Frame::from_parts(frame, 0, 0, Delay::from_numer_denom_ms(100, 1)))
            .expect("encoded");
    }
    drop(encoder);
    assert!(
        decode(&bytes)
            .expect("decoded")
            .pixels()
            .all(|p| p.0 == [255, 0, 0])
    );
}

#[test]
fn half_an_image_is_never_taken_for_a_whole_one() {
    for format in FORMATS_TO_TRY {
        let bytes = encode(&picture(60, 40).into(), format);
        let whole = decode(&bytes).expect("decoded");
        let mut kept = 0;
        for end in 1..bytes.len() {
            match decode(&bytes[..end]) {
                Ok(image) => {
                    assert_eq!(image, whole, "{format:?} cut at {end} of {}", bytes.len());
                    kept += 1;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.contains("cut off") || text.contains("not an image") || text.contains("damaged"),
                        "{format:?} cut at {end} of {}: {text}",
                        bytes.len()
                    );
                }
            }
        }
        // Only what follows the pixels may be missing.
        assert!(
            kept <= 24,
            "{format:?}: {kept} of {} cuts were accepted",
            bytes.len()
        );
        let half = message(&bytes[..bytes.len() / 2]);
        assert!(half.contains("cut off"), "{format:?}: {half}");
    }
}

#[test]
fn headers_that_promise_too_much_are_refused_before_anything_is_allocated() {
    const SIDE: u32 = 50_000;
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [
        SIDE.to_be_bytes().as_slice(),
        &SIDE.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ]
    .concat();
    chunk(&mut png, b"IHDR", &header);
    chunk(&mut png, b"IEND", &[]);

    let mut jpeg = encode(&picture(8, 8).into(), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a frame header");
    jpeg[frame + 5..frame + 7].copy_from_slice(&(SIDE as u16).to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&(SIDE as u16).to_be_bytes());

    let mut bmp = encode(&picture(8, 8).into(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&SIDE.to_le_bytes());
    bmp[22..26].copy_from_slice(&SIDE.to_le_bytes());

    let mut gif = encode(&picture(8, 8).into(), ImageFormat::Gif);
    gif[6..8].copy_from_slice(&(SIDE as u16).to_le_bytes());
    gif[8..10].copy_from_slice(&(SIDE as u16).to_le_bytes());

    for (name, bytes) in [("PNG", png), ("JPEG", jpeg), ("BMP", bmp), ("GIF", gif)] {
        let text = message(&bytes);
        assert!(text.contains("too large (50000 x 50000"), "{name}: {text}");
    }
}

#[cfg(feature = "large-images")]
#[test]
fn images_beyond_the_largest_size_are_reduced_and_upright() {
    // too long, but quick to make
    let (width, height) = (26_000, 12);
    let image = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        ::image::Rgb([(x / 200) as u8, (20 * y) as u8, 90])
    }));
    let folder = tempfile::tempdir().expect("creates");
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff] {
        let bytes = encode(&image, format);
        let found = decode(&bytes).expect("is decoded");
        assert_eq!(found.dimensions(), (13_000, 6), "{format:?}");
        for x in [10, 6_000, 12_900] {
            let [red, green, blue] = found.get_pixel(x, 2).0;
            let near = |value: u8, expected: u32| u32::from(value).abs_diff(expected) < 6;
            assert!(
                near(red, x / 100) && near(green, 90) && near(blue, 90),
                "{format:?} {red} {green} {blue}"
            );
        }
        let path = folder.path().join("image");
        std::fs::write(&path, &bytes).expect("writes");
        let (_, size) = probe(&path).expect("is an image");
        assert!(size == (width, height) && is_large(width, height));
        assert_eq!(reduction(width, height).ok(), Some(2));
        let cut = message(&bytes[..bytes.len() / 2]);
        assert!(cut.contains("cut off"), "{format:?}: {cut}");
    }
    // what can only be decoded as a whole
    let said = message(&encode(&image, ImageFormat::Bmp));
    assert!(said.contains("too large (26000 x 12 pixels) for BMP"), "{said}");
    // turned as the file says
    let turned = with_orientation(&encode(&image, ImageFormat::Jpeg), 6);
    assert_eq!(decode(&turned).expect("is decoded").dimensions(), (6, 13_000));
    // and by area
    let large = DynamicImage::ImageLuma8(::image::GrayImage::from_pixel(
        10_100,
        10_000,
        ::image::Luma([77]),
    ));
    let found = decode(&encode(&large, ImageFormat::Png)).expect("is decoded");
    assert_eq!(found.dimensions(), (5_050, 5_000));
    assert!(found.pixels().all(|pixel| pixel.0 == [77; 3]));
}

#[test]
fn no_image_at_all_is_said_plainly() {
    assert!(message(b"").contains("empty"));
    assert!(message(b"hello, I am a text").contains("not an image"));
    assert!(message(b"II*\0\x08\0\0\0").contains("TIFF file"));
    for (start, name) in [
        (&b"\0\0\0\x0cjP  \r\n\x87\n"[..], "JPEG 2000"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
    ] {
        let expected = format!("{name} files are not supported: convert it to PNG or JPEG");
        assert_eq!(message(start), expected);
    }
    assert!(message(b"\x89PNG\r\n\x1a\n").contains("cut off"));
    assert!(message(b"\xff\xd8\xff").contains("JPEG"));
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, b"IHDR", &[0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
    assert!(message(&png).contains("no pixels"));
    let mut png = encode(&picture(30, 30).into(), ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle..middle + 8].fill(0x55);
    assert!(message(&png).contains("damaged"), "{}", message(&png));
}

#[test]
fn files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broken.png");
    std::fs::write(&path, b"no image").expect("written");
    let text = read(&path).expect_err("refused").to_string();
    assert!(
        text.contains("broken.png") && text.contains("not an image"),
        "{text}"
    );
    let text = read(&folder.path().join("missing.png"))
        .expect_err("refused")
        .to_string();
    assert!(
        text.contains("cannot read") && text.contains("missing.png"),
        "{text}"
    );
}

#[test]
fn cameras_of_twelve_bits_are_not_dark() {
    let grey = |values: [u16; 2]| {
        let image = ::image::ImageBuffer::from_fn(4, 2, |x, _| ::image::Luma([values[usize::from(x > 1)]]));
        let decoded = decode(&encode(&DynamicImage::ImageLuma16(image), ImageFormat::Png)).expect("decoded");
        [decoded.get_pixel(0, 0).0[0], decoded.get_pixel(3, 0).0[0]]
    };
    assert_eq!(grey([0, 4095]), [0, 255]);
    assert_eq!(grey([2048, 4000]), [128, 249]);
    // a darker picture of the same camera stays darker
    assert_eq!(grey([512, 1023]), [32, 64]);
    // more bits are as they are, and so is what would be a picture of 8 bits
    assert_eq!(grey([0, 65_535]), [0, 255]);
    assert_eq!(grey([4096, 8192]), [16, 32]);
    assert_eq!(grey([0, 255]), [0, 1]);
    let colour = ::image::ImageBuffer::from_pixel(2, 2, Rgba([4095_u16, 2048, 0, u16::MAX]));
    let decoded = decode(&encode(&DynamicImage::ImageRgba16(colour), ImageFormat::Png)).expect("decoded");
    assert_eq!(decoded.get_pixel(0, 0).0, [255, 128, 0]);
}

#[test]
fn colours_one_after_the_other_are_refused() {
    let bytes = encode(&picture(16, 16).into(), ImageFormat::Jpeg);
    assert!(is_interleaved(&bytes));
    // the first scan has one of the three components
    let scan = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .expect("a scan");
    let mut apart = bytes.clone();
    apart[scan + 4] = 1;
    assert!(!is_interleaved(&apart));
    let grey = encode(&DynamicImage::new_luma8(16, 16), ImageFormat::Jpeg);
    assert!(is_interleaved(&grey));
}

#[test]
fn webp_photos_with_the_start_of_jpeg_are_turned() {
    let plain = encode(&picture(60, 40).into(), ImageFormat::WebP);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    for start in [&b""[..], b"Exif\0\0"] {
        let exif = [start, exif].concat();
        // the extended format: a block with the size and what there is, the picture, the Exif data
        let mut blocks = b"VP8X\x0a\0\0\0\x08\0\0\0".to_vec();
        blocks.extend([59, 0, 0, 39, 0, 0]);
        blocks.extend(&plain[12..]);
        blocks.extend(b"EXIF");
        blocks.extend((exif.len() as u32).to_le_bytes());
        blocks.extend(&exif);
        let mut file = b"RIFF".to_vec();
        file.extend((blocks.len() as u32 + 4).to_le_bytes());
        file.extend(b"WEBP");
        file.extend(blocks);
        let decoded = decode(&file).expect("decoded");
        assert_eq!(decoded.dimensions(), (40, 60), "{start:?}");
        assert_eq!(orientation(&file), Orientation::Rotate90);
    }
}

#[test]
fn pixels_are_grey_coloured_or_transparent() {
    let first = |size, pixels: &[u8]| from_pixels(size, pixels.to_vec()).map(|image| image.get_pixel(0, 0).0);
    assert_eq!(first((2, 1), &[7, 8]).expect("grey"), [7; 3]);
    assert_eq!(first((1, 1), &[1, 2, 3]).expect("colour"), [1, 2, 3]);
    assert_eq!(first((1, 1), &[1, 2, 3, 0]).expect("transparent"), [255; 3]);
    let refused = |size, pixels: &[u8]| first(size, pixels).expect_err("is refused").to_string();
    assert!(refused((0, 4), &[]).contains("no pixels"));
    assert!(refused((2, 2), &[0; 15]).contains("2 x 2 pixels has 15 bytes"));
    assert!(refused((1, 1), &[0; 2]).contains("one, three or four"));
    assert!(refused((30_000, 10), &[]).contains("too large"));
}
