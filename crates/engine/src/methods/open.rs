//! Opening a file by what it holds, not by its name.

use super::draem::state_dicts;
use super::dsr;
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
    /// One of the two state dicts of the reference's DRAEM, which [`join`](super::draem::join) makes a model of.
    HalfOfDraem(Weights),
    /// One of the six state dicts of the reference's DSR, which `dsr::join` makes a model of.
    PartOfDsr(dsr::Part),
}

/// Opens a model or teacher: our own files, the state of an interrupted training (the model as trained so far),
/// checkpoints of the reference implementations and state dicts of the published teachers, the last two in `PyTorch`'s
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

/// What training programs put before the names of a network's tensors.
const WRAPPERS: [&str; 7] = [
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
];

/// Weights without what stands before all of their names.
fn unwrapped(mut weights: Weights) -> Weights {
    let all_begin_with = |weights: &Weights, start: &str| {
        !weights.is_empty() && weights.iter().all(|(name, _)| name.starts_with(start))
    };
    while let Some(wrapper) = WRAPPERS.into_iter().find(|own| all_begin_with(&weights, own)) {
        weights = weights.with_prefix(wrapper);
    }
    weights
}

/// The teacher in these weights, or in a part of a larger network, and which one it is.
fn teacher_in(weights: Weights) -> Option<(TeacherKind, Weights)> {
    if let Some(kind) = teacher::recognise(&weights) {
        return Some((kind, weights));
    }
    WRAPPERS.into_iter().find_map(|wrapper| {
        let part = unwrapped(weights.with_prefix(wrapper));
        teacher::recognise(&part).map(|kind| (kind, part))
    })
}

/// Tells foreign weights by their names.
fn recognise(weights: Weights) -> Result<Opened> {
    let weights = unwrapped(weights);
    if state_dicts::is_whole(&weights) {
        return state_dicts::model(weights).map(|model| Opened::Model(model.into()));
    }
    if state_dicts::is_of_draem(&weights) {
        return Ok(Opened::HalfOfDraem(weights));
    }
    let weights = match dsr::Part::of(weights) {
        Ok(part) => return Ok(Opened::PartOfDsr(part)),
        Err(weights) => weights,
    };
    if weights.has_prefix(prefix::STUDENT) || weights.has_prefix(prefix::SEGMENTATION) {
        let header = ModelHeader::of_networks(ModelConfig::preset(Preset::Paper));
        return ModelFile::new(header, weights).map(|model| Opened::Model(model.into()));
    }
    let Some((kind, weights)) = teacher_in(weights) else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::weights::Array;

    fn named(names: &[&str]) -> Weights {
        let mut weights = Weights::default();
        for name in names {
            let array = Array {
                data: vec![0.0],
                shape: vec![1],
            };
            weights.insert((*name).to_owned(), array);
        }
        weights
    }

    #[test]
    fn what_programs_put_before_names_is_left_out() {
        let names = |weights: Weights| {
            weights
                .iter()
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>()
        };
        let wrapped = named(&["module.model.layer1.0.conv1.weight", "module.model.bn1.bias"]);
        assert_eq!(names(unwrapped(wrapped)), ["bn1.bias", "layer1.0.conv1.weight"]);
        // not of a part
        let part = ["backbone.bn1.bias", "head.weight"];
        assert_eq!(names(unwrapped(named(&part))), part);
        assert!(names(unwrapped(named(&[]))).is_empty());
    }

    #[test]
    fn the_backbone_of_a_larger_network_is_a_teacher() {
        let found = |names: &[&str]| teacher_in(unwrapped(named(names))).map(|(kind, _)| kind);
        for names in [
            &["layer1.0.conv1.weight"][..],
            &["model.layer1.0.conv1.weight"],
            &["backbone.layer1.0.conv1.weight", "head.weight"],
            &[
                "module.encoder.model.layer1.0.conv1.weight",
                "module.decoder.weight",
            ],
        ] {
            assert_eq!(found(names), Some(TeacherKind::Resnet18), "{names:?}");
        }
        assert_eq!(found(&["blocks.0.weight"]), None);
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        let said = |bytes: &[u8]| open(bytes).expect_err("refused").to_string();
        for (bytes, expected) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid sha256:0"[..],
                "git lfs pull",
            ),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"<?xml version=\"1.0\"?><net name=\"m\">", "OpenVINO"),
            (b"\x08\x08\x12\x07pytorch\x1a\x05", "an ONNX model"),
            (b"name = 1", "this is text"),
            (b"\x89PNG\r\n\x1a\n", "this is an image"),
            (
                b"\x01\x02\x03\x00\x00\x00\x00\x00\x00",
                "not a complete safetensors",
            ),
        ] {
            assert!(said(bytes).contains(expected), "{}", said(bytes));
        }
    }
}
