//! The command line: `destseg train | calibrate | correct | predict | eval | sweep | bench | plan | work | merge | import | export |
//! demo-data`. It only shows; the engine does the work.

#![warn(clippy::print_stdout, clippy::print_stderr)]

// first: its macros are for the other modules
#[macro_use]
mod output;

mod baseline;
mod bench;
mod calibrate;
mod cluster;
mod common;
mod correct;
mod demo_data;
mod eval;
mod export;
mod import;
mod inputs;
mod interrupt;
mod names;
mod number;
mod opened;
mod predict;
mod progress;
mod retrain;
mod runs;
mod samples;
mod settings;
mod sweep;
mod threshold;
mod train;

use std::process::ExitCode;

use clap::{Arg, Command as ClapCommand, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use interrupt::Interrupted;
use output::Closed;

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
    /// Correct verdicts: the model remembers how such places look.
    Correct(correct::Args),
    /// Show where images are defective: overlay, raw map and a line of JSON each.
    Predict(predict::Args),
    /// Measure a model, or one for each category, on labelled test sets (MVTec layout).
    Eval(eval::Args),
    /// Train and evaluate several categories with several seeds, and summarise.
    Sweep(sweep::Args),
    /// Train and evaluate several data sets, methods, numbers of images and seeds, in one table.
    Bench(bench::Args),
    /// Share a bench, a sweep or an evaluation out to several machines.
    Plan(cluster::plan::Args),
    /// Do the units of a plan that are not done.
    Work(cluster::work::Args),
    /// Unite the results of a plan.
    Merge(cluster::merge::Args),
    /// Measure the images of one unit: for `work`.
    #[command(hide = true)]
    WorkImages(cluster::ImagesArgs),
    /// Convert a checkpoint, a teacher or an older model to a file of this version.
    Import(import::Args),
    /// Write a model for other programs.
    Export(export::Args),
    /// Write pictures of the synthetic defects that training would see.
    Samples(samples::Args),
    /// Write a procedural data set to try everything on.
    DemoData(demo_data::Args),
}

/// The command line with numbers below 0 taken for values, so that the flag's own message says what it takes.
fn command() -> ClapCommand {
    fn with_negative_numbers(arg: Arg) -> Arg {
        let is_value = arg.get_action().takes_values() && !arg.is_positional();
        arg.allow_negative_numbers(is_value)
    }
    Cli::command().mut_subcommands(|command| command.mut_args(with_negative_numbers))
}

/// Runs the program; errors become one sentence on standard error and exit code 1. Where nobody reads standard output on,
/// the program ends as if it were done.
pub fn run() -> ExitCode {
    let cli = match Cli::from_arg_matches(&command().get_matches()) {
        Ok(cli) => cli,
        Err(err) => err.exit(),
    };
    let result = pollster::block_on(async {
        match cli.command {
            Command::Train(args) => train::run(args).await,
            Command::Calibrate(args) => calibrate::run(args).await,
            Command::Correct(args) => correct::run(args).await,
            Command::Predict(args) => predict::run(args).await,
            Command::Eval(args) => eval::run(args).await,
            Command::Sweep(args) => sweep::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Plan(args) => cluster::plan::run(&args),
            Command::Work(args) => cluster::work::run(&args),
            Command::Merge(args) => cluster::merge::run(&args),
            Command::WorkImages(args) => cluster::work_images(args).await,
            Command::Import(args) => import::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Samples(args) => samples::run(&args),
            Command::DemoData(args) => demo_data::run(&args),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) if err.is::<Closed>() => ExitCode::SUCCESS,
        Err(err) if err.is::<Interrupted>() => {
            eprintln!("{err}");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_commands_fit_together() {
        command().debug_assert();
    }
}
