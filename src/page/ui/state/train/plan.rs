//! What a training will need, and what it can be on this device.

use super::{Effort, Load, Model, State, TrainJob, TrainState, TrainingImage};
use crate::page::protocol::{BackendChoice, TrainCommand};
use destseg_engine::config::{ModelConfig, Preset, Settings, Suggestion};
use destseg_engine::train::footprint::{self, BATCHES, Limits};

/// Bytes that a training on the CPU may take: WebAssembly ends at 4 GB, and the page has other things there.
const MOST_MEMORY: u64 = 2_500_000_000;
/// A prediction by the paper's network takes about as long as so many by the compact one (`docs/performance.md`).
const PAPER_WORK: f64 = 11.0;

impl TrainState {
    /// Chooses network and recipe; what the visitor set about images and anomalies stays.
    pub(super) fn set_preset(&mut self, preset: Preset) {
        let Settings { model, training } = Settings::preset(preset);
        let before = std::mem::replace(&mut self.settings.training, training);
        self.settings.training.held_out = before.held_out;
        self.settings.training.synthesis = before.synthesis;
        self.settings.training.augment = before.augment;
        let before = &self.settings.model;
        let is_usual = before.input_size == ModelConfig::preset(before.preset).input_size;
        let model = ModelConfig {
            input_size: if is_usual {
                model.input_size
            } else {
                before.input_size
            },
            fit: before.fit,
            ..model
        };
        self.change_model(model);
    }

    /// Changes the network, and reads the photos again if it sees them otherwise.
    fn change_model(&mut self, model: ModelConfig) {
        let training = self.settings.training.clone();
        self.change(Settings { model, training });
    }
}

impl State {
    /// What suits the photos and the device; none without photos.
    pub fn suggestion(&self) -> Option<Suggestion> {
        let photos = self.train.images.iter();
        let sizes: Vec<(u32, u32)> = photos.filter_map(TrainingImage::size).collect();
        let device = self.device.as_deref();
        let is_fast = device.is_some_and(|device| device.backend != BackendChoice::Cpu);
        Suggestion::of(&sizes, is_fast)
    }

    /// Follows the suggestion once all photos are there, unless the visitor has chosen.
    pub(super) fn follow_suggestion(&mut self) {
        if self.train.is_chosen || self.train.is_training() || self.train.is_collecting() {
            return;
        }
        let model = &self.train.settings.model;
        let own = self.suggestion();
        if let Some(own) = own.filter(|own| (own.preset, own.fit) != (model.preset, model.fit)) {
            self.train.change_model(ModelConfig {
                fit: own.fit,
                ..ModelConfig::preset(own.preset)
            });
        }
    }

    /// The model that a training starts from; none if it begins with random weights.
    pub fn starting_model(&self) -> Option<&Model> {
        self.possible_start().filter(|_| self.train.fine_tune)
    }

    /// The open model, if a training can start from it.
    pub fn possible_start(&self) -> Option<&Model> {
        let wanted = &self.train.settings.model;
        let has_it = self.model_loaded || self.is_loading();
        let model = self.model.as_ref().filter(|_| has_it)?;
        let info = &model.info;
        let fits = info.method == wanted.method && info.teacher == wanted.teacher.id();
        (fits && info.segmentation).then_some(model)
    }

    /// Whether a training is to start from the model that the engine is only about to have.
    pub(in crate::page::ui::state) fn waits_for_model(&self, job: &TrainJob) -> bool {
        let starts = matches!(job, TrainJob::Command(command) if matches!(**command, TrainCommand::Begin { fine_tune: true, .. }));
        starts && self.is_loading()
    }

    fn is_loading(&self) -> bool {
        matches!(self.load, Load::Wanted(_) | Load::Running { .. })
    }

    /// Steps of the two stages.
    pub fn training_steps(&self, effort: Effort) -> [usize; 2] {
        effort.steps(self.train.settings.model.preset, self.starting_model().is_some())
    }

    /// What the device takes.
    pub fn limits(&self) -> Limits {
        let device = self.device.as_deref();
        let tensor = device.and_then(|device| device.largest_tensor);
        Limits {
            tensor,
            memory: tensor.is_none().then_some(MOST_MEMORY),
        }
    }

    /// Images of a step: the visitor's number or the recipe's, or as many of them as the device takes; none
    /// if it does not even take two.
    pub fn batch(&self) -> Option<usize> {
        let train = &self.train;
        let preset = train.settings.model.preset;
        let wanted = train
            .batch
            .unwrap_or_else(|| Settings::preset(preset).training.batch);
        footprint::fitting_batch(&train.settings.model, wanted, &self.limits())
    }

    /// Numbers of images of a step that the device takes.
    pub fn batches(&self) -> Vec<usize> {
        let (model, limits) = (&self.train.settings.model, self.limits());
        let fits = |&batch: &usize| limits.allow(model, batch);
        BATCHES.into_iter().filter(fits).collect()
    }

    /// About how many bytes the training takes.
    pub fn training_bytes(&self) -> Option<u64> {
        Some(footprint::training_bytes(
            &self.train.settings.model,
            self.batch()?,
        ))
    }

    /// Whether the engine has, or can fetch, the teacher of the network to be trained.
    pub fn has_teacher(&self) -> bool {
        let teacher = self.train.settings.model.teacher.id();
        let shipped = self.manifest.iter().flat_map(|manifest| &manifest.teachers);
        shipped.map(|file| file.id.as_str()).any(|id| id == teacher)
            || self.train.teachers.iter().any(|id| **id == *teacher)
            // a model that needs it has brought it along
            || self.model.as_ref().is_some_and(|model| self.model_loaded && model.info.teacher == teacher)
    }

    /// Why the training cannot begin yet, one sentence.
    pub fn training_obstacle(&self) -> Option<String> {
        if self.batch().is_none() {
            return Some(
                "Not even two images fit into this device's memory at once: choose a smaller size.".into(),
            );
        }
        if !self.has_teacher() {
            let teacher = self.train.settings.model.teacher.id();
            return Some(format!(
                "This network learns from the {teacher} teacher, which is not part of this page: open its file first."
            ));
        }
        self.train.obstacle()
    }

    /// About how many milliseconds the training will take: from the measured time of a prediction.
    pub fn training_estimate_ms(&self) -> Option<f64> {
        /// A step's work per image in analyses of the same size, roughly: forward, backward, and the teacher again.
        const ANALYSES_PER_IMAGE: f64 = 1.4;
        let work = |preset: &str| {
            if preset == Preset::Paper.id() {
                PAPER_WORK
            } else {
                1.0
            }
        };
        let model = self.model.as_ref().filter(|_| self.load == Load::Idle)?;
        let settings = &self.train.settings;
        let scale = settings.model.input_size as f64 / model.info.input_size as f64;
        let steps: usize = self.training_steps(self.train.effort).iter().sum();
        let images = (steps * self.batch()?) as f64;
        let relative = work(settings.model.preset.id()) / work(&model.info.preset);
        Some(self.median_ms()? * ANALYSES_PER_IMAGE * relative * scale * scale * images)
    }
}
