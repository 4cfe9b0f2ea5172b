//! `destseg import`.

use std::path::PathBuf;

use anyhow::Result;

use super::common::{open_file, refuse_existing, write_file};
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{Body, teacher_to_bytes};
use destseg_engine::methods::open::Opened;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What FILE is decides its content, not its name: a checkpoint of the reference implementation \
    (.pckl), a state dict of torchvision's resnet18 or of efficientnet-lite0 as teacher (.pth, .pt, \
    .safetensors), a file of an older destseg, or the state of a training (.checkpoint). PyTorch's files are \
    read as data; nothing in them is run."
)]
pub(super) struct Args {
    /// File to convert.
    file: PathBuf,
    /// Model or teacher file to write.
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
    refuse_existing(&args.out, args.force)?;
    let (bytes, found, count) = match open_file(&args.file)? {
        Opened::Teacher(kind, weights) => (
            teacher_to_bytes(kind, &weights, args.precision)?,
            format!("the {} teacher", kind.id()),
            weights.count(),
        ),
        Opened::Model(file) => {
            let teacher = if file.has_teacher() { "with" } else { "without" };
            let what = match &file.header.body {
                Body::Networks { config, .. } => config.preset.id(),
                Body::Bank { .. } => "PatchCore",
            };
            let found = format!("a {what} model {teacher} its teacher");
            (file.to_bytes(args.precision)?, found, file.weights.count())
        }
    };
    write_file(&args.out, &bytes)?;
    eprintln!(
        "found {found} in {}; wrote its {count} numbers to {}",
        args.file.display(),
        args.out.display()
    );
    Ok(())
}
