//! Batch normalisation, there and back, and the other steps of a training that go value by value.

use fearless_simd::dispatch;

use crate::Grid;
use crate::simd::level;
use crate::threads::for_each;

/// Sums of all pixels of a batch, per channel.
pub fn sums(batch: &[Grid]) -> Vec<f32> {
    let [sums] = reduce([batch], |[sums], [row]| {
        dispatch!(level(), _simd => for pixel in row.chunks_exact(sums.len()) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        });
    });
    sums
}

/// Sums of squared distances from `mean`, per channel.
pub fn squares(batch: &[Grid], mean: &[f32]) -> Vec<f32> {
    let [sums] = reduce([batch], |[sums], [row]| {
        dispatch!(level(), _simd => for pixel in row.chunks_exact(sums.len()) {
            for ((sum, value), mean) in sums.iter_mut().zip(pixel).zip(mean) {
                *sum += (value - mean) * (value - mean);
            }
        });
    });
    sums
}

/// What values become, per channel: less `mean`, times `inverse` (1 / standard deviation), times `gamma`, plus `beta`.
#[derive(Debug, Clone)]
pub struct Norm {
    /// Mean over the batch.
    pub mean: Vec<f32>,
    /// One over the standard deviation.
    pub inverse: Vec<f32>,
    /// Scale.
    pub gamma: Vec<f32>,
    /// Shift.
    pub beta: Vec<f32>,
}

impl Norm {
    /// Writes the normalised batch, negative values cut off if asked for.
    pub fn run(&self, batch: &[Grid], relu: bool, out: &mut [Grid]) {
        let low = if relu { 0.0 } else { f32::NEG_INFINITY };
        map([batch], out, |out, [row]| {
            dispatch!(level(), _simd => {
                let channels = self.mean.len();
                for (out, pixel) in out.chunks_exact_mut(channels).zip(row.chunks_exact(channels)) {
                    let scales = self.inverse.iter().zip(&self.gamma).zip(&self.beta);
                    let values = out.iter_mut().zip(pixel).zip(&self.mean).zip(scales);
                    for (((out, value), mean), ((inverse, gamma), beta)) in values {
                        *out = ((value - mean) * inverse * gamma + beta).max(low);
                    }
                }
            });
        });
    }

    /// The gradients with respect to `gamma` and `beta`; those with respect to the normalised batch become those with
    /// respect to the batch. Mean and standard deviation are the batch's own.
    pub fn back(&self, batch: &[Grid], gradients: &mut [Grid]) -> [Vec<f32>; 2] {
        let channels = self.mean.len();
        let [of_gamma, of_beta] = reduce([batch, &*gradients], |[of_gamma, of_beta], [row, gradients]| {
            dispatch!(level(), _simd => {
                for (pixel, gradients) in row.chunks_exact(channels).zip(gradients.chunks_exact(channels)) {
                    let sums = of_gamma.iter_mut().zip(of_beta.iter_mut());
                    let values = pixel.iter().zip(gradients).zip(self.mean.iter().zip(&self.inverse));
                    for ((gamma, beta), ((value, gradient), (mean, inverse))) in sums.zip(values) {
                        *gamma += gradient * ((value - mean) * inverse);
                        *beta += gradient;
                    }
                }
            });
        });
        let count = batch.iter().map(Grid::pixels).sum::<usize>() as f32;
        let scale: Vec<f32> = self.inverse.iter().zip(&self.gamma).map(|(i, g)| i * g).collect();
        map([batch], gradients, |gradients, [row]| {
            dispatch!(level(), _simd => {
                for (gradients, pixel) in gradients.chunks_exact_mut(channels).zip(row.chunks_exact(channels)) {
                    let norm = self.mean.iter().zip(&self.inverse).zip(&scale);
                    let sums = of_gamma.iter().zip(&of_beta);
                    let values = gradients.iter_mut().zip(pixel).zip(norm).zip(sums);
                    for (((gradient, value), ((mean, inverse), scale)), (gamma, beta)) in values {
                        let normal = (value - mean) * inverse;
                        *gradient = (*gradient - (beta + normal * gamma) / count) * scale;
                    }
                }
            });
        });
        [of_gamma, of_beta]
    }
}

/// Writes the sum of two batches, negative values cut off if asked for.
pub fn add(a: &[Grid], b: &[Grid], relu: bool, out: &mut [Grid]) {
    let low = if relu { 0.0 } else { f32::NEG_INFINITY };
    map([a, b], out, |out, [a, b]| {
        dispatch!(level(), _simd => for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
            *out = (a + b).max(low);
        });
    });
}

/// Gradients where `ReLU` let values through.
pub fn masked(gradients: &mut [Grid], out: &[Grid]) {
    for_each(gradients.iter_mut().zip(out), |(gradients, out)| {
        dispatch!(level(), _simd => for (gradient, &value) in gradients.data.iter_mut().zip(&out.data) {
            *gradient = if value > 0.0 { *gradient } else { 0.0 };
        });
    });
}

/// The rows of several batches of one shape, image by image.
fn rows<const K: usize>(batches: [&[Grid]; K], image: usize) -> impl Iterator<Item = [&[f32]; K]> {
    let grids = batches.map(|batch| &batch[image]);
    let len = grids[0].width * grids[0].channels;
    (0..grids[0].height).map(move |y| grids.map(|grid| &grid.data[y * len..][..len]))
}

/// Sums per channel: `add` adds a row's to sums in single precision, those of all rows are added in double.
fn reduce<const K: usize, const N: usize>(
    batches: [&[Grid]; K],
    add: impl Fn([&mut [f32]; N], [&[f32]; K]) + Sync + Send,
) -> [Vec<f32>; N] {
    let channels = batches[0][0].channels;
    let mut of_images = vec![[(); N].map(|()| vec![0f64; channels]); batches[0].len()];
    for_each(of_images.iter_mut().enumerate(), |(image, all)| {
        for row in rows(batches, image) {
            let mut sums = [(); N].map(|()| vec![0f32; channels]);
            add(sums.each_mut().map(Vec::as_mut_slice), row);
            for (all, own) in all.iter_mut().zip(&sums) {
                all.iter_mut()
                    .zip(own)
                    .for_each(|(all, &own)| *all += f64::from(own));
            }
        }
    });
    let mut total = [(); N].map(|()| vec![0.0; channels]);
    for (n, total) in total.iter_mut().enumerate() {
        for (c, total) in total.iter_mut().enumerate() {
            *total = of_images.iter().map(|sums| sums[n][c]).sum::<f64>() as f32;
        }
    }
    total
}

/// Fills or changes the rows of a batch of the same shape.
fn map<const K: usize>(
    batches: [&[Grid]; K],
    out: &mut [Grid],
    fill: impl Fn(&mut [f32], [&[f32]; K]) + Sync + Send,
) {
    for_each(out.iter_mut().enumerate(), |(image, out)| {
        let len = (out.width * out.channels).max(1);
        out.data
            .chunks_exact_mut(len)
            .zip(rows(batches, image))
            .for_each(|(out, row)| fill(out, row));
    });
}
