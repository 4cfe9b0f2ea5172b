//! `destseg bench`: several data sets, methods, presets, numbers of good images and seeds in one table.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::ValueEnum as _;

use super::common::write_file;
use super::number::{MOST, whole};
use super::output::show;
use super::runs::{
    Label, Recipe, Run, Split, Workers, check, check_data, check_flags, keep_recipe, work_off,
};
use destseg_engine::config::{MOST_SEED, Method, Preset};
use destseg_engine::data::dataset::{Category, TestSet, categories};
use destseg_engine::data::image;
use destseg_engine::error::count;
use destseg_engine::evaluation::nuisance::NuisanceTable;
use destseg_engine::evaluation::table::Table;
use destseg_engine::evaluation::{Bench, BenchRun, Evaluation, small_picture};
use destseg_engine::report::{self, WorstOf, Wrong};
use destseg_engine::train::draw_subset;

/// Wrong decisions that the report shows of each row.
const WORST: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    what: What,
    /// Folder for models, reports and the table: OUT/METHOD-PRESET/IMAGES/CATEGORY/seed-N.
    #[arg(short, long)]
    out: PathBuf,
    #[command(flatten)]
    workers: Workers,
}

/// What is trained, and what is measured of it.
#[derive(Debug, clap::Args)]
pub(super) struct What {
    /// Data sets: folders in MVTec layout, of one category or of several.
    #[arg(required = true, value_name = "SET")]
    sets: Vec<PathBuf>,
    /// Methods to train.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "destseg")]
    methods: Vec<Method>,
    /// Presets to train each method with.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "compact")]
    presets: Vec<Preset>,
    /// Numbers of good images to train on, drawn by the seed, or `all`. Those left over join the test.
    #[arg(long, value_delimiter = ',', default_value = "all", value_name = "N")]
    images: Vec<Images>,
    /// Show each model N test images of every other set, and count those that it calls unfamiliar.
    #[arg(long, value_name = "N", value_parser = whole(1..=MOST))]
    foreign: Option<usize>,
    /// Show each model the good test images as other cameras and programs would save them (JPEG, another size, white
    /// balance, exposure), and both kinds of test images turned, larger, smaller and in other light; count what it says.
    #[arg(long)]
    nuisances: bool,
    /// Seeds to train with.
    #[arg(long, value_delimiter = ',', default_value = "0", value_parser = whole(0..=MOST_SEED))]
    seeds: Vec<u64>,
    #[command(flatten)]
    pub(super) recipe: Recipe,
}

/// How many good images a training gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    All,
    Some(usize),
}

impl FromStr for Images {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) if count > 0 => Ok(Self::Some(count)),
            _ => Err("give a number from 1 on, or `all`".into()),
        }
    }
}

impl Images {
    fn count(self) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Some(count) => Some(count),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = plan(&args.what, &args.out)?;
    keep_recipe(&args.out, &args.what.recipe)?;
    let failures = work_off(&args.workers, &runs, args.out.display())?;
    summarise(&runs, &args.out)?;
    check(&failures, &runs, "bench")
}

/// A category and its good images, as paths from its folder.
#[derive(Debug)]
struct Set {
    category: Category,
    good: Vec<String>,
}

fn open_sets(folders: &[PathBuf]) -> Result<Vec<Set>> {
    let mut sets: Vec<Set> = Vec::new();
    for folder in folders {
        for category in categories(folder)? {
            if let Some(other) = sets.iter().find(|other| other.category.name == category.name) {
                bail!(
                    "{} and {} have the same name, so a table cannot tell them apart: rename one of the folders",
                    other.category.root.display(),
                    category.root.display()
                );
            }
            check_data(&category)?;
            let good = category.train_good()?;
            let inner = good
                .iter()
                .map(|path| path.strip_prefix(&category.root).unwrap_or(path));
            sets.push(Set {
                good: inner
                    .map(|path| path.to_string_lossy().replace('\\', "/"))
                    .collect(),
                category,
            });
        }
    }
    Ok(sets)
}

/// All runs, seed by seed, so that one seed of everything is done early; their folders lie in `out`.
pub(super) fn plan(what: &What, out: &Path) -> Result<Vec<Run>> {
    let sets = open_sets(&what.sets)?;
    if what.foreign.is_some() && sets.len() < 2 {
        bail!(
            "--foreign shows models the images of other sets, but {} is the only one: give two sets or more",
            sets.first().map_or("", |set| &set.category.name)
        );
    }
    note_small_sets(what, &sets);
    let mut seeds = what.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    let mut runs = Vec::new();
    for &seed in &seeds {
        for method in &what.methods {
            for preset in &what.presets {
                for &images in &what.images {
                    for set in &sets {
                        if images.count().is_none_or(|count| count <= set.good.len()) {
                            let mut run = plan_one(what, set, *method, *preset, images, seed);
                            run.folder = out.join(&run.folder);
                            if what.foreign.is_some() {
                                let others = sets.iter().map(|other| &other.category.root);
                                run.foreign = others.filter(|root| **root != run.data).cloned().collect();
                            }
                            runs.push(run);
                        }
                    }
                }
            }
        }
    }
    if runs.is_empty() {
        bail!("no set has as many good images as --images asks for: give fewer");
    }
    check_flags(&runs)?;
    Ok(runs)
}

/// Says which trainings are left out, because a set has too few images.
fn note_small_sets(what: &What, sets: &[Set]) {
    for &images in &what.images {
        for set in sets {
            if images.count().is_some_and(|count| count > set.good.len()) {
                eprintln!(
                    "note: {} has only {} to train on, so a training with {} is left out",
                    set.category.name,
                    count(set.good.len(), "good image", "good images"),
                    images.count().unwrap_or_default()
                );
            }
        }
    }
}

fn plan_one(what: &What, set: &Set, method: Method, preset: Preset, images: Images, seed: u64) -> Run {
    let method = method
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned());
    let preset = preset.id();
    let name = &set.category.name;
    let number = images
        .count()
        .map_or_else(|| "all".into(), |count| count.to_string());
    let mut train = what.recipe.train.clone();
    train.extend(["--method", &method, "--preset", preset].map(str::to_owned));
    let split = images.count().map(|count| {
        let (own, others) = draw_subset(set.good.len(), count, seed);
        let names = |places: Vec<usize>| places.iter().map(|&place| set.good[place].clone()).collect();
        Split {
            train: names(own),
            test: names(others),
        }
    });
    let recipe = format!("{method} {preset}");
    Run {
        name: format!(
            "{name}, {recipe}, {number} {}, seed {seed}",
            if number == "1" { "image" } else { "images" }
        ),
        folder: Path::new(&format!("{method}-{preset}"))
            .join(&number)
            .join(name)
            .join(format!("seed-{seed}")),
        data: set.category.root.clone(),
        seed,
        teacher: what.recipe.teacher.clone(),
        train,
        split,
        foreign: Vec::new(),
        foreign_images: what.foreign.unwrap_or_default(),
        nuisances: what.nuisances,
        label: Label {
            set: name.clone(),
            recipe,
            images: images.count(),
        },
    }
}

/// Prints the table of all runs that are done, and writes it beside them with the scores of every image.
pub(super) fn summarise(runs: &[Run], out: &Path) -> Result<()> {
    let mut done = Vec::new();
    let mut scores = Table::new(
        5,
        [
            "set",
            "recipe",
            "images",
            "seed",
            "image",
            "class",
            "score",
            "threshold",
        ]
        .map(str::to_owned)
        .to_vec(),
    );
    let mut worst: Vec<WorstOf> = Vec::new();
    let mut shown: Vec<&Path> = Vec::new();
    for run in runs {
        let Ok(evaluation) = run.evaluation() else {
            continue;
        };
        add_scores(&mut scores, run, &evaluation);
        // the first seed that is done stands for the others
        let row = run.folder.parent().unwrap_or(&run.folder);
        if !shown.contains(&row) {
            shown.push(row);
            worst.push(worst_of(run, out, &evaluation));
        }
        let cost = run.cost().ok();
        done.push(BenchRun {
            set: run.label.set.clone(),
            recipe: run.label.recipe.clone(),
            images: run.label.images,
            evaluation,
            foreign: run.foreign(),
            nuisances: run.nuisances().unwrap_or_default(),
            seconds: cost.and_then(|cost| cost.seconds),
            bytes: cost.map(|cost| cost.bytes),
        });
    }
    if done.is_empty() {
        return Ok(());
    }
    worst.retain(|own| !own.images.is_empty());
    let bench = Bench::new(&done);
    let table = bench.table();
    let (mut text, mut markdown) = (table.to_text(), table.to_markdown());
    let mut files = vec![
        ("bench.html", report::bench(&bench, &worst)),
        ("bench.csv", bench.csv()),
        ("bench.json", serde_json::to_string_pretty(&bench)?),
        ("scores.csv", scores.to_csv()),
    ];
    if runs.iter().any(|run| run.nuisances) {
        let own = bench.nuisances("all").table();
        let caption = NuisanceTable::CAPTION;
        text += &format!("\n{caption}\n{}", own.to_text());
        markdown += &format!("\n{caption}\n\n{}", own.to_markdown());
        files.push(("nuisances.csv", bench.nuisances("").csv()));
    }
    files.push(("bench.md", markdown));
    for (name, text) in &files {
        write_file(&out.join(name), text.as_bytes())?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    eprintln!("wrote {} in {}", names.join(", "), out.display());
    show(&text)
}

fn add_scores(scores: &mut Table, run: &Run, evaluation: &Evaluation) {
    let label = &run.label;
    let number = |value: Option<f32>| value.map_or_else(String::new, |value| value.to_string());
    for image in &evaluation.images {
        scores.push(vec![
            label.set.clone(),
            label.recipe.clone(),
            label
                .images
                .map_or_else(|| "all".into(), |count| count.to_string()),
            run.seed.to_string(),
            image.name.clone(),
            image.class.name().into(),
            number(image.score),
            number(evaluation.thresholds.map(|own| own.image)),
        ]);
    }
}

/// The worst decisions of a run with their pictures; one that cannot be read any more has none.
fn worst_of(run: &Run, out: &Path, evaluation: &Evaluation) -> WorstOf {
    let threshold = evaluation.threshold();
    let root = &run.data;
    let files: HashMap<String, PathBuf> = TestSet::open(root).map_or_else(
        |_| HashMap::new(),
        |test| {
            let images = test.set.images.iter();
            images
                .map(|image| (image.name.clone(), test.files[image.file].clone()))
                .collect()
        },
    );
    let picture = |name: &str| {
        let path = files.get(name).cloned().unwrap_or_else(|| root.join(name));
        image::read(&path)
            .and_then(|image| small_picture(&image))
            .unwrap_or_default()
    };
    let places = evaluation.by_error(threshold).into_iter();
    let wrong = places
        .map(|place| &evaluation.images[place])
        .filter(|image| image.is_wrong(threshold))
        .take(WORST);
    let address = run.folder.join("report.html");
    WorstOf {
        name: run.name.clone(),
        address: address
            .strip_prefix(out)
            .unwrap_or(&address)
            .to_string_lossy()
            .replace('\\', "/"),
        threshold,
        side: evaluation.side,
        images: wrong
            .map(|image| Wrong {
                image: image.clone(),
                picture: picture(&image.name),
            })
            .collect(),
    }
}
