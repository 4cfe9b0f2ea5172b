//! Soft-edged areas: where an anomaly is.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::lattice::{ease, noise};
use super::random::{below, bits, log_uniform, uniform};

/// An ellipse or rounded rectangle with a soft and, if it is no rectangle, uneven edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    /// Middle in pixels.
    pub(super) centre: (f32, f32),
    /// Half extents in pixels.
    pub(super) radii: (f32, f32),
    /// Cosine and sine of its turn.
    axes: (f32, f32),
    rectangle: bool,
    /// Share of the radius over which the edge fades.
    softness: f32,
    /// How uneven the edge is, as a share of the radius.
    wobble: f32,
    seed: u32,
}

impl Blob {
    /// An area of half extents from `least` to `most` pixels (small ones as likely as large ones)
    /// whose middle lies in the image. `soft` bounds the share of the radius over which it fades.
    pub(super) fn draw(size: usize, (least, most): (f32, f32), soft: (f32, f32), rng: &mut Pcg64) -> Self {
        /// Longest to shortest extent at most.
        const SLIMNESS: f32 = 3.0;
        let side = size as f32;
        let centre = (uniform(rng, 0.0, side - 1.0), uniform(rng, 0.0, side - 1.0));
        let first = log_uniform(rng, least, most);
        let second = (first * log_uniform(rng, 1.0 / SLIMNESS, SLIMNESS)).clamp(least, most);
        let rectangle = below(rng, 3) == 0;
        // parts lie straight more often than not
        let turn = if rectangle && below(rng, 2) == 0 {
            0.0
        } else {
            uniform(rng, 0.0, TAU)
        };
        Self {
            centre,
            radii: (first, second),
            axes: (libm::cosf(turn), libm::sinf(turn)),
            rectangle,
            softness: uniform(rng, soft.0, soft.1),
            wobble: if rectangle { 0.0 } else { uniform(rng, 0.0, 0.7) },
            seed: bits(rng),
        }
    }

    /// The box around it: left, top, right, bottom.
    pub(super) fn bounds(&self) -> [f32; 4] {
        let (c, s) = (self.axes.0.abs(), self.axes.1.abs());
        let reach = 1.0 + 0.5 * self.wobble;
        let (rx, ry) = (self.radii.0 * reach, self.radii.1 * reach);
        let (across, down) = if self.rectangle {
            (c * rx + s * ry, s * rx + c * ry)
        } else {
            let longest = rx.max(ry);
            (longest, longest)
        };
        let (x, y) = self.centre;
        [x - across, y - down, x + across, y + down]
    }

    /// How far inside a position is: 0 at the edge and beyond, 1 in the middle.
    pub(super) fn depth(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        let u = (dx * self.axes.0 + dy * self.axes.1) / self.radii.0;
        let v = (dy * self.axes.0 - dx * self.axes.1) / self.radii.1;
        let distance = if self.rectangle {
            u.abs().max(v.abs())
        } else {
            let square = u * u + v * v;
            if square > 2.0 {
                return 0.0;
            }
            square.sqrt()
        };
        let uneven = if self.wobble > 0.0 {
            self.wobble * (noise(1.7 * u, 1.7 * v, self.seed) - 0.5)
        } else {
            0.0
        };
        (1.0 + uneven - distance).max(0.0)
    }

    /// Opacity at a position, in [0, 1].
    pub(super) fn alpha(&self, x: f32, y: f32) -> f32 {
        let depth = self.depth(x, y);
        if depth <= 0.0 {
            return 0.0;
        }
        // an edge of one pixel is the sharpest
        let soft = self.softness.max(1.0 / self.radii.0.min(self.radii.1));
        ease((depth / soft).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::sample_rng;

    #[test]
    fn an_area_fades_from_its_middle_to_its_bounds() {
        for index in 0..200 {
            let blob = Blob::draw(64, (2.0, 20.0), (0.1, 0.9), &mut sample_rng(1, 0, index));
            let (x, y) = blob.centre;
            assert!(blob.alpha(x, y) > 0.4, "{blob:?}");
            let [left, top, right, bottom] = blob.bounds();
            for (x, y) in [
                (left - 1.0, y),
                (right + 1.0, y),
                (x, top - 1.0),
                (x, bottom + 1.0),
            ] {
                assert_eq!(blob.alpha(x, y), 0.0, "{blob:?}");
            }
        }
    }
}
