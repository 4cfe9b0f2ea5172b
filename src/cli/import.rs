//! `destseg import`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::common::write_file;
use crate::Error;
use crate::model::file::teacher_to_bytes;
use crate::model::import;
use crate::model::weights::Precision;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// PyTorch state dict of torchvision's resnet18 or of efficientnet-lite0 (.pth, .pt).
    file: PathBuf,
    /// Teacher file to write.
    #[arg(short, long)]
    out: PathBuf,
    /// How weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    precision: Precision,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.out.exists() && !args.force {
        bail!(
            "{} exists already: choose another name or add --force",
            args.out.display()
        );
    }
    // a missing file deserves its own sentence
    std::fs::metadata(&args.file).map_err(Error::io("read", &args.file))?;
    let (kind, weights) = import::read_state_dict(&args.file)
        .and_then(import::teacher)
        .map_err(|err| err.in_file(&args.file))?;
    write_file(&args.out, &teacher_to_bytes(kind, &weights, args.precision)?)?;
    eprintln!(
        "wrote the {} teacher, {} numbers, to {}",
        kind.id(),
        weights.count(),
        args.out.display()
    );
    Ok(())
}
