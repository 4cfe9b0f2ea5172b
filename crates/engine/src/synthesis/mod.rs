//! Synthetic anomalies. The paper's kind (section 3.1) is a texture pasted into a good image where
//! rotated Perlin noise is high; the other kinds look like what goes wrong in production: parts that are
//! missing or misplaced, scratches and cracks, stains, smeared detail. Training and preview share them.
//!
//! Everything follows from the generator's state, with the same bits natively and in the browser:
//! no platform mathematics, no pointer-sized random numbers, no hash maps.

mod blob;
mod blur;
mod camera;
mod canvas;
mod colour;
mod compose;
mod cut_paste;
mod foreground;
mod lattice;
mod light;
mod perlin;
pub mod preview;
pub(crate) mod random;
mod scratch;
mod source;
mod stain;
mod texture;

use rand_pcg::Pcg64;

pub use compose::{compose, loss_mask};
pub use perlin::Noise;
#[cfg(test)]
pub(crate) use random::sample_rng;
pub use source::{TextureChoice, TextureSource};
pub use texture::{Pattern, Texture};

use crate::Result;
use crate::config::{AnomalyKind, AugmentConfig, SynthesisConfig};
use crate::data::image::{Rgb, RgbImage, rotate, to_f32};
use camera::Camera;
use canvas::Canvas;
pub(crate) use random::below;
use random::uniform;
use source::Drawn;

/// Colour of the corners that a rotated image leaves empty.
const CORNER: [u8; 3] = [114; 3];

/// One training example.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The good image, after its own variation.
    pub clean: RgbImage,
    /// The same image with the anomaly: interleaved RGB in [0, 1] (height x width x 3).
    pub corrupted: Vec<f32>,
    /// 1 where the anomaly is, else 0; row by row. About 4.5 % of all masks are empty, as in the
    /// reference.
    pub mask: Vec<u8>,
    /// What was painted, in this order; nothing for a sample drawn to stay clean.
    pub anomalies: Vec<Anomaly>,
}

/// What was painted into a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// What it is like.
    pub kind: AnomalyKind,
    /// The numbers behind an anomaly of the paper's kind.
    pub pasted: Option<Pasted>,
}

/// A texture pasted where Perlin noise is high.
#[derive(Debug, Clone, PartialEq)]
pub struct Pasted {
    /// The texture.
    pub texture: TextureChoice,
    /// Its opacity.
    pub opacity: f32,
    /// Perlin cells along the rows and along the columns.
    pub cells: (u32, u32),
    /// Rotation of the noise in degrees.
    pub rotation: f32,
}

/// Makes training examples of good images.
#[derive(Debug)]
pub struct Synthesiser {
    synthesis: SynthesisConfig,
    augment: AugmentConfig,
    textures: TextureSource,
}

impl Synthesiser {
    /// A generator with validated settings (`TrainConfig::validate`).
    pub fn new(synthesis: SynthesisConfig, augment: AugmentConfig, textures: TextureSource) -> Self {
        Self {
            synthesis,
            augment,
            textures,
        }
    }

    /// What anomalies are filled with.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn textures(&self) -> &TextureSource {
        &self.textures
    }

    /// Lets brightness and white balance vary as they do among these good images, where the settings say so
    /// ([`AugmentConfig::follow_light`]).
    pub fn follow_light<'a>(&mut self, images: impl Iterator<Item = &'a RgbImage>) {
        /// Reach of the variation in standard deviations among the images.
        const REACH: f32 = 2.0;
        /// Largest brightness and white balance that are taken over: a lamp that was switched off is no light to learn.
        const MOST: (f32, f32) = (0.3, 0.2);
        if !self.augment.follow_light {
            return;
        }
        let (brightness, colours) = light::spread(images);
        let own = &mut self.augment;
        own.brightness = own.brightness.max((REACH * brightness).min(MOST.0));
        own.white_balance = own.white_balance.max((REACH * colours).min(MOST.1));
    }

    /// Draws one example of a square good image that already has the model's input size. Any
    /// number of threads may do so at once, each with a generator of its own.
    ///
    /// # Errors
    /// [`crate::Error::File`] or [`crate::Error::Io`] if a texture file cannot be read.
    pub fn sample(&self, image: &RgbImage, rng: &mut Pcg64) -> Result<Sample> {
        self.sample_seen(image, self.synthesis.most, rng, |_| {})
    }

    /// Draws one example with one anomaly at most: what a defective part usually has.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn sample_of_one(&self, image: &RgbImage, rng: &mut Pcg64) -> Result<Sample> {
        self.sample_seen(image, 1, rng, |_| {})
    }

    /// The very example that [`Self::sample`] draws, and a picture of the whole texture; grey where
    /// nothing was pasted.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn preview(&self, image: &RgbImage, rng: &mut Pcg64) -> Result<(Sample, RgbImage)> {
        let mut picture = RgbImage::from_pixel(image.width(), image.height(), Rgb(CORNER));
        let sample = self.sample_seen(image, self.synthesis.most, rng, |texture| {
            for (x, y, pixel) in picture.enumerate_pixels_mut() {
                pixel.0 = texture.colour(x as usize, y as usize);
            }
        })?;
        Ok((sample, picture))
    }

    /// Draws an example; `see` is shown the texture, if there is one.
    fn sample_seen(
        &self,
        image: &RgbImage,
        most: u32,
        rng: &mut Pcg64,
        see: impl FnOnce(&Drawn<'_>),
    ) -> Result<Sample> {
        let clean = vary_scene(image, &self.augment, rng);
        let part = self
            .synthesis
            .foreground_only
            .then(|| foreground::foreground(&clean));
        let mut canvas = Canvas::new(&clean).within(part.flatten());
        let mut anomalies = Vec::new();
        if uniform(rng, 0.0, 1.0) >= self.synthesis.clean_share {
            // no number is drawn for what the paper does not have: its samples stay what they are
            let mut rest = if most > 1 { 1 + below(rng, most) } else { 1 };
            let mut drawn = self.draw_kind(&AnomalyKind::ALL, rng);
            if drawn == Some(AnomalyKind::Texture) {
                let pasted = Some(self.paste(&mut canvas, rng, see)?);
                anomalies.push(Anomaly {
                    kind: AnomalyKind::Texture,
                    pasted,
                });
                rest -= 1;
                drawn = None;
            }
            while rest > 0 {
                // the texture covers enough of an image once
                let Some(kind) = drawn
                    .take()
                    .or_else(|| self.draw_kind(&AnomalyKind::ALL[1..], rng))
                else {
                    break;
                };
                if paint(&mut canvas, kind, rng) {
                    anomalies.push(Anomaly { kind, pasted: None });
                }
                rest -= 1;
            }
        }
        let Canvas {
            mut pixels,
            mask,
            size,
            ..
        } = canvas;
        let clean = match Camera::draw(self.augment.camera, rng) {
            Some(camera) => {
                camera.take(&mut pixels, size);
                photo(&clean, &camera)
            }
            None => clean,
        };
        Ok(Sample {
            corrupted: pixels,
            mask,
            anomalies,
            clean,
        })
    }

    /// One of some kinds, by their shares; none if all of these are 0.
    fn draw_kind(&self, kinds: &[AnomalyKind], rng: &mut Pcg64) -> Option<AnomalyKind> {
        let shares = &self.synthesis.kinds;
        let total: f32 = kinds.iter().map(|&kind| shares.get(kind)).sum();
        let mut possible = kinds.iter().copied().filter(|&kind| shares.get(kind) > 0.0);
        let last = possible.clone().next_back()?;
        if possible.clone().count() == 1 {
            return Some(last);
        }
        let mut place = uniform(rng, 0.0, total);
        possible
            .find(|&kind| {
                place -= shares.get(kind);
                place < 0.0
            })
            .or(Some(last))
    }

    /// The paper's anomaly.
    fn paste(
        &self,
        canvas: &mut Canvas<'_>,
        rng: &mut Pcg64,
        see: impl FnOnce(&Drawn<'_>),
    ) -> Result<Pasted> {
        /// On a grey image one texture in so many keeps its colours.
        const COLOURED_ON_GREY: u32 = 5;
        /// Further masks that are drawn where anomalies must lie on a part.
        const TRIES_ON_PART: usize = 6;
        let settings = &self.synthesis;
        let size = canvas.size;
        let recolour = settings.recoloured_share > 0.0 && uniform(rng, 0.0, 1.0) < settings.recoloured_share;
        let (texture, choice) = if recolour {
            source::recoloured(canvas.clean, rng)
        } else {
            self.textures.draw(size, &settings.textures, rng)?
        };
        see(&texture);
        let grey = settings.match_grey && canvas.grey && below(rng, COLOURED_ON_GREY) != 0;
        let (low, high) = settings.scale_exponents;
        let mut cells = || 1 << (low + below(rng, high - low + 1));
        let cells = (cells(), cells());
        let mut draw = || {
            let noise = Noise::draw(size, cells, rng);
            let rotation = uniform(rng, -settings.noise_rotation, settings.noise_rotation);
            let mut mask = noise.rotated_mask(rotation, settings.threshold);
            for (mark, inside) in mask.iter_mut().zip(canvas.inside.iter().flatten()) {
                *mark &= u8::from(*inside);
            }
            (rotation, mask)
        };
        let (mut rotation, mut mask) = draw();
        // a small part is often missed
        for _ in 0..TRIES_ON_PART {
            if canvas.inside.is_none() || mask.contains(&1) {
                break;
            }
            (rotation, mask) = draw();
        }
        // a faint change of colour must not fade away
        let least = if recolour {
            settings.opacity.1
        } else {
            settings.opacity.0
        };
        let opacity = uniform(rng, least, settings.opacity.1);
        compose::paste(&mut canvas.pixels, size, &mask, opacity, |x, y| {
            let colour = texture.colour(x, y);
            if grey {
                let sum: u16 = colour.iter().map(|&value| u16::from(value)).sum();
                [(sum / 3) as u8; 3]
            } else {
                colour
            }
        });
        canvas.mask = mask;
        Ok(Pasted {
            texture: choice,
            opacity,
            cells,
            rotation,
        })
    }

    /// Whether good images are shown in varied light or as other cameras would.
    pub fn varies(&self) -> bool {
        self.augment.varies_light() || self.augment.camera > 0.0
    }

    /// An image as training shows it, where nothing may move: light and camera.
    pub fn in_place(&self, image: &RgbImage, rng: &mut Pcg64) -> RgbImage {
        let still = AugmentConfig {
            rotate_90: false,
            rotate: 0.0,
            ..self.augment
        };
        vary(image, &still, rng)
    }

    /// A good image in the placement and the brightness that training varies, in its own colours and as its own camera saved
    /// it.
    pub fn scene(&self, image: &RgbImage, rng: &mut Pcg64) -> RgbImage {
        let own = AugmentConfig {
            white_balance: 0.0,
            ..self.augment
        };
        vary_scene(image, &own, rng)
    }

    /// A good image as training shows it, without an anomaly.
    pub fn good(&self, image: &RgbImage, rng: &mut Pcg64) -> RgbImage {
        vary(image, &self.augment, rng)
    }
}

/// A square good image with its variation: placement and light of the scene, then the camera.
pub(crate) fn vary(image: &RgbImage, augment: &AugmentConfig, rng: &mut Pcg64) -> RgbImage {
    let scene = vary_scene(image, augment, rng);
    match Camera::draw(augment.camera, rng) {
        Some(camera) => photo(&scene, &camera),
        None => scene,
    }
}

/// Quarter turns, then a small rotation (two resamplings, as in the reference), then light.
fn vary_scene(image: &RgbImage, augment: &AugmentConfig, rng: &mut Pcg64) -> RgbImage {
    let turned = if augment.rotate_90 {
        rotate(image, f64::from(90 * below(rng, 4)), CORNER)
    } else {
        image.clone()
    };
    let mut varied = if augment.rotate > 0.0 {
        let degrees = uniform(rng, -augment.rotate, augment.rotate);
        rotate(&turned, f64::from(degrees), CORNER)
    } else {
        turned
    };
    if augment.varies_light() {
        light::vary(&mut varied, augment, rng);
    }
    varied
}

/// What a camera makes of a square scene.
fn photo(scene: &RgbImage, camera: &Camera) -> RgbImage {
    let mut pixels = to_f32(scene);
    camera.take(&mut pixels, scene.width() as usize);
    let mut photo = scene.clone();
    for (value, pixel) in photo.iter_mut().zip(pixels) {
        *value = (255.0 * pixel).round() as u8;
    }
    photo
}

/// Paints an anomaly of a kind other than the paper's; `false` if nothing of it could be seen.
fn paint(canvas: &mut Canvas<'_>, kind: AnomalyKind, rng: &mut Pcg64) -> bool {
    /// Places that are tried: on a plain surface most moved parts cannot be seen.
    const TRIES: usize = 6;
    (0..TRIES).any(|_| match kind {
        AnomalyKind::Texture => false,
        AnomalyKind::CutPaste => cut_paste::paint(canvas, rng),
        AnomalyKind::Scratch => scratch::paint(canvas, rng),
        AnomalyKind::Stain => stain::paint(canvas, rng),
        AnomalyKind::Blur => blur::paint(canvas, rng),
    })
}

#[cfg(test)]
mod tests;
