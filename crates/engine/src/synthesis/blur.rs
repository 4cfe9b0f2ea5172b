//! Detail that is gone: blurred, smeared, or filled with what is around it.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::blob::Blob;
use super::canvas::{Canvas, Layer, Seen};
use super::lattice::{fraction, hash};
use super::random::{below, bits, log_uniform, uniform};

/// Half extents as shares of the image's side.
const EXTENT: (f32, f32) = (3.0 / 256.0, 32.0 / 256.0);
/// Share of the radius over which the change fades.
const SOFTNESS: (f32, f32) = (0.05, 0.5);
/// Mean change of the pixels around that is seen.
const SEEN: Seen = Seen::Detail(0.03);

/// Takes the detail from part of the image; `false` if nothing of it can be seen.
pub(super) fn paint(canvas: &mut Canvas<'_>, rng: &mut Pcg64) -> bool {
    let side = canvas.size as f32;
    let blob = Blob::draw(canvas.size, (EXTENT.0 * side, EXTENT.1 * side), SOFTNESS, rng);
    let Some(mut layer) = Layer::new(canvas.size, blob.bounds()) else {
        return false;
    };
    match below(rng, 3) {
        0 => {
            let radius = (log_uniform(rng, 2.0, 10.0) * side / 256.0) as usize + 1;
            let blurred = Blurred::new(canvas, &layer, radius);
            layer.fill(|x, y| blob.alpha(x, y), |x, y| blurred.at(x, y));
        }
        1 => {
            let turn = uniform(rng, 0.0, TAU);
            let length = log_uniform(rng, 6.0, 24.0) * side / 256.0;
            let (dx, dy) = (length * libm::cosf(turn), length * libm::sinf(turn));
            layer.fill(|x, y| blob.alpha(x, y), |x, y| dragged(canvas, x, y, dx, dy));
        }
        _ => {
            let grain = uniform(rng, 0.0, 0.06);
            let seed = bits(rng);
            let filled = Filled::new(canvas, &blob);
            let colour = |x: usize, y: usize| {
                let speckle = grain * (fraction(hash(x as i32, y as i32, seed)) - 0.5);
                filled.at(x, y).map(|value| value + speckle)
            };
            layer.fill(|x, y| blob.alpha(x, y), colour);
        }
    }
    canvas.lay(&layer, SEEN)
}

/// The mean along a line.
fn dragged(canvas: &Canvas<'_>, x: usize, y: usize, dx: f32, dy: f32) -> [f32; 3] {
    const POINTS: usize = 6;
    let most = canvas.size as f32 - 1.0;
    let mut sum = [0.0; 3];
    for point in 0..POINTS {
        let share = point as f32 / POINTS as f32;
        let at = |from: usize, by: f32| (from as f32 + share * by).clamp(0.0, most) as usize;
        let colour = canvas.clean_at(at(x, dx), at(y, dy));
        sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += value);
    }
    sum.map(|sum| sum / POINTS as f32)
}

/// Means over squares around a pixel, by sums over all pixels above and to the left.
struct Blurred {
    radius: usize,
    left: usize,
    top: usize,
    columns: usize,
    rows: usize,
    sums: Vec<[u32; 3]>,
}

impl Blurred {
    fn new(canvas: &Canvas<'_>, layer: &Layer, radius: usize) -> Self {
        let widen = |range: std::ops::Range<usize>| {
            range.start.saturating_sub(radius)..(range.end + radius).min(canvas.size)
        };
        let (across, down) = (widen(layer.columns()), widen(layer.rows()));
        let (columns, rows) = (across.len(), down.len());
        let mut sums = vec![[0; 3]; (columns + 1) * (rows + 1)];
        let raw = canvas.clean.as_raw();
        for (row, y) in down.clone().enumerate() {
            let mut line = [0; 3];
            for (column, x) in across.clone().enumerate() {
                let above = sums[row * (columns + 1) + column + 1];
                let at = 3 * (y * canvas.size + x);
                sums[(row + 1) * (columns + 1) + column + 1] = std::array::from_fn(|c| {
                    line[c] += u32::from(raw[at + c]);
                    above[c] + line[c]
                });
            }
        }
        Self {
            radius,
            left: across.start,
            top: down.start,
            columns,
            rows,
            sums,
        }
    }

    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let range =
            |at: usize, most: usize| (at.saturating_sub(self.radius), (at + self.radius + 1).min(most));
        let (left, right) = range(x - self.left, self.columns);
        let (top, bottom) = range(y - self.top, self.rows);
        let sum = |x: usize, y: usize| self.sums[y * (self.columns + 1) + x];
        let corners = [
            sum(right, bottom),
            sum(left, top),
            sum(left, bottom),
            sum(right, top),
        ];
        let count = ((right - left) * (bottom - top)) as f32 * 255.0;
        std::array::from_fn(|c| {
            let [all, corner, beside, above] = corners.map(|corner| corner[c]);
            (all + corner - beside - above) as f32 / count
        })
    }
}

/// An area filled from its four sides, as if nothing had been there.
struct Filled {
    /// Left, top, right, bottom.
    edges: [f32; 4],
    /// Colours there, in the middle of each side.
    colours: [[f32; 3]; 4],
}

impl Filled {
    fn new(canvas: &Canvas<'_>, blob: &Blob) -> Self {
        let most = canvas.size as f32 - 1.0;
        let edges = blob.bounds().map(|edge| edge.clamp(0.0, most));
        let (x, y) = blob.centre;
        let [left, top, right, bottom] = edges;
        let colours = [(left, y), (x, top), (right, y), (x, bottom)].map(|(x, y)| canvas.clean_between(x, y));
        Self { edges, colours }
    }

    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let [left, top, right, bottom] = self.edges;
        let share =
            |at: usize, from: f32, to: f32| ((at as f32 - from) / (to - from).max(1.0)).clamp(0.0, 1.0);
        let (u, v) = (share(x, left, right), share(y, top, bottom));
        let [from_left, from_top, from_right, from_bottom] = &self.colours;
        std::array::from_fn(|c| {
            let across = from_left[c] + u * (from_right[c] - from_left[c]);
            let down = from_top[c] + v * (from_bottom[c] - from_top[c]);
            0.5 * (across + down)
        })
    }
}
