//! How training samples are made of good images.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Preset, Texture};
use crate::{Error, Result};

/// A kind of synthetic defect. A new kind is a variant here, a row of `KINDS`, and a painter in
/// `synthesis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyKind {
    /// The paper's kind: a foreign texture where Perlin noise is high.
    Texture,
    /// A piece of the image pasted in another place, as in `CutPaste` (CVPR 2021).
    CutPaste,
    /// Thin strokes and specks.
    Scratch,
    /// A soft change of brightness and tint.
    Stain,
    /// Detail that is removed.
    Blur,
}

/// What is known about a kind of defect besides how it is painted.
#[derive(Debug, Clone, Copy)]
struct KindInfo {
    kind: AnomalyKind,
    /// Name in settings and messages.
    id: &'static str,
    /// Name in settings of earlier versions, which is still accepted.
    old_id: Option<&'static str>,
    /// Label of the kind.
    label: &'static str,
    /// Label of a single defect.
    singular: &'static str,
    /// What is painted.
    explanation: &'static str,
}

/// All kinds, in the order of the variants. Random draws follow this order, so new kinds go last.
const KINDS: [KindInfo; 5] = [
    KindInfo {
        kind: AnomalyKind::Texture,
        id: "texture",
        old_id: None,
        label: "Foreign textures",
        singular: "texture",
        explanation: "A foreign texture where Perlin noise is high (the paper)",
    },
    KindInfo {
        kind: AnomalyKind::CutPaste,
        id: "cut-paste",
        old_id: Some("part"),
        label: "Missing or misplaced pieces",
        singular: "misplaced piece",
        explanation: "A piece of the image in a wrong place: missing, misplaced, doubled, turned",
    },
    KindInfo {
        kind: AnomalyKind::Scratch,
        id: "scratch",
        old_id: Some("scar"),
        label: "Scratches and cracks",
        singular: "scratch",
        explanation: "Thin strokes and specks: scratches, cracks, fibres, bridges, gaps",
    },
    KindInfo {
        kind: AnomalyKind::Stain,
        id: "stain",
        old_id: None,
        label: "Stains",
        singular: "stain",
        explanation: "A faint, soft change of brightness and tint",
    },
    KindInfo {
        kind: AnomalyKind::Blur,
        id: "blur",
        old_id: Some("smear"),
        label: "Smeared detail",
        singular: "smeared detail",
        explanation: "Missing detail: blurred, smeared or filled with its surroundings",
    },
];

impl AnomalyKind {
    /// All kinds.
    pub const ALL: [Self; KINDS.len()] = {
        let mut all = [Self::Texture; KINDS.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = KINDS[index].kind;
            assert!(
                all[index] as usize == index,
                "the table is in the order of the variants"
            );
            index += 1;
        }
        all
    };

    const IDS: [&str; KINDS.len()] = {
        let mut ids = [""; KINDS.len()];
        let mut index = 0;
        while index < ids.len() {
            ids[index] = KINDS[index].id;
            index += 1;
        }
        ids
    };

    fn info(self) -> &'static KindInfo {
        &KINDS[self as usize]
    }

    /// The kind's name in settings and messages.
    pub fn id(self) -> &'static str {
        self.info().id
    }

    /// The kind's label, in the plural.
    pub fn label(self) -> &'static str {
        self.info().label
    }

    /// The label of a single defect of this kind.
    pub fn singular(self) -> &'static str {
        self.info().singular
    }

    /// One sentence on what is painted, without a full stop.
    pub fn explanation(self) -> &'static str {
        self.info().explanation
    }

    /// The kind with this name. Names of earlier versions are accepted.
    pub fn from_id(id: &str) -> Option<Self> {
        let found = KINDS.iter().find(|info| info.id == id || info.old_id == Some(id));
        found.map(|info| info.kind)
    }
}

impl Serialize for AnomalyKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for AnomalyKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::from_id(&id).ok_or_else(|| D::Error::unknown_variant(&id, &Self::IDS))
    }
}

#[cfg(feature = "clap")]
impl clap::ValueEnum for AnomalyKind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let value = clap::builder::PossibleValue::new(self.id()).help(self.explanation());
        Some(value.aliases(self.info().old_id))
    }
}

/// How often each kind of defect is drawn, relative to the others. In settings this is a table with
/// the names of the kinds as keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KindShares([f32; AnomalyKind::ALL.len()]);

impl Default for KindShares {
    /// Textures alone, as in the paper.
    fn default() -> Self {
        Self::new(&[(AnomalyKind::Texture, 1.0)])
    }
}

impl KindShares {
    /// The given shares; 0 for all other kinds.
    pub fn new(shares: &[(AnomalyKind, f32)]) -> Self {
        let mut all = Self([0.0; AnomalyKind::ALL.len()]);
        for &(kind, share) in shares {
            *all.get_mut(kind) = share;
        }
        all
    }

    /// The share of a kind.
    pub fn get(&self, kind: AnomalyKind) -> f32 {
        self.0[kind as usize]
    }

    /// The share of a kind, to be changed.
    pub fn get_mut(&mut self, kind: AnomalyKind) -> &mut f32 {
        &mut self.0[kind as usize]
    }

    /// Whether only [`AnomalyKind::Texture`], the paper's kind, is drawn.
    pub fn is_texture_alone(&self) -> bool {
        let others = AnomalyKind::ALL
            .into_iter()
            .filter(|&kind| kind != AnomalyKind::Texture);
        others.map(|kind| self.get(kind)).sum::<f32>() == 0.0
    }
}

impl Serialize for KindShares {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(AnomalyKind::ALL.map(|kind| (kind.id(), self.get(kind))))
    }
}

impl<'de> Deserialize<'de> for KindShares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Shares;
        impl<'de> Visitor<'de> for Shares {
            type Value = KindShares;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a table with a share for each kind of defect")
            }

            /// Kinds that are not named keep their default share.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<KindShares, A::Error> {
                let mut shares = KindShares::default();
                let mut named = [false; AnomalyKind::ALL.len()];
                while let Some(name) = map.next_key::<String>()? {
                    let kind = AnomalyKind::from_id(&name)
                        .ok_or_else(|| A::Error::unknown_field(&name, &AnomalyKind::IDS))?;
                    if std::mem::replace(&mut named[kind as usize], true) {
                        return Err(A::Error::duplicate_field(kind.id()));
                    }
                    *shares.get_mut(kind) = map.next_value()?;
                }
                Ok(shares)
            }
        }
        deserializer.deserialize_map(Shares)
    }
}

/// Settings of the synthetic defects. The defaults are those of the paper (section 3.1) and its reference code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthesisConfig {
    /// An axis has 2^t Perlin cells; t is drawn from this closed range, for each axis.
    pub scale_exponents: (u32, u32),
    /// Noise above this is anomalous.
    pub threshold: f32,
    /// The noise is rotated by an angle from [-this, this], degrees.
    pub noise_rotation: f32,
    /// Opacity of the pasted texture is drawn from this range.
    pub opacity: (f32, f32),
    /// Fraction of samples without a defect.
    pub clean_share: f32,
    /// Fraction of textures that are the image itself in another colour instead of a foreign texture
    /// (not in the paper).
    pub recoloured_share: f32,
    /// Built-in textures to draw from, all equally likely. An empty list means all.
    pub textures: Vec<Texture>,
    /// Whether defects are painted on the object only, if it has a plain background (not in the paper).
    pub foreground_only: bool,
    /// How often each kind of defect is drawn. The paper has textures alone.
    pub kinds: KindShares,
    /// Most defects in a sample. Their number is drawn from 1 to this (1 in the paper).
    pub most: u32,
    /// Whether most textures on grey images are grey, too (not in the paper).
    pub match_grey: bool,
    /// Fraction of a map cell's 4 x 4 pixels that must be defective for the loss to count the cell as
    /// defective. 0 selects the paper's rule: two of the middle four pixels.
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
    /// The settings of a preset: those of the paper for `paper`, all kinds of defects for the others.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self::default(),
            Preset::Compact | Preset::Standard => Self {
                kinds: KindShares::new(&[
                    (AnomalyKind::Texture, 0.3),
                    (AnomalyKind::CutPaste, 0.2),
                    (AnomalyKind::Scratch, 0.25),
                    (AnomalyKind::Stain, 0.15),
                    (AnomalyKind::Blur, 0.1),
                ]),
                most: 3,
                match_grey: true,
                cell_share: 0.25,
                ..Self::default()
            },
        }
    }

    /// Checks that samples can be drawn with these settings.
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

/// Augmentation of good images: rotations, which the reference code sets for each category; light and what cameras do
/// (not in the paper).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Rotate by a random multiple of 90 degrees.
    pub rotate_90: bool,
    /// Rotate by up to this many degrees in either direction. Empty corners become grey.
    pub rotate: f32,
    /// Change the brightness by up to this fraction.
    pub brightness: f32,
    /// Gamma is drawn between 1 / (1 + this) and 1 + this.
    pub gamma: f32,
    /// Strength of a linear change of light across the image: up to this fraction at the edges.
    pub falloff: f32,
    /// Change each colour against the others by up to this fraction ...
    pub white_balance: f32,
    /// ... in this share of the images.
    pub white_balance_share: f32,
    /// Whether brightness and white balance change as much as they do among the good images, if that is more.
    pub follow_light: bool,
    /// Share of the images that are shown as another camera or program would have saved them: softer or sharper, a noisier
    /// sensor, another resolution, JPEG compression.
    pub camera: f32,
}

/// Nothing varies. What is given a strength does so in every image, unless a share is given, too.
impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            rotate_90: false,
            rotate: 0.0,
            brightness: 0.0,
            gamma: 0.0,
            falloff: 0.0,
            white_balance: 0.0,
            white_balance_share: 1.0,
            follow_light: false,
            camera: 0.0,
        }
    }
}

impl AugmentConfig {
    /// The same view as another camera or program would have saved it.
    pub(crate) const ANOTHER_CAMERA: Self = Self {
        rotate_90: false,
        rotate: 0.0,
        brightness: 0.12,
        gamma: 0.0,
        falloff: 0.0,
        white_balance: 0.08,
        white_balance_share: 1.0,
        follow_light: false,
        camera: 1.0,
    };

    /// The augmentation of a preset: none for `paper`, light and camera for the others.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self::default(),
            Preset::Compact | Preset::Standard => Self {
                brightness: 0.1,
                gamma: 0.1,
                falloff: 0.08,
                white_balance: 0.05,
                white_balance_share: 0.3,
                follow_light: true,
                camera: 0.3,
                ..Self::default()
            },
        }
    }

    /// Whether brightness, gamma, falloff or white balance change.
    pub fn varies_light(&self) -> bool {
        self.brightness > 0.0 || self.gamma > 0.0 || self.falloff > 0.0 || self.white_balance > 0.0
    }

    /// The rotations of the reference code for the `MVTec` AD category with this name.
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

    /// Checks that the strengths are in their ranges.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let fail = |text: &str| Err(Error::Config(text.into()));
        if !(0.0..=180.0).contains(&self.rotate) {
            return fail(&format!(
                "the rotation of the good images is {} degrees but must lie between 0 and 180",
                self.rotate
            ));
        }
        let light = [self.brightness, self.gamma, self.falloff, self.white_balance];
        if light.iter().any(|strength| !(0.0..=0.9).contains(strength)) {
            return fail(
                "brightness, gamma, falloff and white balance of the good images must lie between 0 and 0.9",
            );
        }
        if !(0.0..=1.0).contains(&self.camera) || !(0.0..=1.0).contains(&self.white_balance_share) {
            return fail(
                "the shares of good images with another white balance or saved by another camera must lie between 0 and 1",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_possible_and_the_papers_has_textures_alone() {
        for preset in Preset::ALL {
            SynthesisConfig::preset(preset).validate().expect("is possible");
            AugmentConfig::preset(preset).validate().expect("is possible");
        }
        let paper = SynthesisConfig::preset(Preset::Paper);
        assert!(paper.kinds.is_texture_alone() && paper.most == 1);
        assert!(!AugmentConfig::preset(Preset::Paper).varies_light());
    }

    #[test]
    fn kinds_have_new_names_and_the_old_ones_are_accepted() {
        let shares = SynthesisConfig::preset(Preset::Compact).kinds;
        let new = r#"{"texture":0.3,"cut-paste":0.2,"scratch":0.25,"stain":0.15,"blur":0.1}"#;
        let old = r#"{"texture":0.3,"part":0.2,"scar":0.25,"stain":0.15,"smear":0.1}"#;
        let written = serde_json::to_string(&shares).expect("is JSON");
        assert!(written.starts_with(new.trim_end_matches('}')), "{written}");
        let parse = serde_json::from_str::<KindShares>;
        for text in [new, old] {
            assert_eq!(parse(text).expect("is accepted"), shares, "{text}");
        }
        let one = KindShares::new(&[(AnomalyKind::Texture, 1.0), (AnomalyKind::Blur, 0.5)]);
        assert_eq!(parse(r#"{"smear":0.5}"#).expect("others have defaults"), one);
        let twice = parse(r#"{"scar":0.5,"scratch":0.5}"#).expect_err("is ambiguous");
        assert!(twice.to_string().contains("duplicate"), "{twice}");
        let unknown = parse(r#"{"rust":0.5}"#).expect_err("is unknown");
        assert!(unknown.to_string().contains("cut-paste"), "{unknown}");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let change = |edit: fn(&mut SynthesisConfig)| {
            let mut config = SynthesisConfig::preset(Preset::Compact);
            edit(&mut config);
            config.validate()
        };
        assert!(change(|config| *config.kinds.get_mut(AnomalyKind::Scratch) = -0.1).is_err());
        assert!(change(|config| *config.kinds.get_mut(AnomalyKind::CutPaste) = f32::NAN).is_err());
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
