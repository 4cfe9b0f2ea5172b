//! Measuring the model on a labelled folder: the folder, the progress, and what is shown of the result.

use std::rc::Rc;

use super::{Bulk, ModelSource, State, Text};
use crate::page::protocol::{EvaluateCommand, EvaluateEvent, ManifestFile};
use crate::page::shared::content::{Content, UserFile};
use destseg_engine::data::labelled::{self, LabelledSet};
use destseg_engine::data::paths::BY_BROWSER;
use destseg_engine::evaluation::{Evaluation, ImageResult};

/// At this crash an evaluation is given up.
const CRASHES: u32 = 2;

/// A file, or why it cannot be read.
pub(super) type Readable = Result<Content, String>;

/// A labelled folder.
#[derive(Debug, PartialEq)]
pub struct LabelledFiles {
    /// What the files are.
    pub set: LabelledSet,
    /// The files, as the set counts them.
    pub files: Vec<UserFile>,
}

/// Status of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// It has not begun.
    Idle,
    /// It is to begin as soon as the engine is there.
    Wanted,
    /// The engine begins.
    Beginning,
    /// Images are measured.
    Running {
        /// Images that the engine takes at the same time.
        at_once: usize,
        /// Images sent to the engine.
        sent: usize,
        /// Images measured.
        measured: usize,
    },
    /// Figures are being computed.
    Finishing,
    /// It is done.
    Done(Rc<Evaluation>),
    /// It cannot go on, for this reason.
    Failed(Rc<str>),
}

/// What comes first in the list of images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The worst decisions.
    #[default]
    Error,
    /// The highest scores.
    Score,
    /// The order of the folder.
    Name,
}

impl Order {
    /// All, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::Error, Self::Score, Self::Name];

    /// The menu's value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Score => "score",
            Self::Name => "name",
        }
    }

    /// The menu's text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Error => "Worst decisions first",
            Self::Score => "Highest score first",
            Self::Name => "By name",
        }
    }
}

/// Everything about the evaluation room.
#[derive(Debug, Clone)]
pub struct EvaluateState {
    /// The labelled folder.
    pub files: Option<Rc<LabelledFiles>>,
    /// Status.
    pub progress: Progress,
    /// A small JPEG picture of each image, by its index.
    pub pictures: Vec<Rc<Vec<u8>>>,
    /// The latest results, for the visitor to see that it goes on.
    pub latest: Option<Rc<ImageResult>>,
    /// Bytes that pixels take in the engine.
    pub bytes: usize,
    /// When it began and what it took, in milliseconds.
    pub began: f64,
    /// The image threshold, moved by the visitor.
    pub threshold: Option<f32>,
    /// What comes first in the list.
    pub order: Order,
    /// The image that is shown large, by its index.
    pub shown: Option<usize>,
    /// The model that is or was measured.
    measured: Option<ModelSource>,
    /// How often the engine went down meanwhile.
    crashes: u32,
    /// Names the evaluation in messages.
    run: u32,
    /// The evaluation that the engine should give up.
    given_up: Option<u32>,
}

impl Default for EvaluateState {
    fn default() -> Self {
        Self {
            files: None,
            progress: Progress::Idle,
            pictures: Vec::new(),
            latest: None,
            bytes: 0,
            began: 0.0,
            threshold: None,
            order: Order::default(),
            shown: None,
            measured: None,
            crashes: 0,
            run: 0,
            given_up: None,
        }
    }
}

/// Something the visitor does about an evaluation.
#[derive(Debug)]
pub enum EvaluateAction {
    /// Measures the loaded model; the time in milliseconds.
    Begin(f64),
    /// Gives up.
    Cancel,
    /// Moves the threshold; none goes back to the model's.
    Threshold(Option<f32>),
    /// Sorts the list.
    Order(Order),
    /// Shows an image large, or none.
    Show(Option<usize>),
}

/// What the engine should do for an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum EvaluateJob {
    /// Something without files.
    Command(Box<EvaluateCommand>),
    /// To measure the image at this index of the set.
    Image {
        /// The evaluation.
        run: u32,
        /// Its index.
        index: usize,
    },
}

impl EvaluateState {
    /// Whether an evaluation is in progress.
    pub fn is_running(&self) -> bool {
        matches!(
            self.progress,
            Progress::Wanted | Progress::Beginning | Progress::Running { .. } | Progress::Finishing
        )
    }

    /// Images of the set.
    pub fn count(&self) -> usize {
        self.files.as_ref().map_or(0, |files| files.set.images.len())
    }

    /// The finished evaluation.
    pub fn result(&self) -> Option<&Rc<Evaluation>> {
        match &self.progress {
            Progress::Done(evaluation) => Some(evaluation),
            _ => None,
        }
    }

    /// The threshold that decides now.
    pub fn threshold(&self) -> f32 {
        let own = || self.result().map_or(0.5, |evaluation| evaluation.threshold());
        self.threshold.unwrap_or_else(own)
    }

    /// Takes in a folder: images, and texts about them with the content of those that are needed to sort it out.
    pub(super) fn take(&mut self, mut files: Vec<UserFile>, texts: Vec<Text>) {
        let mut read = Vec::new();
        for Text { file, content } in texts {
            read.extend(content.map(|content| (files.len(), content)));
            files.push(file);
        }
        let paths: Vec<&str> = files.iter().map(|file| &*file.path).collect();
        let set = labelled::classify(&paths, &read, &BY_BROWSER);
        let run = self.run + 1;
        *self = Self {
            run,
            files: Some(LabelledFiles { set, files }.into()),
            ..Self::default()
        };
    }

    /// What the engine should do next; `model` is the loaded model's name, `teachers` can be fetched.
    pub(super) fn next_job(&self, model: &str, teachers: &[ManifestFile]) -> Option<EvaluateJob> {
        if let Some(run) = self.given_up {
            return Some(EvaluateJob::Command(EvaluateCommand::Cancel { run }.into()));
        }
        let files = self.files.as_ref()?;
        let count = files.set.images.len();
        let run = self.run;
        match self.progress {
            Progress::Wanted => {
                let begin = EvaluateCommand::Begin {
                    run,
                    images: count,
                    teachers: teachers.to_vec(),
                };
                Some(EvaluateJob::Command(begin.into()))
            }
            Progress::Running { sent, measured, .. } if measured >= count && sent >= count => {
                let finish = EvaluateCommand::Finish {
                    run,
                    category: files.set.name.clone().unwrap_or_else(|| "the images".into()),
                    model: model.into(),
                    notes: files.set.notes.clone(),
                };
                Some(EvaluateJob::Command(finish.into()))
            }
            Progress::Running {
                at_once,
                sent,
                measured,
            } if sent < count && sent - measured < at_once => Some(EvaluateJob::Image { run, index: sent }),
            _ => None,
        }
    }

    pub(super) fn begin(&mut self, job: &EvaluateJob) {
        match job {
            EvaluateJob::Image { .. } => {
                if let Progress::Running { sent, .. } = &mut self.progress {
                    *sent += 1;
                }
            }
            EvaluateJob::Command(command) => match **command {
                EvaluateCommand::Begin { .. } => self.progress = Progress::Beginning,
                EvaluateCommand::Finish { .. } => self.progress = Progress::Finishing,
                EvaluateCommand::Cancel { .. } => self.given_up = None,
                EvaluateCommand::Image { .. } | EvaluateCommand::Predict { .. } => {}
            },
        }
    }

    /// The file at an index of the set's list, and those that say where it is defective, by their names.
    pub fn contents(&self, index: usize) -> Option<(Readable, Vec<(String, Readable)>)> {
        let files = self.files.as_ref()?;
        let image = files.set.images.get(index)?;
        let given = |file: usize| {
            let given = files.files.get(file)?;
            Some((given.path.to_string(), given.content.clone()))
        };
        let masks = image.masks.iter().filter_map(|&mask| given(mask)).collect();
        Some((given(image.file)?.1, masks))
    }

    /// Begins anew, with the worker and the model of the moment.
    fn restart(&mut self) {
        self.run += 1;
        self.progress = Progress::Wanted;
        self.pictures = vec![Rc::default(); self.count()];
        self.latest = None;
        self.threshold = None;
        self.shown = None;
        self.bytes = 0;
    }

    /// The engine is a new one: what went on begins anew, once.
    pub(super) fn engine_is_new(&mut self) {
        self.given_up = None;
        if !self.is_running() {
            return;
        }
        self.crashes += 1;
        if self.crashes < CRASHES {
            self.restart();
            return;
        }
        let measured = match self.progress {
            Progress::Running { measured, .. } => measured,
            _ => 0,
        };
        let files = self.files.as_ref();
        let at = files
            .and_then(|files| files.set.images.get(measured))
            .map(|image| &image.name);
        let at = at.map_or_else(String::new, |name| {
            format!(", perhaps because of {name}: leave that out")
        });
        self.progress = Progress::Failed(format!("The engine stopped twice{at}.").into());
    }

    /// A model is there: what went on with another one would be of two models.
    pub(super) fn model_is_new(&mut self, source: &ModelSource) {
        if !self.is_running() {
            return;
        }
        if self.progress != Progress::Wanted {
            self.restart();
        }
        self.measured = Some(source.clone());
    }

    pub(super) fn on_event(&mut self, event: EvaluateEvent, picture: Vec<u8>) {
        match event {
            EvaluateEvent::Begun { run, at_once } if run == self.run => {
                self.progress = Progress::Running {
                    at_once,
                    sent: 0,
                    measured: 0,
                };
            }
            EvaluateEvent::ImageMeasured {
                run,
                index,
                result,
                bytes,
            } if run == self.run => {
                if let Progress::Running { measured, .. } = &mut self.progress {
                    *measured += 1;
                    if let Some(own) = self.pictures.get_mut(index) {
                        *own = picture.into();
                    }
                    self.latest = Some(Rc::new(*result));
                    self.bytes = bytes;
                }
            }
            EvaluateEvent::Finished { run, evaluation } if run == self.run => {
                self.progress = Progress::Done((*evaluation).into());
            }
            EvaluateEvent::Failed { run, message } if run == self.run => {
                self.progress = Progress::Failed(message.into());
            }
            // of an evaluation that was given up
            _ => {}
        }
    }
}

impl State {
    /// Whether the model in place is the one that was measured: only its threshold follows from the evaluation.
    pub fn is_measured(&self) -> bool {
        let source = self.model.as_ref().map(|model| &model.source);
        source.is_some() && source == self.evaluate.measured.as_ref()
    }

    pub(super) fn evaluate(&mut self, action: EvaluateAction) {
        let source = self.model.as_ref().map(|model| model.source.clone());
        let own = &mut self.evaluate;
        match action {
            EvaluateAction::Begin(now) => {
                own.restart();
                own.measured = source;
                own.crashes = 0;
                own.began = now;
            }
            EvaluateAction::Cancel => {
                own.given_up = Some(own.run);
                own.run += 1;
                own.progress = Progress::Idle;
                own.pictures.clear();
            }
            EvaluateAction::Threshold(threshold) => own.threshold = threshold,
            EvaluateAction::Order(order) => own.order = order,
            EvaluateAction::Show(index) => own.shown = index,
        }
    }

    pub(super) fn on_evaluate_event(&mut self, event: EvaluateEvent, bulk: Option<Bulk>) {
        let picture = Bulk::pictures(bulk);
        if matches!(event, EvaluateEvent::ImageMeasured { .. }) {
            self.crashes = 0;
        }
        self.evaluate.on_event(event, picture);
    }
}

#[cfg(test)]
mod tests;
