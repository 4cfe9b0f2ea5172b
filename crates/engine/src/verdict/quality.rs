//! What a trained model can be expected to do, in plain numbers.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, wilson};
use crate::config::AnomalyKind;
use crate::order;

/// The least share of synthetic defects that a model must find to be called ready, with 90 % confidence.
pub const READY: f32 = 0.8;
/// One-sided 90 % quantile of the normal distribution.
const Z: f64 = 1.281_552;
/// Good images that a training should have.
const ENOUGH_IMAGES: usize = 50;

/// How many of some things were found or stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Found or stopped.
    pub hits: usize,
    /// Looked at.
    pub all: usize,
}

impl Count {
    fn of(scores: impl Iterator<Item = f32>, threshold: f32) -> Self {
        scores.fold(Self::default(), |own, score| Self {
            hits: own.hits + usize::from(score >= threshold),
            all: own.all + 1,
        })
    }

    fn share(self) -> f32 {
        self.hits as f32 / self.all.max(1) as f32
    }
}

/// What a calibrated model does with the images of its calibration, at the threshold in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Synthetic defects that it finds.
    pub found: Count,
    /// The same by kind; empty for files of version 0.1.
    pub kinds: Vec<(AnomalyKind, Count)>,
    /// Held-out good images that it stops.
    pub stopped: Count,
    /// The share of defects like the synthetic ones that it finds at least, with 90 % confidence.
    pub least_found: f32,
    /// Whether that is enough to call it ready.
    pub ready: bool,
}

impl Calibration {
    /// What the model does with the images of its calibration.
    pub fn quality(&self) -> Quality {
        let threshold = self.image_threshold;
        let found = Count::of(self.synthetic_scores.iter().copied(), threshold);
        let kinds = AnomalyKind::ALL.into_iter().filter_map(|kind| {
            let own = self.synthetic_scores.iter().zip(&self.synthetic_kinds);
            let own = own.filter(|(_, own)| **own == kind).map(|(score, _)| *score);
            let count = Count::of(own, threshold);
            (count.all > 0).then_some((kind, count))
        });
        let (least_found, _) = wilson(found.hits, found.all, Z);
        Quality {
            found,
            kinds: kinds.collect(),
            stopped: Count::of(self.good_scores.iter().copied(), threshold),
            least_found,
            ready: least_found >= READY,
        }
    }
}

impl Quality {
    /// The numbers in a sentence.
    pub fn summary(&self) -> String {
        let Self { found, stopped, .. } = self;
        format!(
            "finds {} of {} painted defects and stops {} of {} held-out good photos",
            found.hits, found.all, stopped.hits, stopped.all
        )
    }

    /// What was found of each kind, in words; the weakest kind first.
    pub fn by_kind(&self) -> Vec<String> {
        let mut kinds = self.kinds.clone();
        order::sort_by(&mut kinds, |(_, a), (_, b)| a.share().total_cmp(&b.share()));
        let words = |(kind, count): &(AnomalyKind, Count)| {
            format!("{}: {} of {}", kind.label(), count.hits, count.all)
        };
        kinds.iter().map(words).collect()
    }

    /// What to do next, one sentence each; nothing for a model that is ready. `images` good images were given, and the
    /// training can be longer or not.
    pub fn advice(&self, images: usize, can_be_longer: bool) -> Vec<String> {
        let mut advice = Vec::new();
        if self.ready {
            return advice;
        }
        if images < ENOUGH_IMAGES {
            advice.push(format!(
                "Add {} more good photos: {ENOUGH_IMAGES} usually show what a good part may look like.",
                ENOUGH_IMAGES - images
            ));
        }
        if can_be_longer {
            advice.push("Train longer: the networks have not learned all they can.".into());
        }
        let weakest = self
            .kinds
            .iter()
            .min_by(|(_, a), (_, b)| a.share().total_cmp(&b.share()));
        if let Some((kind, count)) = weakest
            && count.share() < READY
        {
            advice.push(match kind {
                AnomalyKind::Scratch | AnomalyKind::Blur => format!(
                    "Choose a larger input, which shows thin and faint defects better: the weakest kind is {}.",
                    kind.label().to_lowercase()
                ),
                _ => format!(
                    "Take the photos with the same framing and light, so that good parts look alike: the weakest kind is {}.",
                    kind.label().to_lowercase()
                ),
            });
        }
        if advice.is_empty() {
            advice.push(
                "Take the photos with the same framing and light, so that good parts look alike.".into(),
            );
        }
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::calibration::tests::of;

    fn model(found: usize, all: usize) -> Calibration {
        let mut synthetic = vec![0.9; found];
        synthetic.resize(all, 0.01);
        let mut own = of(&[0.1, 0.12, 0.14, 0.16], &synthetic, 1.0);
        own.synthetic_kinds = (0..all).map(|place| AnomalyKind::ALL[place % 5]).collect();
        own
    }

    #[test]
    fn it_is_ready_when_four_fifths_are_sure() {
        // published bounds of Wilson's interval at z = 1.2816: 86 of 100 have 0.809, 84 of 100 have 0.787
        let quality = model(86, 100).quality();
        assert!(
            quality.ready && (quality.least_found - 0.809).abs() < 2e-3,
            "{quality:?}"
        );
        assert!(quality.advice(10, true).is_empty());
        let quality = model(84, 100).quality();
        assert!(
            !quality.ready && (quality.least_found - 0.787).abs() < 2e-3,
            "{quality:?}"
        );
        // few defects show little
        assert!(!model(5, 5).quality().ready && !model(0, 0).quality().ready);
    }

    #[test]
    fn counts_are_of_the_threshold_in_force() {
        let mut own = model(90, 100);
        assert_eq!(
            own.quality().summary(),
            "finds 90 of 100 painted defects and stops 0 of 4 held-out good photos"
        );
        own.set(0.13, crate::verdict::calibration::SetBy::Hand);
        assert_eq!(own.quality().stopped, Count { hits: 2, all: 4 });
        assert_eq!(
            own.quality()
                .kinds
                .iter()
                .map(|(_, count)| count.all)
                .sum::<usize>(),
            100
        );
    }

    #[test]
    fn advice_says_how_many_photos_are_missing() {
        let advice = model(40, 100).quality().advice(20, true);
        assert!(
            advice[0].contains("30 more") && advice.iter().any(|own| own.contains("longer")),
            "{advice:?}"
        );
        assert!(!model(40, 100).quality().advice(200, false).is_empty());
    }
}
