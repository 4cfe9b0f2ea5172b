//! Which preset and layout suit photos and a device.

use super::{InputLayout, Preset};
use crate::order;

/// Short side of photos, in pixels, from which on a larger input shows more (`docs/notebook/evidence.md`).
const LARGE: f64 = 768.0;

/// What suits photos on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// `standard` for large photos on a fast device, else `compact`.
    pub preset: Preset,
    /// How photos are shown to the network.
    pub fit: InputLayout,
    /// Whether most photos are large.
    is_large: bool,
}

impl Suggestion {
    /// For photos of these widths and heights; none without photos. `is_fast` says whether the device takes the larger input
    /// easily, as a graphics card does.
    pub fn of(sizes: &[(u32, u32)], is_fast: bool) -> Option<Self> {
        let short = sizes.iter().map(|&(width, height)| f64::from(width.min(height)));
        let mut short: Vec<f64> = short.collect();
        order::sort_by(&mut short, f64::total_cmp);
        let is_large = *short.get(short.len() / 2)? >= LARGE;
        Some(Self {
            preset: match is_fast && is_large {
                true => Preset::Standard,
                false => Preset::Compact,
            },
            fit: InputLayout::suggested(sizes),
            is_large,
        })
    }

    /// Why, and what else could be chosen: sentences about the input, which it begins with.
    pub fn reason(&self) -> [&'static str; 2] {
        let size = match (self.preset, self.is_large) {
            (Preset::Standard, _) => {
                "384 pixels, because photos this large have details that 256 pixels do not show."
            }
            (_, true) => {
                "256 pixels, which is fast. 384 pixels would show smaller defects of these large photos, in more than twice the time."
            }
            (_, false) => "256 pixels suit these photos.",
        };
        let layout = match self.fit {
            InputLayout::Strip => " Long photos are shown in squares along their long side.",
            _ => "",
        };
        [size, layout]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{INPUT_SIZE, ModelConfig};

    #[test]
    fn large_photos_get_a_larger_input_where_the_device_is_fast() {
        let of = |size, is_fast| Suggestion::of(&[size; 3], is_fast).expect("has photos");
        let preset = |size, is_fast| of(size, is_fast).preset;
        assert_eq!(preset((1500, 1000), true), Preset::Standard);
        assert_eq!(preset((1500, 1000), false), Preset::Compact);
        assert_eq!(preset((512, 512), true), Preset::Compact);
        assert!(of((1500, 1000), false).reason()[0].contains("384 pixels would show"));
        assert_eq!(of((400, 1000), true).fit, InputLayout::Strip);
        assert!(of((400, 1000), true).reason()[1].contains("squares along"));
        assert_eq!(Suggestion::of(&[], true), None);
        // one odd photo among others
        let sizes = [(1500, 1000), (1500, 1000), (20, 20)];
        assert_eq!(
            Suggestion::of(&sizes, true).map(|own| own.preset),
            Some(Preset::Standard)
        );
    }

    #[test]
    fn the_reason_names_the_inputs_of_the_presets() {
        let input = |preset| ModelConfig::preset(preset).input_size;
        assert_eq!(input(Preset::Compact), INPUT_SIZE);
        for is_fast in [false, true] {
            let own = Suggestion::of(&[(1500, 1000)], is_fast).expect("has photos");
            let begins = format!("{} pixels, ", input(own.preset));
            assert!(own.reason()[0].starts_with(&begins), "{own:?}");
        }
    }
}
