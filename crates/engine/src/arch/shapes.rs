//! What a network needs of a file: every tensor by name and shape, and no other.

use std::collections::BTreeMap;

use super::weights::{Array, Weights};
use crate::{Error, Result};

/// PyTorch's counter beside each batch normalisation, which nothing here reads.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// Shapes by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shapes(BTreeMap<String, Vec<usize>>);

impl Shapes {
    /// Adds a tensor.
    pub(crate) fn insert(&mut self, name: String, shape: &[usize]) {
        self.0.insert(name, shape.to_vec());
    }

    /// All names and shapes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0
            .iter()
            .map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Refuses an array of another shape than that of `name`.
    pub(crate) fn check_one(&self, name: &str, array: &Array, shown: &str) -> Result<()> {
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
    pub(crate) fn check(&self, weights: &Weights, prefix: &str) -> Result<()> {
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
pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(COUNTER)
}

/// What is wrong with a tensor that no part of the network has.
pub(crate) fn unknown(name: &str) -> String {
    format!("the tensor `{name}` is unknown")
}

fn misshapen(name: &str, array: &Array, expected: &[usize]) -> String {
    format!(
        "the tensor `{name}` has shape {:?} instead of {expected:?}",
        array.shape
    )
}

/// The first problem, and how many more there are.
pub(crate) fn summary(mut problems: impl Iterator<Item = String>) -> Result<()> {
    let Some(first) = problems.next() else {
        return Ok(());
    };
    Err(Error::Model(match problems.count() {
        0 => first,
        more => format!("{first} (and {more} more problems like this)"),
    }))
}
