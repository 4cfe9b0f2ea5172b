//! Pictures of an anomaly map: colours, overlay, outline. Shared by the command line and the page.

mod color;

pub use color::ColorMap;

use crate::data::map::AnomalyMap;

/// Share of the colour range over which the overlay fades in, so that what is clearly good keeps
/// its own colours.
const FADE_IN: f32 = 0.25;

/// Position of a value within `range`, clamped to `0..=1`; 0 where the range is empty.
fn position(value: f32, (low, high): (f32, f32)) -> f32 {
    if high > low {
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// How much of the heat map's colour shows at a position of the range, in `0..=1`.
fn strength(t: f32) -> f32 {
    (t / FADE_IN).min(1.0)
}

/// The map as RGBA bytes, one pixel per value, to be drawn over the image: `range` spans the
/// colours, and the lowest quarter of it fades out to transparent.
pub fn heat_map_rgba(map: &AnomalyMap, colors: ColorMap, range: (f32, f32)) -> Vec<u8> {
    let pixel = |&value: &f32| {
        let t = position(value, range);
        let [red, green, blue] = colors.rgb(t);
        [red, green, blue, (strength(t) * 255.0).round() as u8]
    };
    map.values().iter().flat_map(pixel).collect()
}

/// An RGB image of `width * height` with the map, enlarged bilinearly, laid over it.
///
/// `opacity` in `0..=1` is that of the strongest values; the lowest quarter of `range` fades out.
/// An image whose length is not `3 * width * height`, or an empty map, is returned as it is.
pub fn overlay(
    rgb: &[u8],
    width: usize,
    height: usize,
    map: &AnomalyMap,
    colors: ColorMap,
    range: (f32, f32),
    opacity: f32,
) -> Vec<u8> {
    if rgb.len() != 3 * width * height || map.values().is_empty() {
        return rgb.to_vec();
    }
    let map = map.resize(width, height);
    let opacity = opacity.clamp(0.0, 1.0);
    let blend = |(pixel, &value): (&[u8], &f32)| {
        let t = position(value, range);
        let share = opacity * strength(t);
        let heat = colors.rgb(t);
        [0, 1, 2].map(|c| (f32::from(pixel[c]) * (1.0 - share) + f32::from(heat[c]) * share).round() as u8)
    };
    rgb.chunks_exact(3).zip(map.values()).flat_map(blend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> AnomalyMap {
        AnomalyMap::new(3, 1, vec![0.0, 0.5, 1.0]).expect("sizes agree")
    }

    #[test]
    fn heat_map_colours_the_range_and_hides_its_foot() {
        let rgba = heat_map_rgba(&ramp(), ColorMap::Viridis, (0.0, 1.0));
        assert_eq!(rgba.len(), 12);
        assert_eq!(rgba[3], 0);
        assert_eq!(rgba[7], 255);
        assert_eq!(rgba[8..11], ColorMap::Viridis.rgb(1.0));
        let above = heat_map_rgba(&ramp(), ColorMap::Viridis, (2.0, 3.0));
        assert!(
            above.chunks(4).all(|pixel| pixel[3] == 0),
            "values below the range are invisible"
        );
    }

    #[test]
    fn overlay_blends_only_where_the_map_is_high() {
        let image = [10_u8; 9];
        let none = overlay(&image, 3, 1, &ramp(), ColorMap::Turbo, (0.0, 1.0), 0.0);
        assert_eq!(none, image);
        let full = overlay(&image, 3, 1, &ramp(), ColorMap::Turbo, (0.0, 1.0), 1.0);
        assert_eq!(full[..3], image[..3]);
        assert_eq!(full[3..6], ColorMap::Turbo.rgb(0.5));
        assert_eq!(full[6..], ColorMap::Turbo.rgb(1.0));
    }

    #[test]
    fn overlay_of_another_size_or_an_empty_range_is_harmless() {
        let image = [10_u8; 5];
        assert_eq!(
            overlay(&image, 3, 1, &ramp(), ColorMap::Turbo, (0.0, 1.0), 1.0),
            image
        );
        let image = [10_u8; 9];
        assert_eq!(
            overlay(&image, 3, 1, &ramp(), ColorMap::Turbo, (1.0, 1.0), 1.0),
            image
        );
        let empty = AnomalyMap::new(0, 0, vec![]).expect("sizes agree");
        assert_eq!(
            overlay(&image, 3, 1, &empty, ColorMap::Turbo, (0.0, 1.0), 1.0),
            image
        );
    }
}
