//! Trainings with their evaluations, as `sweep` and `bench` do them: every run is a child process, so that a failure or a
//! lost device costs one run.

mod child;
mod shown;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::common::{DeviceArg, check_output_folder, make_folder, write_file};
use crate::cli::interrupt::{self, Interrupted};
use crate::cli::number::{MOST, whole};
use crate::cli::train;
use child::Child;
use destseg_engine::Error;
use destseg_engine::data::dataset::{Category, TestSet};
use destseg_engine::error::count;
use destseg_engine::evaluation::{CategoryReport, Evaluation, Metric};

/// What the children of a run say.
const LOG: &str = "train.log";
/// Good images that a training leaves unused, one path a line.
const UNUSED: &str = "unused.txt";

/// Where runs compute.
#[derive(Debug, clap::Args)]
pub(super) struct Workers {
    /// Runs at the same time; as many as there are devices, unless given.
    #[arg(long, value_parser = whole(1..=MOST))]
    jobs: Option<usize>,
    /// Devices, in turn.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    devices: Vec<DeviceArg>,
    /// Teacher file, where the preset needs one that is not built in.
    #[arg(long)]
    pub(super) teacher: Option<PathBuf>,
}

/// One training and its evaluation.
#[derive(Debug)]
pub(super) struct Run {
    /// What messages call it.
    pub(super) name: String,
    /// Where its files are.
    pub(super) folder: PathBuf,
    /// The category's folder.
    pub(super) data: PathBuf,
    pub(super) seed: u64,
    /// Flags of `destseg train`, besides those for files, seed and device.
    pub(super) train: Vec<String>,
    /// Which good images to train on; all, if none.
    pub(super) split: Option<Split>,
    /// Folders of other parts that the model is shown, and how many images of each.
    pub(super) foreign: Vec<PathBuf>,
    pub(super) foreign_images: usize,
    /// Whether the model is shown images with nuisances.
    pub(super) nuisances: bool,
}

/// Good images of a training, and those that it leaves unused and that join the test. Paths are relative to the
/// category's folder.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) train: Vec<String>,
    pub(super) test: Vec<String>,
}

/// What a training cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Wall time in seconds; none for a training that was interrupted.
    pub(super) seconds: Option<f64>,
    /// Size of the model file in bytes.
    pub(super) bytes: u64,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Refuses a folder of data without images to train on or to test with: after hours of training it is too late.
pub(super) fn check_data(category: &Category) -> Result<()> {
    let good = category.train_good()?;
    let test = TestSet::open(&category.root)?;
    let is_trained_on = |file: usize| good.contains(&test.files[file]);
    if test.set.images.iter().any(|image| is_trained_on(image.file)) {
        bail!(
            "{} has no train folder, so the images trained on would be tested, too: move some of the good ones into train/good",
            category.root.display()
        );
    }
    Ok(())
}

/// Refuses flags that `destseg train` does not take, before the folder keeps them.
pub(super) fn check_flags(runs: &[Run]) -> Result<()> {
    let mut checked: Vec<&[String]> = Vec::new();
    for run in runs {
        if !checked.contains(&&*run.train) {
            train::check_flags(&run.train)?;
            checked.push(&run.train);
        }
    }
    Ok(())
}

/// Does the runs that are not done, several at a time, and returns what failed.
///
/// # Errors
/// [`Interrupted`] after Ctrl-C, once the runs that were under way have stopped.
pub(super) fn work_off(workers: &Workers, runs: &[Run], out: &Path) -> Result<Vec<String>> {
    let (done, open): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.is_done());
    eprintln!(
        "{}, {} of them done already, in {}",
        count(runs.len(), "run", "runs"),
        done.len(),
        out.display()
    );
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let jobs = workers
        .jobs
        .unwrap_or(workers.devices.len())
        .clamp(1, open.len().max(1));
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .div_ceil(jobs);
    let queue = Mutex::new(VecDeque::from(open));
    let failures = Mutex::new(Vec::new());
    let interrupt = interrupt::watch();
    std::thread::scope(|scope| {
        for device in workers.devices.iter().cycle().take(jobs) {
            let device = device
                .to_possible_value()
                .map_or("auto".into(), |value| value.get_name().to_owned());
            let (queue, failures, program, interrupt) = (&queue, &failures, &program, &interrupt);
            scope.spawn(move || {
                let next = || {
                    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.pop_front().filter(|_| !interrupt.is_requested())
                };
                while let Some(run) = next() {
                    let start = Instant::now();
                    eprintln!("{run}: started on {device}");
                    let done = run.execute(&Child {
                        program,
                        teacher: workers.teacher.as_deref(),
                        device: &device,
                        threads,
                        interrupt,
                    });
                    match done {
                        Ok(report) => eprintln!(
                            "{run}: {} in {:.0} s",
                            headline(&report),
                            start.elapsed().as_secs_f64()
                        ),
                        Err(_) if interrupt.is_requested() => eprintln!("{run}: stopped"),
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
    if interrupt.is_requested() {
        let done = runs.iter().filter(|run| run.is_done()).count();
        bail!(Interrupted(format!(
            "stopped with {done} of {} done: start the same command again to go on, trainings from their checkpoints",
            count(runs.len(), "run", "runs")
        )));
    }
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// An error that lists the runs that failed, if any did.
pub(super) fn check(failures: &[String], runs: &[Run], command: &str) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} failed: {}; mend the cause and start the same {command} again, the others are kept",
        failures.len(),
        count(runs.len(), "run", "runs"),
        failures.join("; ")
    )
}

/// What makes the runs of a folder comparable; kept in the folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recipe {
    teacher: Option<PathBuf>,
    train: Vec<String>,
}

/// Remembers the recipe of a folder of runs, and refuses to mix two.
pub(super) fn keep_recipe(out: &Path, workers: &Workers, train: &[String]) -> Result<()> {
    check_output_folder(out)?;
    make_folder(out)?;
    let path = out.join("recipe.json");
    let recipe = Recipe {
        teacher: workers.teacher.clone(),
        train: train.to_vec(),
    };
    let Ok(text) = std::fs::read_to_string(&path) else {
        return write_file(&path, serde_json::to_string_pretty(&recipe)?.as_bytes());
    };
    match serde_json::from_str::<Recipe>(&text) {
        Ok(kept) if kept == recipe => Ok(()),
        Ok(kept) => bail!(
            "{} holds runs with other flags ({}): give the same ones or another folder",
            out.display(),
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

impl Run {
    /// The report of a run that is done.
    pub(super) fn report(&self) -> Result<CategoryReport> {
        self.read("report.json")
    }

    /// All that was measured; a run that an older version did has none.
    pub(super) fn evaluation(&self) -> Result<Evaluation> {
        self.read("evaluation.json")
    }

    /// What the training cost.
    pub(super) fn cost(&self) -> Result<Cost> {
        self.read("cost.json")
    }

    fn is_done(&self) -> bool {
        self.report().is_ok()
            && (self.foreign.is_empty() || self.foreign().is_some())
            && (!self.nuisances || self.nuisances().is_some())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text = std::fs::read_to_string(self.folder.join(name))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Trains or resumes, then evaluates. Existing results are kept.
    fn execute(&self, child: &Child<'_>) -> Result<CategoryReport> {
        make_folder(&self.folder)?;
        let model = self.folder.join("model.safetensors");
        let log_path = self.folder.join(LOG);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(Error::io("write", &log_path))?;
        let checkpoint = self.folder.join("model.safetensors.checkpoint");
        let chosen = self.folder.join("train.txt");
        if let Some(split) = &self.split {
            write_file(&chosen, lines(&split.train).as_bytes())?;
            write_file(&self.folder.join(UNUSED), lines(&split.test).as_bytes())?;
        }
        if !model.exists() || checkpoint.exists() {
            let mut train = child.command("train", &self.data, &log)?;
            train
                .arg("--out")
                .arg(&model)
                .args(["--seed", &self.seed.to_string()]);
            let resumes = checkpoint.exists();
            if resumes {
                train.arg("--resume");
            }
            if self.split.is_some() {
                train.arg("--only").arg(&chosen);
            }
            train
                .args(&self.train)
                .stdout(log.try_clone().context("cannot use the log file")?);
            let start = Instant::now();
            if !child
                .train(&mut train)
                .context("cannot start the training")?
                .success()
            {
                bail!("{}", last_words(&log_path, "the training"));
            }
            let cost = Cost {
                seconds: (!resumes).then(|| start.elapsed().as_secs_f64()),
                bytes: std::fs::metadata(&model)
                    .map_err(Error::io("read", &model))?
                    .len(),
            };
            write_file(
                &self.folder.join("cost.json"),
                serde_json::to_string(&cost)?.as_bytes(),
            )?;
        }
        self.show_foreign(child, &model, &log)?;
        let report = self.report().or_else(|_| self.evaluate(child, &model, &log))?;
        self.show_nuisances(child, &model, &log)?;
        Ok(report)
    }

    fn evaluate(&self, child: &Child<'_>, model: &Path, log: &File) -> Result<CategoryReport> {
        let mut eval = self.own_test(child, model, log)?;
        for name in ["evaluation.json", "images.csv", "report.html"] {
            eval.arg("--report").arg(self.folder.join(name));
        }
        let printed = self.printed(child, &mut eval, "the evaluation")?;
        let report = serde_json::from_slice(&printed).context("the evaluation gave no report")?;
        // last: an evaluation with this file is done
        write_file(&self.folder.join("report.json"), &printed)?;
        Ok(report)
    }

    /// An evaluation of the run's own test images, unused good ones included.
    fn own_test(&self, child: &Child<'_>, model: &Path, log: &File) -> Result<Command> {
        let mut eval = child.command("eval", &self.data, log)?;
        eval.arg("--model").arg(model).args(["--format", "json"]);
        if self.split.is_some() {
            eval.arg("--more-good").arg(self.folder.join(UNUSED));
        }
        Ok(eval)
    }

    /// What a child process writes to its standard output; `what` is its work.
    fn printed(&self, child: &Child<'_>, command: &mut Command, what: &str) -> Result<Vec<u8>> {
        let (status, printed) = child
            .output(command)
            .with_context(|| format!("cannot start {what}"))?;
        if !status.success() {
            bail!("{}", last_words(&self.folder.join(LOG), what));
        }
        Ok(printed)
    }
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
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
