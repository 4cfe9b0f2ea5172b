//! The inspectors that the browser keeps.

use destseg_engine::verdict::quality::Quality;
use serde::{Deserialize, Serialize};

use super::{ModelSource, Phase, State};

/// Version of an inspector's record.
pub const RECORD_VERSION: u32 = 1;

/// An inspector that the browser keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspector {
    /// [`RECORD_VERSION`] of the record; 0 for those of version 0.1. Fields of a newer one are left out when it is changed.
    #[serde(default)]
    pub version: u32,
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
    /// What it did with the images of its calibration, at the threshold in force.
    #[serde(default)]
    pub quality: Option<Quality>,
}

impl State {
    /// A trained model is used at once, whether the browser keeps it or not.
    pub(super) fn inspector_is_kept(&mut self, result: Result<Inspector, String>) {
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
}
