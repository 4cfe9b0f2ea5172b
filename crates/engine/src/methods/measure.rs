//! How the trainings of DRAEM and DSR end.

use std::sync::Arc;

use super::file::ModelFile;
use crate::Result;
use crate::data::image::RgbImage;
use crate::inspect::{Detector, Learned};
use crate::synthesis::Synthesiser;
use crate::train::calibrate::calibrate;

/// Finds the thresholds of trained networks from images held out, if there are any, and learns what all good images are like.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device was lost, [`Error::Training`](crate::Error::Training) for scores that
/// are not numbers.
pub(super) async fn measure(
    file: &mut ModelFile,
    detector: &Detector,
    (images, held_out): (&[Arc<RgbImage>], &[Arc<RgbImage>]),
    synthesiser: &Synthesiser,
    seed: u64,
) -> Result<()> {
    if !held_out.is_empty() {
        let calibration = calibrate(detector, held_out, images, synthesiser, seed, 1.0);
        file.header.calibration = Some(calibration.await?);
    }
    let good = images.iter().chain(held_out).map(AsRef::as_ref);
    file.set_familiarity(Learned::of(detector, good, 0).await?.familiarity);
    Ok(())
}
