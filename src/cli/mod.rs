//! The command line: `destseg train | calibrate | correct | predict | eval | sweep | bench | import | export | demo-data`. It only
//! shows; the engine does the work.

mod baseline;
mod bench;
mod calibrate;
mod common;
mod correct;
mod demo_data;
mod eval;
mod export;
mod import;
mod predict;
mod retrain;
mod runs;
mod samples;
mod settings;
mod sweep;
mod threshold;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line; clap takes its description from the manifest.
#[derive(Debug, Parser)]
#[command(
    name = "destseg",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "A first try, without any data of your own:\n  \
    destseg demo-data data --category fabric\n  \
    destseg train --data data/fabric --out fabric.safetensors\n  \
    destseg predict data/fabric/test/*/000.png --model fabric.safetensors -o result")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model on a folder of good images (MVTec layout: DATA/train/good/*.png).
    Train(train::Args),
    /// Recalibrate a model's thresholds on good images, without training.
    Calibrate(calibrate::Args),
    /// Correct verdicts: the threshold follows, and with --data the segmentation network learns from them.
    Correct(correct::Args),
    /// Show where images are defective: overlay, raw map and a line of JSON each.
    Predict(predict::Args),
    /// Measure a model, or one for each category, on labelled test sets (MVTec layout).
    Eval(eval::Args),
    /// Train and evaluate several categories with several seeds, and summarise.
    Sweep(sweep::Args),
    /// Train and evaluate several data sets, methods, numbers of images and seeds, in one table.
    Bench(bench::Args),
    /// Convert a checkpoint, a teacher or an older model to a file of this version.
    Import(import::Args),
    /// Write a model for other programs.
    Export(export::Args),
    /// Write pictures of the synthetic anomalies that training would see.
    Samples(samples::Args),
    /// Write a procedural data set to try everything on.
    DemoData(demo_data::Args),
}

/// Runs the program; errors become one sentence on standard error and exit code 1.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = pollster::block_on(async {
        match cli.command {
            Command::Train(args) => train::run(args).await,
            Command::Calibrate(args) => calibrate::run(args).await,
            Command::Correct(args) => correct::run(args).await,
            Command::Predict(args) => predict::run(args).await,
            Command::Eval(args) => eval::run(args).await,
            Command::Sweep(args) => sweep::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Import(args) => import::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Samples(args) => samples::run(&args),
            Command::DemoData(args) => demo_data::run(&args),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}
