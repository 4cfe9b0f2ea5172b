//! A memory as a file: safetensors with a JSON header under a key of its own, which versions without
//! `PatchCore` do not take for a model of theirs.

use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

#[cfg(feature = "burn")]
use super::PatchCore;
use super::{BANK, bank};
use crate::verdict::calibration::Calibration;
use crate::config::MemoryConfig;
use crate::model::file::{FORMAT_VERSION, WRITER, check_version, own_teacher};
use crate::model::prefix;
use crate::model::storage::Precision;
use crate::model::teacher;
use crate::model::weights::{Array, Weights};
use crate::{Error, Result};

/// Metadata key of a memory's header.
pub(in crate::model) const MEMORY_KEY: &str = "destseg_memory";

/// Everything about a memory besides its patches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryHeader {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Program that wrote the file.
    #[serde(default)]
    pub written_by: String,
    /// How the memory was built.
    pub config: MemoryConfig,
    /// Of what it was built.
    #[serde(default)]
    pub training: Option<MemoryRecord>,
    /// Thresholds, if it was calibrated.
    #[serde(default)]
    pub calibration: Option<Calibration>,
}

/// Where a memory comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryRecord {
    /// Name of the data set's folder.
    pub data: String,
    /// Good images whose patches are remembered.
    pub images: usize,
    /// Patches that the coreset was chosen from.
    pub patches: usize,
    /// Device that it was built on.
    pub device: String,
}

/// A memory file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryFile {
    /// The JSON header.
    pub header: MemoryHeader,
    /// The patches and, in self-contained files, the folded teacher.
    pub weights: Weights,
}

impl MemoryFile {
    /// A memory of these patches, `[patches, dimensions]`.
    pub fn new(
        config: MemoryConfig,
        bank: Array,
        training: Option<MemoryRecord>,
        calibration: Option<Calibration>,
    ) -> Self {
        let mut weights = Weights::default();
        weights.insert(BANK.into(), bank);
        Self {
            header: MemoryHeader {
                format_version: FORMAT_VERSION,
                written_by: WRITER.into(),
                config,
                training,
                calibration,
            },
            weights,
        }
    }

    /// Reads an opened file whose header is `text`.
    pub(in crate::model) fn read(text: &str, file: &SafeTensors<'_>) -> Result<Self> {
        check_version(text)?;
        let header: MemoryHeader = serde_json::from_str(text)
            .map_err(|err| Error::Model(format!("the memory's header cannot be read: {err}")))?;
        header.config.validate()?;
        let mut weights = Weights::from_safetensors(file)?;
        if weights.has_prefix(prefix::TEACHER) {
            let own = weights.take_prefix(prefix::TEACHER);
            let folded = teacher::fold_behind(prefix::TEACHER, header.config.teacher, &own)?;
            weights.extend(folded);
        }
        bank(&weights)?;
        Ok(Self { header, weights })
    }

    /// Serialises header, patches and teacher.
    ///
    /// # Errors
    /// [`Error::Model`] if the weights do not fit their shapes.
    pub fn to_bytes(&self, precision: Precision) -> Result<Vec<u8>> {
        let text = serde_json::to_string(&self.header)
            .map_err(|err| Error::Model(format!("the memory's header cannot be written: {err}")))?;
        self.weights
            .to_safetensors(precision, BTreeMap::from([(MEMORY_KEY.to_owned(), text)]))
    }

    /// Whether the file carries its teacher.
    pub fn has_teacher(&self) -> bool {
        self.weights.has_prefix(prefix::TEACHER)
    }

    /// Folded weights of the teacher that the file carries.
    pub fn teacher(&self) -> Option<Weights> {
        own_teacher(&self.weights)
    }

    /// How many patches are remembered.
    pub fn patches(&self) -> usize {
        bank(&self.weights).map_or(0, |bank| bank.shape.first().copied().unwrap_or(0))
    }

    /// Builds the memory on Burn; `teacher` is used if the file carries none.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing teacher or a misshapen memory.
    #[cfg(feature = "burn")]
    pub fn build(&self, teacher: Option<&Weights>, device: &crate::backend::device::Device) -> Result<PatchCore> {
        let config = &self.header.config;
        let weights = crate::model::file::teacher_or(&self.weights, teacher, "memory", config.teacher)?;
        let teacher = teacher::Teacher::load(config.teacher, &weights, device)?;
        PatchCore::new(config, teacher, bank(&self.weights)?.clone(), device)
    }
}
