//! Thin strokes and specks: scratches, cracks, fibres, bridges, gaps, crumbs.

use std::f32::consts::TAU;

use rand_pcg::Pcg64;

use super::canvas::{Canvas, Layer, Seen};
use super::colour;
use super::random::{below, log_uniform, uniform};

/// Thickness of a stroke in pixels of an image of 256.
const THICKNESS: (f32, f32) = (0.9, 7.0);
/// Length of a stroke as a share of the image's side.
const LENGTH: (f32, f32) = (4.0 / 256.0, 0.8);
/// Weakest and strongest change of brightness.
const CONTRAST: (f32, f32) = (0.07, 0.8);
/// Change of a pixel that is seen.
const SEEN: Seen = Seen::Pixel(0.035);

/// What a stroke looks like.
enum Ink {
    /// The image, darker or brighter: factor and offset.
    Shade(f32, f32),
    Colour([f32; 3]),
}

/// Draws one stroke or a few, near each other; `false` if nothing of it can be seen.
pub(super) fn paint(canvas: &mut Canvas<'_>, rng: &mut Pcg64) -> bool {
    let side = canvas.size as f32;
    let start = (uniform(rng, 0.0, side - 1.0), uniform(rng, 0.0, side - 1.0));
    let strokes = 1 + below(rng, 3) * below(rng, 2);
    let length = log_uniform(rng, LENGTH.0, LENGTH.1) * side;
    let thickness = log_uniform(rng, THICKNESS.0, THICKNESS.1) * side / 256.0;
    let ink = ink(canvas, rng);
    let opacity = uniform(rng, 0.6, 1.0);
    // raised and sunken edges have a bright and a dark side
    let relief = below(rng, 4) == 0;
    let mut seen = false;
    for _ in 0..strokes {
        let near = |value: f32, rng: &mut Pcg64| value + uniform(rng, -0.3, 0.3) * length.max(8.0);
        let from = (near(start.0, rng), near(start.1, rng));
        let path = path(from, length * uniform(rng, 0.5, 1.0), thickness, rng);
        seen |= stroke(canvas, &path, 0.0, &ink, opacity);
        if relief && let Ink::Shade(factor, offset) = ink {
            let other = Ink::Shade(factor, if offset > 0.0 { 0.0 } else { 1.0 - factor });
            seen |= stroke(canvas, &path, 0.7 * thickness + 0.5, &other, 0.6 * opacity);
        }
    }
    seen
}

fn ink(canvas: &Canvas<'_>, rng: &mut Pcg64) -> Ink {
    match below(rng, 5) {
        0 => Ink::Colour(colour::of_image(canvas, rng)),
        1 => Ink::Colour(colour::any(canvas, rng)),
        choice => {
            let contrast = log_uniform(rng, CONTRAST.0, CONTRAST.1);
            if choice == 2 {
                // towards white
                Ink::Shade(1.0 - contrast, contrast)
            } else {
                Ink::Shade(1.0 - contrast, 0.0)
            }
        }
    }
}

/// A walk that bends, sometimes with corners: x, y and radius of its points.
fn path((mut x, mut y): (f32, f32), length: f32, thickness: f32, rng: &mut Pcg64) -> Vec<[f32; 3]> {
    const STEP: f32 = 0.75;
    let mut heading = uniform(rng, 0.0, TAU);
    let straight = below(rng, 3) == 0;
    let bend = if straight { 0.0 } else { uniform(rng, -0.03, 0.03) };
    let jitter = if straight { 0.0 } else { uniform(rng, 0.0, 0.25) };
    let corners = if below(rng, 3) == 0 { 0.06 } else { 0.0 };
    let taper = uniform(rng, 0.0, 0.7);
    let steps = (length / STEP) as usize + 1;
    (0..steps)
        .map(|i| {
            let point = [x, y, 0.5 * thickness * (1.0 - taper * i as f32 / steps as f32)];
            heading += bend + jitter * uniform(rng, -1.0, 1.0);
            if corners > 0.0 && uniform(rng, 0.0, 1.0) < corners {
                heading += uniform(rng, -1.2, 1.2);
            }
            x += STEP * libm::cosf(heading);
            y += STEP * libm::sinf(heading);
            point
        })
        .collect()
}

/// Draws a path, moved diagonally.
fn stroke(canvas: &mut Canvas<'_>, path: &[[f32; 3]], moved: f32, ink: &Ink, opacity: f32) -> bool {
    let mut bounds = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    for &[x, y, radius] in path {
        let reach = radius + 1.0;
        bounds[0] = bounds[0].min(x + moved - reach);
        bounds[1] = bounds[1].min(y + moved - reach);
        bounds[2] = bounds[2].max(x + moved + reach);
        bounds[3] = bounds[3].max(y + moved + reach);
    }
    let Some(mut layer) = Layer::new(canvas.size, bounds) else {
        return false;
    };
    for &[x, y, radius] in path {
        layer.stamp(x + moved, y + moved, radius, opacity);
    }
    match *ink {
        Ink::Colour(colour) => layer.paint(|_, _| colour),
        Ink::Shade(factor, offset) => {
            layer.paint(|x, y| canvas.clean_at(x, y).map(|value| value * factor + offset));
        }
    }
    canvas.lay(&layer, SEEN)
}
