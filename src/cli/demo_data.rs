//! `destseg demo-data`.

use std::path::PathBuf;

use anyhow::Result;

use super::common::{make_folder, progress_bar};
use destseg_demo_data::{Category, DemoConfig, write};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder to write into; the category becomes a folder in it.
    out: PathBuf,
    /// What is inspected.
    #[arg(long, value_enum)]
    category: Category,
    /// Seed of every random number.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Side of the images in pixels, 256 to 512.
    #[arg(long, default_value_t = 384)]
    size: u32,
    /// Good images to train on.
    #[arg(long, default_value_t = 100)]
    train: usize,
    /// Good images to test on.
    #[arg(long, default_value_t = 20)]
    good: usize,
    /// Defective images of each kind to test on.
    #[arg(long, default_value_t = 10)]
    defective: usize,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let config = DemoConfig {
        category: args.category,
        seed: args.seed,
        size: args.size,
        train_good: args.train,
        test_good: args.good,
        test_per_defect: args.defective,
    };
    make_folder(&args.out)?;
    let bar = progress_bar(0, "drawing");
    write(&config, &args.out, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    eprintln!("wrote {}", args.out.join(args.category.id()).display());
    Ok(())
}
