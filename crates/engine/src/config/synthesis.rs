//! How training samples are made of good images.

use serde::{Deserialize, Serialize};

use super::{Preset, Texture};
use crate::{Error, Result};

/// A kind of synthetic anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum AnomalyKind {
    /// A foreign texture where Perlin noise is high (the paper).
    Texture,
    /// A piece of the image where it does not belong: missing, misplaced, doubled, turned.
    Part,
    /// Thin strokes and specks: scratches, cracks, fibres, bridges, gaps.
    Scar,
    /// A faint soft change of brightness and tint.
    Stain,
    /// Detail that is gone: blurred, smeared or filled with what is around it.
    Smear,
}

impl AnomalyKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Texture, Self::Part, Self::Scar, Self::Stain, Self::Smear];

    /// The kind's name, as in settings and messages.
    pub fn id(self) -> &'static str {
        match self {
            Self::Texture => "texture",
            Self::Part => "part",
            Self::Scar => "scar",
            Self::Stain => "stain",
            Self::Smear => "smear",
        }
    }
}

/// How often each kind of anomaly is drawn, relative to the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KindShares {
    /// Of [`AnomalyKind::Texture`].
    pub texture: f32,
    /// Of [`AnomalyKind::Part`].
    pub part: f32,
    /// Of [`AnomalyKind::Scar`].
    pub scar: f32,
    /// Of [`AnomalyKind::Stain`].
    pub stain: f32,
    /// Of [`AnomalyKind::Smear`].
    pub smear: f32,
}

impl Default for KindShares {
    /// Textures alone, as in the paper.
    fn default() -> Self {
        Self {
            texture: 1.0,
            part: 0.0,
            scar: 0.0,
            stain: 0.0,
            smear: 0.0,
        }
    }
}

impl KindShares {
    /// The share of a kind.
    pub fn get(&self, kind: AnomalyKind) -> f32 {
        match kind {
            AnomalyKind::Texture => self.texture,
            AnomalyKind::Part => self.part,
            AnomalyKind::Scar => self.scar,
            AnomalyKind::Stain => self.stain,
            AnomalyKind::Smear => self.smear,
        }
    }

    /// The share of a kind, to be changed.
    pub fn get_mut(&mut self, kind: AnomalyKind) -> &mut f32 {
        match kind {
            AnomalyKind::Texture => &mut self.texture,
            AnomalyKind::Part => &mut self.part,
            AnomalyKind::Scar => &mut self.scar,
            AnomalyKind::Stain => &mut self.stain,
            AnomalyKind::Smear => &mut self.smear,
        }
    }

    /// Whether no other kind than the paper's is drawn.
    pub fn is_texture_alone(&self) -> bool {
        self.part + self.scar + self.stain + self.smear == 0.0
    }
}

/// How synthetic anomalies are made (section 3.1 of the paper; figures of its reference code).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthesisConfig {
    /// Perlin cells per axis are 2^t, t drawn from this closed range for each axis.
    pub scale_exponents: (u32, u32),
    /// Noise above this is anomalous.
    pub threshold: f32,
    /// The noise is rotated by an angle from [-this, this], degrees.
    pub noise_rotation: f32,
    /// Opacity of the pasted texture is drawn from this range.
    pub opacity: (f32, f32),
    /// Share of samples that stay without an anomaly.
    pub clean_share: f32,
    /// Share of texture anomalies that are no foreign texture but the image itself in another
    /// colour (not in the paper).
    pub recoloured_share: f32,
    /// Built-in textures that are drawn, one kind as likely as another; all if none is named.
    pub textures: Vec<Texture>,
    /// Whether anomalies lie on the part alone, where it stands before a plain background (not in the
    /// paper).
    pub foreground_only: bool,
    /// How often each kind of anomaly is drawn (the paper has textures alone).
    pub kinds: KindShares,
    /// Anomalies of a sample at most; their number is drawn from 1 to this (the paper has 1).
    pub most: u32,
    /// Whether most anomalies of a grey image are grey too (not in the paper).
    pub match_grey: bool,
    /// Share of a map cell's 4 x 4 pixels that must be anomalous for the loss to call the cell so;
    /// 0 for the paper's rule, two of the middle four.
    pub cell_share: f32,
}

impl Default for SynthesisConfig {
    fn default() -> Self {
        Self {
            scale_exponents: (0, 5),
            threshold: 0.5,
            noise_rotation: 90.0,
            opacity: (0.2, 1.0),
            clean_share: 0.0,
            recoloured_share: 0.0,
            textures: Vec::new(),
            foreground_only: false,
            kinds: KindShares::default(),
            most: 1,
            match_grey: false,
            cell_share: 0.0,
        }
    }
}

impl SynthesisConfig {
    /// The generator of a preset: the paper's for `paper`, all kinds for `compact`.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self::default(),
            Preset::Compact => Self {
                kinds: KindShares {
                    texture: 0.3,
                    part: 0.2,
                    scar: 0.25,
                    stain: 0.15,
                    smear: 0.1,
                },
                most: 3,
                match_grey: true,
                cell_share: 0.25,
                ..Self::default()
            },
        }
    }

    /// Refuses settings that no sample can be drawn with.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        /// More do not fit into an image without covering it.
        const MOST: u32 = 16;
        let fail = |text: &str| Err(Error::Config(text.into()));
        let share = 0.0..=1.0;
        if self.scale_exponents.0 > self.scale_exponents.1 || self.scale_exponents.1 > 7 {
            return fail("the Perlin scale exponents must rise and lie between 0 and 7");
        }
        if !share.contains(&self.opacity.0) || !(self.opacity.0..=1.0).contains(&self.opacity.1) {
            return fail("the opacity range must rise and lie between 0 and 1");
        }
        if !share.contains(&self.clean_share) {
            return fail("the share of clean samples must lie between 0 and 1");
        }
        if !share.contains(&self.recoloured_share) {
            return fail("the share of recoloured anomalies must lie between 0 and 1");
        }
        let shares = AnomalyKind::ALL.map(|kind| self.kinds.get(kind));
        if shares.iter().any(|share| !share.is_finite() || *share < 0.0) || shares.iter().sum::<f32>() <= 0.0
        {
            return fail(
                "the shares of the kinds of anomalies must be 0 or more, and one of them more than 0",
            );
        }
        if self.most == 0 || self.most > MOST {
            return fail("the number of anomalies of a sample must lie between 1 and 16");
        }
        if !share.contains(&self.cell_share) {
            return fail("the anomalous share of a map cell must lie between 0 and 1");
        }
        Ok(())
    }
}

/// Variation of the good images themselves: turns of the reference's per-category table, and light
/// (not in the paper).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Rotate by a random multiple of 90 degrees.
    pub rotate_90: bool,
    /// Rotate by up to this many degrees either way; corners become grey.
    pub rotate: f32,
    /// Brighter or darker by up to this share.
    pub brightness: f32,
    /// Exponent of the grey levels: between 1 / (1 + this) and 1 + this.
    pub gamma: f32,
    /// Light that falls off across the image, by up to this share either way at its edges.
    pub falloff: f32,
}

impl AugmentConfig {
    /// The variation of a preset: none for `paper`, light for `compact`.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self::default(),
            Preset::Compact => Self {
                brightness: 0.08,
                gamma: 0.1,
                falloff: 0.08,
                ..Self::default()
            },
        }
    }

    /// Whether the light is varied.
    pub fn varies_light(&self) -> bool {
        self.brightness > 0.0 || self.gamma > 0.0 || self.falloff > 0.0
    }

    /// What the reference does for the category of `MVTec` AD with this name.
    pub fn published(category: &str) -> Option<Self> {
        const DEGREES: f32 = 5.0;
        let (rotate_90, rotate) = match category {
            "capsule" | "metal_nut" | "pill" | "toothbrush" | "transistor" => (false, 0.0),
            "wood" | "zipper" | "cable" => (false, DEGREES),
            "bottle" | "grid" | "hazelnut" | "leather" | "tile" | "carpet" | "screw" => (true, DEGREES),
            _ => return None,
        };
        Some(Self {
            rotate_90,
            rotate,
            ..Self::default()
        })
    }

    /// Refuses light that no camera would see.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let light = [self.brightness, self.gamma, self.falloff];
        if light.iter().any(|strength| !(0.0..=0.9).contains(strength)) {
            return Err(Error::Config(
                "brightness, gamma and falloff of the good images must lie between 0 and 0.9".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_possible_and_the_papers_has_textures_alone() {
        for preset in [Preset::Compact, Preset::Paper] {
            SynthesisConfig::preset(preset).validate().expect("is possible");
            AugmentConfig::preset(preset).validate().expect("is possible");
        }
        let paper = SynthesisConfig::preset(Preset::Paper);
        assert!(paper.kinds.is_texture_alone() && paper.most == 1);
        assert!(!AugmentConfig::preset(Preset::Paper).varies_light());
    }

    #[test]
    fn impossible_settings_are_refused() {
        let change = |edit: fn(&mut SynthesisConfig)| {
            let mut config = SynthesisConfig::preset(Preset::Compact);
            edit(&mut config);
            config.validate()
        };
        assert!(change(|config| config.kinds.scar = -0.1).is_err());
        assert!(change(|config| config.kinds.part = f32::NAN).is_err());
        assert!(
            change(|config| {
                for kind in AnomalyKind::ALL {
                    *config.kinds.get_mut(kind) = 0.0;
                }
            })
            .is_err()
        );
        assert!(change(|config| config.most = 0).is_err());
        assert!(change(|config| config.cell_share = 1.5).is_err());
        let dark = AugmentConfig {
            brightness: 1.0,
            ..AugmentConfig::default()
        };
        assert!(dark.validate().is_err());
    }
}
