//! Everything the page knows. No browser calls: [`State::apply`](State::reduce) says how it changes,
//! [`State::next_job`] what the engine should do next, and the page carries that out.

mod ablate;
mod camera;
mod compare;
mod diagnostics;
mod evaluate;
mod given;
mod gpu_engine;
mod item;
mod queue;
mod reducer;
mod study;
#[cfg(test)]
mod tests;
mod threshold;
mod train;
mod verdict;
mod worker;

use std::rc::Rc;

pub use ablate::{AblateJob, AblateState};
pub use camera::{CameraPrediction, CameraState};
pub use compare::{CompareAction, CompareJob, CompareState, Comparison, Readiness};
pub use evaluate::{EvaluateAction, EvaluateJob, EvaluateState, LabelledFiles, Order, Progress};
pub use given::{Given, Text};
pub use gpu_engine::GpuEngineFiles;
pub use item::{Item, MapKind, Prediction, Status};
pub use queue::{Helpers, Listing, Working};
pub use reducer::Action;
pub(crate) use reducer::Dispatch;
pub use study::{StudyAction, StudyJob, StudyState};
pub use threshold::{KEPT, KeptThreshold, Mark, ThresholdChange};
pub use train::{
    Course, ENOUGH_IMAGES, Effort, HeldOutPrediction, Inspector, Kinds, Phase, Preview, RECORD_VERSION,
    TrainAction, TrainJob, TrainState, Trained, TrainingImage, TrainingImageStatus, Usage,
};
pub use verdict::Verdict;
use web_sys::{Blob, HtmlVideoElement};

use crate::page::protocol::{BackendChoice, DeviceInfo, Manifest, ManifestModel, ModelInfo, PredictionInfo};
use destseg_engine::methods::info;
use destseg_engine::order;
use destseg_engine::render::ColorMap;
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::decision;

/// Names an image of the queue, for as long as the page is open.
pub type ItemId = u32;

/// The map threshold of a model without calibration.
const PIXEL_THRESHOLD: f32 = 0.5;

/// Where the worker stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Engine {
    /// Its code is being loaded.
    Starting,
    /// It listens, and the device must be chosen.
    Listening,
    /// It prepares the device.
    Preparing,
    /// It takes loads and analyses.
    Running,
    /// It is gone for good, for this reason, unless the visitor tries again.
    Stopped(String),
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelSource {
    /// The manifest's model with this index.
    Shipped(usize),
    /// A file of the visitor.
    File {
        /// The file's name.
        name: Rc<str>,
        /// Its content.
        blob: Blob,
    },
    /// An inspector that the browser keeps.
    Kept {
        /// [`Inspector::id`].
        id: Rc<str>,
        /// Its name.
        name: Rc<str>,
        /// Its model file.
        blob: Blob,
    },
}

/// What comes with an event beside its words.
#[derive(Debug)]
pub enum Bulk {
    /// Maps, one value after the other.
    Maps(Vec<f32>),
    /// Pictures, one after the other.
    Pictures(Vec<u8>),
    /// Several things, as the event's numbers say.
    Packed(Vec<u8>),
    /// A model file.
    File(Blob),
}

impl Bulk {
    /// The bytes of pictures; none where something else came, or nothing.
    fn pictures(bulk: Option<Self>) -> Vec<u8> {
        match bulk {
            Some(Self::Pictures(bytes)) => bytes,
            Some(Self::Maps(_) | Self::Packed(_) | Self::File(_)) | None => Vec::new(),
        }
    }

    /// The values of maps; none where something else came, or nothing.
    fn values(bulk: Option<Self>) -> Vec<f32> {
        match bulk {
            Some(Self::Maps(values)) => values,
            Some(Self::Pictures(_) | Self::Packed(_) | Self::File(_)) | None => Vec::new(),
        }
    }
}

/// A model on its way.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// None.
    Idle,
    /// To be loaded as soon as the engine listens.
    Wanted(ModelSource),
    /// Being loaded.
    Running {
        /// What is loaded.
        source: ModelSource,
        /// Names the load in the engine's answers.
        job: u32,
        /// Bytes received.
        received: u64,
        /// Bytes in all; 0 while unknown.
        total: u64,
    },
    /// It did not work, for this reason.
    Failed(ModelSource, Rc<str>),
}

/// The model that results belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Where it came from.
    pub source: ModelSource,
    /// What the engine said about it.
    pub info: Rc<ModelInfo>,
}

impl Model {
    /// Whether there are features of teacher and student to look at.
    pub fn has_student(&self) -> bool {
        info(self.info.method).has_student
    }
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Which map.
    pub kind: MapKind,
    /// Its colours.
    pub colors: ColorMap,
    /// Opacity of the overlay, `0..=1`.
    pub opacity: f32,
    /// Whether the overlay is drawn.
    pub overlay: bool,
    /// Whether the outline is drawn.
    pub contour: bool,
    /// Thresholds moved by the visitor, by map; none follows the model.
    pub thresholds: [Option<f32>; 2],
    /// One image pixel per screen pixel instead of the whole image.
    pub actual_size: bool,
    /// Whether the maps behind the result are shown.
    pub inside: bool,
    /// The step of the tour that is shown.
    pub tour: Option<usize>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            kind: MapKind::Segmentation,
            colors: ColorMap::Turbo,
            opacity: 0.6,
            overlay: true,
            contour: true,
            thresholds: [None; 2],
            actual_size: false,
            inside: false,
            tour: None,
        }
    }
}

/// Something the visitor should know, until dismissed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its identity.
    pub id: u32,
    /// One sentence.
    pub text: Rc<str>,
    /// What it offers to do.
    pub offer: Option<Offer>,
}

/// What a notice offers to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// To use the inspector that was trained.
    Use,
    /// To resume the interrupted training with this name.
    Resume(Rc<str>),
}

impl Offer {
    /// The words of its button.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Use => "Use it now",
            Self::Resume(_) => "Resume",
        }
    }
}

/// A job for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// To choose its device.
    Start(BackendChoice),
    /// To load a model.
    Load(ModelSource),
    /// To put thresholds of the model in place in force.
    SetCalibration(Box<Calibration>),
    /// To give the prediction of an image, in brief or with its maps.
    Inspect(ItemId, bool),
    /// To start helpers for so many images, or to end them.
    Helpers(usize),
    /// A job of training.
    Train(TrainJob),
    /// A job of the evaluation.
    Evaluate(EvaluateJob),
    /// A job of the comparison.
    Compare(CompareJob),
    /// To give the features behind a result.
    Study(StudyJob),
    /// To give the prediction of a network that lacks a component.
    Ablate(AblateJob),
    /// To give the prediction of the camera's next frame.
    Camera(HtmlVideoElement),
    /// To make way for the GPU engine.
    SwitchToGpuEngine,
}

/// What the page shows: one room at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Room {
    /// The queue, the image shown and its verdict.
    #[default]
    Inspect,
    /// Good images, synthetic anomalies, training.
    Train,
    /// Methods side by side.
    Compare,
    /// The model on a labelled folder.
    Evaluate,
}

/// The page.
#[derive(Debug, Clone)]
pub struct State {
    /// The room that is shown.
    pub room: Room,
    /// Where to compute, as chosen or fallen back to.
    pub backend: BackendChoice,
    /// Counts the workers; a new number asks for a new worker.
    pub generation: u32,
    /// Whether the worker is the GPU engine, or the CPU engine.
    pub gpu_engine: bool,
    /// What is known about the files of the GPU engine.
    pub gpu_engine_files: GpuEngineFiles,
    /// Crashes since the last result.
    pub crashes: u32,
    /// Where the worker stands.
    pub engine: Engine,
    /// The engine's device, once prepared.
    pub device: Option<Rc<DeviceInfo>>,
    /// What is shipped; none until it is fetched.
    pub manifest: Option<Rc<Manifest>>,
    /// Id of the model that the address asks for.
    pub requested: Option<Rc<str>>,
    /// The manifest's model whose examples are offered.
    pub shelf: Option<usize>,
    /// The model that results belong to.
    pub model: Option<Model>,
    /// Whether the present worker has that model.
    pub model_loaded: bool,
    /// Whether its thresholds were changed and the engine has not heard of it.
    pub calibration_is_new: bool,
    /// The model on its way.
    pub load: Load,
    /// The queue.
    pub items: Vec<Item>,
    /// Images removed from the queue last, with their places, to be brought back.
    pub removed: Vec<(usize, Item)>,
    /// Which images of the queue are listed.
    pub listing: Listing,
    /// The image shown.
    pub selected: Option<ItemId>,
    /// The images in the engine.
    pub working: Vec<Working>,
    /// The engine's helpers for the queue.
    pub helpers: Helpers,
    /// The results whose maps are kept, the latest last.
    pub predictions: Vec<Rc<Prediction>>,
    /// The latest inference times of this model, in milliseconds.
    pub times: Vec<f64>,
    /// How results are shown.
    pub view: View,
    /// New and kept inspectors.
    pub train: TrainState,
    /// Methods side by side.
    pub compare: CompareState,
    /// The features behind the result shown.
    pub study: StudyState,
    /// The network without one of its components.
    pub ablate: AblateState,
    /// The camera's picture and the verdict on it.
    pub camera: CameraState,
    /// Measuring the model on a labelled folder.
    pub evaluate: EvaluateState,
    /// What the visitor should know.
    pub notices: Vec<Notice>,
    /// What went wrong in this visit, the latest last.
    pub log: Vec<Rc<str>>,
    /// The last number given to an image, job or notice.
    pub counter: u32,
}

impl State {
    /// A page that has just opened, with what its address asks for.
    pub fn new(backend: BackendChoice, model: Option<Rc<str>>) -> Self {
        Self {
            room: Room::default(),
            backend,
            generation: 1,
            gpu_engine: backend == BackendChoice::Webgpu,
            gpu_engine_files: GpuEngineFiles::default(),
            crashes: 0,
            engine: Engine::Starting,
            device: None,
            manifest: None,
            requested: model,
            shelf: None,
            model: None,
            model_loaded: false,
            calibration_is_new: false,
            load: Load::Idle,
            items: Vec::new(),
            removed: Vec::new(),
            listing: Listing::default(),
            selected: None,
            working: Vec::new(),
            helpers: Helpers::default(),
            predictions: Vec::new(),
            times: Vec::new(),
            view: View::default(),
            train: TrainState::default(),
            compare: CompareState::default(),
            study: StudyState::default(),
            ablate: AblateState::default(),
            camera: CameraState::default(),
            evaluate: EvaluateState::default(),
            notices: Vec::new(),
            log: Vec::new(),
            counter: 0,
        }
    }

    /// The next job; none while the engine is busy or there is nothing to do.
    pub fn next_job(&self) -> Option<Job> {
        match self.engine {
            Engine::Listening => return Some(Job::Start(self.backend_of_engine())),
            Engine::Running => {}
            Engine::Starting | Engine::Preparing | Engine::Stopped(_) => return None,
        }
        let command = self.train.next_job(self.room == Room::Train);
        let command = command.filter(|job| !self.waits_for_model(job));
        if let Some(job) = command.and_then(|job| self.on_best_engine(Job::Train(job))) {
            return Some(job);
        }
        match &self.load {
            Load::Wanted(source) => Some(Job::Load(source.clone())),
            Load::Idle if self.model_loaded && self.calibration_is_new => {
                let calibration = self.calibration().cloned();
                calibration.map(|own| Job::SetCalibration(own.into()))
            }
            Load::Idle if self.model_loaded => {
                let evaluation = self.next_evaluation().map(Job::Evaluate);
                evaluation
                    .or_else(|| {
                        self.next_comparison()
                            .and_then(|job| self.on_best_engine(Job::Compare(job)))
                    })
                    .or_else(|| self.next_study().map(Job::Study))
                    .or_else(|| self.next_ablation().map(Job::Ablate))
                    .or_else(|| self.next_inspection())
                    .or_else(|| self.is_gpu_due().then_some(Job::SwitchToGpuEngine))
                    .or_else(|| self.next_camera().map(Job::Camera))
            }
            _ => None,
        }
    }

    fn next_evaluation(&self) -> Option<EvaluateJob> {
        let model = self.model.as_ref()?;
        self.evaluate.next_job(&model.info.name, &self.teachers())
    }

    /// Whether nothing goes on until the visitor does something.
    pub fn is_stuck(&self) -> bool {
        matches!(self.engine, Engine::Stopped(_)) || matches!(self.load, Load::Failed(..))
    }

    /// The image shown.
    pub fn current(&self) -> Option<&Item> {
        self.item(self.selected?)
    }

    /// An image of the queue.
    pub fn item(&self, id: ItemId) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    /// The manifest's model whose examples are offered.
    pub fn shelf_model(&self) -> Option<&ManifestModel> {
        self.manifest.as_ref()?.models.get(self.shelf?)
    }

    /// The source that the model menu should show: the one on its way, else the one in place.
    pub fn shown_source(&self) -> Option<&ModelSource> {
        match &self.load {
            Load::Wanted(source) | Load::Running { source, .. } | Load::Failed(source, _) => Some(source),
            Load::Idle => self.model.as_ref().map(|model| &model.source),
        }
    }

    /// Display name of a model source.
    pub fn source_name(&self, source: &ModelSource) -> Rc<str> {
        match source {
            ModelSource::File { name, .. } | ModelSource::Kept { name, .. } => name.clone(),
            ModelSource::Shipped(index) => {
                let model = self
                    .manifest
                    .as_ref()
                    .and_then(|manifest| manifest.models.get(*index));
                model.map_or_else(|| "model".into(), |model| model.name.as_str().into())
            }
        }
    }

    /// The maps that the present model gives.
    pub fn map_kinds(&self) -> &'static [MapKind] {
        match &self.model {
            Some(model) if !model.info.segmentation => &[MapKind::Dest],
            _ => &MapKind::ALL,
        }
    }

    /// The values that the colours span.
    pub fn range(&self) -> (f32, f32) {
        let high = match self.view.kind {
            MapKind::Segmentation => 1.0,
            MapKind::Dest => self.dest_span(),
        };
        (0.0, high)
    }

    /// The threshold that the model suggests for the map shown.
    pub fn suggested_threshold(&self) -> f32 {
        let calibration = self.calibration();
        // calibration is of the map that decides
        let decides = self.map_kinds().first() == Some(&self.view.kind);
        match calibration.filter(|_| decides) {
            Some(calibration) => calibration.pixel_threshold,
            None => self.range().1 * PIXEL_THRESHOLD,
        }
    }

    /// Map values from here on are outlined.
    pub fn threshold(&self) -> f32 {
        self.view.thresholds[self.view.kind as usize].unwrap_or_else(|| self.suggested_threshold())
    }

    /// What a result means with the present model.
    pub fn verdict(&self, info: &PredictionInfo) -> Verdict {
        Verdict::new(info.score, self.calibration()).about(info.unfamiliar)
    }

    /// Whether the model does not know the part in an image.
    pub fn is_unfamiliar(&self, item: &Item) -> bool {
        item.info()
            .is_some_and(|info| self.kind(info) == decision::Verdict::Unfamiliar)
    }

    /// How a result is shown: what is no part of the model's has no heat map and no outline, which would look like a
    /// defect.
    pub fn view_of(&self, verdict: &Verdict) -> View {
        let is_known = verdict.kind() != decision::Verdict::Unfamiliar;
        View {
            overlay: self.view.overlay && is_known,
            contour: self.view.contour && is_known,
            ..self.view
        }
    }

    /// Median inference time in milliseconds.
    pub fn median_ms(&self) -> Option<f64> {
        let mut times = self.times.clone();
        order::sort_by(&mut times, f64::total_cmp);
        let middle = times.len() / 2;
        match times.len() {
            0 => None,
            count if count % 2 == 0 => Some((times[middle - 1] + times[middle]) / 2.0),
            _ => Some(times[middle]),
        }
    }
}
