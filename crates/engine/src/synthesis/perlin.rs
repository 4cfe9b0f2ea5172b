//! Gradient noise (Perlin 2002) whose high places become the anomaly.

use std::f64::consts::{PI, SQRT_2};

use rand_pcg::Pcg64;

use super::random::unit;

/// A square field of noise, roughly in [-1, 1].
#[derive(Debug, Clone)]
pub struct Noise {
    size: usize,
    /// Row by row, within a border of zeros: one before, two behind.
    padded: Vec<f32>,
}

/// Side of the squares of noise that are known to be low or not, and pixels of a turned row that are looked
/// at together: wherever they come from, they and their neighbours lie in two squares each way.
const SQUARE: usize = 8;
/// Zeros of a row and column before and behind the noise.
const BORDER: usize = 3;

/// Where pixels lie along one axis. There is no half-pixel offset: a cell's first pixel lies on its edge.
struct Places {
    /// Each pixel's cell.
    cells: Vec<usize>,
    /// Its place in the cell.
    fractions: Vec<f64>,
    /// The eased place.
    fades: Vec<f64>,
}

impl Places {
    fn new(size: usize, cells: usize) -> Self {
        let fraction = |i: usize| (i * cells) as f64 / size as f64 - (i * cells / size) as f64;
        let fade = |t: f64| t * t * t * (t * (t * 6.0 - 15.0) + 10.0);
        let fractions: Vec<f64> = (0..size).map(fraction).collect();
        Self {
            cells: (0..size).map(|i| i * cells / size).collect(),
            fades: fractions.iter().map(|&t| fade(t)).collect(),
            fractions,
        }
    }
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
        let (columns, rows) = (Places::new(size, across), Places::new(size, down));
        let mut noise = Self::flat(size);
        // Within one row, the eased noise above a node is a straight line in the distance to that
        // node: `offset + slope * distance`, for each of the row's nodes.
        let mut lines = vec![(0.0, 0.0); across + 1];
        let places = rows.cells.iter().zip(&rows.fractions).zip(&rows.fades);
        for (values, ((&cell, &fraction), &fade)) in noise.rows_mut().zip(places) {
            let above = &gradients[cell * (across + 1)..];
            let below = &gradients[(cell + 1) * (across + 1)..];
            for ((line, upper), lower) in lines.iter_mut().zip(above).zip(below) {
                let offset = lerp(upper.0 * fraction, lower.0 * (fraction - 1.0), fade);
                *line = (offset, lerp(upper.1, lower.1, fade));
            }
            // within a cell nothing but the place changes
            let mut start = 0;
            for cells in columns.cells.chunk_by(|a, b| a == b) {
                let (left, right) = (lines[cells[0]], lines[cells[0] + 1]);
                let end = start + cells.len();
                let places = columns.fractions[start..end]
                    .iter()
                    .zip(&columns.fades[start..end]);
                for (value, (&fraction, &fade)) in values[start..end].iter_mut().zip(places) {
                    let left = left.0 + left.1 * fraction;
                    let right = right.0 + right.1 * (fraction - 1.0);
                    *value = lerp(left, right, fade) as f32;
                }
                start = end;
            }
        }
        noise
    }

    /// No noise at all.
    fn flat(size: usize) -> Self {
        let stride = size + BORDER;
        Self {
            size,
            padded: vec![0.0; stride * stride],
        }
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let size = self.size;
        let rows = self.padded.chunks_exact_mut(size + BORDER);
        rows.skip(1).take(size).map(move |row| &mut row[1..=size])
    }

    /// Pixels per side.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The values, a row at a time.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let size = self.size;
        let rows = self.padded.chunks_exact(size + BORDER);
        rows.skip(1).take(size).map(move |row| &row[1..=size])
    }

    /// The noise turned clockwise about its centre, bilinear, 0 outside.
    #[must_use]
    pub fn rotate(&self, degrees: f32) -> Self {
        let mut turned = Vec::with_capacity(self.size * self.size);
        self.for_each_rotated(degrees, |_, _| false, |run| turned.extend_from_slice(run));
        let mut noise = Self::flat(self.size);
        for (to, from) in noise.rows_mut().zip(turned.chunks_exact(self.size)) {
            to.copy_from_slice(from);
        }
        noise
    }

    /// 1 where the turned noise exceeds the threshold, else 0.
    pub fn rotated_mask(&self, degrees: f32, threshold: f32) -> Vec<u8> {
        let mut mask = Vec::with_capacity(self.size * self.size);
        let low = self.low(threshold);
        let squares = squares(self.size);
        self.for_each_rotated(
            degrees,
            |x, y| low[y / SQUARE * squares + x / SQUARE],
            |run| mask.extend(run.iter().map(|&value| u8::from(value > threshold))),
        );
        mask
    }

    /// Which squares of the padded field are, with the next ones to the right and below, so far below the
    /// threshold that nothing between their values exceeds it.
    fn low(&self, threshold: f32) -> Vec<bool> {
        /// More than rounding can add.
        const MARGIN: f32 = 1e-3;
        let squares = squares(self.size);
        let mut highest = Vec::with_capacity(squares * squares);
        let stride = self.size + BORDER;
        // of each column of a square first, several at once
        let mut columns = vec![0.0; stride];
        for rows in self.padded.chunks(SQUARE * stride) {
            columns.fill(f32::MIN);
            for row in rows.chunks_exact(stride) {
                for (highest, &value) in columns.iter_mut().zip(row) {
                    *highest = if value > *highest { value } else { *highest };
                }
            }
            let of_square = |columns: &[f32]| columns.iter().copied().fold(f32::MIN, f32::max);
            highest.extend(columns.chunks(SQUARE).map(of_square));
        }
        let beyond =
            |x: usize, y: usize| x < squares && y < squares && highest[y * squares + x] > threshold - MARGIN;
        let all = (0..squares * squares).map(|at| (at % squares, at / squares));
        all.map(|(x, y)| {
            ![(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)]
                .iter()
                .any(|&(x, y)| beyond(x, y))
        })
        .collect()
    }

    /// Visits the turned field, row by row, a few pixels at a time. A run of pixels whose sources begin in a
    /// square that is `low` (asked by the padded field's coordinates) counts as infinitely low.
    fn for_each_rotated(
        &self,
        degrees: f32,
        low: impl Fn(usize, usize) -> bool,
        mut visit: impl FnMut(&[f32]),
    ) {
        // Source positions in fixed point: exact steps, and cheaper to split than floats.
        const BITS: u32 = 32;
        let fixed = |value: f64| (value * (1u64 << BITS) as f64) as i64;
        let size = self.size;
        let (sin, cos) = libm::sincos(f64::from(degrees).to_radians());
        let (step_x, step_y) = (fixed(cos), fixed(-sin));
        let centre = (size as f64 - 1.0) / 2.0;
        // points outside are moved onto the border
        let (padded, stride) = (&self.padded, size + BORDER);
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
            for start in (0..size).step_by(SQUARE) {
                let run = SQUARE.min(size - start);
                let last = (run - 1) as i64;
                let least = |from: i64, step: i64| split(from.min(from + last * step)).0;
                if low(least(x, step_x), least(y, step_y)) {
                    visit(&[f32::NEG_INFINITY; SQUARE][..run]);
                    x += run as i64 * step_x;
                    y += run as i64 * step_y;
                    continue;
                }
                // the corners of all first, so that the arithmetic is done for several at once
                let mut corners = [[0.0; SQUARE]; 4];
                let (mut across, mut down) = ([0.0; SQUARE], [0.0; SQUARE]);
                for lane in 0..SQUARE {
                    let ((left, fx), (top, fy)) = (split(x), split(y));
                    let upper = &padded[top * stride + left..][..stride + 2];
                    corners[0][lane] = upper[0];
                    corners[1][lane] = upper[1];
                    corners[2][lane] = upper[stride];
                    corners[3][lane] = upper[stride + 1];
                    (across[lane], down[lane]) = (fx, fy);
                    x += step_x;
                    y += step_y;
                }
                let values: [f32; SQUARE] = std::array::from_fn(|lane| {
                    let [a, b, c, d] = corners.map(|corner| corner[lane]);
                    let upper = a + (b - a) * across[lane];
                    let lower = c + (d - c) * across[lane];
                    upper + (lower - upper) * down[lane]
                });
                visit(&values[..run]);
            }
        }
    }
}

/// Squares along a side of the padded field of so many pixels.
fn squares(size: usize) -> usize {
    (size + BORDER).div_ceil(SQUARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    fn values(noise: &Noise) -> Vec<f32> {
        noise.rows().flatten().copied().collect()
    }

    #[test]
    fn noise_of_given_angles_matches_the_reference() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        for cells in [(1, 1), (2, 8), (32, 16), (4, 4)] {
            let angles = fixture.f64(&format!("perlin_angles_{}_{}", cells.0, cells.1));
            let expected = fixture.f64(&format!("perlin_out64_{}_{}", cells.0, cells.1));
            let noise = Noise::from_angles(64, cells, &angles);
            for (i, (&ours, theirs)) in noise.rows().flatten().zip(expected).enumerate() {
                assert!(
                    (f64::from(ours) - theirs).abs() < 1e-6,
                    "{cells:?} at {i}: {ours} is not {theirs}"
                );
            }
        }
    }

    #[test]
    fn rotation_matches_the_reference() {
        let Some(fixture) = test_support::preprocess() else {
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
            test_support::assert_close(&values(&ours), &expected, 0.009);
        }
    }

    #[test]
    fn a_mask_is_where_the_turned_noise_is_high() {
        for index in 0..60 {
            let mut rng = crate::synthesis::sample_rng(4, 0, index);
            let size = [32, 61, 96][index as usize % 3];
            let cells = (1 << (index % 6), 1 << (index / 6 % 6));
            let noise = Noise::draw(size, cells, &mut rng);
            let degrees = 180.0 * unit(&mut rng) as f32 - 90.0;
            for threshold in [-0.2, 0.1, 0.5] {
                let expected: Vec<u8> = values(&noise.rotate(degrees))
                    .iter()
                    .map(|&value| u8::from(value > threshold))
                    .collect();
                assert_eq!(
                    noise.rotated_mask(degrees, threshold),
                    expected,
                    "{index}, {threshold}"
                );
            }
        }
    }

    #[test]
    fn half_a_turn_reverses() {
        let mut rng = crate::synthesis::sample_rng(3, 0, 0);
        let noise = Noise::draw(32, (2, 4), &mut rng);
        let turned = noise.rotate(180.0);
        let reversed: Vec<f32> = values(&noise).into_iter().rev().collect();
        test_support::assert_close(&values(&turned), &reversed, 1e-4);
    }
}
