//! The built page on disk: what is served to the browser, and given to the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use destseg::page::protocol::{AblatedModel, Example, Manifest, ManifestFile, ManifestModel};

/// A built page and the list of what it ships.
#[derive(Debug)]
pub(crate) struct Site {
    folder: PathBuf,
    manifest: Manifest,
}

impl Site {
    /// The page in `DESTSEG_DIST`, or in the project's `dist`.
    pub(crate) fn open() -> Result<Self> {
        let default = || xtask::process::root().join("dist");
        let folder = std::env::var_os("DESTSEG_DIST").map_or_else(default, PathBuf::from);
        ensure!(
            folder.join("index.html").is_file(),
            "there is no built page in {}: run `cargo xtask test`, which builds it first",
            folder.display()
        );
        let manifest = folder.join("models/manifest.json");
        let text = fs::read(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).context("the page's manifest cannot be read")?;
        ensure!(!manifest.models.is_empty(), "the page ships no model");
        Ok(Self { folder, manifest })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn models(&self) -> &[ManifestModel] {
        &self.manifest.models
    }

    /// Networks that lack a component.
    pub(crate) fn ablations(&self) -> &[AblatedModel] {
        &self.manifest.ablations
    }

    /// The model that the page opens with.
    pub(crate) fn first_model(&self) -> &ManifestModel {
        &self.manifest.models[0]
    }

    /// Where the first model's teacher lies.
    pub(crate) fn first_teacher(&self) -> Result<PathBuf> {
        let teachers = &self.manifest.teachers;
        let of_model = |teacher: &&ManifestFile| teacher.id == self.first_model().teacher;
        let teacher = teachers.iter().find(of_model);
        Ok(self.path(&teacher.context("the manifest lacks a teacher")?.file))
    }

    /// Where a shipped file lies.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// A defective example of the first model and its mask of true defects, from `tests/fixtures`.
    pub(crate) fn defective_example(&self) -> Result<(&Example, PathBuf)> {
        let fixtures = xtask::process::root().join("tests/fixtures");
        let mask = |example: &Example| {
            let stem = Path::new(&example.file).file_stem()?.to_str()?;
            Some(fixtures.join(format!("{stem}_mask.png"))).filter(|mask| mask.is_file())
        };
        self.first_model()
            .examples
            .iter()
            .find_map(|example| Some((example, mask(example)?)))
            .with_context(|| {
                format!(
                    "no example of the first model has a mask in {}",
                    fixtures.display()
                )
            })
    }
}
