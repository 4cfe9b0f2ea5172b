//! How what a model remembers of corrected images changes its maps, as [`crate::verdict::memory`] has it.

use super::builder::{Builder, Name};
use super::familiarity::Cells;
use crate::verdict::expected::LEAST;
use crate::verdict::memory::{APART, Memory, RAISE, WIDTH};

/// A segmentation network's maps of probabilities, `[batch, map, map]`, with what the memory adds to their logits.
pub(super) fn remembering(b: &mut Builder, memory: &Memory, cells: &Cells, maps: &str, map: usize) -> Name {
    let parts = [good(b, memory, cells), defective(b, memory, cells)];
    let parts: Vec<Name> = parts.into_iter().flatten().collect();
    shifted(b, (maps, map), &parts, cells.side)
}

/// Maps of probabilities, `[batch, map, map]`, whose logits get these amounts, `side` along each side.
pub(super) fn shifted(b: &mut Builder, (maps, map): (&str, usize), amounts: &[Name], side: usize) -> Name {
    let mut changed = maps.to_owned();
    let (low, high) = (b.number(LEAST), b.number(1.0 - LEAST));
    let one = b.number(1.0);
    let inside = b.op("Clip", [&changed, &low, &high]);
    let rest = b.op("Sub", [&one, &inside]);
    let odds = b.op("Div", [&inside, &rest]);
    let mut logits = b.op("Log", [&odds]);
    for shift in amounts {
        let shift = b.reshape(shift, &[-1, side as i64, side as i64]);
        let shift = b.scaled_map("size_of_maps", &shift, side, |line| line.resize(map, 1));
        logits = b.op("Add", [&logits, &shift]);
        changed = b.op("Sigmoid", [&logits]);
    }
    changed
}

/// What good places subtract, `[batch, cells]`.
fn good(b: &mut Builder, memory: &Memory, cells: &Cells) -> Option<Name> {
    let channels = cells.channels;
    let places: Vec<&Vec<f32>> = memory.good.iter().filter(|own| own.len() == channels).collect();
    if places.is_empty() {
        return None;
    }
    let squares: Vec<f32> = places.iter().map(|own| own.iter().map(|v| v * v).sum()).collect();
    let matrix = columns(places.iter().map(|own| own.as_slice()), channels);
    let matrix = b.weights("memory_good", &[channels, places.len()], &matrix);
    let squares = b.weights("memory_good_squares", &[places.len()], &squares);
    let products = b.op("MatMul", [cells.whitened(), &matrix]);
    let minus_two = b.number(-2.0);
    let products = b.op("Mul", [&products, &minus_two]);
    let own = b.reduce("ReduceSumSquare", cells.whitened(), 2, true);
    let distances = b.op("Add", [&products, &squares]);
    let distances = b.op("Add", [&distances, &own]);
    let nearest = b.reduce("ReduceMin", &distances, 2, false);
    let scale = b.number(-0.5 / (WIDTH * WIDTH * channels as f32));
    let nearest = b.op("Mul", [&nearest, &scale]);
    let near = b.op("Exp", [&nearest]);
    let lower = b.number(-memory.lower);
    Some(b.op("Mul", [&near, &lower]))
}

/// What defective places add, `[batch, cells]`.
fn defective(b: &mut Builder, memory: &Memory, cells: &Cells) -> Option<Name> {
    let channels = cells.channels;
    let all = memory.defective.iter();
    let places: Vec<_> = all.filter(|own| own.unit.len() == channels).collect();
    if places.is_empty() {
        return None;
    }
    let scales: Vec<f32> = places.iter().map(|own| 1.0 / (own.length - APART)).collect();
    let matrix = columns(places.iter().map(|own| own.unit.as_slice()), channels);
    let matrix = b.weights("memory_defective", &[channels, places.len()], &matrix);
    let scales = b.weights("memory_defective_scales", &[places.len()], &scales);
    let along = b.op("MatMul", [cells.whitened(), &matrix]);
    let apart = b.number(APART);
    let along = b.op("Sub", [&along, &apart]);
    let along = b.op("Mul", [&along, &scales]);
    let most = b.reduce("ReduceMax", &along, 2, false);
    let [none, one] = [0.0, 1.0].map(|value| b.number(value));
    let most = b.op("Clip", [&most, &none, &one]);
    let raise = b.number(RAISE);
    Some(b.op("Mul", [&most, &raise]))
}

/// A matrix of these columns, row by row.
fn columns<'a>(columns: impl Iterator<Item = &'a [f32]> + Clone, rows: usize) -> Vec<f32> {
    (0..rows)
        .flat_map(|row| columns.clone().map(move |column| column[row]))
        .collect()
}
