//! Named arrays between files and modules.

use std::collections::BTreeMap;
use std::fmt;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::names::{key, param_id};
use super::shapes::Shapes;
use crate::{Error, Result};

/// A tensor's shape and values, row-major.
#[derive(Clone, PartialEq)]
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
                "the tensor `{name}` holds values that are not finite: take the file from before the training \
                 went astray"
            )));
        }
        match self.0.insert(name.to_owned(), array) {
            None => Ok(()),
            Some(_) => Err(Error::Model(format!(
                "the tensor `{name}` is there twice: save the file again"
            ))),
        }
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

/// Fills `module` from `weights`; names are [`key`]s behind `prefix`.
///
/// # Errors
/// [`Error::Model`] naming the first missing, misshapen or unknown tensor behind `prefix`, and how many
/// more there are.
pub fn load<M: Module>(module: M, weights: &Weights, prefix: &str) -> Result<M> {
    Shapes::of(&module, prefix).check(weights, prefix)?;
    Ok(module.map(&mut Loader {
        weights,
        prefix,
        path: Vec::new(),
    }))
}

/// Replaces those tensors of `module` that are among `weights`, names without a prefix.
#[cfg(feature = "train")]
pub(crate) fn update<M: Module>(module: M, weights: &Weights) -> M {
    module.map(&mut Loader {
        weights,
        prefix: "",
        path: Vec::new(),
    })
}

struct Loader<'a> {
    weights: &'a Weights,
    prefix: &'a str,
    path: Vec<String>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = key(&self.path);
        // all are there: `load` has checked
        let Some(array) = self.weights.0.get(&format!("{}{key}", self.prefix)) else {
            return param;
        };
        let device = param.lazy_device();
        let data = TensorData::new(array.data.clone(), array.shape.clone());
        param.transform_for_load(Tensor::from_data(data, &device), param_id(&key))
    }
}

/// Copies all weights of `module` from its device; names are [`key`]s behind `prefix`.
///
/// # Errors
/// [`Error::Device`] if the device cannot be read.
pub async fn collect<M: Module>(module: &M, prefix: &str) -> Result<Weights> {
    let mut collector = Collector {
        prefix,
        path: Vec::new(),
        found: Vec::new(),
    };
    module.visit(&mut collector);
    let (named, flat): (Vec<_>, Vec<_>) = collector
        .found
        .into_iter()
        .map(|(name, shape, tensor)| ((name, shape), tensor))
        .unzip();
    let mut weights = Weights::default();
    for ((name, shape), data) in named.into_iter().zip(read_all(flat).await?) {
        weights.insert(name, Array { shape, data });
    }
    Ok(weights)
}

/// Copies many tensors' values from their device, in few journeys: each takes a browser milliseconds.
///
/// # Errors
/// As [`read`].
pub async fn read_all(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>> {
    /// Values that travel together, 16 MB: every device has room for them once more.
    const TOGETHER: usize = 1 << 22;
    let lengths: Vec<usize> = tensors.iter().map(|tensor| tensor.dims()[0]).collect();
    let mut values = Vec::with_capacity(tensors.len());
    let mut tensors = tensors.into_iter();
    let mut rest = lengths.as_slice();
    while let Some((&first, _)) = rest.split_first() {
        let mut sum = first;
        let more = rest[1..].iter().take_while(|&&length| {
            sum += length;
            sum <= TOGETHER
        });
        let (lengths, left) = rest.split_at(1 + more.count());
        rest = left;
        let together: Vec<Tensor<1>> = tensors.by_ref().take(lengths.len()).collect();
        let mut all = read(Tensor::cat(together, 0)).await?.into_iter();
        values.extend(
            lengths
                .iter()
                .map(|&length| all.by_ref().take(length).collect::<Vec<f32>>()),
        );
    }
    Ok(values)
}

/// Copies a tensor's values from its device, without blocking (a browser cannot).
///
/// # Errors
/// [`Error::Device`] if the device was lost.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let lost = |reason: String| Error::Device(format!("the compute device stopped answering: {reason}"));
    let data = tensor
        .into_data_async()
        .await
        .map_err(|err| lost(err.to_string()))?;
    data.try_into_vec::<f32>().map_err(|err| lost(format!("{err:?}")))
}

struct Collector<'a> {
    prefix: &'a str,
    path: Vec<String>,
    found: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let name = format!("{}{}", self.prefix, key(&self.path));
        self.found
            .push((name, tensor.dims().to_vec(), tensor.flatten(0, D - 1)));
    }
}
