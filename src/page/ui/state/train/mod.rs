//! A new inspector: its good images, the preview of synthetic anomalies, its training, and the
//! inspectors that the browser keeps.

mod collection;
mod events;
mod kept;
mod plan;
mod preview;
mod run;

use std::collections::VecDeque;
use std::rc::Rc;

pub use collection::{ENOUGH_IMAGES, TrainingImage, TrainingImageStatus};
pub use kept::{Inspector, RECORD_VERSION, Usage};
pub use preview::{Kinds, Preview};
pub use run::{Course, Effort, HeldOutPrediction, Phase, Trained};

use super::{Bulk, Load, Model, ModelSource, Room, State};
use crate::page::protocol::{KeptRun, ManifestFile, Textures, TrainCommand};
use crate::page::shared::content::UserFile;
use destseg_engine::config::{Preset, Settings, TrainConfig};

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
    /// The visitor, or the page's address, has chosen network, input size or layout.
    pub is_chosen: bool,
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
    /// What the page takes of the browser's storage, where that is known.
    pub usage: Option<Usage>,
    /// The trained model is to be kept.
    pub unkept: Option<Rc<Trained>>,
    /// The trained model, which the visitor may use.
    pub trained: Option<ModelSource>,
    /// Nobody has used it yet.
    is_news: bool,
    /// The visitor wants to use it, as soon as it is kept.
    is_wanted: bool,
    /// The good images are those that come with the page.
    pub is_trial: bool,
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
            is_chosen: false,
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
            usage: None,
            unkept: None,
            trained: None,
            is_news: false,
            is_wanted: false,
            is_trial: false,
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
    /// Pauses or resumes.
    Pause(bool),
    /// Ends the training, with the model or without.
    Stop(bool),
    /// Resumes an interrupted training.
    Resume(String),
    /// Inspects with the trained model.
    Use,
    /// Leaves the result and begins anew.
    Again,
    /// What the browser keeps: inspectors and interrupted trainings, and what that takes.
    Stored(Vec<Inspector>, Vec<KeptRun>, Option<Usage>),
    /// The trained model was kept, or a sentence why not.
    Kept(Result<Inspector, String>),
}

impl TrainState {
    /// Pixels of the input's side, and images of a step, where the page's address has them.
    pub fn set_sizes(&mut self, side: Option<usize>, batch: Option<usize>) {
        let model = &mut self.settings.model;
        let before = model.input_size;
        self.is_chosen = side.is_some();
        model.input_size = side.unwrap_or(before);
        if model.validate().is_err() {
            model.input_size = before;
        }
        self.batch = batch.map(|batch: usize| batch.max(2));
    }

    /// The next job of training.
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
        self.next_preview(is_shown)
    }

    pub(super) fn begin(&mut self, job: &TrainJob) {
        match job {
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
}

/// A job of training.
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
            TrainAction::Use => return self.use_trained(),
            TrainAction::Train | TrainAction::Resume(_) | TrainAction::Again => self.forget_trained(),
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
            TrainAction::Settings(settings) => {
                train.is_chosen |= settings.model != train.settings.model;
                train.change(*settings);
            }
            TrainAction::Textures(textures) => {
                train.textures = textures;
                train.draw();
            }
            TrainAction::Effort(effort) => train.effort = effort,
            TrainAction::FineTune(fine_tune) => train.fine_tune = fine_tune,
            TrainAction::Preset(preset) => {
                train.is_chosen = true;
                train.set_preset(preset);
            }
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
            TrainAction::Stored(kept, unfinished, usage) => {
                train.kept = kept;
                train.usage = usage;
                self.set_unfinished(unfinished);
            }
            TrainAction::AddTextures(_) | TrainAction::Kept(_) | TrainAction::Use => {}
        }
    }
}
