//! The messages about measuring a model on a labelled set.

use serde::{Deserialize, Serialize};

use crate::evaluation::{Evaluation, ImageResult};
use crate::labelled::Class;

/// From the page to the engine, about an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "snake_case")]
pub enum Measure {
    /// Begins anew, with the loaded model. Answer: [`MeasureEvent::Begun`] or [`MeasureEvent::Failed`].
    Begin {
        /// Names the evaluation in the answers.
        run: u32,
    },
    /// Looks at the next image; the buffer holds the image file and behind it the mask file, if there is
    /// one. Answer: [`MeasureEvent::Seen`] or [`MeasureEvent::Failed`].
    Image {
        /// The evaluation.
        run: u32,
        /// Its place in the set.
        place: usize,
        /// Its path in the set.
        name: String,
        /// What it is said to be.
        class: Class,
        /// Bytes of the image file.
        image_bytes: usize,
        /// Whether there is a mask behind it.
        has_mask: bool,
    },
    /// Asks for the figures. Answer: [`MeasureEvent::Measured`] or [`MeasureEvent::Failed`].
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

impl Measure {
    /// The evaluation that it is about.
    pub fn run(&self) -> u32 {
        match self {
            Self::Begin { run } | Self::Image { run, .. } | Self::Finish { run, .. } => *run,
        }
    }
}

/// From the engine to the page, about an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measured", rename_all = "snake_case")]
pub enum MeasureEvent {
    /// Images may come.
    Begun {
        /// The evaluation.
        run: u32,
    },
    /// An image is measured. The buffer is a small JPEG picture of it.
    Seen {
        /// The evaluation.
        run: u32,
        /// Its place in the set.
        place: usize,
        /// Its numbers.
        result: Box<ImageResult>,
        /// Bytes that the pixels seen so far take in the engine.
        bytes: usize,
    },
    /// The figures.
    Measured {
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
