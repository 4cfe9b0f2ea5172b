//! `destseg export`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

use super::common::{load_model, load_teacher, refuse_existing, write_file};
use destseg_engine::config::Method;
use destseg_engine::methods::export::{draem_to_pytorch, to_pytorch};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file holds f32 weights and the names of the reference implementation's state dict. \
    Its code loads models of the paper preset:\n  \
    net.load_state_dict(safetensors.torch.load_file(OUT))\n\
    Other models have the same naming scheme, but no counterpart there. A model of DRAEM becomes two files: OUT and, \
    with _seg behind its name, the discriminative network."
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
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// What other programs read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Safetensors, as PyTorch loads it.
    Safetensors,
}

pub(super) fn run(args: &Args) -> Result<()> {
    refuse_existing(&args.out, args.force)?;
    let file = load_model(&args.model)?;
    if file.header.method() == Method::Draem {
        let second = second_file(&args.out);
        refuse_existing(&second, args.force)?;
        for (path, bytes) in [&args.out, &second].into_iter().zip(draem_to_pytorch(&file)?) {
            write_file(path, &bytes)?;
        }
        eprintln!(
            "wrote {} and {} for PyTorch",
            args.out.display(),
            second.display()
        );
        return Ok(());
    }
    let kind = file.header.teacher();
    let teacher = match &args.teacher {
        Some(path) => Some(load_teacher(kind, Some(path))?),
        None => None,
    };
    let bytes = match args.format {
        Format::Safetensors => to_pytorch(&file, teacher.as_ref())?,
    };
    write_file(&args.out, &bytes)?;
    eprintln!("wrote {} for PyTorch", args.out.display());
    Ok(())
}

/// The file of DRAEM's second network, named as its authors do.
fn second_file(first: &Path) -> PathBuf {
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!("{stem}_seg");
    if let Some(ending) = first.extension() {
        name = format!("{name}.{}", ending.to_string_lossy());
    }
    first.with_file_name(name)
}
