//! Weights between files and Burn's modules.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::names::{key, param_id};
use crate::model::shapes::Shapes;
use crate::model::weights::{Array, Weights};
use crate::{Error, Result};

/// Fills `module` from `weights`; names are [`key`]s behind `prefix`.
///
/// # Errors
/// [`Error::Model`] naming the first missing, misshapen or unknown tensor behind `prefix`, and how many
/// more there are.
pub fn load<M: Module>(module: M, weights: &Weights, prefix: &str) -> Result<M> {
    shapes(&module, prefix).check(weights, prefix)?;
    Ok(module.map(&mut Loader {
        weights,
        prefix,
        path: Vec::new(),
    }))
}

/// Replaces those tensors of `module` that are among `weights`, names without a prefix.
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
        let Ok(array) = self.weights.get(&format!("{}{key}", self.prefix)) else {
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
    let lost = |reason: String| {
        tracing::debug!("reading a tensor: {reason}");
        Error::Device("the compute device stopped answering, as after a crash of its driver".into())
    };
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

/// The tensors of `module`; names are [`key`]s behind `prefix`.
pub(in crate::model) fn shapes<M: Module>(module: &M, prefix: &str) -> Shapes {
    let mut lister = Lister {
        prefix,
        path: Vec::new(),
        found: Shapes::default(),
    };
    module.visit(&mut lister);
    lister.found
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
        self.found.insert(name, param.lazy_shape().as_slice());
    }
}
