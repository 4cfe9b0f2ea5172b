//! What stands in for networks on Burn in a build without it: none can be made.

use super::Found;
use crate::config::TeacherKind;
use crate::backend::device::Device;
use crate::model::file::ModelFile;
use crate::model::patchcore::MemoryFile;
use crate::model::weights::{Array, Weights};
use crate::{Error, Result};

/// No network.
#[derive(Debug)]
pub(super) enum BurnNetwork {}

impl BurnNetwork {
    pub(super) fn of_model(_: &ModelFile, _: Option<&Weights>, _: &Device) -> Result<Self> {
        Err(not_here())
    }

    pub(super) fn of_memory(_: &MemoryFile, _: Option<&Weights>, _: &Device) -> Result<Self> {
        Err(not_here())
    }

    pub(super) fn scores(&self) -> bool {
        match *self {}
    }

    pub(super) async fn look(&self, _: &[f32], _: usize, _: TeacherKind) -> Result<Found> {
        match *self {}
    }

    pub(super) async fn features(&self, _: &[f32], _: usize, _: TeacherKind) -> Result<[[Array; 3]; 2]> {
        match *self {}
    }
}

fn not_here() -> Error {
    Error::Model("this build has no backend for that kind of model".into())
}
