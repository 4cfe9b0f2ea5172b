//! What there is of DSR in the page and in the npm package, where its code does not fit: its name, and a sentence about its
//! files. No value of [`DsrConfig`] or [`Part`] exists here, so the compiler leaves out whatever would need one.

use serde::{Deserialize, Deserializer, Serialize};

use super::file::ModelFile;
use super::{Entry, Info};
use crate::arch::graph::Graph;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::{InputLayout, Method, Preset, TeacherKind};
use crate::inspect::{Detector, InputSettings};
use crate::{Error, Result};

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Dsr,
    explanation: "DSR is for the command line.",
    has_student: false,
    baseline: None,
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: None,
};

/// What to do with a file of DSR.
const ABSENT: &str = "models of DSR open on the command line only: use `destseg predict`";

/// No value of it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Nothing {}

/// The shape of the networks, which no file gives here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DsrConfig {
    /// As where DSR is.
    pub teacher: TeacherKind,
    /// As where DSR is.
    pub input_size: usize,
    /// As where DSR is.
    pub fit: InputLayout,
    nothing: Nothing,
}

impl<'de> Deserialize<'de> for DsrConfig {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(serde::de::Error::custom(ABSENT))
    }
}

impl DsrConfig {
    /// As where DSR is.
    pub fn preset(&self) -> Preset {
        match self.nothing {}
    }

    /// As where DSR is.
    pub fn input_settings(&self) -> InputSettings {
        match self.nothing {}
    }

    /// As where DSR is.
    pub fn graph(&self) -> Graph {
        match self.nothing {}
    }

    /// As where DSR is.
    ///
    /// # Errors
    /// Never.
    pub fn validate(&self) -> Result<()> {
        match self.nothing {}
    }
}

/// What the thresholds of a model need to know of its training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DsrRecipe {
    /// As where DSR is.
    pub held_out: f64,
    /// As where DSR is.
    pub seed: u64,
}

impl DsrRecipe {
    /// As where DSR is.
    pub fn preset(_: Preset) -> Self {
        Self {
            held_out: 0.0,
            seed: 0,
        }
    }
}

/// One of the state dicts of the reference's DSR, which nothing here recognises.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {}

impl Part {
    /// None of these weights.
    pub(super) fn of(weights: Weights) -> std::result::Result<Self, Weights> {
        Err(weights)
    }
}

/// What is said of one part alone.
pub fn alone(part: &Part) -> Error {
    match *part {}
}

/// Refuses the file.
pub(super) fn detector(_: &ModelFile, _: Option<&Weights>, _: &Device) -> Result<Detector> {
    Err(Error::Model(ABSENT.into()))
}
