//! `destseg export`.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use super::common::{load_model, load_teacher, refuse_existing, write_file};
use destseg_engine::methods::export::to_pytorch;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The file holds f32 weights and the names of the reference implementation's state dict. \
    Its code loads models of the paper preset:\n  \
    net.load_state_dict(safetensors.torch.load_file(OUT))\n\
    Other models have the same naming scheme, but no counterpart there."
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
