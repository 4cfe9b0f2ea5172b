//! `destseg sweep`: several categories of one folder with several seeds, beside the paper's figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::common::write_file;
use super::number::whole;
use super::output::show;
use super::runs::{Label, Recipe, Run, Workers, check, check_data, check_flags, keep_recipe, work_off};
use destseg_engine::config::MOST_SEED;
use destseg_engine::data::dataset::{Category, categories};
use destseg_engine::evaluation::{CategoryReport, Sweep};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    what: What,
    /// Folder for models, reports and the summary: OUT/CATEGORY/seed-N/model.safetensors.
    #[arg(short, long)]
    out: PathBuf,
    #[command(flatten)]
    workers: Workers,
}

/// What is trained.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// Folder of categories in MVTec layout.
    #[arg(long)]
    data: PathBuf,
    /// Only these categories.
    #[arg(long, value_delimiter = ',')]
    categories: Vec<String>,
    /// Seeds to train each category with.
    #[arg(long, value_delimiter = ',', default_value = "0", value_parser = whole(0..=MOST_SEED))]
    seeds: Vec<u64>,
    #[command(flatten)]
    pub(super) recipe: Recipe,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = plan(&args.what, &args.out)?;
    keep_recipe(&args.out, &args.what.recipe)?;
    let failures = work_off(&args.workers, &runs, args.out.display())?;
    summarise(&runs, &args.out)?;
    check(&failures, &runs, "sweep")
}

/// All runs, seed by seed, so that one seed of everything is done early; their folders lie in `out`.
pub(super) fn plan(args: &What, out: &Path) -> Result<Vec<Run>> {
    let mut found = categories(&args.data)?;
    if let Some(missing) = args
        .categories
        .iter()
        .find(|name| !found.iter().any(|category| category.name == **name))
    {
        let names: Vec<_> = found.iter().map(|category| &*category.name).collect();
        bail!(
            "there is no category {missing} in {}: choose from {}",
            args.data.display(),
            names.join(", ")
        );
    }
    found.retain(|category| args.categories.is_empty() || args.categories.contains(&category.name));
    found.iter().try_for_each(check_data)?;
    let mut seeds = args.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    let run = |seed: u64, category: &Category| Run {
        name: format!("{} seed {seed}", category.name),
        folder: out.join(&category.name).join(format!("seed-{seed}")),
        data: category.root.clone(),
        seed,
        teacher: args.recipe.teacher.clone(),
        train: args.recipe.train.clone(),
        split: None,
        foreign: Vec::new(),
        foreign_images: 0,
        nuisances: false,
        label: Label {
            set: category.name.clone(),
            recipe: String::new(),
            images: None,
        },
    };
    let runs: Vec<Run> = seeds
        .iter()
        .flat_map(|&seed| found.iter().map(move |category| run(seed, category)))
        .collect();
    check_flags(&runs)?;
    Ok(runs)
}

/// Prints the summary of all runs that are done, and writes it beside them.
pub(super) fn summarise(runs: &[Run], out: &Path) -> Result<()> {
    let mut reports: BTreeMap<u64, Vec<CategoryReport>> = BTreeMap::new();
    for run in runs {
        if let Ok(report) = run.report() {
            reports.entry(run.seed).or_default().push(report);
        }
    }
    if reports.is_empty() {
        return Ok(());
    }
    let sweep = Sweep::new(&reports);
    let table = sweep.table();
    write_file(&out.join("summary.md"), table.to_markdown().as_bytes())?;
    write_file(&out.join("summary.csv"), sweep.csv().as_bytes())?;
    write_file(
        &out.join("summary.json"),
        serde_json::to_string_pretty(&sweep)?.as_bytes(),
    )?;
    show(&table.to_text())
}
