//! Models for PyTorch: safetensors with the names, shapes and number types of the reference
//! implementation's state dict.

use std::collections::BTreeMap;

use super::draem::state_dicts;
use super::file::{Body, MODEL_KEY, ModelFile, ModelHeader};
use crate::arch::prefix;
use crate::arch::shapes::COUNTER;
use crate::arch::weights::Weights;
use crate::config::TeacherKind;
use crate::files::storage::Precision;
use crate::files::teacher;
use crate::inspect::FAMILIARITY_PREFIX;
use crate::{Error, Result};

/// Last part of the name of a tensor that every batch normalisation has.
const RUNNING_VAR: &str = "running_var";

/// What other readers of safetensors look for in the metadata.
const FORMAT: [&str; 2] = ["format", "pt"];

/// A file of all weights in `f32`, batch normalisation complete, that `load_state_dict` accepts.
/// `teacher` holds folded weights, used if the model carries none. The model's own header is in the
/// metadata, so that thresholds are not lost where the file comes back; the record of the good images' features is.
///
/// # Errors
/// [`Error::Model`] if the reference's network needs a teacher and there is none.
pub fn to_pytorch(file: &ModelFile, teacher: Option<&Weights>) -> Result<Vec<u8>> {
    let kind = file.header.networks()?.teacher;
    let mut weights = file.weights.clone();
    // no part of the reference's network
    let _familiarity = weights.take_prefix(FAMILIARITY_PREFIX);
    let _folded = weights.take_prefix(prefix::TEACHER);
    let own = file.teacher();
    match own.as_ref().or(teacher) {
        Some(folded) => weights.extend(teacher::unfold(kind, folded)?.prefixed(prefix::TEACHER)),
        None if kind == TeacherKind::Resnet18 => {
            return Err(Error::Model(
                "the model's file has no teacher, but PyTorch's network does: give its file with --teacher"
                    .into(),
            ));
        }
        None => {}
    }
    let header = ModelHeader {
        familiarity: None,
        ..file.header.clone()
    };
    let header = serde_json::to_string(&header)
        .map_err(|err| Error::Model(format!("the model's header cannot be written: {err}")))?;
    let metadata = BTreeMap::from([(MODEL_KEY.to_owned(), header), FORMAT.map(str::to_owned).into()]);
    write(&weights, metadata)
}

/// The state dicts of DRAEM's reconstructive and discriminative network, in `f32`, that the reference's `load_state_dict`
/// accepts. Thresholds and record have no place in them.
///
/// # Errors
/// [`Error::Model`] if the model is not one of DRAEM.
pub fn draem_to_pytorch(file: &ModelFile) -> Result<[Vec<u8>; 2]> {
    if !matches!(file.header.body, Body::Draem { .. }) {
        return Err(Error::Model(
            "the file holds no model of DRAEM: choose another file".into(),
        ));
    }
    let metadata = BTreeMap::from([FORMAT.map(str::to_owned).into()]);
    let [first, second] = state_dicts::split(networks(file));
    Ok([write(&first, metadata.clone())?, write(&second, metadata)?])
}

/// The state dicts of DSR's six networks, in `f32`, that the reference's `load_state_dict` accepts, each with what its file
/// is called. Thresholds and record have no place in them.
///
/// # Errors
/// [`Error::Model`] if the model is not one of DSR.
#[cfg(not(target_family = "wasm"))]
pub fn dsr_to_pytorch(file: &ModelFile) -> Result<Vec<(&'static str, Vec<u8>)>> {
    if !matches!(file.header.body, Body::Dsr { .. }) {
        return Err(Error::Model(
            "the file holds no model of DSR: choose another file".into(),
        ));
    }
    let metadata = BTreeMap::from([FORMAT.map(str::to_owned).into()]);
    let parts = super::dsr::state_dicts::split(networks(file))?;
    let part = |(name, weights)| Ok((name, write(&weights, metadata.clone())?));
    parts.into_iter().map(part).collect()
}

/// The weights of a model without teacher and record of the good images.
fn networks(file: &ModelFile) -> Weights {
    let mut weights = file.weights.clone();
    for prefix in [FAMILIARITY_PREFIX, prefix::TEACHER] {
        drop(weights.take_prefix(prefix));
    }
    weights
}

/// A file of these weights in `f32` with the counters of their batch normalisations.
fn write(weights: &Weights, metadata: BTreeMap<String, String>) -> Result<Vec<u8>> {
    let names = weights.iter().map(|(name, _)| name.strip_suffix(RUNNING_VAR));
    let counters: Vec<String> = names.flatten().map(|name| format!("{name}{COUNTER}")).collect();
    weights.serialise(Precision::F32, &counters, metadata)
}
