//! From pixels to the teacher's numbers.

#[cfg(feature = "burn")]
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::Grid;

use crate::config::TeacherKind;

/// Mean and standard deviation per channel, for values in [0, 1].
struct Normalisation {
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl TeacherKind {
    fn normalisation(self) -> Normalisation {
        match self {
            // ImageNet's statistics
            Self::Resnet18 => Normalisation {
                mean: [0.485, 0.456, 0.406],
                deviation: [0.229, 0.224, 0.225],
            },
            // (x - 127) / 128 on 8-bit values
            Self::EfficientnetLite0 => Normalisation {
                mean: [127.0 / 255.0; 3],
                deviation: [128.0 / 255.0; 3],
            },
        }
    }
}

/// Normalised batch `[images, 3, side, side]` from pixels in [0, 1], each image row by row with
/// interleaved channels.
#[cfg(feature = "burn")]
pub fn batch<'a>(
    images: impl ExactSizeIterator<Item = &'a [f32]>,
    side: usize,
    teacher: TeacherKind,
    device: &Device,
) -> Tensor<4> {
    let count = images.len();
    let mut values = vec![0f32; count * 3 * side * side];
    for (pixels, planes) in images.zip(values.chunks_exact_mut(3 * side * side)) {
        normalise(pixels, teacher, planes);
    }
    Tensor::from_data(TensorData::new(values, [count, 3, side, side]), device)
}

/// The same for one image on the CPU's own kernels, which keep the channels interleaved.
pub fn grid(pixels: &[f32], side: usize, teacher: TeacherKind) -> Grid {
    let Normalisation { mean, deviation } = teacher.normalisation();
    let mut grid = Grid::zeros(side, side, 3);
    for (values, pixel) in grid.data.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
        for (channel, (value, pixel)) in values.iter_mut().zip(pixel).enumerate() {
            *value = (pixel - mean[channel]) * (1.0 / deviation[channel]);
        }
    }
    grid
}

/// Writes interleaved pixels in [0, 1] as one normalised plane per channel.
#[cfg(any(test, feature = "burn"))]
fn normalise(pixels: &[f32], teacher: TeacherKind, planes: &mut [f32]) {
    let Normalisation { mean, deviation } = teacher.normalisation();
    let plane = planes.len() / 3;
    for (channel, target) in planes.chunks_exact_mut(plane).enumerate() {
        let (mean, scale) = (mean[channel], 1.0 / deviation[channel]);
        for (value, pixel) in target.iter_mut().zip(pixels.iter().skip(channel).step_by(3)) {
            *value = (pixel - mean) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::unit;
    use crate::test_support;

    #[test]
    fn imagenet_normalisation_matches_torchvision() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let pixels = unit(&fixture.rgb("rot_src_32"));
        let mut planes = vec![0.0; pixels.len()];
        normalise(&pixels, TeacherKind::Resnet18, &mut planes);
        test_support::assert_close(&planes, &fixture.f32("norm_rot_src_32"), 1e-6);
    }

    #[test]
    fn both_orders_hold_the_same_values() {
        let pixels: Vec<f32> = (0..3 * 16).map(|i| i as f32 / 48.0).collect();
        for teacher in [TeacherKind::Resnet18, TeacherKind::EfficientnetLite0] {
            let mut planes = vec![0.0; pixels.len()];
            normalise(&pixels, teacher, &mut planes);
            let grid = grid(&pixels, 4, teacher);
            for (i, value) in grid.data.iter().enumerate() {
                assert_eq!(*value, planes[i % 3 * 16 + i / 3]);
            }
        }
    }
}
