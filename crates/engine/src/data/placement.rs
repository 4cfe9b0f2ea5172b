//! Images of any size and shape in a square network: what the network sees of an image, and where its
//! maps belong.

use crate::config::InputLayout;
use crate::data::image::{Rgb, RgbImage, crop, resize};
use crate::data::map::AnomalyMap;

/// Share of a tile that it has in common with its neighbour, at least.
pub(crate) const OVERLAP: f64 = 0.25;
/// Squares along an image's long side at most, overlap aside; longer images are shown smaller.
pub(crate) const MOST_SQUARES: usize = 8;
/// Pixels of a map at most, so that an extreme image does not exhaust memory.
const LARGEST_MAP: f64 = 16e6;
/// Around an image that is padded: `ImageNet`'s mean colour, which the networks see as zero.
pub(crate) const PADDING: Rgb<u8> = Rgb([124, 116, 104]);

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Rect {
    fn whole(width: usize, height: usize) -> Self {
        Self {
            x: 0,
            y: 0,
            width,
            height,
        }
    }
}

/// A part of an image and its place in the network's square input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The part, in pixels of the image.
    pub source: Rect,
    /// Its place, in pixels of the input.
    pub target: Rect,
}

/// The views of an image of some size that a network sees, see [`InputLayout`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewLayout {
    side: usize,
    /// Size of the image.
    image: (usize, usize),
    /// Size of the map that covers all of it.
    map: (usize, usize),
    /// What the network sees, one pass each.
    placements: Vec<Placement>,
}

impl ViewLayout {
    /// For an image of `width` x `height` pixels and an input of `side` x `side`; `tile` is the side
    /// of a tile in pixels of the image, for [`InputLayout::Tile`] alone.
    pub fn new(fit: InputLayout, (width, height): (u32, u32), side: usize, tile: usize) -> Self {
        let (width, height) = ((width as usize).max(1), (height as usize).max(1));
        let (short, long) = (width.min(height), width.max(height));
        if fit == InputLayout::Squash {
            let (source, target) = (Rect::whole(width, height), Rect::whole(side, side));
            return Self {
                side,
                image: (width, height),
                map: (side, side),
                placements: vec![Placement { source, target }],
            };
        }
        // the side of the square that the network sees, in pixels of the image
        let square = match fit {
            InputLayout::Squash | InputLayout::Pad => long,
            InputLayout::Crop => short,
            InputLayout::Tile => tile.clamp(1, long),
            InputLayout::Strip => short.max(long.div_ceil(MOST_SQUARES)),
        };
        let scale = side as f64 / square as f64;
        let scaled = |size: usize, by: f64| ((size as f64 * by).round() as usize).max(1);
        let part = (square.min(width), square.min(height));
        let shown = (scaled(part.0, scale), scaled(part.1, scale));
        let place = |x, y| Placement {
            source: Rect {
                x,
                y,
                width: part.0,
                height: part.1,
            },
            target: Rect {
                x: (side - shown.0) / 2,
                y: (side - shown.1) / 2,
                width: shown.0,
                height: shown.1,
            },
        };
        let placements = if matches!(fit, InputLayout::Tile | InputLayout::Strip) {
            let columns = starts(width, part.0);
            let rows = starts(height, part.1).into_iter();
            rows.flat_map(|y| columns.iter().map(move |&x| place(x, y)))
                .collect()
        } else {
            vec![place((width - part.0) / 2, (height - part.1) / 2)]
        };
        let by = scale.min((LARGEST_MAP / (width as f64 * height as f64)).sqrt());
        Self {
            side,
            image: (width, height),
            map: (scaled(width, by), scaled(height, by)),
            placements,
        }
    }

    /// Whether one view fills the network's input and its maps are those of the image.
    pub fn is_plain(&self) -> bool {
        let input = Rect::whole(self.side, self.side);
        self.map == (self.side, self.side) && self.placements.len() == 1 && self.placements[0].target == input
    }

    /// What the network sees, one square picture each.
    pub fn views<'a>(&'a self, image: &'a RgbImage) -> impl Iterator<Item = RgbImage> + 'a {
        self.placements.iter().map(|Placement { source, target }| {
            let part = if *source == Rect::whole(image.width() as usize, image.height() as usize) {
                resize(image, target.width, target.height)
            } else {
                let part = crop(image, source.x, source.y, source.width, source.height);
                resize(&part, target.width, target.height)
            };
            if *target == Rect::whole(self.side, self.side) {
                return part;
            }
            let mut padded = RgbImage::from_pixel(self.side as u32, self.side as u32, PADDING);
            ::image::imageops::replace(&mut padded, &part, target.x as i64, target.y as i64);
            padded
        })
    }

    /// The part of each view's map that shows the image.
    pub fn trim(&self, index: usize, map: AnomalyMap) -> AnomalyMap {
        match self.placements.get(index) {
            Some(Placement { target, .. }) if *target != Rect::whole(map.width(), map.height()) => {
                map.crop(target.x, target.y, target.width, target.height)
            }
            _ => map,
        }
    }

    /// One map of the whole image from the trimmed maps of the views, in their order: faded into each
    /// other where they overlap, 0 where no view was.
    pub fn join(&self, mut maps: Vec<AnomalyMap>) -> Option<AnomalyMap> {
        let (width, height) = self.map;
        if let [only] = &maps[..]
            && (only.width(), only.height()) == self.map
        {
            return maps.pop();
        }
        let mut sums = vec![0.0_f32; width * height];
        let mut weights = vec![0.0_f32; width * height];
        let scale =
            |at: usize, map: usize, image: usize| (at as f64 * map as f64 / image as f64).round() as usize;
        for (map, Placement { source, .. }) in maps.into_iter().zip(&self.placements) {
            let own = (
                scale(source.width, width, self.image.0).clamp(1, width),
                scale(source.height, height, self.image.1).clamp(1, height),
            );
            let map = if own == (map.width(), map.height()) {
                map
            } else {
                map.resize(own.0, own.1)
            };
            let left = scale(source.x, width, self.image.0).min(width - own.0);
            let top = scale(source.y, height, self.image.1).min(height - own.1);
            let across = fade(map.width());
            let rows = map.values().chunks_exact(map.width());
            for ((y, row), down) in (top..height).zip(rows).zip(fade(map.height())) {
                let from = y * width + left;
                let cells = sums[from..].iter_mut().zip(&mut weights[from..]);
                for ((sum, weight), (value, across)) in cells.zip(row.iter().zip(&across)) {
                    *sum += value * across * down;
                    *weight += across * down;
                }
            }
        }
        for (sum, weight) in sums.iter_mut().zip(&weights) {
            if *weight > 0.0 {
                *sum /= weight;
            }
        }
        AnomalyMap::new(width, height, sums)
    }
}

/// Where tiles begin: as few as have the overlap, evenly spread from edge to edge.
fn starts(size: usize, tile: usize) -> Vec<usize> {
    let free = size - tile;
    let step = (tile as f64 * (1.0 - OVERLAP)).max(1.0);
    let gaps = (free as f64 / step).ceil() as usize;
    (0..=gaps)
        .map(|i| (free as f64 * i as f64 / gaps.max(1) as f64).round() as usize)
        .collect()
}

/// Weights that rise from the edges to 1 within the overlap.
fn fade(size: usize) -> Vec<f32> {
    let ramp = (size as f64 * OVERLAP).max(1.0);
    (0..size)
        .map(|i| (((i.min(size - 1 - i) + 1) as f64 / ramp).min(1.0)) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 8;

    fn layout(fit: InputLayout, size: (u32, u32)) -> ViewLayout {
        ViewLayout::new(fit, size, SIDE, SIDE)
    }

    /// A picture whose every pixel tells its place.
    fn image(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(10 * x) as u8, (10 * y) as u8, 0]))
    }

    fn map_of(view: &RgbImage) -> AnomalyMap {
        let values = view
            .pixels()
            .map(|pixel| f32::from(pixel[0]) + 1000.0 * f32::from(pixel[1]));
        AnomalyMap::new(view.width() as usize, view.height() as usize, values.collect()).expect("fits")
    }

    /// The map of the whole image, if the network said of each pixel what the picture is there.
    fn seen(fit: InputLayout, image: &RgbImage) -> AnomalyMap {
        let layout = layout(fit, image.dimensions());
        let maps = layout.views(image).enumerate();
        let maps = maps.map(|(i, view)| layout.trim(i, map_of(&view))).collect();
        layout.join(maps).expect("is a map")
    }

    #[test]
    fn a_square_image_of_the_input_s_size_is_itself_in_every_fit() {
        let image = image(8, 8);
        for fit in [
            InputLayout::Squash,
            InputLayout::Pad,
            InputLayout::Crop,
            InputLayout::Tile,
            InputLayout::Strip,
        ] {
            assert_eq!(seen(fit, &image), map_of(&image), "{fit:?}");
        }
    }

    #[test]
    fn tiles_join_without_seams_at_the_original_size() {
        for (width, height) in [(8, 21), (17, 9), (20, 20)] {
            let image = image(width, height);
            let joined = seen(InputLayout::Tile, &image);
            for (joined, whole) in joined.values().iter().zip(map_of(&image).values()) {
                assert!(
                    (joined - whole).abs() < 1e-3 * whole.max(1.0),
                    "{joined} is not {whole}"
                );
            }
        }
        // smaller than a tile: enlarged
        let small = seen(InputLayout::Tile, &image(4, 6));
        assert_eq!((small.width(), small.height()), (5, 8));
    }

    #[test]
    fn strips_see_long_images_whole_and_without_seams() {
        for (width, height) in [(8, 21), (21, 8)] {
            let image = image(width, height);
            let long = layout(InputLayout::Strip, image.dimensions());
            assert_eq!(long.views(&image).count(), 4);
            let whole = map_of(&image);
            for (joined, whole) in seen(InputLayout::Strip, &image)
                .values()
                .iter()
                .zip(whole.values())
            {
                assert!(
                    (joined - whole).abs() < 1e-3 * whole.max(1.0),
                    "{joined} is not {whole}"
                );
            }
        }
        let extreme = RgbImage::new(1, 30_000);
        assert!(
            layout(InputLayout::Strip, extreme.dimensions())
                .views(&extreme)
                .count()
                < 16
        );
    }

    #[test]
    fn long_images_are_suggested_strips() {
        let long = (230, 630);
        assert_eq!(
            InputLayout::suggested(&[long, (640, 250), (256, 256)]),
            InputLayout::Strip
        );
        assert_eq!(
            InputLayout::suggested(&[(640, 480), long, (256, 256)]),
            InputLayout::Squash
        );
        assert_eq!(InputLayout::suggested(&[]), InputLayout::Squash);
    }

    #[test]
    fn padding_is_seen_but_not_mapped_and_cropping_leaves_the_rest_at_zero() {
        let wide = image(8, 4);
        let padded = layout(InputLayout::Pad, wide.dimensions());
        let view = padded.views(&wide).next().expect("one view");
        assert_eq!((*view.get_pixel(0, 0), view.dimensions()), (PADDING, (8, 8)));
        assert_eq!(seen(InputLayout::Pad, &wide), map_of(&wide));

        let tall = image(8, 16);
        let map = seen(InputLayout::Crop, &tall);
        assert_eq!((map.width(), map.height()), (8, 16));
        let (outside, inside) = (&map.values()[..8 * 4], &map.values()[8 * 4..8 * 12]);
        assert!(outside.iter().all(|&value| value == 0.0));
        assert_eq!(inside, &map_of(&tall).values()[8 * 4..8 * 12]);
    }

    #[test]
    fn odd_sizes_stay_inside() {
        for fit in [
            InputLayout::Squash,
            InputLayout::Pad,
            InputLayout::Crop,
            InputLayout::Tile,
            InputLayout::Strip,
        ] {
            for (width, height) in [(1, 1), (1, 30_000), (1000, 3), (257, 255), (9, 8)] {
                let map = seen(fit, &RgbImage::new(width, height));
                assert!(map.width() > 0 && map.height() > 0, "{fit:?} {width} x {height}");
            }
        }
    }
}
