//! Scores sorted once, from which every figure follows.

use crate::data::regions;
use crate::{Error, Result};

/// The scores of a test set in order, good and defective ones apart.
///
/// Made of all scores at once, or of a [`Tally`](super::Tally) that has seen one image after the other.
#[derive(Debug)]
pub struct Ranking {
    /// Distinct keys of good entries, ascending, each with the number of entries up to it.
    negatives: Vec<(u32, u64)>,
    /// Of all defective entries the key (upper half) and the region (lower half), ascending.
    positives: Vec<u64>,
    /// Defective entries in each region.
    regions: Vec<usize>,
}

/// Instance average precision (section 4.1 of the paper): a defect is found at a threshold if more
/// than half of its pixels reach it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstanceAp {
    /// Mean over the defects of the pixel precision at which each is found (IAP).
    pub iap: f64,
    /// The pixel precision at which 90 % of the defects are found (IAP@90).
    pub iap90: f64,
    /// How many defects there are.
    pub instances: usize,
}

/// Defective entries of equal score, and the good entries beside them.
pub(super) struct Group<'a> {
    pub(super) positives: &'a [u64],
    /// Good entries with a larger score.
    pub(super) above: usize,
    /// Good entries with the same score.
    pub(super) tied: usize,
}

impl Group<'_> {
    /// The score's key.
    pub(super) fn key(&self) -> u32 {
        self.positives.first().map_or(0, |&entry| key_of(entry))
    }
}

/// An integer that sorts as the score does; both zeros are the same.
pub(super) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The score of a key.
pub(super) fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 0 { !key } else { key & !(1 << 31) })
}

/// The key of an entry in [`Ranking::positives`].
fn key_of(positive: u64) -> u32 {
    (positive >> 32) as u32
}

impl Ranking {
    /// Sorts scores whose labels are `true` where defective.
    ///
    /// # Errors
    /// [`Error::Metric`] for unequal lengths or NaN.
    pub fn new(scores: &[f32], labels: &[bool]) -> Result<Self> {
        Self::of_images(scores, labels, (scores.len().max(1), 1))
    }

    /// Sorts the pixels of images of one size (width, height) and finds the 8-connected regions of
    /// each image's mask.
    ///
    /// # Errors
    /// [`Error::Metric`] for lengths that do not fit, or NaN.
    pub fn of_images(scores: &[f32], masks: &[bool], (width, height): (usize, usize)) -> Result<Self> {
        if scores.len() != masks.len() {
            return Err(Error::Metric(format!(
                "there are {} scores but {} labels: each score needs one",
                scores.len(),
                masks.len()
            )));
        }
        let area = width * height;
        if area == 0 || !scores.len().is_multiple_of(area) {
            return Err(Error::Metric(format!(
                "{} pixels are not a whole number of images of {width} x {height}",
                scores.len()
            )));
        }
        if let Some(at) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Metric(format!(
                "score number {} is not a number (NaN): the model that made it is broken",
                at + 1
            )));
        }
        let count = masks.iter().filter(|&&defective| defective).count();
        let mut negatives = Vec::with_capacity(scores.len() - count);
        let mut positives = Vec::with_capacity(count);
        let mut sizes = Vec::new();
        let mut labels = vec![regions::NONE; area];
        for (scores, mask) in scores.chunks_exact(area).zip(masks.chunks_exact(area)) {
            let found = regions::label(mask, width, sizes.len() as u32, &mut labels);
            sizes.resize(found as usize, 0);
            for (&score, &region) in scores.iter().zip(&labels) {
                if region == regions::NONE {
                    negatives.push(key(score));
                } else {
                    sizes[region as usize] += 1;
                    positives.push(u64::from(key(score)) << 32 | u64::from(region));
                }
            }
        }
        negatives.sort_unstable();
        let groups = negatives.chunk_by(|a, b| a == b);
        let groups = groups.map(|group| (group[0], group.len() as u64));
        Ok(Self::of_groups(groups, positives, sizes))
    }

    /// Of good entries as keys with their numbers, ascending, and defective ones as key and region.
    pub(super) fn of_groups(
        negatives: impl Iterator<Item = (u32, u64)>,
        mut positives: Vec<u64>,
        regions: Vec<usize>,
    ) -> Self {
        let mut sum = 0;
        let negatives = negatives
            .map(|(key, count)| {
                sum += count;
                (key, sum)
            })
            .collect();
        positives.sort_unstable();
        Self {
            negatives,
            positives,
            regions,
        }
    }

    /// How many entries are good.
    pub fn good(&self) -> usize {
        self.negatives.last().map_or(0, |&(_, sum)| sum as usize)
    }

    /// How many entries are defective.
    pub fn defective(&self) -> usize {
        self.positives.len()
    }

    /// How many good entries have a smaller key.
    fn good_below(&self, key: u32) -> usize {
        let groups = self.negatives.partition_point(|&(own, _)| own < key);
        groups
            .checked_sub(1)
            .map_or(0, |last| self.negatives[last].1 as usize)
    }

    /// How many regions (defects) the masks have.
    pub fn instances(&self) -> usize {
        self.regions.len()
    }

    /// Area under the ROC curve, ties counted half.
    ///
    /// # Errors
    /// [`Error::Metric`] if all labels are of one kind.
    pub fn auc(&self) -> Result<f64> {
        self.need_both("the area under the ROC curve")?;
        let wins: f64 = self
            .groups()
            .map(|group| {
                let below = self.good() - group.above - group.tied;
                group.positives.len() as f64 * (below as f64 + group.tied as f64 / 2.0)
            })
            .sum();
        Ok(wins / (self.positives.len() as f64 * self.good() as f64))
    }

    /// Average precision, step-wise without interpolation.
    ///
    /// # Errors
    /// [`Error::Metric`] without a defective entry.
    pub fn average_precision(&self) -> Result<f64> {
        self.need_positives("the average precision")?;
        let mut found = 0;
        let sum: f64 = self
            .groups()
            .map(|group| {
                found += group.positives.len();
                let precision = found as f64 / (found + group.above + group.tied) as f64;
                group.positives.len() as f64 * precision
            })
            .sum();
        Ok(sum / self.positives.len() as f64)
    }

    /// The threshold with the best F1 value, and that value; of equal ones the highest threshold.
    ///
    /// # Errors
    /// [`Error::Metric`] without a defective entry.
    pub fn best_f1(&self) -> Result<(f32, f64)> {
        self.need_positives("the best threshold")?;
        let (mut found, mut best) = (0, (0.0, 0.0));
        for group in self.groups() {
            found += group.positives.len();
            let flagged = found + group.above + group.tied;
            let f1 = 2.0 * found as f64 / (flagged + self.positives.len()) as f64;
            if f1 > best.1 {
                best = (score(key_of(group.positives[0])), f1);
            }
        }
        Ok(best)
    }

    /// Area under the per-region overlap up to the false positive rate `limit`, as a share of it:
    /// exact, with a straight line between neighbouring thresholds.
    ///
    /// # Errors
    /// [`Error::Metric`] if all pixels are of one kind or the limit lies outside (0, 1].
    pub fn aupro(&self, limit: f64) -> Result<f64> {
        self.need_both("the per-region overlap")?;
        if !(limit > 0.0 && limit <= 1.0) {
            return Err(Error::Metric(format!(
                "the false positive limit is {limit} but must be above 0 and at most 1"
            )));
        }
        let background = self.good() as f64;
        let (mut area, mut overlap, mut rate) = (0.0, 0.0, 0.0);
        for group in self.groups() {
            // Flat until this threshold, then straight to its point.
            let start = group.above as f64 / background;
            area += overlap * (start.min(limit) - rate);
            rate = start;
            if rate >= limit {
                break;
            }
            let gain = self.gain(group.positives);
            if group.tied > 0 {
                let width = group.tied as f64 / background;
                let within = width.min(limit - rate);
                area += within * (overlap + gain * within / width / 2.0);
                rate += within;
            }
            overlap += gain;
        }
        area += overlap * (limit - rate).max(0.0);
        Ok(area / limit)
    }

    /// What entries add to the mean share of each region that is found.
    pub(super) fn gain(&self, entries: &[u64]) -> f64 {
        let share = |&entry: &u64| 1.0 / self.regions[entry as u32 as usize] as f64;
        entries.iter().map(share).sum::<f64>() / self.regions.len() as f64
    }

    /// The largest key.
    pub(super) fn highest(&self) -> Option<u32> {
        let positive = self.positives.last().map(|&entry| key_of(entry));
        self.negatives.last().map(|&(key, _)| key).max(positive)
    }

    /// The smallest key.
    pub(super) fn lowest(&self) -> Option<u32> {
        let keys = [
            self.positives.first().map(|&entry| key_of(entry)),
            self.negatives.first().map(|&(key, _)| key),
        ];
        keys.into_iter().flatten().min()
    }

    /// Instance average precision.
    ///
    /// # Errors
    /// [`Error::Metric`] without a defect.
    pub fn instance_ap(&self) -> Result<InstanceAp> {
        self.need_positives("the instance average precision")?;
        let instances = self.regions.len();
        // The largest threshold at which more than half of a region reaches it.
        let mut thresholds = Vec::with_capacity(instances);
        let mut seen = vec![0; instances];
        for &entry in self.positives.iter().rev() {
            let region = entry as u32 as usize;
            if seen[region] == self.regions[region] / 2 {
                thresholds.push(key_of(entry));
            }
            seen[region] += 1;
        }
        thresholds.reverse();
        let mut best = 0.0f64;
        let precisions: Vec<f64> = thresholds
            .into_iter()
            .map(|threshold| {
                let missed = self.positives.partition_point(|&entry| key_of(entry) < threshold);
                let (found, wrong) = (
                    self.positives.len() - missed,
                    self.good() - self.good_below(threshold),
                );
                // Interpolated: a higher threshold never counts as less precise.
                best = best.max(found as f64 / (found + wrong) as f64);
                best
            })
            .collect();
        const RECALL: f64 = 0.9;
        let at = (0..instances)
            .rev()
            .find(|&i| 1.0 - i as f64 / instances as f64 >= RECALL)
            .unwrap_or(0);
        Ok(InstanceAp {
            iap: precisions.iter().sum::<f64>() / instances as f64,
            iap90: precisions[at],
            instances,
        })
    }

    /// All distinct scores of defective entries, the largest first.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        let mut positives = &self.positives[..];
        // the good groups that are still below, and how many entries they have
        let mut below = self.negatives.len();
        let entries = move |groups: usize| match groups {
            0 => 0,
            groups => self.negatives[groups - 1].1 as usize,
        };
        let good = self.good();
        std::iter::from_fn(move || {
            let key = key_of(*positives.last()?);
            let equal = positives
                .iter()
                .rev()
                .take_while(|&&entry| key_of(entry) == key)
                .count();
            let (rest, group) = positives.split_at(positives.len() - equal);
            positives = rest;
            while below > 0 && self.negatives[below - 1].0 > key {
                below -= 1;
            }
            let up_to = entries(below);
            while below > 0 && self.negatives[below - 1].0 == key {
                below -= 1;
            }
            let above = good - up_to;
            let tied = up_to - entries(below);
            Some(Group {
                positives: group,
                above,
                tied,
            })
        })
    }

    fn need_positives(&self, what: &str) -> Result<()> {
        if self.positives.is_empty() {
            return Err(Error::Metric(format!(
                "{what} is not defined: none of the {} entries is labelled defective",
                self.good()
            )));
        }
        Ok(())
    }

    fn need_both(&self, what: &str) -> Result<()> {
        if self.negatives.is_empty() && !self.positives.is_empty() {
            return Err(Error::Metric(format!(
                "{what} is not defined: all {} entries are labelled defective",
                self.positives.len()
            )));
        }
        self.need_positives(what)
    }
}
