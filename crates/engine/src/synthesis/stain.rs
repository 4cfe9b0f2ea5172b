//! Faint soft changes of brightness and tint: stains, discolourations, residues.

use rand_pcg::Pcg64;

use super::blob::Blob;
use super::canvas::{Canvas, Layer, Seen};
use super::colour;
use super::random::{below, log_uniform, uniform};

/// Half extents as shares of the image's side.
const EXTENT: (f32, f32) = (2.0 / 256.0, 48.0 / 256.0);
/// Share of the radius over which a stain fades.
const SOFTNESS: (f32, f32) = (0.15, 1.0);
/// Weakest and strongest change of brightness, as a share.
const CHANGE: (f32, f32) = (0.06, 0.45);
/// Change of a pixel that is seen.
const SEEN: Seen = Seen::Pixel(0.022);

/// Lays a stain upon the image; `false` if nothing of it can be seen.
pub(super) fn paint(canvas: &mut Canvas<'_>, rng: &mut Pcg64) -> bool {
    let side = canvas.size as f32;
    let blob = Blob::draw(canvas.size, (EXTENT.0 * side, EXTENT.1 * side), SOFTNESS, rng);
    let Some(mut layer) = Layer::new(canvas.size, blob.bounds()) else {
        return false;
    };
    // a small stain must be stronger to be seen
    let change = log_uniform(rng, CHANGE.0, CHANGE.1) * (1.0 + 4.0 / blob.radii.0.min(blob.radii.1));
    // drops dry with a dark rim
    let rim = if below(rng, 4) == 0 {
        uniform(rng, 0.3, 0.8)
    } else {
        0.0
    };
    let alpha = |x: f32, y: f32| blob.alpha(x, y) * (1.0 - rim * blob.depth(x, y).min(1.0));
    if below(rng, 3) == 0 {
        // a film of another colour
        let film = colour::any(canvas, rng);
        let opacity = (change * 1.5).min(0.9);
        layer.fill(|x, y| opacity * alpha(x, y), |_, _| film);
        return canvas.lay(&layer, SEEN);
    }
    let sign = if below(rng, 3) == 0 { 1.0 } else { -1.0 };
    let tint = colour::tint(canvas, 0.7 * change, rng);
    let gains = tint.map(|tint| 1.0 + sign * change + tint);
    layer.fill(alpha, |x, y| {
        let before = canvas.clean_at(x, y);
        std::array::from_fn(|c| before[c] * gains[c])
    });
    canvas.lay(&layer, SEEN)
}
