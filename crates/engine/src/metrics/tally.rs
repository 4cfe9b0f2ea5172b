//! Pixels of a test set, one image after the other, in memory that hardly grows with their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Ranking;
use super::ranking::key;
use crate::data::regions;
use crate::{Error, Result};

/// Bits of a score's key that are dropped: what is left tells scores apart that differ by one part in
/// 65,536.
const DROPPED: u32 = 8;
/// Good pixels are counted in pages of so many neighbouring keys, made when they are needed.
const PAGE: usize = 256;
/// Pages that there can be.
const PAGES: usize = 1 << (32 - DROPPED - PAGE.ilog2());

/// Counts of good pixels by their score, and all defective pixels with their region.
///
/// Good pixels, of which there are many millions, take a few megabytes however many they are: maps use a
/// few dozen powers of two, 1 KB for each 256th part of one. Defective pixels take 8 bytes each.
///
/// Tallies of the parts of a set, [joined](Self::join) in the order of the parts, are the tally of the set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Tally {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    /// How often the count of a bin began anew behind its largest number.
    carried: BTreeMap<usize, u32>,
    positives: Vec<u64>,
    regions: Vec<usize>,
}

/// A tally as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// Bins of good pixels with their counts, in order.
    good: Vec<(usize, u64)>,
    /// Defective pixels: key and region.
    positives: Vec<u64>,
    /// Pixels of each region.
    regions: Vec<usize>,
}

impl From<Tally> for Stored {
    fn from(tally: Tally) -> Self {
        let counts = tally.bins().map(|bin| (bin, tally.count(bin)));
        Self {
            good: counts.filter(|&(_, count)| count > 0).collect(),
            positives: tally.positives,
            regions: tally.regions,
        }
    }
}

impl TryFrom<Stored> for Tally {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let region = |entry: &u64| (entry & u64::from(u32::MAX)) as usize;
        if stored.good.iter().any(|&(bin, _)| bin >= PAGES * PAGE)
            || stored
                .positives
                .iter()
                .any(|entry| region(entry) >= stored.regions.len())
        {
            return Err(Error::Metric(
                "counts of pixels are damaged: measure these images again".into(),
            ));
        }
        let mut tally = Self {
            positives: stored.positives,
            regions: stored.regions,
            ..Self::default()
        };
        for (bin, count) in stored.good {
            tally.add_good(bin, count);
        }
        Ok(tally)
    }
}

/// A key without the bits that are dropped.
fn coarse(key: u32) -> u32 {
    key >> DROPPED << DROPPED
}

impl Tally {
    /// Adds an image's scores and its mask, row by row.
    ///
    /// # Errors
    /// [`Error::Metric`] for lengths that do not fit, or NaN.
    pub fn add(&mut self, scores: &[f32], mask: &[bool], width: usize) -> Result<()> {
        if scores.len() != mask.len() || width == 0 || !scores.len().is_multiple_of(width) {
            return Err(Error::Metric(format!(
                "{} scores and {} labels are no image {width} pixels wide",
                scores.len(),
                mask.len()
            )));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(Error::Metric(
                "a score is not a number (NaN): the model that made it is broken".into(),
            ));
        }
        let mut numbers = vec![regions::NONE; mask.len()];
        let first = self.regions.len() as u32;
        let next = regions::label(mask, width, first, &mut numbers);
        self.regions.resize(next as usize, 0);
        for (&score, &region) in scores.iter().zip(&numbers) {
            let key = key(score);
            if region == regions::NONE {
                self.add_good((key >> DROPPED) as usize, 1);
            } else {
                self.regions[region as usize] += 1;
                self.positives
                    .push(u64::from(coarse(key)) << 32 | u64::from(region));
            }
        }
        Ok(())
    }

    /// Adds good pixels to a bin.
    fn add_good(&mut self, bin: usize, count: u64) {
        if self.pages.is_empty() {
            self.pages.resize_with(PAGES, || None);
        }
        let page = self.pages[bin / PAGE].get_or_insert_with(|| Box::new([0; PAGE]));
        let (sum, begins_anew) = page[bin % PAGE].overflowing_add(count as u32);
        page[bin % PAGE] = sum;
        let carry = (count >> u32::BITS) as u32 + u32::from(begins_anew);
        if carry > 0 {
            *self.carried.entry(bin).or_default() += carry;
        }
    }

    /// The good pixels in a bin.
    fn count(&self, bin: usize) -> u64 {
        let page = self.pages.get(bin / PAGE).and_then(Option::as_ref);
        let carried = self.carried.get(&bin).copied().unwrap_or_default();
        u64::from(carried) << u32::BITS | page.map_or(0, |page| u64::from(page[bin % PAGE]))
    }

    /// The bins of all pages that there are, in order.
    fn bins(&self) -> impl Iterator<Item = usize> + use<> {
        let is_there = |(page, own): (usize, &Option<_>)| own.is_some().then_some(page);
        let pages: Vec<usize> = self.pages.iter().enumerate().filter_map(is_there).collect();
        pages.into_iter().flat_map(|page| page * PAGE..(page + 1) * PAGE)
    }

    /// Adds all pixels of another tally, whose images come behind those of this one.
    pub fn join(&mut self, other: &Self) {
        let first = self.regions.len() as u64;
        self.positives
            .extend(other.positives.iter().map(|entry| entry + first));
        self.regions.extend(&other.regions);
        for bin in other.bins() {
            match other.count(bin) {
                0 => {}
                count => self.add_good(bin, count),
            }
        }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * size_of::<[u32; PAGE]>();
        pages
            + self.pages.len() * size_of::<Option<Box<[u32; PAGE]>>>()
            + self.positives.capacity() * size_of::<u64>()
            + self.regions.capacity() * size_of::<usize>()
    }

    /// All pixels of several tallies in order.
    pub fn rank(tallies: &[&Self]) -> Ranking {
        let mut all = Self::default();
        for tally in tallies {
            all.join(tally);
        }
        let groups = all.bins().map(|bin| ((bin as u32) << DROPPED, all.count(bin)));
        let groups: Vec<(u32, u64)> = groups.filter(|&(_, count)| count > 0).collect();
        Ranking::of_groups(groups.into_iter(), all.positives, all.regions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::AUPRO_LIMIT;
    use proptest::prelude::*;

    const SIDE: usize = 64;

    /// Maps and masks of a small test set: two blobs on noise, spread over several powers of two.
    fn images(seed: u32, count: usize) -> Vec<(Vec<f32>, Vec<bool>)> {
        let mut state = seed;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..count)
            .map(|image| {
                let is_defective = |at: usize| {
                    let (x, y) = (at % SIDE, at / SIDE);
                    image % 2 == 1 && ((x / 8 == 1 && y / 8 == 2) || (x / 16 == 3 && y / 4 == 9))
                };
                let mask: Vec<bool> = (0..SIDE * SIDE).map(is_defective).collect();
                let scores = mask.iter().map(|&defective| {
                    let value = noise().powi(5);
                    if defective {
                        0.6 * value + 0.4 * noise()
                    } else {
                        value
                    }
                });
                (scores.collect(), mask)
            })
            .collect()
    }

    fn figures(ranking: &Ranking) -> [f64; 5] {
        let instances = ranking.instance_ap().expect("has defects");
        [
            ranking.auc().expect("has both"),
            ranking.average_precision().expect("has defects"),
            ranking.aupro(AUPRO_LIMIT).expect("has both"),
            instances.iap,
            instances.iap90,
        ]
    }

    /// A positive score with the digits that a tally keeps.
    fn kept(score: f32) -> f32 {
        f32::from_bits(coarse(score.to_bits()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn figures_are_those_of_all_pixels(seed in 0_u32..1000) {
            let images = images(seed, 6);
            let (scores, masks): (Vec<Vec<f32>>, Vec<Vec<bool>>) = images.iter().cloned().unzip();
            let (scores, masks) = (scores.concat(), masks.concat());
            let (mut good, mut defective) = (Tally::default(), Tally::default());
            for (scores, mask) in &images {
                let own = if mask.contains(&true) { &mut defective } else { &mut good };
                own.add(scores, mask, SIDE).expect("fits");
            }
            let streamed = Tally::rank(&[&good, &defective]);
            let exact = Ranking::of_images(&scores, &masks, (SIDE, SIDE)).expect("fits");
            prop_assert_eq!(streamed.instances(), exact.instances());
            prop_assert_eq!((streamed.good(), streamed.defective()), (exact.good(), exact.defective()));
            // areas under curves hardly notice the dropped digits; a precision at one threshold, of which
            // the instances' figures are made, can move by a whole pixel
            for (streamed, exact) in figures(&streamed).into_iter().zip(figures(&exact)).take(3) {
                prop_assert!((streamed - exact).abs() < 1e-5, "{} is not {}", streamed, exact);
            }
            let scores: Vec<f32> = scores.into_iter().map(kept).collect();
            let coarse = Ranking::of_images(&scores, &masks, (SIDE, SIDE)).expect("fits");
            for (streamed, coarse) in figures(&streamed).into_iter().zip(figures(&coarse)) {
                prop_assert!((streamed - coarse).abs() < 1e-12, "{} is not {}", streamed, coarse);
            }
        }
    }

    #[test]
    fn many_good_images_take_no_more_than_a_few() {
        let mut tally = Tally::default();
        let mut sizes = Vec::new();
        for (scores, _) in images(7, 60) {
            tally
                .add(&scores, &vec![false; scores.len()], SIDE)
                .expect("fits");
            sizes.push(tally.bytes());
        }
        let (early, late) = (sizes[9], sizes[59]);
        assert!((late as f64) < 1.5 * early as f64, "{early} bytes became {late}");
    }

    #[test]
    fn tallies_of_parts_are_the_tally_of_all() {
        let images = images(11, 9);
        let tally = |images: &[(Vec<f32>, Vec<bool>)]| {
            let mut tally = Tally::default();
            for (scores, mask) in images {
                tally.add(scores, mask, SIDE).expect("fits");
            }
            tally
        };
        let mut joined = Tally::default();
        for part in images.chunks(4) {
            let stored = serde_json::to_string(&tally(part)).expect("has a form");
            joined.join(&serde_json::from_str(&stored).expect("is read"));
        }
        assert!(joined == tally(&images));
    }

    #[test]
    fn counts_go_beyond_four_billion() {
        let most = u64::from(u32::MAX);
        let mut tally = Tally::default();
        for count in [most, 3, 5 * most] {
            tally.add_good(77, count);
        }
        let mut twice = tally.clone();
        twice.join(&tally);
        assert_eq!((tally.count(77), twice.count(77)), (6 * most + 3, 12 * most + 6));
        assert_eq!(Tally::rank(&[&twice]).good() as u64, 12 * most + 6);
    }

    #[test]
    fn damaged_tallies_are_refused() {
        for text in [
            r#"{"good":[[16777216,1]],"positives":[],"regions":[]}"#,
            r#"{"good":[],"positives":[1],"regions":[4]}"#,
        ] {
            let err = serde_json::from_str::<Tally>(text).expect_err("is refused");
            assert!(err.to_string().contains("are damaged"), "{err}");
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let mut tally = Tally::default();
        assert!(tally.add(&[0.0; 5], &[false; 5], 2).is_err());
        assert!(tally.add(&[0.0; 4], &[false; 2], 2).is_err());
        assert!(tally.add(&[f32::NAN; 4], &[false; 4], 2).is_err());
    }
}
