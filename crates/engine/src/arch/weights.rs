//! Named arrays between files and networks.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Error, Result};

/// A tensor's shape and values, row-major.
#[derive(Clone, Default, PartialEq)]
pub struct Array {
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// Product of `shape` values.
    pub data: Vec<f32>,
}

/// Without the values: nobody wants to read millions of them.
impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array {:?}", self.shape)
    }
}

/// Arrays by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Array>);

impl Weights {
    /// The array called `name`.
    ///
    /// # Errors
    /// [`Error::Model`] if there is none.
    pub fn get(&self, name: &str) -> Result<&Array> {
        self.0
            .get(name)
            .ok_or_else(|| Error::Model(format!("the tensor `{name}` is missing")))
    }

    /// Whether there is an array called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All names and arrays, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Array)> {
        self.0.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// Adds or replaces an array.
    pub fn insert(&mut self, name: String, array: Array) {
        self.0.insert(name, array);
    }

    /// Adds an array of a file.
    ///
    /// # Errors
    /// [`Error::Model`] if there is one of this name already, or its values are not finite.
    pub fn add(&mut self, name: &str, array: Array) -> Result<()> {
        if array.data.iter().any(|value| !value.is_finite()) {
            return Err(Error::Model(format!(
                "the tensor `{name}` holds values that are not finite: use a file from before the training \
                 diverged"
            )));
        }
        match self.0.insert(name.to_owned(), array) {
            None => Ok(()),
            Some(_) => Err(Error::Model(format!(
                "the tensor `{name}` is there twice: save the file again"
            ))),
        }
    }

    /// Moves out the array called `name`.
    pub fn take(&mut self, name: &str) -> Option<Array> {
        self.0.remove(name)
    }

    /// Changes the array called `name`, if there is one.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Array> {
        self.0.get_mut(name)
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all values are finite.
    pub fn is_finite(&self) -> bool {
        self.0
            .values()
            .flat_map(|array| &array.data)
            .all(|value| value.is_finite())
    }

    /// How many numbers all arrays hold.
    pub fn count(&self) -> usize {
        self.0.values().map(|array| array.data.len()).sum()
    }

    /// Adds all arrays of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether any name starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.keys().any(|name| name.starts_with(prefix))
    }

    /// The arrays whose names start with `prefix`, without it.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        let strip =
            |(name, array): (&String, &Array)| Some((name.strip_prefix(prefix)?.to_owned(), array.clone()));
        Self(self.0.iter().filter_map(strip).collect())
    }

    /// Moves out the arrays whose names start with `prefix`.
    #[must_use]
    pub fn take_prefix(&mut self, prefix: &str) -> Self {
        Self(
            self.0
                .extract_if(.., |name, _| name.starts_with(prefix))
                .collect(),
        )
    }

    /// The same arrays under names that start with `prefix`.
    #[must_use]
    pub fn prefixed(self, prefix: &str) -> Self {
        Self(
            self.0
                .into_iter()
                .map(|(name, array)| (format!("{prefix}{name}"), array))
                .collect(),
        )
    }
}
