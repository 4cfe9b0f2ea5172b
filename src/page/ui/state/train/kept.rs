//! The inspectors that the browser keeps.

use destseg_engine::verdict::quality::Quality;
use serde::{Deserialize, Serialize};

use super::{ModelSource, Phase, Room, State, TrainState};
use crate::page::protocol::KeptRun;
use crate::page::ui::state::Offer;

/// Version of an inspector's record.
pub const RECORD_VERSION: u32 = 1;

/// An inspector that the browser keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspector {
    /// [`RECORD_VERSION`] of the record; 0 for those of version 0.1. Fields of a newer one are left out when it is changed.
    #[serde(default)]
    pub version: u32,
    /// Its folder.
    pub id: String,
    /// Its name, by the visitor.
    pub name: String,
    /// When it was trained, in milliseconds since 1970.
    pub trained: f64,
    /// Bytes of its model file.
    pub bytes: u64,
    /// Good images it was trained on.
    pub images: usize,
    /// Picture of a good image as a `data:` address.
    pub picture: Option<String>,
    /// What it did with the images of its calibration, at the threshold in force.
    #[serde(default)]
    pub quality: Option<Quality>,
}

/// What the page takes of the browser's storage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Bytes in use.
    pub used: f64,
    /// Bytes that the page may use.
    pub quota: f64,
    /// Whether the browser has promised not to clear it.
    pub stays: bool,
}

impl State {
    /// A trained model can be used from now on, whether the browser keeps it or not. Nothing changes by itself.
    pub(super) fn inspector_is_kept(&mut self, result: Result<Inspector, String>) {
        let Phase::Done(trained) = &self.train.phase else {
            return;
        };
        let (name, blob) = (trained.info.run.name.as_str().into(), trained.file.clone());
        let source = match result {
            Ok(inspector) => {
                let id = inspector.id.as_str().into();
                self.train.kept.retain(|kept| kept.id != inspector.id);
                self.train.kept.push(inspector);
                ModelSource::Kept { id, name, blob }
            }
            Err(message) => {
                self.notify(message);
                ModelSource::File { name, blob }
            }
        };
        let name = self.source_name(&source);
        self.train.trained = Some(source);
        if self.train.is_wanted {
            return self.use_trained();
        }
        self.train.is_news = true;
        self.offer_to(Offer::Use, format!("{name} is trained."));
    }

    /// Opens the trained model and shows the inspection, once the browser keeps the model.
    pub(super) fn use_trained(&mut self) {
        self.train.is_wanted = self.train.trained.is_none();
        self.notices.retain(|notice| notice.offer != Some(Offer::Use));
        self.train.is_news = false;
        if let Some(source) = self.train.trained.clone() {
            if self.shown_source() != Some(&source) {
                self.open_model(source);
            }
            self.room = Room::Inspect;
        }
    }

    /// Another training begins: the result of the one before is no news.
    pub(super) fn forget_trained(&mut self) {
        self.train.trained = None;
        self.train.is_wanted = false;
        self.notices.retain(|notice| notice.offer.is_none());
    }

    /// Takes in what the browser keeps of interrupted trainings, and offers to resume those that were not known.
    pub(super) fn set_unfinished(&mut self, unfinished: Vec<KeptRun>) {
        let before = std::mem::replace(&mut self.train.unfinished, unfinished.clone());
        let is_one = |all: &[KeptRun], run: &str| all.iter().any(|own| own.info.run == run);
        self.notices.retain(|notice| match &notice.offer {
            Some(Offer::Resume(run)) => is_one(&unfinished, run),
            _ => true,
        });
        if self.train.is_training() {
            return;
        }
        for own in unfinished.iter().filter(|own| !is_one(&before, &own.info.run)) {
            let run = &own.info;
            let words = format!(
                "The training of {} was interrupted at step {} of {}.",
                run.name, run.done, run.total_steps
            );
            self.offer_to(Offer::Resume(run.run.as_str().into()), words);
        }
    }
}

impl TrainState {
    /// What goes on, in words for those who are in another room; none if nothing does.
    pub fn words(&self) -> Option<String> {
        let share = self
            .course
            .as_ref()
            .map_or(0, |course| 100 * course.done() / course.info.total_steps.max(1));
        Some(match &self.phase {
            Phase::Starting(..) => "Preparing …".into(),
            Phase::Running => format!("Training {share} %"),
            Phase::Paused => format!("Paused at {share} %"),
            Phase::Calibrating => "Calibrating …".into(),
            Phase::Failed(_) => "Training failed".into(),
            Phase::Done(_) if self.is_news => "Training done".into(),
            Phase::Idle | Phase::Done(_) if !self.unfinished.is_empty() => "Interrupted".into(),
            Phase::Idle | Phase::Done(_) => return None,
        })
    }
}
