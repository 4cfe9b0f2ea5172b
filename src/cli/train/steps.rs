//! The steps of a training: progress, checkpoints and interruptions.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use indicatif::ProgressBar;

use crate::cli::common::{progress_bar, write_file};
use crate::cli::interrupt::{self, Interrupted};
use destseg_engine::Error;
use destseg_engine::config::TrainConfig;
use destseg_engine::train::{Stage, StepReport, Trainer};

/// How much of the smooth loss a step keeps: it is easier to read than each batch's.
const KEEP: f32 = 0.9;
/// A log file gets a line every so many steps; a terminal has the bar.
const LOG_EVERY: usize = 50;

/// Takes up a training from its checkpoint.
pub(super) fn resume(trainer: &mut Trainer, checkpoint: &Path) -> Result<()> {
    let bytes = std::fs::read(checkpoint).map_err(Error::io("read", checkpoint))?;
    Ok(trainer.resume(&bytes).map_err(|err| err.in_file(checkpoint))?)
}

/// Does all steps that are left, and writes a checkpoint every `checkpoint_every` of them.
///
/// # Errors
/// [`Interrupted`] after Ctrl-C; the checkpoint then holds the last step.
pub(super) async fn train(
    trainer: &mut Trainer,
    config: &TrainConfig,
    checkpoint_every: usize,
    checkpoint: &Path,
) -> Result<()> {
    let interrupt = (checkpoint_every > 0).then(interrupt::watch);
    let mut progress = Progress::new(trainer.steps_done(), config);
    while let Some(report) = trainer.step().await? {
        progress.show(&report, trainer.total_steps());
        let ends = report.step == trainer.total_steps();
        let interrupted = !ends && interrupt.as_ref().is_some_and(interrupt::Watch::is_requested);
        let due = checkpoint_every > 0 && report.step.is_multiple_of(checkpoint_every) && !ends;
        if due || interrupted {
            write_file(checkpoint, &trainer.checkpoint().await?)?;
        }
        if interrupted {
            progress.bar.finish_and_clear();
            bail!(Interrupted(format!(
                "stopped after step {} of {}. {} holds what was learned: run the same command with --resume to go on",
                report.step,
                trainer.total_steps(),
                checkpoint.display()
            )));
        }
    }
    progress.finish(config);
    Ok(())
}

/// What is shown while it trains.
struct Progress {
    bar: ProgressBar,
    /// Steps of the first stage.
    first_stage: usize,
    /// Steps done before this run.
    before: usize,
    start: Instant,
    loss: Option<f32>,
}

impl Progress {
    fn new(done: usize, config: &TrainConfig) -> Self {
        let first_stage = config.student.steps;
        let bar = if done <= first_stage {
            progress_bar(first_stage, "stage 1").with_position(done as u64)
        } else {
            let done = done - first_stage;
            progress_bar(config.segmentation.steps, "stage 2").with_position(done as u64)
        };
        Self {
            bar,
            first_stage,
            before: done,
            start: Instant::now(),
            loss: None,
        }
    }

    fn show(&mut self, report: &StepReport, total: usize) {
        let second = report.stage == Stage::Segmentation;
        if second && report.step == self.first_stage + 1 {
            if let Some(loss) = self.loss.take() {
                self.bar
                    .suspend(|| eprintln!("stage 1 done, cosine loss {loss:.4}"));
            }
            self.bar.set_prefix("stage 2");
            self.bar.set_length((total - self.first_stage) as u64);
            self.bar.reset();
        }
        let loss = self
            .loss
            .map_or(report.loss, |old| KEEP * old + (1.0 - KEEP) * report.loss);
        self.loss = Some(loss);
        let losses = match report.parts {
            None => format!("cosine {loss:.4}"),
            Some([focal, l1]) => format!("loss {loss:.4} (focal {focal:.4}, L1 {l1:.4})"),
        };
        if self.bar.is_hidden() && report.step.is_multiple_of(LOG_EVERY) {
            let rate = (report.step - self.before) as f64 / self.start.elapsed().as_secs_f64();
            eprintln!("step {} of {total}: {losses}, {rate:.2} steps/s", report.step);
        }
        self.bar.set_message(losses);
        self.bar.inc(1);
    }

    fn finish(&self, config: &TrainConfig) {
        self.bar.finish_and_clear();
        let stage = if config.segmentation.steps > 0 { 2 } else { 1 };
        if let Some(loss) = self.loss {
            eprintln!("stage {stage} done, loss {loss:.4}");
        }
    }
}
