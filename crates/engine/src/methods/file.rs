//! The one-file model format: safetensors with a JSON header under the metadata key `destseg`.

use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::draem::{DraemConfig, DraemRecipe};
use super::dsr::{DsrConfig, DsrRecipe};
use super::patchcore::{self, BankConfig, BankRecord};
use crate::arch::weights::Weights;
use crate::arch::{self, prefix};
use crate::config::{
    FusionInput, InputLayout, Method, ModelConfig, Preset, TeacherKind, TrainConfig, Upsampling,
};
use crate::data::facts::FileFacts;
use crate::data::image::is_image;
use crate::files::storage::Precision;
use crate::files::teacher;
use crate::inspect::{
    CODEBOOK_PREFIX, Codebook, CodebookRecord, FAMILIARITY_PREFIX, Familiarity, FamiliarityRecord,
};
use crate::train::{Measuring, Trained};
use crate::verdict::calibration::Calibration;
use crate::{Error, Result};

/// Version of the header; files of a newer one are refused.
pub const FORMAT_VERSION: u32 = 2;
/// The first version whose header must name the method.
const FIRST_WITH_METHOD: u32 = 2;
/// Version of a teacher's header.
const TEACHER_VERSION: u32 = 1;
/// This program.
const WRITER: &str = concat!("destseg ", env!("CARGO_PKG_VERSION"));
/// Metadata key of a model's header.
pub(super) const MODEL_KEY: &str = "destseg";
/// Metadata key of a memory bank's header in files of version 1.
pub(super) const BANK_KEY: &str = "destseg_memory";
/// Metadata key of a teacher's header.
pub(super) const TEACHER_KEY: &str = "destseg_teacher";

/// A feature's name, and whether a model has it.
type Feature = (&'static str, fn(&ModelConfig) -> bool);

/// What a file may need of its reader beyond the first version, by name. A reader that does not know one of a file's
/// features refuses the file.
const FEATURES: [Feature; 2] = [
    ("whitening", |config| {
        config
            .segmentation
            .as_ref()
            .is_some_and(|own| own.evidence != FusionInput::Products)
    }),
    ("soft-upsampling", |config| {
        config
            .segmentation
            .as_ref()
            .is_some_and(|own| own.upsampling == Upsampling::Soft)
    }),
];

/// The feature of files with a record of the good images' features.
const FAMILIARITY: &str = "familiarity";
/// The feature of files with a codebook of good features.
const CODEBOOK: &str = "codebook";
/// The feature of files that remember how corrected images look.
const MEMORY: &str = "memory";

/// Everything about a model besides its weights.
///
/// A version that adds a field gives it a default, so that older files still open. What an older reader must not ignore
/// is a feature. Only a change that neither can express raises [`FORMAT_VERSION`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawHeader", into = "RawHeader")]
pub struct ModelHeader {
    /// [`FORMAT_VERSION`] of the file that the header comes from; files are written in this program's.
    pub format_version: u32,
    /// Program that wrote that file.
    pub written_by: String,
    /// What depends on the method.
    pub body: Body,
    /// Thresholds, if the model was calibrated.
    pub calibration: Option<Calibration>,
    /// The record of the good images' features, if there is one; its tensors are among the weights.
    pub familiarity: Option<FamiliarityRecord>,
    /// The record of the codebook, if there is one; its tensors are among the weights.
    pub codebook: Option<CodebookRecord>,
}

/// The part of a header that depends on the method.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Student and teacher (`DeSTSeg`, STPM).
    Networks {
        /// Shape of the networks; says the method.
        config: Box<ModelConfig>,
        /// How they were trained, if they were trained here.
        training: Option<Box<TrainingRecord>>,
    },
    /// A memory bank (`PatchCore`).
    Bank {
        /// How the bank was built.
        config: BankConfig,
        /// Of what it was built.
        training: Option<BankRecord>,
    },
    /// The two networks of DRAEM.
    Draem {
        /// Their shape.
        config: DraemConfig,
        /// How they were trained, if they were trained here.
        training: Option<Box<TrainingRecord<DraemRecipe>>>,
    },
    /// The six networks of DSR.
    Dsr {
        /// Their shape.
        config: DsrConfig,
        /// How they were trained, if they were trained here.
        training: Option<Box<TrainingRecord<DsrRecipe>>>,
    },
}

impl Body {
    /// Data set's folder, number of good images, and what is known about their files.
    fn trained_on(&self) -> Option<(&str, usize, Option<&FileFacts>)> {
        match self {
            Self::Networks { training, .. } => training.as_deref().map(TrainingRecord::trained_on),
            Self::Draem { training, .. } => training.as_deref().map(TrainingRecord::trained_on),
            Self::Dsr { training, .. } => training.as_deref().map(TrainingRecord::trained_on),
            Self::Bank { training, .. } => {
                let own = training.as_ref()?;
                Some((&own.data, own.images, own.files.as_ref()))
            }
        }
    }

    /// The place for what is known about the good images' files; none without a record of the training.
    fn files_mut(&mut self) -> Option<&mut Option<FileFacts>> {
        match self {
            Self::Networks { training, .. } => training.as_mut().map(|own| &mut own.files),
            Self::Draem { training, .. } => training.as_mut().map(|own| &mut own.files),
            Self::Dsr { training, .. } => training.as_mut().map(|own| &mut own.files),
            Self::Bank { training, .. } => training.as_mut().map(|own| &mut own.files),
        }
    }
}

/// A header as it lies in a file.
#[derive(Clone, Serialize, Deserialize)]
struct RawHeader {
    format_version: u32,
    /// Absent in version 1.
    #[serde(default)]
    method: Option<Method>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    written_by: String,
    config: serde_json::Value,
    #[serde(default)]
    training: serde_json::Value,
    #[serde(default)]
    calibration: Option<Calibration>,
    #[serde(default)]
    familiarity: Option<FamiliarityRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codebook: Option<CodebookRecord>,
}

impl TryFrom<RawHeader> for ModelHeader {
    type Error = Error;

    fn try_from(raw: RawHeader) -> Result<Self> {
        fn part<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T> {
            serde_json::from_value(value)
                .map_err(|err| Error::Model(format!("the model's header cannot be read: {err}")))
        }
        let known = |name: &String| {
            [FAMILIARITY, MEMORY, CODEBOOK].contains(&&**name)
                || FEATURES.iter().any(|(known, _)| known == name)
        };
        if let Some(unknown) = raw.features.iter().find(|name| !known(name)) {
            return Err(Error::Model(format!(
                "this model needs the feature `{unknown}`, which this version of destseg does not have: update destseg \
                 or reload the page"
            )));
        }
        if raw.method.is_none() && raw.format_version >= FIRST_WITH_METHOD {
            return Err(Error::Model(
                "the model's header does not say its method: take another copy of the file".into(),
            ));
        }
        // version 1 named memory banks by a key of their own, see `parse`
        let body = match raw.method {
            Some(Method::Patchcore) => Body::Bank {
                config: part(raw.config)?,
                training: part(raw.training)?,
            },
            Some(Method::Draem) => Body::Draem {
                config: part(raw.config)?,
                training: part(raw.training)?,
            },
            Some(Method::Dsr) => Body::Dsr {
                config: part(raw.config)?,
                training: part(raw.training)?,
            },
            Some(Method::Destseg | Method::Stpm) | None => {
                let config: Box<ModelConfig> = part(raw.config)?;
                if raw.method.is_some_and(|method| method != config.method) {
                    return Err(Error::Model(
                        "the model's header names two methods: take another copy of the file".into(),
                    ));
                }
                Body::Networks {
                    config,
                    training: part(raw.training)?,
                }
            }
        };
        Ok(Self {
            format_version: raw.format_version,
            written_by: raw.written_by,
            body,
            calibration: raw.calibration,
            familiarity: raw.familiarity,
            codebook: raw.codebook,
        })
    }
}

impl From<ModelHeader> for RawHeader {
    fn from(header: ModelHeader) -> Self {
        // settings and records have a JSON form
        fn value<T: Serialize>(part: T) -> serde_json::Value {
            serde_json::to_value(part).unwrap_or_default()
        }
        let method = Some(header.method());
        let (config, training, mut features) = match header.body {
            Body::Networks { config, training } => {
                let needed = FEATURES.iter().filter(|(_, needs)| needs(&config));
                let features = needed.map(|&(name, _)| name.to_owned()).collect();
                (value(config), value(training), features)
            }
            Body::Bank { config, training } => (value(config), value(training), Vec::new()),
            Body::Draem { config, training } => (value(config), value(training), Vec::new()),
            Body::Dsr { config, training } => (value(config), value(training), Vec::new()),
        };
        if header.familiarity.is_some() {
            features.push(FAMILIARITY.to_owned());
        }
        if header.codebook.is_some() {
            features.push(CODEBOOK.to_owned());
        }
        if header.calibration.as_ref().is_some_and(Calibration::remembers) {
            features.push(MEMORY.to_owned());
        }
        Self {
            // whatever the file was that the header came from
            format_version: FORMAT_VERSION,
            method,
            features,
            written_by: WRITER.into(),
            config,
            training,
            calibration: header.calibration,
            familiarity: header.familiarity,
            codebook: header.codebook,
        }
    }
}

impl ModelHeader {
    /// A header of this version, without thresholds.
    pub fn new(body: Body) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            written_by: WRITER.into(),
            body,
            calibration: None,
            familiarity: None,
            codebook: None,
        }
    }

    /// That of networks which nothing is known about.
    pub fn of_networks(config: ModelConfig) -> Self {
        Self::new(Body::Networks {
            config: config.into(),
            training: None,
        })
    }

    /// The method that the model follows.
    pub fn method(&self) -> Method {
        match &self.body {
            Body::Networks { config, .. } => config.method,
            Body::Bank { .. } => Method::Patchcore,
            Body::Draem { .. } => Method::Draem,
            Body::Dsr { .. } => Method::Dsr,
        }
    }

    /// The teacher that the model needs.
    pub fn teacher(&self) -> TeacherKind {
        match &self.body {
            Body::Networks { config, .. } => config.teacher,
            Body::Bank { config, .. } => config.teacher,
            Body::Draem { config, .. } => config.teacher,
            Body::Dsr { config, .. } => config.teacher,
        }
    }

    /// The preset that it started from.
    pub fn preset(&self) -> Preset {
        match &self.body {
            Body::Networks { config, .. } => config.preset,
            Body::Bank { config, .. } => config.teacher.preset(),
            Body::Draem { config, .. } => config.preset(),
            Body::Dsr { config, .. } => config.preset(),
        }
    }

    /// Side of the square input in pixels.
    pub fn input_size(&self) -> usize {
        match &self.body {
            Body::Networks { config, .. } => config.input_size,
            Body::Bank { config, .. } => config.input_size,
            Body::Draem { config, .. } => config.input_size,
            Body::Dsr { config, .. } => config.input_size,
        }
    }

    /// How images of other shapes and sizes are shown to the network.
    pub fn fit(&self) -> InputLayout {
        match &self.body {
            Body::Networks { config, .. } => config.fit,
            Body::Bank { config, .. } => config.fit,
            Body::Draem { config, .. } => config.fit,
            Body::Dsr { config, .. } => config.fit,
        }
    }

    /// Whether the model's scores are probabilities; distances have no upper end.
    pub fn gives_probabilities(&self) -> bool {
        match &self.body {
            Body::Networks { config, .. } => config.segmentation.is_some(),
            Body::Bank { .. } => false,
            Body::Draem { .. } | Body::Dsr { .. } => true,
        }
    }

    /// How the model's thresholds were measured.
    pub fn measuring(&self) -> Measuring {
        let plain = |held_out, seed| Measuring {
            synthesis: Default::default(),
            augment: Default::default(),
            held_out,
            seed,
        };
        match &self.body {
            Body::Networks { config, training } => {
                let recipe = training.as_ref().map(|own| own.config.clone());
                let recipe = recipe.unwrap_or_else(|| TrainConfig::preset(config.preset));
                Measuring {
                    synthesis: recipe.synthesis,
                    augment: recipe.augment,
                    held_out: recipe.held_out,
                    seed: recipe.seed,
                }
            }
            Body::Bank { config, .. } => plain(config.held_out, config.seed),
            Body::Draem { config, training } => {
                let recipe = training.as_ref().map(|own| own.config.clone());
                let recipe = recipe.unwrap_or_else(|| DraemRecipe::preset(config.preset()));
                plain(recipe.held_out, recipe.seed)
            }
            Body::Dsr { config, training } => {
                let recipe = training.as_ref().map(|own| own.config.clone());
                let recipe = recipe.unwrap_or_else(|| DsrRecipe::preset(config.preset()));
                plain(recipe.held_out, recipe.seed)
            }
        }
    }

    /// The shape of student and segmentation network.
    ///
    /// # Errors
    /// [`Error::Model`] for other methods.
    pub fn networks(&self) -> Result<&ModelConfig> {
        match &self.body {
            Body::Networks { config, .. } => Ok(config),
            Body::Bank { .. } => Err(Error::Model(
                "the file holds a PatchCore memory bank, but trained networks are needed: choose a model of DeSTSeg \
                 or STPM"
                    .into(),
            )),
            Body::Draem { .. } | Body::Dsr { .. } => Err(Error::Model(format!(
                "the file holds the networks of {}, but a student is needed: choose a model of DeSTSeg or STPM",
                self.method().label()
            ))),
        }
    }

    /// How student and segmentation network were trained; none for other methods.
    pub fn training(&self) -> Option<&TrainingRecord> {
        match &self.body {
            Body::Networks { training, .. } => training.as_deref(),
            Body::Bank { .. } | Body::Draem { .. } | Body::Dsr { .. } => None,
        }
    }

    /// Types and typical size of the files that the model was trained from, where they are known.
    pub fn files(&self) -> Option<&FileFacts> {
        self.body.trained_on()?.2
    }

    /// Says what files the model was trained from; a model without a record of its training has no place for it.
    pub fn set_files(&mut self, files: Option<FileFacts>) {
        if let Some(own) = self.body.files_mut() {
            *own = files;
        }
    }

    /// Data set's folder and number of good images, where that is known.
    pub fn trained_on(&self) -> Option<(&str, usize)> {
        let (data, images, _) = self.body.trained_on()?;
        Some((data, images))
    }
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord<Recipe = TrainConfig> {
    /// Name of the data set's folder.
    pub data: String,
    /// Good images trained on.
    pub images: usize,
    /// "built-in procedural textures", or the texture folder's name.
    pub textures: String,
    /// All settings, seed included.
    pub config: Recipe,
    /// Device the training ran on.
    pub device: String,
    /// Types and typical size of the good images' files, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FileFacts>,
}

impl<Recipe> TrainingRecord<Recipe> {
    fn trained_on(&self) -> (&str, usize, Option<&FileFacts>) {
        (&self.data, self.images, self.files.as_ref())
    }
}

/// A model file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The JSON header.
    pub header: ModelHeader,
    /// Networks or memory bank and, in self-contained files, the folded teacher.
    pub weights: Weights,
}

impl ModelFile {
    /// A model of these weights; a teacher among them is folded.
    ///
    /// # Errors
    /// [`Error::Config`] for an impossible network; [`Error::Model`] naming the first tensor that it
    /// lacks, that has another shape, or that it does not know.
    pub fn new(header: ModelHeader, mut weights: Weights) -> Result<Self> {
        let what = match &header.body {
            Body::Networks { config, .. } => {
                config.validate()?;
                format!("{} network", config.preset.id())
            }
            Body::Bank { config, .. } => {
                config.validate()?;
                "memory bank".to_owned()
            }
            Body::Draem { config, .. } => {
                config.validate()?;
                format!("{} network of DRAEM", config.preset().id())
            }
            Body::Dsr { config, .. } => {
                config.validate()?;
                format!("{} network of DSR", config.preset().id())
            }
        };
        let unfit = |err: Error| {
            Error::Model(format!(
                "the file does not fit the {what}: {err}; open the file of the whole network as it was saved"
            ))
        };
        let kind = header.teacher();
        let own = weights.take_prefix(prefix::TEACHER);
        let mut records = Weights::default();
        if header.familiarity.is_some() {
            records.extend(weights.take_prefix(FAMILIARITY_PREFIX));
        }
        if header.codebook.is_some() {
            records.extend(weights.take_prefix(CODEBOOK_PREFIX));
        }
        match &header.body {
            Body::Networks { config, .. } => arch::tensors(config).check(&weights, "").map_err(unfit)?,
            Body::Bank { .. } => drop(patchcore::bank(&weights)?),
            Body::Draem { config, .. } => {
                let graph = arch::draem(config.widths, config.input_size);
                graph.tensors("").check(&weights, "").map_err(unfit)?;
            }
            Body::Dsr { config, .. } => config.graph().tensors("").check(&weights, "").map_err(unfit)?,
        }
        if !own.is_empty() {
            weights.extend(teacher::fold_behind(prefix::TEACHER, kind, &own).map_err(unfit)?);
        }
        weights.extend(records);
        let file = Self { header, weights };
        file.familiarity()?;
        file.codebook()?;
        Ok(file)
    }

    /// A model as its training leaves it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn trained(body: Body, trained: Trained) -> Result<Self> {
        let header = ModelHeader {
            calibration: trained.calibration,
            ..ModelHeader::new(body)
        };
        let mut file = Self::new(header, trained.weights)?;
        file.set_familiarity(trained.familiarity);
        file.set_codebook(trained.codebook);
        Ok(file)
    }

    /// The record of the good images' features; none in files from before there was one.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing or misshapen tensor.
    pub fn familiarity(&self) -> Result<Option<Familiarity>> {
        let [_, middle, coarse] = self.header.teacher().channels();
        let record = self.header.familiarity.clone();
        record
            .map(|record| Familiarity::from_file(record, &self.weights, middle + coarse))
            .transpose()
    }

    /// Replaces the record of the good images' features. What is remembered of corrected images goes with the old one,
    /// because it is expressed in its terms.
    pub fn set_familiarity(&mut self, familiarity: Option<Familiarity>) {
        if let Some(calibration) = &mut self.header.calibration {
            calibration.forget_places();
        }
        let _old = self.weights.take_prefix(FAMILIARITY_PREFIX);
        self.header.familiarity = familiarity.as_ref().map(|own| own.record().clone());
        self.weights
            .extend(familiarity.map_or_else(Weights::default, |own| own.weights()));
    }

    /// The codebook of good features, if there is one.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing or misshapen tensor.
    pub fn codebook(&self) -> Result<Option<Codebook>> {
        let record = self.header.codebook.as_ref();
        record
            .map(|record| Codebook::from_file(record, &self.weights, self.header.teacher()))
            .transpose()
    }

    /// Replaces the codebook of good features.
    pub fn set_codebook(&mut self, codebook: Option<Codebook>) {
        let _old = self.weights.take_prefix(CODEBOOK_PREFIX);
        self.header.codebook = codebook.as_ref().map(Codebook::record);
        self.weights
            .extend(codebook.map_or_else(Weights::default, |own| own.weights()));
    }

    /// Parses a model file.
    ///
    /// # Errors
    /// [`Error::Model`] saying why the bytes are no usable model.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (metadata, file) = open(bytes)?;
        if !metadata.contains_key(MODEL_KEY) && !metadata.contains_key(BANK_KEY) {
            return Err(Error::Model(if metadata.contains_key(TEACHER_KEY) {
                "this file holds only a teacher network: open a model trained by destseg".into()
            } else {
                "this safetensors file is not a destseg model: open one written by `destseg train`".into()
            }));
        }
        Self::read(&metadata, &file)
    }

    /// Reads an opened file that has a header.
    pub(super) fn read(metadata: &BTreeMap<String, String>, file: &SafeTensors<'_>) -> Result<Self> {
        let unreadable =
            |err: serde_json::Error| Error::Model(format!("the model's header cannot be read: {err}"));
        let header = match (metadata.get(MODEL_KEY), metadata.get(BANK_KEY)) {
            (Some(text), _) => {
                check_version(text)?;
                serde_json::from_str(text).map_err(unreadable)?
            }
            (None, Some(text)) => {
                check_version(text)?;
                let raw: RawHeader = serde_json::from_str(text).map_err(unreadable)?;
                let method = Some(Method::Patchcore);
                RawHeader { method, ..raw }.try_into()?
            }
            (None, None) => return Err(Error::Model("the file has no header of destseg".into())),
        };
        Self::new(header, Weights::from_safetensors(file)?)
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
        self.has_teacher()
            .then(|| self.weights.with_prefix(prefix::TEACHER))
    }

    /// Folded weights of the teacher that the file carries, else the given ones.
    ///
    /// # Errors
    /// [`Error::Model`] if there are neither.
    pub fn teacher_or(&self, given: Option<&Weights>) -> Result<Weights> {
        self.teacher().or_else(|| given.cloned()).ok_or_else(|| {
            Error::Model(format!(
                "the model needs the {} teacher, which the file does not carry: give its file with --teacher",
                self.header.teacher().id()
            ))
        })
    }
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
        format_version: TEACHER_VERSION,
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
        Error::Model(match other_kind(bytes) {
            Some(what) => format!("this is {what}"),
            None => format!("this is not a complete safetensors model file ({err}): choose another file"),
        })
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(fail)?;
    let entries = metadata.metadata().clone().unwrap_or_default();
    Ok((
        entries.into_iter().collect(),
        SafeTensors::deserialize(bytes).map_err(fail)?,
    ))
}

/// What a file is that holds no model, and what to do.
fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 4] = [
        (
            b"version https://git-lfs",
            "a Git LFS pointer in place of the file: fetch the file with `git lfs pull`",
        ),
        (
            b"<!doctype html",
            "a web page, not a model: download the file itself",
        ),
        (b"<html", "a web page, not a model: download the file itself"),
        (
            b"<?xml",
            "XML, such as an OpenVINO model's, which cannot be opened: give the PyTorch or safetensors file",
        ),
    ];
    /// An ONNX file begins with the number of its format and the name of what wrote it.
    const ONNX: [u8; 2] = [0x08, 0x12];
    let beginning = bytes[..bytes.len().min(64)].to_ascii_lowercase();
    if let Some((_, what)) = STARTS.into_iter().find(|(start, _)| beginning.starts_with(start)) {
        return Some(what);
    }
    match bytes {
        [first, _, second, ..] if [*first, *second] == ONNX => {
            Some("an ONNX model, which cannot be opened: give the PyTorch or safetensors file")
        }
        _ if is_image(bytes) => Some("an image, not a model: give the file that training wrote"),
        // a file of weights has zeros in the length of its head
        _ if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() => {
            Some("text, not a model: give the file that training wrote")
        }
        _ => None,
    }
}

/// Refuses headers of a newer format before reading the rest, which may have changed.
fn check_version(header: &str) -> Result<()> {
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
