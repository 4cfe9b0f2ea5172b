//! The files that a training writes.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Args;
use crate::cli::common::check_output;
use crate::cli::settings;

/// The files that a run writes.
#[derive(Debug)]
pub(in crate::cli) struct Outputs {
    pub(in crate::cli) model: PathBuf,
    pub(in crate::cli) settings: PathBuf,
    pub(super) checkpoint: PathBuf,
}

impl Outputs {
    pub(in crate::cli) fn new(model: PathBuf) -> Self {
        let mut checkpoint = model.clone().into_os_string();
        checkpoint.push(".checkpoint");
        Self {
            settings: model.with_extension("toml"),
            checkpoint: checkpoint.into(),
            model,
        }
    }

    /// Refuses to replace files, and finds out now whether they can be written: minutes of training
    /// must not be for nothing.
    pub(in crate::cli) fn check(&self, args: &Args) -> Result<()> {
        let ending = self.model.extension().unwrap_or_default();
        if ["toml", "json"]
            .iter()
            .any(|own| ending.eq_ignore_ascii_case(own))
        {
            bail!(
                "{} is named like a settings file: give the model another ending, such as {}",
                self.model.display(),
                self.model.with_extension("safetensors").display()
            );
        }
        for file in [&self.model, &self.settings, &self.checkpoint] {
            check_output(file)?;
        }
        // what goes on may have been stopped between its last files
        if args.resume {
            if !self.checkpoint.exists() {
                bail!(
                    "there is no {} to go on from: leave out --resume to start from the beginning",
                    self.checkpoint.display()
                );
            }
            return Ok(());
        }
        if self.settings.exists() && !settings::is_settings(&self.settings) {
            bail!(
                "the model's settings would replace {}, which holds other things: choose another name for the model",
                self.settings.display()
            );
        }
        if !args.force {
            if let Some(file) = [&self.model, &self.settings]
                .into_iter()
                .find(|file| file.exists())
            {
                bail!(
                    "{} exists already: choose another name or add --force",
                    file.display()
                );
            }
            if self.checkpoint.exists() {
                bail!(
                    "{} is left of an interrupted training: go on with --resume, or start again with --force",
                    self.checkpoint.display()
                );
            }
        }
        Ok(())
    }
}
