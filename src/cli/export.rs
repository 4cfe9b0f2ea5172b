//! `destseg export`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::common::{load_model, load_teacher, refuse_existing, write_file};
use destseg_engine::config::Method;
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::export::{draem_to_pytorch, dsr_to_pytorch, to_pytorch};
use destseg_engine::methods::file::ModelFile;
use destseg_engine::onnx::{self, Input};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "safetensors: the file holds f32 weights and the names of the reference implementation's state dict. \
    Its code loads models of the paper preset:\n  \
    net.load_state_dict(safetensors.torch.load_file(OUT))\n\
    Other models have the same naming scheme, but no counterpart there. A model of DRAEM becomes two files: OUT and, \
    with _seg behind its name, the discriminative network. One of DSR becomes six, each with its network behind the \
    name.\n\n\
    onnx: one graph from the image to the verdict, for onnxruntime, OpenVINO and TensorRT. docs/onnx.md has examples."
)]
pub(super) struct Args {
    /// Model file.
    model: PathBuf,
    /// Format to write.
    #[arg(long, value_enum)]
    format: Format,
    /// File to write.
    #[arg(short, long)]
    out: PathBuf,
    /// Teacher file, where the model carries none.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// What an ONNX graph takes; `image` if not given.
    #[arg(long, value_enum)]
    input: Option<Input>,
    /// Store all weights of an ONNX graph in 32 bits. If not given, those that 16 bits hold exactly are stored so.
    #[arg(long)]
    f32: bool,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// What other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Safetensors, as PyTorch loads it.
    Safetensors,
    /// A graph for onnxruntime and other programs that run ONNX.
    Onnx,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.format != Format::Onnx && (args.input.is_some() || args.f32) {
        bail!("--input and --f32 are for graphs: add --format onnx, or leave them out");
    }
    refuse_existing(&args.out, args.force)?;
    let file = load_model(&args.model)?;
    let files = match args.format {
        Format::Safetensors => state_dicts(&file, &args.out)?,
        Format::Onnx => Vec::new(),
    };
    if !files.is_empty() {
        for (path, _) in &files {
            refuse_existing(path, args.force)?;
        }
        for (path, bytes) in &files {
            write_file(path, bytes)?;
        }
        let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        eprintln!("wrote {} for PyTorch", names.join(" and "));
        return Ok(());
    }
    let kind = file.header.teacher();
    // PyTorch's network has a teacher of its own; a graph needs one
    let needs_teacher = args.format == Format::Onnx && !file.has_teacher();
    let teacher = match &args.teacher {
        None if !needs_teacher => None,
        path => Some(load_teacher(kind, path.as_deref())?),
    };
    let (bytes, reader) = match args.format {
        Format::Safetensors => (to_pytorch(&file, teacher.as_ref())?, "PyTorch"),
        Format::Onnx => {
            if file.header.calibration.is_none() {
                eprintln!(
                    "note: {} has no threshold, so the graph gives a score but no verdict: measure one with \
                     `destseg calibrate`",
                    args.model.display()
                );
            }
            let precision = if args.f32 { Precision::F32 } else { Precision::F16 };
            let input = args.input.unwrap_or_default();
            let bytes = onnx::export(&file, teacher.as_ref(), input, precision)
                .map_err(|err| err.in_file(&args.model))?;
            (bytes, "onnxruntime, OpenVINO and TensorRT")
        }
    };
    write_file(&args.out, &bytes)?;
    eprintln!("wrote {} for {reader}", args.out.display());
    Ok(())
}

/// The files of a model that its authors keep as several, named as they do; none for other models.
fn state_dicts(file: &ModelFile, out: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    Ok(match file.header.method() {
        Method::Draem => {
            let [first, second] = draem_to_pytorch(file)?;
            vec![(out.to_owned(), first), (with_ending(out, "seg"), second)]
        }
        Method::Dsr => {
            let files = dsr_to_pytorch(file)?.into_iter();
            files
                .map(|(name, bytes)| (with_ending(out, name), bytes))
                .collect()
        }
        Method::Destseg | Method::Stpm | Method::Patchcore => Vec::new(),
    })
}

/// A file's name with something at its end.
fn with_ending(file: &Path, end: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!("{stem}_{end}");
    if let Some(ending) = file.extension() {
        name = format!("{name}.{}", ending.to_string_lossy());
    }
    file.with_file_name(name)
}
