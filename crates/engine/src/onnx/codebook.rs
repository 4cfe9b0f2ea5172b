//! How a codebook of good features changes maps, as [`crate::inspect::codebook`] has it.

use super::builder::{Builder, Name};
use super::memory::shifted;
use super::patchcore::{distance, row};
use crate::Result;
use crate::arch::weights::Weights;
use crate::inspect::CodebookRecord;
use crate::inspect::codebook::{BIAS, FREE, GAINS, LEAST, MOST, PREFIX, ROWS, WEIGHT};

/// A segmentation network's maps of probabilities, `[batch, map, map]`, with what the codebook adds to their logits. `features`
/// are the teacher's normalised ones at three levels; the middle one has `side` rows.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming a missing tensor of the codebook.
pub(super) fn compared(
    b: &mut Builder,
    (record, weights): (&CodebookRecord, &Weights),
    features: &[Name],
    side: usize,
    (maps, map): (&str, usize),
) -> Result<Name> {
    let coarse = shifts(b, (record, weights), 1, (&features[2], side / 2))?;
    let coarse = b.scaled_map("codebook_size", &coarse, side / 2, |line| line.resize(side, 1));
    let middle = shifts(b, (record, weights), 0, (&features[1], side))?;
    let both = b.op("Add", [&middle, &coarse]);
    let most = b.number(MOST);
    let both = b.op("Min", [&both, &most]);
    Ok(shifted(b, (maps, map), &[both], side))
}

/// What a level adds to the logit of each place, `[batch, side, side]`.
fn shifts(
    b: &mut Builder,
    (record, weights): (&CodebookRecord, &Weights),
    number: usize,
    (features, side): (&str, usize),
) -> Result<Name> {
    let usual = record.levels[number];
    let name = |part: &str| format!("{PREFIX}{number}.{part}");
    let read = |part: &str| Ok(&weights.get(&name(part))?.data);
    let (weight, bias, rows) = (read(WEIGHT)?, read(BIAS)?, read(ROWS)?);
    let channels = bias.len();
    let columns: Vec<f32> = (0..channels * channels)
        .map(|place| weight[place % channels * channels + place / channels])
        .collect();
    let weight = b.weights(&name(WEIGHT), &[channels; 2], &columns);
    let bias = b.weights(&name(BIAS), &[channels], bias);
    let rows = b.weights(&name(ROWS), &[rows.len() / channels, channels], rows);
    let vectors = b.reshape(features, &[0, channels as i64, (side * side) as i64]);
    let vectors = b.transpose(&vectors, &[0, 2, 1]);
    let white = b.op("MatMul", [&vectors, &weight]);
    let white = b.op("Add", [&white, &bias]);
    let nearest = b.nearest_row(&white, &rows, 2);
    let nearest = row(b, &rows, &nearest);
    let apart = distance(b, &white, &nearest, 2);
    let least = b.number(LEAST);
    let apart = b.op("Max", [&apart, &least]);
    let apart = b.op("Log", [&apart]);
    let free = b.number(usual.mean + FREE * usual.deviation);
    let beyond = b.op("Sub", [&apart, &free]);
    let beyond = b.op("Relu", [&beyond]);
    let gain = b.number(GAINS[number] / usual.deviation);
    let shift = b.op("Mul", [&beyond, &gain]);
    Ok(b.reshape(&shift, &[-1, side as i64, side as i64]))
}
