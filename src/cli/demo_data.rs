//! `destseg demo-data`.

use std::path::PathBuf;

use anyhow::Result;

use super::common::{check_output_folder, make_folder};
use super::number::{MOST, whole};
use super::progress::Counter;
use destseg_demo_data::{Category, DemoConfig, SIDES, write};
use destseg_engine::config::MOST_SEED;
use destseg_engine::error::count;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder to write into; the category becomes a folder in it.
    out: PathBuf,
    /// What is inspected.
    #[arg(long, value_enum)]
    category: Category,
    /// Seed of every random number.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_SEED))]
    seed: u64,
    /// Side of the images in pixels, 256 to 512.
    #[arg(long, default_value_t = 384, value_parser = whole(SIDES))]
    size: u32,
    /// Good images to train on.
    #[arg(long, default_value_t = 100, value_parser = whole(0..=MOST))]
    train: usize,
    /// Good images to test on.
    #[arg(long, default_value_t = 20, value_parser = whole(0..=MOST))]
    good: usize,
    /// Defective images of each kind to test on.
    #[arg(long, default_value_t = 10, value_parser = whole(0..=MOST))]
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
    check_output_folder(&args.out)?;
    make_folder(&args.out)?;
    eprintln!(
        "drawing {} and the test images of {}",
        count(args.train, "good image", "good images"),
        args.category.id()
    );
    let mut counter = Counter::new("drawing", "", 0);
    write(&config, &args.out, &mut |done, all| counter.show(done, all))?;
    counter.finish();
    eprintln!("wrote {}", args.out.join(args.category.id()).display());
    Ok(())
}
