//! Which images a step sees and with which random numbers: a function of seed and step alone, so
//! that neither threads nor an interruption change a run.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_pcg::Pcg64;

/// Random sequences of a run, kept apart by their purpose.
#[derive(Clone, Copy)]
enum Purpose {
    Shuffle = 1,
    Sample = 2,
    HoldOut = 3,
    Whiten = 4,
    Subset = 5,
    #[cfg(not(target_family = "wasm"))]
    Item = 6,
}

fn rng(seed: u64, purpose: Purpose, index: u64) -> Pcg64 {
    // the golden ratio's odd neighbour spreads consecutive indices over all bits
    let mixed = index
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(purpose as u64);
    Pcg64::seed_from_u64(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ mixed)
}

/// Shuffles the images anew each epoch and deals them out in batches.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    images: usize,
    batch: usize,
    seed: u64,
}

impl Sampler {
    pub(super) fn new(images: usize, batch: usize, seed: u64) -> Self {
        Self { images, batch, seed }
    }

    /// Image indices of a step, each with the generator of its sample.
    pub(super) fn indices(&self, step: usize) -> Vec<(usize, Pcg64)> {
        // whole batches only, as the reference drops the last one; fewer images than a batch are repeated
        let per_epoch = if self.images >= self.batch {
            self.images / self.batch * self.batch
        } else {
            self.images
        };
        let mut epoch = usize::MAX;
        let mut order = Vec::new();
        (step * self.batch..(step + 1) * self.batch)
            .map(|position| {
                if position / per_epoch != epoch {
                    epoch = position / per_epoch;
                    order = (0..self.images).collect();
                    order.shuffle(&mut rng(self.seed, Purpose::Shuffle, epoch as u64));
                }
                (
                    order[position % per_epoch],
                    rng(self.seed, Purpose::Sample, position as u64),
                )
            })
            .collect()
    }
}

/// The generator of a good image's variation before its differences are whitened.
pub(super) fn whitening_rng(seed: u64, place: usize) -> Pcg64 {
    rng(seed, Purpose::Whiten, place as u64)
}

/// The generator of an item of a training that draws its images at random.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn item_rng(seed: u64, place: usize) -> Pcg64 {
    rng(seed, Purpose::Item, place as u64)
}

/// Takes a random share of the items out of `items`, at least one if the share is not zero.
pub(crate) fn hold_out<T>(items: &mut Vec<T>, share: f64, seed: u64) -> Vec<T> {
    if share <= 0.0 || items.is_empty() {
        return Vec::new();
    }
    let count = ((items.len() as f64 * share).round() as usize).clamp(1, items.len() - 1);
    items.shuffle(&mut rng(seed, Purpose::HoldOut, 0));
    items.split_off(items.len() - count)
}

/// Draws `count` of `all` places at random; those and the others, each in order.
pub fn draw_subset(all: usize, count: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..all).collect();
    order.shuffle(&mut rng(seed, Purpose::Subset, 0));
    let mut others = order.split_off(count.min(all));
    order.sort_unstable();
    others.sort_unstable();
    (order, others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    #[test]
    fn an_epoch_shows_every_image_once() {
        let sampler = Sampler::new(12, 4, 7);
        let mut seen: Vec<usize> = (0..3)
            .flat_map(|step| sampler.indices(step))
            .map(|(i, _)| i)
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn every_sample_of_every_seed_has_its_own_generator() {
        let mut first_numbers = std::collections::BTreeSet::new();
        for seed in 0..4 {
            let sampler = Sampler::new(12, 4, seed);
            for (_, mut rng) in (0..50).flat_map(|step| sampler.indices(step)) {
                first_numbers.insert(rng.random::<u64>());
            }
        }
        assert_eq!(first_numbers.len(), 4 * 50 * 4);
    }

    #[test]
    fn few_images_go_round() {
        let indices: Vec<usize> = Sampler::new(3, 8, 0)
            .indices(5)
            .into_iter()
            .map(|(i, _)| i)
            .collect();
        assert_eq!(indices.len(), 8);
        assert!(indices.iter().all(|&i| i < 3));
    }

    #[test]
    fn a_subset_depends_on_the_seed_alone() {
        let (own, others) = draw_subset(10, 4, 1);
        assert_eq!((own.len(), others.len()), (4, 6));
        let mut all = [own.clone(), others].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(draw_subset(10, 4, 1).0, own);
        assert!((2..6).any(|seed| draw_subset(10, 4, seed).0 != own));
        assert_eq!(draw_subset(3, 9, 0), (vec![0, 1, 2], vec![]));
    }

    #[test]
    fn held_out_images_are_not_trained_on() {
        let mut images: Vec<usize> = (0..20).collect();
        let mut held_out = hold_out(&mut images, 0.1, 3);
        assert_eq!(held_out.len(), 2);
        held_out.extend(images);
        held_out.sort_unstable();
        assert_eq!(held_out, (0..20).collect::<Vec<_>>());
    }
}
