//! What an image score means.

/// The image threshold of a model without calibration.
const IMAGE_THRESHOLD: f32 = 0.5;
/// Margins below this are borderline.
const CLOSE: f32 = 0.15;
/// Margins from here on are clear.
const FAR: f32 = 0.5;

/// How far a score is from the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It could have gone the other way.
    Borderline,
    /// Some distance.
    Likely,
    /// No doubt in the model's eyes.
    Clear,
}

/// A score and the threshold that decides about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The image score, in `0..=1`.
    pub score: f32,
    /// Scores from here on are defects.
    pub threshold: f32,
    /// Whether the threshold comes from the model's calibration.
    pub calibrated: bool,
}

impl Verdict {
    /// Judges a score by the model's image threshold, or by one half if it has none.
    pub fn new(score: f32, threshold: Option<f32>) -> Self {
        Self {
            score,
            threshold: threshold.unwrap_or(IMAGE_THRESHOLD),
            calibrated: threshold.is_some(),
        }
    }

    /// Whether the image is called defective.
    pub fn is_defect(&self) -> bool {
        self.score >= self.threshold
    }

    /// Distance to the threshold as a share of what is possible on that side, `0..=1`.
    pub fn margin(&self) -> f32 {
        let (distance, most) = if self.is_defect() {
            (self.score - self.threshold, 1.0 - self.threshold)
        } else {
            (self.threshold - self.score, self.threshold)
        };
        if most > 0.0 {
            (distance / most).clamp(0.0, 1.0)
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

    /// Place on a scale from 0 (surely good) over 0.5 (the threshold) to 1 (surely defective).
    pub fn position(&self) -> f32 {
        let half = self.margin() / 2.0;
        if self.is_defect() { 0.5 + half } else { 0.5 - half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_decides_and_is_the_middle_of_the_scale() {
        let at = Verdict::new(0.2, Some(0.2));
        assert!(at.is_defect() && at.calibrated);
        assert_eq!(
            (at.margin(), at.position(), at.certainty()),
            (0.0, 0.5, Certainty::Borderline)
        );
        let high = Verdict::new(1.0, Some(0.2));
        assert_eq!(
            (high.margin(), high.position(), high.certainty()),
            (1.0, 1.0, Certainty::Clear)
        );
        let low = Verdict::new(0.15, Some(0.2));
        assert!(!low.is_defect());
        assert!((low.margin() - 0.25).abs() < 1e-6 && low.certainty() == Certainty::Likely);
    }

    #[test]
    fn without_calibration_one_half_decides() {
        assert!(Verdict::new(0.5, None).is_defect() && !Verdict::new(0.49, None).is_defect());
        assert!(!Verdict::new(0.5, None).calibrated);
    }

    #[test]
    fn extreme_thresholds_divide_by_nothing() {
        assert_eq!(Verdict::new(1.0, Some(1.0)).margin(), 1.0);
        assert_eq!(Verdict::new(0.0, Some(0.0)).position(), 0.5);
    }
}
