//! Gradient noise (Perlin 2002) whose high places become the anomaly.

use std::f64::consts::{PI, SQRT_2};

use rand_pcg::Pcg64;

use super::random::unit;

/// A square field of noise, roughly in [-1, 1], row by row.
#[derive(Debug, Clone)]
pub struct Noise {
    size: usize,
    values: Vec<f32>,
}

/// Where a pixel lies along one axis: its cell, its place in it and the eased place.
struct Place {
    cell: usize,
    fraction: f64,
    fade: f64,
}

/// The places of all pixels along an axis. There is no half-pixel offset: a cell's first pixel
/// lies on its edge.
fn places(size: usize, cells: usize) -> Vec<Place> {
    (0..size)
        .map(|i| {
            let position = (i * cells) as f64 / size as f64;
            let cell = i * cells / size;
            let t = position - cell as f64;
            Place {
                cell,
                fraction: t,
                fade: t * t * t * (t * (t * 6.0 - 15.0) + 10.0),
            }
        })
        .collect()
}

fn lerp(a: f64, b: f64, t: f64) -> f64 {
    a + t * (b - a)
}

impl Noise {
    /// Noise with random gradients and `cells` = (along the rows, along the columns).
    pub fn draw(size: usize, cells: (u32, u32), rng: &mut Pcg64) -> Self {
        let nodes = (cells.0 as usize + 1) * (cells.1 as usize + 1);
        let angles: Vec<f64> = (0..nodes).map(|_| 2.0 * PI * unit(rng)).collect();
        Self::from_angles(size, cells, &angles)
    }

    /// Noise of given gradient angles in radians, one per node: `(cells.0 + 1) x (cells.1 + 1)`,
    /// row by row. The gradient's cosine points down the rows, its sine along the columns.
    ///
    /// # Panics
    /// If there are fewer angles than nodes.
    pub fn from_angles(size: usize, cells: (u32, u32), angles: &[f64]) -> Self {
        let (down, across) = (cells.0 as usize, cells.1 as usize);
        let gradients: Vec<(f64, f64)> = angles
            .iter()
            .map(|&angle| {
                let (sin, cos) = libm::sincos(angle);
                (SQRT_2 * cos, SQRT_2 * sin)
            })
            .collect();
        let columns = places(size, across);
        let mut values = Vec::with_capacity(size * size);
        // Within one row, the eased noise above a node is a straight line in the distance to that
        // node: `offset + slope * distance`, for each of the row's nodes.
        let mut lines = vec![(0.0, 0.0); across + 1];
        for row in places(size, down) {
            let above = &gradients[row.cell * (across + 1)..];
            let below = &gradients[(row.cell + 1) * (across + 1)..];
            for ((line, upper), lower) in lines.iter_mut().zip(above).zip(below) {
                let offset = lerp(upper.0 * row.fraction, lower.0 * (row.fraction - 1.0), row.fade);
                *line = (offset, lerp(upper.1, lower.1, row.fade));
            }
            values.extend(columns.iter().map(|column| {
                let (left, right) = (lines[column.cell], lines[column.cell + 1]);
                let left = left.0 + left.1 * column.fraction;
                let right = right.0 + right.1 * (column.fraction - 1.0);
                lerp(left, right, column.fade) as f32
            }));
        }
        Self { size, values }
    }

    /// Pixels per side.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The noise turned clockwise about its centre, bilinear, 0 outside.
    #[must_use]
    pub fn rotate(&self, degrees: f32) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        self.for_each_rotated(degrees, |value| values.push(value));
        Self {
            size: self.size,
            values,
        }
    }

    /// 1 where the turned noise exceeds the threshold, else 0.
    pub fn rotated_mask(&self, degrees: f32, threshold: f32) -> Vec<u8> {
        let mut mask = Vec::with_capacity(self.values.len());
        self.for_each_rotated(degrees, |value| mask.push(u8::from(value > threshold)));
        mask
    }

    fn for_each_rotated(&self, degrees: f32, mut visit: impl FnMut(f32)) {
        // Source positions in fixed point: exact steps, and cheaper to split than floats.
        const BITS: u32 = 32;
        let fixed = |value: f64| (value * (1u64 << BITS) as f64) as i64;
        let size = self.size;
        let (sin, cos) = libm::sincos(f64::from(degrees).to_radians());
        let (step_x, step_y) = (fixed(cos), fixed(-sin));
        let centre = (size as f64 - 1.0) / 2.0;
        // A border of zeros around the field; points outside are moved onto it.
        let stride = size + 3;
        let mut padded = vec![0.0; stride * stride];
        for (to, from) in padded
            .chunks_exact_mut(stride)
            .skip(1)
            .zip(self.values.chunks_exact(size))
        {
            to[1..=size].copy_from_slice(from);
        }
        let limit = ((size + 1) as i64) << BITS;
        let split = |position: i64| {
            let position = position.clamp(0, limit);
            let share = (position as u32 >> 8) as f32 * (1.0 / (1 << 24) as f32);
            ((position >> BITS) as usize, share)
        };
        for row in 0..size {
            let dy = row as f64 - centre;
            // In the padded field's coordinates.
            let mut x = fixed(sin * dy - cos * centre + centre + 1.0);
            let mut y = fixed(cos * dy + sin * centre + centre + 1.0);
            for _ in 0..size {
                let ((left, fx), (top, fy)) = (split(x), split(y));
                let at = top * stride + left;
                let (upper, lower) = (&padded[at..at + 2], &padded[at + stride..at + stride + 2]);
                let upper = upper[0] + (upper[1] - upper[0]) * fx;
                let lower = lower[0] + (lower[1] - lower[0]) * fx;
                visit(upper + (lower - upper) * fy);
                x += step_x;
                y += step_y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fixture;

    #[test]
    fn noise_of_given_angles_matches_the_reference() {
        let Some(fixture) = fixture::preprocess() else {
            return;
        };
        for cells in [(1, 1), (2, 8), (32, 16), (4, 4)] {
            let angles = fixture.f64(&format!("perlin_angles_{}_{}", cells.0, cells.1));
            let expected = fixture.f64(&format!("perlin_out64_{}_{}", cells.0, cells.1));
            let noise = Noise::from_angles(64, cells, &angles);
            for (i, (&ours, theirs)) in noise.values().iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(ours) - theirs).abs() < 1e-6,
                    "{cells:?} at {i}: {ours} is not {theirs}"
                );
            }
        }
    }

    #[test]
    fn rotation_matches_the_reference() {
        let Some(fixture) = fixture::preprocess() else {
            return;
        };
        let angles = fixture.f64("perlin_angles_4_4");
        let noise = Noise::from_angles(64, (4, 4), &angles);
        for angle in ["-30.0", "-73.0", "17.5", "88.0"] {
            let expected: Vec<f32> = fixture
                .f64(&format!("perlin_rot_{angle}"))
                .into_iter()
                .map(|v| v as f32)
                .collect();
            let ours = noise.rotate(angle.parse().expect("a number"));
            // The reference rounds source positions to 1/32 pixel.
            fixture::assert_close(ours.values(), &expected, 0.009);
        }
    }

    #[test]
    fn half_a_turn_reverses() {
        let mut rng = crate::synthesis::sample_rng(3, 0, 0);
        let noise = Noise::draw(32, (2, 4), &mut rng);
        let turned = noise.rotate(180.0);
        let reversed: Vec<f32> = noise.values().iter().rev().copied().collect();
        fixture::assert_close(turned.values(), &reversed, 1e-4);
    }
}
