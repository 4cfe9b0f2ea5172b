//! The messages about comparing methods on the same images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ManifestFile, Thresholds};
use destseg_engine::config::Method;

/// From the page to the engine, about a comparison. Good images are those collected for a new inspector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareCommand {
    /// Prepares a baseline of the good images. Answers: [`CompareEvent::Progress`], then
    /// [`CompareEvent::Ready`] or [`CompareEvent::Failed`].
    Prepare {
        /// A method with a [`baseline`](destseg_engine::methods::Entry::baseline).
        method: Method,
        /// Changed settings by their names.
        settings: BTreeMap<String, f64>,
        /// Where to fetch the teacher, if it is not there yet.
        teachers: Vec<ManifestFile>,
    },
    /// Stops preparing.
    Stop,
    /// Predicts on an image with the loaded model and all baselines; the buffer is its file. Answer:
    /// [`CompareEvent::Compared`] or [`CompareEvent::Failed`].
    Predict {
        /// Names this job in the answer.
        job: u32,
    },
}

/// From the engine to the page, about a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareEvent {
    /// A baseline is being prepared.
    Progress {
        /// Which.
        method: Method,
        /// What goes on, in words.
        doing: String,
        /// How much is done.
        done: usize,
        /// Of how much.
        total: usize,
    },
    /// A baseline is ready; the buffer is its file.
    Ready {
        /// Which.
        method: Method,
        /// What is known of it.
        baseline: Baseline,
    },
    /// What all say about an image; the buffer holds their maps, `f32`, little endian, one after the other.
    Compared {
        /// The job this answers.
        job: u32,
        /// The loaded model first.
        predictions: Vec<PredictionSummary>,
    },
    /// A baseline or a prediction failed.
    Failed {
        /// Why and what to do, one sentence.
        message: String,
    },
}

/// A method that is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Good images that it was made of.
    pub images: usize,
    /// Patches that are remembered, and how many there were.
    pub patches: Option<(usize, usize)>,
    /// Bytes of its file, without the teacher.
    pub bytes: usize,
    /// Milliseconds that it took to prepare.
    pub ms: f64,
}

/// What a method says about an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionSummary {
    /// The method.
    pub method: Method,
    /// Image score.
    pub score: f32,
    /// Its thresholds, if it is calibrated.
    pub thresholds: Option<Thresholds>,
    /// Whether the map's values are probabilities, not distances.
    pub probabilities: bool,
    /// Columns and rows of its map.
    pub size: (usize, usize),
    /// Whether the image shows something else than the model's part; none where the model cannot tell.
    #[serde(default)]
    pub unfamiliar: Option<bool>,
    /// Milliseconds that it took.
    pub ms: f64,
}
