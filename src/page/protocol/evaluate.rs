//! The messages of evaluating a model on a labelled set.

use serde::{Deserialize, Serialize};

use super::ManifestFile;
use destseg_engine::data::labelled::Class;
use destseg_engine::evaluation::{Evaluation, ImageResult};
use destseg_engine::verdict::difference::Difference;

/// From the page to the engine, about an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluateCommand {
    /// Begins anew, with the loaded model. Answer: [`EvaluateEvent::Begun`] or [`EvaluateEvent::Failed`].
    Begin {
        /// Names the evaluation in the answers.
        run: u32,
        /// How many will come.
        images: usize,
        /// Teachers that the page can fetch, for helpers.
        teachers: Vec<ManifestFile>,
    },
    /// Measures the next image; the buffer holds the image file and behind it those that say where it is
    /// defective. Answer: [`EvaluateEvent::ImageMeasured`] or [`EvaluateEvent::Failed`].
    Image {
        /// The evaluation.
        run: u32,
        /// Its index in the set.
        index: usize,
        /// Its path, as annotations may name it.
        path: String,
        /// The path in the set, for people.
        name: String,
        /// What it is said to be.
        class: Class,
        /// Bytes of the image file, or why it cannot be read.
        image_bytes: Result<usize, String>,
        /// Of each file behind it that says where it is defective the name, and the bytes or why it cannot be read.
        masks: Vec<(String, Result<usize, String>)>,
    },
    /// Predicts on an image as the helper of another engine; the buffer is the image file. Answer:
    /// [`EvaluateEvent::Predicted`] or [`EvaluateEvent::Failed`].
    Predict {
        /// The evaluation.
        run: u32,
        /// Its index in the set.
        index: usize,
    },
    /// Gives up; there is no answer.
    Cancel {
        /// The evaluation.
        run: u32,
    },
    /// Asks for the figures. Answer: [`EvaluateEvent::Finished`] or [`EvaluateEvent::Failed`].
    Finish {
        /// The evaluation.
        run: u32,
        /// The set's name.
        category: String,
        /// The model's name.
        model: String,
        /// What is odd about the set.
        notes: Vec<String>,
    },
}

impl EvaluateCommand {
    /// The evaluation that it is about.
    pub fn run(&self) -> u32 {
        match self {
            Self::Begin { run, .. }
            | Self::Image { run, .. }
            | Self::Predict { run, .. }
            | Self::Cancel { run }
            | Self::Finish { run, .. } => *run,
        }
    }
}

/// From the engine to the page, about an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluateEvent {
    /// Images may come.
    Begun {
        /// The evaluation.
        run: u32,
        /// How many of them at the same time.
        at_once: usize,
    },
    /// The prediction of an image; the buffer holds its small picture and behind it the maps, `f32`, little
    /// endian: that of the segmentation network, if there is one, and the DeST map.
    Predicted {
        /// The evaluation.
        run: u32,
        /// Its index in the set.
        index: usize,
        /// The numbers, or why there are none.
        prediction: Result<HelperPrediction, String>,
    },
    /// An image is measured. The buffer is a small JPEG picture of it.
    ImageMeasured {
        /// The evaluation.
        run: u32,
        /// Its index in the set.
        index: usize,
        /// Its numbers.
        result: Box<ImageResult>,
        /// Bytes that the pixels measured so far take in the engine.
        bytes: usize,
    },
    /// The figures.
    Finished {
        /// The evaluation.
        run: u32,
        /// All of it.
        evaluation: Box<Evaluation>,
    },
    /// It cannot go on.
    Failed {
        /// The evaluation.
        run: u32,
        /// Why and what to do, one sentence.
        message: String,
    },
}

/// What a network says of an image, without what the buffer holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HelperPrediction {
    /// Columns and rows of the image.
    pub size: (u32, u32),
    /// Time that the network took.
    pub milliseconds: f64,
    /// Image score of the map that decides.
    pub score: f32,
    /// Image score of the DeST map.
    pub dest_score: f32,
    /// Distance from the good images, where the model has a record of them.
    #[serde(default)]
    pub distance: Option<f32>,
    /// How an image differs from the good ones whose distance is beyond the limit.
    #[serde(default)]
    pub difference: Option<Difference>,
    /// Bytes of the small picture.
    pub picture_bytes: usize,
    /// Columns and rows of each map.
    pub map: (usize, usize),
    /// How many maps there are: 1 or 2.
    pub maps: usize,
}
