//! A new inspector: its good images, the preview of synthetic anomalies, its training, and the
//! inspectors that the browser keeps.

use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use web_sys::Blob;

use super::{Bulk, ModelSource, Room, State};
use crate::page::protocol::{
    KeptRun, ManifestFile, RunInfo, SampleInfo, StepInfo, Textures, TrainCommand, TrainEvent, TrainedInfo,
};
use crate::page::shared::content::{Content, UserFile};
use destseg_engine::config::{FEWEST_IMAGES, Preset, Settings, TrainConfig};

/// From this many images on there is nothing to advise.
pub const ENOUGH_IMAGES: usize = 20;
/// Side of a built-in texture's picture in pixels, twice its size on the page.
const KIND_SIDE: usize = 96;
/// Samples of a preview.
const PREVIEW_SAMPLES: usize = 4;
/// An image of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingImage {
    /// Its identity.
    pub id: u32,
    /// File name.
    pub name: Rc<str>,
    /// The file's content; none if it was refused before it was read.
    pub content: Option<Content>,
    /// How far it is.
    pub status: TrainingImageStatus,
}

/// How far an image of a collection is.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingImageStatus {
    /// To be given to the engine.
    Waiting,
    /// In the engine's hands.
    Adding,
    /// In place.
    Ready {
        /// Upright width and height in pixels.
        size: (u32, u32),
        /// An earlier image with the same pixels.
        copy_of: Option<u32>,
    },
    /// Not usable, with the sentence that says why.
    Refused(Rc<str>),
}

impl TrainingImage {
    /// Why it is not usable.
    pub fn status_words(&self) -> &str {
        match &self.status {
            TrainingImageStatus::Refused(message) => message,
            _ => "",
        }
    }

    /// Whether there is nothing to say about it.
    pub fn is_fine(&self) -> bool {
        !matches!(
            self.status,
            TrainingImageStatus::Refused(_) | TrainingImageStatus::Ready { copy_of: Some(_), .. }
        )
    }

    /// Width and height, once the engine has accepted the image.
    pub fn size(&self) -> Option<(u32, u32)> {
        match self.status {
            TrainingImageStatus::Ready { size, .. } => Some(size),
            _ => None,
        }
    }
}

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
            (Self::Quick, Preset::Compact) => [100, 150],
            (Self::Standard, Preset::Compact) => [250, 300],
            (Self::Thorough, Preset::Compact) => [900, 1200],
            (Self::Quick, Preset::Paper) => [200, 200],
            (Self::Standard, Preset::Paper) => [400, 400],
            (Self::Thorough, Preset::Paper) => [1000, 4000],
        };
        [if from_trained { student * 2 / 5 } else { student }, segmentation]
    }
}

/// Synthetic anomalies as the training will see them.
#[derive(Debug, PartialEq)]
pub struct Preview {
    /// Side of each picture in pixels.
    pub side: usize,
    /// The numbers behind each sample.
    pub samples: Vec<SampleInfo>,
    /// RGBA pictures, four for each sample: good image, mask, texture, result.
    pub pictures: Vec<u8>,
    /// Milliseconds the engine took.
    pub ms: f64,
}

/// A picture of each built-in texture.
#[derive(Debug, PartialEq)]
pub struct Kinds {
    /// Side of each picture in pixels.
    pub side: usize,
    /// RGBA pictures in the order of [`destseg_engine::config::Texture::ALL`].
    pub pictures: Vec<u8>,
}

/// What the network finds in a held-out image.
#[derive(Debug, PartialEq)]
pub struct HeldOutPrediction {
    /// Steps done.
    pub step: usize,
    /// Side of each picture in pixels.
    pub side: usize,
    /// Five RGBA pictures, as in [`TrainEvent::HeldOutPredicted`].
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
    /// The latest look at the held-out image.
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

/// An inspector that the browser keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspector {
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
}

/// Everything about new and kept inspectors.
#[derive(Debug, Clone)]
pub struct TrainState {
    /// Name of the next inspector.
    pub name: Rc<str>,
    /// Good images.
    pub images: Vec<TrainingImage>,
    /// Images removed last, to be brought back.
    pub removed: Vec<TrainingImage>,
    /// The visitor's texture images.
    pub own_textures: Vec<TrainingImage>,
    /// Network and recipe.
    pub settings: Settings,
    /// What anomalies are filled with.
    pub textures: Textures,
    /// How long to train.
    pub effort: Effort,
    /// Start from the loaded model.
    pub fine_tune: bool,
    /// Images of a step; none for what the recipe has, or the device takes of that.
    pub batch: Option<usize>,
    /// Teachers that the visitor gave the engine.
    pub teachers: Vec<Rc<str>>,
    /// Chooses the previewed samples.
    pub seed: u64,
    /// The built-in textures.
    pub kinds: Option<Rc<Kinds>>,
    /// The samples shown.
    pub preview: Option<Rc<Preview>>,
    /// Why there are none.
    pub preview_error: Option<Rc<str>>,
    /// Where the training stands.
    pub phase: Phase,
    /// Its course.
    pub course: Option<Course>,
    /// Inspectors that the browser keeps.
    pub kept: Vec<Inspector>,
    /// Trainings that were interrupted.
    pub unfinished: Vec<KeptRun>,
    /// The trained model is to be kept.
    pub unkept: Option<Rc<Trained>>,
    /// Pictures of the built-in textures are to be painted.
    kinds_wanted: bool,
    /// A preview is to be drawn.
    preview_wanted: bool,
    /// The engine draws one.
    previewing: bool,
    /// To be sent to the engine, in this order.
    outbox: VecDeque<TrainCommand>,
}

impl Default for TrainState {
    fn default() -> Self {
        let mut settings = Settings::preset(Preset::Compact);
        settings.training.held_out = TrainConfig::share_held_out(0);
        Self {
            name: "My inspector".into(),
            images: Vec::new(),
            removed: Vec::new(),
            own_textures: Vec::new(),
            settings,
            textures: Textures::default(),
            effort: Effort::Standard,
            fine_tune: true,
            batch: None,
            teachers: Vec::new(),
            seed: 0,
            kinds: None,
            preview: None,
            preview_error: None,
            phase: Phase::Idle,
            course: None,
            kept: Vec::new(),
            unfinished: Vec::new(),
            unkept: None,
            kinds_wanted: false,
            preview_wanted: false,
            previewing: false,
            outbox: VecDeque::new(),
        }
    }
}

/// Something the visitor, or the browser's storage, does about inspectors.
#[derive(Debug)]
pub enum TrainAction {
    /// Names the next inspector.
    Name(String),
    /// Texture images.
    AddTextures(Vec<UserFile>),
    /// Takes an image away.
    Remove(u32),
    /// Takes all images away.
    Clear,
    /// Brings back what was taken away last.
    Undo,
    /// Changes network or recipe.
    Settings(Box<Settings>),
    /// Changes what anomalies are filled with.
    Textures(Textures),
    /// Changes how long to train.
    Effort(Effort),
    /// Starts from the loaded model, or not.
    FineTune(bool),
    /// Chooses network and recipe.
    Preset(Preset),
    /// Changes the images of a step; none for automatic.
    Batch(Option<usize>),
    /// Chooses the previewed samples and all other random numbers.
    Seed(u64),
    /// Shows other samples.
    Another,
    /// Trains.
    Train,
    /// Waits, or goes on.
    Pause(bool),
    /// Ends the training, with the model or without.
    Stop(bool),
    /// Goes on with an interrupted training.
    Resume(String),
    /// Leaves the result and begins anew.
    Again,
    /// What the browser keeps: inspectors and interrupted trainings.
    Stored(Vec<Inspector>, Vec<KeptRun>),
    /// The trained model was kept, or a sentence why not.
    Kept(Result<Inspector, String>),
}

impl TrainState {
    /// Pixels of the input's side, and images of a step, where the page's address has them.
    pub fn set_sizes(&mut self, side: Option<usize>, batch: Option<usize>) {
        let model = &mut self.settings.model;
        let before = model.input_size;
        model.input_size = side.unwrap_or(before);
        if model.validate().is_err() {
            model.input_size = before;
        }
        self.batch = batch.map(|batch: usize| batch.max(2));
    }

    /// Images that can be trained on.
    pub fn ready(&self) -> usize {
        self.images.iter().filter(|image| image.size().is_some()).count()
    }

    /// Whether the engine still has to look at images.
    pub fn is_collecting(&self) -> bool {
        let pending = |image: &TrainingImage| {
            matches!(
                image.status,
                TrainingImageStatus::Waiting | TrainingImageStatus::Adding
            )
        };
        self.images.iter().chain(&self.own_textures).any(pending)
    }

    /// Whether a training goes on.
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

    /// What the engine should do next for a new inspector.
    pub(super) fn next_job(&self, is_shown: bool) -> Option<TrainJob> {
        if let Some(command) = self.outbox.front() {
            return Some(TrainJob::Command(command.clone().into()));
        }
        let all = || self.images.iter().chain(&self.own_textures);
        if !all().any(|image| image.status == TrainingImageStatus::Adding)
            && let Some(image) = all().find(|image| image.status == TrainingImageStatus::Waiting)
        {
            return Some(TrainJob::Collect(image.id));
        }
        if let Some(trained) = &self.unkept {
            return Some(TrainJob::Keep(trained.clone()));
        }
        if is_shown && self.kinds_wanted {
            return Some(TrainJob::Command(
                TrainCommand::ShowTextures { side: KIND_SIDE }.into(),
            ));
        }
        if is_shown && self.preview_wanted && !self.previewing && self.ready() > 0 {
            let preview = TrainCommand::Preview {
                settings: self.settings.clone(),
                textures: self.textures,
                seed: self.seed,
                count: PREVIEW_SAMPLES,
            };
            return Some(TrainJob::Command(preview.into()));
        }
        None
    }

    pub(super) fn begin(&mut self, step: &TrainJob) {
        match step {
            TrainJob::Collect(id) => self.with(*id, |image| image.status = TrainingImageStatus::Adding),
            TrainJob::Keep(_) => self.unkept = None,
            TrainJob::Command(command) if matches!(**command, TrainCommand::ShowTextures { .. }) => {
                self.kinds_wanted = false;
            }
            TrainJob::Command(command) if matches!(**command, TrainCommand::Preview { .. }) => {
                self.preview_wanted = false;
                self.previewing = true;
            }
            TrainJob::Command(_) => drop(self.outbox.pop_front()),
        }
    }

    fn with(&mut self, id: u32, change: impl FnOnce(&mut TrainingImage)) {
        let mut all = self.images.iter_mut().chain(&mut self.own_textures);
        if let Some(image) = all.find(|image| image.id == id) {
            change(image);
        }
    }

    /// Takes in images that the engine will look at.
    fn take(images: Vec<(u32, UserFile)>) -> impl Iterator<Item = TrainingImage> {
        images.into_iter().map(|(id, UserFile { path: name, content })| {
            let (content, status) = match content {
                Ok(content) => (Some(content), TrainingImageStatus::Waiting),
                Err(message) => (None, TrainingImageStatus::Refused(message.into())),
            };
            TrainingImage {
                id,
                name,
                content,
                status,
            }
        })
    }

    fn remove(&mut self, gone: impl Fn(&TrainingImage) -> bool) {
        let (removed, stay) = std::mem::take(&mut self.images).into_iter().partition(gone);
        self.images = stay;
        self.removed = removed;
        let images = self.removed.iter().map(|image| image.id).collect();
        self.outbox.push_back(TrainCommand::Remove { images });
        self.draw();
    }

    /// The visitor comes into the room: what is not painted yet is painted now.
    pub(super) fn enter(&mut self) {
        self.preview_wanted |= self.preview.is_none();
        self.kinds_wanted |= self.kinds.is_none();
    }

    /// Asks for another preview.
    fn draw(&mut self) {
        self.preview_wanted = true;
        if self.ready() == 0 {
            self.preview = None;
        }
    }

    /// The images are to be read again: the engine is another, or wants another size.
    fn collect_again(&mut self) {
        for image in self.images.iter_mut().chain(&mut self.own_textures) {
            if matches!(
                image.status,
                TrainingImageStatus::Ready { .. } | TrainingImageStatus::Adding
            ) {
                image.status = TrainingImageStatus::Waiting;
            }
        }
        self.draw();
    }

    fn change(&mut self, settings: Settings) {
        let shown = |settings: &Settings| (settings.model.input_size, settings.model.fit);
        let again = shown(&settings) != shown(&self.settings);
        self.settings = settings;
        if again {
            self.collect_again();
        } else {
            self.draw();
        }
    }

    /// After the engine's end: a new one knows nothing. A training goes on from what was kept of it.
    pub(super) fn engine_is_new(&mut self, teachers: Vec<ManifestFile>) {
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

/// What is to be done for a new inspector.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainJob {
    /// To read an image and give it to the engine.
    Collect(u32),
    /// To send the engine a command.
    Command(Box<TrainCommand>),
    /// To keep a trained model.
    Keep(Rc<Trained>),
}

impl State {
    /// The teachers that the page can fetch.
    pub(super) fn teachers(&self) -> Vec<ManifestFile> {
        let manifest = self.manifest.as_ref();
        manifest.map_or_else(Vec::new, |manifest| manifest.teachers.clone())
    }

    /// Puts images into the collection.
    pub(super) fn collect(&mut self, images: Vec<UserFile>) {
        let images = self.numbered(images);
        self.train.images.extend(TrainState::take(images));
        self.train.settings.training.held_out = TrainConfig::share_held_out(self.train.images.len());
    }

    fn numbered(&mut self, images: Vec<UserFile>) -> Vec<(u32, UserFile)> {
        images.into_iter().map(|image| (self.number(), image)).collect()
    }

    pub(super) fn train(&mut self, action: TrainAction) {
        let teachers = self.teachers();
        let batch = self.batch();
        let [student, segmentation] = self.training_steps(self.train.effort);
        let fine_tune = self.starting_model().is_some();
        match action {
            TrainAction::AddTextures(images) => {
                let images = self.numbered(images);
                self.train.own_textures.extend(TrainState::take(images));
                self.train.textures = Textures::Own;
                return;
            }
            TrainAction::Kept(result) => return self.inspector_is_kept(result),
            _ => {}
        }
        let train = &mut self.train;
        match action {
            TrainAction::Name(name) => train.name = name.into(),
            TrainAction::Remove(id) => train.remove(|image| image.id == id),
            TrainAction::Clear => train.remove(|_| true),
            TrainAction::Undo => {
                for mut image in std::mem::take(&mut train.removed) {
                    if image.content.is_some() {
                        image.status = TrainingImageStatus::Waiting;
                    }
                    train.images.push(image);
                }
            }
            TrainAction::Settings(settings) => train.change(*settings),
            TrainAction::Textures(textures) => {
                train.textures = textures;
                train.draw();
            }
            TrainAction::Effort(effort) => train.effort = effort,
            TrainAction::FineTune(fine_tune) => train.fine_tune = fine_tune,
            TrainAction::Preset(preset) => train.set_preset(preset),
            TrainAction::Batch(batch) => train.batch = batch,
            TrainAction::Seed(seed) => {
                train.seed = seed;
                train.draw();
            }
            TrainAction::Another => {
                train.seed += 1;
                train.draw();
            }
            TrainAction::Train => {
                let mut settings = train.settings.clone();
                settings.training.seed = train.seed;
                settings.training.batch = batch.unwrap_or(settings.training.batch);
                settings.training.student.steps = student;
                settings.training.segmentation.steps = segmentation;
                train.phase = Phase::Starting(0, 0);
                train.course = None;
                train.outbox.push_back(TrainCommand::Begin {
                    name: train.name.trim().to_owned(),
                    settings,
                    textures: train.textures,
                    fine_tune,
                    teachers,
                });
            }
            TrainAction::Pause(paused) => {
                train.phase = if paused { Phase::Paused } else { Phase::Running };
                train.outbox.push_back(TrainCommand::Pause { paused });
            }
            TrainAction::Stop(keep) => train.outbox.push_back(TrainCommand::Stop { keep }),
            TrainAction::Resume(run) => {
                self.room = Room::Train;
                train.phase = Phase::Starting(0, 0);
                train.course = None;
                train.unfinished.retain(|kept| kept.info.run != run);
                train.outbox.push_back(TrainCommand::Resume { run, teachers });
            }
            TrainAction::Again => {
                train.phase = Phase::Idle;
                train.course = None;
            }
            TrainAction::Stored(kept, unfinished) => {
                train.kept = kept;
                train.unfinished = unfinished;
            }
            TrainAction::AddTextures(_) | TrainAction::Kept(_) => {}
        }
    }

    /// A trained model is used at once, whether the browser keeps it or not.
    fn inspector_is_kept(&mut self, result: Result<Inspector, String>) {
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
        self.open_model(source);
    }

    /// Follows what the engine says about the new inspector.
    pub(super) fn on_train_event(&mut self, event: TrainEvent, bulk: Option<Bulk>) {
        let train = &mut self.train;
        match event {
            TrainEvent::Added {
                image,
                width,
                height,
                copy_of,
            } => {
                let size = (width, height);
                train.with(image, |image| {
                    image.status = TrainingImageStatus::Ready { size, copy_of }
                });
                train.draw();
            }
            TrainEvent::Refused { image, message } => {
                train.with(image, |image| {
                    image.status = TrainingImageStatus::Refused(message.into())
                });
            }
            TrainEvent::Previewed { side, samples, ms } => {
                train.previewing = false;
                train.preview_error = None;
                let pictures = Bulk::pictures(bulk);
                train.preview = Some(Rc::new(Preview {
                    side,
                    samples,
                    pictures,
                    ms,
                }));
            }
            TrainEvent::TexturesShown { side } => {
                let pictures = Bulk::pictures(bulk);
                train.kinds = Some(Rc::new(Kinds { side, pictures }));
            }
            TrainEvent::PreviewFailed { message } => {
                train.previewing = false;
                train.preview_error = Some(message.into());
            }
            TrainEvent::Preparing { done, total } => train.phase = Phase::Starting(done, total),
            TrainEvent::Started(info) => {
                let before = train.course.take().filter(|course| course.info.run == info.run);
                let (steps, held_out) =
                    before.map_or_else(Default::default, |course| (course.steps, course.held_out));
                train.course = Some(Course {
                    // what was done after the last saving is done again
                    steps: steps.into_iter().filter(|step| step.step <= info.done).collect(),
                    held_out,
                    saved: (info.done > 0).then_some(info.done),
                    info,
                });
                train.phase = Phase::Running;
            }
            TrainEvent::Stepped(step) => {
                if let Some(course) = &mut train.course {
                    course.steps.push(step);
                }
                self.crashes = 0;
            }
            TrainEvent::HeldOutPredicted { step, side } => {
                if let Some(course) = &mut train.course {
                    let pictures = Bulk::pictures(bulk);
                    course.held_out = Some(Rc::new(HeldOutPrediction { step, side, pictures }));
                }
            }
            TrainEvent::Saved { step } => {
                if let Some(course) = &mut train.course {
                    course.saved = Some(step);
                }
            }
            TrainEvent::NotSaved { message } => {
                if let Some(course) = &mut train.course {
                    course.saved = None;
                }
                self.notify(message);
            }
            TrainEvent::Calibrating => train.phase = Phase::Calibrating,
            TrainEvent::Trained(info) => match bulk {
                Some(Bulk::File(file)) => {
                    let trained = Rc::new(Trained { info, file });
                    train.phase = Phase::Done(trained.clone());
                    train.unkept = Some(trained);
                }
                _ => {
                    let message = "The engine's answer was incomplete: train again.";
                    train.phase = Phase::Failed(message.into());
                }
            },
            TrainEvent::Failed { message } => train.phase = Phase::Failed(message.into()),
            TrainEvent::Discarded => {
                train.phase = Phase::Idle;
                train.course = None;
            }
        }
    }
}
