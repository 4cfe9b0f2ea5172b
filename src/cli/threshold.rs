//! Flags that put another image threshold in force.

use anyhow::{Result, bail};

use destseg_engine::error::percent;
use destseg_engine::inspect::Detector;
use destseg_engine::verdict::calibration::{Calibration, PROMISE_RANGE, SetBy};

/// `--threshold` and `--promise`.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct ThresholdArgs {
    /// Call images with this score or a higher one defective, instead of the model's own threshold.
    #[arg(long, value_name = "SCORE", value_parser = score)]
    threshold: Option<f32>,
    /// Stop at most this percentage of the good parts, such as 1, 5 or 10: a low one misses more defects.
    #[arg(long, value_name = "PERCENT", value_parser = promise, conflicts_with = "threshold")]
    promise: Option<f32>,
}

impl ThresholdArgs {
    /// Whether none was given.
    pub(super) fn is_empty(self) -> bool {
        self.threshold.is_none() && self.promise.is_none()
    }

    /// Refuses a threshold that no score can reach: `probabilities` says that scores end at 1.
    pub(super) fn check(self, probabilities: bool) -> Result<()> {
        match self.threshold {
            Some(threshold) if probabilities && threshold > 1.0 => {
                bail!(
                    "the scores of this model are probabilities, from 0 to 1, so a threshold of {threshold} is impossible"
                )
            }
            _ => Ok(()),
        }
    }

    /// Puts the threshold in force that was asked for, if one was, and says what a promise rests on.
    pub(super) fn apply(self, calibration: Option<Calibration>) -> Result<Option<Calibration>> {
        let Self { threshold, promise } = self;
        match (threshold, promise, calibration) {
            (None, None, calibration) => Ok(calibration),
            (Some(threshold), _, calibration) => {
                let mut own = calibration.unwrap_or_default();
                own.set(threshold, SetBy::Hand);
                Ok(Some(own))
            }
            (None, Some(_), None) => bail!(
                "the model has no scores of good images, so it can promise nothing: calibrate it on good images first \
                 (`destseg calibrate --data`), or give --threshold"
            ),
            (None, Some(share), Some(mut own)) => {
                own.promise(share);
                if let Some(note) = own.guarantee(share) {
                    eprintln!("note: {note}");
                }
                Ok(Some(own))
            }
        }
    }

    /// The same for a model that is open.
    pub(super) fn apply_to(self, detector: &mut Detector) -> Result<()> {
        self.check(detector.gives_probabilities())?;
        let calibration = self.apply(detector.calibration().cloned())?;
        detector.set_calibration(calibration);
        Ok(())
    }
}

/// Who set a threshold, in words.
pub(super) fn setter(by: SetBy) -> String {
    match by {
        SetBy::Training => "set by training or calibration".into(),
        SetBy::Promise(share) => format!("set to stop at most {} % of good parts", percent(share)),
        SetBy::Hand => "set by hand".into(),
        SetBy::Evaluation => "set from an evaluation".into(),
        SetBy::Corrections => "set by corrections".into(),
    }
}

fn score(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("give a score of 0 or more".into()),
    }
}

/// A share from a percentage.
fn promise(text: &str) -> Result<f32, String> {
    let (least, most) = (100.0 * PROMISE_RANGE.0, 100.0 * PROMISE_RANGE.1);
    match text.trim_end_matches('%').trim_end().parse::<f32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value / 100.0),
        _ => Err(format!("give a percentage from {least} to {most}, such as 5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_percentages() {
        assert_eq!(promise("5"), Ok(0.05));
        assert_eq!(promise("1 %"), Ok(0.01));
        for text in ["0", "0.05", "60", "-1", "a", "nan", ""] {
            let message = promise(text).expect_err(text);
            assert!(message.contains("from 0.1 to 50"), "{message}");
        }
        assert!(score("-0.1").is_err() && score("inf").is_err() && score("0.4") == Ok(0.4));
    }

    #[test]
    fn a_probability_ends_at_one_and_a_distance_nowhere() {
        let own = |threshold| ThresholdArgs {
            threshold: Some(threshold),
            promise: None,
        };
        let said = own(9.0).check(true).expect_err("is impossible").to_string();
        assert!(
            said.contains("from 0 to 1") && said.contains("threshold of 9"),
            "{said}"
        );
        assert!(own(1.0).check(true).is_ok() && own(9.0).check(false).is_ok());
    }

    #[test]
    fn without_scores_only_a_number_can_be_set() {
        let by_number = ThresholdArgs {
            threshold: Some(0.3),
            promise: None,
        };
        let own = by_number.apply(None).expect("is set").expect("is there");
        assert_eq!((own.image_threshold, own.set_by), (0.3, SetBy::Hand));
        let by_promise = ThresholdArgs {
            threshold: None,
            promise: Some(0.05),
        };
        let message = by_promise.apply(None).expect_err("has nothing").to_string();
        assert!(message.contains("calibrate"), "{message}");
    }
}
