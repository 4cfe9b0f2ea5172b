//! Pictures of training samples for people: the very samples that training draws, with the numbers behind
//! them.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::{Pattern, Sample, Synthesiser, Texture, TextureChoice};
use crate::Result;
use crate::image::{Rgb, RgbImage};
use crate::protocol::SampleInfo;

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
        None => anomaly.kind.id().to_owned(),
        Some(pasted) => match &pasted.texture {
            TextureChoice::Procedural(kind) => kind.id().to_owned(),
            TextureChoice::Image(index) => format!("image {}", index + 1),
            TextureChoice::File(path) => path.display().to_string(),
            TextureChoice::Recoloured(_) => "recoloured".to_owned(),
        },
    });
    SampleInfo {
        texture: (!sample.anomalies.is_empty()).then(|| names.collect::<Vec<_>>().join(", ")),
        opacity: pasted.map_or(1.0, |pasted| pasted.opacity),
        cells: pasted.map_or((1, 1), |pasted| pasted.cells),
        area: anomalous as f32 / sample.mask.len().max(1) as f32,
    }
}

/// The image with its anomaly.
pub fn corrupted(sample: &Sample) -> RgbImage {
    let mut image = sample.clean.clone();
    for (pixel, values) in image.pixels_mut().zip(sample.corrupted.chunks_exact(3)) {
        *pixel = Rgb([0, 1, 2].map(|c| (values[c] * 255.0).round() as u8));
    }
    image
}

/// Appends RGB pixels as RGBA.
pub fn rgba(rgb: &[u8], pictures: &mut Vec<u8>) {
    const OPAQUE: u8 = 255;
    for pixel in rgb.chunks_exact(3) {
        pictures.extend_from_slice(&[pixel[0], pixel[1], pixel[2], OPAQUE]);
    }
}

/// Appends a sample's mask, white on black.
pub fn mask(sample: &Sample, pictures: &mut Vec<u8>) {
    for &value in &sample.mask {
        let grey = if value == 0 { 0 } else { 255 };
        pictures.extend_from_slice(&[grey, grey, grey, 255]);
    }
}
