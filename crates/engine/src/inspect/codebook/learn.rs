//! How a codebook is made of good images.

use destseg_kernels::Grid;
use destseg_kernels::nearest::Rows;
use half::f16;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use super::means::means;
use super::{Codebook, LEAST, Level, UsualDistance, Whitening};
use crate::data::moments::Moments;
use crate::inspect::good::{GoodImage, Look};
use crate::synthesis::below;

/// Vectors of a level. A quarter as many say less, four times as many little more.
const ROWS: usize = 256;
/// Vectors that they are the means of.
const VECTORS: usize = 12_000;
/// Parts of the images that are left out in turn, so that each has a distance to others.
const FOLDS: usize = 4;
/// With fewer images, nobody knows what distances are usual.
const FEWEST_IMAGES: usize = 8;
/// The largest distances of an image that count: their mean is that of the image.
const LARGEST: usize = 4;
/// Images that are all alike have at least this standard deviation.
const LEAST_DEVIATION: f32 = 0.02;
/// Keeps its random numbers apart from others.
const SEED: u64 = 0xc0de_b00c;

impl Codebook {
    /// Learns from the good images that were trained on. None if they are too few, or show nothing at all.
    pub(in crate::inspect) fn learn(images: &[GoodImage]) -> Option<Self> {
        let features: Vec<&[Look; 2]> = images.iter().filter_map(|own| own.features.as_ref()).collect();
        if features.len() < FEWEST_IMAGES {
            return None;
        }
        let level = |number: usize| {
            let looks: Vec<[&Grid; 2]> = features
                .iter()
                .map(|looks| looks.each_ref().map(|look| &look[number]))
                .collect();
            Level::learn(&looks)
        };
        Some(Self {
            levels: [level(0)?, level(1)?],
        })
    }
}

impl Level {
    /// From a level's features of good images, each as it is and as another camera sees it.
    fn learn(images: &[[&Grid; 2]]) -> Option<Self> {
        let mut moments = Moments::new(images.first()?[0].channels);
        for look in images.iter().flatten() {
            moments.add(look.data.iter().copied());
        }
        let (weight, bias) = moments.whitening()?;
        // as a file keeps them
        let whitening = Whitening::new(halves(&weight), halves(&bias));
        let white: Vec<[Grid; 2]> = images
            .iter()
            .map(|looks| looks.map(|look| whitening.run(look)))
            .collect();
        let mut rng = Pcg64::seed_from_u64(SEED);
        let mut scores = Vec::new();
        for fold in 0..FOLDS {
            let is_own = |place: usize| place % FOLDS == fold;
            let others = white.iter().enumerate().filter(|(place, _)| !is_own(*place));
            let others: Vec<&Grid> = others.flat_map(|(_, looks)| looks).collect();
            let rows = means(&drawn(&others, &mut rng), ROWS, &mut rng);
            // what another camera makes of an image has rows, too, but does not widen what is usual
            let own = white.iter().skip(fold).step_by(FOLDS);
            scores.extend(own.map(|[look, _]| image_score(rows.nearest(look))));
        }
        let all: Vec<&Grid> = white.iter().flatten().collect();
        let rows = means(&drawn(&all, &mut rng), ROWS, &mut rng);
        let usual = UsualDistance::of(&scores);
        usual.mean.is_finite().then(|| Self {
            rows: Rows::new(halves(rows.values()), whitening.bias.len()),
            whitening,
            usual,
        })
    }
}

impl UsualDistance {
    fn of(scores: &[f32]) -> Self {
        let count = scores.len().max(2) as f32;
        let mean = scores.iter().sum::<f32>() / count;
        let squares = scores.iter().map(|score| (score - mean) * (score - mean));
        let deviation = (squares.sum::<f32>() / (count - 1.0)).sqrt();
        Self {
            mean,
            deviation: deviation.max(LEAST_DEVIATION),
        }
    }
}

/// Vectors from all places of all grids, as many of each, as the pixels of one grid.
fn drawn(grids: &[&Grid], rng: &mut Pcg64) -> Grid {
    let channels = grids.first().map_or(0, |grid| grid.channels);
    let each = VECTORS.div_ceil(grids.len().max(1));
    let mut data = Vec::with_capacity(each * grids.len() * channels);
    for grid in grids {
        for _ in 0..each {
            let place = below(rng, grid.pixels() as u32) as usize;
            data.extend_from_slice(&grid.data[place * channels..][..channels]);
        }
    }
    Grid {
        height: 1,
        width: each * grids.len(),
        channels,
        data,
    }
}

/// The logarithm of the mean of an image's largest distances.
fn image_score(nearest: Vec<(usize, f32)>) -> f32 {
    let mut distances: Vec<f32> = nearest.into_iter().map(|(_, distance)| distance).collect();
    distances.sort_by(f32::total_cmp);
    let largest = &distances[distances.len().saturating_sub(LARGEST)..];
    let mean = largest.iter().sum::<f32>() / largest.len().max(1) as f32;
    libm::logf(mean.max(LEAST))
}

/// Values as 16 bits keep them.
fn halves(values: &[f32]) -> Vec<f32> {
    values
        .iter()
        .map(|&value| f16::from_f32(value).to_f32())
        .collect()
}
