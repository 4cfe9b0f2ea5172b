//! Means of groups of vectors (k-means: Lloyd, "Least squares quantization in PCM", 1982).

use destseg_kernels::Grid;
use destseg_kernels::nearest::Rows;
use rand_pcg::Pcg64;

use crate::synthesis::below;

/// Rounds of grouping vectors and taking means. More change little.
const ROUNDS: usize = 8;

/// Means of so many groups, or of fewer where there are few vectors, which are the pixels of a grid. The first ones are drawn.
pub(super) fn means(vectors: &Grid, groups: usize, rng: &mut Pcg64) -> Rows {
    let length = vectors.channels;
    let groups = groups.min(vectors.pixels());
    let vector = |place: usize| &vectors.data[place * length..][..length];
    let mut places: Vec<usize> = (0..vectors.pixels()).collect();
    for place in 0..groups {
        let other = place + below(rng, (places.len() - place) as u32) as usize;
        places.swap(place, other);
    }
    let first = places[..groups].iter().flat_map(|&place| vector(place));
    let mut rows = Rows::new(first.copied().collect(), length);
    for _ in 0..ROUNDS {
        let mut sums = vec![0.0_f64; groups * length];
        let mut counts = vec![0_u32; groups];
        for (place, (group, _)) in rows.nearest(vectors).into_iter().enumerate() {
            counts[group] += 1;
            let sum = &mut sums[group * length..][..length];
            sum.iter_mut()
                .zip(vector(place))
                .for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mut means = rows.values().to_vec();
        let groups = means.chunks_exact_mut(length).zip(sums.chunks_exact(length));
        // a group of none stays where it is
        for ((mean, sum), &count) in groups.zip(&counts).filter(|(_, count)| **count > 0) {
            mean.iter_mut()
                .zip(sum)
                .for_each(|(mean, sum)| *mean = (sum / f64::from(count)) as f32);
        }
        rows = Rows::new(means, length);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn groups_that_lie_apart_are_found() {
        let centres = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]];
        let mut vectors = Grid::zeros(1, 300, 2);
        for (place, vector) in vectors.data.chunks_exact_mut(2).enumerate() {
            let around = [(place % 7) as f32 - 3.0, (place % 5) as f32 - 2.0];
            let own = vector.iter_mut().zip(centres[place % 3]).zip(around);
            own.for_each(|((value, centre), around)| *value = centre + 0.1 * around);
        }
        // the drawn ones may lie in one group, so there are more rows than groups
        let found = means(&vectors, 9, &mut Pcg64::seed_from_u64(0));
        assert_eq!(found.len(), 9);
        assert!(found.nearest(&vectors).iter().all(|&(_, apart)| apart < 1.0));
        let few = means(&vectors, 1000, &mut Pcg64::seed_from_u64(0));
        assert_eq!(few.len(), 300);
        assert!(few.nearest(&vectors).iter().all(|&(_, apart)| apart < 1e-6));
    }
}
