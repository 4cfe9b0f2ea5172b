//! `cargo xtask manifest`: lists what `models/` holds for the page.
//!
//! Only the header of a weights file is read here; `tests/shipped.rs` opens and runs the models.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const FILE: &str = "manifest.json";
const ABLATIONS: &str = "ablations";
const EXAMPLES: &str = "examples";
const PHOTOS: &str = "photos";
/// Label of the examples without a defect.
const GOOD: &str = "good";
/// What an ablated network can lack.
const COMPONENTS: [&str; 3] = ["denoising", "encoder-decoder", "segmentation"];

/// Writes the manifest of a folder anew. The page opens with the model `first`; where none is named, it opens
/// with the same model as before.
///
/// # Errors
/// If a file cannot be read, is neither a model nor a teacher, or has a name that says too little.
pub fn write(folder: &Path, first: Option<&str>) -> Result<()> {
    let path = folder.join(FILE);
    fs::write(&path, manifest(folder, first)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The text of a folder's manifest.
fn manifest(folder: &Path, first: Option<&str>) -> Result<String> {
    let weights: Vec<Weights> = files(folder, "safetensors")?
        .iter()
        .map(|path| Weights::read(path))
        .collect::<Result<_>>()?;
    let (teachers, mut models): (Vec<_>, Vec<_>) = weights.into_iter().partition(|file| file.is_teacher);
    if let Some(first) = first.map(str::to_owned).or_else(|| opens_with(folder)) {
        let Some(place) = models.iter().position(|model| model.id == first) else {
            bail!(
                "there is no model `{first}` in {}: name one of its files with --first",
                folder.display()
            );
        };
        models[..=place].rotate_right(1);
    }
    let site = page_path(folder)?;
    let of_teachers = teachers
        .iter()
        .map(|teacher| Json::Fields(teacher.fields(&teacher.teacher, &site)))
        .collect();
    let mut of_models = Vec::new();
    for model in &models {
        let mut fields = model.fields(&model.id, &site);
        fields.extend([
            ("name", Json::Text(title(&model.id))),
            ("teacher", Json::Text(model.teacher.clone())),
            ("examples", Json::List(examples(folder, &site, &model.id)?)),
        ]);
        of_models.push(Json::Fields(fields));
    }
    let mut manifest = vec![
        ("teachers", Json::List(of_teachers)),
        ("models", Json::List(of_models)),
    ];
    let ablations = ablations(folder, &site, &models)?;
    if !ablations.is_empty() {
        manifest.push((ABLATIONS, Json::List(ablations)));
    }
    if folder.join(PHOTOS).is_dir() {
        manifest.push((PHOTOS, photos(folder, &site)?));
    }
    Ok(format!("{}\n", Json::Fields(manifest)))
}

/// The model that the present manifest opens with, if there is one and it is still there.
fn opens_with(folder: &Path) -> Option<String> {
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()?;
    let first = manifest["models"][0]["id"].as_str()?;
    let is_there = folder.join(first).with_extension("safetensors").is_file();
    is_there.then(|| first.to_owned())
}

/// Small networks that lack a component, and the whole ones they are compared with.
fn ablations(folder: &Path, site: &str, models: &[Weights]) -> Result<Vec<Json>> {
    let inner = folder.join(ABLATIONS);
    if !inner.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in files(&inner, "safetensors")? {
        let weights = Weights::read(&path)?;
        let named = models.iter().find_map(|model| {
            let lacks = match weights.id.strip_prefix(&model.id)? {
                "-whole" => None,
                rest => Some(
                    rest.strip_prefix("-without-")
                        .filter(|id| COMPONENTS.contains(id))?,
                ),
            };
            Some((model.id.clone(), lacks))
        });
        let Some((of, lacks)) = named else {
            bail!(
                "{} must be named MODEL-whole or MODEL-without-COMPONENT, for one of the models and {}",
                path.display(),
                COMPONENTS.join(", ")
            );
        };
        let mut fields = weights.fields(&weights.id, &format!("{site}/{ABLATIONS}"));
        fields.push(("of", Json::Text(of)));
        fields.extend(lacks.map(|lacks| ("lacks", Json::Text(lacks.to_owned()))));
        found.push(Json::Fields(fields));
    }
    Ok(found)
}

/// Examples of a model, defective ones first: the page opens with the first.
fn examples(folder: &Path, site: &str, model: &str) -> Result<Vec<Json>> {
    let inner = folder.join(EXAMPLES).join(model);
    if !inner.is_dir() {
        return Ok(Vec::new());
    }
    let (mut good, mut defective) = (Vec::new(), Vec::new());
    for path in files(&inner, "png")? {
        let name = stem(&path);
        // LABEL_NUMBER
        let label = name.rsplit_once('_').map_or(name.as_str(), |(label, _)| label);
        let label = label.replace('_', " ");
        let (list, alt) = if label == GOOD {
            (&mut good, format!("Picture of a good part, {model}"))
        } else {
            let alt = format!("Picture of a defective part, {model}: {label}");
            (&mut defective, alt)
        };
        list.push(Json::Fields(vec![
            (
                "file",
                Json::Text(format!("{site}/{EXAMPLES}/{model}/{name}.png")),
            ),
            ("label", Json::Text(label)),
            ("alt", Json::Text(alt)),
        ]));
    }
    defective.append(&mut good);
    Ok(defective)
}

/// Photos to try a training with: those to train on, and others to look at then.
fn photos(folder: &Path, site: &str) -> Result<Json> {
    let list = |part: &'static str| -> Result<_> {
        let names = files(&folder.join(PHOTOS).join(part), "jpg")?;
        let place = |path: &PathBuf| Json::Text(format!("{site}/{PHOTOS}/{part}/{}.jpg", stem(path)));
        Ok((part, Json::List(names.iter().map(place).collect())))
    };
    Ok(Json::Fields(vec![list("train")?, list("test")?]))
}

/// A file of weights.
struct Weights {
    id: String,
    /// The teacher that it needs, or that it is.
    teacher: String,
    is_teacher: bool,
    bytes: usize,
    sha256: String,
}

impl Weights {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (teacher, is_teacher) = teacher(&bytes)
            .with_context(|| format!("{} is neither a model nor a teacher of destseg", path.display()))?;
        Ok(Self {
            id: stem(path),
            teacher,
            is_teacher,
            bytes: bytes.len(),
            sha256: Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }

    /// The entry under this name, of a file in `folder` as the page sees it.
    fn fields(&self, id: &str, folder: &str) -> Vec<(&'static str, Json)> {
        vec![
            ("id", Json::Text(id.to_owned())),
            ("file", Json::Text(format!("{folder}/{}.safetensors", self.id))),
            ("bytes", Json::Number(self.bytes)),
            ("sha256", Json::Text(self.sha256.clone())),
        ]
    }
}

/// The teacher that a safetensors file names in its header, and whether it is that teacher.
fn teacher(file: &[u8]) -> Option<(String, bool)> {
    let (length, rest) = file.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Value = serde_json::from_slice(rest.get(..length)?).ok()?;
    // JSON as text in JSON
    let own = |key: &str| serde_json::from_str::<Value>(header["__metadata__"][key].as_str()?).ok();
    let (name, is_teacher) = match own("destseg_teacher") {
        Some(teacher) => (teacher["kind"].clone(), true),
        None => (own("destseg")?["config"]["teacher"].clone(), false),
    };
    Some((name.as_str()?.to_owned(), is_teacher))
}

/// The files of a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|own| own == ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The folder as the page sees it: it stands beside the page.
fn page_path(folder: &Path) -> Result<String> {
    let full = folder
        .canonicalize()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    let name = full.file_name().context("the folder has no name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// `printed_circuit` as "Printed circuit".
fn title(id: &str) -> String {
    let text = id.replace(['_', '-'], " ");
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// JSON whose fields keep their order, with two spaces for each level.
enum Json {
    Text(String),
    Number(usize),
    List(Vec<Self>),
    Fields(Vec<(&'static str, Self)>),
}

impl Json {
    fn write(&self, f: &mut Formatter<'_>, level: usize) -> fmt::Result {
        let line = |f: &mut Formatter<'_>, place: usize| {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}\n{:1$}", "", 2 * (level + 1))
        };
        let end = |f: &mut Formatter<'_>, close: char, is_empty: bool| match is_empty {
            true => write!(f, "{close}"),
            false => write!(f, "\n{:1$}{close}", "", 2 * level),
        };
        match self {
            Self::Text(text) => write!(f, "{}", Value::from(text.as_str())),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(items) => {
                write!(f, "[")?;
                for (place, item) in items.iter().enumerate() {
                    line(f, place)?;
                    item.write(f, level + 1)?;
                }
                end(f, ']', items.is_empty())
            }
            Self::Fields(fields) => {
                write!(f, "{{")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    line(f, place)?;
                    write!(f, "\"{name}\": ")?;
                    value.write(f, level + 1)?;
                }
                end(f, '}', fields.is_empty())
            }
        }
    }
}

impl Display for Json {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{TempDir, root};

    #[test]
    fn the_shipped_manifest_is_up_to_date() {
        let models = root().join("models");
        let shipped = fs::read_to_string(models.join(FILE)).expect("reads");
        assert_eq!(manifest(&models, None).expect("lists"), shipped);
    }

    #[test]
    fn another_model_can_be_the_first() {
        let models = root().join("models");
        let text = manifest(&models, Some("tablets")).expect("lists");
        let listed: Value = serde_json::from_str(&text).expect("is JSON");
        let ids: Vec<_> = (0..3).map(|i| listed["models"][i]["id"].clone()).collect();
        assert_eq!(ids, ["tablets", "circuit", "fabric"]);
        let error = manifest(&models, Some("absent")).expect_err("refused");
        assert!(
            format!("{error}").contains("there is no model `absent`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_model_is_named() {
        let folder = TempDir::new(&std::env::temp_dir(), "destseg-manifest").expect("creates");
        assert_eq!(
            manifest(folder.path(), None).expect("lists"),
            "{\n  \"teachers\": [],\n  \"models\": []\n}\n"
        );
        fs::write(folder.path().join("a.safetensors"), b"\x02\0\0\0\0\0\0\0{}").expect("writes");
        let error = manifest(folder.path(), None).expect_err("refused");
        assert!(format!("{error}").contains("a.safetensors is neither"), "{error}");
    }
}
