//! Verdicts that people have corrected, and the threshold that follows from them.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, SetBy};
use super::difference::Difference;
use super::expected::Scale;
use super::memory::{Memory, Remembered};

/// As many images of a calibration as weigh what a moved threshold does to good parts and synthetic defects: a correction
/// weighs one.
const WEIGHT: f32 = 100.0;
/// A familiar image may be this much further from the good images than a corrected one.
const FURTHER: f32 = 1.02;

/// What someone said about an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// The image's name.
    pub name: String,
    /// The [`fingerprint`] of the image's file; a second correction of the same image takes the first one's place. Files
    /// of older versions do not say it: there the name does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Whether it has a defect.
    pub defective: bool,
    /// Its image score, without any memory of corrected images.
    pub score: f32,
    /// Its distance from the good images, where the model has a record of them: it shows the model's part.
    #[serde(default)]
    pub distance: Option<f32>,
    /// How it differed from them, where that is beyond the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Its decisive places, which the model remembers; none where it cannot, or where nobody said which they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Remembered>,
    /// The score that it got with all corrections in force, once it was inspected again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_after: Option<f32>,
}

/// What tells an image's file from others: a hash of its bytes (FNV-1a, 64 bits).
pub fn fingerprint(bytes: &[u8]) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = bytes
        .iter()
        .fold(BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

impl Correction {
    /// Whether it is about this image.
    pub fn is_of(&self, name: &str, fingerprint: Option<&str>) -> bool {
        match (self.fingerprint.as_deref(), fingerprint) {
            (Some(own), Some(other)) => own == other,
            _ => self.name == name,
        }
    }

    /// Whether its image is judged otherwise than someone said it should be.
    fn is_wrong(&self, memory: &Memory, threshold: f32) -> bool {
        let score = self.score_after.unwrap_or_else(|| self.score_with(memory));
        self.is_wrong_at(score, threshold)
    }

    /// Whether what is said about it widens what the model knows: not where the image of a good part is taken for a defective
    /// one afterwards, because then it shows something else.
    fn widens(&self, memory: &Memory, threshold: f32) -> bool {
        self.defective || !self.is_wrong(memory, threshold)
    }

    /// Whether an image of this score is judged wrongly.
    fn is_wrong_at(&self, score: f32, threshold: f32) -> bool {
        (score >= threshold) != self.defective
    }

    /// The score that a memory gives it: its logit follows the highest of its places.
    fn score_with(&self, memory: &Memory) -> f32 {
        if memory.is_empty() || self.places.is_empty() {
            return self.score;
        }
        let highest = |logits: &mut dyn Iterator<Item = f32>| logits.fold(f32::NEG_INFINITY, f32::max);
        let before = highest(&mut self.places.iter().map(|own| own.logit));
        let after = highest(
            &mut self
                .places
                .iter()
                .map(|own| own.logit + memory.shift(&own.cell())),
        );
        Scale::Probability.score(Scale::Probability.normal(self.score) + after - before)
    }
}

impl Calibration {
    /// Takes in what someone said about images, and moves the threshold accordingly.
    pub fn correct(&mut self, corrections: impl IntoIterator<Item = Correction>) {
        for correction in corrections {
            let fingerprint = correction.fingerprint.as_deref();
            self.corrections
                .retain(|own| !own.is_of(&correction.name, fingerprint));
            self.corrections.push(correction);
        }
        self.follow_corrections();
    }

    /// What was said about an image.
    pub fn correction(&self, name: &str, fingerprint: Option<&str>) -> Option<&Correction> {
        self.corrections.iter().find(|own| own.is_of(name, fingerprint))
    }

    /// Takes note of the score that a corrected image has now; whether that changes what the model knows.
    pub fn settle(&mut self, name: &str, fingerprint: Option<&str>, score: f32) -> bool {
        let (memory, threshold) = (self.memory(), self.image_threshold);
        let mut own = self.corrections.iter_mut();
        let Some(own) = own.find(|own| own.is_of(name, fingerprint)) else {
            return false;
        };
        let before = own.widens(&memory, threshold);
        own.score_after = Some(score);
        own.distance.is_some() && own.widens(&memory, threshold) != before
    }

    /// Takes back what was said about an image; whether anything was.
    pub fn take_back(&mut self, name: &str, fingerprint: Option<&str>) -> bool {
        let before = self.corrections.len();
        self.corrections.retain(|own| !own.is_of(name, fingerprint));
        self.follow_corrections();
        self.corrections.len() < before
    }

    /// The same of the image with this name, whatever its content.
    pub fn take_back_named(&mut self, name: &str) -> bool {
        let own = self.corrections.iter().find(|own| own.name == name);
        let fingerprint = own.and_then(|own| own.fingerprint.clone());
        self.take_back(name, fingerprint.as_deref())
    }

    /// The promise in force, or the one that was before corrections moved the threshold.
    pub fn promised(&self) -> Option<f32> {
        let by = match (self.set_by, self.uncorrected) {
            (SetBy::Corrections, Some((_, by))) => by,
            (by, _) => by,
        };
        match by {
            SetBy::Promise(share) => Some(share),
            SetBy::Training | SetBy::Hand | SetBy::Evaluation | SetBy::Corrections => None,
        }
    }

    /// Takes back everything that was said.
    pub fn take_all_back(&mut self) {
        self.corrections.clear();
        self.follow_corrections();
    }

    /// Forgets how corrected images look, for a model to whom they look otherwise now.
    pub fn forget_places(&mut self) {
        self.corrections.iter_mut().for_each(|own| own.places.clear());
    }

    /// Whether the model remembers how corrected images look.
    pub fn remembers(&self) -> bool {
        self.corrections.iter().any(|own| !own.places.is_empty())
    }

    /// What the corrected images left behind.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.corrections.iter())
    }

    /// The distance up to which an image that differs in this way is familiar, because one that differs in the same way, and is
    /// as far from the good images, was said to show the part; negative infinity where there is none.
    pub fn knows_up_to(&self, difference: Option<Difference>) -> f32 {
        if self.corrections.is_empty() {
            return f32::NEG_INFINITY;
        }
        let memory = self.memory();
        let widens =
            |own: &&Correction| own.difference == difference && own.widens(&memory, self.image_threshold);
        let alike = self.corrections.iter().filter(widens);
        let distances = alike.filter_map(|own| own.distance);
        distances.fold(f32::NEG_INFINITY, f32::max) * FURTHER
    }

    /// Corrected images that are judged otherwise all the same.
    pub fn not_followed(&self) -> Vec<&Correction> {
        let memory = self.memory();
        let is_wrong = |own: &&Correction| own.is_wrong(&memory, self.image_threshold);
        self.corrections.iter().filter(is_wrong).collect()
    }

    /// How many corrections are not followed and why, in a sentence; none if all are.
    pub fn contradiction(&self) -> Option<String> {
        let wrong = self.not_followed();
        let all = self.corrections.len();
        let unmarked = |own: &&Correction| own.defective && own.places.is_empty();
        (!wrong.is_empty()).then(|| {
            format!(
                "{} of {all} corrections {} not followed: that would stop more good parts or miss more defects than it \
                 helps{}",
                wrong.len(),
                if wrong.len() == 1 { "is" } else { "are" },
                if wrong.iter().any(unmarked) {
                    ". Mark where the defect is, so that the model remembers how it looks"
                } else {
                    ""
                }
            )
        })
    }

    /// The threshold with the fewest wrong corrections, where what it does to other good parts and defects counts, too. It
    /// follows images alone of which the model remembers nothing.
    fn follow_corrections(&mut self) {
        // of the images as they were judged before
        self.corrections.iter_mut().for_each(|own| own.score_after = None);
        let followed: Vec<&Correction> = self
            .corrections
            .iter()
            .filter(|own| own.places.is_empty())
            .collect();
        if followed.is_empty() {
            return self.as_uncorrected();
        }
        let in_force = (self.image_threshold, self.set_by);
        // files of older versions say only what training found
        let trained = self.trained_threshold.map(|own| (own, SetBy::Training));
        let before = match self.set_by {
            SetBy::Corrections => self.uncorrected.or(trained).unwrap_or(in_force),
            _ => in_force,
        };
        self.uncorrected = Some(before);
        let (base, _) = before;
        let alarms = |threshold| self.expected_above(threshold).unwrap_or_default();
        let found = |threshold| {
            let scores = &self.synthetic_scores;
            let hits = scores.iter().filter(|&&score| score >= threshold).count();
            hits as f32 / scores.len().max(1) as f32
        };
        let (alarms_before, found_before) = (alarms(base), found(base));
        let cost = |threshold: f32| {
            let wrong = followed
                .iter()
                .filter(|own| own.is_wrong_at(own.score, threshold))
                .count();
            let worse =
                (alarms(threshold) - alarms_before).max(0.0) + (found_before - found(threshold)).max(0.0);
            // the nearest of those that cost the same
            (wrong as f32 + WEIGHT * worse, (threshold - base).abs())
        };
        let candidates = followed.iter().map(|own| match own.defective {
            true => own.score,
            false => own.score.next_up(),
        });
        let best = candidates.chain([base]).min_by(|&a, &b| {
            let ((a, far_a), (b, far_b)) = (cost(a), cost(b));
            a.total_cmp(&b).then(far_a.total_cmp(&far_b))
        });
        match best {
            Some(best) if best != base => self.set(best, SetBy::Corrections),
            _ => self.as_uncorrected(),
        }
    }

    /// Puts the threshold in force that was there before the corrections, if they have moved it.
    fn as_uncorrected(&mut self) {
        let before = self.uncorrected.take();
        if self.set_by != SetBy::Corrections {
            return;
        }
        self.restore();
        if let Some((threshold, by)) = before.filter(|(_, by)| *by != SetBy::Training) {
            self.set(threshold, by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::calibration::tests::of;
    use proptest::prelude::*;

    fn model() -> Calibration {
        let good: Vec<f32> = (0..40).map(|place| 0.02 + 0.002 * place as f32).collect();
        let synthetic: Vec<f32> = (0..100).map(|place| 0.3 + 0.007 * place as f32).collect();
        of(&good, &synthetic, 1.0)
    }

    fn correction(name: &str, score: f32, defective: bool) -> Correction {
        Correction {
            name: name.into(),
            defective,
            score,
            distance: Some(1.5),
            difference: Some(Difference::Part),
            places: Vec::new(),
            fingerprint: None,
            score_after: None,
        }
    }

    #[test]
    fn a_false_alarm_raises_the_threshold_and_taking_it_back_restores_it() {
        let mut own = model();
        let before = own.clone();
        own.correct([correction("a", 0.295, false)]);
        assert!(own.image_threshold > 0.295 && own.set_by == SetBy::Corrections);
        assert_eq!(own.contradiction(), None);
        let part = Some(Difference::Part);
        assert!(
            own.knows_up_to(part) >= 1.5 && own.knows_up_to(part) < 1.6 && before.knows_up_to(part) < 0.1
        );
        // that a dark photo shows the part says nothing about other parts
        assert!(own.knows_up_to(Some(Difference::Darker)) < 1.5);
        assert!(own.take_back("a", None) && !own.take_back("a", None));
        assert_eq!(own, before);
    }

    #[test]
    fn false_alarms_at_like_places_are_remembered_and_can_be_taken_back() {
        let mut own = model();
        let before = own.clone();
        let place = |value: f32| vec![Remembered::new(0.0, &[value; 30])];
        let remembered = |name: &str, value: f32| Correction {
            places: place(value),
            ..correction(name, 0.5, false)
        };
        own.correct([remembered("a", 1.0), remembered("b", 1.1)]);
        // places like those are lowered, so the threshold need not move
        assert_eq!(own.image_threshold, before.image_threshold);
        assert_eq!(own.contradiction(), None);
        let memory = own.memory();
        assert!(own.corrections.iter().all(|own| own.score_with(&memory) < 0.1));
        // a miss that nobody marked is left to the threshold
        own.correct([correction("far", 0.05, true)]);
        assert!(own.contradiction().is_some_and(|text| text.starts_with("1 of 3")));
        assert!(own.take_back("far", None));
        assert!(own.remembers() && !own.memory().is_empty());
        let mut forgetful = own.clone();
        forgetful.forget_places();
        assert!(!forgetful.remembers() && forgetful.corrections.len() == 2);
        own.take_all_back();
        assert_eq!(own, before);
    }

    #[test]
    fn the_same_image_under_another_name_is_the_same_image() {
        let print = |bytes: &[u8]| Some(fingerprint(bytes));
        assert_eq!(print(b"").as_deref(), Some("cbf29ce484222325"));
        assert_eq!(print(b"a").as_deref(), Some("af63dc4c8601ec8c"));
        let of = |name: &str, bytes: &[u8], defective| Correction {
            fingerprint: print(bytes),
            ..correction(name, 0.2, defective)
        };
        let mut own = model();
        own.correct([of("good/0.png", b"1", false), of("other/0.png", b"2", false)]);
        own.correct([of("copy.png", b"1", true)]);
        assert_eq!(own.corrections.len(), 2);
        assert!(
            own.correction("x", print(b"1").as_deref())
                .is_some_and(|own| own.defective)
        );
        // another file of a corrected image's name
        assert_eq!(own.correction("other/0.png", print(b"3").as_deref()), None);
        assert!(own.take_back("x", print(b"2").as_deref()));
        // corrections of before have names alone
        own.correct([correction("old.png", 0.2, false)]);
        assert!(own.correction("old.png", print(b"1").as_deref()).is_some());
    }

    #[test]
    fn a_part_that_is_called_defective_afterwards_stays_unfamiliar() {
        let mut own = model();
        let part = Some(Difference::Part);
        let remembered = Correction {
            places: vec![Remembered::new(0.0, &[1.0; 30])],
            ..correction("a", 0.5, false)
        };
        own.correct([remembered]);
        assert!(own.knows_up_to(part) >= 1.5);
        assert!(!own.settle("other", None, 0.9) && !own.settle("a", None, 0.01));
        assert!(own.settle("a", None, 0.9) && own.knows_up_to(part) < 1.5);
        assert!(!own.settle("a", None, 0.9), "nothing changes any more");
        let said = own.contradiction().expect("it is not followed");
        assert!(said.starts_with("1 of 1 corrections is not followed"), "{said}");
        // without being seen again it is judged by the memory
        own.correct([correction("b", 0.04, false)]);
        assert!(own.knows_up_to(part) >= 1.5, "its place is remembered");
        let unlike = Correction {
            places: Vec::new(),
            difference: Some(Difference::Darker),
            ..correction("c", 0.99, false)
        };
        own.image_threshold = 0.5;
        own.corrections.push(unlike);
        assert!(
            own.knows_up_to(Some(Difference::Darker)) < 1.5,
            "it is called defective"
        );
    }

    #[test]
    fn taking_corrections_back_leaves_a_threshold_that_was_set_before() {
        let mut own = model();
        let sets: [fn(&mut Calibration); 2] = [|own| own.set(0.2, SetBy::Hand), |own| own.promise(0.1)];
        for set in sets {
            set(&mut own);
            let before = own.clone();
            own.correct([correction("a", 0.295, false), correction("b", 0.29, false)]);
            assert!(own.image_threshold > 0.29 && own.set_by == SetBy::Corrections);
            own.take_back("b", None);
            own.take_back("a", None);
            assert_eq!(own, before);
        }
    }

    #[test]
    fn a_miss_lowers_it_but_not_among_the_good_parts() {
        let mut own = model();
        let before = own.image_threshold;
        let near = before * 0.98;
        own.correct([correction("near", near, true)]);
        assert_eq!(own.image_threshold, near);
        // a defect that scores as good parts do cannot be had by the threshold
        let mut own = model();
        own.correct([correction("far", 0.05, true)]);
        assert_eq!(own.image_threshold, before);
        assert!(own.contradiction().is_some_and(|text| text.starts_with("1 of 1")));
    }

    #[test]
    fn corrections_that_contradict_each_other_are_said() {
        let mut own = model();
        own.correct([correction("good", 0.5, false)]);
        own.correct([correction("defective", 0.4, true)]);
        assert!(own.contradiction().is_some());
        // the later word on the same image counts
        own.correct([correction("good", 0.5, true)]);
        assert_eq!((own.corrections.len(), own.contradiction()), (2, None));
    }

    proptest! {
        #[test]
        fn corrections_never_make_themselves_worse(
            marks in proptest::collection::vec((0.0_f32..1.0, any::<bool>()), 1..12)
        ) {
            let mut own = model();
            let wrong = |threshold: f32, own: &Calibration| {
                own.corrections.iter().filter(|mark| mark.is_wrong_at(mark.score, threshold)).count()
            };
            let base = own.image_threshold;
            for (place, (score, defective)) in marks.into_iter().enumerate() {
                own.correct([correction(&place.to_string(), score, defective)]);
            }
            prop_assert!(wrong(own.image_threshold, &own) <= wrong(base, &own));
            let text = serde_json::to_string(&own).expect("is written");
            let read: Calibration = serde_json::from_str(&text).expect("is read");
            prop_assert_eq!((read.corrections, read.image_threshold), (own.corrections, own.image_threshold));
        }
    }
}
