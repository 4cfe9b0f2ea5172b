//! The child processes of a run: how they are started, and how Ctrl-C reaches them.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::interrupt::Watch;

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How child processes are started.
#[derive(Debug)]
pub(super) struct Child<'a> {
    pub(super) program: &'a Path,
    pub(super) teacher: Option<&'a Path>,
    pub(super) device: &'a str,
    pub(super) threads: usize,
    pub(super) interrupt: &'a Watch,
}

impl Child<'_> {
    pub(super) fn command(&self, name: &str, data: &Path, log: &File) -> Result<Command> {
        const THREADS: &str = "RAYON_NUM_THREADS";
        let mut command = Command::new(self.program);
        command
            .arg(name)
            .arg("--data")
            .arg(data)
            .args(["--device", self.device]);
        if let Some(teacher) = self.teacher {
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
            if self.interrupt.is_requested() {
                drop(input.take());
            }
            thread::sleep(POLL);
        }
    }

    /// Runs a command that keeps nothing, and returns what it writes to its standard output. Ctrl-C ends it.
    pub(super) fn output(&self, command: &mut Command) -> Result<(ExitStatus, Vec<u8>)> {
        // a pipe would have to be emptied meanwhile
        let mut printed = tempfile::tempfile()?;
        let mut child = command.stdout(printed.try_clone()?).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.interrupt.is_requested() {
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
