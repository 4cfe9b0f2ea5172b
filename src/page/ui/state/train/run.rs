//! The run: how long to train, where the training stands, its course and its result.

use std::rc::Rc;

use web_sys::Blob;

use super::TrainState;
use crate::page::protocol::{ManifestFile, RunInfo, StepInfo, Textures, TrainCommand, TrainedInfo};
use destseg_engine::config::{FEWEST_IMAGES, Preset};

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A first impression.
    Quick,
    /// Usually enough.
    Standard,
    /// What the command line does; for the paper's network its published number of steps.
    Thorough,
    /// Steps of the two stages as the page's address has them.
    Own([usize; 2]),
}

impl Effort {
    /// What there is to choose, shortest first.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Standard, Self::Thorough];

    /// The menu's value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Thorough => "thorough",
            Self::Own(_) => "own",
        }
    }

    /// Steps of the two stages. The paper's network learns more slowly, being larger; and a student that has learned
    /// other parts' features only has to get used to these.
    pub fn steps(self, preset: Preset, from_trained: bool) -> [usize; 2] {
        let [student, segmentation] = match (self, preset) {
            (Self::Own(steps), _) => return steps,
            (Self::Quick, Preset::Compact | Preset::Standard) => [100, 150],
            (Self::Standard, Preset::Compact | Preset::Standard) => [250, 300],
            (Self::Thorough, Preset::Compact | Preset::Standard) => [900, 1200],
            (Self::Quick, Preset::Paper) => [200, 200],
            (Self::Standard, Preset::Paper) => [400, 400],
            (Self::Thorough, Preset::Paper) => [1000, 4000],
        };
        [if from_trained { student * 2 / 5 } else { student }, segmentation]
    }
}

/// What the network finds in a held-out image.
#[derive(Debug, PartialEq)]
pub struct HeldOutPrediction {
    /// Steps done.
    pub step: usize,
    /// Side of each picture in pixels.
    pub side: usize,
    /// Five RGBA pictures, as in [`TrainEvent::HeldOutPredicted`](crate::page::protocol::TrainEvent::HeldOutPredicted).
    pub pictures: Vec<u8>,
}

/// Where the training stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// There is none.
    Idle,
    /// The engine prepares it; parts of the device's kernels done, and in all.
    Starting(usize, usize),
    /// It runs.
    Running,
    /// It waits.
    Paused,
    /// Thresholds are being found.
    Calibrating,
    /// It could not begin or go on, for this reason.
    Failed(Rc<str>),
    /// The inspector is ready.
    Done(Rc<Trained>),
}

/// A finished training.
#[derive(Debug, PartialEq)]
pub struct Trained {
    /// Scores and thresholds.
    pub info: TrainedInfo,
    /// The model file.
    pub file: Blob,
}

/// A training's course so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Name, images, steps.
    pub info: RunInfo,
    /// The steps done in this visit.
    pub steps: Vec<StepInfo>,
    /// The latest prediction of the held-out image.
    pub held_out: Option<Rc<HeldOutPrediction>>,
    /// Steps that an interruption would not lose.
    pub saved: Option<usize>,
}

impl Course {
    /// Steps done.
    pub fn done(&self) -> usize {
        self.steps.last().map_or(self.info.done, |step| step.step)
    }

    /// Milliseconds that a step takes, by the latest ones.
    pub fn step_ms(&self) -> Option<f64> {
        const LATEST: usize = 20;
        let latest = &self.steps[self.steps.len().saturating_sub(LATEST)..];
        let sum: f64 = latest.iter().map(|step| step.ms).sum();
        (!latest.is_empty()).then(|| sum / latest.len() as f64)
    }

    /// Whether stage 2 goes on, from which on there is a model to keep.
    pub fn in_segmentation(&self) -> bool {
        self.done() > self.info.student_steps
    }
}

impl TrainState {
    /// Whether a training is in progress.
    pub fn is_training(&self) -> bool {
        matches!(
            self.phase,
            Phase::Starting(..) | Phase::Running | Phase::Paused | Phase::Calibrating
        )
    }

    /// Why the training cannot begin yet, one sentence.
    pub fn obstacle(&self) -> Option<String> {
        let ready = self.ready();
        if self.is_collecting() {
            return Some("Images are still being read.".into());
        }
        if ready < FEWEST_IMAGES {
            let more = FEWEST_IMAGES - ready;
            let images = if more == 1 { "image" } else { "images" };
            return Some(format!("Add {more} more good {images} first."));
        }
        if self.textures == Textures::Own && !self.own_textures.iter().any(|image| image.size().is_some()) {
            return Some("Add a texture image first, or choose other textures.".into());
        }
        self.name
            .trim()
            .is_empty()
            .then(|| "Give the inspector a name first.".into())
    }

    /// The engine is a new one and knows nothing: images are read again, and a training resumes from its last checkpoint.
    pub(in crate::page::ui::state) fn engine_is_new(&mut self, teachers: Vec<ManifestFile>) {
        self.outbox.clear();
        self.teachers.clear();
        self.previewing = false;
        self.collect_again();
        if !self.is_training() {
            return;
        }
        match &self.course {
            Some(course) if course.saved.is_some() => {
                let run = course.info.run.clone();
                self.phase = Phase::Starting(0, 0);
                self.outbox.push_back(TrainCommand::Resume { run, teachers });
            }
            _ => {
                self.phase = Phase::Failed(
                    "The engine stopped, and the browser had kept nothing of the training: start it again."
                        .into(),
                );
            }
        }
    }
}
