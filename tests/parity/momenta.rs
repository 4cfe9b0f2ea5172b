//! Gradients of a training, as they are summed up in its checkpoints.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use safetensors::SafeTensors;

/// Gradients of a layer differ by this share of their length at most. Most agree to 5e-5; a single activation that
/// rounding puts on the other side of zero moves those of the layers before it by up to 3e-3.
const GRADIENTS_APART: f64 = 5e-3;

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

/// Checks that a GPU's momenta are the CPU's.
pub(crate) fn compare(gpu: &Momenta, cpu: &Momenta) -> Result<()> {
    ensure!(gpu.keys().eq(cpu.keys()), "the gradients are of other layers");
    let length =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let mut worst = (0.0, "");
    for (name, cpu) in cpu {
        let gpu = &gpu[name];
        ensure!(gpu.len() == cpu.len(), "{name} has another shape");
        let difference = length(&mut gpu.iter().zip(cpu).map(|(a, b)| f64::from(a - b)));
        let norm = length(&mut cpu.iter().copied().map(f64::from));
        ensure!(norm > 0.0, "{name} got no gradient");
        if difference / norm > worst.0 {
            worst = (difference / norm, name.as_str());
        }
    }
    println!(
        "gradients of {} tensors on GPU and CPU differ by at most {:.1e} ({})",
        cpu.len(),
        worst.0,
        worst.1
    );
    ensure!(
        worst.0 < GRADIENTS_APART,
        "the gradient of {} differs by {}",
        worst.1,
        worst.0
    );
    Ok(())
}
