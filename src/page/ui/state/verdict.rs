//! What an image score means.

use destseg_engine::verdict::decision::{self, Thresholds};

/// Margins below this are borderline.
const CLOSE: f32 = 0.15;
/// Margins from here on are clear.
const FAR: f32 = 0.5;

/// How far a score is from the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It could have gone the other way.
    Borderline,
    /// Some distance.
    Likely,
    /// No doubt in the model's eyes.
    Clear,
}

/// A score and what decides about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The image score.
    pub score: f32,
    /// Where good ends.
    pub thresholds: Thresholds,
    /// Whether the thresholds come from the model's calibration.
    pub calibrated: bool,
    /// How early a defect is called, `0..=1`.
    pub sensitivity: f32,
    /// Whether the image shows something else than the model's part; none where the model cannot tell.
    pub unfamiliar: Option<bool>,
}

impl Verdict {
    /// Judges a score by the model's thresholds, or by one half if it has none.
    pub fn new(score: f32, thresholds: Option<Thresholds>, sensitivity: f32) -> Self {
        Self {
            score,
            thresholds: thresholds.unwrap_or_default(),
            calibrated: thresholds.is_some(),
            sensitivity,
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
        if self.unfamiliar == Some(true) {
            decision::Verdict::Unfamiliar
        } else if self.thresholds.is_defective(self.score, self.sensitivity) {
            decision::Verdict::Defective
        } else {
            decision::Verdict::Good
        }
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

    /// Place on a scale from 0 (surely good) over 0.5 (the calibrated threshold) to 1 (surely
    /// defective).
    pub fn position(&self) -> f32 {
        self.thresholds.decision_score(self.score)
    }

    /// Place of the decision on the same scale.
    pub fn boundary(&self) -> f32 {
        1.0 - self.sensitivity
    }

    /// Distance to the decision as a share of what is possible on that side, `0..=1`.
    pub fn margin(&self) -> f32 {
        let boundary = self.boundary();
        let most = if self.is_defect() {
            1.0 - boundary
        } else {
            boundary
        };
        if most > 0.0 {
            ((self.position() - boundary).abs() / most).min(1.0)
        } else {
            1.0
        }
    }

    /// The margin in a word.
    pub fn certainty(&self) -> Certainty {
        match self.margin() {
            margin if margin < CLOSE => Certainty::Borderline,
            margin if margin < FAR => Certainty::Likely,
            _ => Certainty::Clear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destseg_engine::verdict::decision::SENSITIVITY;

    fn verdict(score: f32, sensitivity: f32) -> Verdict {
        let thresholds = Thresholds {
            image: 0.2,
            ..Thresholds::default()
        };
        Verdict::new(score, Some(thresholds), sensitivity)
    }

    #[test]
    fn the_threshold_decides_and_is_the_middle_of_the_scale() {
        let at = verdict(0.2, SENSITIVITY);
        assert!(at.is_defect() && at.calibrated);
        assert_eq!(
            (at.margin(), at.position(), at.certainty()),
            (0.0, 0.5, Certainty::Borderline)
        );
        let high = verdict(1.0, SENSITIVITY);
        assert_eq!(
            (high.margin(), high.position(), high.certainty()),
            (1.0, 1.0, Certainty::Clear)
        );
        let low = verdict(0.15, SENSITIVITY);
        assert!(!low.is_defect());
        assert!((low.margin() - 0.25).abs() < 1e-6 && low.certainty() == Certainty::Likely);
    }

    #[test]
    fn sensitivity_moves_the_decision() {
        assert!(!verdict(0.15, SENSITIVITY).is_defect() && verdict(0.15, 0.7).is_defect());
        assert!(verdict(0.3, SENSITIVITY).is_defect() && !verdict(0.3, 0.3).is_defect());
        assert!(verdict(0.0, 1.0).is_defect() && verdict(0.0, 1.0).margin() < 1e-6);
        assert!(!verdict(0.9, 0.0).is_defect());
    }

    #[test]
    fn an_unfamiliar_image_is_neither_good_nor_defective() {
        for score in [0.0, 0.9] {
            let verdict = verdict(score, SENSITIVITY).about(Some(true));
            assert_eq!((verdict.word(), verdict.is_defect()), ("unfamiliar", false));
        }
        assert_eq!(verdict(0.9, SENSITIVITY).about(Some(false)).word(), "defect");
        assert_eq!(verdict(0.1, SENSITIVITY).about(None).word(), "good");
    }

    #[test]
    fn without_calibration_one_half_decides() {
        let verdict = |score| Verdict::new(score, None, SENSITIVITY);
        assert!(verdict(0.5).is_defect() && !verdict(0.49).is_defect() && !verdict(0.5).calibrated);
    }
}
