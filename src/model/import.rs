//! Reading teachers from PyTorch files. The pickle inside is parsed as data, never run.

use std::path::Path;

use pytorch_reader::{DType, PytorchReader};

use super::teacher;
use super::weights::{Array, Weights};
use crate::config::TeacherKind;
use crate::{Error, Result};

/// Reads a PyTorch state dict (`.pth`, `.pt`, `.pckl`; zip or older) with `f32` tensors.
///
/// # Errors
/// [`Error::Model`] saying why the file is no state dict.
pub fn read_state_dict(path: &Path) -> Result<Weights> {
    let fail = |reason: String| Error::Model(format!("this is not a readable PyTorch state dict ({reason})"));
    let reader = PytorchReader::new(path).map_err(|err| fail(err.to_string()))?;
    let mut weights = Weights::default();
    for (name, tensor) in reader.into_tensors() {
        // counters such as `num_batches_tracked` are integers and not needed
        if tensor.dtype() != DType::F32 {
            continue;
        }
        let shape = tensor.shape().to_vec();
        let bytes = tensor.read().map_err(|err| fail(err.to_string()))?;
        let data = bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        weights.insert(name, Array { shape, data });
    }
    if weights.is_empty() {
        return Err(fail("it holds no f32 tensors".into()));
    }
    Ok(weights)
}

/// Recognises a published teacher by its tensors and folds the used part.
///
/// # Errors
/// [`Error::Model`] if it is neither of the known ones.
pub fn teacher(weights: Weights) -> Result<(TeacherKind, Weights)> {
    let kind = if weights.contains("_conv_stem.weight") {
        TeacherKind::EfficientnetLite0
    } else if weights.contains("layer3.1.conv2.weight") {
        TeacherKind::Resnet18
    } else {
        return Err(Error::Model(
            "this is neither torchvision's resnet18 nor efficientnet-lite0: import one of these as teacher"
                .into(),
        ));
    };
    Ok((kind, teacher::fold(kind, weights)?))
}
