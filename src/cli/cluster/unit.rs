//! A unit: what one worker does as a whole. Its name is the hash of all that its result depends on.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::VERSION;
use super::files::{Hashes, hash};
use super::images::Chunk;
use crate::cli::runs::Run;
use crate::cli::train::paths_in;

/// One training with its evaluation, or one measurement of some images.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Train(Box<Run>),
    Images(Chunk),
}

impl Unit {
    /// The hash of data, settings, seed and version. Where the data lie does not count, nor does the number of threads:
    /// models do not depend on it.
    ///
    /// # Errors
    /// If data cannot be read.
    pub(super) fn id(&self, hashes: &Hashes) -> Result<String> {
        let identity = match self {
            Self::Train(run) => {
                let mut flags = run.train.clone();
                for (place, start) in paths_in(&run.train) {
                    let path = &run.train[place][start..];
                    flags[place] = hashes.of(Path::new(path))?;
                }
                let foreign = run.foreign.iter().map(|data| hashes.of(data));
                serde_json::to_vec(&(
                    (VERSION, hashes.of(&run.data)?, run.seed, flags),
                    run.teacher.as_deref().map(|path| hashes.of(path)).transpose()?,
                    &run.split,
                    foreign.collect::<Result<Vec<String>>>()?,
                    (run.foreign_images, run.nuisances),
                ))?
            }
            Self::Images(chunk) => {
                serde_json::to_vec(&(VERSION, &chunk.model, &chunk.teacher, chunk.first, &chunk.images))?
            }
        };
        Ok(hash(&identity))
    }
}
