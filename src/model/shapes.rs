//! What a network needs of a file: every tensor by name and shape, and no other.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::names::key;
use super::weights::{Array, Weights};
use crate::{Error, Result};

/// PyTorch's counter beside each batch normalisation, which nothing here reads.
pub(super) const COUNTER: &str = "num_batches_tracked";

/// Shapes by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes(BTreeMap<String, Vec<usize>>);

impl Shapes {
    /// The tensors of `module`; names are [`key`]s behind `prefix`.
    pub(super) fn of<M: Module>(module: &M, prefix: &str) -> Self {
        let mut lister = Lister {
            prefix,
            path: Vec::new(),
            found: Self::default(),
        };
        module.visit(&mut lister);
        lister.found
    }

    /// All names and shapes.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0
            .iter()
            .map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Adds all of `other`.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Refuses an array of another shape than that of `name`.
    pub(super) fn check_one(&self, name: &str, array: &Array, shown: &str) -> Result<()> {
        match self.0.get(name) {
            Some(expected) if *expected != array.shape => {
                Err(Error::Model(misshapen(shown, array, expected)))
            }
            _ => Ok(()),
        }
    }

    /// Compares with all weights whose names start with `prefix`.
    ///
    /// # Errors
    /// [`Error::Model`] naming the first missing, misshapen or unknown tensor, and how many more
    /// there are.
    pub(super) fn check(&self, weights: &Weights, prefix: &str) -> Result<()> {
        let of_network = self
            .0
            .iter()
            .filter_map(|(name, expected)| match weights.get(name) {
                Err(missing) => Some(missing.to_string()),
                Ok(array) if array.shape != *expected => Some(misshapen(name, array, expected)),
                Ok(_) => None,
            });
        let strangers = weights
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(prefix) && !self.0.contains_key(*name) && !is_counter(name))
            .map(unknown);
        summary(of_network.chain(strangers))
    }
}

/// Whether a tensor is one that nothing here reads.
pub(super) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(COUNTER)
}

/// What is wrong with a tensor that no part of the network has.
pub(super) fn unknown(name: &str) -> String {
    format!("the tensor `{name}` is unknown")
}

fn misshapen(name: &str, array: &Array, expected: &[usize]) -> String {
    format!(
        "the tensor `{name}` has shape {:?} instead of {expected:?}",
        array.shape
    )
}

/// The first problem, and how many more there are.
pub(super) fn summary(mut problems: impl Iterator<Item = String>) -> Result<()> {
    let Some(first) = problems.next() else {
        return Ok(());
    };
    Err(Error::Model(match problems.count() {
        0 => first,
        more => format!("{first} (and {more} more problems like this)"),
    }))
}

struct Lister<'a> {
    prefix: &'a str,
    path: Vec<String>,
    found: Shapes,
}

impl ModuleVisitor for Lister<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = format!("{}{}", self.prefix, key(&self.path));
        // lazy: asking for the shape must not make the zeros
        self.found.0.insert(name, param.lazy_shape().to_vec());
    }
}
