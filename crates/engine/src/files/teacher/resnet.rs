//! `ResNet18` as torchvision publishes it.

use super::folding::Unit;
use crate::Result;
use crate::arch::weights::{Array, Weights};

/// PyTorch's default.
pub(super) const EPSILON: f32 = 1e-5;

/// Torchvision's names of one of our convolutions and of the batch normalisation after it.
pub(super) fn published(name: &str) -> Unit {
    let norm = match name.strip_suffix(".downsample.0") {
        Some(block) => format!("{block}.downsample.1"),
        None => name.replace("conv", "bn"),
    };
    Unit {
        conv: name.to_owned(),
        norm,
    }
}

/// Whether a published tensor belongs to a layer after the last used one.
pub(super) fn is_beyond(name: &str) -> bool {
    name.starts_with("layer4.") || name.starts_with("fc.")
}

/// The opposite of folding: batch normalisation that changes nothing but adds the bias.
pub(super) fn unfold(folded: &Weights, convs: impl Iterator<Item = String>) -> Result<Weights> {
    let mut weights = Weights::default();
    for Unit { conv, norm } in convs.map(|name| published(&name)) {
        let bias = folded.get(&format!("{conv}.bias"))?;
        let constant = |value: f32| Array {
            shape: bias.shape.clone(),
            data: vec![value; bias.data.len()],
        };
        weights.insert(
            format!("{conv}.weight"),
            folded.get(&format!("{conv}.weight"))?.clone(),
        );
        weights.insert(format!("{norm}.weight"), constant(1.0));
        weights.insert(format!("{norm}.bias"), bias.clone());
        weights.insert(format!("{norm}.running_mean"), constant(0.0));
        // with epsilon exactly 1
        weights.insert(format!("{norm}.running_var"), constant(1.0 - EPSILON));
    }
    Ok(weights)
}
