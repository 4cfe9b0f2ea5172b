//! The messages of training a new inspector: its good images, the preview of synthetic anomalies, its training.

use serde::{Deserialize, Serialize};

use destseg_engine::config::{InputLayout, Settings};
use destseg_engine::data::facts::FileFacts;
pub use destseg_engine::synthesis::preview::SampleInfo;
use destseg_engine::verdict::calibration::Calibration;

use super::ManifestFile;

/// What synthetic anomalies are filled with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Textures {
    /// The procedural patterns.
    #[default]
    BuiltIn,
    /// The good images themselves: parts in the wrong place.
    GoodImages,
    /// The visitor's texture images, given by [`TrainCommand::AddTexture`].
    Own,
}

/// From the page to the engine, about training. The engine takes them between two steps of a
/// training, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainCommand {
    /// Decodes a good image and keeps what the network will see of it; the buffer is the file's content.
    /// Answer: [`TrainEvent::Added`] or [`TrainEvent::Refused`].
    Add {
        /// Names the image.
        image: u32,
        /// Side of the network's input in pixels.
        side: usize,
        /// How images of another shape are shown to it.
        fit: InputLayout,
    },
    /// Forgets these good images.
    Remove {
        /// Their names.
        images: Vec<u32>,
    },
    /// Decodes a texture image. Answers as for [`TrainCommand::Add`].
    AddTexture {
        /// Names the texture; images and textures share their numbers.
        image: u32,
    },
    /// Paints one picture of each built-in texture. Answer: [`TrainEvent::TexturesShown`].
    ShowTextures {
        /// Side of each in pixels.
        side: usize,
    },
    /// Draws synthetic anomalies on the good images. Answer: [`TrainEvent::Previewed`] or
    /// [`TrainEvent::PreviewFailed`].
    Preview {
        /// The generator is that of these settings.
        settings: Settings,
        /// What anomalies are filled with.
        textures: Textures,
        /// Other samples for every number.
        seed: u64,
        /// How many.
        count: usize,
    },
    /// Trains on the good images. Answers: [`TrainEvent::Started`], then one [`TrainEvent::Stepped`] for
    /// every step and now and then [`TrainEvent::HeldOutPredicted`] and [`TrainEvent::Saved`]; at the end
    /// [`TrainEvent::Trained`] or [`TrainEvent::Failed`].
    Begin {
        /// Names the inspector.
        name: String,
        /// Network and recipe.
        settings: Settings,
        /// What anomalies are filled with.
        textures: Textures,
        /// Start from the loaded model instead of random weights, if it has the same shape.
        fine_tune: bool,
        /// Where to fetch the teacher, if it is not there yet.
        teachers: Vec<ManifestFile>,
    },
    /// Resumes an interrupted training from the state that the browser kept. Answers as for
    /// [`TrainCommand::Begin`].
    Resume {
        /// [`RunInfo::run`].
        run: String,
        /// Where to fetch the teacher, if it is not there yet.
        teachers: Vec<ManifestFile>,
    },
    /// Pauses before the next step and keeps the state, or resumes.
    Pause {
        /// Whether to wait.
        paused: bool,
    },
    /// Ends the training. Answer: [`TrainEvent::Trained`], or [`TrainEvent::Discarded`].
    Stop {
        /// Whether the model is wanted as it is now.
        keep: bool,
    },
}

/// From the engine to the page, about training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainEvent {
    /// An image is in place.
    Added {
        /// The image.
        image: u32,
        /// Its upright width in pixels.
        width: u32,
        /// Its upright height in pixels.
        height: u32,
        /// An earlier image with the same pixels.
        copy_of: Option<u32>,
    },
    /// An image cannot be used.
    Refused {
        /// The image.
        image: u32,
        /// Why, one sentence.
        message: String,
    },
    /// The buffer holds, for each sample, four RGBA pictures of `side * side`: good image, Perlin mask,
    /// texture, result.
    Previewed {
        /// Side of each picture in pixels.
        side: usize,
        /// The numbers behind each sample.
        samples: Vec<SampleInfo>,
        /// Milliseconds it took.
        ms: f64,
    },
    /// The buffer holds an RGBA picture of `side * side` for each kind of [`destseg_engine::config::Texture::ALL`].
    TexturesShown {
        /// Side of each picture in pixels.
        side: usize,
    },
    /// There is no preview.
    PreviewFailed {
        /// Why, one sentence.
        message: String,
    },
    /// The device's kernels are being prepared; the first step waits for them.
    Preparing {
        /// Parts that are done.
        done: usize,
        /// Parts in all.
        total: usize,
    },
    /// The training begins or resumes.
    Started(RunInfo),
    /// A step is done.
    Stepped(StepInfo),
    /// The prediction of a held-out image so far. The buffer holds five RGBA pictures of
    /// `side * side`: the image with a synthetic anomaly, the anomaly's mask, its heat map, the image as
    /// it is, its heat map.
    HeldOutPredicted {
        /// Steps done.
        step: usize,
        /// Side of each picture in pixels.
        side: usize,
    },
    /// Closing the page from here on loses nothing up to this step.
    Saved {
        /// Steps done.
        step: usize,
    },
    /// The browser does not keep the state of the training; it continues.
    NotSaved {
        /// Why, one sentence.
        message: String,
    },
    /// All steps are done; thresholds are being found.
    Calibrating,
    /// The inspector is ready. The buffer is its model file.
    Trained(Box<TrainedInfo>),
    /// The training could not begin or go on.
    Failed {
        /// Why and what to do, one sentence.
        message: String,
    },
    /// The training was ended and nothing of it is left.
    Discarded,
}

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Names what the browser keeps of it.
    pub run: String,
    /// The inspector's name.
    pub name: String,
    /// Good images trained on.
    pub images: usize,
    /// Good images held out for calibration.
    pub held_out: usize,
    /// Steps of stage 1.
    pub student_steps: usize,
    /// Steps of both stages.
    pub total_steps: usize,
    /// Steps done before.
    pub done: usize,
    /// When it began, in milliseconds since 1970.
    pub began: f64,
}

/// What the browser keeps of a run beside its images and its checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptRun {
    /// The run; `done` is that of the checkpoint.
    pub info: RunInfo,
    /// Network and recipe.
    pub settings: Settings,
    /// What anomalies are filled with.
    pub textures: Textures,
    /// For each image that is trained on or held out, its name in the page.
    pub ids: Vec<u32>,
    /// What the good images' files are; runs of older versions do not say it.
    #[serde(default)]
    pub files: Option<FileFacts>,
}

/// One step of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepInfo {
    /// Steps done, this one included.
    pub step: usize,
    /// What the stage minimises.
    pub loss: f32,
    /// Focal and L1 loss, in stage 2 only.
    pub parts: Option<[f32; 2]>,
    /// Milliseconds it took.
    pub ms: f64,
}

/// A trained and calibrated inspector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainedInfo {
    /// The run.
    pub run: RunInfo,
    /// Steps done.
    pub steps: usize,
    /// Thresholds and the scores behind them, if images were held out.
    pub calibration: Option<Calibration>,
    /// What to know about the good images, a sentence each.
    pub notes: Vec<String>,
    /// Good images trained on that score as defects do, worst first, with their scores.
    pub outliers: Vec<(u32, f32)>,
}

#[cfg(test)]
mod tests {
    use destseg_engine::config::Preset;

    use super::*;

    #[test]
    fn runs_of_older_versions_are_read() {
        let run = KeptRun {
            info: RunInfo {
                run: "7".into(),
                name: "part".into(),
                images: 4,
                held_out: 1,
                student_steps: 2,
                total_steps: 4,
                done: 0,
                began: 0.0,
            },
            settings: Settings::preset(Preset::Compact),
            textures: Textures::BuiltIn,
            ids: vec![1, 2],
            files: FileFacts::of([("PNG", (4, 3))]),
        };
        let mut text = serde_json::to_value(&run).expect("serialises");
        let read =
            |text: &serde_json::Value| serde_json::from_value::<KeptRun>(text.clone()).expect("parses");
        assert_eq!(read(&text), run);
        text.as_object_mut().expect("is an object").remove("files");
        assert_eq!(read(&text), KeptRun { files: None, ..run });
    }
}
