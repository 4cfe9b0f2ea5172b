//! `destseg import`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::common::{open_file, refuse_existing, write_file};
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{Body, teacher_to_bytes};
use destseg_engine::methods::open::Opened;
use destseg_engine::methods::{draem, dsr};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What FILE is decides its content, not its name: a checkpoint of the reference implementation \
    (.pckl), a state dict of torchvision's resnet18 or of efficientnet-lite0 as teacher (.pth, .pt, \
    .safetensors), a file of an older destseg, or the state of a training (.checkpoint). A model of DRAEM is two \
    checkpoints, one of DSR six: give all of them. PyTorch's files are read as data; nothing in them is run."
)]
pub(super) struct Args {
    /// File to convert; of DRAEM both files, of DSR all six.
    #[arg(required = true, num_args = 1..=6, value_name = "FILE")]
    files: Vec<PathBuf>,
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
    let (bytes, found, count) = match open(args)? {
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
                Body::Draem { .. } => "DRAEM",
                Body::Dsr { .. } => "DSR",
            };
            let found = format!("a {what} model {teacher} its teacher");
            (file.to_bytes(args.precision)?, found, file.weights.count())
        }
        Opened::HalfOfDraem(half) => return Err(draem::other_half(&half)).context(shown(args)),
        Opened::PartOfDsr(part) => return Err(dsr::alone(&part)).context(shown(args)),
    };
    write_file(&args.out, &bytes)?;
    eprintln!(
        "found {found} in {}; wrote its {count} numbers to {}",
        shown(args),
        args.out.display()
    );
    Ok(())
}

/// The names of the files.
fn shown(args: &Args) -> String {
    let names: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
    names.join(" and ")
}

/// What the file holds, or several files together.
fn open(args: &Args) -> Result<Opened> {
    let opened = args.files.iter().map(|file| open_file(file));
    let mut opened: Vec<Opened> = opened.collect::<Result<_>>()?;
    if opened.len() == 1 {
        return opened.pop().context("there is no file to convert");
    }
    let (mut halves, mut parts) = (Vec::new(), Vec::new());
    for (opened, file) in opened.into_iter().zip(&args.files) {
        match opened {
            Opened::HalfOfDraem(half) => halves.push(half),
            Opened::PartOfDsr(part) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                parts.push((name.into_owned(), part));
            }
            Opened::Model(_) | Opened::Teacher(..) => {}
        }
    }
    let model = if parts.len() == args.files.len() {
        dsr::join(parts)
    } else if let (Ok([first, second]), 2) = (<[_; 2]>::try_from(halves), args.files.len()) {
        draem::join(first, second)
    } else {
        bail!(
            "{} are neither the two networks of DRAEM nor the six of DSR: convert other files one by one",
            shown(args)
        );
    };
    Ok(Opened::Model(model.with_context(|| shown(args))?.into()))
}
