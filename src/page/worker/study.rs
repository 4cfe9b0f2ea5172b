//! A look inside one image: what teacher and student make of it, clean and damaged.

use js_sys::{ArrayBuffer, Uint8Array};
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::loaded::{Loaded, no_model};
use crate::page::protocol::{Damage, StudyInfo};
use destseg_engine::config::{AugmentConfig, SynthesisConfig};
use destseg_engine::data::image::{self, Rgb, RgbImage};
use destseg_engine::platform::now_ms;
use destseg_engine::synthesis::preview::{corrupted, rgba};
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::{Error, Result};

/// Tries to draw an anomaly that is not empty.
const TRIES: u64 = 16;

/// Looks at an image file, whose first `image_bytes` of `bytes` it is; painted pixels come behind.
pub(super) async fn study(
    loaded: &Loaded,
    damage: Damage,
    image_bytes: usize,
    bytes: &[u8],
) -> Result<(StudyInfo, ArrayBuffer)> {
    let detector = loaded.detector.as_ref().ok_or_else(no_model)?;
    let (file, painted) = bytes.split_at_checked(image_bytes).unwrap_or((bytes, &[]));
    let picture = image::decode(file)?;
    let start = now_ms();
    let (clean, whole) = detector.first_view(&picture);
    let damaged = match damage {
        Damage::None => clean.clone(),
        Damage::Synthetic(seed) => synthetic(&clean, seed)?,
        Damage::Painted => paint(&clean, painted),
    };
    let [teacher, student] = detector.features(&image::to_f32(&damaged)).await?;
    let before = match damage {
        Damage::None => teacher.clone(),
        _ => detector.features(&image::to_f32(&clean)).await?[0].clone(),
    };
    let mut buffer = Vec::new();
    rgba(clean.as_raw(), &mut buffer);
    rgba(damaged.as_raw(), &mut buffer);
    let mut levels = [[0; 3]; 3];
    for (level, shape) in levels.iter_mut().enumerate() {
        for network in [&before, &teacher, &student] {
            let own = &network[level];
            let [_, channels, height, width] = own.shape[..] else {
                return Err(Error::Device(
                    "the features have a wrong shape: reload the page".into(),
                ));
            };
            *shape = [channels, width, height];
            buffer.extend(own.data.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    let info = StudyInfo {
        damage,
        side: clean.width() as usize,
        levels,
        whole,
        ms: now_ms() - start,
    };
    Ok((info, Uint8Array::from(buffer.as_slice()).buffer()))
}

/// The image with an anomaly as training paints them.
fn synthetic(clean: &RgbImage, seed: u64) -> Result<RgbImage> {
    let synthesiser = Synthesiser::new(
        SynthesisConfig::default(),
        AugmentConfig::default(),
        TextureSource::Procedural,
    );
    for attempt in 0..TRIES {
        let mut rng = Pcg64::seed_from_u64(seed.wrapping_mul(TRIES).wrapping_add(attempt));
        let sample = synthesiser.sample_of_one(clean, &mut rng)?;
        if sample.mask.contains(&1) {
            return Ok(corrupted(&sample));
        }
    }
    Ok(clean.clone())
}

/// RGBA pixels laid over the image.
fn paint(clean: &RgbImage, painted: &[u8]) -> RgbImage {
    let mut image = clean.clone();
    for (pixel, over) in image.pixels_mut().zip(painted.chunks_exact(4)) {
        let opacity = image::unit_value(over[3]);
        let mix = |below: u8, over: u8| {
            (f32::from(below) * (1.0 - opacity) + f32::from(over) * opacity).round() as u8
        };
        *pixel = Rgb([0, 1, 2].map(|c| mix(pixel[c], over[c])));
    }
    image
}
