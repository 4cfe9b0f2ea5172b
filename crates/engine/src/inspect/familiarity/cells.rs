//! Where the teacher's features come from: cells of the image.

use destseg_kernels::Grid;

/// Cells of an image: the teacher's normalised features of the middle and the coarse level, each a mean over 3x3 places,
/// side by side at the coarse level's size.
pub(crate) fn cells(middle: &Grid, coarse: &Grid) -> Grid {
    let (fine, wide) = (mean_3x3(middle), mean_3x3(coarse));
    let channels = middle.channels + coarse.channels;
    let mut cells = Grid::zeros(coarse.height, coarse.width, channels);
    let ratio = middle.width / coarse.width.max(1);
    let share = 1.0 / (ratio * ratio).max(1) as f32;
    for (place, cell) in cells.data.chunks_exact_mut(channels.max(1)).enumerate() {
        let (y, x) = (place / coarse.width, place % coarse.width);
        let (first, second) = cell.split_at_mut(middle.channels);
        for row in y * ratio..(y + 1) * ratio {
            for column in x * ratio..(x + 1) * ratio {
                let vector = &fine.data[(row * fine.width + column) * fine.channels..][..fine.channels];
                first
                    .iter_mut()
                    .zip(vector)
                    .for_each(|(sum, value)| *sum += share * value);
            }
        }
        second.copy_from_slice(&wide.data[place * coarse.channels..][..coarse.channels]);
    }
    cells
}

/// The mean of each 3x3 neighbourhood, of those of its places that exist.
fn mean_3x3(grid: &Grid) -> Grid {
    let (height, width, channels) = (grid.height, grid.width, grid.channels);
    let mut out = Grid::zeros(height, width, channels);
    for (place, pixel) in out.data.chunks_exact_mut(channels.max(1)).enumerate() {
        let (y, x) = (place / width, place % width);
        let mut count = 0.0;
        for row in y.saturating_sub(1)..(y + 2).min(height) {
            for column in x.saturating_sub(1)..(x + 2).min(width) {
                let vector = &grid.data[(row * width + column) * channels..][..channels];
                pixel
                    .iter_mut()
                    .zip(vector)
                    .for_each(|(sum, value)| *sum += value);
                count += 1.0;
            }
        }
        pixel.iter_mut().for_each(|sum| *sum /= count);
    }
    out
}
