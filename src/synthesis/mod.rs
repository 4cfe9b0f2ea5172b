//! Synthetic anomalies (section 3.1 of the paper): a texture pasted into a good image where
//! rotated Perlin noise is high. Training and preview share it.
//!
//! Everything follows from the generator's state, with the same bits natively and in the browser:
//! no platform mathematics, no pointer-sized random numbers, no hash maps.

mod compose;
mod lattice;
mod perlin;
mod random;
mod source;
mod texture;

use rand_pcg::Pcg64;

pub use compose::{compose, loss_mask};
pub use perlin::Noise;
#[cfg(test)]
pub(crate) use random::sample_rng;
pub use source::{TextureChoice, TextureSource};
pub use texture::{Pattern, Texture};

use crate::Result;
use crate::config::{AugmentConfig, SynthesisConfig};
use crate::image::{Rgb, RgbImage, rotate};
use random::{below, uniform};
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
    /// What was pasted; `None` for a sample drawn to stay clean.
    pub anomaly: Option<Anomaly>,
}

/// What was pasted into a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
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

    /// Draws one example of a square good image that already has the model's input size. Any
    /// number of threads may do so at once, each with a generator of its own.
    ///
    /// # Errors
    /// [`crate::Error::File`] or [`crate::Error::Io`] if a texture file cannot be read.
    pub fn sample(&self, image: &RgbImage, rng: &mut Pcg64) -> Result<Sample> {
        self.sample_seen(image, rng, |_| {})
    }

    /// The very example that [`Self::sample`] draws, and a picture of the whole texture; grey where
    /// nothing was pasted.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn preview(&self, image: &RgbImage, rng: &mut Pcg64) -> Result<(Sample, RgbImage)> {
        let mut picture = RgbImage::from_pixel(image.width(), image.height(), Rgb(CORNER));
        let sample = self.sample_seen(image, rng, |texture| {
            for (x, y, pixel) in picture.enumerate_pixels_mut() {
                pixel.0 = texture.colour(x as usize, y as usize);
            }
        })?;
        Ok((sample, picture))
    }

    /// Draws an example; `see` is shown the texture.
    fn sample_seen(&self, image: &RgbImage, rng: &mut Pcg64, see: impl FnOnce(&Drawn<'_>)) -> Result<Sample> {
        let clean = self.vary(image, rng);
        let size = clean.width() as usize;
        let settings = &self.synthesis;
        if uniform(rng, 0.0, 1.0) < settings.clean_share {
            let corrupted = crate::image::unit(&clean);
            return Ok(Sample {
                clean,
                corrupted,
                mask: vec![0; size * size],
                anomaly: None,
            });
        }
        // no number is drawn for a share of 0: the paper's samples stay what they are
        let recolour = settings.recoloured_share > 0.0 && uniform(rng, 0.0, 1.0) < settings.recoloured_share;
        let (texture, choice) = if recolour {
            source::recoloured(&clean, rng)
        } else {
            self.textures.draw(size, rng)?
        };
        see(&texture);
        let (low, high) = settings.scale_exponents;
        let mut cells = || 1 << (low + below(rng, high - low + 1));
        let cells = (cells(), cells());
        let noise = Noise::draw(size, cells, rng);
        let rotation = uniform(rng, -settings.noise_rotation, settings.noise_rotation);
        let mask = noise.rotated_mask(rotation, settings.threshold);
        // a faint change of colour must not fade away
        let least = if recolour {
            settings.opacity.1
        } else {
            settings.opacity.0
        };
        let opacity = uniform(rng, least, settings.opacity.1);
        let corrupted = compose(&clean, &mask, opacity, |x, y| texture.colour(x, y));
        drop(texture);
        let anomaly = Some(Anomaly {
            texture: choice,
            opacity,
            cells,
            rotation,
        });
        Ok(Sample {
            clean,
            corrupted,
            mask,
            anomaly,
        })
    }

    /// The good image's own variation: quarter turns, then a small rotation (two resamplings, as
    /// in the reference).
    fn vary(&self, image: &RgbImage, rng: &mut Pcg64) -> RgbImage {
        let turned = if self.augment.rotate_90 {
            rotate(image, f64::from(90 * below(rng, 4)), CORNER)
        } else {
            image.clone()
        };
        if self.augment.rotate > 0.0 {
            let degrees = uniform(rng, -self.augment.rotate, self.augment.rotate);
            rotate(&turned, f64::from(degrees), CORNER)
        } else {
            turned
        }
    }
}

#[cfg(test)]
mod tests;
