//! The preview: pictures of the built-in textures, and samples of synthetic anomalies.

use super::{TrainJob, TrainState};
use crate::page::protocol::{SampleInfo, TrainCommand};

/// Side of a built-in texture's picture in pixels, twice its size on the page.
const KIND_SIDE: usize = 96;

/// Samples of a preview.
const PREVIEW_SAMPLES: usize = 4;

/// Synthetic anomalies as the training will see them.
#[derive(Debug, PartialEq)]
pub struct Preview {
    /// Side of each picture in pixels.
    pub side: usize,
    /// The numbers behind each sample.
    pub samples: Vec<SampleInfo>,
    /// RGBA pictures, four for each sample: good image, mask, texture, result.
    pub pictures: Vec<u8>,
    /// Milliseconds the engine took.
    pub ms: f64,
}

/// A picture of each built-in texture.
#[derive(Debug, PartialEq)]
pub struct Kinds {
    /// Side of each picture in pixels.
    pub side: usize,
    /// RGBA pictures in the order of [`destseg_engine::config::Texture::ALL`].
    pub pictures: Vec<u8>,
}

impl TrainState {
    /// The visitor comes into the room: what is not painted yet is painted now.
    pub(in crate::page::ui::state) fn enter(&mut self) {
        self.preview_wanted |= self.preview.is_none();
        self.kinds_wanted |= self.kinds.is_none();
    }

    /// Asks for another preview.
    pub(super) fn draw(&mut self) {
        self.preview_wanted = true;
        if self.ready() == 0 {
            self.preview = None;
        }
    }

    /// The next picture to ask the engine for, while the room is shown.
    pub(super) fn next_preview(&self, is_shown: bool) -> Option<TrainJob> {
        if is_shown && self.kinds_wanted {
            return Some(TrainJob::Command(
                TrainCommand::ShowTextures { side: KIND_SIDE }.into(),
            ));
        }
        if is_shown && self.preview_wanted && !self.previewing && self.ready() > 0 {
            let preview = TrainCommand::Preview {
                settings: self.settings.clone(),
                textures: self.textures,
                seed: self.seed,
                count: PREVIEW_SAMPLES,
            };
            return Some(TrainJob::Command(preview.into()));
        }
        None
    }
}
