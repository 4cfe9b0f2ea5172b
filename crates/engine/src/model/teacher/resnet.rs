//! `ResNet18` (He et al., 2016) up to `layer3`, as torchvision names and trains it.

use super::folding::Folding;
use crate::Result;
#[cfg(feature = "burn")]
use crate::model::weights::Array;
use crate::model::weights::Weights;

/// Channels of `layer1` to `layer3`.
pub(in crate::model) const CHANNELS: [usize; 3] = [64, 128, 256];
/// Blocks per layer.
pub(in crate::model) const BLOCKS: usize = 2;
/// PyTorch's default.
const EPSILON: f32 = 1e-5;

/// Folds torchvision's state dict.
pub(super) fn fold(mut folding: Folding<'_>) -> Result<Weights> {
    for Unit { conv, norm } in units() {
        folding.unit(&conv, &conv, &norm, EPSILON)?;
    }
    folding.finish(|name| name.starts_with("layer4.") || name.starts_with("fc."))
}

/// The opposite of [`fold`]: batch normalisation that changes nothing but adds the bias.
#[cfg(feature = "burn")]
pub(super) fn unfold(folded: &Weights) -> Result<Weights> {
    let mut weights = Weights::default();
    for Unit { conv, norm } in units() {
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

/// Names of a convolution and of the batch normalisation after it.
struct Unit {
    conv: String,
    norm: String,
}

/// All units of stem to `layer3`.
fn units() -> Vec<Unit> {
    let unit = |conv: String, norm: String| Unit { conv, norm };
    let mut units = vec![unit("conv1".into(), "bn1".into())];
    for layer in 1..=CHANNELS.len() {
        for block in 0..BLOCKS {
            let name = format!("layer{layer}.{block}");
            units.extend((1..=2).map(|i| unit(format!("{name}.conv{i}"), format!("{name}.bn{i}"))));
            if layer > 1 && block == 0 {
                units.push(unit(
                    format!("{name}.downsample.0"),
                    format!("{name}.downsample.1"),
                ));
            }
        }
    }
    units
}
