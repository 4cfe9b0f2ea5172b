//! Built-in textures to paste, for when no folder of photographs is given.
//!
//! A [`Pattern`] is a pure function from a position to a colour, so that an anomaly costs only the
//! pixels it covers, and a preview can draw one at any size.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::lattice::{floor, fraction, hash, mix, nearest_points, noise, triangle, turbulence};
use super::random::{below, bits, uniform};
pub use crate::config::Texture;
use crate::data::image::{Rgb, RgbImage};

/// Side of the picture that the patterns' lengths refer to.
const REFERENCE_SIDE: f32 = 256.0;

impl Texture {
    /// One of these kinds, or of all if there are none, all equally likely.
    pub fn draw(kinds: &[Self], rng: &mut Pcg64) -> Self {
        let kinds = if kinds.is_empty() { &Self::ALL } else { kinds };
        kinds[below(rng, kinds.len() as u32) as usize]
    }

    /// One texture of this kind with random colours, contrast, scale and orientation, to be
    /// painted at `size` x `size` pixels.
    pub fn pattern(self, size: usize, rng: &mut Pcg64) -> Pattern {
        let angle = uniform(rng, 0.0, TAU);
        // Lengths from 3 to 48 reference pixels, small ones as likely as large ones.
        let length = 3.0 * libm::exp2f(uniform(rng, 0.0, 4.0));
        let scale = REFERENCE_SIDE / size as f32 / length;
        let origin = (uniform(rng, 0.0, 1000.0), uniform(rng, 0.0, 1000.0));
        let centre = (uniform(rng, 0.0, size as f32), uniform(rng, 0.0, size as f32));
        Pattern {
            kind: self,
            palette: palette(rng),
            axes: (scale * libm::cosf(angle), scale * libm::sinf(angle)),
            origin,
            centre,
            span: uniform(rng, 0.5, 1.5) * size as f32 * scale,
            shape: uniform(rng, 0.0, 1.0),
            variant: below(rng, 2) == 1,
            speckle: uniform(rng, 0.0, 25.0),
            seed: bits(rng),
        }
    }
}

/// Three colours to move through: any at all, or shades of one; from vivid to grey, because most
/// real defects are dull.
fn palette(rng: &mut Pcg64) -> [[f32; 3]; 3] {
    let saturation = uniform(rng, 0.0, 1.0);
    let mut colour = || {
        let vivid: [f32; 3] = std::array::from_fn(|_| uniform(rng, 0.0, 255.0));
        let grey = (vivid[0] + vivid[1] + vivid[2]) / 3.0;
        vivid.map(|value| grey + saturation * (value - grey))
    };
    let (first, second, third) = (colour(), colour(), colour());
    if below(rng, 2) == 0 {
        return [first, second, third];
    }
    // Shades: from the first colour towards black or white.
    let target = if below(rng, 2) == 0 { 0.0 } else { 255.0 };
    let contrast = uniform(rng, 0.3, 1.0);
    let shade = |share: f32| first.map(|value| value + share * contrast * (target - value));
    [shade(0.0), shade(0.5), shade(1.0)]
}

/// One texture with all its random choices made.
#[derive(Debug, Clone)]
pub struct Pattern {
    kind: Texture,
    palette: [[f32; 3]; 3],
    /// Pattern units per pixel along the pattern's first axis: cosine and sine parts.
    axes: (f32, f32),
    /// Offset in pattern units, so that no two patterns share their noise.
    origin: (f32, f32),
    /// A point of the picture, in pixels.
    centre: (f32, f32),
    /// About one side of the picture in pattern units.
    span: f32,
    /// A free parameter in [0, 1].
    shape: f32,
    /// One of two versions of the kind.
    variant: bool,
    /// Amplitude of the pixel noise, in grey levels.
    speckle: f32,
    seed: u32,
}

impl Pattern {
    /// The kind of this texture.
    pub fn kind(&self) -> Texture {
        self.kind
    }

    /// The colour of a pixel.
    pub fn colour(&self, x: usize, y: usize) -> [u8; 3] {
        let (px, py) = (x as f32 - self.centre.0, y as f32 - self.centre.1);
        let u = px * self.axes.0 + py * self.axes.1;
        let v = py * self.axes.0 - px * self.axes.1;
        let level = self.level(u, v).clamp(0.0, 1.0) * 2.0;
        let (from, to, share) = if level < 1.0 {
            (&self.palette[0], &self.palette[1], level)
        } else {
            (&self.palette[1], &self.palette[2], level - 1.0)
        };
        let speckle = self.speckle * (fraction(hash(x as i32, y as i32, self.seed)) - 0.5);
        // Casting to u8 saturates.
        std::array::from_fn(|c| (from[c] + share * (to[c] - from[c]) + speckle) as u8)
    }

    /// Paints the texture.
    pub fn render(&self, size: usize) -> RgbImage {
        RgbImage::from_fn(size as u32, size as u32, |x, y| {
            Rgb(self.colour(x as usize, y as usize))
        })
    }

    /// The place in the palette, about [0, 1], at a position in pattern units around the centre.
    fn level(&self, u: f32, v: f32) -> f32 {
        let (a, b) = (u + self.origin.0, v + self.origin.1);
        let seed = self.seed;
        match self.kind {
            Texture::Grain => {
                let stretch = 1.0 + 7.0 * self.shape * f32::from(u8::from(self.variant));
                noise(4.0 * a / stretch, 4.0 * b, seed)
            }
            Texture::Clouds => contrast(turbulence(0.4 * a, 0.4 * b, seed), 1.8),
            Texture::Stripes => {
                let bend = 1.5 * self.shape * noise(0.3 * a, 0.3 * b, seed);
                let wave = triangle(a + bend);
                if self.variant { contrast(wave, 6.0) } else { wave }
            }
            Texture::Checks => {
                let row = floor(b);
                let shifted = if self.variant {
                    a / 2.0 + 0.5 * (row & 1) as f32
                } else {
                    a
                };
                let column = floor(shifted);
                if self.variant {
                    // Bricks with joints.
                    let joint = (shifted - column as f32).min(b - row as f32) < 0.05 + 0.1 * self.shape;
                    if joint {
                        0.0
                    } else {
                        0.4 + 0.6 * fraction(hash(column, row, seed))
                    }
                } else {
                    let shade = 0.3 * self.shape * fraction(hash(column, row, seed));
                    if (row + column) & 1 == 0 {
                        shade
                    } else {
                        1.0 - shade
                    }
                }
            }
            Texture::Weave => {
                let (column, row) = (floor(a), floor(b));
                let over = (column + row) & 1 == 0;
                // Height of the thread that lies on top, round across its width.
                let across = if over { a - column as f32 } else { b - row as f32 };
                let along = if over { b - row as f32 } else { a - column as f32 };
                let bulge = |t: f32| 4.0 * t * (1.0 - t);
                let thread = bulge(across) * (0.5 + 0.5 * bulge(along));
                let tint = 0.25 * self.shape * fraction(hash(column, if over { 0 } else { row }, seed));
                (if over { 0.0 } else { 0.2 }) + 0.8 * thread - tint
            }
            Texture::Marble => {
                let warp = turbulence(0.3 * a, 0.3 * b, seed);
                let vein = triangle(0.25 * a + (2.0 + 3.0 * self.shape) * warp);
                if self.variant { vein } else { vein * vein }
            }
            Texture::Dots => {
                let (column, row) = (floor(a), floor(b));
                let code = hash(column, row, seed);
                let (dx, dy) = (a - column as f32 - 0.5, b - row as f32 - 0.5);
                let jitter = 0.4 * self.shape;
                let (dx, dy) = (
                    dx - jitter * (fraction(code) - 0.5),
                    dy - jitter * (fraction(mix(code)) - 0.5),
                );
                let radius = 0.15 + 0.15 * fraction(mix(code ^ 0x5bd1));
                let distance = (dx * dx + dy * dy).sqrt();
                contrast(
                    0.5 + (distance - radius) * if self.variant { 3.0 } else { 1.0 },
                    2.0,
                )
            }
            Texture::Cells => {
                let (near, second) = nearest_points(0.6 * a, 0.6 * b, 0.5 + 0.5 * self.shape, seed);
                if self.variant {
                    contrast(second - near, 2.5)
                } else {
                    near
                }
            }
            Texture::Gradient => {
                if self.variant {
                    (u * u + v * v).sqrt() / self.span
                } else {
                    0.5 + u / self.span
                }
            }
            Texture::Scratches => {
                let first = noise(8.0 * a, 0.15 * b, seed);
                let (c, d) = (a + (0.5 + self.shape) * b, b - (0.5 + self.shape) * a);
                let second = noise(8.0 * c, 0.15 * d, !seed);
                let line = first.max(if self.variant { second } else { 0.0 });
                contrast(line - 0.2, 3.0)
            }
            Texture::Rings => {
                let wobble = 1.5 * noise(0.4 * a, 0.4 * b, seed);
                let ring = triangle(0.7 * (u * u + v * v).sqrt() + wobble * self.shape);
                if self.variant { ring } else { contrast(ring, 3.0) }
            }
            Texture::Blotches => {
                let field = turbulence(0.5 * a, 0.5 * b, seed);
                let edge = if self.variant {
                    (field - 0.5).abs() * 4.0
                } else {
                    field
                };
                contrast(edge + 0.2 * (self.shape - 0.5), 12.0)
            }
        }
    }
}

/// Spreads values around one half.
fn contrast(value: f32, gain: f32) -> f32 {
    0.5 + gain * (value - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::sample_rng;

    /// FNV-1a of the pixels, to pin them.
    fn digest(image: &RgbImage) -> u64 {
        image.as_raw().iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn ids_are_distinct() {
        let ids: std::collections::BTreeSet<_> = Texture::ALL.iter().map(|t| t.id()).collect();
        assert_eq!(ids.len(), Texture::ALL.len());
    }

    #[test]
    fn every_kind_varies_within_and_between_draws() {
        for kind in Texture::ALL {
            let mut digests = std::collections::BTreeSet::new();
            for draw in 0..40 {
                let pattern = kind.pattern(64, &mut sample_rng(11, 0, draw));
                let image = pattern.render(64);
                let first = image.as_raw()[0];
                assert!(
                    image.as_raw().iter().any(|&v| v != first),
                    "{} {draw} is flat",
                    kind.id()
                );
                digests.insert(digest(&image));
            }
            assert_eq!(digests.len(), 40, "{}", kind.id());
        }
    }

    #[test]
    fn a_larger_picture_shows_the_same_pattern() {
        for kind in Texture::ALL {
            let mean = |size: usize| {
                let image = kind.pattern(size, &mut sample_rng(5, 1, 2)).render(size);
                image.as_raw().iter().map(|&v| f64::from(v)).sum::<f64>() / (3 * size * size) as f64
            };
            let (small, large) = (mean(128), mean(256));
            assert!((small - large).abs() < 8.0, "{}: {small} and {large}", kind.id());
        }
    }
}
