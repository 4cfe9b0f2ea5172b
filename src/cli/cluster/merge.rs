//! `destseg merge`: unites the results of all units, as one machine would have written them.

use std::fmt::Display;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::files::{blob, hash};
use super::images::unpack;
use super::store::Store;
use super::unit::Unit;
use super::work::SEEN;
use super::{Failure, Named, Outcome, Plan, Storage, TableKind, names, parse, read};
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
    if store.folder().is_some_and(|folder| is_same(folder, &args.out)) {
        bail!(
            "{} holds the plan and its results: give --out another folder",
            args.out.display()
        );
    }
    let conflicts = names(&store, "conflicts")?;
    let mut results = Results::default();
    for named in &plan.units {
        if conflicts.contains(&named.conflict()) {
            let failure: Failure = read(&store, &named.conflict())?;
            eprintln!("note: {}: {}", named.name, failure.reason);
        }
        match outcome(&store, named)? {
            Ok(outcome) => results.done.push((named, outcome)),
            Err(reason) => results.miss(named, &reason),
        }
    }
    if !results.done.is_empty() {
        match &plan.table {
            TableKind::Bench(recipe) => {
                bench::summarise(&results.fetch(&store, recipe, &args.out)?, &args.out)?;
            }
            TableKind::Sweep(recipe) => {
                sweep::summarise(&results.fetch(&store, recipe, &args.out)?, &args.out)?;
            }
            TableKind::Eval { labelled: true, .. } => results.evaluation(&store, &plan.table, &args.out)?,
            TableKind::Eval { .. } => results.scores(&store, &plan.table, &args.out)?,
        }
    }
    results.check(plan.units.len())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize()
        .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// What a unit gave, or in words why there is nothing.
fn outcome(store: &Store, named: &Named) -> Result<Result<Outcome, String>> {
    if let Some(bytes) = store.get(&named.result())? {
        return Ok(serde_json::from_slice(&bytes).map_err(|err| damaged(named, &err)));
    }
    let Some(bytes) = store.get(&named.failure())? else {
        return Ok(Err("not done".into()));
    };
    let failure: Failure = parse(store, &named.failure(), &bytes)?;
    Ok(Err(format!("failed, {}", failure.reason)))
}

/// Why a result cannot be used, and what to do.
fn damaged(named: &Named, what: &impl Display) -> String {
    format!("its result is damaged ({what}): remove {}", named.result())
}

/// The units with a result that can be used, and the others with the reason.
#[derive(Default)]
struct Results<'a> {
    done: Vec<(&'a Named, Outcome)>,
    missing: Vec<String>,
}

impl Results<'_> {
    fn miss(&mut self, named: &Named, reason: &str) {
        self.missing.push(format!("{}: {reason}", named.name));
    }

    /// An error that names the units without a result, if there are any.
    fn check(&self, all: usize) -> Result<()> {
        /// Missing units that are named.
        const NAMED: usize = 8;
        let missing = self.missing.len();
        if missing == 0 {
            return Ok(());
        }
        let more = match missing.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        bail!(
            "{missing} of {} {} no result: {}{more}; mend the cause, do them with `destseg work`, and merge again",
            count(all, "unit", "units"),
            if missing == 1 { "has" } else { "have" },
            self.missing[..missing.min(NAMED)].join("; ")
        )
    }

    /// What becomes of each unit with a result; where a result turns out to be damaged, its unit is missing.
    fn take<T>(
        &mut self,
        mut one: impl FnMut(&Named, &Outcome) -> Result<Result<T, String>>,
    ) -> Result<Vec<T>> {
        let mut taken = Vec::new();
        for (named, outcome) in std::mem::take(&mut self.done) {
            match one(named, &outcome)? {
                Ok(own) => taken.push(own),
                Err(reason) => self.miss(named, &damaged(named, &reason)),
            }
        }
        Ok(taken)
    }

    /// Writes the files of runs where `bench` and `sweep` have them; those that are there already are kept.
    fn fetch(&mut self, store: &Store, recipe: &Recipe, out: &Path) -> Result<Vec<Run>> {
        keep_recipe(out, recipe)?;
        self.take(|named, outcome| {
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
                    match blob(store, wanted)? {
                        Ok(content) => write_file(&path, &content)?,
                        Err(what) => return Ok(Err(what)),
                    }
                }
            }
            Ok(Ok(run))
        })
    }

    /// The evaluation of all chunks together.
    fn evaluation(&mut self, store: &Store, table: &TableKind, out: &Path) -> Result<()> {
        let mut all: Option<Session> = None;
        self.take(|_, outcome| {
            let own = seen(store, outcome)?;
            Ok(own.map(|own| match &mut all {
                Some(all) => all.join(own),
                None => all = Some(own),
            }))
        })?;
        let Some(mut session) = all else {
            return Ok(());
        };
        let (set, model, notes) = about(table);
        let mut notes = notes.to_vec();
        if !self.missing.is_empty() {
            notes.push(format!(
                "{} no result, so their images are missing here",
                match self.missing.len() {
                    1 => "1 chunk has".to_owned(),
                    more => format!("{more} chunks have"),
                }
            ));
        }
        let evaluation = session.finish(set, model, notes);
        let threshold = evaluation.threshold();
        let part = Part {
            evaluation: &evaluation,
            pictures: &[],
            threshold,
        };
        let files = [
            ("evaluation.json", report::json(&evaluation)),
            ("images.csv", report::csv(&evaluation, threshold)),
            ("report.html", report::html(&[part])),
            (
                "report.json",
                serde_json::to_string_pretty(&evaluation.report)? + "\n",
            ),
        ];
        for (name, text) in &files {
            write_file(&self.place(out, name), text.as_bytes())?;
        }
        for note in &evaluation.notes {
            eprintln!("note: {note}");
        }
        self.say_written(&files.map(|(name, _)| name), out);
        show(&Report::new(vec![evaluation.report]).table().to_text())
    }

    /// The scores of images that nobody labelled, chunk by chunk, so that memory does not grow with their number.
    fn scores(&mut self, store: &Store, table: &TableKind, out: &Path) -> Result<()> {
        const NAME: &str = "images.csv";
        let path = out.join(NAME);
        let mut file = begin_file(&path)?;
        let (set, model, _) = about(table);
        let [mut images, mut defective, mut unusable] = [0; 3];
        let mut writer = BufWriter::new(file.as_file_mut());
        self.take(|_, outcome| {
            let mut session = match seen(store, outcome)? {
                Ok(session) => session,
                Err(what) => return Ok(Err(what)),
            };
            let evaluation = session.finish(set, model, Vec::new());
            let threshold = evaluation.threshold();
            let text = report::csv(&evaluation, threshold);
            let rows = match text.split_once('\n') {
                Some((_, rows)) if images > 0 => rows,
                _ => &text,
            };
            writer
                .write_all(rows.as_bytes())
                .map_err(Error::io("write", &path))?;
            let scored = evaluation.images.iter().filter_map(|image| image.score);
            images += evaluation.images.len();
            unusable += evaluation.images.len() - scored.clone().count();
            defective += scored.filter(|&score| score >= threshold).count();
            Ok(Ok(()))
        })?;
        writer.flush().map_err(Error::io("write", &path))?;
        drop(writer);
        end_file(file, &self.place(out, NAME))?;
        self.say_written(&[NAME], out);
        show(&format!(
            "{} of {set}: {defective} called defective, {unusable} could not be analysed\n",
            count(images, "image", "images")
        ))
    }

    /// Where a file of an evaluation goes: one that lacks images has a name that says so, and leaves a complete one in place.
    fn place(&self, out: &Path, name: &str) -> PathBuf {
        let incomplete = out.join(format!("incomplete-{name}"));
        if self.missing.is_empty() {
            // of an earlier merge
            let _ = std::fs::remove_file(incomplete);
            return out.join(name);
        }
        incomplete
    }

    fn say_written(&self, names: &[&str], out: &Path) {
        let names: Vec<String> = names
            .iter()
            .filter_map(|name| Some(self.place(out, name).file_name()?.to_string_lossy().into_owned()))
            .collect();
        eprintln!("wrote {} in {}", names.join(", "), out.display());
    }
}

/// What was seen in a chunk, or in words why that is not known.
fn seen(store: &Store, outcome: &Outcome) -> Result<Result<Session, String>> {
    let Some(wanted) = outcome.files.get(SEEN) else {
        return Ok(Err(format!("it has no {SEEN}")));
    };
    let content = blob(store, wanted)?;
    Ok(content.and_then(|content| unpack(&content).map_err(|err| format!("{err:#}"))))
}

/// Set, model and notes of an evaluation.
fn about(table: &TableKind) -> (&str, &str, &[String]) {
    match table {
        TableKind::Eval {
            set, model, notes, ..
        } => (set, model, notes),
        TableKind::Bench(_) | TableKind::Sweep(_) => ("", "", &[]),
    }
}
