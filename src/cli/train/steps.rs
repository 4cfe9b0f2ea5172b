//! The steps of a training: checkpoints and interruptions.

use std::path::Path;

use anyhow::{Result, bail};

use super::progress::Progress;
use crate::cli::common::write_file;
use crate::cli::interrupt::{self, Interrupted};
use destseg_engine::Error;
use destseg_engine::train::Trainer;

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
    mut progress: Progress,
    checkpoint_every: usize,
    checkpoint: &Path,
) -> Result<()> {
    let interrupt = (checkpoint_every > 0).then(interrupt::watch);
    if interrupt.is_some() {
        eprintln!("Ctrl-C keeps what was learned so far, and the same command with --resume goes on");
    }
    while let Some(report) = trainer.step().await? {
        progress.show(&report);
        let ends = report.step == trainer.total_steps();
        let interrupted = !ends && interrupt.as_ref().is_some_and(interrupt::Watch::is_requested);
        let due = checkpoint_every > 0 && report.step.is_multiple_of(checkpoint_every);
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
    progress.finish();
    Ok(())
}
