//! Which preset and layout suit photos and a device.

use super::{INPUT_SIZE, InputLayout, Preset, STANDARD_INPUT_SIZE};
use crate::order;

/// Short side of photos, in pixels, from which on a larger input shows more (`docs/notebook/evidence.md`).
const LARGE: u32 = 768;

/// What suits photos on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// `standard` for large photos on a fast device, else `compact`.
    pub preset: Preset,
    /// How photos are shown to the network.
    pub fit: InputLayout,
    /// Median width and height of the photos in pixels.
    size: (u32, u32),
}

impl Suggestion {
    /// For photos of these widths and heights; none without photos. `is_fast` says whether the device takes the larger input
    /// easily, as a graphics card does.
    pub fn of(sizes: &[(u32, u32)], is_fast: bool) -> Option<Self> {
        let median = |side: fn(&(u32, u32)) -> u32| {
            let mut sides: Vec<u32> = sizes.iter().map(side).collect();
            order::sort_by(&mut sides, u32::cmp);
            sides.get(sides.len() / 2).copied()
        };
        let size = (median(|size| size.0)?, median(|size| size.1)?);
        Some(Self {
            preset: match is_fast && is_large(size) {
                true => Preset::Standard,
                false => Preset::Compact,
            },
            fit: InputLayout::suggested(sizes),
            size,
        })
    }

    /// Why, and what else could be chosen: sentences.
    pub fn reason(&self) -> String {
        let (width, height) = self.size;
        let photos = format!("photos of {width} x {height} pixels");
        let mut reason = match (self.preset, is_large(self.size)) {
            (Preset::Standard, _) => format!(
                "{STANDARD_INPUT_SIZE} pixels, because {photos} have details that {INPUT_SIZE} pixels do not show."
            ),
            (_, true) => format!(
                "{INPUT_SIZE} pixels, which is fast. {STANDARD_INPUT_SIZE} pixels would show smaller defects of these {photos}, in more \
                 than twice the time."
            ),
            (_, false) => format!("{INPUT_SIZE} pixels suit {photos}."),
        };
        if self.fit == InputLayout::Strip {
            reason += " Long photos are shown in squares along their long side.";
        }
        reason
    }
}

fn is_large((width, height): (u32, u32)) -> bool {
    width.min(height) >= LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_photos_get_a_larger_input_where_the_device_is_fast() {
        let of = |size, is_fast| Suggestion::of(&[size; 3], is_fast).expect("has photos");
        let preset = |size, is_fast| of(size, is_fast).preset;
        assert_eq!(preset((1500, 1000), true), Preset::Standard);
        assert_eq!(preset((1500, 1000), false), Preset::Compact);
        assert_eq!(preset((512, 512), true), Preset::Compact);
        assert!(of((1500, 1000), false).reason().contains("384 pixels would show"));
        assert!(
            of((1500, 1000), true)
                .reason()
                .starts_with("384 pixels, because photos of 1500 x 1000")
        );
        assert!(of((400, 1000), true).reason().contains("squares along"));
        assert_eq!(of((400, 1000), true).fit, InputLayout::Strip);
        assert_eq!(Suggestion::of(&[], true), None);
        // one odd photo among others
        let sizes = [(1500, 1000), (1500, 1000), (20, 20)];
        assert_eq!(
            Suggestion::of(&sizes, true).map(|own| own.preset),
            Some(Preset::Standard)
        );
    }
}
