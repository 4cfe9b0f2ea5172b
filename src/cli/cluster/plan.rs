//! `destseg plan`: writes the units of a bench, a sweep or an evaluation, and a script that does them.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::engines::{Engine, Job, Mount};
use super::files::{Hashes, hash};
use super::store::Store;
use super::unit::Unit;
use super::{FORMAT, Named, PATIENCE, PLAN, Plan, Storage, TableKind, VERSION, images, names};
use crate::cli::common::make_folder;
use crate::cli::number::{MOST, whole};
use crate::cli::output::show;
use crate::cli::runs::{Recipe, Run};
use crate::cli::train::paths_in;
use crate::cli::{bench, sweep};
use destseg_engine::Error;
use destseg_engine::error::count;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    storage: Storage,
    /// What runs the workers: the script for it is printed.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Workers to share the units out to.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=MOST))]
    shards: usize,
    /// Threads of a worker, wherever it runs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=1024_usize))]
    threads: usize,
    /// For Kubernetes: the container image that holds destseg.
    #[arg(long, value_name = "IMAGE", required_if_eq("engine", "kubernetes"))]
    image: Option<String>,
    /// For Kubernetes: a volume that workers see, as CLAIM=FOLDER; can be given several times.
    #[arg(long, value_name = "CLAIM=FOLDER")]
    mount: Vec<Mount>,
    #[command(subcommand)]
    what: What,
}

/// What is planned.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// What `destseg bench` does.
    Bench(bench::What),
    /// What `destseg sweep` does.
    Sweep(sweep::What),
    /// Measure a model on very many images, in chunks.
    Eval(images::What),
}

pub(in crate::cli) fn run(args: &Args) -> Result<()> {
    if !args.storage.store.contains("://") {
        make_folder(Path::new(&args.storage.store))?;
    }
    let store = args.storage.open()?;
    let (table, units) = match &args.what {
        What::Bench(what) => {
            let runs = bench::plan(what, Path::new(""))?;
            (TableKind::Bench(local_recipe(&what.recipe)?), trainings(runs)?)
        }
        What::Sweep(what) => {
            let runs = sweep::plan(what, Path::new(""))?;
            (TableKind::Sweep(local_recipe(&what.recipe)?), trainings(runs)?)
        }
        What::Eval(what) => {
            let chunks = images::plan(what, &store, &args.storage)?;
            let table = TableKind::Eval {
                set: chunks.set,
                model: chunks.model,
                labelled: chunks.labelled,
                notes: chunks.notes,
            };
            (table, chunks.units)
        }
    };
    let hashes = Hashes::default();
    let mut named = Vec::new();
    for (name, unit) in units {
        let own = Named {
            id: unit.id(&hashes)?,
            name,
        };
        store.put(&own.unit(), serde_json::to_vec(&unit)?)?;
        named.push(own);
    }
    let done = names(&store, "results")?;
    let done = named.iter().filter(|own| done.contains(&own.result())).count();
    eprintln!(
        "{}, {done} of them done already, in {store}",
        count(named.len(), "unit", "units")
    );
    let plan = Plan {
        format: FORMAT,
        destseg: VERSION.into(),
        shards: args.shards,
        threads: args.threads,
        table,
        units: named,
    };
    note_replaced(&store, &plan)?;
    let text = serde_json::to_vec_pretty(&plan)?;
    let name = hash(&text);
    // last: what it names is there
    store.put(PLAN, text)?;
    let place = match store.folder() {
        Some(folder) => absolute(folder)?.display().to_string(),
        None => args.storage.store.clone(),
    };
    let job = Job {
        name: &name,
        store: &place,
        patience: (args.storage.patience != PATIENCE).then_some(args.storage.patience),
        shards: args.shards,
        threads: args.threads,
        image: args.image.as_deref().unwrap_or_default(),
        mounts: &args.mount,
    };
    show(&job.script(args.engine)?)
}

/// Says which plan gives way to this one. One whose units are all in this one, too, has merely grown.
fn note_replaced(store: &Store, plan: &Plan) -> Result<()> {
    if store.get(PLAN)?.is_none() {
        return Ok(());
    }
    match Plan::read(store) {
        Ok(before) => {
            let stays = |unit: &&Named| plan.units.iter().any(|own| own.id == unit.id);
            let gone = before.units.iter().filter(|unit| !stays(unit)).count();
            if gone > 0 {
                eprintln!(
                    "note: {} of the plan before ({}) are not in this one, which takes its place; results stay",
                    gone,
                    count(before.units.len(), "unit", "units")
                );
            }
        }
        Err(err) => eprintln!("note: this plan takes the place of another: {err:#}"),
    }
    Ok(())
}

/// A path that is the same wherever a program starts.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = path.canonicalize().map_err(Error::io("read", path))?;
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(anyhow!(
            "{} is no UTF-8, which plans need: rename it",
            path.display()
        )),
    }
}

/// The flags for trainings, with paths that other machines know.
fn local_flags(flags: &[String]) -> Result<Vec<String>> {
    let mut own = flags.to_vec();
    for (place, start) in paths_in(flags) {
        let (before, path) = flags[place].split_at(start);
        own[place] = format!("{before}{}", absolute(Path::new(path))?.display());
    }
    Ok(own)
}

fn local_recipe(recipe: &Recipe) -> Result<Recipe> {
    Ok(Recipe {
        teacher: recipe.teacher.as_deref().map(absolute).transpose()?,
        train: local_flags(&recipe.train)?,
    })
}

/// Runs as units, with paths that other machines know.
fn trainings(runs: Vec<Run>) -> Result<Vec<(String, Unit)>> {
    let unit = |run: Run| {
        let run = Run {
            data: absolute(&run.data)?,
            foreign: run
                .foreign
                .iter()
                .map(|data| absolute(data))
                .collect::<Result<_>>()?,
            teacher: run.teacher.as_deref().map(absolute).transpose()?,
            train: local_flags(&run.train)?,
            ..run
        };
        Ok((run.name.clone(), Unit::Train(Box::new(run))))
    };
    runs.into_iter().map(unit).collect()
}
