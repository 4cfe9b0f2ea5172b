//! The messages between the page and its engine. Both halves are built from this one file.
//!
//! A message travels as `[json, buffer]`: the enum as JSON text and, where a variant says so, one
//! transferred `ArrayBuffer` with the bulk data.

mod compare;
mod evaluate;
mod payload;
mod study;
mod train;

pub use compare::{Baseline, CompareCommand, CompareEvent, PredictionSummary};
pub use destseg_engine::backend::device::{BackendChoice, DeviceInfo};
use destseg_engine::config::{Component, Method};
use destseg_engine::data::brush::Point;
use destseg_engine::verdict::calibration::Calibration;
pub use destseg_engine::verdict::decision::Thresholds;
use destseg_engine::verdict::difference::Difference;
use destseg_engine::verdict::memory::Remembered;
pub use evaluate::{EvaluateCommand, EvaluateEvent, HelperPrediction};
pub use payload::Payload;
use serde::{Deserialize, Serialize};
pub use study::{Damage, StudyInfo};
pub use train::{KeptRun, RunInfo, SampleInfo, StepInfo, Textures, TrainCommand, TrainEvent, TrainedInfo};

/// Rises whenever a message changes; the page refuses an engine of another version.
pub const PROTOCOL_VERSION: u32 = 12;

/// What is said of an image that two engines, or two helpers, were lost over.
pub const STOPPED_TWICE: &str =
    "The engine stopped twice on this image: try it smaller or in another format.";

/// From the page to the engine. The engine works on one command at a time, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Chooses and prepares the device; must come first, once. Answer: [`Event::DeviceReady`].
    Start {
        /// What the visitor chose.
        backend: BackendChoice,
    },
    /// Fetches a shipped model (its teacher first, once). Answers: [`Event::Progress`], then
    /// [`Event::ModelReady`] or [`Event::Failed`].
    LoadShipped {
        /// Names this load in the answers.
        job: u32,
        /// The entry of the manifest.
        model: ManifestModel,
        /// The manifest's entry of the model's teacher.
        teacher: ManifestFile,
    },
    /// Opens a model or teacher file of the visitor; the buffer is its content. Answers as for
    /// [`Command::LoadShipped`], or [`Event::TeacherReady`].
    LoadFile {
        /// Names this load in the answers.
        job: u32,
        /// The file's name, shown as the model's name.
        name: String,
        /// Where to fetch the teachers that a compact model file only names.
        teachers: Vec<ManifestFile>,
    },
    /// Puts other thresholds of the loaded model in force. No answer.
    SetCalibration {
        /// The thresholds and the scores behind them.
        calibration: Box<Calibration>,
    },
    /// Starts helpers for this many images that are asked for in brief, in place of those there are. Answer:
    /// [`Event::Helpers`].
    Helpers {
        /// How many will come; 0 ends the helpers.
        images: usize,
        /// Teachers that the page can fetch.
        teachers: Vec<ManifestFile>,
    },
    /// Predicts on an image file with the loaded model; the buffer is its content. Answer:
    /// [`Event::Inspected`] or [`Event::Failed`].
    Inspect {
        /// Names this prediction in the answer.
        job: u32,
        /// Where the visitor has painted over a defect.
        painted: Vec<Point>,
        /// Whether the answer goes without maps, and without what a model would remember: a helper may give it.
        brief: bool,
    },
    /// Predicts on a frame of the camera with the loaded model; the buffer is its pixels, RGBA. Answer:
    /// [`Event::Camera`] or [`Event::Failed`].
    Camera {
        /// Names this job in the answer.
        job: u32,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A command of training. Answers: [`Event::Train`].
    Train {
        /// What; in a box, because a recipe has many settings.
        command: Box<TrainCommand>,
    },
    /// Gives the features behind a prediction; the buffer is the image file, and what was painted. Answer:
    /// [`Event::Studied`] or [`Event::Failed`].
    Study {
        /// Names this job in the answer.
        job: u32,
        /// What is done to the image before.
        damage: Damage,
        /// Bytes of the image file.
        image_bytes: usize,
    },
    /// Predicts on an image with a shipped network that lacks a component; the buffer is the image file. Answer:
    /// [`Event::Ablated`] or [`Event::Failed`].
    Ablate {
        /// Names this job in the answer.
        job: u32,
        /// Where the network is.
        model: ManifestFile,
        /// Where to fetch its teacher, if it is not there yet.
        teacher: ManifestFile,
    },
    /// A command of the comparison. Answers: [`Event::Compare`].
    Compare {
        /// What.
        command: CompareCommand,
    },
    /// A command of the evaluation. Answers: [`Event::Evaluate`].
    Evaluate {
        /// What.
        command: EvaluateCommand,
    },
}

/// From the engine to the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The engine's code runs and listens: the page may send commands from now on.
    Ready {
        /// [`PROTOCOL_VERSION`] of the engine.
        protocol: u32,
    },
    /// Answer to [`Command::Start`].
    DeviceReady(DeviceInfo),
    /// Bytes of a download so far.
    Progress {
        /// The load this belongs to.
        job: u32,
        /// Bytes received.
        received: u64,
        /// Bytes in all, teacher included where it is fetched too.
        total: u64,
    },
    /// The model is in place and warmed up.
    ModelReady {
        /// The load this answers.
        job: u32,
        /// What was loaded.
        model: ModelInfo,
    },
    /// The file held a teacher, which is kept for models that need it.
    TeacherReady {
        /// The load this answers.
        job: u32,
        /// Its id.
        teacher: String,
    },
    /// Answer to [`Command::Helpers`], and what is left of it where a helper is lost.
    Helpers {
        /// Images in brief that the engine takes at the same time.
        at_once: usize,
    },
    /// Result of a prediction. The buffer holds `f32` maps, little endian, row by row: the segmentation
    /// network's, if the model has one, and the DeST map, `map_width * map_height` each; then the three
    /// levels' distances. A brief result has no maps. The image's thumbnail, a JPEG file, comes last.
    Inspected {
        /// The prediction this answers.
        job: u32,
        /// The numbers; maps and thumbnail are in the buffer.
        result: PredictionInfo,
    },
    /// The prediction of a frame of the camera; the buffer is the map that decides, `f32`, little endian.
    Camera {
        /// The job this answers.
        job: u32,
        /// The numbers.
        summary: PredictionSummary,
    },
    /// An event of training.
    Train {
        /// What.
        event: TrainEvent,
    },
    /// The features behind a prediction; the buffer is as [`StudyInfo`] says.
    Studied {
        /// The job this answers.
        job: u32,
        /// The numbers.
        study: StudyInfo,
    },
    /// What the network without a component says; the buffer is its map, `f32`, little endian.
    Ablated {
        /// The job this answers.
        job: u32,
        /// The numbers.
        summary: PredictionSummary,
    },
    /// An event of the comparison.
    Compare {
        /// What.
        event: CompareEvent,
    },
    /// An event of the evaluation.
    Evaluate {
        /// What.
        event: EvaluateEvent,
    },
    /// A command failed; the engine goes on. One sentence for the visitor.
    Failed {
        /// The load or prediction that failed; none for [`Command::Start`].
        job: Option<u32>,
        /// What is wrong and what to do.
        message: String,
    },
    /// The engine is gone (panic, lost GPU): the page starts a new one.
    Fatal {
        /// What happened, one sentence.
        message: String,
    },
}

/// The loaded model, as the page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Display name.
    pub name: String,
    /// The method that it follows.
    #[serde(default)]
    pub method: Method,
    /// `compact`, `standard` or `paper`.
    pub preset: String,
    /// Teacher id, such as `efficientnet-lite0`.
    pub teacher: String,
    /// Trained parameters and the teacher's.
    pub parameters: u64,
    /// Bytes of the model file and its teacher.
    pub bytes: u64,
    /// Side of the model's square input in pixels.
    pub input_size: usize,
    /// Whether it has a segmentation network; without one the DeST map decides.
    pub segmentation: bool,
    /// What it was trained on, a phrase.
    pub trained_on: String,
    /// Milliseconds to fetch and load.
    pub load_ms: f64,
    /// Milliseconds of the first (warm-up) inference.
    pub first_ms: f64,
    /// Thresholds and the scores behind them, if the model was calibrated.
    pub calibration: Option<Calibration>,
}

/// The numbers of one analysed image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionInfo {
    /// Width of the upright image in pixels.
    pub width: u32,
    /// Height of the upright image in pixels.
    pub height: u32,
    /// Columns of each map.
    pub map_width: usize,
    /// Rows of each map.
    pub map_height: usize,
    /// Columns and rows of the three levels' maps, fine to coarse.
    pub levels: [[usize; 2]; 3],
    /// Bytes of the thumbnail.
    pub thumbnail_bytes: usize,
    /// Highest value of the DeST map.
    pub dest_maximum: f32,
    /// Image score of the map that decides; in (0, 1) for the segmentation network's.
    pub score: f32,
    /// The same without any memory of corrected images.
    pub plain_score: f32,
    /// The [`fingerprint`](destseg_engine::verdict::corrections::fingerprint) of the image's file.
    pub fingerprint: String,
    /// What a model would remember of it if it is good.
    pub good_places: Vec<Remembered>,
    /// What a model would remember of the defect that was painted over.
    pub painted_places: Vec<Remembered>,
    /// Image score of the DeST map.
    pub dest_score: f32,
    /// Whether the image shows something else than the model's part; none where the model cannot tell.
    #[serde(default)]
    pub unfamiliar: Option<bool>,
    /// Whether it shows another part, whatever the visitor says.
    pub foreign: bool,
    /// Distance from the good images, where the model has a record of them.
    #[serde(default)]
    pub distance: Option<f32>,
    /// How an unfamiliar image differs from the good images.
    #[serde(default)]
    pub difference: Option<Difference>,
    /// How its file differs from those that the model was trained from, a sentence; none where it does not.
    #[serde(default)]
    pub note: Option<String>,
    /// Milliseconds to decode.
    pub decode_ms: f64,
    /// Milliseconds of resizing and the networks, reading back included.
    pub inference_ms: f64,
}

/// `models/manifest.json`: what is shipped with the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Teachers, by id.
    pub teachers: Vec<ManifestFile>,
    /// Models; the first is loaded when the page opens.
    pub models: Vec<ManifestModel>,
    /// Small networks that show what a component is worth.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ablations: Vec<AblatedModel>,
    /// Photos of a real part, to try a training with.
    #[serde(default)]
    pub photos: Photos,
}

/// Photos that are fetched when the visitor asks for them: paths relative to the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photos {
    /// Of good parts, to train on.
    pub train: Vec<String>,
    /// Of other parts, good and defective, to look at with the trained model.
    pub test: Vec<String>,
}

/// A shipped file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Unique id; for teachers the id that model files name.
    pub id: String,
    /// Path relative to the page.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// A shipped model with its examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestModel {
    /// The weights file; `id` is the category.
    #[serde(flatten)]
    pub file: ManifestFile,
    /// Display name.
    pub name: String,
    /// Id of its teacher.
    pub teacher: String,
    /// Images of this category to try it on.
    pub examples: Vec<Example>,
}

/// A small network that lacks a component, or the complete one that it is compared with: all of a model are
/// trained alike, on that model's images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AblatedModel {
    /// The weights file.
    #[serde(flatten)]
    pub file: ManifestFile,
    /// Id of the model with these images.
    pub of: String,
    /// What is missing; nothing in the complete one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Component>,
}

/// A bundled example image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Path relative to the page.
    pub file: String,
    /// "good", or the kind of defect.
    pub label: String,
    /// What the picture shows, for screen readers.
    pub alt: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_journey() {
        let command = Command::LoadFile {
            job: 7,
            name: "a \"b\".safetensors".into(),
            teachers: vec![],
        };
        let text = serde_json::to_string(&command).expect("serialises");
        assert_eq!(serde_json::from_str::<Command>(&text).expect("parses"), command);

        let event = Event::Failed {
            job: None,
            message: "no".into(),
        };
        let text = serde_json::to_string(&event).expect("serialises");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("parses"), event);
    }

    #[test]
    fn backend_ids_are_the_serialised_names() {
        for choice in BackendChoice::ALL {
            assert_eq!(BackendChoice::from_id(choice.id()), Some(choice));
            assert_eq!(
                serde_json::to_string(&choice).expect("serialises"),
                format!("\"{}\"", choice.id())
            );
        }
    }
}
