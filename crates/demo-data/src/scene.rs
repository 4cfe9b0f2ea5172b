//! Surfaces, light and camera: what makes the pictures look photographed.

use rand::RngExt as _;
use rand_pcg::Pcg64;

use destseg_engine::data::image::{GrayImage, Luma, Rgb, RgbImage};

/// A square piece of the world, seen from above, one entry per pixel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Surface {
    pub(super) size: usize,
    /// Diffuse colour, linear, in [0, 1].
    pub(super) albedo: Vec<[f32; 3]>,
    /// Height in pixels; its slope makes the shading.
    pub(super) height: Vec<f32>,
    /// Strength of the highlight, in [0, 1].
    pub(super) gloss: Vec<f32>,
}

impl Surface {
    pub(super) fn flat(size: usize, albedo: [f32; 3]) -> Self {
        let count = size * size;
        Self {
            size,
            albedo: vec![albedo; count],
            height: vec![0.0; count],
            gloss: vec![0.0; count],
        }
    }

    /// Index of a pixel; `None` outside.
    pub(super) fn index(&self, x: i64, y: i64) -> Option<usize> {
        let inside = |v: i64| usize::try_from(v).ok().filter(|&v| v < self.size);
        Some(inside(y)? * self.size + inside(x)?)
    }

    /// Blends a colour over a pixel.
    pub(super) fn tint(&mut self, index: usize, color: [f32; 3], opacity: f32) {
        for (old, new) in self.albedo[index].iter_mut().zip(color) {
            *old += (new - *old) * opacity;
        }
    }
}

/// Light and camera of one picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Camera {
    /// Unit vector to the light.
    light: [f32; 3],
    /// Exposure per channel: brightness and white balance.
    gain: [f32; 3],
    /// Change of the brightness across the picture, along x and y.
    slope: [f32; 2],
    /// Darkening of the corners.
    vignette: f32,
    /// A soft bright or dark patch: centre, radius (shares of the side), strength.
    patch: [f32; 4],
    /// Weight of the four neighbours of the 3x3 blur.
    blur: f32,
    /// Standard deviation of the sensor noise.
    noise: f32,
}

impl Camera {
    /// A camera of the usual spread; some pictures are lit unevenly.
    pub(super) fn draw(_size: usize, rng: &mut Pcg64) -> Self {
        let azimuth = -2.2 + between(rng, -0.25, 0.25);
        let elevation = between(rng, 0.85, 1.05);
        let brightness = between(rng, 0.88, 1.1);
        let gain = std::array::from_fn(|_| brightness * between(rng, 0.975, 1.025));
        let uneven = rng.random::<f32>() < 0.3;
        let strength = if uneven { between(rng, -0.22, 0.18) } else { 0.0 };
        Self {
            light: [
                libm::cosf(elevation) * libm::cosf(azimuth),
                libm::cosf(elevation) * libm::sinf(azimuth),
                libm::sinf(elevation),
            ],
            gain,
            slope: [between(rng, -0.1, 0.1), between(rng, -0.1, 0.1)],
            vignette: between(rng, 0.0, 0.18),
            patch: [
                between(rng, 0.0, 1.0),
                between(rng, 0.0, 1.0),
                between(rng, 0.3, 0.6),
                strength,
            ],
            blur: between(rng, 0.02, 0.12),
            noise: between(rng, 0.006, 0.014),
        }
    }

    /// How bright the light is at a place given in shares of the side.
    fn illumination(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - 0.5, y - 0.5);
        let corner = 1.0 - self.vignette * 2.0 * (dx * dx + dy * dy);
        let [px, py, radius, strength] = self.patch;
        let distance = ((x - px) * (x - px) + (y - py) * (y - py)) / (radius * radius);
        (1.0 + self.slope[0] * dx * 2.0 + self.slope[1] * dy * 2.0)
            * corner
            * (1.0 + strength * libm::expf(-2.0 * distance))
    }
}

/// Takes the picture: shading, optics, noise, 8 bits.
pub(super) fn photograph(surface: &Surface, camera: &Camera, rng: &mut Pcg64) -> RgbImage {
    let colors = render(surface, camera);
    let side = u32::try_from(surface.size).unwrap_or(u32::MAX);
    let mut image = RgbImage::new(side, side);
    for (pixel, color) in image.pixels_mut().zip(colors) {
        // photon noise is common to the channels, read-out noise is not
        let shared = gaussian(rng);
        *pixel = Rgb(color.map(|value| {
            let noise = camera.noise * (0.7 * shared + 0.7 * gaussian(rng));
            ((value + noise).clamp(0.0, 1.0) * 255.0).round() as u8
        }));
    }
    image
}

/// 255 where the noise-free pictures of two surfaces differ visibly; gaps are closed.
pub(super) fn difference_mask(good: &Surface, bad: &Surface, camera: &Camera) -> GrayImage {
    /// Visible difference of a gamma-coded value, about six 8-bit levels.
    const VISIBLE: f32 = 0.024;
    /// Gaps up to twice this many pixels are closed.
    const CLOSING: usize = 2;
    let size = good.size;
    let mut mask: Vec<bool> = render(good, camera)
        .iter()
        .zip(render(bad, camera))
        .map(|(a, b)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > VISIBLE))
        .collect();
    for _ in 0..CLOSING {
        mask = spread(&mask, size, true);
    }
    for _ in 0..CLOSING {
        mask = spread(&mask, size, false);
    }
    let side = u32::try_from(size).unwrap_or(u32::MAX);
    GrayImage::from_fn(side, side, |x, y| {
        Luma([if mask[y as usize * size + x as usize] {
            255
        } else {
            0
        }])
    })
}

/// Pixels of a mask that are set.
pub(super) fn covered(mask: &GrayImage) -> usize {
    mask.as_raw().iter().filter(|&&value| value > 0).count()
}

/// Grows the set pixels by their four neighbours, or the unset ones.
fn spread(mask: &[bool], size: usize, value: bool) -> Vec<bool> {
    (0..mask.len())
        .map(|i| {
            let (x, y) = (i % size, i / size);
            let neighbour = |inside: bool, j: usize| inside && mask[j.min(mask.len() - 1)] == value;
            let grown = mask[i] == value
                || neighbour(x > 0, i.wrapping_sub(1))
                || neighbour(x + 1 < size, i + 1)
                || neighbour(y > 0, i.wrapping_sub(size))
                || neighbour(y + 1 < size, i + size);
            grown == value
        })
        .collect()
}

/// Shaded and blurred picture without noise, gamma-coded values in [0, 1].
fn render(surface: &Surface, camera: &Camera) -> Vec<[f32; 3]> {
    /// Light that comes from everywhere.
    const AMBIENT: f32 = 0.45;
    /// Narrowness of highlights.
    const SHININESS: i32 = 24;
    let size = surface.size;
    let [lx, ly, lz] = camera.light;
    // half-way between the light and a viewer straight above
    let length = (lx * lx + ly * ly + (lz + 1.0) * (lz + 1.0)).sqrt();
    let half = [lx / length, ly / length, (lz + 1.0) / length];
    let at = |x: usize, y: usize| surface.height[y.min(size - 1) * size + x.min(size - 1)];
    let shaded: Vec<[f32; 3]> = (0..size * size)
        .map(|i| {
            let (x, y) = (i % size, i / size);
            let sx = 0.5 * (at(x + 1, y) - at(x.saturating_sub(1), y));
            let sy = 0.5 * (at(x, y + 1) - at(x, y.saturating_sub(1)));
            let norm = 1.0 / (1.0 + sx * sx + sy * sy).sqrt();
            let normal = [-sx * norm, -sy * norm, norm];
            let dot = |v: [f32; 3]| (normal[0] * v[0] + normal[1] * v[1] + normal[2] * v[2]).max(0.0);
            let light = camera.illumination(x as f32 / size as f32, y as f32 / size as f32);
            let diffuse = AMBIENT + (1.0 - AMBIENT) * dot(camera.light) / lz;
            let highlight = surface.gloss[i] * power(dot(half), SHININESS);
            std::array::from_fn(|c| {
                let linear = (surface.albedo[i][c] * diffuse + highlight) * light * camera.gain[c];
                libm::powf(linear.clamp(0.0, 1.0), 1.0 / 2.2)
            })
        })
        .collect();
    let b = camera.blur;
    (0..size * size)
        .map(|i| {
            let (x, y) = (i % size, i / size);
            let near = [
                i - usize::from(x > 0),
                i + usize::from(x + 1 < size),
                i - if y > 0 { size } else { 0 },
                i + if y + 1 < size { size } else { 0 },
            ];
            std::array::from_fn(|c| {
                (1.0 - 4.0 * b) * shaded[i][c] + b * near.iter().map(|&j| shaded[j][c]).sum::<f32>()
            })
        })
        .collect()
}

fn power(base: f32, exponent: i32) -> f32 {
    (0..exponent).fold(1.0, |product, _| product * base)
}

/// A number between two.
pub(super) fn between(rng: &mut Pcg64, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// A roughly normal number: the sum of four uniform ones, scaled to a standard deviation of 1.
pub(super) fn gaussian(rng: &mut Pcg64) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random::<f32>() - 0.5).sum();
    sum * 1.732
}

/// A fixed random number in [0, 1) for a place.
pub(super) fn hash(x: i64, y: i64, salt: u64) -> f32 {
    let mut h = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
        ^ salt;
    h = (h ^ (h >> 31)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    h = (h ^ (h >> 29)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((h >> 40) as f32) / ((1u64 << 24) as f32)
}

/// Smooth value noise in [0, 1) with features of about one unit.
pub(super) fn value_noise(x: f32, y: f32, salt: u64) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(x - fx), ease(y - fy));
    let (ix, iy) = (fx as i64, fy as i64);
    let row = |y: i64| {
        let (a, b) = (hash(ix, y, salt), hash(ix + 1, y, salt));
        a + (b - a) * tx
    };
    let (top, bottom) = (row(iy), row(iy + 1));
    top + (bottom - top) * ty
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A quadratic Bezier curve as points about half a pixel apart.
pub(super) fn curve(from: [f32; 2], by: [f32; 2], to: [f32; 2]) -> Vec<[f32; 2]> {
    let distance =
        |a: [f32; 2], b: [f32; 2]| ((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])).sqrt();
    let steps = (2.0 * (distance(from, by) + distance(by, to))).ceil().max(1.0) as usize;
    (0..=steps)
        .map(|i| {
            let t = i as f32 / steps as f32;
            let mix =
                |c: usize| (1.0 - t) * (1.0 - t) * from[c] + 2.0 * t * (1.0 - t) * by[c] + t * t * to[c];
            [mix(0), mix(1)]
        })
        .collect()
}

/// Calls `paint` with every pixel near a curve and its distance to it in pixels.
pub(super) fn along(
    points: &[[f32; 2]],
    radius: f32,
    surface: &mut Surface,
    mut paint: impl FnMut(&mut Surface, usize, f32),
) {
    let mut nearest = std::collections::BTreeMap::new();
    let reach = radius.ceil() as i64;
    for &[x, y] in points {
        let (cx, cy) = (x.round() as i64, y.round() as i64);
        for py in cy - reach..=cy + reach {
            for px in cx - reach..=cx + reach {
                let (dx, dy) = (px as f32 - x, py as f32 - y);
                let distance = (dx * dx + dy * dy).sqrt();
                if distance <= radius
                    && let Some(index) = surface.index(px, py)
                {
                    let old = nearest.entry(index).or_insert(distance);
                    *old = old.min(distance);
                }
            }
        }
    }
    for (index, distance) in nearest {
        paint(surface, index, distance);
    }
}
