//! The image threshold of the model in place: one number, which belongs to the model and is kept with it.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::item::Status;
use super::{Item, ItemId, Model, ModelSource, State};
use destseg_engine::data::brush::Point;
use destseg_engine::verdict::calibration::{Calibration, SetBy};
use destseg_engine::verdict::corrections::Correction;

/// Before the id of an inspector in the name of a kept threshold.
pub const KEPT: &str = "kept ";

/// How the visitor moves the threshold.
#[derive(Debug, Clone, PartialEq)]
pub enum ThresholdChange {
    /// To this number.
    To(f32),
    /// To where at most this share of good parts is expected to be stopped.
    Promise(f32),
    /// To a number that an evaluation suggests.
    Evaluated(f32),
    /// To what it was when the page was left.
    Kept(KeptThreshold),
    /// Back to what training found.
    Restore,
    /// To what it is without one of the corrections, by its index, or without all of them.
    TakeBack(Option<usize>),
}

/// What the page keeps of a model whose threshold was moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptThreshold {
    threshold: f32,
    by: SetBy,
    /// The threshold before corrections moved it, and who set that.
    #[serde(default)]
    uncorrected: Option<(f32, SetBy)>,
    #[serde(default)]
    corrections: Vec<Correction>,
}

impl KeptThreshold {
    /// None for a threshold as it was trained.
    pub fn of(calibration: &Calibration) -> Option<Self> {
        let is_trained = calibration.set_by == SetBy::Training && calibration.corrections.is_empty();
        (!is_trained).then(|| Self {
            threshold: calibration.image_threshold,
            by: calibration.set_by,
            uncorrected: calibration.uncorrected,
            corrections: calibration.corrections.clone(),
        })
    }
}

/// What the visitor says about an image of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It has no defect.
    Good,
    /// It has one.
    Defective,
    /// What was said before is taken back.
    None,
}

impl ThresholdChange {
    fn apply(self, calibration: &mut Calibration) {
        match self {
            Self::To(threshold) => calibration.set(threshold, SetBy::Hand),
            Self::Promise(share) => calibration.promise(share),
            Self::Evaluated(threshold) => calibration.set(threshold, SetBy::Evaluation),
            Self::Kept(kept) => {
                calibration.set(kept.threshold, kept.by);
                calibration.uncorrected = kept.uncorrected;
                calibration.corrections = kept.corrections;
            }
            Self::Restore => calibration.restore(),
            Self::TakeBack(None) => calibration.take_all_back(),
            Self::TakeBack(Some(place)) => {
                if let Some(own) = calibration.corrections.get(place).cloned() {
                    calibration.take_back(&own.name, own.fingerprint.as_deref());
                }
            }
        }
    }
}

impl State {
    /// The calibration of the model in place.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.model.as_ref()?.info.calibration.as_ref()
    }

    /// Moves the threshold of the model in place. The engine is told, and the page keeps it.
    pub(super) fn set_threshold(&mut self, change: ThresholdChange) {
        let Some(model) = &mut self.model else { return };
        let calibration = &mut Rc::make_mut(&mut model.info).calibration;
        let is_about_corrections = matches!(change, ThresholdChange::Kept(_) | ThresholdChange::TakeBack(_));
        let takes_back = matches!(change, ThresholdChange::TakeBack(_));
        let remembers = |own: &Option<Calibration>| own.as_ref().is_some_and(Calibration::remembers);
        let remembered = remembers(calibration);
        change.apply(calibration.get_or_insert_with(Calibration::default));
        let looks_again = is_about_corrections && (remembered || remembers(calibration));
        let left = calibration
            .as_ref()
            .map_or_else(Vec::new, |own| own.corrections.clone());
        if takes_back {
            // what was painted goes with what was said
            let is_left = |item: &Item| {
                left.iter()
                    .any(|own| own.is_of(&item.name, item.fingerprint.as_deref()))
            };
            for item in self.items.iter_mut().filter(|item| !is_left(item)) {
                (item.painted, item.is_to_remember) = (Rc::new([]), false);
            }
        }
        if looks_again {
            self.look_again();
        }
        self.calibration_is_new = true;
        if self.evaluate.result().is_some() && self.is_measured() {
            self.evaluate.threshold = self.calibration().map(|own| own.image_threshold);
        }
    }

    /// What the visitor said about an image of the queue.
    pub fn mark(&self, item: &Item) -> Mark {
        let fingerprint = item.fingerprint.as_deref();
        let own = self
            .calibration()
            .and_then(|own| own.correction(&item.name, fingerprint));
        own.map_or(Mark::None, |own| match own.defective {
            true => Mark::Defective,
            false => Mark::Good,
        })
    }

    /// Takes in what the visitor says about an image: the model's memory, or else its threshold, and the record of its part
    /// follow at once.
    pub(super) fn correct(&mut self, id: ItemId, mark: Mark) {
        if mark != Mark::Defective {
            self.with_item(id, |item| item.painted = Rc::new([]));
        }
        let item = self.item(id);
        // what there is to remember comes with the maps
        let found = item.and_then(|item| Some((item.name.to_string(), self.prediction(item)?.clone())));
        let Some((name, prediction)) = found else {
            return;
        };
        let info = &prediction.info;
        let Some(model) = &mut self.model else { return };
        let calibration = &mut Rc::make_mut(&mut model.info).calibration;
        let calibration = calibration.get_or_insert_with(Calibration::default);
        let mut looks_again = calibration.remembers() || info.difference.is_some();
        match mark {
            Mark::None => {
                calibration.take_back(&name, Some(&info.fingerprint));
            }
            Mark::Good | Mark::Defective => calibration.correct([Correction {
                name,
                fingerprint: Some(info.fingerprint.clone()),
                defective: mark == Mark::Defective,
                score: info.plain_score,
                distance: info.distance,
                difference: info.difference,
                places: match mark {
                    Mark::Defective => prediction.painted_places.clone(),
                    Mark::Good | Mark::None => prediction.good_places.clone(),
                },
                score_after: None,
            }]),
        }
        looks_again |= calibration.remembers();
        if looks_again {
            self.look_again();
        }
        self.calibration_is_new = true;
    }

    /// Takes in what the visitor paints over a defect: the image is analysed again, to see what there is to remember.
    pub(super) fn paint(&mut self, id: ItemId, points: Vec<Point>) {
        self.with_item(id, |item| {
            item.painted = points.into();
            item.is_to_remember = true;
            item.status = Status::Waiting;
        });
    }

    /// Follows the analysis of an image that was corrected.
    pub(super) fn settle(&mut self, id: ItemId) {
        let Some((item, info)) = self.item(id).and_then(|item| Some((item, item.info()?))) else {
            return;
        };
        let (name, fingerprint) = (item.name.clone(), info.fingerprint.as_str().into());
        let (score, is_to_remember) = (info.score, item.is_to_remember);
        self.with_item(id, |item| {
            item.fingerprint = Some(Rc::clone(&fingerprint));
            item.is_to_remember = false;
        });
        if is_to_remember {
            return self.correct(id, Mark::Defective);
        }
        let Some(model) = &mut self.model else { return };
        let Some(calibration) = &model.info.calibration else {
            return;
        };
        if calibration.correction(&name, Some(&fingerprint)).is_none() {
            return;
        }
        let calibration = &mut Rc::make_mut(&mut model.info).calibration;
        let is_new = calibration
            .as_mut()
            .is_some_and(|own| own.settle(&name, Some(&fingerprint), score));
        if is_new {
            self.look_again();
            self.calibration_is_new = true;
        }
    }

    /// Has the images of the queue analysed again, for a model that remembers something else now.
    fn look_again(&mut self) {
        // what is in the engine is looked at with the memory of before
        self.requeue();
        for item in &mut self.items {
            if matches!(item.status, Status::Done(_)) {
                item.status = Status::Waiting;
            }
        }
    }

    /// A model that is loaded again, by another engine, keeps the threshold that it has in the page.
    pub(super) fn keep_threshold(&mut self, new: &mut Model) {
        let Some(old) = self.model.as_ref().filter(|old| old.source == new.source) else {
            self.calibration_is_new = false;
            return;
        };
        if old.info.calibration != new.info.calibration {
            Rc::make_mut(&mut new.info)
                .calibration
                .clone_from(&old.info.calibration);
            self.calibration_is_new = true;
        }
    }

    /// Under which name the page keeps a changed threshold: the id of a shipped model, or of an inspector.
    pub fn threshold_name(&self) -> Option<String> {
        match &self.model.as_ref()?.source {
            ModelSource::Shipped(index) => {
                let model = self.manifest.as_ref()?.models.get(*index)?;
                Some(format!("shipped {}", model.file.id))
            }
            ModelSource::Kept { id, .. } => Some(format!("{KEPT}{id}")),
            ModelSource::File { .. } => None,
        }
    }
}
