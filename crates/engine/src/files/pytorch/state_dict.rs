//! From a pickle's objects to named arrays.

use std::collections::BTreeMap;

use super::pickle::{Element, Object, Pickle, Tensor, Value};
use super::refuse;
use crate::arch::weights::{Array, Weights};
use crate::files::numbers::Number;
use crate::{Error, Result};

/// Keys under which training scripts keep the state dict among other things.
const WRAPPERS: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
];
/// What `DataParallel` puts before every name.
const PARALLEL: &str = "module.";

/// All floating-point tensors of the state dict. `limit` bounds the numbers of all tensors together:
/// a crafted file could show the same few bytes as many large tensors.
pub(super) fn weights(
    pickle: &Pickle<'_>,
    storages: &BTreeMap<&str, &[u8]>,
    limit: usize,
) -> Result<Weights> {
    let tensors = tensors(pickle)?;
    let all_parallel = tensors.iter().all(|(name, _)| name.starts_with(PARALLEL));
    let mut weights = Weights::default();
    let mut left = limit as u64;
    for (name, tensor) in tensors {
        let name = if all_parallel {
            &name[PARALLEL.len()..]
        } else {
            name
        };
        let Element::Float(number) = tensor.storage.element else {
            continue;
        };
        let bytes = storages
            .get(tensor.storage.key)
            .ok_or_else(|| refuse(format!("the numbers of the tensor `{name}` are missing")))?;
        let view = View::new(tensor, number, bytes)
            .ok_or_else(|| refuse(format!("the tensor `{name}` does not fit its numbers")))?;
        left = left.checked_sub(view.count as u64).ok_or_else(too_large)?;
        weights.add(
            name,
            Array {
                data: view.numbers(),
                shape: view.shape,
            },
        )?;
    }
    Ok(weights)
}

fn too_large() -> Error {
    refuse("its tensors are far larger than the file, so save only the network's state dict")
}

/// Names and tensors of the state dict, wherever it is.
fn tensors<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(&'a str, &'p Tensor<'a>)>> {
    let nothing = || refuse("it holds no tensors by name, so save the network's state dict with torch.save");
    let root = pickle.dict(pickle.root).ok_or_else(nothing)?;
    let wrapped = WRAPPERS.into_iter().find_map(|wrapper| {
        let (_, value) = root.iter().find(|(key, _)| *key == Value::Text(wrapper))?;
        pickle.dict(*value)
    });
    let tensors: Vec<_> = wrapped
        .unwrap_or(root)
        .iter()
        .filter_map(|&(key, value)| match (key, pickle.object(value)?) {
            (Value::Text(name), Object::Tensor(tensor)) => Some((name, tensor)),
            _ => None,
        })
        .collect();
    if tensors.is_empty() {
        return Err(nothing());
    }
    Ok(tensors)
}

/// A tensor that lies within its storage.
struct View<'a> {
    number: Number,
    bytes: &'a [u8],
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    count: usize,
}

impl<'a> View<'a> {
    /// `None` if it reaches beyond the storage.
    fn new(tensor: &Tensor<'_>, number: Number, bytes: &'a [u8]) -> Option<Self> {
        let size = |size: u64| usize::try_from(size).ok();
        let sizes = |sizes: &[u64]| sizes.iter().map(|&s| size(s)).collect::<Option<Vec<_>>>();
        let (shape, strides) = (sizes(&tensor.shape)?, sizes(&tensor.strides)?);
        let offset = size(tensor.offset)?;
        let count = shape
            .iter()
            .try_fold(1, |count: usize, &s| count.checked_mul(s))?;
        let held = bytes.len() / number.size();
        if shape.len() != strides.len() || size(tensor.storage.count)? != held {
            return None;
        }
        if count > 0 {
            let last = shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |last, (&size, &stride)| {
                    last.checked_add((size - 1).checked_mul(stride)?)
                })?;
            if last >= held {
                return None;
            }
        }
        Some(Self {
            number,
            bytes,
            offset,
            shape,
            strides,
            count,
        })
    }

    /// The numbers, row by row.
    fn numbers(&self) -> Vec<f32> {
        let size = self.number.size();
        let (from, length) = (self.offset * size, self.count * size);
        if self.count == 0 {
            return Vec::new();
        }
        if self.is_contiguous() {
            return self.number.decode(&self.bytes[from..from + length]);
        }
        let mut gathered = Vec::with_capacity(length);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.count {
            let steps = index.iter().zip(&self.strides).map(|(i, stride)| i * stride);
            let place = (self.offset + steps.sum::<usize>()) * size;
            gathered.extend_from_slice(&self.bytes[place..place + size]);
            // the last axis runs fastest
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        self.number.decode(&gathered)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(&size, &stride)| {
                let fits = size == 1 || stride == expected;
                expected *= size;
                fits
            })
    }
}
