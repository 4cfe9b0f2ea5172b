//! What the model of a run is shown besides its own test: other parts, and images with nuisances.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::child::Child;
use super::{Run, write_file};
use destseg_engine::evaluation::nuisance::{NuisanceCount, are_complete};
use destseg_engine::evaluation::{CategoryReport, Share};

/// What a model says of images with nuisances.
const NUISANCES: &str = "nuisances.json";

impl Run {
    /// Images of other parts that the model calls unfamiliar, of those that it was shown; none where it was not shown all
    /// of them.
    pub(in crate::cli) fn foreign(&self) -> Option<Share> {
        let shares = self.foreign.iter().map(|data| self.foreign_share(data));
        let shares = shares.collect::<Result<Vec<Share>>>().ok()?;
        (!shares.is_empty()).then(|| shares.into_iter().fold(Share::default(), Share::plus))
    }

    fn foreign_share(&self, data: &Path) -> Result<Share> {
        let report: CategoryReport = self.read(&foreign_name(data, self.foreign_images))?;
        let counts = report.unfamiliar.unwrap_or_default();
        Ok(counts.good.plus(counts.defective))
    }

    /// Shows the model other parts, as far as that is not done.
    pub(super) fn show_foreign(&self, child: &Child<'_>, model: &Path, log: &File) -> Result<()> {
        for data in self
            .foreign
            .iter()
            .filter(|data| self.foreign_share(data).is_err())
        {
            let mut eval = self.command(child, "eval", data, log)?;
            eval.arg("--model")
                .arg(model)
                .args(["--format", "json", "--limit"])
                .arg(self.foreign_images.to_string());
            let printed = self.printed(child, &mut eval, "the evaluation of another part")?;
            let name = foreign_name(data, self.foreign_images);
            write_file(&self.folder.join(name), &printed)?;
        }
        Ok(())
    }

    /// What the model says of images with nuisances; none where it was not shown all of them, or is not to be.
    pub(in crate::cli) fn nuisances(&self) -> Option<Vec<NuisanceCount>> {
        let counts: Option<Vec<NuisanceCount>> = self.read(NUISANCES).ok();
        counts.filter(|counts| self.nuisances && are_complete(counts))
    }

    /// Shows the model images with nuisances, if that is wanted and not done.
    pub(super) fn show_nuisances(&self, child: &Child<'_>, model: &Path, log: &File) -> Result<()> {
        if !self.nuisances || self.nuisances().is_some() {
            return Ok(());
        }
        let mut eval = self.own_test(child, model, log)?;
        let printed = self.printed(child, eval.arg("--nuisances"), "the evaluation with nuisances")?;
        write_file(&self.folder.join(NUISANCES), &printed)
    }
}

/// The file with the report of a model on another part.
fn foreign_name(data: &Path, images: usize) -> String {
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    format!("foreign-{name}-{images}.json")
}
