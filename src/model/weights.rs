//! Named arrays between files and modules.
//!
//! Trained tensors carry the names of the reference implementation's state dict, so that its
//! checkpoints load here and ours there.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Result};

/// A tensor's shape and values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// Product of `shape` values.
    pub data: Vec<f32>,
}

/// Arrays by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(BTreeMap<String, Array>);

/// How values are stored in a file; they are expanded to `f32` on load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Precision {
    /// Four bytes per value.
    F32,
    /// Two bytes per value.
    #[default]
    F16,
}

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

    /// The arrays whose names start with `prefix`, without it.
    #[must_use]
    pub fn with_prefix(&self, prefix: &str) -> Self {
        let strip =
            |(name, array): (&String, &Array)| Some((name.strip_prefix(prefix)?.to_owned(), array.clone()));
        Self(self.0.iter().filter_map(strip).collect())
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

    /// Reads all `f32` and `f16` tensors of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Model`] for another number type or values that are not finite.
    pub fn from_safetensors(file: &SafeTensors<'_>) -> Result<Self> {
        let mut weights = Self::default();
        for (name, view) in file.iter() {
            let data: Vec<f32> = match view.dtype() {
                Dtype::F32 => view
                    .data()
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
                Dtype::F16 => view
                    .data()
                    .chunks_exact(2)
                    .map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())
                    .collect(),
                other => {
                    return Err(Error::Model(format!(
                        "the tensor `{name}` holds {other:?} numbers, but only F32 and F16 are understood"
                    )));
                }
            };
            if data.iter().any(|value| !value.is_finite()) {
                return Err(Error::Model(format!(
                    "the tensor `{name}` holds values that are not finite"
                )));
            }
            weights.insert(
                name.to_owned(),
                Array {
                    shape: view.shape().to_vec(),
                    data,
                },
            );
        }
        Ok(weights)
    }

    /// Serialises to safetensors with `metadata` in the header.
    ///
    /// # Errors
    /// [`Error::Model`] if a shape does not fit its values.
    pub fn to_safetensors(
        &self,
        precision: Precision,
        metadata: BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let dtype = match precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        };
        let bytes: Vec<(&String, &Array, Vec<u8>)> = self
            .0
            .iter()
            .map(|(name, array)| {
                let bytes = match precision {
                    Precision::F32 => array.data.iter().flat_map(|v| v.to_le_bytes()).collect(),
                    Precision::F16 => array
                        .data
                        .iter()
                        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                        .collect(),
                };
                (name, array, bytes)
            })
            .collect();
        if precision == Precision::F16
            && let Some((name, _)) = self
                .0
                .iter()
                .find(|(_, array)| array.data.iter().any(|v| f16::from_f32(*v).is_infinite()))
        {
            return Err(Error::Model(format!(
                "the tensor `{name}` holds values too large for 16 bits: write the file in f32"
            )));
        }
        let fail =
            |err: safetensors::SafeTensorError| Error::Model(format!("the weights cannot be written: {err}"));
        let views = bytes
            .iter()
            .map(|(name, array, bytes)| {
                TensorView::new(dtype, array.shape.clone(), bytes).map(|view| (name.as_str(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(fail)
    }
}

/// Fills `module` from `weights`; names are [`key`]s behind `prefix`.
///
/// # Errors
/// [`Error::Model`] naming the first missing or misshapen tensor and how many more there are.
pub fn load<M: Module>(module: M, weights: &Weights, prefix: &str) -> Result<M> {
    let mut loader = Loader {
        weights,
        prefix,
        path: Vec::new(),
        problems: Vec::new(),
    };
    let module = module.map(&mut loader);
    match loader.problems.as_slice() {
        [] => Ok(module),
        [one] => Err(Error::Model(one.clone())),
        [first, rest @ ..] => Err(Error::Model(format!(
            "{first} (and {} more problems like this)",
            rest.len()
        ))),
    }
}

struct Loader<'a> {
    weights: &'a Weights,
    prefix: &'a str,
    path: Vec<String>,
    problems: Vec<String>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = format!("{}{}", self.prefix, key(&self.path));
        let shape = param.lazy_shape();
        match self.weights.0.get(&name) {
            None => self.problems.push(format!("the tensor `{name}` is missing")),
            Some(array) if array.shape.as_slice() != &shape[..] => self.problems.push(format!(
                "the tensor `{name}` has shape {:?} instead of {:?}",
                array.shape,
                &shape[..]
            )),
            Some(array) => {
                let device = param.lazy_device();
                let data = TensorData::new(array.data.clone(), array.shape.clone());
                let id = param_id(&key(&self.path));
                return param.transform_for_load(Tensor::from_data(data, &device), id);
            }
        }
        param
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
    let mut weights = Weights::default();
    for (name, shape, tensor) in collector.found {
        let data = read(tensor).await?;
        weights.insert(name, Array { shape, data });
    }
    Ok(weights)
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

/// The identity of a parameter by its [`key`], so that an optimiser's saved state finds it again in
/// another process.
pub fn param_id(key: &str) -> ParamId {
    ParamId::from(fnv1a(key))
}

/// FNV-1a of a name.
pub(super) fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The reference's name of the parameter at `path` (field names and indices of our modules).
pub fn key(path: &[String]) -> String {
    // our field names -> the reference's; the longest match at a position wins by order
    const RENAMED: [(&str, &str); 13] = [
        ("head.pyramid.pool.", "head.0.aspp_feature_extractors.0.1."),
        ("head.pyramid.atrous.0.", "head.0.aspp_feature_extractors.1."),
        ("head.pyramid.atrous.1.", "head.0.aspp_feature_extractors.2."),
        ("head.pyramid.atrous.2.", "head.0.aspp_feature_extractors.3."),
        ("head.pyramid.fusion.", "head.0.aspp_fusion_layer."),
        ("head.conv.", "head.1."),
        ("head.norm.", "head.2."),
        ("head.out.", "head.4."),
        ("encoder.stem.conv.", "encoder.conv1."),
        ("encoder.stem.norm.", "encoder.bn1."),
        ("downsample.conv.", "downsample.0."),
        ("downsample.norm.", "downsample.1."),
        ("downsample.", "downsample.0."),
    ];
    let mut parts: Vec<String> = Vec::with_capacity(path.len());
    let mut path = path.iter().peekable();
    while let Some(part) = path.next() {
        let index = path.peek().and_then(|next| next.parse::<usize>().ok());
        match (part.as_str(), index) {
            ("layers", Some(i)) => {
                parts.push(format!("layer{}", i + 1));
                path.next();
            }
            ("decoder", Some(i)) => {
                // the reference counts decoder layers like the encoder's: 4 is the coarsest
                parts.push(format!("decoder_layer{}", 4 - i));
                path.next();
            }
            ("gamma", _) => parts.push("weight".into()),
            ("beta", _) => parts.push("bias".into()),
            (other, _) => parts.push(other.into()),
        }
    }
    let name = parts.join(".");
    RENAMED
        .iter()
        .find(|(ours, _)| name.contains(ours))
        .map_or_else(|| name.clone(), |(ours, theirs)| name.replacen(ours, theirs, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_references() {
        let cases = [
            ("encoder.stem.conv.weight", "encoder.conv1.weight"),
            ("encoder.layers.3.1.bn2.gamma", "encoder.layer4.1.bn2.weight"),
            (
                "encoder.layers.1.0.downsample.norm.running_var",
                "encoder.layer2.0.downsample.1.running_var",
            ),
            ("decoder.0.1.conv1.weight", "decoder_layer4.1.conv1.weight"),
            (
                "decoder.3.0.downsample.conv.weight",
                "decoder_layer1.0.downsample.0.weight",
            ),
            ("res.0.bn1.beta", "res.0.bn1.bias"),
            (
                "head.pyramid.pool.conv.weight",
                "head.0.aspp_feature_extractors.0.1.conv.weight",
            ),
            (
                "head.pyramid.atrous.2.norm.gamma",
                "head.0.aspp_feature_extractors.3.norm.weight",
            ),
            (
                "head.pyramid.fusion.norm.beta",
                "head.0.aspp_fusion_layer.norm.bias",
            ),
            ("head.norm.running_mean", "head.2.running_mean"),
            ("head.out.bias", "head.4.bias"),
            ("layers.1.0.downsample.weight", "layer2.0.downsample.0.weight"),
        ];
        for (ours, theirs) in cases {
            let path: Vec<String> = ours.split('.').map(str::to_owned).collect();
            assert_eq!(key(&path), theirs);
        }
    }

    #[test]
    fn files_keep_values() {
        let mut weights = Weights::default();
        weights.insert(
            "a".into(),
            Array {
                shape: vec![2, 1],
                data: vec![0.5, -2.0],
            },
        );
        for precision in [Precision::F32, Precision::F16] {
            let bytes = weights
                .to_safetensors(precision, BTreeMap::new())
                .expect("serialises");
            let file = SafeTensors::deserialize(&bytes).expect("parses");
            assert_eq!(Weights::from_safetensors(&file).expect("reads"), weights);
        }
    }
}
