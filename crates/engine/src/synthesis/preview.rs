//! Pictures of training samples for people: the very samples that training draws, with the numbers behind
//! them.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::{Pattern, Sample, Synthesiser, Texture, TextureChoice};
use crate::Result;
use crate::data::image::RgbImage;

/// The numbers behind a previewed sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleInfo {
    /// What was painted, one after the other; nothing for a sample that stays clean.
    pub anomalies: Vec<String>,
    /// The pasted texture's opacity in [0, 1], and its Perlin cells along the rows and along the columns.
    pub pasted: Option<(f32, (u32, u32))>,
    /// Share of the picture that is anomalous, in [0, 1].
    pub area: f32,
}

/// Keeps the preview's random numbers apart from training's.
const SEED_OFFSET: u64 = 0x9e37_79b9;

/// Draws samples of these images in turn: the numbers behind each, and four RGBA pictures of each one after
/// the other: good image, mask, texture, result.
///
/// # Errors
/// As [`Synthesiser::sample`].
pub fn draw(
    synthesiser: &Synthesiser,
    images: &[&RgbImage],
    seed: u64,
    count: usize,
) -> Result<(Vec<SampleInfo>, Vec<u8>)> {
    let (mut samples, mut pictures) = (Vec::new(), Vec::new());
    for index in 0..count {
        let mut rng = Pcg64::seed_from_u64((seed ^ SEED_OFFSET).wrapping_add((index as u64) << 32));
        let (sample, texture) = synthesiser.preview(images[index % images.len()], &mut rng)?;
        samples.push(describe(&sample));
        rgba(sample.clean.as_raw(), &mut pictures);
        mask(&sample, &mut pictures);
        rgba(texture.as_raw(), &mut pictures);
        rgba(corrupted(&sample).as_raw(), &mut pictures);
    }
    Ok((samples, pictures))
}

/// A picture of each kind of built-in texture, RGBA of `side * side`, always the same.
pub fn kinds(side: usize) -> Vec<u8> {
    let mut pictures = Vec::new();
    for (index, kind) in (0..).zip(Texture::ALL) {
        let pattern: Pattern = kind.pattern(side, &mut Pcg64::seed_from_u64(SEED_OFFSET ^ index));
        rgba(pattern.render(side).as_raw(), &mut pictures);
    }
    pictures
}

fn describe(sample: &Sample) -> SampleInfo {
    let anomalous = sample.mask.iter().filter(|&&value| value != 0).count();
    let pasted = sample
        .anomalies
        .iter()
        .find_map(|anomaly| anomaly.pasted.as_ref());
    let names = sample.anomalies.iter().map(|anomaly| match &anomaly.pasted {
        None => anomaly.kind.singular().to_owned(),
        Some(pasted) => match &pasted.texture {
            TextureChoice::Procedural(kind) => format!("texture of {}", kind.id()),
            TextureChoice::Image(index) => format!("texture of image {}", index + 1),
            TextureChoice::File(path) => format!("texture of {}", path.display()),
            TextureChoice::Recoloured(_) => "other colour".to_owned(),
        },
    });
    SampleInfo {
        anomalies: names.collect(),
        pasted: pasted.map(|pasted| (pasted.opacity, pasted.cells)),
        area: anomalous as f32 / sample.mask.len().max(1) as f32,
    }
}

/// The image with its anomaly.
pub fn corrupted(sample: &Sample) -> RgbImage {
    let mut image = sample.clean.clone();
    for (pixel, value) in image.iter_mut().zip(&sample.corrupted) {
        // casting to u8 saturates
        *pixel = (value * 255.0 + 0.5) as u8;
    }
    image
}

/// Appends RGB pixels as RGBA.
pub fn rgba(rgb: &[u8], pictures: &mut Vec<u8>) {
    const OPAQUE: u8 = 255;
    let (pixels, _) = rgb.as_chunks::<3>();
    let start = pictures.len();
    pictures.resize(start + 4 * pixels.len(), OPAQUE);
    for (to, from) in pictures[start..].as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
        to[..3].copy_from_slice(from);
    }
}

/// Appends a sample's mask, white on black.
pub fn mask(sample: &Sample, pictures: &mut Vec<u8>) {
    let start = pictures.len();
    pictures.resize(start + 4 * sample.mask.len(), 255);
    for (to, &value) in pictures[start..]
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(&sample.mask)
    {
        if value == 0 {
            to[..3].fill(0);
        }
    }
}
