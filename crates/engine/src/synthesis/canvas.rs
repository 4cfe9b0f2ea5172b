//! An image under work: soft-edged changes are laid upon it, and the mask marks what can be seen of
//! them.

use std::ops::Range;

use crate::data::image::{RgbImage, to_f32, unit_value};

/// Alpha from which on a changed pixel may be marked.
const MARKED: f32 = 0.3;
/// Marked pixels of an anomaly at least; what shows less is taken back.
const FEWEST_MARKED: usize = 3;
/// Pixels per side of the cells whose change is averaged.
const CELL: usize = 4;

/// An image with the anomalies painted so far.
pub(super) struct Canvas<'a> {
    /// The good image.
    pub(super) clean: &'a RgbImage,
    /// Pixels per side.
    pub(super) size: usize,
    /// Interleaved RGB in [0, 1].
    pub(super) pixels: Vec<f32>,
    /// 1 where an anomaly can be seen.
    pub(super) mask: Vec<u8>,
    /// Whether the image has no colour.
    pub(super) grey: bool,
    /// Where anomalies may lie; none for everywhere.
    pub(super) inside: Option<Vec<bool>>,
}

/// When a change counts as seen. The figures are changes of a value in [0, 1].
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    /// A pixel has changed.
    Pixel(f32),
    /// The mean around a pixel has changed: a shifted fine pattern does not count.
    Level(f32),
    /// Pixels around have changed on average, whatever their sign.
    Detail(f32),
}

/// A change of part of an image, before it is laid upon it.
#[derive(Clone)]
pub(super) struct Layer {
    columns: Range<usize>,
    rows: Range<usize>,
    /// Opacity and colour in [0, 1], row by row.
    pixels: Vec<(f32, [f32; 3])>,
}

impl Layer {
    /// A layer over the part of a square image that lies in a box (left, top, right, bottom), outer
    /// edges included; none if that is nothing.
    pub(super) fn new(size: usize, [left, top, right, bottom]: [f32; 4]) -> Option<Self> {
        let range = |from: f32, to: f32| {
            // casts to integers saturate
            let (from, to) = (from.max(0.0) as usize, (to + 2.0).max(0.0) as usize);
            from..to.min(size)
        };
        let (columns, rows) = (range(left, right), range(top, bottom));
        (!columns.is_empty() && !rows.is_empty()).then(|| Self {
            pixels: vec![(0.0, [0.0; 3]); columns.len() * rows.len()],
            columns,
            rows,
        })
    }

    /// Columns that it covers.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Rows that it covers.
    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Fills the layer: `alpha` of a position, then, where it is not 0, `colour` of a pixel.
    pub(super) fn fill(
        &mut self,
        mut alpha: impl FnMut(f32, f32) -> f32,
        mut colour: impl FnMut(usize, usize) -> [f32; 3],
    ) {
        let columns = self.columns();
        for (y, row) in self.rows.clone().zip(self.pixels.chunks_exact_mut(columns.len())) {
            for (x, pixel) in columns.clone().zip(row) {
                let alpha = alpha(x as f32, y as f32);
                if alpha > 0.0 {
                    *pixel = (alpha, colour(x, y));
                }
            }
        }
    }

    /// Raises the alpha of all pixels around a point that reach it, with a border one pixel soft.
    pub(super) fn stamp(&mut self, x: f32, y: f32, radius: f32, strength: f32) {
        let near = |centre: f32, range: &Range<usize>| {
            let from = ((centre - radius - 0.5).max(0.0) as usize).clamp(range.start, range.end);
            let to = ((centre + radius + 1.5).max(0.0) as usize).clamp(from, range.end);
            from..to
        };
        let (columns, rows) = (near(x, &self.columns), near(y, &self.rows));
        let width = self.columns.len();
        for row in rows {
            let offset = (row - self.rows.start) * width;
            for column in columns.clone() {
                let (dx, dy) = (column as f32 - x, row as f32 - y);
                let cover = (radius + 0.5 - (dx * dx + dy * dy).sqrt()).clamp(0.0, 1.0) * strength;
                let alpha = &mut self.pixels[offset + column - self.columns.start].0;
                *alpha = alpha.max(cover);
            }
        }
    }

    /// The layer without what lies outside, in an image of so many pixels per row.
    fn clipped(&self, inside: &[bool], size: usize) -> Self {
        let mut layer = self.clone();
        let columns = self.columns();
        for (y, row) in self.rows().zip(layer.pixels.chunks_exact_mut(columns.len())) {
            for (x, pixel) in columns.clone().zip(row) {
                if !inside[y * size + x] {
                    pixel.0 = 0.0;
                }
            }
        }
        layer
    }

    /// Colours the pixels whose alpha is set.
    pub(super) fn paint(&mut self, mut colour: impl FnMut(usize, usize) -> [f32; 3]) {
        let columns = self.columns();
        for (y, row) in self.rows.clone().zip(self.pixels.chunks_exact_mut(columns.len())) {
            for (x, pixel) in columns.clone().zip(row) {
                if pixel.0 > 0.0 {
                    pixel.1 = colour(x, y);
                }
            }
        }
    }
}

impl<'a> Canvas<'a> {
    pub(super) fn new(clean: &'a RgbImage) -> Self {
        let size = clean.width() as usize;
        Self {
            size,
            pixels: to_f32(clean),
            mask: vec![0; size * size],
            grey: is_grey(clean),
            inside: None,
            clean,
        }
    }

    /// Keeps anomalies to these pixels of the image, if any are named.
    pub(super) fn within(self, inside: Option<Vec<bool>>) -> Self {
        Self { inside, ..self }
    }

    /// The colour of the good image at a pixel, in [0, 1].
    pub(super) fn clean_at(&self, x: usize, y: usize) -> [f32; 3] {
        let at = 3 * (y * self.size + x);
        let values = &self.clean.as_raw()[at..at + 3];
        [values[0], values[1], values[2]].map(unit_value)
    }

    /// The colour of the good image at a position, bilinear; beyond the edge the image is mirrored
    /// nowhere and only repeated, so callers keep inside.
    pub(super) fn clean_between(&self, x: f32, y: f32) -> [f32; 3] {
        let most = (self.size - 1) as f32;
        let (x, y) = (x.clamp(0.0, most), y.clamp(0.0, most));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.size - 1), (top + 1).min(self.size - 1));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let raw = self.clean.as_raw();
        let at = |x: usize, y: usize| 3 * (y * self.size + x);
        let corners = [at(left, top), at(right, top), at(left, bottom), at(right, bottom)];
        std::array::from_fn(|c| {
            let [a, b, d, e] = corners.map(|corner| f32::from(raw[corner + c]));
            let (upper, lower) = (a + (b - a) * fx, d + (e - d) * fx);
            (upper + (lower - upper) * fy) / 255.0
        })
    }

    /// Lays a layer upon the image and marks what can be seen of it. What cannot be seen leaves no
    /// trace, and the answer is `false`.
    pub(super) fn lay(&mut self, layer: &Layer, seen: Seen) -> bool {
        let clipped = self
            .inside
            .as_ref()
            .map(|inside| layer.clipped(inside, self.size));
        let layer = clipped.as_ref().unwrap_or(layer);
        let (width, height) = (layer.columns.len(), layer.rows.len());
        let cells = (width.div_ceil(CELL), height.div_ceil(CELL));
        // sums of alpha and of the change of each cell, and of those around it
        let mut sums = vec![[0.0_f32; 4]; cells.0 * cells.1];
        let change = |alpha: f32, colour: [f32; 3], before: &[f32]| -> [f32; 3] {
            std::array::from_fn(|c| alpha * (colour[c].clamp(0.0, 1.0) - before[c]))
        };
        let offset = |y: usize| 3 * ((layer.rows.start + y) * self.size + layer.columns.start);
        if !matches!(seen, Seen::Pixel(_)) {
            for (y, row) in layer.pixels.chunks_exact(width).enumerate() {
                let before = &self.pixels[offset(y)..][..3 * width];
                for (x, (&(alpha, colour), before)) in row.iter().zip(before.chunks_exact(3)).enumerate() {
                    if alpha > 0.0 {
                        let change = change(alpha, colour, before);
                        let sum = &mut sums[y / CELL * cells.0 + x / CELL];
                        sum[0] += alpha;
                        for (sum, change) in sum[1..].iter_mut().zip(change) {
                            *sum += if matches!(seen, Seen::Detail(_)) {
                                change.abs()
                            } else {
                                change
                            };
                        }
                    }
                }
            }
        }
        let visible: Vec<bool> = match seen {
            Seen::Pixel(_) => Vec::new(),
            Seen::Level(least) | Seen::Detail(least) => (0..sums.len())
                .map(|i| {
                    let [alpha, change @ ..] = around(&sums, cells, i);
                    change.iter().any(|change| change.abs() > least * alpha)
                })
                .collect(),
        };
        let is_seen = |x: usize, y: usize, alpha: f32, change: [f32; 3]| match seen {
            Seen::Pixel(least) => alpha > 0.0 && change.iter().any(|change| change.abs() > least),
            Seen::Level(_) | Seen::Detail(_) => alpha >= MARKED && visible[y / CELL * cells.0 + x / CELL],
        };
        let mut marks = Vec::new();
        for (y, row) in layer.pixels.chunks_exact(width).enumerate() {
            let before = &self.pixels[offset(y)..][..3 * width];
            for (x, (&(alpha, colour), before)) in row.iter().zip(before.chunks_exact(3)).enumerate() {
                if alpha > 0.0 && is_seen(x, y, alpha, change(alpha, colour, before)) {
                    marks.push((layer.rows.start + y) * self.size + layer.columns.start + x);
                }
            }
        }
        if marks.len() < FEWEST_MARKED {
            return false;
        }
        marks.into_iter().for_each(|at| self.mask[at] = 1);
        for (y, row) in layer.pixels.chunks_exact(width).enumerate() {
            let start = offset(y);
            let pixels = &mut self.pixels[start..][..3 * width];
            for (&(alpha, colour), pixel) in row.iter().zip(pixels.chunks_exact_mut(3)) {
                if alpha > 0.0 {
                    let change = change(alpha, colour, pixel);
                    pixel
                        .iter_mut()
                        .zip(change)
                        .for_each(|(value, change)| *value += change);
                }
            }
        }
        true
    }
}

/// The sums of a cell and the eight around it.
fn around(sums: &[[f32; 4]], (columns, rows): (usize, usize), index: usize) -> [f32; 4] {
    let (x, y) = (index % columns, index / columns);
    let mut total = [0.0; 4];
    for row in y.saturating_sub(1)..(y + 2).min(rows) {
        for sum in &sums[row * columns + x.saturating_sub(1)..row * columns + (x + 2).min(columns)] {
            total
                .iter_mut()
                .zip(sum)
                .for_each(|(total, value)| *total += value);
        }
    }
    total
}

/// Whether an image has no colour to speak of.
pub(super) fn is_grey(image: &RgbImage) -> bool {
    /// Every so many pixels one is looked at; odd, so that columns differ.
    const STRIDE: usize = 61;
    /// Greatest mean difference between a pixel's channels, in grey levels.
    const COLOURLESS: usize = 6;
    let (mut spread, mut count) = (0, 0);
    for pixel in image.as_raw().as_chunks::<3>().0.iter().step_by(STRIDE) {
        let (least, most) = (pixel.iter().min(), pixel.iter().max());
        spread += usize::from(most.copied().unwrap_or(0) - least.copied().unwrap_or(0));
        count += 1;
    }
    spread <= COLOURLESS * count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::Rgb;

    fn striped() -> RgbImage {
        RgbImage::from_fn(32, 32, |x, _| Rgb([if x % 2 == 0 { 60 } else { 120 }; 3]))
    }

    fn square(size: usize, colour: impl FnMut(usize, usize) -> [f32; 3]) -> Layer {
        let mut layer = Layer::new(size, [8.0, 8.0, 23.0, 23.0]).expect("lies inside");
        let inside = |v: f32| (8.0..24.0).contains(&v);
        layer.fill(|x, y| f32::from(u8::from(inside(x) && inside(y))), colour);
        layer
    }

    #[test]
    fn a_shifted_fine_pattern_is_not_seen_and_leaves_no_trace() {
        let image = striped();
        let mut canvas = Canvas::new(&image);
        let shifted = square(32, |x, y| Canvas::new(&image).clean_at((x + 1) % 32, y));
        assert!(!canvas.lay(&shifted, Seen::Level(0.03)));
        assert_eq!(canvas.pixels, to_f32(&image));
        assert!(canvas.mask.iter().all(|&v| v == 0));
        assert!(canvas.lay(&shifted, Seen::Detail(0.03)), "but its details moved");
    }

    #[test]
    fn what_is_seen_is_marked_within_the_layer_alone() {
        let image = striped();
        for seen in [Seen::Pixel(0.02), Seen::Level(0.02), Seen::Detail(0.02)] {
            let mut canvas = Canvas::new(&image);
            assert!(canvas.lay(&square(32, |_, _| [0.9; 3]), seen));
            for (i, &mark) in canvas.mask.iter().enumerate() {
                let inside = (8..24).contains(&(i % 32)) && (8..24).contains(&(i / 32));
                assert_eq!(mark == 1, inside, "{seen:?} at {i}");
                assert!(inside || canvas.pixels[3 * i] == to_f32(&image)[3 * i]);
            }
        }
    }

    #[test]
    fn layers_beyond_the_image_are_none() {
        assert!(Layer::new(32, [-20.0, 0.0, -5.0, 9.0]).is_none());
        assert!(Layer::new(32, [40.0, 0.0, 50.0, 9.0]).is_none());
        let edge = Layer::new(32, [-20.0, 30.0, 5.0, 99.0]).expect("touches");
        assert_eq!((edge.columns(), edge.rows()), (0..7, 30..32));
    }

    #[test]
    fn colour_is_told_from_grey() {
        assert!(is_grey(&striped()));
        assert!(!is_grey(&RgbImage::from_pixel(32, 32, Rgb([200, 180, 150]))));
    }
}
