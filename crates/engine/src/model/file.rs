//! The one-file model format: safetensors with a JSON header under the metadata key `destseg`.

use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

#[cfg(feature = "burn")]
use super::DeSTSeg;
use super::storage::Precision;
use super::weights::Weights;
use super::{prefix, teacher, tensors};
use crate::verdict::calibration::Calibration;
use crate::config::{ModelConfig, TeacherKind, TrainConfig};
use crate::{Error, Result};

/// Version of the header; files of a newer one are refused.
pub const FORMAT_VERSION: u32 = 1;
/// This program.
pub(super) const WRITER: &str = concat!("destseg ", env!("CARGO_PKG_VERSION"));
/// Metadata key of a model's header.
pub(super) const MODEL_KEY: &str = "destseg";
/// Metadata key of a teacher's header.
pub(super) const TEACHER_KEY: &str = "destseg_teacher";

/// Everything about a model besides its weights.
///
/// A version that adds a field gives it a default, so that older files still open. Only a change that
/// defaults cannot express raises [`FORMAT_VERSION`]; [`ModelFile::parse`] is where such a header
/// would be brought up to date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelHeader {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Program that wrote the file.
    #[serde(default)]
    pub written_by: String,
    /// Shape of the network.
    pub config: ModelConfig,
    /// How it was trained, if it was trained here.
    #[serde(default)]
    pub training: Option<TrainingRecord>,
    /// Thresholds, if it was calibrated.
    #[serde(default)]
    pub calibration: Option<Calibration>,
}

impl ModelHeader {
    /// A header of this version, for a network without record or thresholds.
    pub fn new(config: ModelConfig) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            written_by: WRITER.into(),
            config,
            training: None,
            calibration: None,
        }
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Name of the data set's folder.
    pub data: String,
    /// Good images trained on.
    pub images: usize,
    /// "built-in procedural textures", or the texture folder's name.
    pub textures: String,
    /// All settings, seed included.
    pub config: TrainConfig,
    /// Device the training ran on.
    pub device: String,
}

/// A model file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The JSON header.
    pub header: ModelHeader,
    /// Student, segmentation network and, in self-contained files, the folded teacher.
    pub weights: Weights,
}

impl ModelFile {
    /// A model of these weights; a teacher among them is folded.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible network; [`Error::Model`] naming the first tensor that it
    /// lacks, that has another shape, or that it does not know.
    pub fn new(header: ModelHeader, mut weights: Weights) -> Result<Self> {
        header.config.validate()?;
        let unfit = |err: Error| {
            let preset = header.config.preset.id();
            Error::Model(format!(
                "the file does not fit the {preset} network: {err}; open the file of the whole network as it \
                 was saved"
            ))
        };
        let mut shapes = tensors::of_network(&header.config);
        if weights.has_prefix(prefix::TEACHER) {
            let kind = header.config.teacher;
            let own = weights.take_prefix(prefix::TEACHER);
            weights.extend(teacher::fold_behind(prefix::TEACHER, kind, &own).map_err(unfit)?);
            shapes.extend(tensors::of_teacher(prefix::TEACHER, kind));
        }
        shapes.check(&weights, "").map_err(unfit)?;
        Ok(Self { header, weights })
    }

    /// Parses a model file.
    ///
    /// # Errors
    /// [`Error::Model`] saying why the bytes are no usable model.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (metadata, file) = open(bytes)?;
        let Some(text) = metadata.get(MODEL_KEY) else {
            return Err(Error::Model(if metadata.contains_key(TEACHER_KEY) {
                "this file holds only a teacher network: open a model trained by destseg".into()
            } else {
                "this safetensors file is not a destseg model: open one written by `destseg train`".into()
            }));
        };
        check_version(text)?;
        let header: ModelHeader = serde_json::from_str(text)
            .map_err(|err| Error::Model(format!("the model's header cannot be read: {err}")))?;
        Self::new(header, Weights::from_safetensors(&file)?)
    }

    /// Serialises header and weights.
    ///
    /// # Errors
    /// [`Error::Model`] if the weights do not fit their shapes.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        let text = serde_json::to_string(&self.header)
            .map_err(|err| Error::Model(format!("the model's header cannot be written: {err}")))?;
        self.weights
            .to_safetensors(precision, BTreeMap::from([(MODEL_KEY.to_owned(), text)]))
    }

    /// Whether the file carries its teacher.
    pub fn has_teacher(&self) -> bool {
        self.weights.has_prefix(prefix::TEACHER)
    }

    /// Folded weights of the teacher that the file carries.
    pub fn teacher(&self) -> Option<Weights> {
        own_teacher(&self.weights)
    }

    /// Folded weights of the teacher that the file carries, else the given ones.
    ///
    /// # Errors
    /// [`Error::Model`] if there are neither.
    pub fn teacher_or(&self, given: Option<&Weights>) -> Result<Weights> {
        teacher_or(&self.weights, given, "model", self.header.config.teacher)
    }

    /// Builds the network on Burn; `teacher` is used if the file carries none.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing teacher or tensor.
    #[cfg(feature = "burn")]
    pub fn build(&self, teacher: Option<&Weights>, device: &burn::tensor::Device) -> Result<DeSTSeg> {
        let config = &self.header.config;
        let teacher = teacher::Teacher::load(config.teacher, &self.teacher_or(teacher)?, device)?;
        DeSTSeg::new(config, teacher, device)?.load(&self.weights)
    }
}

/// Folded weights of the teacher among a file's weights, if it is there.
pub(super) fn own_teacher(weights: &Weights) -> Option<Weights> {
    weights
        .has_prefix(prefix::TEACHER)
        .then(|| weights.with_prefix(prefix::TEACHER))
}

/// The same, else the given ones; `what` the file holds is for the error.
pub(super) fn teacher_or(
    weights: &Weights,
    given: Option<&Weights>,
    what: &str,
    kind: TeacherKind,
) -> Result<Weights> {
    own_teacher(weights).or_else(|| given.cloned()).ok_or_else(|| {
        Error::Model(format!(
            "the {what} needs the {} teacher, which the file does not carry: give its file with --teacher",
            kind.id()
        ))
    })
}

/// Header of a teacher file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TeacherHeader {
    format_version: u32,
    kind: TeacherKind,
}

/// Parses a teacher file written by [`teacher_to_bytes`]; weights come back folded.
///
/// # Errors
/// [`Error::Model`] saying why the bytes are no usable teacher.
pub fn parse_teacher(bytes: &[u8]) -> Result<(TeacherKind, Weights)> {
    let (metadata, file) = open(bytes)?;
    let Some(text) = metadata.get(TEACHER_KEY) else {
        return Err(Error::Model(
            "this file is not a teacher network: make one with `destseg import`".into(),
        ));
    };
    check_version(text)?;
    let header: TeacherHeader = serde_json::from_str(text)
        .map_err(|err| Error::Model(format!("the teacher's header cannot be read: {err}")))?;
    let weights = Weights::from_safetensors(&file)?;
    Ok((header.kind, teacher::fold(header.kind, &weights)?))
}

/// Serialises folded teacher weights.
///
/// # Errors
/// [`Error::Model`] if the weights do not fit their shapes.
pub fn teacher_to_bytes(kind: TeacherKind, weights: &Weights, precision: Precision) -> Result<Vec<u8>> {
    let header = TeacherHeader {
        format_version: FORMAT_VERSION,
        kind,
    };
    let text = serde_json::to_string(&header)
        .map_err(|err| Error::Model(format!("the teacher's header cannot be written: {err}")))?;
    weights.to_safetensors(precision, BTreeMap::from([(TEACHER_KEY.to_owned(), text)]))
}

/// Metadata and tensors of a safetensors file.
pub(super) fn open(bytes: &[u8]) -> Result<(BTreeMap<String, String>, SafeTensors<'_>)> {
    if bytes.is_empty() {
        return Err(Error::Model(
            "the model file is empty: choose another file".into(),
        ));
    }
    let fail = |err: safetensors::SafeTensorError| {
        Error::Model(format!(
            "this is not a complete safetensors model file ({err}): choose another file"
        ))
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(fail)?;
    let entries = metadata.metadata().clone().unwrap_or_default();
    Ok((
        entries.into_iter().collect(),
        SafeTensors::deserialize(bytes).map_err(fail)?,
    ))
}

/// Refuses headers of a newer format before reading the rest, which may have changed.
pub(super) fn check_version(header: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    let Version { format_version } = serde_json::from_str(header)
        .map_err(|err| Error::Model(format!("the model's header cannot be read: {err}")))?;
    if format_version > FORMAT_VERSION {
        return Err(Error::Model(format!(
            "this model was written by a newer destseg (format {format_version}, this one reads up to \
             {FORMAT_VERSION}): update destseg or reload the page"
        )));
    }
    Ok(())
}
