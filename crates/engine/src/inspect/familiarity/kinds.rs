//! Whether good images show two kinds of part.

use destseg_kernels::Grid;

use super::LIMIT;
use super::gaussian::Gaussian;
use crate::data::moments::Moments;
use crate::order;

/// Images of a kind, at least: a single one may be an odd photo.
const FEWEST: usize = 2;
/// Cells of a kind for each channel, at least: fewer do not show how features vary.
const CELLS_PER_CHANNEL: usize = 2;
/// Rounds after which the kinds hardly change.
const ROUNDS: usize = 20;

/// How many images each kind has, if they show two; from the cells of each image.
///
/// The images are parted into the two groups that lie furthest apart (k-means with two means). They are two kinds if
/// half of each group is unfamiliar to the other.
pub(super) fn two_kinds(images: &[&Grid]) -> Option<[usize; 2]> {
    let means: Vec<Vec<f32>> = images.iter().map(|cells| mean(cells)).collect();
    let labels = part(&means)?;
    let groups = [false, true].map(|kind| {
        let own = images.iter().zip(&labels).filter(|(_, label)| **label == kind);
        own.map(|(cells, _)| *cells).collect::<Vec<&Grid>>()
    });
    let says_little = |group: &Vec<&Grid>| {
        let cells: usize = group.iter().map(|cells| cells.height * cells.width).sum();
        group.len() < FEWEST || cells < CELLS_PER_CHANNEL * images[0].channels
    };
    if groups.iter().any(says_little) {
        return None;
    }
    let is_unfamiliar = |group: &[&Grid], to: &[&Grid]| {
        let mut moments = Moments::new(group[0].channels);
        to.iter()
            .for_each(|cells| moments.add(cells.data.iter().copied()));
        let other = Gaussian::of(&moments)?;
        let mut distances: Vec<f32> = group.iter().map(|cells| other.median(cells)).collect();
        order::sort_by(&mut distances, f32::total_cmp);
        Some(distances[distances.len() / 2] > LIMIT)
    };
    let [first, second] = &groups;
    let apart = is_unfamiliar(first, second)? && is_unfamiliar(second, first)?;
    apart.then_some([first.len(), second.len()])
}

fn mean(cells: &Grid) -> Vec<f32> {
    let mut sum = vec![0.0; cells.channels];
    for vector in cells.data.chunks_exact(cells.channels.max(1)) {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    let count = (cells.height * cells.width).max(1) as f32;
    sum.iter_mut().for_each(|sum| *sum /= count);
    sum
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Which of two groups each vector belongs to; none if all are equal.
fn part(vectors: &[Vec<f32>]) -> Option<Vec<bool>> {
    let pairs = (0..vectors.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let (a, b) = pairs.max_by(|x, y| {
        let own = |&(a, b): &(usize, usize)| apart(&vectors[a], &vectors[b]);
        own(x).total_cmp(&own(y))
    })?;
    let mut means = [vectors[a].clone(), vectors[b].clone()];
    let mut labels = Vec::new();
    for _ in 0..ROUNDS {
        let now: Vec<bool> = vectors
            .iter()
            .map(|own| apart(own, &means[1]) < apart(own, &means[0]))
            .collect();
        if now == labels {
            break;
        }
        labels = now;
        for (kind, mean) in [false, true].into_iter().zip(&mut means) {
            let own: Vec<&Vec<f32>> = vectors
                .iter()
                .zip(&labels)
                .filter(|(_, label)| **label == kind)
                .map(|(own, _)| own)
                .collect();
            if own.is_empty() {
                return None;
            }
            for (channel, value) in mean.iter_mut().enumerate() {
                *value = own.iter().map(|own| own[channel]).sum::<f32>() / own.len() as f32;
            }
        }
    }
    Some(labels)
}
