//! `PatchCore`'s search in its memory bank.

use super::builder::{Builder, Name, int, ints};
use super::map::highest;
use super::view::Views;
use crate::Result;
use crate::arch::weights::Array;
use crate::config::TeacherKind;
use crate::methods::patchcore::BankConfig;
use crate::methods::patchcore::bank::smooth;

/// What the bank says about images.
pub(super) struct Searched {
    /// The views' maps, `[views * batch, side, side]`.
    pub(super) maps: Name,
    /// Image scores, `[batch]`.
    pub(super) scores: Name,
}

/// The maps and scores of the teacher's features.
pub(super) fn search(
    b: &mut Builder,
    config: &BankConfig,
    bank: &Array,
    views: &Views,
    teacher: &[Name],
) -> Result<Searched> {
    let side = config.input_size;
    let [_, middle, coarse] = TeacherKind::channels(config.teacher);
    // the teacher's levels are at 1/4, 1/8 and 1/16
    let (fine, small) = (side / 8, side / 16);
    let (count, channels) = ((fine * fine) as i64, (middle + coarse) as i64);
    let own = mean_3x3(b, &teacher[1]);
    let wide = mean_3x3(b, &teacher[2]);
    let wide = b.enlarged(&wide, [small, fine]);
    let patches = b.concat(&[own, wide], 1);
    let patches = b.reshape(&patches, &[0, channels, count]);
    let patches = b.transpose(&patches, &[0, 2, 1]);

    let rows = bank.shape.first().copied().unwrap_or_default();
    let bank = b.weights("bank", &bank.shape, &bank.data);
    let nearest = b.nearest_row(&patches, &bank, 2);
    let found = row(b, &bank, &nearest);
    // differences of large products lose digits, so the nearest distance is computed again
    let distances = distance(b, &patches, &found, 2);
    let mut scores = b.reduce("ReduceMax", &distances, 1, false);
    if config.neighbours > 1 {
        let weight = weight(
            b,
            &bank,
            config.neighbours.min(rows),
            [&patches, &distances, &nearest],
        );
        scores = b.op("Mul", [&weight, &scores]);
    }
    let maps = b.reshape(&distances, &[-1, fine as i64, fine as i64]);
    let maps = b.scaled_map("smoothing", &maps, fine, |line| smooth(line, [side, 1]));
    Ok(Searched {
        maps,
        scores: highest(b, views.places.as_ref(), scores),
    })
}

/// What the largest distance counts: less where its nearest row of the bank has others nearby (equation 7 of the paper).
fn weight(b: &mut Builder, bank: &str, neighbours: usize, [patches, distances, nearest]: [&str; 3]) -> Name {
    let worst = b.node("ArgMax", [distances], vec![int("axis", 1), int("keepdims", 1)]);
    let patch = b.node("GatherND", [patches, &worst], vec![int("batch_dims", 1)]);
    let patch = b.unsqueeze(&patch, &[1]);
    let place = b.node("GatherElements", [nearest, &worst], vec![int("axis", 1)]);
    let found = row(b, bank, &place);
    let apart = distance(b, bank, &found, 2);
    let count = b.integers(&[neighbours as i64]);
    let attributes = vec![int("axis", 1), int("largest", 0)];
    let [_, places] = b.node_of("TopK", "TopK", &[&apart, &count], attributes);
    let others = row(b, bank, &places);
    let distances = distance(b, &others, &patch, 2);
    let shares = b.node("Softmax", [&distances], vec![int("axis", 1)]);
    let own = b.slice(&shares, 1, (0, 1));
    let own = b.reshape(&own, &[-1]);
    let one = b.number(1.0);
    b.op("Sub", [&one, &own])
}

/// The mean of each 3x3 neighbourhood, padded with zeros.
fn mean_3x3(b: &mut Builder, x: &str) -> Name {
    let attributes = vec![
        ints("kernel_shape", &[3; 2]),
        ints("pads", &[1; 4]),
        int("count_include_pad", 1),
    ];
    b.node("AveragePool", [x], attributes)
}

/// Rows of the bank by their numbers.
pub(super) fn row(b: &mut Builder, bank: &str, numbers: &str) -> Name {
    b.node("Gather", [bank, numbers], vec![int("axis", 0)])
}

/// The distances of vectors along an axis.
pub(super) fn distance(b: &mut Builder, x: &str, y: &str, axis: i64) -> Name {
    let apart = b.op("Sub", [x, y]);
    let squares = b.reduce("ReduceSumSquare", &apart, axis, false);
    b.op("Sqrt", [&squares])
}
