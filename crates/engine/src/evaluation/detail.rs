//! An evaluation with everything behind its figures: each image, each kind of defect, the curves, and
//! what could not be computed.

use serde::{Deserialize, Serialize};

use super::{CategoryReport, Metrics};
use crate::data::labelled::Class;
use crate::metrics::Curve;
use crate::order;
use crate::verdict::certainty::Certainty;
use crate::verdict::decision::Thresholds;
use crate::verdict::difference::Difference;

/// Points of an outline, in pixels of the square in which pixels are measured ([`Evaluation::side`]).
pub type Outline = Vec<(f32, f32)>;

/// A model on a labelled set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The figures.
    pub report: CategoryReport,
    /// The model's name.
    pub model: String,
    /// Its thresholds, if it is calibrated.
    pub thresholds: Option<Thresholds>,
    /// Side of the square in which pixels are measured.
    pub side: usize,
    /// Every image, in the order of the set.
    pub images: Vec<ImageResult>,
    /// Every kind of defect against all good images, by the map that decides.
    pub kinds: Vec<KindRow>,
    /// The curves of the map that decides.
    pub curves: Curves,
    /// Metrics that could not be computed, with reasons.
    pub missing: Vec<Missing>,
    /// What is odd about the set, one sentence each.
    pub notes: Vec<String>,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageResult {
    /// Its path in the set.
    pub name: String,
    /// What it is said to be.
    pub class: Class,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Image score of the map that decides; none where the image could not be used.
    pub score: Option<f32>,
    /// Image score of the map of distances.
    pub dest_score: Option<f32>,
    /// Distance from the good images, where the model has a record of them.
    #[serde(default)]
    pub distance: Option<f32>,
    /// How an image differs from the good ones whose distance is beyond the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Whether it shows something else than the model's part; none where that is not known.
    #[serde(default)]
    pub unfamiliar: Option<bool>,
    /// How sure the model's verdict about a defect is; none for a model without calibration and an unfamiliar image.
    #[serde(default)]
    pub certainty: Option<Certainty>,
    /// The share of good images that score as high; see
    /// [`Calibration::p_value`](crate::verdict::calibration::Calibration::p_value).
    #[serde(default)]
    pub p_value: Option<f32>,
    /// Milliseconds of resizing and the networks.
    pub milliseconds: f64,
    /// Its true defects, if it has a mask.
    pub instances: Option<Vec<Instance>>,
    /// Around its true defects.
    pub truth: Vec<Outline>,
    /// Around what the model found at its pixel threshold.
    pub found: Vec<Outline>,
    /// Why image or mask could not be used.
    pub problem: Option<String>,
}

/// A true defect: a connected region of the mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Pixels of the measure's square.
    pub area: usize,
    /// The highest threshold at which more than half of it is found.
    pub found_at: f32,
}

/// One kind of defect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindRow {
    /// Its name.
    pub kind: String,
    /// Images.
    pub images: usize,
    /// Figures of these and all good images.
    pub metrics: Metrics,
    /// Share of its images that are called defective at the calibrated threshold.
    pub detected: Option<f64>,
}

/// Curves, where they are defined.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// True over false positive rate of images.
    pub image_roc: Option<Curve>,
    /// Precision over recall of images.
    pub image_pr: Option<Curve>,
    /// True over false positive rate of pixels.
    pub pixel_roc: Option<Curve>,
    /// Precision over recall of pixels.
    pub pixel_pr: Option<Curve>,
    /// Per-region overlap over the false positive rate of pixels.
    pub overlap: Option<Curve>,
}

/// A metric that is not defined for the test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Its name, see [`super::Metric::name`].
    pub figure: String,
    /// The reason, for people.
    pub reason: String,
}

/// Images called good and defective, and how many of them are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Defective images that are called so.
    pub hits: usize,
    /// Defective images that are not.
    pub misses: usize,
    /// Good images that are called defective.
    pub alarms: usize,
    /// Good images that are not.
    pub passes: usize,
}

impl Confusion {
    /// Counts scores at or above the threshold.
    pub fn at(threshold: f32, results: impl Iterator<Item = (f32, bool)>) -> Self {
        let mut counts = Self::default();
        for (score, defective) in results {
            *match (defective, score >= threshold) {
                (true, true) => &mut counts.hits,
                (true, false) => &mut counts.misses,
                (false, true) => &mut counts.alarms,
                (false, false) => &mut counts.passes,
            } += 1;
        }
        counts
    }

    /// Share of the images called defective that are.
    pub fn precision(self) -> Option<f64> {
        share(self.hits, self.hits + self.alarms)
    }

    /// Share of the defective images that are called so.
    pub fn recall(self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }

    /// Share of the good images that are called defective.
    pub fn false_alarms(self) -> Option<f64> {
        share(self.alarms, self.alarms + self.passes)
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(self) -> Option<f64> {
        share(2 * self.hits, 2 * self.hits + self.misses + self.alarms)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl ImageResult {
    /// How wrong the decision at a threshold is: how far on the wrong side of it the score is, as a share
    /// of the scale there; below 0 where it is right, none without a class or a score.
    pub fn error(&self, threshold: f32, (lowest, highest): (f32, f32)) -> Option<f32> {
        let (score, defective) = (self.score?, self.class.is_defective()?);
        let off = if defective {
            threshold - score
        } else {
            score - threshold
        };
        let room = if score >= threshold {
            highest - threshold
        } else {
            threshold - lowest
        };
        Some(if room > 0.0 { off / room } else { off })
    }

    /// Whether the decision at a threshold is wrong.
    pub fn is_wrong(&self, threshold: f32) -> bool {
        match (self.score, self.class.is_defective()) {
            (Some(score), Some(defective)) => (score >= threshold) != defective,
            _ => false,
        }
    }

    /// How many of its true defects are found at a pixel threshold.
    pub fn found_instances(&self, threshold: f32) -> Option<(usize, usize)> {
        let instances = self.instances.as_ref()?;
        let found = instances.iter().filter(|instance| instance.found_at >= threshold);
        Some((found.count(), instances.len()))
    }
}

impl Evaluation {
    /// Leaves out how long images took, so that whoever measures the same has the same.
    pub fn forget_times(&mut self) {
        self.report.milliseconds_per_image = 0.0;
        for image in &mut self.images {
            image.milliseconds = 0.0;
        }
    }

    /// What could not be computed, and why, one sentence for each reason.
    pub fn gaps(&self) -> Vec<String> {
        let same = |a: &Missing, b: &Missing| a.reason == b.reason;
        let groups = self.missing.chunk_by(same).map(|group| {
            let figures: Vec<&str> = group.iter().map(|missing| &*missing.figure).collect();
            format!("{}: {}.", figures.join(", "), group[0].reason)
        });
        groups.collect()
    }

    /// Scores and labels of all images that have both.
    pub fn scores(&self) -> impl Iterator<Item = (f32, bool)> + Clone + '_ {
        let images = self.images.iter();
        images.filter_map(|image| Some((image.score?, image.class.is_defective()?)))
    }

    /// The lowest and the highest score.
    pub fn span(&self) -> (f32, f32) {
        let all = self.images.iter().filter_map(|image| image.score);
        let (low, high) = all.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), score| {
            (low.min(score), high.max(score))
        });
        if low <= high { (low, high) } else { (0.0, 1.0) }
    }

    /// Images called good and defective at a threshold.
    pub fn confusion(&self, threshold: f32) -> Confusion {
        Confusion::at(threshold, self.scores())
    }

    /// The share of images with a kind of defect that is called defective at a threshold; none without such images.
    pub fn detected(&self, kind: &str, threshold: f32) -> Option<f64> {
        let own = self.images.iter().filter(|image| match &image.class {
            Class::Defective(own) => own == kind,
            Class::Good | Class::Unlabelled => false,
        });
        let scores: Vec<f32> = own.filter_map(|image| image.score).collect();
        let hits = scores.iter().filter(|&&score| score >= threshold).count();
        (!scores.is_empty()).then(|| hits as f64 / scores.len() as f64)
    }

    /// The image threshold that decides: the model's, or where it has none the best one of this set.
    pub fn threshold(&self) -> f32 {
        if let Some(thresholds) = self.thresholds {
            return thresholds.image;
        }
        let (scores, labels): (Vec<f32>, Vec<bool>) = self.scores().unzip();
        match crate::metrics::best_f1_threshold(&scores, &labels) {
            Ok((threshold, _)) => threshold,
            Err(_) => self.span().1,
        }
    }

    /// The lowest threshold that stops at most this share of the good images of the set; none without good images.
    pub fn threshold_for_alarms(&self, share: f64) -> Option<f32> {
        let mut good: Vec<f32> = self
            .scores()
            .filter(|&(_, defective)| !defective)
            .map(|(score, _)| score)
            .collect();
        order::sort_by(&mut good, |a, b| b.total_cmp(a));
        let highest_passed = *good.get((share * good.len() as f64) as usize)?;
        Some(highest_passed.next_up())
    }

    /// The highest threshold that stops every defective image of the set; none without defective images.
    pub fn threshold_for_all_defects(&self) -> Option<f32> {
        let defective = self.scores().filter(|&(_, defective)| defective);
        defective.map(|(score, _)| score).min_by(f32::total_cmp)
    }

    /// The figures of the map that decides.
    pub fn metrics(&self) -> &Metrics {
        self.report.segmentation.as_ref().unwrap_or(&self.report.dest)
    }

    /// Places of all images, worst decisions at a threshold first; those without class or score last.
    pub fn by_error(&self, threshold: f32) -> Vec<usize> {
        let span = self.span();
        let mut indices: Vec<usize> = (0..self.images.len()).collect();
        let error = |index: &usize| {
            let error = self.images[*index].error(threshold, span);
            error.unwrap_or(f32::NEG_INFINITY)
        };
        order::sort_by(&mut indices, |a, b| error(b).total_cmp(&error(a)));
        indices
    }

    /// Places of all images, highest score first.
    pub fn by_score(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.images.len()).collect();
        let score = |index: &usize| self.images[*index].score.unwrap_or(f32::NEG_INFINITY);
        order::sort_by(&mut indices, |a, b| score(b).total_cmp(&score(a)));
        indices
    }
}

impl super::Decisions {
    /// How the threshold in force decides about images, as [`Thresholds::is_defective`] does.
    pub fn of(scores: &[f32], labels: &[bool], thresholds: Thresholds) -> Self {
        let called = scores.iter().map(|&score| {
            // counted by the rule itself, so that report and verdict never differ
            if thresholds.is_defective(score) { 1.0 } else { 0.0 }
        });
        let counts = Confusion::at(0.5, called.zip(labels.iter().copied()));
        Self {
            threshold: thresholds.image,
            threshold_set: None,
            f1: counts.recall().and(counts.f1()),
            false_alarms: counts.false_alarms(),
            misses: counts.recall().map(|recall| 1.0 - recall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(score: f32, class: Class) -> ImageResult {
        ImageResult {
            score: Some(score),
            class,
            ..ImageResult::default()
        }
    }

    fn evaluation() -> Evaluation {
        let defect = || Class::Defective("hole".into());
        let mut broken = image(0.0, Class::Good);
        broken.score = None;
        Evaluation {
            report: CategoryReport::default(),
            model: "m".into(),
            thresholds: None,
            side: 8,
            images: vec![
                image(0.1, Class::Good),
                image(0.8, Class::Good),
                image(0.3, defect()),
                image(0.9, defect()),
                image(0.95, Class::Unlabelled),
                broken,
            ],
            kinds: Vec::new(),
            curves: Curves::default(),
            missing: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_moved_threshold_moves_the_counts() {
        let own = evaluation();
        let counts = own.confusion(0.5);
        assert_eq!(
            (counts.hits, counts.misses, counts.alarms, counts.passes),
            (1, 1, 1, 1)
        );
        assert_eq!(counts.precision(), Some(0.5));
        let strict = own.confusion(0.85);
        assert_eq!((strict.alarms, strict.hits), (0, 1));
        assert_eq!((strict.precision(), strict.recall()), (Some(1.0), Some(0.5)));
        assert_eq!(own.confusion(2.0).precision(), None);
    }

    #[test]
    fn the_worst_come_first() {
        let own = evaluation();
        let order = own.by_error(0.5);
        // the false alarm is farther off than the miss; right ones follow, then what has no class
        assert_eq!(order[..2], [1, 2]);
        assert_eq!(order[4..], [4, 5]);
        assert!(own.images[1].is_wrong(0.5) && !own.images[3].is_wrong(0.5));
        assert_eq!(own.by_score()[..3], [4, 3, 1]);
    }
}
