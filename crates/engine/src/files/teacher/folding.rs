//! Folding batch normalisation into the convolution before it.

use std::collections::BTreeSet;

use crate::arch::shapes::{Shapes, is_counter, summary, unknown};
use crate::arch::weights::{Array, Weights};
use crate::{Error, Result};

/// Published names of a convolution and of the batch normalisation after it.
pub(super) struct Unit {
    pub(super) conv: String,
    pub(super) norm: String,
}

/// A published state dict on its way to folded weights.
pub(super) struct Folding<'a> {
    source: &'a Weights,
    /// Before all names, in the source and in the result.
    prefix: &'a str,
    /// What the folded network needs.
    shapes: Shapes,
    folded: Weights,
    used: BTreeSet<String>,
}

impl<'a> Folding<'a> {
    pub(super) fn new(source: &'a Weights, prefix: &'a str, shapes: Shapes) -> Self {
        Self {
            source,
            prefix,
            shapes,
            folded: Weights::default(),
            used: BTreeSet::new(),
        }
    }

    /// Makes one convolution with bias, called `name`, of the convolution `conv` and the batch
    /// normalisation `norm`.
    pub(super) fn unit(&mut self, name: &str, conv: &str, norm: &str, epsilon: f32) -> Result<()> {
        let prefix = self.prefix;
        let (weight_name, bias_name) = (format!("{prefix}{name}.weight"), format!("{prefix}{name}.bias"));
        let mut weight = self.take(&weight_name, conv, "weight")?.clone();
        let [gamma, beta, mean, variance] = [
            self.take(&bias_name, norm, "weight")?,
            self.take(&bias_name, norm, "bias")?,
            self.take(&bias_name, norm, "running_mean")?,
            self.take(&bias_name, norm, "running_var")?,
        ];
        let channels = gamma
            .data
            .iter()
            .zip(&beta.data)
            .zip(&mean.data)
            .zip(&variance.data)
            .map(|(((g, b), m), v)| (g, b, m, v));
        let per_output = (weight.data.len() / gamma.data.len().max(1)).max(1);
        let mut bias = Vec::with_capacity(gamma.data.len());
        for (filter, (gamma, beta, mean, variance)) in weight.data.chunks_exact_mut(per_output).zip(channels)
        {
            let scale = gamma / (variance + epsilon).sqrt();
            filter.iter_mut().for_each(|w| *w *= scale);
            bias.push(beta - mean * scale);
        }
        if !weight.data.iter().chain(&bias).all(|value| value.is_finite()) {
            return Err(Error::Model(format!(
                "the batch normalisation `{norm}` cannot be folded because of its variances: take another file"
            )));
        }
        self.folded.insert(weight_name, weight);
        self.folded.insert(
            bias_name,
            Array {
                shape: vec![bias.len()],
                data: bias,
            },
        );
        Ok(())
    }

    /// A tensor of the source that must have the shape of `target` in the folded network.
    fn take(&mut self, target: &str, unit: &str, part: &str) -> Result<&'a Array> {
        let name = format!("{}{unit}.{part}", self.prefix);
        let array = self.source.get(&name)?;
        self.shapes.check_one(target, array, &name)?;
        self.used.insert(name);
        Ok(array)
    }

    /// The folded weights. Names for which `is_beyond` holds belong to layers after the last used one.
    pub(super) fn finish(self, is_beyond: impl Fn(&str) -> bool) -> Result<Weights> {
        let is_stranger = |name: &str| {
            name.strip_prefix(self.prefix)
                .is_some_and(|own| !self.used.contains(name) && !is_counter(own) && !is_beyond(own))
        };
        let names = self.source.iter().map(|(name, _)| name);
        summary(names.filter(|name| is_stranger(name)).map(unknown))?;
        Ok(self.folded)
    }
}
