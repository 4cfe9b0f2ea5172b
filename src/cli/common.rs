//! What several commands need: devices, models, files that are never half written.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use destseg_engine::backend::device::Device;
use tempfile::NamedTempFile;

use super::opened::not_ready;
use super::settings::is_settings;
use destseg_engine::Error;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::{self, BackendChoice, Selected};
use destseg_engine::config::{InputLayout, TeacherKind};
use destseg_engine::data::dataset::{LoadedImages, files_below, load_good};
use destseg_engine::data::{image, labelled, paths};
use destseg_engine::inspect::Detector;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_engine::methods::open::{self, Opened};
use destseg_engine::methods::{self, draem, dsr};
use destseg_engine::synthesis::TextureSource;

/// The teacher of the compact preset, so that its models need no second file.
const EFFICIENTNET_LITE0: &[u8] = include_bytes!("../../models/efficientnet-lite0.safetensors");

/// `--device`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceArg {
    /// The GPU if there is a real one, else the CPU.
    #[default]
    Auto,
    /// Kernels of our own on all cores.
    Cpu,
    /// The GPU through Vulkan, Metal or DirectX 12 (CUDA in a build with that feature).
    Gpu,
}

/// Opens the device and says which one it is. The number of threads is no part of that: models name their device, and are the same
/// with any number of threads.
pub(super) async fn open_device(arg: DeviceArg) -> Result<(Device, String)> {
    let choice = match arg {
        DeviceArg::Auto => BackendChoice::Auto,
        DeviceArg::Cpu => BackendChoice::Cpu,
        DeviceArg::Gpu => BackendChoice::Webgpu,
    };
    let Selected { device, info } = device::select(choice).await?;
    if info.backend == BackendChoice::Cpu {
        return Ok((device, "CPU".into()));
    }
    if info.software {
        eprintln!(
            "note: {} is a software adapter, slower than --device cpu",
            info.adapter
        );
    }
    Ok((device, format!("GPU ({})", info.adapter)))
}

/// All of these good images at an input size.
///
/// # Errors
/// One that cannot be read: a training leaves nothing out.
pub(super) fn load_all_good(paths: &[PathBuf], size: usize, fit: InputLayout) -> Result<LoadedImages> {
    let mut loaded = load_good(paths, size, fit)?;
    match loaded.skipped.pop() {
        Some(error) => Err(error.into()),
        None => Ok(loaded),
    }
}

/// Says which images below a folder cannot be opened; other messages tell what is wrong with the folder itself.
pub(super) fn note_unreadable(folder: &Path) {
    note_unreadable_of(folder, &files_below(folder).unwrap_or_default());
}

/// The same, where the files below it are listed already.
pub(super) fn note_unreadable_of(folder: &Path, files: &[PathBuf]) {
    let inner = |file: &PathBuf| {
        let inner = file.strip_prefix(folder).unwrap_or(file);
        inner.to_string_lossy().into_owned()
    };
    let is_left_out =
        |path: &String| paths::is_image(path) && !paths::is_readable_image(path) && !paths::is_litter(path);
    let left: Vec<String> = files.iter().map(inner).filter(is_left_out).collect();
    if let Some(note) = labelled::unreadable(&left) {
        eprintln!("note: {}: {note}", folder.display());
    }
}

/// `--textures`: images of a folder, or the built-in ones.
pub(super) fn load_textures(folder: Option<&Path>, size: usize) -> Result<TextureSource> {
    folder.into_iter().for_each(note_unreadable);
    Ok(match folder {
        Some(path) => TextureSource::folder(path, size)?,
        None => TextureSource::Procedural,
    })
}

/// Folded weights of a teacher: from a file, or the built-in one.
pub(super) fn load_teacher(kind: TeacherKind, path: Option<&Path>) -> Result<Weights> {
    let Some(path) = path else {
        if kind == TeacherKind::EfficientnetLite0 {
            return Ok(parse_teacher(EFFICIENTNET_LITE0)?.1);
        }
        bail!(
            "the {} teacher is not built in: give torchvision's state dict or an imported file with --teacher",
            kind.id()
        );
    };
    let (found, weights) = match open_file(path)? {
        Opened::Teacher(found, weights) => (found, weights),
        Opened::Model(file) => {
            let weights = file.teacher().with_context(|| {
                format!(
                    "{} is a model without teacher: give the file of the {} teacher",
                    path.display(),
                    kind.id()
                )
            })?;
            (file.header.teacher(), weights)
        }
        Opened::HalfOfDraem(_) => bail!(
            "{} holds a network of DRAEM: give the file of the {} teacher",
            path.display(),
            kind.id()
        ),
        Opened::PartOfDsr(_) => bail!(
            "{} holds a network of DSR: give the file of the {} teacher",
            path.display(),
            kind.id()
        ),
    };
    if found != kind {
        bail!(
            "{} holds the {} teacher, but {} is needed",
            path.display(),
            found.id(),
            kind.id()
        );
    }
    Ok(weights)
}

/// The files that a list names, one a line, as paths from `folder`; empty lines are left out.
pub(super) fn read_list(list: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let text = read_text(list, "a list of images, one path a line")?;
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
    let files: Vec<PathBuf> = names.map(|name| folder.join(name)).collect();
    if files.is_empty() {
        bail!("{} names no images: write one path a line", list.display());
    }
    Ok(files)
}

/// Reads a file of text; `wanted` says what it is to be.
pub(super) fn read_text(path: &Path, wanted: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    String::from_utf8(bytes).map_err(|err| {
        let found = match image::is_image(err.as_bytes()) {
            true => "an image",
            false => "not a text file",
        };
        anyhow!("{} is {found}: give {wanted}", path.display())
    })
}

/// Opens any model or teacher file.
pub(super) fn open_file(path: &Path) -> Result<Opened> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    open::open(&bytes).map_err(|err| match is_settings(path) {
        true => settings_for_model(path),
        false => err.in_file(path).into(),
    })
}

/// Says that a file with settings was given for a model, and where the model is.
fn settings_for_model(path: &Path) -> anyhow::Error {
    let model = path.with_extension("safetensors");
    let shown = path.display();
    match model.is_file() {
        true => anyhow!(
            "{shown} is a settings file: give the model that lies beside it, {}",
            model.display()
        ),
        false => anyhow!("{shown} is a settings file: give the model that training wrote beside it"),
    }
}

/// Opens a model file of any method.
pub(super) fn load_model(path: &Path) -> Result<ModelFile> {
    match open_file(path)? {
        Opened::Model(file) => Ok(*file),
        Opened::Teacher(kind, _) => bail!(
            "{} holds only the {} teacher: give a model here and this file with --teacher",
            path.display(),
            kind.id()
        ),
        Opened::HalfOfDraem(half) => Err(anyhow!(
            "{}: {}: join both with `destseg import`",
            path.display(),
            draem::other_half(&half)
        )),
        Opened::PartOfDsr(part) => Err(anyhow!("{}: {}", path.display(), dsr::alone(&part))),
    }
}

/// Opens a model of any method for inference, and says if it was not ready when it was trained.
pub(super) fn load_detector(path: &Path, teacher: Option<&Path>, device: &Device) -> Result<Detector> {
    let needed = |kind, has_teacher| match (has_teacher, teacher) {
        (true, None) => Ok(None),
        (_, teacher) => load_teacher(kind, teacher).map(Some),
    };
    let file = load_model(path)?;
    let teacher = needed(file.header.teacher(), file.has_teacher())?;
    let detector = methods::detector(&file, teacher.as_ref(), device).map_err(|err| err.in_file(path))?;
    if let Some(note) = detector.calibration().and_then(not_ready) {
        eprintln!("note: {}: {note}", path.display());
    }
    Ok(detector)
}

/// Refuses to replace a file unasked, and a path that [`check_output`] refuses.
pub(super) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    check_output(path)?;
    if path.exists() && !force {
        bail!(
            "{} exists already: choose another name or add --force",
            path.display()
        );
    }
    Ok(())
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Finds out whether a file can be written, before long work would be for nothing.
pub(super) fn check_output(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("{} is a folder: add the name of a file", path.display());
    }
    if path.exists() && !path.is_file() {
        bail!("{} is not an ordinary file: choose another name", path.display());
    }
    let folder = folder_of(path);
    if !folder.exists() {
        bail!("the folder {} does not exist: create it first", folder.display());
    }
    NamedTempFile::new_in(folder).map_err(Error::io("write", path))?;
    Ok(())
}

/// Finds out whether a folder can be made, or is there, and files can be written into it.
pub(super) fn check_output_folder(path: &Path) -> Result<()> {
    let is_there = |folder: &&Path| folder.exists() || folder.as_os_str().is_empty();
    let there = path.ancestors().find(is_there).unwrap_or(path);
    if there.is_file() {
        bail!("{} is a file: choose another folder", there.display());
    }
    NamedTempFile::new_in(folder_of(&there.join("file"))).map_err(Error::io("write into", path))?;
    Ok(())
}

/// Writes a file completely or not at all, also if the power fails meanwhile: its content is on the disk before it takes the
/// place of an older file.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = begin_file(path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    end_file(file, path)
}

/// Begins to write a file: with another name, until [`end_file`] gives it its own.
pub(super) fn begin_file(path: &Path) -> Result<NamedTempFile> {
    let file = NamedTempFile::new_in(folder_of(path)).map_err(Error::io("write", path))?;
    // temporary files are private; a result is as readable as any other file
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let readable = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(readable)
            .map_err(Error::io("write", path))?;
    }
    Ok(file)
}

/// Gives a file that is complete its name.
pub(super) fn end_file(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io("write", path))?;
    file.persist(path)
        .map_err(|err| Error::io("write", path)(err.error))?;
    // the name is on the disk only after the folder is; some systems refuse that, and the content is safe
    #[cfg(unix)]
    let _ = std::fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Makes a folder and those above it.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    Ok(std::fs::create_dir_all(path).map_err(Error::io("create", path))?)
}

/// The last part of a path, for messages and records.
pub(super) fn folder_name(path: &Path) -> String {
    let full: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(
        || full.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
