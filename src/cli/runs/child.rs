//! The child processes of a run: how they are started, and how Ctrl-C reaches them.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::interrupt::Watch;

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How child processes are started.
#[derive(Debug)]
pub(in crate::cli) struct Child<'a> {
    pub(super) program: &'a Path,
    pub(super) device: &'a str,
    /// How many threads it has; none where the environment says so.
    pub(super) threads: Option<usize>,
    pub(super) interrupt: &'a Watch,
}

/// The environment variable with the number of threads.
pub(super) const THREADS: &str = "RAYON_NUM_THREADS";

impl Child<'_> {
    /// Whether Ctrl-C was pressed.
    pub(in crate::cli) fn is_interrupted(&self) -> bool {
        self.interrupt.is_requested()
    }

    /// A subcommand with its device, which says what it does in `log`.
    pub(in crate::cli) fn command(&self, name: &str, log: &File) -> Result<Command> {
        let mut command = Command::new(self.program);
        command.arg(name).args(["--device", self.device]);
        if let Some(threads) = self.threads {
            command.env(THREADS, threads.to_string());
        }
        command
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("cannot use the log file")?);
        Ok(command)
    }

    /// Runs a training to its end. The end of its standard input asks it to stop and to keep a checkpoint: after Ctrl-C, and
    /// where this process is ended in another way.
    pub(super) fn train(&self, command: &mut Command) -> Result<ExitStatus> {
        command.arg("--stop-with-input").stdin(Stdio::piped());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.is_interrupted() {
                drop(input.take());
            }
            thread::sleep(POLL);
        }
    }

    /// What a command that keeps nothing writes to its standard output. Ctrl-C ends it. `what` is its work, `log` where it
    /// says what it does.
    pub(in crate::cli) fn printed(&self, command: &mut Command, log: &Path, what: &str) -> Result<Vec<u8>> {
        let (status, printed) = self
            .output(command)
            .with_context(|| format!("cannot start {what}"))?;
        if !status.success() {
            bail!("{}", last_words(log, what));
        }
        Ok(printed)
    }

    fn output(&self, command: &mut Command) -> Result<(ExitStatus, Vec<u8>)> {
        // a pipe would have to be emptied meanwhile
        let mut printed = tempfile::tempfile()?;
        let mut child = command.stdout(printed.try_clone()?).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.is_interrupted() {
                child.kill()?;
            }
            thread::sleep(POLL);
        };
        let mut bytes = Vec::new();
        printed.rewind()?;
        printed.read_to_end(&mut bytes)?;
        Ok((status, bytes))
    }
}

/// Why a child process stopped: its error sentence, if it left one in the log.
pub(super) fn last_words(log: &Path, what: &str) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let sentence = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    sentence.map_or_else(
        || format!("{what} was ended from outside, see {}", log.display()),
        str::to_owned,
    )
}
