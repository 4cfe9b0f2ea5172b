//! STPM, the baseline: student-teacher feature pyramid matching (Wang et al., BMVC 2021).

use serde_json::Value;

use super::file::{Body, ModelFile, TrainingRecord};
use super::{BaselineEntry, BaselineInfo, Entry, Info, Material, Progress, Training, read_settings};
use crate::Result;
use crate::config::{Method, ModelConfig, Preset, Settings, TrainConfig};
use crate::files::storage::Precision;
use crate::inspect::Pending;
use crate::synthesis::Synthesiser;
use crate::train::Trainer;

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Stpm,
    explanation: "A student network learns to give the features of a frozen teacher network for good images; where they \
                  disagree, something is new.",
    has_student: true,
    baseline: Some(BaselineInfo {
        action: "Train it",
        cpu_only: false,
        in_page: &[
            // images of a step that a page can hold
            ("training.batch", 8.0),
            // enough for twenty images: the loss no longer falls
            ("training.student.steps", 80.0),
            ("training.select_every", 20.0),
            ("training.held_out", 0.2),
        ],
        choice: None,
    }),
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: Some(BaselineEntry { settings, begin }),
};

/// Images that the recipe's number of steps is for, where it is not known yet.
const IMAGES: usize = 200;

fn settings(preset: Preset) -> Value {
    let settings = Settings {
        model: ModelConfig::stpm(preset),
        training: TrainConfig::stpm(IMAGES),
    };
    serde_json::to_value(settings).unwrap_or_default()
}

fn begin(settings: Value, material: Material) -> Result<Box<dyn Training>> {
    let mut settings: Settings = read_settings(settings)?;
    let training = &mut settings.training;
    training.select_every = training.select_every.min(training.student.steps);
    // thresholds are found with synthetic defects
    let synthesiser = Synthesiser::new(training.synthesis.clone(), training.augment, material.textures);
    let Settings { model, training } = settings.clone();
    let trainer = Trainer::new(
        model,
        training,
        &material.teacher,
        material.images,
        synthesiser,
        &material.device,
    )?;
    Ok(Box::new(Run { settings, trainer }))
}

/// A student that is trained.
struct Run {
    settings: Settings,
    trainer: Trainer,
}

impl Training for Run {
    fn step(&mut self) -> Pending<'_, Option<Progress>> {
        Box::pin(async {
            let total = self.trainer.total_steps();
            let report = self.trainer.step().await?;
            Ok(report.map(|report| Progress {
                doing: "training",
                done: report.step,
                total,
            }))
        })
    }

    fn images(&self) -> usize {
        self.trainer.image_count()
    }

    fn finish<'a>(
        &'a mut self,
        precision: Precision,
        data: &'a str,
        device: &'a str,
    ) -> Pending<'a, ModelFile> {
        Box::pin(async move {
            let trained = self.trainer.finish(precision).await?;
            let Settings { model, training } = self.settings.clone();
            let record = TrainingRecord {
                data: data.into(),
                images: self.trainer.image_count(),
                textures: "built-in procedural textures".into(),
                config: training,
                device: device.into(),
                files: None,
            };
            let body = Body::Networks {
                config: model.into(),
                training: Some(record.into()),
            };
            ModelFile::trained(body, trained)
        })
    }
}
