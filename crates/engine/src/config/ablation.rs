//! The three ideas of the paper, each of which can be left out (section 4.4 of the paper).

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ModelConfig, TrainConfig};
use crate::{Error, Result};

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The student learns from corrupted images.
    Denoising,
    /// The student is an encoder-decoder.
    EncoderDecoder,
    /// A segmentation network makes the map.
    Segmentation,
}

impl Component {
    /// All, in the paper's order.
    pub const ALL: [Self; 3] = [Self::Denoising, Self::EncoderDecoder, Self::Segmentation];

    /// Its name in files and addresses.
    pub fn id(self) -> &'static str {
        match self {
            Self::Denoising => "denoising",
            Self::EncoderDecoder => "encoder-decoder",
            Self::Segmentation => "segmentation",
        }
    }
}

/// Which of the paper's three components a network has; all eight rows of its ablation table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ablation {
    /// "den": the student learns from corrupted images.
    pub denoising: bool,
    /// "ed": the student is an encoder-decoder, not the teacher's architecture.
    pub encoder_decoder: bool,
    /// "seg": a segmentation network makes the map, not the product of distances.
    pub segmentation: bool,
}

impl Ablation {
    /// Leaves out what this ablation lacks.
    pub fn apply(self, model: &mut ModelConfig, training: &mut TrainConfig) {
        training.denoising &= self.denoising;
        if !self.encoder_decoder {
            model.student.decoder = None;
        }
        if !self.segmentation {
            model.segmentation = None;
            training.segmentation.steps = 0;
        }
    }
}

impl FromStr for Ablation {
    type Err = Error;

    /// The components that stay, as in `den,ed,seg`; `none` for none of them.
    fn from_str(text: &str) -> Result<Self> {
        let mut ablation = Self {
            denoising: false,
            encoder_decoder: false,
            segmentation: false,
        };
        if text == "none" {
            return Ok(ablation);
        }
        for component in text.split(',') {
            match component.trim() {
                "den" => ablation.denoising = true,
                "ed" => ablation.encoder_decoder = true,
                "seg" => ablation.segmentation = true,
                other => {
                    return Err(Error::Config(format!(
                        "`{other}` is no component: list those that stay, of den, ed and seg, or say none"
                    )));
                }
            }
        }
        Ok(ablation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn each_row_of_the_papers_table_is_another_network_or_recipe() {
        let rows = [
            "none",
            "den",
            "ed",
            "seg",
            "den,ed",
            "den,seg",
            "ed,seg",
            "den,ed,seg",
        ];
        let mut seen = Vec::new();
        for row in rows {
            let mut model = ModelConfig::preset(Preset::Paper);
            let mut training = TrainConfig::preset(Preset::Paper);
            row.parse::<Ablation>()
                .expect("parses")
                .apply(&mut model, &mut training);
            model.validate().expect("is possible");
            training.validate().expect("is possible");
            assert!(!seen.contains(&(model.clone(), training.clone())), "{row}");
            seen.push((model, training));
        }
        assert_eq!(seen[7].0, ModelConfig::preset(Preset::Paper));
        assert_eq!(seen[7].1, TrainConfig::preset(Preset::Paper));
    }

    #[test]
    fn unknown_components_are_named() {
        let error = "den,eds".parse::<Ablation>().expect_err("is refused");
        assert!(error.to_string().contains("eds"));
    }
}
