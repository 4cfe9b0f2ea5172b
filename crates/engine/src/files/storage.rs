//! Weights as safetensors: number types, eight-bit numbers with their scales, PyTorch's counters.

use std::collections::BTreeMap;

use half::f16;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::numbers::Number;
use crate::arch::prefix;
use crate::arch::weights::{Array, Weights};
use crate::{Error, Result};

/// How values are stored in a file; they are expanded to `f32` on load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Precision {
    /// Four bytes per value.
    F32,
    /// Two bytes per value; a tensor with a value beyond 65,504 stays `f32`.
    #[default]
    F16,
    /// One byte per value of a convolution, with one scale for each of its outputs; the few other
    /// values take two bytes.
    Int8,
}

impl Precision {
    /// How the weights of a safetensors file are stored; none for another file.
    pub fn of_file(bytes: &[u8]) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let has = |dtype| file.tensors().iter().any(|(_, view)| view.dtype() == dtype);
        // values that eight or 16 bits have no room for stay in more of them, beside the others
        let precisions = [
            (Dtype::I8, Self::Int8),
            (Dtype::F16, Self::F16),
            (Dtype::F32, Self::F32),
        ];
        precisions
            .into_iter()
            .find_map(|(dtype, precision)| has(dtype).then_some(precision))
    }
}

/// After the name of an eight-bit tensor, the name of its scales.
const SCALES: &str = ".scales";
/// The largest eight-bit number; -128 is not used, so that signs are alike.
const LARGEST: f32 = 127.0;

/// One tensor as it lies in a file.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Weights {
    /// Reads all floating-point tensors of a safetensors file, and eight-bit ones with scales; other
    /// integers are counters that networks do not need.
    ///
    /// # Errors
    /// [`Error::Model`] for another number type, values that are not finite or scales that do not fit.
    pub fn from_safetensors(file: &SafeTensors<'_>) -> Result<Self> {
        let mut weights = Self::default();
        for (name, view) in file.iter() {
            let number = match view.dtype() {
                Dtype::F16 => Number::F16,
                Dtype::BF16 => Number::Bf16,
                Dtype::F32 => Number::F32,
                Dtype::F64 => Number::F64,
                Dtype::I8 => {
                    if let Ok(scales) = file.tensor(&format!("{name}{SCALES}")) {
                        weights.add(name, dequantise(name, &view, &scales)?)?;
                    }
                    continue;
                }
                Dtype::BOOL | Dtype::U8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => continue,
                other => {
                    return Err(Error::Model(format!(
                        "the tensor `{name}` holds {other:?} numbers: save it as F32, F16, BF16 or F64"
                    )));
                }
            };
            let is_scales = name
                .strip_suffix(SCALES)
                .is_some_and(|of| file.tensor(of).is_ok_and(|of| of.dtype() == Dtype::I8));
            if !is_scales {
                let array = Array {
                    shape: view.shape().to_vec(),
                    data: number.decode(view.data()),
                };
                weights.add(name, array)?;
            }
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
        self.serialise(precision, &[], metadata)
    }

    /// [`to_safetensors`](Self::to_safetensors) with integers of these names besides, all zero.
    pub(crate) fn serialise(
        &self,
        precision: Precision,
        counters: &[String],
        metadata: BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let mut stored = Vec::new();
        for (name, array) in self.iter() {
            store(name, array, precision, &mut stored)?;
        }
        stored.extend(counters.iter().map(|name| Stored {
            name: name.clone(),
            dtype: Dtype::I64,
            shape: Vec::new(),
            bytes: 0_i64.to_le_bytes().to_vec(),
        }));
        let fail = |err: SafeTensorError| Error::Model(format!("the weights cannot be written: {err}"));
        let views = stored
            .iter()
            .map(|stored| {
                let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes)?;
                Ok((&stored.name, view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(fail)
    }

    /// What a file of this precision gives back.
    ///
    /// # Errors
    /// As [`to_safetensors`](Self::to_safetensors).
    pub fn rounded(&self, precision: Precision) -> Result<Self> {
        let bytes = self.to_safetensors(precision, BTreeMap::new())?;
        let fail = |err: SafeTensorError| Error::Model(format!("the weights cannot be read back: {err}"));
        Self::from_safetensors(&SafeTensors::deserialize(&bytes).map_err(fail)?)
    }
}

fn store(name: &str, array: &Array, precision: Precision, stored: &mut Vec<Stored>) -> Result<()> {
    let mut push = |name: String, dtype, shape: &[usize], bytes| {
        stored.push(Stored {
            name,
            dtype,
            shape: shape.to_vec(),
            bytes,
        });
    };
    match (precision, &*array.shape) {
        // rows that cancel what varies much to show what varies little need more digits than eight bits have
        (Precision::Int8, shape @ &[outputs, _, ..])
            if !array.data.is_empty() && !name.starts_with(prefix::WHITENING) =>
        {
            let (scales, numbers) = quantise(array, outputs);
            push(name.into(), Dtype::I8, shape, numbers);
            push(format!("{name}{SCALES}"), Dtype::F32, &[outputs], floats(&scales));
        }
        (Precision::F16 | Precision::Int8, shape) if array.data.iter().all(|&value| fits_half(value)) => {
            push(name.into(), Dtype::F16, shape, halves(array));
        }
        (_, shape) => {
            push(name.into(), Dtype::F32, shape, floats(&array.data));
        }
    }
    Ok(())
}

/// The values in 16 bits.
fn halves(array: &Array) -> Vec<u8> {
    let halves = array.data.iter().map(|&value| f16::from_f32(value));
    halves.flat_map(f16::to_le_bytes).collect()
}

/// Whether `value` stays finite in 16 bits.
fn fits_half(value: f32) -> bool {
    f16::from_f32(value).is_finite() || !value.is_finite()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// One scale for each output, so that its largest value is [`LARGEST`], and the numbers.
fn quantise(array: &Array, outputs: usize) -> (Vec<f32>, Vec<u8>) {
    let mut numbers = Vec::with_capacity(array.data.len());
    let scales = array
        .data
        .chunks_exact(array.data.len() / outputs)
        .map(|filter| {
            let largest = filter
                .iter()
                .fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let scale = largest / LARGEST;
            // a filter of zeros has scale 0
            let number = |value: &f32| if scale > 0.0 { (value / scale).round() } else { 0.0 };
            numbers.extend(filter.iter().map(|value| (number(value) as i8).cast_unsigned()));
            scale
        })
        .collect();
    (scales, numbers)
}

fn dequantise(name: &str, numbers: &TensorView<'_>, scales: &TensorView<'_>) -> Result<Array> {
    let outputs = numbers.shape().first().copied().unwrap_or(0);
    if scales.dtype() != Dtype::F32 || scales.shape() != [outputs] {
        return Err(Error::Model(format!(
            "the scales of the tensor `{name}` have type {:?} and shape {:?} instead of F32 and [{outputs}]",
            scales.dtype(),
            scales.shape()
        )));
    }
    let scales = Number::F32.decode(scales.data());
    let per_output = (numbers.data().len() / outputs.max(1)).max(1);
    Ok(Array {
        shape: numbers.shape().to_vec(),
        data: numbers
            .data()
            .chunks_exact(per_output)
            .zip(scales)
            .flat_map(|(filter, scale)| {
                filter
                    .iter()
                    .map(move |number| f32::from(number.cast_signed()) * scale)
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        let mut weights = Weights::default();
        let mut insert = |name: &str, shape: &[usize], data: &[f32]| {
            let array = Array {
                shape: shape.to_vec(),
                data: data.to_vec(),
            };
            weights.insert(name.into(), array);
        };
        insert("conv.weight", &[3, 2], &[0.5, -2.0, 0.0, 0.0, 1e-3, 3e-4]);
        insert("conv.bias", &[2], &[0.25, -1.5]);
        insert("empty", &[0, 4], &[]);
        weights
    }

    fn read(bytes: &[u8]) -> Result<Weights> {
        Weights::from_safetensors(&SafeTensors::deserialize(bytes).expect("parses"))
    }

    #[test]
    fn files_keep_values() {
        for precision in [Precision::F32, Precision::F16, Precision::Int8] {
            let weights = weights();
            let back = weights.rounded(precision).expect("reads back");
            for ((name, before), (same, after)) in weights.iter().zip(back.iter()) {
                assert_eq!((name, &before.shape), (same, &after.shape));
                for (before, after) in before.data.iter().zip(&after.data) {
                    // half a step of the row's largest value, in eight bits
                    let step = if name == "conv.weight" { 2.0 / LARGEST } else { 0.0 };
                    assert!((before - after).abs() <= 0.5 * step, "{before} became {after}");
                }
            }
            assert_eq!(back.rounded(precision).expect("again"), back, "twice is once");
            let bytes = back
                .to_safetensors(precision, BTreeMap::new())
                .expect("is written");
            assert_eq!(Precision::of_file(&bytes), Some(precision));
        }
    }

    #[test]
    fn eight_bits_have_a_scale_for_each_output() {
        let back = weights().rounded(Precision::Int8).expect("reads back");
        let filters = &back.get("conv.weight").expect("is there").data;
        assert_eq!(filters[1], -2.0, "the largest stays");
        assert_eq!(filters[2..4], [0.0, 0.0]);
        assert!(
            (filters[5] - 3e-4).abs() < 1e-5,
            "small beside small: {}",
            filters[5]
        );
    }

    #[test]
    fn scales_must_fit_and_large_values_stay() {
        let metadata = None;
        let (numbers, scales) = ([1_u8, 2], 1.0_f32.to_le_bytes());
        let views = [
            (
                "w",
                TensorView::new(Dtype::I8, vec![2, 1], &numbers).expect("fits"),
            ),
            (
                "w.scales",
                TensorView::new(Dtype::F32, vec![1], &scales).expect("fits"),
            ),
        ];
        let bytes = safetensors::serialize(views, metadata).expect("writes");
        let message = read(&bytes).expect_err("refused").to_string();
        assert!(message.contains("scales of the tensor `w`"), "{message}");
        let mut large = weights();
        let array = Array {
            shape: vec![1],
            data: vec![1e6],
        };
        large.insert("big".into(), array);
        let back = large.rounded(Precision::F16).expect("stays in 32 bits");
        assert_eq!(back.get("big").expect("is there").data, [1e6]);
    }
}
