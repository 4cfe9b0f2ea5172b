//! Pasting a texture into an image, and the mask that the loss sees.

use crate::data::image::{RgbImage, to_f32, unit_value};

/// The reduction from the input to the model's maps.
const LOSS_SCALE: usize = 4;

/// Pastes a texture of the given opacity where `mask` is 1: interleaved RGB in [0, 1].
/// `texture` gives the RGB of a pixel (x, y) in 0..=255 and is asked only where it shows.
pub fn compose(
    image: &RgbImage,
    mask: &[u8],
    opacity: f32,
    texture: impl FnMut(usize, usize) -> [u8; 3],
) -> Vec<f32> {
    let mut values = to_f32(image);
    paste(&mut values, image.width() as usize, mask, opacity, texture);
    values
}

/// The same upon values of an image of so many pixels per row.
pub(super) fn paste(
    values: &mut [f32],
    width: usize,
    mask: &[u8],
    opacity: f32,
    mut texture: impl FnMut(usize, usize) -> [u8; 3],
) {
    let (pixels, _) = values.as_chunks_mut::<3>();
    for (row, (pixels, mask)) in pixels.chunks_mut(width).zip(mask.chunks(width)).enumerate() {
        for (column, (pixel, &anomalous)) in pixels.iter_mut().zip(mask).enumerate() {
            if anomalous != 0 {
                for (value, pasted) in pixel.iter_mut().zip(texture(column, row)) {
                    *value = opacity * unit_value(pasted) + (1.0 - opacity) * *value;
                }
            }
        }
    }
}

/// The mask at a quarter of its side, 0.0 or 1.0. A cell of 4 x 4 pixels is set if at least
/// `cell_share` of them are; for a share of 0 it is what `PyTorch`'s bilinear interpolation and a
/// threshold of one half give, that is, if at least two of the middle four are.
///
/// `size` is the mask's side, a multiple of 4.
pub fn loss_mask(mask: &[u8], size: usize, cell_share: f32) -> Vec<f32> {
    let small = size / LOSS_SCALE;
    let mut values = Vec::with_capacity(small * small);
    if cell_share > 0.0 {
        let least = cell_share * (LOSS_SCALE * LOSS_SCALE) as f32;
        let mut counts = vec![0_u8; small];
        for rows in mask.chunks_exact(LOSS_SCALE * size) {
            counts.fill(0);
            for row in rows.chunks_exact(size) {
                for (count, cell) in counts.iter_mut().zip(row.as_chunks::<LOSS_SCALE>().0) {
                    *count += cell.iter().map(|&value| u8::from(value != 0)).sum::<u8>();
                }
            }
            values.extend(
                counts
                    .iter()
                    .map(|&count| f32::from(u8::from(f32::from(count) >= least))),
            );
        }
        return values;
    }
    for row in 0..small {
        let upper = &mask[(LOSS_SCALE * row + 1) * size..][..size];
        let lower = &mask[(LOSS_SCALE * row + 2) * size..][..size];
        let cells = upper.chunks_exact(LOSS_SCALE).zip(lower.chunks_exact(LOSS_SCALE));
        values.extend(cells.map(|(upper, lower)| {
            let set = [upper[1], upper[2], lower[1], lower[2]]
                .into_iter()
                .filter(|&v| v != 0)
                .count();
            f32::from(u8::from(set >= 2))
        }));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;

    #[test]
    fn loss_mask_matches_pytorch() {
        let Some(fixture) = test_support::preprocess() else {
            return;
        };
        let ours: Vec<u8> = loss_mask(&fixture.u8("lossmask_256"), 256, 0.0)
            .iter()
            .map(|&v| v as u8)
            .collect();
        assert_eq!(ours, fixture.u8("lossmask_64"));
    }

    #[test]
    fn a_line_one_pixel_wide_sets_its_cells_by_a_quarter_alone() {
        let mut mask = vec![0; 64];
        mask[..8].fill(1);
        assert_eq!(loss_mask(&mask, 8, 0.25), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(loss_mask(&mask, 8, 0.3), [0.0; 4]);
        assert_eq!(loss_mask(&mask, 8, 0.0), [0.0; 4]);
    }

    #[test]
    fn composition_blends_inside_and_keeps_outside() {
        let image = RgbImage::from_pixel(4, 4, ::image::Rgb([51, 102, 255]));
        let mut mask = vec![0; 16];
        mask[6] = 1;
        let values = compose(&image, &mask, 0.25, |x, y| {
            assert_eq!((x, y), (2, 1), "only the pixel that shows is asked for");
            [255, 0, 0]
        });
        for (i, pixel) in values.chunks(3).enumerate() {
            let expected = if i == 6 { [0.4, 0.3, 0.75] } else { [0.2, 0.4, 1.0] };
            test_support::assert_close(pixel, &expected, 1e-6);
        }
    }
}
