//! The codes of DSR's VQ-VAE: which one is nearest, which ones stand for anomalies, and how they follow the features.

use std::ops::Range;

use destseg_kernels::Grid;
use destseg_kernels::nearest::Rows;
use rand_pcg::Pcg64;

use crate::arch::weights::Array;
use crate::synthesis::random::{below, uniform};

/// Share of the codes, the nearest ones, that are too much like a good image's to stand for an anomaly.
const TOO_NEAR: f64 = 0.05;

/// The codes that can stand for an anomaly, as places in the order of their distance from a feature. The farthest one has the
/// place `strength`, a share of all `codes`.
pub(super) fn candidates(codes: usize, strength: f64) -> Range<usize> {
    let taken = ((strength * codes as f64) as usize + 1).clamp(1, codes - 1);
    ((TOO_NEAR * codes as f64) as usize).min(taken - 1)..taken
}

/// A codebook.
#[derive(Debug)]
pub(super) struct Codebook(Rows);

impl Codebook {
    /// Of codes of `length` values, one behind the other.
    pub(super) fn new(values: Vec<f32>, length: usize) -> Self {
        Self(Rows::new(values, length))
    }

    /// The nearest code of each pixel.
    pub(super) fn nearest(&self, features: &Grid) -> Vec<usize> {
        self.0
            .nearest(features)
            .into_iter()
            .map(|(code, _)| code)
            .collect()
    }

    /// A map of these codes, one for each pixel of `features`.
    pub(super) fn map(&self, features: &Grid, codes: &[usize]) -> Grid {
        Grid {
            data: codes.iter().flat_map(|&code| self.0.row(code)).copied().collect(),
            ..*features
        }
    }

    /// The features as their nearest codes.
    pub(super) fn quantised(&self, features: &Grid) -> Grid {
        self.map(features, &self.nearest(features))
    }

    /// The same, but where `mask` is not 0 a code that can stand for an anomaly of this strength (section 3.1 of the paper).
    /// `draw` gives a number of [0, 1) for each such place, which says which one.
    pub(super) fn with_anomalies(
        &self,
        features: &Grid,
        mask: &[u8],
        strength: f64,
        mut draw: impl FnMut(usize) -> f32,
    ) -> Grid {
        let mut codes = self.nearest(features);
        let candidates = candidates(self.0.len(), strength);
        let pixels = features.data.chunks_exact(features.channels);
        for (place, (code, pixel)) in codes.iter_mut().zip(pixels).enumerate() {
            if mask[place] != 0 {
                let drawn = (f64::from(draw(place)) * candidates.len() as f64) as usize;
                *code = self.ranked(pixel, candidates.start + drawn);
            }
        }
        self.map(features, &codes)
    }

    /// The code at a place in the order of the distances from a vector.
    fn ranked(&self, vector: &[f32], rank: usize) -> usize {
        let distance = |code: &[f32]| {
            code.iter()
                .zip(vector)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f32>()
        };
        let distances = self.0.iter().map(distance).enumerate();
        let mut order: Vec<(usize, f32)> = distances.collect();
        let rank = rank.min(order.len() - 1);
        let nearer = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0));
        order.select_nth_unstable_by(rank, nearer).1.0
    }
}

/// How much of the past stays in the means at each step.
const KEPT: f64 = 0.99;
/// Keeps codes without features from being divided by zero.
const EPSILON: f64 = 1e-5;
/// Steps without a feature of its own after which a code is drawn anew.
const IDLE: usize = 8;
/// By how much of itself a drawn value is changed at most, so that no two codes are the same.
const NOISE: f32 = 0.01;

/// Codes that follow the mean of the features that they are the nearest of (van den Oord et al., 2017, appendix A.1).
#[derive(Debug)]
pub(super) struct Means {
    /// Mean number of features of each code.
    counts: Vec<f64>,
    /// Mean sum of its features, code by code.
    sums: Vec<f32>,
    /// The codes as they are now.
    values: Vec<f32>,
    /// Steps since each code was last the nearest.
    idle: Vec<usize>,
    length: usize,
}

impl Means {
    /// Of counts, sums and codes.
    pub(super) fn new(counts: Vec<f64>, sums: Vec<f32>, values: Vec<f32>) -> Self {
        Self {
            length: sums.len() / counts.len().max(1),
            idle: vec![0; counts.len()],
            counts,
            sums,
            values,
        }
    }

    /// Of so many codes, each drawn from the features.
    pub(super) fn drawn(codes: usize, features: &[Grid], rng: &mut Pcg64) -> Self {
        let values: Vec<f32> = (0..codes).flat_map(|_| drawn(features, rng)).collect();
        Self::new(vec![1.0; codes], values.clone(), values)
    }

    /// A step: `codes` are the nearest ones of each pixel of each map.
    pub(super) fn follow(&mut self, features: &[Grid], codes: &[Vec<usize>]) {
        let mut counts = vec![0.0; self.counts.len()];
        let mut sums = vec![0.0; self.sums.len()];
        for (features, codes) in features.iter().zip(codes) {
            for (pixel, &code) in features.data.chunks_exact(self.length).zip(codes) {
                counts[code] += 1.0;
                let sum = &mut sums[code * self.length..][..self.length];
                sum.iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
        for (idle, &count) in self.idle.iter_mut().zip(&counts) {
            *idle = if count > 0.0 { 0 } else { *idle + 1 };
        }
        let mean = |old: f64, new: f64| KEPT * old + (1.0 - KEPT) * new;
        for (own, new) in self.counts.iter_mut().zip(counts) {
            *own = mean(*own, new);
        }
        for (own, new) in self.sums.iter_mut().zip(sums) {
            *own = mean(f64::from(*own), new) as f32;
        }
        let total: f64 = self.counts.iter().sum();
        let scale = total / (total + self.counts.len() as f64 * EPSILON);
        self.counts
            .iter_mut()
            .for_each(|count| *count = (*count + EPSILON) * scale);
        let codes = self.sums.chunks_exact(self.length).zip(&self.counts);
        self.values = codes
            .flat_map(|(sums, count)| sums.iter().map(move |&sum| (f64::from(sum) / count) as f32))
            .collect();
    }

    /// Draws codes anew that were the nearest of no feature for a while.
    pub(super) fn redraw(&mut self, features: &[Grid], rng: &mut Pcg64) {
        for code in 0..self.counts.len() {
            if self.idle[code] >= IDLE {
                self.idle[code] = 0;
                self.counts[code] = 1.0;
                let drawn = drawn(features, rng);
                for values in [&mut self.sums, &mut self.values] {
                    values[code * self.length..][..self.length].copy_from_slice(&drawn);
                }
            }
        }
    }

    /// The codebook as it is now.
    pub(super) fn codebook(&self) -> Codebook {
        Codebook::new(self.values.clone(), self.length)
    }

    /// The same as a tensor, `[codes, embedding]`.
    pub(super) fn tensor(&self) -> Array {
        Array {
            shape: vec![self.counts.len(), self.length],
            data: self.values.clone(),
        }
    }
}

/// A pixel of one of the maps, changed a little.
fn drawn(features: &[Grid], rng: &mut Pcg64) -> Vec<f32> {
    let map = &features[below(rng, features.len() as u32) as usize];
    let pixel = below(rng, map.pixels() as u32) as usize;
    let values = &map.data[pixel * map.channels..][..map.channels];
    values
        .iter()
        .map(|value| value * (1.0 + uniform(rng, -NOISE, NOISE)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{check, input, planes};
    use crate::formula::{formula, uniform};
    use crate::test_support::{assert_close, expected};
    use serde_json::Value;

    const CODES: [usize; 2] = [40, 8];

    fn codebook() -> Codebook {
        Codebook::new(formula("unit._embedding.weight", &CODES).data, CODES[1])
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let list = value.as_array().expect("is a list").iter();
        list.map(|own| own.as_f64().expect("is a number")).collect()
    }

    fn places(value: &Value) -> Vec<usize> {
        numbers(value).into_iter().map(|own| own as usize).collect()
    }

    #[test]
    fn codes_are_the_references() {
        let Some(fixture) = expected("dsr/units_expected.json") else {
            return;
        };
        let expected = &fixture["quantise"];
        let (book, features) = (codebook(), input("unit_z", 4.0, [2, 8, 4, 4]));
        let codes: Vec<usize> = features.iter().flat_map(|own| book.nearest(own)).collect();
        assert_eq!(codes, places(&expected["indices"]));
        let quantised: Vec<Grid> = features.iter().map(|own| book.quantised(own)).collect();
        check("quantised", &planes(&quantised), &expected["quantised"], 1e-6);
        let order: Vec<usize> = (0..CODES[0])
            .map(|rank| book.ranked(&features[0].data[..8], rank))
            .collect();
        assert_eq!(order, places(&expected["order_row0"]));
    }

    #[test]
    fn anomalies_have_the_references_codes() {
        let Some(fixture) = expected("dsr/units_expected.json") else {
            return;
        };
        for row in fixture["candidate_table [K, s, taken, skipped, pool]"]
            .as_array()
            .expect("is a list")
        {
            let row = numbers(row);
            let own = candidates(row[0] as usize, row[1]);
            assert_eq!([own.end, own.start, own.len()].map(|own| own as f64), row[2..]);
        }
        let expected = &fixture["sampling"];
        let (book, features) = (codebook(), input("unit_feat", 4.0, [2, 8, 6, 6]));
        let draws: Vec<f32> = uniform("unit_pick", 2 * 36).iter().map(|own| own + 0.5).collect();
        let noise = uniform("unit_mask", 2 * 144);
        let (mut results, mut pooled, mut everywhere) = (Vec::new(), Vec::new(), Vec::new());
        for (i, strength) in [0.37, 0.81].into_iter().enumerate() {
            let mask: Vec<u8> = noise[i * 144..][..144]
                .iter()
                .map(|&own| u8::from(own > 0.3))
                .collect();
            let mask = super::super::item::pooled(&mask, 12, 2);
            let draw = |place: usize| draws[i * 36 + place];
            results.push(book.with_anomalies(&features[i], &mask, strength, draw));
            let all = book.with_anomalies(&features[i], &[1; 36], strength, draw);
            everywhere.extend(book.nearest(&all));
            pooled.extend(mask);
        }
        assert_eq!(
            pooled.iter().map(|&own| usize::from(own)).collect::<Vec<_>>(),
            places(&expected["pooled_mask"])
        );
        assert_eq!(everywhere, places(&expected["chosen_code"]));
        check("result", &planes(&results), &expected["result"], 1e-6);
    }

    #[test]
    fn codes_follow_their_features_as_the_references_do() {
        let Some(fixture) = expected("dsr/units_expected.json") else {
            return;
        };
        let counts = formula("unit._ema_cluster_size", &CODES[..1]).data;
        let counts = counts.into_iter().map(f64::from).collect();
        let mut means = Means::new(
            counts,
            formula("unit._ema_w", &CODES).data,
            formula("unit._embedding.weight", &CODES).data,
        );
        let mut book = codebook();
        let steps = fixture["ema_3_steps"]["steps"].as_array().expect("is a list");
        assert_eq!(steps.len(), 3);
        for (k, step) in steps.iter().enumerate() {
            let features = input(&format!("unit_z_{k}"), 4.0, [2, 8, 4, 4]);
            let codes: Vec<Vec<usize>> = features.iter().map(|own| book.nearest(own)).collect();
            assert_eq!(codes.concat(), places(&step["indices"]));
            means.follow(&features, &codes);
            let ours: Vec<f32> = means.counts.iter().map(|&own| own as f32).collect();
            let theirs: Vec<f32> = numbers(&step["cluster_size"])
                .iter()
                .map(|&own| own as f32)
                .collect();
            assert_close(&ours, &theirs, 1e-6);
            check("codes", &means.values, &step["embedding_after"], 1e-6);
            check("sums", &means.sums, &step["ema_w_after"], 1e-6);
            book = means.codebook();
        }
    }

    #[test]
    fn idle_codes_are_drawn_anew_from_the_features() {
        let mut rng = crate::synthesis::sample_rng(0, 0, 0);
        let features = vec![crate::test_support::grid(1, [4, 4, 8])];
        let mut means = Means::new(vec![1.0; 2], vec![9.0; 16], vec![9.0; 16]);
        let codes = vec![vec![1; 16]];
        for _ in 0..IDLE {
            means.follow(&features, &codes);
            means.redraw(&features, &mut rng);
        }
        let values = means.values;
        let distance = |code: &[f32]| {
            let pixels = features[0].data.chunks(8);
            let of_pixel = |pixel: &[f32]| {
                let pairs = pixel.iter().zip(code);
                pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            pixels.map(of_pixel).fold(f32::INFINITY, f32::min)
        };
        assert!(distance(&values[..8]) <= NOISE, "{values:?}");
    }
}
