//! The losses of the two stages (section 3.4 of the paper) and their gradients.

use destseg_kernels::Grid;

use super::Batch;

/// Keeps a vector of zeros from being divided by zero.
const TINY: f32 = 1e-24;
/// Keeps the logarithm finite; PyTorch clamps the cross entropy at -100 instead.
const SMALLEST: f32 = 1e-12;

/// One level's share of the cosine loss times `factor`, of the teacher's and the student's features, neither
/// normalised, and the gradient with respect to the latter.
pub fn cosine(teacher: &[Grid], student: &Batch, factor: f32) -> (f32, Batch) {
    let pixels: usize = student.iter().map(Grid::pixels).sum();
    let factor = factor / pixels as f32;
    let mut loss = 0.0;
    let mut gradients = student.beside(student.size());
    for ((teacher, student), gradients) in teacher.iter().zip(student.iter()).zip(gradients.iter_mut()) {
        let features = teacher
            .data
            .chunks_exact(teacher.channels)
            .zip(student.data.chunks_exact(student.channels));
        for ((t, s), out) in features.zip(gradients.data.chunks_exact_mut(student.channels)) {
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (of_t, of_s) = (
                (product(t, t) + TINY).sqrt().recip(),
                (product(s, s) + TINY).sqrt().recip(),
            );
            let cosine = product(t, s) * of_t * of_s;
            loss += f64::from(1.0 - cosine);
            for ((out, t), s) in out.iter_mut().zip(t).zip(s) {
                *out = -factor * of_s * (t * of_t - cosine * s * of_s);
            }
        }
    }
    (loss as f32 * factor, gradients)
}

/// Focal and L1 loss of a map's logits, and the gradient of their sum with respect to these.
pub fn focal_and_l1(logits: &Batch, mask: &[f32], gamma: f32) -> ([f32; 2], Batch) {
    let count = mask.len() as f32;
    let (mut focal, mut l1) = (0f64, 0f64);
    let mut mask = mask.iter();
    let mut gradient = |logit: f32| {
        let positive = *mask.next().unwrap_or(&0.0);
        let p = 1.0 / (1.0 + (-logit).exp());
        let right = p * positive + (1.0 - p) * (1.0 - positive);
        let (sure, wrong) = (right.max(SMALLEST), (1.0 - right).max(SMALLEST));
        focal += f64::from(-sure.ln() * wrong.powf(gamma));
        l1 += f64::from((p - positive).abs());
        // a clamped value does not change
        let of_log = if right > SMALLEST {
            -wrong.powf(gamma) / sure
        } else {
            0.0
        };
        let of_power = if 1.0 - right > SMALLEST {
            sure.ln() * gamma * wrong.powf(gamma - 1.0)
        } else {
            0.0
        };
        let of_p = (of_log + of_power) * (2.0 * positive - 1.0) + (p - positive).signum();
        of_p * p * (1.0 - p) / count
    };
    let mut gradients = logits.beside(logits.size());
    for (logits, gradients) in logits.iter().zip(gradients.iter_mut()) {
        for (to, &logit) in gradients.data.iter_mut().zip(&logits.data) {
            *to = gradient(logit);
        }
    }
    ([focal, l1].map(|sum| sum as f32 / count), gradients)
}
