//! What an image score means.

use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::certainty::Certainty;
use destseg_engine::verdict::decision::{self, Thresholds};

/// A score and what decides about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The image score.
    pub score: f32,
    /// Where good ends.
    pub thresholds: Thresholds,
    /// How sure that is; none for a model without calibration.
    pub certainty: Option<Certainty>,
    /// The share of good images that score as high; none for a model without calibration.
    pub p_value: Option<f32>,
    /// Whether the image shows something else than the model's part; none where the model cannot tell.
    pub unfamiliar: Option<bool>,
}

impl Verdict {
    /// Judges a score by the model's thresholds, or by one half if it has none.
    pub fn new(score: f32, calibration: Option<&Calibration>) -> Self {
        Self {
            score,
            thresholds: calibration.map(Calibration::thresholds).unwrap_or_default(),
            certainty: calibration.map(|own| own.certainty(score)),
            p_value: calibration.map(|own| own.p_value(score)),
            unfamiliar: None,
        }
    }

    /// The same for an image that is, or is not, of the model's part.
    #[must_use]
    pub fn about(self, unfamiliar: Option<bool>) -> Self {
        Self { unfamiliar, ..self }
    }

    /// Good, defective or unfamiliar.
    pub fn kind(&self) -> decision::Verdict {
        self.thresholds.verdict(self.score, self.unfamiliar)
    }

    /// Whether the image is called defective.
    pub fn is_defect(&self) -> bool {
        self.kind() == decision::Verdict::Defective
    }

    /// The kind in a word, for style sheets and badges.
    pub fn word(&self) -> &'static str {
        match self.kind() {
            decision::Verdict::Good => "good",
            decision::Verdict::Defective => "defect",
            decision::Verdict::Unfamiliar => "unfamiliar",
        }
    }

    /// Place on a scale from 0 (surely good) over 0.5 (the threshold) to 1 (surely defective).
    pub fn position(&self) -> f32 {
        self.thresholds.decision_score(self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(score: f32) -> Verdict {
        let calibration = Calibration {
            image_threshold: 0.2,
            good_scores: vec![0.01, 0.02, 0.03, 0.04],
            synthetic_scores: vec![0.9; 100],
            ..Calibration::default()
        };
        Verdict::new(score, Some(&calibration))
    }

    #[test]
    fn the_threshold_decides_and_is_the_middle_of_the_scale() {
        let at = verdict(0.2);
        assert!(at.is_defect() && at.position() == 0.5);
        let high = verdict(1.0);
        assert_eq!(
            (high.position(), high.certainty),
            (1.0, Some(Certainty::ClearlyDefective))
        );
        assert!((high.p_value.unwrap_or_default() - 0.2).abs() < 1e-6);
        let low = verdict(0.02);
        assert!(!low.is_defect() && low.certainty == Some(Certainty::ClearlyGood));
    }

    #[test]
    fn an_unfamiliar_image_is_neither_good_nor_defective() {
        for score in [0.0, 0.9] {
            let verdict = verdict(score).about(Some(true));
            assert_eq!((verdict.word(), verdict.is_defect()), ("unfamiliar", false));
        }
        assert_eq!(verdict(0.9).about(Some(false)).word(), "defect");
        assert_eq!(verdict(0.1).about(None).word(), "good");
    }

    #[test]
    fn without_calibration_one_half_decides() {
        let verdict = |score| Verdict::new(score, None);
        assert!(verdict(0.5).is_defect() && !verdict(0.49).is_defect() && verdict(0.5).certainty.is_none());
    }
}
