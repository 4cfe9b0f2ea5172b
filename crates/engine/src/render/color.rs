//! Colour maps for anomaly values.

use serde::{Deserialize, Serialize};

/// How values become colours, from low to high.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ColorMap {
    /// Blue, green, yellow, red: the most contrast.
    #[default]
    Turbo,
    /// Black, purple, orange, pale yellow: even steps of brightness.
    Inferno,
    /// Purple, teal, yellow: even steps, safe for colour-blind readers.
    Viridis,
}

/// Colours at equal distances, with straight lines between them: ten samples of the published map
/// are closer to it than the eye can tell.
type Table = [u32; 10];

/// Google's Turbo (A. Mikhailov, 2019).
const TURBO: Table = [
    0x30123B, 0x4662D7, 0x36AAF9, 0x1AE4B6, 0x72FE5E, 0xC8EF34, 0xFABA39, 0xF66B19, 0xCB2A04, 0x7A0403,
];
/// Matplotlib's inferno (S. van der Walt and N. Smith, 2015).
const INFERNO: Table = [
    0x000004, 0x1B0C42, 0x4B0C6B, 0x781C6D, 0xA52C60, 0xCF4446, 0xED6925, 0xFB9A06, 0xF7D03C, 0xFCFFA4,
];
/// Matplotlib's viridis (S. van der Walt, N. Smith and E. Firing, 2015).
const VIRIDIS: Table = [
    0x440154, 0x482878, 0x3E4A89, 0x31688E, 0x26828E, 0x1F9E89, 0x35B779, 0x6DCD59, 0xB4DE2C, 0xFDE725,
];

impl ColorMap {
    /// All maps, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::Turbo, Self::Inferno, Self::Viridis];

    /// The name on the command line and in the menu's values.
    pub fn id(self) -> &'static str {
        match self {
            Self::Turbo => "turbo",
            Self::Inferno => "inferno",
            Self::Viridis => "viridis",
        }
    }

    /// The colour at `t`, which is clamped to `0..=1`; not-a-number counts as 0.
    pub fn rgb(self, t: f32) -> [u8; 3] {
        let table = match self {
            Self::Turbo => &TURBO,
            Self::Inferno => &INFERNO,
            Self::Viridis => &VIRIDIS,
        };
        let last = table.len() - 1;
        let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
        let place = t * last as f32;
        let first = (place as usize).min(last - 1);
        let share = place - first as f32;
        let (low, high) = (channels(table[first]), channels(table[first + 1]));
        [0, 1, 2].map(|c| (low[c] * (1.0 - share) + high[c] * share).round() as u8)
    }
}

/// Red, green and blue of `0xRRGGBB`.
fn channels(color: u32) -> [f32; 3] {
    let [_, red, green, blue] = color.to_be_bytes();
    [red, green, blue].map(f32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_the_published_maps() {
        assert_eq!(ColorMap::Turbo.rgb(0.0), [0x30, 0x12, 0x3B]);
        assert_eq!(ColorMap::Turbo.rgb(1.0), [0x7A, 0x04, 0x03]);
        assert_eq!(ColorMap::Inferno.rgb(1.0), [0xFC, 0xFF, 0xA4]);
        assert_eq!(ColorMap::Viridis.rgb(0.0), [0x44, 0x01, 0x54]);
    }

    #[test]
    fn values_outside_are_clamped() {
        for map in ColorMap::ALL {
            assert_eq!(map.rgb(-3.0), map.rgb(0.0));
            assert_eq!(map.rgb(7.0), map.rgb(1.0));
            assert_eq!(map.rgb(f32::NAN), map.rgb(0.0));
        }
    }

    #[test]
    fn inferno_and_viridis_grow_brighter_all_the_way() {
        for map in [ColorMap::Inferno, ColorMap::Viridis] {
            let luma = |i| {
                let [red, green, blue] = map.rgb(i as f32 / 32.0).map(f32::from);
                0.299 * red + 0.587 * green + 0.114 * blue
            };
            assert!((1..=32).all(|i| luma(i) > luma(i - 1)), "{map:?}");
        }
    }

    #[test]
    fn ids_are_the_serialised_names() {
        for map in ColorMap::ALL {
            assert_eq!(
                serde_json::to_string(&map).expect("serialises"),
                format!("\"{}\"", map.id())
            );
        }
    }
}
