//! Which pixels of a good image show the part, and which what lies around it: by the colour of the image's
//! border. Integers only, so that every platform finds the same.

use crate::data::image::RgbImage;

/// The border is one part in this many of the side wide.
const BORDER_PARTS: usize = 32;
/// Share of the border, in percent, that must look like the surroundings: else there is no part before a
/// background, but a surface all over.
const PLAIN_BORDER: usize = 85;
/// Shares of the image, in percent, between which a part lies.
const PART: std::ops::RangeInclusive<usize> = 2..=92;

/// True where a square image shows the part, row by row; none if it shows a surface from edge to edge.
pub(super) fn foreground(image: &RgbImage) -> Option<Vec<bool>> {
    let side = image.width() as usize;
    let (pixels, _) = image.as_raw().as_chunks::<3>();
    let width = (side / BORDER_PARTS).max(1);
    let is_border = |at: usize| {
        let near = |v: usize| v < width || v >= side - width;
        near(at % side) || near(at / side)
    };
    let border: Vec<usize> = (0..pixels.len()).filter(|&at| is_border(at)).collect();
    let usual: [u8; 3] = std::array::from_fn(|channel| {
        let mut values: Vec<u8> = border.iter().map(|&at| pixels[at][channel]).collect();
        let middle = values.len() / 2;
        *values.select_nth_unstable(middle).1
    });
    let distance = |pixel: &[u8; 3]| (0..3).map(|c| pixel[c].abs_diff(usual[c])).max().unwrap_or(0);
    let distances: Vec<u8> = pixels.iter().map(distance).collect();
    let threshold = otsu(&distances);
    let differs: Vec<bool> = distances.iter().map(|&value| value > threshold).collect();
    let differs = smooth(&differs, side);
    let plain = border.iter().filter(|&&at| !differs[at]).count();
    if 100 * plain < PLAIN_BORDER * border.len() {
        return None;
    }
    let part = filled(&differs, side);
    let share = 100 * part.iter().filter(|&&inside| inside).count() / part.len();
    // what lies in the corners alone is no part, but what a larger one leaves free
    let middle = side / 2 * side + side / 2;
    (PART.contains(&share) && part[middle]).then_some(part)
}

/// The value that splits a histogram best (Otsu, 1979).
fn otsu(values: &[u8]) -> u8 {
    let mut histogram = [0_u64; 256];
    values
        .iter()
        .for_each(|&value| histogram[usize::from(value)] += 1);
    let count = values.len() as u64;
    let total: u64 = (0..).zip(histogram).map(|(value, count)| value * count).sum();
    let (mut below, mut sum) = (0_u64, 0_u64);
    let (mut best, mut threshold) = (0_u128, 0);
    for (value, bin) in (0_u8..=255).zip(histogram) {
        below += bin;
        sum += u64::from(value) * bin;
        let above = count - below;
        if below == 0 || above == 0 {
            continue;
        }
        // variance between the two, times the square of the count, without fractions
        let spread = u128::from((sum * count).abs_diff(total * below));
        let variance = spread * spread / u128::from(below * above);
        if variance > best {
            (best, threshold) = (variance, value);
        }
    }
    threshold
}

/// The majority of the nine pixels around: single ones are noise.
fn smooth(pixels: &[bool], side: usize) -> Vec<bool> {
    let near = |v: usize| v.saturating_sub(1)..(v + 2).min(side);
    (0..pixels.len())
        .map(|at| {
            let (x, y) = (at % side, at / side);
            let around = near(y).flat_map(|row| near(x).map(move |column| row * side + column));
            let (mut set, mut count) = (0, 0);
            for neighbour in around {
                count += 1;
                set += usize::from(pixels[neighbour]);
            }
            2 * set > count
        })
        .collect()
}

/// All pixels that cannot be reached from the edge: a part with its holes.
fn filled(pixels: &[bool], side: usize) -> Vec<bool> {
    let mut part = vec![true; pixels.len()];
    let edge = (0..side).flat_map(|i| [i, (side - 1) * side + i, i * side, i * side + side - 1]);
    let mut open: Vec<usize> = edge.filter(|&at| !pixels[at]).collect();
    open.iter().for_each(|&at| part[at] = false);
    while let Some(at) = open.pop() {
        let (x, y) = (at % side, at / side);
        let neighbours = [
            (x > 0).then(|| at - 1),
            (x + 1 < side).then(|| at + 1),
            (y > 0).then(|| at - side),
            (y + 1 < side).then(|| at + side),
        ];
        for next in neighbours.into_iter().flatten() {
            if part[next] && !pixels[next] {
                part[next] = false;
                open.push(next);
            }
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::Rgb;

    const SIDE: u32 = 64;

    /// A ring of another colour on a noisy table.
    fn ring(inner: i32, outer: i32) -> RgbImage {
        RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let (dx, dy) = (x as i32 - 30, y as i32 - 34);
            let radius = dx * dx + dy * dy;
            let noise = ((x * 7 + y * 13) % 9) as u8;
            if (inner * inner..outer * outer).contains(&radius) {
                Rgb([180 + noise, 90 + noise, 40 + noise])
            } else {
                Rgb([60 + noise; 3])
            }
        })
    }

    #[test]
    fn a_part_is_found_with_its_holes() {
        for inner in [0, 8] {
            let found = foreground(&ring(inner, 20)).expect("a part");
            let wrong = (0..SIDE * SIDE).filter(|&at| {
                let (dx, dy) = ((at % SIDE) as i32 - 30, (at / SIDE) as i32 - 34);
                found[at as usize] != (dx * dx + dy * dy < 400)
            });
            let wrong = wrong.count();
            assert!(wrong < 40, "{wrong} of {} pixels are wrong", SIDE * SIDE);
        }
    }

    #[test]
    fn a_surface_has_no_background() {
        let weave = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            Rgb([if (x / 4 + y / 4) % 2 == 0 { 90 } else { 160 }; 3])
        });
        assert!(foreground(&weave).is_none());
        assert!(foreground(&RgbImage::from_pixel(SIDE, SIDE, Rgb([7; 3]))).is_none());
        // a part that is larger than the image
        assert!(foreground(&ring(0, 60)).is_none());
    }
}
