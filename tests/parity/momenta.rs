//! Gradients of a training, as they are summed up in its checkpoints.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use safetensors::SafeTensors;

/// Half of all tensors' gradients differ by this share of their length at most in one of several batches; they were seen to
/// agree within 1e-5.
const USUALLY_APART: f64 = 1e-4;
/// No tensor's gradient differs by more in each of several batches. In a single one it may: an activation that rounding
/// puts on the other side of zero moves the gradients of its normalisation's shift, and of all layers before, by up to
/// 6e-3, where the scale's, which such a value hardly adds to, and those of all layers behind agree within 1e-5. Which
/// activation that is depends on the processor; a wrong gradient is wrong in all batches.
const GRADIENTS_APART: f64 = 1e-3;
/// Even with such an activation, no gradient differs by more.
const AT_MOST_APART: f64 = 5e-2;

/// Sums of the gradients so far, by the names of their weights.
pub(crate) type Momenta = BTreeMap<String, Vec<f32>>;

/// The momenta in a checkpoint.
pub(crate) fn momenta(checkpoint: &[u8]) -> Result<Momenta> {
    let file = SafeTensors::deserialize(checkpoint)?;
    let block = file.tensor("momenta")?;
    let inner = SafeTensors::deserialize(block.data())?;
    let values = |bytes: &[u8]| {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&value| f32::from_le_bytes(value))
            .collect()
    };
    let momenta = inner
        .iter()
        .map(|(name, view)| (name.to_owned(), values(view.data())));
    Ok(momenta.collect())
}

/// By how much of its length the gradient of each weight differs, by name, where it does.
pub(crate) type Differences = BTreeMap<String, f64>;

/// Compares a GPU's momenta with the CPU's.
pub(crate) fn compare(gpu: &Momenta, cpu: &Momenta) -> Result<Differences> {
    ensure!(gpu.keys().eq(cpu.keys()), "the gradients are of other layers");
    let length =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let mut apart = Differences::new();
    for (name, cpu) in cpu {
        let gpu = &gpu[name];
        ensure!(gpu.len() == cpu.len(), "{name} has another shape");
        let difference = length(&mut gpu.iter().zip(cpu).map(|(a, b)| f64::from(a - b)));
        let norm = length(&mut cpu.iter().copied().map(f64::from));
        ensure!(norm > 0.0, "{name} got no gradient");
        // those of the network that has been trained before are the same
        if difference > 0.0 {
            apart.insert(name.clone(), difference / norm);
        }
    }
    let mut sorted: Vec<(f64, &String)> = apart.iter().map(|(name, &share)| (share, name)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(&(usual, _)), Some(&(worst, name))) = (sorted.get(sorted.len() / 2), sorted.last()) else {
        bail!("GPU and CPU have the very same gradients: did both compute?");
    };
    println!(
        "gradients of {} tensors on GPU and CPU differ, half of them by at most {usual:.1e}, {name} by {worst:.1e}",
        apart.len(),
    );
    ensure!(worst < AT_MOST_APART, "the gradient of {name} differs by {worst}");
    Ok(apart)
}

/// Checks that no gradient differs in every one of these batches, and that half of them hardly do in one.
pub(crate) fn agree_in_some(batches: &[Differences]) -> Result<()> {
    let (first, others) = batches.split_first().context("no batch was compared")?;
    let least = |(name, &share): (&String, &f64)| {
        let others = others.iter().map(|batch| batch.get(name).copied().unwrap_or(0.0));
        (others.fold(share, f64::min), name.clone())
    };
    let mut all: Vec<(f64, String)> = first.iter().map(least).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some((usual, _)), Some((worst, name))) = (all.get(all.len() / 2), all.last()) else {
        bail!("no gradient was compared");
    };
    println!("over all batches half of them differ by at most {usual:.1e}, {name} by {worst:.1e}");
    ensure!(
        *usual < USUALLY_APART,
        "half of all gradients differ by {usual} or more in all batches"
    );
    ensure!(
        *worst < GRADIENTS_APART,
        "the gradient of {name} differs by {worst} or more in all batches"
    );
    Ok(())
}
