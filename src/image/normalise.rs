//! The value range that networks trained on `ImageNet` expect.

use super::RgbImage;

/// Mean of `ImageNet`'s red, green and blue values in [0, 1].
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of `ImageNet`'s red, green and blue values in [0, 1].
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Interleaved RGB values in [0, 1], row by row (height x width x 3).
pub fn unit(image: &RgbImage) -> Vec<f32> {
    image
        .as_raw()
        .iter()
        .map(|&value| f32::from(value) / 255.0)
        .collect()
}

/// From interleaved values in [0, 1] (height x width x 3) to the model's input: `ImageNet` mean and
/// deviation removed, one plane per channel (3 x height x width).
pub fn normalise(unit: &[f32]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(unit.len());
    for channel in 0..3 {
        let (mean, std) = (MEAN[channel], STD[channel]);
        planes.extend(unit.chunks_exact(3).map(|pixel| (pixel[channel] - mean) / std));
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fixture;

    #[test]
    fn normalisation_matches_torchvision() {
        let Some(fixture) = fixture::preprocess() else {
            return;
        };
        let ours = normalise(&unit(&fixture.rgb("rot_src_32")));
        fixture::assert_close(&ours, &fixture.f32("norm_rot_src_32"), 1e-6);
    }
}
