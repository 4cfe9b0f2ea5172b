//! A new inspector: its good images, the preview of synthetic anomalies, and its training, one step at a
//! time.

use js_sys::Uint8Array;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::post;
use super::run::Run;
use crate::config::{Fit, Settings};
use crate::image::{self, Rgb, RgbImage};
use crate::placement::Layout;
use crate::platform::now_ms;
use crate::protocol::{Event, SampleInfo, Task, TaskEvent, Textures};
use crate::synthesis::{Sample, Synthesiser, TextureChoice, TextureSource};
use crate::{Error, Result};

/// Good images that serve as textures at most; more would only cost memory.
const MOST_TEXTURES: usize = 64;
/// Keeps the preview's random numbers apart from training's.
const SEED_OFFSET: u64 = 0x9e37_79b9;

/// What is collected, and the training that goes on.
#[derive(Default)]
pub(super) struct Teaching {
    images: Vec<Good>,
    textures: Vec<(u32, RgbImage)>,
    pub(super) run: Option<Run>,
}

/// A good image as the network will see it.
struct Good {
    id: u32,
    views: Vec<RgbImage>,
}

/// Sends news to the page.
pub(super) fn tell(event: TaskEvent, bytes: Option<&[u8]>) {
    let buffer = bytes.map(|bytes| Uint8Array::from(bytes).buffer());
    post(&Event::Teach { event }, buffer.as_ref());
}

impl Teaching {
    /// Takes on what needs neither network nor device; gives back what does.
    pub(super) fn collect(&mut self, task: Task, bytes: &[u8]) -> Option<Task> {
        match task {
            Task::Add { image, side, fit } => match self.add(image, bytes, side, fit) {
                Ok(event) => tell(event, None),
                Err(err) => refuse(image, &err),
            },
            Task::AddTexture { image } => match image::decode(bytes) {
                Ok(texture) => {
                    let (width, height) = texture.dimensions();
                    self.textures.push((image, texture));
                    let event = TaskEvent::Added {
                        image,
                        width,
                        height,
                        copy_of: None,
                    };
                    tell(event, None);
                }
                Err(err) => refuse(image, &err),
            },
            Task::Remove { images } => {
                self.images.retain(|good| !images.contains(&good.id));
                self.textures.retain(|(id, _)| !images.contains(id));
            }
            Task::Preview {
                settings,
                textures,
                seed,
                count,
            } => {
                let start = now_ms();
                match self.preview(&settings, textures, seed, count) {
                    Ok((samples, pictures)) => {
                        let event = TaskEvent::Previewed {
                            side: settings.model.input_size,
                            samples,
                            ms: now_ms() - start,
                        };
                        tell(event, Some(&pictures));
                    }
                    Err(err) => tell(
                        TaskEvent::PreviewFailed {
                            message: super::sentence(&err.to_string()),
                        },
                        None,
                    ),
                }
            }
            other => return Some(other),
        }
        None
    }

    fn add(&mut self, id: u32, bytes: &[u8], side: usize, fit: Fit) -> Result<TaskEvent> {
        let picture = image::decode(bytes)?;
        let (width, height) = picture.dimensions();
        let layout = Layout::new(fit, (width, height), side, side);
        let views: Vec<RgbImage> = layout.views(&picture).collect();
        // an image that comes again has another size now
        self.images.retain(|good| good.id != id);
        let copy_of = self
            .images
            .iter()
            .find(|good| good.views == views)
            .map(|good| good.id);
        self.images.push(Good { id, views });
        Ok(TaskEvent::Added {
            image: id,
            width,
            height,
            copy_of,
        })
    }

    /// All good images as the network sees them, each with its name.
    pub(super) fn views(&self) -> (Vec<u32>, Vec<RgbImage>) {
        let views = self.images.iter();
        views
            .flat_map(|good| good.views.iter().map(|view| (good.id, view.clone())))
            .unzip()
    }

    /// What anomalies are filled with, at the input's size; empty for the built-in textures.
    pub(super) fn pictures(&self, textures: Textures, side: usize) -> Vec<RgbImage> {
        match textures {
            Textures::BuiltIn => Vec::new(),
            Textures::GoodImages => {
                let views = self.images.iter().flat_map(|good| &good.views);
                views.take(MOST_TEXTURES).cloned().collect()
            }
            Textures::Own => {
                let own = self.textures.iter().map(|(_, image)| image);
                own.map(|image| image::resize(image, side, side)).collect()
            }
        }
    }

    /// Numbers and pictures of synthetic anomalies on the good images.
    fn preview(
        &self,
        settings: &Settings,
        textures: Textures,
        seed: u64,
        count: usize,
    ) -> Result<(Vec<SampleInfo>, Vec<u8>)> {
        settings.model.validate()?;
        settings.training.validate()?;
        let synthesiser = synthesiser(settings, self.pictures(textures, settings.model.input_size));
        let views: Vec<&RgbImage> = self.images.iter().flat_map(|good| &good.views).collect();
        if views.is_empty() {
            return Err(Error::Dataset(
                "there are no good images yet: add some first".into(),
            ));
        }
        let (mut samples, mut pictures) = (Vec::new(), Vec::new());
        for index in 0..count {
            let seed = (seed ^ SEED_OFFSET).wrapping_add((index as u64) << 32);
            let mut rng = Pcg64::seed_from_u64(seed);
            let (sample, texture) = synthesiser.preview(views[index % views.len()], &mut rng)?;
            samples.push(describe(&sample));
            rgba(sample.clean.as_raw(), &mut pictures);
            mask(&sample, &mut pictures);
            rgba(texture.as_raw(), &mut pictures);
            rgba(bytes(&sample).as_raw(), &mut pictures);
        }
        Ok((samples, pictures))
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
    let message = super::sentence(&err.to_string());
    tell(TaskEvent::Refused { image, message }, None);
}

fn describe(sample: &Sample) -> SampleInfo {
    let anomalous = sample.mask.iter().filter(|&&value| value != 0).count();
    let anomaly = sample.anomaly.as_ref();
    SampleInfo {
        texture: anomaly.map(|anomaly| match &anomaly.texture {
            TextureChoice::Procedural(kind) => kind.id().to_owned(),
            TextureChoice::Image(index) => format!("image {}", index + 1),
            TextureChoice::File(path) => path.display().to_string(),
            TextureChoice::Recoloured(_) => "recoloured".to_owned(),
        }),
        opacity: anomaly.map_or(0.0, |anomaly| anomaly.opacity),
        cells: anomaly.map_or((1, 1), |anomaly| anomaly.cells),
        area: anomalous as f32 / sample.mask.len().max(1) as f32,
    }
}

/// The image with its anomaly.
pub(super) fn bytes(sample: &Sample) -> RgbImage {
    let mut image = sample.clean.clone();
    for (pixel, values) in image.pixels_mut().zip(sample.corrupted.chunks_exact(3)) {
        *pixel = Rgb([0, 1, 2].map(|c| (values[c] * 255.0).round() as u8));
    }
    image
}

/// Appends RGB pixels as RGBA.
pub(super) fn rgba(rgb: &[u8], pictures: &mut Vec<u8>) {
    const OPAQUE: u8 = 255;
    for pixel in rgb.chunks_exact(3) {
        pictures.extend_from_slice(&[pixel[0], pixel[1], pixel[2], OPAQUE]);
    }
}

/// Appends a sample's mask, white on black.
pub(super) fn mask(sample: &Sample, pictures: &mut Vec<u8>) {
    for &value in &sample.mask {
        let grey = if value == 0 { 0 } else { 255 };
        pictures.extend_from_slice(&[grey, grey, grey, 255]);
    }
}
