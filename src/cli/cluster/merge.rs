//! `destseg merge`: unites the results of all units, as one machine would have written them.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::files::{blob, hash};
use super::images::unpack;
use super::store::Store;
use super::unit::Unit;
use super::work::SEEN;
use super::{Failure, Named, Outcome, Plan, Storage, TableKind, parse, read};
use crate::cli::common::{begin_file, check_output_folder, end_file, make_folder, write_file};
use crate::cli::output::show;
use crate::cli::runs::{Recipe, Run, keep_recipe};
use crate::cli::{bench, sweep};
use destseg_engine::Error;
use destseg_engine::error::count;
use destseg_engine::evaluation::{Report, Session};
use destseg_engine::report::{self, Part};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    storage: Storage,
    /// Folder for tables, reports and models, as `bench` and `sweep` write them.
    #[arg(short, long)]
    out: PathBuf,
}

pub(in crate::cli) fn run(args: &Args) -> Result<()> {
    let store = args.storage.open()?;
    let plan = Plan::read(&store)?;
    check_output_folder(&args.out)?;
    make_folder(&args.out)?;
    let mut missing = Vec::new();
    let mut done = Vec::new();
    for named in &plan.units {
        match store.get(&named.result())? {
            Some(bytes) => done.push((named, parse::<Outcome>(&store, &named.result(), &bytes)?)),
            None => missing.push(format!("{}: {}", named.name, why_missing(&store, named)?)),
        }
    }
    if !done.is_empty() {
        match &plan.table {
            TableKind::Bench(recipe) => {
                bench::summarise(&fetch(&store, &done, recipe, &args.out)?, &args.out)?;
            }
            TableKind::Sweep(recipe) => {
                sweep::summarise(&fetch(&store, &done, recipe, &args.out)?, &args.out)?;
            }
            TableKind::Eval { labelled: true, .. } => evaluation(&store, &plan.table, &done, &args.out)?,
            TableKind::Eval { .. } => scores(&store, &plan.table, &done, &args.out)?,
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    /// Missing units that are named.
    const NAMED: usize = 8;
    let more = missing.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    bail!(
        "{} of {} have no result: {}{more}; mend the cause, do them with `destseg work`, and merge again",
        missing.len(),
        count(plan.units.len(), "unit", "units"),
        missing[..missing.len().min(NAMED)].join("; ")
    )
}

/// Why a unit has no result, as far as that is known.
fn why_missing(store: &Store, named: &Named) -> Result<String> {
    let Some(bytes) = store.get(&named.failure())? else {
        return Ok("not done".into());
    };
    let failure: Failure = parse(store, &named.failure(), &bytes)?;
    Ok(format!("failed, {}", failure.reason))
}

/// Writes the files of runs where `bench` and `sweep` have them; those that are there already are kept.
fn fetch(store: &Store, done: &[(&Named, Outcome)], recipe: &Recipe, out: &Path) -> Result<Vec<Run>> {
    keep_recipe(out, recipe)?;
    let mut runs = Vec::new();
    for (named, outcome) in done {
        let Unit::Train(run) = read(store, &named.unit())? else {
            bail!("{} is no training: plan again", named.name);
        };
        let run = Run {
            folder: out.join(&run.folder),
            ..*run
        };
        make_folder(&run.folder)?;
        for (name, wanted) in &outcome.files {
            let path = run.folder.join(name);
            let is_there = std::fs::read(&path).is_ok_and(|content| hash(&content) == *wanted);
            if !is_there {
                write_file(&path, &blob(store, wanted)?)?;
            }
        }
        runs.push(run);
    }
    Ok(runs)
}

/// What was seen in a chunk.
fn seen(store: &Store, (named, outcome): &(&Named, Outcome)) -> Result<Session> {
    let Some(wanted) = outcome.files.get(SEEN) else {
        bail!("{} has no {SEEN}: remove it and work again", named.result());
    };
    unpack(&blob(store, wanted)?, named)
}

/// Set, model and notes of an evaluation.
fn names(table: &TableKind) -> (&str, &str, &[String]) {
    match table {
        TableKind::Eval {
            set, model, notes, ..
        } => (set, model, notes),
        TableKind::Bench(_) | TableKind::Sweep(_) => ("", "", &[]),
    }
}

/// The evaluation of all chunks together.
fn evaluation(store: &Store, table: &TableKind, done: &[(&Named, Outcome)], out: &Path) -> Result<()> {
    let [first, others @ ..] = done else {
        return Ok(());
    };
    let mut session = seen(store, first)?;
    for other in others {
        session.join(seen(store, other)?);
    }
    let (set, model, notes) = names(table);
    let evaluation = session.finish(set, model, notes.to_vec());
    let threshold = evaluation.threshold();
    let part = Part {
        evaluation: &evaluation,
        pictures: &[],
        threshold,
    };
    for (name, text) in [
        ("evaluation.json", report::json(&evaluation)),
        ("images.csv", report::csv(&evaluation, threshold)),
        ("report.html", report::html(&[part])),
        (
            "report.json",
            serde_json::to_string_pretty(&evaluation.report)? + "\n",
        ),
    ] {
        write_file(&out.join(name), text.as_bytes())?;
    }
    for note in &evaluation.notes {
        eprintln!("note: {note}");
    }
    eprintln!(
        "wrote evaluation.json, images.csv, report.html, report.json in {}",
        out.display()
    );
    show(&Report::new(vec![evaluation.report]).table().to_text())
}

/// The scores of images that nobody labelled, chunk by chunk, so that memory does not grow with their number.
fn scores(store: &Store, table: &TableKind, done: &[(&Named, Outcome)], out: &Path) -> Result<()> {
    let path = out.join("images.csv");
    let mut file = begin_file(&path)?;
    let (set, model, _) = names(table);
    let [mut images, mut defective, mut unusable] = [0; 3];
    let mut writer = BufWriter::new(file.as_file_mut());
    for (place, own) in done.iter().enumerate() {
        let mut session = seen(store, own)?;
        let evaluation = session.finish(set, model, Vec::new());
        let threshold = evaluation.threshold();
        let text = report::csv(&evaluation, threshold);
        let rows = match text.split_once('\n') {
            Some((_, rows)) if place > 0 => rows,
            _ => &text,
        };
        writer
            .write_all(rows.as_bytes())
            .map_err(Error::io("write", &path))?;
        let called = evaluation
            .images
            .iter()
            .filter(|image| image.score.is_some_and(|own| own >= threshold));
        images += evaluation.images.len();
        defective += called.count();
        unusable += evaluation
            .images
            .iter()
            .filter(|image| image.score.is_none())
            .count();
    }
    writer.flush().map_err(Error::io("write", &path))?;
    drop(writer);
    end_file(file, &path)?;
    eprintln!("wrote images.csv in {}", out.display());
    show(&format!(
        "{} of {set}: {defective} called defective, {unusable} could not be analysed\n",
        count(images, "image", "images")
    ))
}
