//! From pixels to the teacher's numbers.

use destseg_kernels::Grid;

use crate::config::TeacherKind;

/// Mean and standard deviation of each channel, for values in [0, 1].
pub(crate) struct Normalisation {
    pub(crate) mean: [f32; 3],
    pub(crate) std: [f32; 3],
}

impl TeacherKind {
    /// What pixels in [0, 1] are normalised by.
    pub(crate) fn normalisation(self) -> Normalisation {
        match self {
            // ImageNet's statistics
            Self::Resnet18 => Normalisation {
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            },
            // (x - 127) / 128 on 8-bit values
            Self::EfficientnetLite0 => Normalisation {
                mean: [127.0 / 255.0; 3],
                std: [128.0 / 255.0; 3],
            },
        }
    }
}

/// Normalised values from pixels in [0, 1], row by row with interleaved channels, as they stay.
pub fn grid(pixels: &[f32], side: usize, teacher: TeacherKind) -> Grid {
    let Normalisation { mean, std } = teacher.normalisation();
    let mut grid = Grid::zeros(side, side, 3);
    for (values, pixel) in grid.data.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
        for (channel, (value, pixel)) in values.iter_mut().zip(pixel).enumerate() {
            *value = (pixel - mean[channel]) * (1.0 / std[channel]);
        }
    }
    grid
}

/// Pixels in [0, 1], row by row with interleaved channels, as a map.
pub fn plain(pixels: &[f32], side: usize) -> Grid {
    Grid {
        height: side,
        width: side,
        channels: 3,
        data: pixels.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::to_f32;
    use crate::test_support;

    #[test]
    fn imagenet_normalisation_matches_torchvision() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let pixels = to_f32(&fixture.rgb("rot_src_32"));
        let grid = grid(&pixels, 32, TeacherKind::Resnet18);
        let plane = |channel| grid.data.iter().skip(channel).step_by(3);
        let planes: Vec<f32> = (0..3).flat_map(plane).copied().collect();
        test_support::assert_close(&planes, &fixture.f32("norm_rot_src_32"), 1e-6);
    }
}
