//! A piece of the image where it does not belong: parts that are missing, misplaced, doubled or turned.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::blob::Blob;
use super::canvas::{Canvas, Layer, Seen};
use super::random::{below, log_uniform, uniform};

/// Half extents as shares of the image's side.
const EXTENT: (f32, f32) = (3.0 / 256.0, 44.0 / 256.0);
/// Share of the radius over which a piece fades into the image.
const SOFTNESS: (f32, f32) = (0.02, 0.4);
/// Change of the mean that is seen: patterns merely shifted are good.
const SEEN: Seen = Seen::Level(0.035);

/// Lays a piece upon the image; `false` if nothing of it can be seen.
pub(super) fn paint(canvas: &mut Canvas<'_>, rng: &mut Pcg64) -> bool {
    let side = canvas.size as f32;
    let blob = Blob::draw(canvas.size, (EXTENT.0 * side, EXTENT.1 * side), SOFTNESS, rng);
    let Some(mut layer) = Layer::new(canvas.size, blob.bounds()) else {
        return false;
    };
    // where the piece comes from: a little beside, or anywhere
    let reach = blob.radii.0.max(blob.radii.1);
    let (x, y) = blob.centre;
    let from = if below(rng, 3) == 0 {
        let turn = uniform(rng, 0.0, TAU);
        let away = uniform(rng, 0.2, 1.0) * reach + 2.0;
        (x + away * libm::cosf(turn), y + away * libm::sinf(turn))
    } else {
        (uniform(rng, 0.0, side - 1.0), uniform(rng, 0.0, side - 1.0))
    };
    // the piece itself lies inside the image
    let inside = |value: f32| value.clamp(reach.min(side / 2.0), (side - 1.0 - reach).max(side / 2.0));
    let from = (inside(from.0), inside(from.1));
    let turn = match below(rng, 5) {
        0 | 1 => 0.0,
        2 => TAU / 4.0 * (1 + below(rng, 3)) as f32,
        _ => uniform(rng, 0.0, TAU),
    };
    let scale = if below(rng, 2) == 0 {
        1.0
    } else {
        log_uniform(rng, 0.75, 1.33)
    };
    let mirror = if below(rng, 5) == 0 { -1.0 } else { 1.0 };
    let gain = if below(rng, 2) == 0 {
        1.0
    } else {
        1.0 + uniform(rng, -0.25, 0.25)
    };
    let (cos, sin) = (scale * libm::cosf(turn), scale * libm::sinf(turn));
    let moved = |px: usize, py: usize| {
        let (dx, dy) = (mirror * (px as f32 - x), py as f32 - y);
        let colour = canvas.clean_between(from.0 + cos * dx - sin * dy, from.1 + sin * dx + cos * dy);
        colour.map(|value| value * gain)
    };
    layer.fill(|x, y| blob.alpha(x, y), moved);
    canvas.lay(&layer, SEEN)
}
