//! The collection: good images, and the visitor's texture images.

use std::rc::Rc;

use super::{State, TrainState};
use crate::page::protocol::TrainCommand;
use crate::page::shared::content::{Content, UserFile};
use destseg_engine::config::TrainConfig;

/// From this many images on there is nothing to advise.
pub const ENOUGH_IMAGES: usize = 20;

/// An image of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingImage {
    /// Its identity.
    pub id: u32,
    /// File name.
    pub name: Rc<str>,
    /// The file's content; none if it was refused before it was read.
    pub content: Option<Content>,
    /// Status.
    pub status: TrainingImageStatus,
}

/// Status of an image of a collection.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainingImageStatus {
    /// To be given to the engine.
    Waiting,
    /// In the engine's hands.
    Adding,
    /// In place.
    Ready {
        /// Upright width and height in pixels.
        size: (u32, u32),
        /// An earlier image with the same pixels.
        copy_of: Option<u32>,
    },
    /// Not usable, with the sentence that says why.
    Refused(Rc<str>),
}

impl TrainingImage {
    /// Why it is not usable.
    pub fn status_words(&self) -> &str {
        match &self.status {
            TrainingImageStatus::Refused(message) => message,
            _ => "",
        }
    }

    /// Whether there is nothing to say about it.
    pub fn is_fine(&self) -> bool {
        !matches!(
            self.status,
            TrainingImageStatus::Refused(_) | TrainingImageStatus::Ready { copy_of: Some(_), .. }
        )
    }

    /// Width and height, once the engine has accepted the image.
    pub fn size(&self) -> Option<(u32, u32)> {
        match self.status {
            TrainingImageStatus::Ready { size, .. } => Some(size),
            _ => None,
        }
    }
}

impl TrainState {
    /// Images that can be trained on.
    pub fn ready(&self) -> usize {
        self.images.iter().filter(|image| image.size().is_some()).count()
    }

    /// Whether the engine still has to look at images.
    pub fn is_collecting(&self) -> bool {
        let pending = |image: &TrainingImage| {
            matches!(
                image.status,
                TrainingImageStatus::Waiting | TrainingImageStatus::Adding
            )
        };
        self.images.iter().chain(&self.own_textures).any(pending)
    }

    pub(super) fn with(&mut self, id: u32, change: impl FnOnce(&mut TrainingImage)) {
        let mut all = self.images.iter_mut().chain(&mut self.own_textures);
        if let Some(image) = all.find(|image| image.id == id) {
            change(image);
        }
    }

    /// Takes in images that the engine will look at.
    pub(super) fn take(images: Vec<(u32, UserFile)>) -> impl Iterator<Item = TrainingImage> {
        images.into_iter().map(|(id, UserFile { path: name, content })| {
            let (content, status) = match content {
                Ok(content) => (Some(content), TrainingImageStatus::Waiting),
                Err(message) => (None, TrainingImageStatus::Refused(message.into())),
            };
            TrainingImage {
                id,
                name,
                content,
                status,
            }
        })
    }

    pub(super) fn remove(&mut self, gone: impl Fn(&TrainingImage) -> bool) {
        let (removed, stay) = std::mem::take(&mut self.images).into_iter().partition(gone);
        self.images = stay;
        self.removed = removed;
        let images = self.removed.iter().map(|image| image.id).collect();
        self.outbox.push_back(TrainCommand::Remove { images });
        self.draw();
    }

    /// The images are to be read again: the engine is another, or wants another size.
    pub(super) fn collect_again(&mut self) {
        for image in self.images.iter_mut().chain(&mut self.own_textures) {
            if matches!(
                image.status,
                TrainingImageStatus::Ready { .. } | TrainingImageStatus::Adding
            ) {
                image.status = TrainingImageStatus::Waiting;
            }
        }
        self.draw();
    }
}

impl State {
    /// Puts images into the collection.
    pub(in crate::page::ui::state) fn collect(&mut self, images: Vec<UserFile>) {
        let images = self.numbered(images);
        self.train.images.extend(TrainState::take(images));
        self.train.settings.training.held_out = TrainConfig::share_held_out(self.train.images.len());
    }

    pub(super) fn numbered(&mut self, images: Vec<UserFile>) -> Vec<(u32, UserFile)> {
        images.into_iter().map(|image| (self.number(), image)).collect()
    }
}
