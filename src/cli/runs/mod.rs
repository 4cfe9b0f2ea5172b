//! Trainings with their evaluations, as `sweep`, `bench` and `work` do them: every run is a child process, so that a failure or
//! a lost device costs one run.

mod child;
mod shown;
mod task;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::common::{DeviceArg, check_output_folder, make_folder, write_file};
use crate::cli::number::{MOST, whole};
use crate::cli::train;
pub(super) use child::Child;
use destseg_engine::Error;
use destseg_engine::data::dataset::{Category, TestSet};
use destseg_engine::evaluation::{CategoryReport, Evaluation, Metric};
use destseg_engine::train::model_so_far;
pub(super) use task::{Task, check, work_off};

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
}

/// What a training is given besides its data, and what makes the runs of a folder comparable: it is kept in the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
pub(super) struct Recipe {
    /// Teacher file, where the preset needs one that is not built in.
    #[arg(long)]
    pub(super) teacher: Option<PathBuf>,
    /// Flags for `destseg train`, after two dashes.
    #[arg(last = true, value_name = "TRAIN FLAGS")]
    pub(super) train: Vec<String>,
}

/// What a table calls a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) set: String,
    /// Method and preset.
    pub(super) recipe: String,
    /// Good images to train on; all of the set, if none.
    pub(super) images: Option<usize>,
}

/// One training and its evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// What messages call it.
    pub(super) name: String,
    pub(super) label: Label,
    /// Where its files are.
    pub(super) folder: PathBuf,
    /// The category's folder.
    pub(super) data: PathBuf,
    pub(super) seed: u64,
    /// Teacher file, where the preset needs one that is not built in.
    pub(super) teacher: Option<PathBuf>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Remembers the recipe of a folder of runs, and refuses to mix two.
pub(super) fn keep_recipe(out: &Path, recipe: &Recipe) -> Result<()> {
    check_output_folder(out)?;
    make_folder(out)?;
    let path = out.join("recipe.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return write_file(&path, serde_json::to_string_pretty(recipe)?.as_bytes());
    };
    match serde_json::from_str::<Recipe>(&text) {
        Ok(kept) if kept == *recipe => Ok(()),
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

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text = std::fs::read_to_string(self.folder.join(name))?;
        Ok(serde_json::from_str(&text)?)
    }

    fn model(&self) -> PathBuf {
        self.folder.join("model.safetensors")
    }

    /// What is the same whenever and wherever the run is done: the model, and all that was measured but times.
    pub(super) fn essence(&self) -> Result<Vec<u8>> {
        let mut evaluation = self.evaluation()?;
        evaluation.forget_times();
        let measured = serde_json::to_vec(&(evaluation, self.foreign(), self.nuisances()))?;
        let model = self.model();
        let model = std::fs::read(&model).map_err(Error::io("read", &model))?;
        Ok([model, measured].concat())
    }

    /// Trains or resumes, then evaluates. Existing results are kept.
    fn train_and_evaluate(&self, child: &Child<'_>) -> Result<CategoryReport> {
        make_folder(&self.folder)?;
        let model = self.model();
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
            let mut train = self.command(child, "train", &self.data, &log)?;
            train
                .arg("--out")
                .arg(&model)
                .args(["--seed", &self.seed.to_string()]);
            let kept = std::fs::read(&checkpoint);
            let resumes = kept.is_ok_and(|bytes| matches!(model_so_far(&bytes), Ok(Some(_))));
            // without a whole checkpoint, what an earlier try has left is of no use
            train.arg(if resumes { "--resume" } else { "--force" });
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
                bail!("{}", child::last_words(&log_path, "the training"));
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
        let mut eval = self.command(child, "eval", &self.data, log)?;
        eval.arg("--model").arg(model).args(["--format", "json"]);
        if self.split.as_ref().is_some_and(|split| !split.test.is_empty()) {
            eval.arg("--more-good").arg(self.folder.join(UNUSED));
        }
        Ok(eval)
    }

    /// A subcommand on data, with what all of them are given.
    fn command(&self, child: &Child<'_>, name: &str, data: &Path, log: &File) -> Result<Command> {
        let mut command = child.command(name, log)?;
        command.arg("--data").arg(data);
        if let Some(teacher) = &self.teacher {
            command.arg("--teacher").arg(teacher);
        }
        Ok(command)
    }

    /// What a child process writes to its standard output; `what` is its work.
    fn printed(&self, child: &Child<'_>, command: &mut Command, what: &str) -> Result<Vec<u8>> {
        child.printed(command, &self.folder.join(LOG), what)
    }
}

impl Task for Run {
    const NOUN: [&'static str; 2] = ["run", "runs"];

    fn is_done(&self) -> bool {
        self.report().is_ok()
            && (self.foreign.is_empty() || self.foreign().is_some())
            && (!self.nuisances || self.nuisances().is_some())
    }

    fn execute(&self, child: &Child<'_>) -> Result<String> {
        Ok(headline(&self.train_and_evaluate(child)?))
    }
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
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
