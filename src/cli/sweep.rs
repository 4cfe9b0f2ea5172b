//! `destseg sweep`: every run is a child process, so that a failure or a lost device costs one run.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use super::common::{DeviceArg, make_folder, write_file};
use destseg_engine::Error;
use destseg_engine::data::dataset::{Category, categories};
use destseg_engine::evaluation::{CategoryReport, Metric, Sweep};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of categories in MVTec layout.
    #[arg(long)]
    data: PathBuf,
    /// Only these categories.
    #[arg(long, value_delimiter = ',')]
    categories: Vec<String>,
    /// Seeds to train each category with.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    /// Folder for models, reports and the summary: OUT/CATEGORY/seed-N/model.safetensors.
    #[arg(short, long)]
    out: PathBuf,
    /// Runs at the same time; as many as there are devices, unless given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Devices, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    devices: Vec<DeviceArg>,
    /// Teacher file, where the preset needs one that is not built in.
    #[arg(long)]
    teacher: Option<PathBuf>,
    /// Flags for `destseg train`, after two dashes.
    #[arg(last = true, value_name = "TRAIN FLAGS")]
    train: Vec<String>,
}

/// What makes two sweeps comparable; kept in the folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recipe {
    teacher: Option<PathBuf>,
    train: Vec<String>,
}

/// One category with one seed.
#[derive(Debug)]
struct Run {
    category: Category,
    seed: u64,
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = plan(args)?;
    make_folder(&args.out)?;
    keep_recipe(args)?;
    let (done, open): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.report().is_ok());
    eprintln!(
        "{} runs, {} of them done already, in {}",
        runs.len(),
        done.len(),
        args.out.display()
    );
    let failures = work_off(args, open)?;
    summarise(&runs, &args.out)?;
    if failures.is_empty() {
        Ok(())
    } else {
        bail!(
            "{} of {} runs failed: {}; mend the cause and start the same sweep again, the others are kept",
            failures.len(),
            runs.len(),
            failures.join("; ")
        )
    }
}

/// All runs, seed by seed, so that one seed of everything is done early.
fn plan(args: &Args) -> Result<Vec<Run>> {
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
    let mut seeds = args.seeds.clone();
    seeds.sort_unstable();
    seeds.dedup();
    let run = |seed: u64, category: &Category| Run {
        folder: args.out.join(&category.name).join(format!("seed-{seed}")),
        category: category.clone(),
        seed,
    };
    Ok(seeds
        .iter()
        .flat_map(|&seed| found.iter().map(move |category| run(seed, category)))
        .collect())
}

/// Remembers the recipe, and refuses to mix two in one folder.
fn keep_recipe(args: &Args) -> Result<()> {
    let path = args.out.join("recipe.json");
    let recipe = Recipe {
        teacher: args.teacher.clone(),
        train: args.train.clone(),
    };
    let Ok(text) = std::fs::read_to_string(&path) else {
        return write_file(&path, serde_json::to_string_pretty(&recipe)?.as_bytes());
    };
    match serde_json::from_str::<Recipe>(&text) {
        Ok(kept) if kept == recipe => Ok(()),
        Ok(kept) => bail!(
            "{} holds runs with other flags ({}): give the same ones or another folder",
            args.out.display(),
            if kept.train.is_empty() {
                "none".into()
            } else {
                kept.train.join(" ")
            }
        ),
        Err(err) => bail!(
            "{} is damaged ({err}): remove it or give another folder",
            path.display()
        ),
    }
}

/// Does the open runs, several at a time, and returns what failed.
fn work_off(args: &Args, open: Vec<&Run>) -> Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let jobs = args
        .jobs
        .unwrap_or(args.devices.len())
        .clamp(1, open.len().max(1));
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .div_ceil(jobs);
    let queue = Mutex::new(VecDeque::from(open));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for device in args.devices.iter().cycle().take(jobs) {
            let device = device
                .to_possible_value()
                .map_or("auto".into(), |value| value.get_name().to_owned());
            let (queue, failures, program) = (&queue, &failures, &program);
            scope.spawn(move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(run) = next() {
                    let start = Instant::now();
                    eprintln!("{run}: started on {device}");
                    let done = run.execute(&Child {
                        program,
                        args,
                        device: &device,
                        threads,
                    });
                    match done {
                        Ok(report) => eprintln!(
                            "{run}: {} in {:.0} s",
                            headline(&report),
                            start.elapsed().as_secs_f64()
                        ),
                        Err(err) => {
                            eprintln!("{run}: failed, {err:#}");
                            failures
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(format!("{run}: {err:#}"));
                        }
                    }
                }
            });
        }
    });
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How child processes are started.
#[derive(Debug)]
struct Child<'a> {
    program: &'a Path,
    args: &'a Args,
    device: &'a str,
    threads: usize,
}

impl Child<'_> {
    fn command(&self, name: &str, data: &Path, log: &File) -> Result<Command> {
        const THREADS: &str = "RAYON_NUM_THREADS";
        let mut command = Command::new(self.program);
        command
            .arg(name)
            .arg("--data")
            .arg(data)
            .args(["--device", self.device]);
        if let Some(teacher) = &self.args.teacher {
            command.arg("--teacher").arg(teacher);
        }
        if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, self.threads.to_string());
        }
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("cannot use the log file")?);
        Ok(command)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} seed {}", self.category.name, self.seed)
    }
}

impl Run {
    /// The report of a run that is done.
    fn report(&self) -> Result<CategoryReport> {
        let text = std::fs::read_to_string(self.folder.join("report.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Trains or resumes, then evaluates. Existing results are kept.
    fn execute(&self, child: &Child<'_>) -> Result<CategoryReport> {
        make_folder(&self.folder)?;
        let model = self.folder.join("model.safetensors");
        let log_path = self.folder.join("train.log");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(Error::io("write", &log_path))?;
        let checkpoint = self.folder.join("model.safetensors.checkpoint");
        if !model.exists() || checkpoint.exists() {
            let mut train = child.command("train", &self.category.root, &log)?;
            train
                .arg("--out")
                .arg(&model)
                .args(["--seed", &self.seed.to_string()]);
            if checkpoint.exists() {
                train.arg("--resume");
            }
            train
                .args(&child.args.train)
                .stdout(log.try_clone().context("cannot use the log file")?);
            if !train.status().context("cannot start the training")?.success() {
                bail!("{}", last_words(&log_path, "the training"));
            }
        }
        let mut eval = child.command("eval", &self.category.root, &log)?;
        eval.arg("--model").arg(&model).args(["--format", "json"]);
        let output = eval
            .stdout(Stdio::piped())
            .output()
            .context("cannot start the evaluation")?;
        if !output.status.success() {
            bail!("{}", last_words(&log_path, "the evaluation"));
        }
        let report = serde_json::from_slice(&output.stdout).context("the evaluation gave no report")?;
        write_file(&self.folder.join("report.json"), &output.stdout)?;
        Ok(report)
    }
}

/// Why a child process stopped: its error sentence, if it left one in the log.
fn last_words(log: &Path, what: &str) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let sentence = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    sentence.map_or_else(
        || format!("{what} was ended from outside, see {}", log.display()),
        str::to_owned,
    )
}

fn headline(report: &CategoryReport) -> String {
    let metrics = report.segmentation.as_ref().unwrap_or(&report.dest);
    let percent = |value: Option<f64>| value.map_or("n/a".into(), |value| format!("{:.1}", 100.0 * value));
    format!(
        "image AUC {}, pixel AP {}",
        percent(metrics.get(Metric::ImageAuc)),
        percent(metrics.get(Metric::PixelAp))
    )
}

/// Prints the summary of all runs that are done, and writes it beside them.
fn summarise(runs: &[Run], out: &Path) -> Result<()> {
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
    print!("{}", table.to_text());
    write_file(&out.join("summary.md"), table.to_markdown().as_bytes())?;
    write_file(&out.join("summary.csv"), sweep.csv().as_bytes())?;
    write_file(
        &out.join("summary.json"),
        serde_json::to_string_pretty(&sweep)?.as_bytes(),
    )
}
