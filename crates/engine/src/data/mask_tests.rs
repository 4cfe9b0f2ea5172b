use std::io::Cursor;

use ::image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

use super::*;

/// Side of the masks.
const SIDE: u32 = 20;

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// A defect, a tenth of the area.
fn is_defect(x: u32, y: u32) -> bool {
    (4..10).contains(&x) && (8..15).contains(&y)
}

/// A picture of one value where the defect is, and of another elsewhere.
fn painted<P: ::image::Pixel>(defect: P, ground: P) -> ImageBuffer<P, Vec<P::Subpixel>> {
    ImageBuffer::from_fn(SIDE, SIDE, |x, y| if is_defect(x, y) { defect } else { ground })
}

fn is_read(bytes: &[u8]) {
    let mask = decode(bytes).expect("is a mask");
    for (x, y, pixel) in mask.enumerate_pixels() {
        assert_eq!(pixel.0[0] >= WHITE, is_defect(x, y), "{x}, {y}");
    }
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes).expect_err("refused").to_string()
}

#[test]
fn masks_are_read_however_they_are_painted() {
    let white = painted(Luma([255]), Luma([0_u8]));
    is_read(&png(white.clone()));
    is_read(&encoded(white.clone(), ImageFormat::Tiff));
    is_read(&encoded(white.clone(), ImageFormat::Bmp));
    // labels in 8 and 16 bits
    is_read(&png(painted(Luma([1]), Luma([0_u8]))));
    is_read(&png(painted(Luma([3]), Luma([0_u8]))));
    is_read(&png(painted(Luma([1]), Luma([0_u16]))));
    is_read(&png(painted(Luma([255]), Luma([0_u16]))));
    is_read(&png(painted(Luma([65_535]), Luma([0_u16]))));
    // colours on black, dark ones too
    is_read(&png(painted(Rgb([200, 0, 0]), Rgb([0_u8; 3]))));
    is_read(&png(painted(Rgb([0, 0, 90]), Rgb([0_u8; 3]))));
    // on a transparent ground, whatever colour that has
    is_read(&png(painted(Rgba([255; 4]), Rgba([255, 255, 255, 0_u8]))));
    is_read(&png(painted(Rgba([255, 0, 0, 255]), Rgba([0, 0, 0, 0_u8]))));
    is_read(&png(painted(LumaA([0, 255]), LumaA([0, 0_u8]))));
    // opaque all over is as if there were no alpha
    is_read(&png(painted(Rgba([255; 4]), Rgba([0, 0, 0, 255_u8]))));
    // the fringes of JPEG
    let rgb = DynamicImage::ImageLuma8(white).into_rgb8();
    let large = ::image::imageops::resize(&rgb, 160, 160, ::image::imageops::FilterType::Nearest);
    let fringed = decode(&encoded(large, ImageFormat::Jpeg)).expect("is a mask");
    for (x, y, pixel) in fringed.enumerate_pixels() {
        assert_eq!(pixel.0[0] >= WHITE, is_defect(x / 8, y / 8), "{x}, {y}");
    }
}

#[test]
fn kinds_of_defects_in_grey_are_all_defects() {
    let kinds = ImageBuffer::from_fn(SIDE, SIDE, |x, y| {
        Luma([match is_defect(x, y) {
            true if x < 6 => 85,
            true if x < 8 => 170_u8,
            true => 255,
            false => 0,
        }])
    });
    is_read(&png(kinds));
}

#[test]
fn a_small_kind_of_defect_in_grey_is_a_defect() {
    let kinds = ImageBuffer::from_fn(100, 100, |x, y| {
        Luma([match (x, y) {
            (0..10, 0..10) => 85_u8,
            (50, 50) => 170,
            (20..30, 20..30) => 255,
            _ => 0,
        }])
    });
    let mask = decode(&png(kinds)).expect("is a mask");
    let white = |x, y| mask.get_pixel(x, y).0[0] >= WHITE;
    assert!(white(5, 5) && white(50, 50) && white(25, 25) && !white(40, 40));
    // a label and the white of borders: which is the defect?
    let both = ImageBuffer::from_fn(100, 100, |x, y| {
        Luma([match (x, y) {
            (0..10, 0..10) => 1_u8,
            (10, _) => 255,
            _ => 0,
        }])
    });
    assert!(refused(&png(both)).contains("both labels"));
}

#[test]
fn what_cannot_be_a_mask_is_refused() {
    let photo = ImageBuffer::from_fn(SIDE, SIDE, |x, y| Luma([(10 * x + y) as u8]));
    assert!(refused(&png(photo)).contains("grey in a large part"));
    let inverted = painted(Luma([0]), Luma([255_u8]));
    assert!(refused(&png(inverted)).contains("seems to be inverted"));
    let transparent = painted(Rgba([0, 0, 0, 0]), Rgba([0, 0, 0, 255_u8]));
    assert!(refused(&png(transparent)).contains("seems to be inverted"));
    assert!(refused(b"no picture").contains("not an image"));
    // a soft edge is fine
    let soft = ImageBuffer::from_fn(SIDE, SIDE, |x, y| {
        Luma([match (x, y) {
            (4, 8) => 128,
            (9, 14) => 100,
            (5, 8) => 200,
            _ => 255 * u8::from(is_defect(x, y)),
        }])
    });
    decode(&png(soft)).expect("is a mask");
}

#[test]
fn a_mask_fits_its_image() {
    let none = Orientation::NoTransforms;
    let mask = |width, height| GrayImage::new(width, height);
    let size = |mask, image, turn| fit(mask, image, turn).map(|mask| mask.dimensions());
    for own in [(256, 192), (128, 96), (512, 384)] {
        assert_eq!(size(mask(own.0, own.1), (256, 192), none).expect("fits"), own);
    }
    // sizes are rounded
    assert!(size(mask(128, 97), (255, 193), none).is_ok());
    for own in [(256, 193), (192, 256), (1, 1)] {
        let error = size(mask(own.0, own.1), (256, 192), none)
            .expect_err("does not fit")
            .to_string();
        assert!(error.contains("the same shape"), "{error}");
    }
    assert!(size(mask(1, 1), (1, 1), none).is_ok());
    // painted on the stored pixels of a photo that is turned
    let mut stored = mask(256, 192);
    stored.put_pixel(255, 0, Luma([255]));
    let turned = fit(stored, (192, 256), Orientation::Rotate90).expect("fits");
    assert_eq!(turned.dimensions(), (192, 256));
    assert_eq!(turned.get_pixel(191, 255).0, [255]);
    // where sizes do not tell
    for (own, turn) in [
        ((256, 192), Orientation::Rotate180),
        ((64, 64), Orientation::Rotate90),
    ] {
        let error = size(mask(own.0, own.1), own, turn)
            .expect_err("nobody knows")
            .to_string();
        assert!(error.contains("nobody can tell"), "{error}");
    }
    // painted upright
    let upright = fit(mask(192, 256), (192, 256), Orientation::Rotate90).expect("fits");
    assert_eq!(upright.dimensions(), (192, 256));
}

#[test]
fn the_smallest_defects_are_a_pixel() {
    let mut mask = GrayImage::new(2048, 2048);
    let error = truth(&mask, 256).expect_err("nothing is marked").to_string();
    assert!(error.contains("black all over"), "{error}");
    for (x, y) in [(1000, 500), (1001, 500), (1000, 501), (1001, 501)] {
        mask.put_pixel(x, y, Luma([255]));
    }
    let place = |x: usize, y: usize| y / 8 * 256 + x / 8;
    let alone = truth(&mask, 256).expect("is a mask");
    assert_eq!(alone.iter().filter(|&&defective| defective).count(), 1);
    assert!(alone[place(1000, 500)]);
    let mut two = GrayImage::new(2048, 2048);
    for (x, y) in [(8, 8), (1200, 900)] {
        two.put_pixel(x, y, Luma([255]));
    }
    let found = truth(&two, 256).expect("is a mask");
    assert_eq!(found.iter().filter(|&&defective| defective).count(), 2);
    // beside another one, and with a slip of the pen
    for y in 0..80 {
        for x in 0..80 {
            mask.put_pixel(x, y, Luma([255]));
        }
    }
    mask.put_pixel(1500, 1500, Luma([255]));
    let both = truth(&mask, 256).expect("is a mask");
    assert_eq!(both.iter().filter(|&&defective| defective).count(), 101);
    assert!(both[place(1000, 500)] && !both[place(1500, 1500)]);
}
