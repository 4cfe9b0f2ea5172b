//! Opening a file by what it holds, not by its name.

use super::file::{
    BANK_KEY, MODEL_KEY, ModelFile, ModelHeader, TEACHER_KEY, open as open_safetensors, parse_teacher,
};
use crate::arch::prefix;
use crate::arch::weights::Weights;
use crate::config::{ModelConfig, Preset, TeacherKind};
use crate::files::{pytorch, teacher};
use crate::train::model_so_far;
use crate::{Error, Result};

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// A model, with or without its teacher.
    Model(Box<ModelFile>),
    /// Folded weights of a teacher alone.
    Teacher(TeacherKind, Weights),
}

/// Opens a model or teacher: our own files, the state of an interrupted training (the model as trained so far),
/// checkpoints of the reference implementation and state dicts of the published teachers, the last two in `PyTorch`'s
/// formats or as safetensors.
///
/// # Errors
/// [`Error::Model`] saying why the bytes are none of these, or naming the first tensor that is
/// missing, misshapen or unknown.
pub fn open(bytes: &[u8]) -> Result<Opened> {
    if pytorch::is_pytorch(bytes) {
        return recognise(pytorch::read_state_dict(bytes)?);
    }
    if let Some((config, weights)) = model_so_far(bytes)? {
        let header = ModelHeader::of_networks(config);
        return ModelFile::new(header, weights).map(|model| Opened::Model(model.into()));
    }
    let (metadata, tensors) = open_safetensors(bytes)?;
    if metadata.contains_key(MODEL_KEY) || metadata.contains_key(BANK_KEY) {
        ModelFile::read(&metadata, &tensors).map(|model| Opened::Model(model.into()))
    } else if metadata.contains_key(TEACHER_KEY) {
        parse_teacher(bytes).map(|(kind, weights)| Opened::Teacher(kind, weights))
    } else {
        recognise(Weights::from_safetensors(&tensors)?)
    }
}

/// Tells foreign weights by their names.
fn recognise(weights: Weights) -> Result<Opened> {
    if weights.has_prefix(prefix::STUDENT) || weights.has_prefix(prefix::SEGMENTATION) {
        let header = ModelHeader::of_networks(ModelConfig::preset(Preset::Paper));
        return ModelFile::new(header, weights).map(|model| Opened::Model(model.into()));
    }
    let Some(kind) = teacher::recognise(&weights) else {
        return Err(Error::Model(
            "these are weights of another network: open a model of destseg, a checkpoint of the reference \
             implementation, or resnet18 or efficientnet-lite0 as teacher"
                .into(),
        ));
    };
    let folded = teacher::fold(kind, &weights).map_err(|err| {
        Error::Model(format!(
            "the file does not fit the {} teacher: {err}; open the file of the whole network as it was saved",
            kind.id()
        ))
    })?;
    Ok(Opened::Teacher(kind, folded))
}
