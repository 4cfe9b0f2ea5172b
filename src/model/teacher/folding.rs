//! Folding batch normalisation into the convolution before it.

use crate::Result;
use crate::model::weights::{Array, Weights};

/// Reads the convolution `conv` and the batch normalisation `norm` from `source` and writes one
/// convolution with bias to `target` under `name`.
pub(super) fn fold_into(
    target: &mut Weights,
    name: &str,
    source: &Weights,
    [conv, norm]: [&str; 2],
    epsilon: f32,
) -> Result<()> {
    let mut weight = source.get(&format!("{conv}.weight"))?.clone();
    let [gamma, beta, mean, variance] = [
        source.get(&format!("{norm}.weight"))?,
        source.get(&format!("{norm}.bias"))?,
        source.get(&format!("{norm}.running_mean"))?,
        source.get(&format!("{norm}.running_var"))?,
    ];
    let outputs = weight.shape.first().copied().unwrap_or(0).max(1);
    let per_output = weight.data.len() / outputs;
    let mut bias = Vec::with_capacity(outputs);
    let channels = gamma
        .data
        .iter()
        .zip(&beta.data)
        .zip(&mean.data)
        .zip(&variance.data)
        .map(|(((g, b), m), v)| (g, b, m, v));
    for (filter, (gamma, beta, mean, variance)) in
        weight.data.chunks_exact_mut(per_output.max(1)).zip(channels)
    {
        let scale = gamma / (variance + epsilon).sqrt();
        filter.iter_mut().for_each(|w| *w *= scale);
        bias.push(beta - mean * scale);
    }
    target.insert(format!("{name}.weight"), weight);
    target.insert(
        format!("{name}.bias"),
        Array {
            shape: vec![bias.len()],
            data: bias,
        },
    );
    Ok(())
}
