//! How sure a verdict is, from the score's place among the scores of good and of synthetic images.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, Z95, wilson};

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Good parts score like this, and next to no synthetic defect does.
    ClearlyGood,
    /// More like a good part than like a defect.
    ProbablyGood,
    /// Near the threshold, or where good parts and defects score alike.
    CloseCall,
    /// Hardly a good part scores like this.
    ProbablyDefective,
    /// No good part is expected to score like this.
    ClearlyDefective,
}

impl Certainty {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::ClearlyGood => "clearly good",
            Self::ProbablyGood => "probably good",
            Self::CloseCall => "close call",
            Self::ProbablyDefective => "probably defective",
            Self::ClearlyDefective => "clearly defective",
        }
    }

    /// Whether it is one of the two that are sure.
    pub fn is_clear(self) -> bool {
        matches!(self, Self::ClearlyGood | Self::ClearlyDefective)
    }
}

// Chosen on the verdicts of trainings with 20 images; docs/notebook/thresholds.md, "How sure a verdict is".

/// Shares of good images expected above a score that is clearly, or probably, a defect's.
const GOOD_ABOVE: (f32, f32) = (0.005, 0.02);
/// Shares of synthetic defects that may lie below a score that is clearly, or probably, a good part's: upper ends of their 95 %
/// confidence intervals, so that few defects show little.
const DEFECTS_BELOW: (f32, f32) = (0.175, 0.29);
/// A score that this share of good images is expected to exceed is still clearly a good part's.
const COMMON: f32 = 0.3;
/// A model that finds no larger share of its synthetic defects than this calls nothing clearly good.
const LEAST_FOUND: f32 = 0.6;

impl Calibration {
    /// How sure the verdict on an image with this score is.
    pub fn certainty(&self, score: f32) -> Certainty {
        let Some(above) = self.expected_above(score) else {
            return Certainty::CloseCall;
        };
        if score >= self.image_threshold {
            return match above {
                above if above <= GOOD_ABOVE.0 => Certainty::ClearlyDefective,
                above if above <= GOOD_ABOVE.1 => Certainty::ProbablyDefective,
                _ => Certainty::CloseCall,
            };
        }
        let painted = self.synthetic_scores.len();
        let at_most = |limit: f32| self.synthetic_scores.iter().filter(|&&own| own <= limit).count();
        let (_, below) = wilson(at_most(score), painted, Z95);
        let missed = at_most(self.image_threshold.next_down());
        let found = 1.0 - missed as f32 / painted.max(1) as f32;
        match below {
            below if below <= DEFECTS_BELOW.0 && above >= COMMON && found >= LEAST_FOUND => {
                Certainty::ClearlyGood
            }
            below if below <= DEFECTS_BELOW.1 => Certainty::ProbablyGood,
            _ => Certainty::CloseCall,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::calibration::tests::of;
    use proptest::prelude::*;

    fn spread(count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count)
            .map(|place| low + (high - low) * place as f32 / count as f32)
            .collect()
    }

    #[test]
    fn groups_that_lie_apart_give_clear_verdicts() {
        let own = of(&spread(40, 0.02, 0.1), &spread(100, 0.6, 1.0), 1.0);
        assert_eq!(own.certainty(0.04), Certainty::ClearlyGood);
        assert_eq!(own.certainty(0.9), Certainty::ClearlyDefective);
        let at = own.image_threshold;
        assert!(!own.certainty(at).is_clear() && !own.certainty(at.next_down()).is_clear());
    }

    #[test]
    fn groups_that_overlap_or_are_few_give_none_on_the_good_side() {
        // every sixth of the defects scores as good parts do
        let own = of(&spread(40, 0.02, 0.1), &spread(100, 0.0, 0.35), 1.0);
        assert_eq!(own.certainty(0.06), Certainty::ProbablyGood);
        // all score higher, but hardly one above the threshold
        let own = of(&spread(40, 0.02, 0.1), &spread(100, 0.08, 0.12), 1.0);
        assert_eq!(own.certainty(0.06), Certainty::ProbablyGood);
        let own = of(&spread(40, 0.02, 0.1), &spread(7, 0.6, 1.0), 1.0);
        assert!(
            !own.certainty(0.04).is_clear(),
            "none of seven may still be one in three"
        );
        // nothing is known
        assert_eq!(of(&[], &[], 1.0).certainty(0.9), Certainty::CloseCall);
    }

    proptest! {
        #[test]
        fn a_higher_score_is_never_more_like_a_good_part(
            good in proptest::collection::vec(0.001_f32..0.6, 4..40),
            synthetic in proptest::collection::vec(0.001_f32..0.999, 1..120), scores in (0.0_f32..1.0, 0.0_f32..1.0)
        ) {
            let own = of(&good, &synthetic, 1.0);
            let (low, high) = (scores.0.min(scores.1), scores.0.max(scores.1));
            prop_assert!(own.certainty(low) <= own.certainty(high));
        }
    }
}
