//! Filling outlines.

use image::GrayImage;

use crate::Result;
use crate::data::image::reduction;

/// A mask that is drawn on in the coordinates of the image: of a very large one it is reduced as the image is.
pub(super) struct Canvas {
    mask: GrayImage,
    size: (u32, u32),
    factor: u32,
}

impl Canvas {
    /// An empty one for an image of this size.
    pub(super) fn new(width: u32, height: u32) -> Result<Self> {
        let factor = reduction(width, height)?;
        Ok(Self {
            mask: GrayImage::new(width.div_ceil(factor), height.div_ceil(factor)),
            size: (width, height),
            factor,
        })
    }

    /// Width and height of the image.
    pub(super) fn size(&self) -> (u32, u32) {
        self.size
    }

    pub(super) fn into_mask(self) -> GrayImage {
        self.mask
    }

    /// Marks a pixel of the image, which must lie inside.
    pub(super) fn mark(&mut self, x: u32, y: u32) {
        self.mask
            .put_pixel(x / self.factor, y / self.factor, image::Luma([u8::MAX]));
    }

    /// Marks a polygon.
    pub(super) fn polygon(&mut self, points: &[[f32; 2]]) {
        let factor = self.factor as f32;
        let points: Vec<[f32; 2]> = points.iter().map(|[x, y]| [x / factor, y / factor]).collect();
        fill(&mut self.mask, &points);
    }

    /// Marks a circle.
    pub(super) fn circle(&mut self, [x, y]: [f32; 2], radius: f32) {
        /// Corners of the polygon that stands for it: off by less than a tenth of a pixel up to a radius of 80.
        const CORNERS: usize = 64;
        let corner = |index: usize| {
            let turn = std::f32::consts::TAU * index as f32 / CORNERS as f32;
            [x + radius * libm::cosf(turn), y + radius * libm::sinf(turn)]
        };
        let corners: Vec<[f32; 2]> = (0..CORNERS).map(corner).collect();
        self.polygon(&corners);
    }
}

/// Marks the pixels whose centres lie inside of a polygon, as many edges to their left as makes an odd number. A polygon
/// too thin for any centre marks the pixel of its first point. Points are in pixels, from the upper left corner.
pub(super) fn fill(mask: &mut GrayImage, points: &[[f32; 2]]) {
    let (width, height) = mask.dimensions();
    let finite = points
        .iter()
        .all(|point| point.iter().all(|value| value.is_finite()));
    let (Some(first), true) = (points.first(), finite) else {
        return;
    };
    let clamp = |value: f32, most: u32| value.clamp(0.0, most as f32);
    let reach = |values: &dyn Fn(&[f32; 2]) -> f32, most: u32| {
        let values = || points.iter().map(values).map(|value| clamp(value, most));
        (values().fold(f32::MAX, f32::min), values().fold(0.0, f32::max))
    };
    let (top, bottom) = reach(&|point| point[1], height);
    let mut any = false;
    let mut crossings = Vec::new();
    for y in top as u32..(bottom.ceil() as u32).min(height) {
        let middle = y as f32 + 0.5;
        crossings.clear();
        for (index, &[x0, y0]) in points.iter().enumerate() {
            let [x1, y1] = points[(index + 1) % points.len()];
            if (y0 <= middle) != (y1 <= middle) {
                crossings.push(x0 + (middle - y0) / (y1 - y0) * (x1 - x0));
            }
        }
        crossings.sort_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            // pixels from the first centre at or behind the left edge to the last before the right one
            let from = clamp((pair[0] - 0.5).ceil(), width) as u32;
            let to = clamp((pair[1] - 0.5).ceil(), width) as u32;
            for x in from..to {
                mask.put_pixel(x, y, image::Luma([u8::MAX]));
                any = true;
            }
        }
    }
    if !any {
        let place = |value: f32, size: u32| (clamp(value, size) as u32).min(size.saturating_sub(1));
        mask.put_pixel(
            place(first[0], width),
            place(first[1], height),
            image::Luma([u8::MAX]),
        );
    }
}
