//! The collection of a new inspector: its good images, its textures, and the preview of synthetic anomalies.

use std::sync::Arc;

use js_sys::Uint8Array;

use super::post;
use crate::page::protocol::{Event, SampleInfo, Textures, TrainCommand, TrainEvent};
use destseg_engine::config::{InputLayout, Settings};
use destseg_engine::data::facts::{FileFact, FileFacts};
use destseg_engine::data::image::{self, RgbImage, type_name};
use destseg_engine::data::placement::ViewLayout;
use destseg_engine::error::sentence;
use destseg_engine::platform::now_ms;
use destseg_engine::synthesis::{Synthesiser, TextureSource, preview};
use destseg_engine::{Error, Result};

/// Good images that serve as textures at most; more would only cost memory.
const MOST_TEXTURES: usize = 64;
/// Bytes of good images at most, as the network sees them: more would leave a browser no memory to train.
const MOST_BYTES: usize = 1_000_000_000;

/// What is collected.
#[derive(Default)]
pub(super) struct Collection {
    images: Vec<TrainingImage>,
    textures: Vec<(u32, RgbImage)>,
    /// The textures at the size that was asked for last.
    fitted: Option<(usize, Vec<RgbImage>)>,
}

/// A good image as the network will see it.
struct TrainingImage {
    id: u32,
    /// What its file is.
    fact: Option<FileFact>,
    views: Vec<Arc<RgbImage>>,
}

/// Posts an event of training.
pub(super) fn post_train(event: TrainEvent, bytes: Option<&[u8]>) {
    let buffer = bytes.map(|bytes| Uint8Array::from(bytes).buffer());
    post(&Event::Train { event }, buffer.as_ref());
}

impl Collection {
    /// Runs commands that need neither network nor device; gives back the others.
    pub(super) fn collect(&mut self, command: TrainCommand, bytes: &[u8]) -> Option<TrainCommand> {
        match command {
            TrainCommand::Add { image, side, fit } => match self.add(image, bytes, side, fit) {
                Ok(event) => post_train(event, None),
                Err(err) => refuse(image, &err),
            },
            TrainCommand::AddTexture { image } => match image::decode(bytes) {
                Ok(texture) => {
                    let (width, height) = texture.dimensions();
                    self.textures.retain(|(id, _)| *id != image);
                    self.textures.push((image, texture));
                    self.fitted = None;
                    let event = TrainEvent::Added {
                        image,
                        width,
                        height,
                        copy_of: None,
                    };
                    post_train(event, None);
                }
                Err(err) => refuse(image, &err),
            },
            TrainCommand::Remove { images } => {
                self.images.retain(|good| !images.contains(&good.id));
                self.textures.retain(|(id, _)| !images.contains(id));
                self.fitted = None;
            }
            TrainCommand::Preview {
                settings,
                textures,
                seed,
                count,
            } => {
                let start = now_ms();
                match self.preview(&settings, textures, seed, count) {
                    Ok((samples, pictures)) => {
                        let event = TrainEvent::Previewed {
                            side: settings.model.input_size,
                            samples,
                            ms: now_ms() - start,
                        };
                        post_train(event, Some(&pictures));
                    }
                    Err(err) => post_train(
                        TrainEvent::PreviewFailed {
                            message: sentence(&err.to_string()),
                        },
                        None,
                    ),
                }
            }
            TrainCommand::ShowTextures { side } => {
                post_train(TrainEvent::TexturesShown { side }, Some(&preview::kinds(side)));
            }
            other => return Some(other),
        }
        None
    }

    fn add(&mut self, id: u32, bytes: &[u8], side: usize, fit: InputLayout) -> Result<TrainEvent> {
        let picture = image::decode(bytes)?;
        let (width, height) = picture.dimensions();
        let fact = type_name(bytes).map(|name| (name, (width, height)));
        let layout = ViewLayout::new(fit, (width, height), side, side);
        let views: Vec<Arc<RgbImage>> = layout.views(&picture).map(Into::into).collect();
        // an image that comes again has another size now
        self.images.retain(|good| good.id != id);
        let bytes = |views: &[Arc<RgbImage>]| -> usize { views.iter().map(|view| view.as_raw().len()).sum() };
        let all: usize = self.images.iter().map(|good| bytes(&good.views)).sum();
        if all + bytes(&views) > MOST_BYTES {
            return Err(Error::Dataset(format!(
                "the collection is full with {} images: remove some, or let the network see them smaller",
                self.images.len()
            )));
        }
        let copy_of = self
            .images
            .iter()
            .find(|good| good.views == views)
            .map(|good| good.id);
        self.images.push(TrainingImage { id, fact, views });
        Ok(TrainEvent::Added {
            image: id,
            width,
            height,
            copy_of,
        })
    }

    /// All good images as the network sees them, each with its name.
    pub(super) fn views(&self) -> (Vec<u32>, Vec<Arc<RgbImage>>) {
        let views = self.images.iter();
        views
            .flat_map(|good| good.views.iter().map(|view| (good.id, view.clone())))
            .unzip()
    }

    /// What the files of all good images are.
    pub(super) fn facts(&self) -> Option<FileFacts> {
        FileFacts::of(self.images.iter().filter_map(|good| good.fact))
    }

    /// What anomalies are filled with, at the input's size; empty for the built-in textures.
    pub(super) fn pictures(&mut self, textures: Textures, side: usize) -> Vec<RgbImage> {
        match textures {
            Textures::BuiltIn => Vec::new(),
            Textures::GoodImages => {
                let views = self.images.iter().flat_map(|good| &good.views);
                views
                    .take(MOST_TEXTURES)
                    .map(|view| RgbImage::clone(view))
                    .collect()
            }
            Textures::Own => {
                if self.fitted.as_ref().is_none_or(|(fitted, _)| *fitted != side) {
                    let own = self.textures.iter().map(|(_, image)| image);
                    let own = own.map(|image| image::resize(image, side, side));
                    self.fitted = Some((side, own.collect()));
                }
                self.fitted
                    .as_ref()
                    .map(|(_, own)| own.clone())
                    .unwrap_or_default()
            }
        }
    }

    /// Numbers and pictures of synthetic anomalies on the good images.
    fn preview(
        &mut self,
        settings: &Settings,
        textures: Textures,
        seed: u64,
        count: usize,
    ) -> Result<(Vec<SampleInfo>, Vec<u8>)> {
        settings.model.validate()?;
        settings.training.validate()?;
        let synthesiser = synthesiser(settings, self.pictures(textures, settings.model.input_size));
        let views: Vec<&RgbImage> = self
            .images
            .iter()
            .flat_map(|good| &good.views)
            .map(|view| &**view)
            .collect();
        if views.is_empty() {
            return Err(Error::Dataset(
                "there are no good images yet: add some first".into(),
            ));
        }
        preview::draw(&synthesiser, &views, seed, count)
    }
}

/// The generator of these settings; without pictures it has the built-in textures.
pub(super) fn synthesiser(settings: &Settings, pictures: Vec<RgbImage>) -> Synthesiser {
    let source = if pictures.is_empty() {
        TextureSource::Procedural
    } else {
        TextureSource::Images(pictures)
    };
    Synthesiser::new(
        settings.training.synthesis.clone(),
        settings.training.augment,
        source,
    )
}

fn refuse(image: u32, err: &Error) {
    let message = sentence(&err.to_string());
    post_train(TrainEvent::Refused { image, message }, None);
}
