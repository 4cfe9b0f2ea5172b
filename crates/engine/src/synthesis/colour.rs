//! Colours that defects have.

use rand_pcg::Pcg64;

use super::canvas::Canvas;
use super::random::{below, uniform};

/// Share of colours that stay grey on a grey image is one minus one in so many.
const COLOURED_ON_GREY: u32 = 12;

/// A colour in [0, 1]: any grey, a dull colour, or one that occurs elsewhere in the image.
pub(super) fn any(canvas: &Canvas<'_>, rng: &mut Pcg64) -> [f32; 3] {
    if below(rng, 3) == 0 {
        return of_image(canvas, rng);
    }
    let grey = uniform(rng, 0.0, 1.0);
    let saturation = saturation(canvas, rng);
    std::array::from_fn(|_| (grey + saturation * uniform(rng, -0.5, 0.5)).clamp(0.0, 1.0))
}

/// A colour of the image.
pub(super) fn of_image(canvas: &Canvas<'_>, rng: &mut Pcg64) -> [f32; 3] {
    let mut at = || below(rng, canvas.size as u32) as usize;
    canvas.clean_at(at(), at())
}

/// Shifts of the three channels around 0, grey on most grey images.
pub(super) fn tint(canvas: &Canvas<'_>, strength: f32, rng: &mut Pcg64) -> [f32; 3] {
    let strength = strength * saturation(canvas, rng);
    std::array::from_fn(|_| uniform(rng, -strength, strength))
}

fn saturation(canvas: &Canvas<'_>, rng: &mut Pcg64) -> f32 {
    let saturation = uniform(rng, 0.0, 1.0);
    if canvas.grey && below(rng, COLOURED_ON_GREY) != 0 {
        0.0
    } else {
        saturation
    }
}
