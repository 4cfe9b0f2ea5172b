//! Several tasks at a time, each in a child process.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use super::Workers;
use super::child::{Child, THREADS};
use crate::cli::interrupt::{self, Interrupted};
use destseg_engine::error::count;

/// Something that child processes do; messages show its name.
pub(in crate::cli) trait Task: Display + Sync {
    /// One and several of them.
    const NOUN: [&'static str; 2];

    /// Whether its results are there.
    fn is_done(&self) -> bool;

    /// Threads that it always has; none where it takes its share of the machine.
    fn threads(&self) -> Option<usize> {
        None
    }

    /// Does it, and says in a few words what came out.
    fn execute(&self, child: &Child<'_>) -> Result<String>;
}

fn counted<T: Task>(tasks: &[T]) -> String {
    let [one, several] = T::NOUN;
    count(tasks.len(), one, several)
}

/// Does the tasks that are not done, several at a time, and returns what failed. `place` is where their results are.
///
/// # Errors
/// [`Interrupted`] after Ctrl-C, once the tasks that were under way have stopped.
pub(in crate::cli) fn work_off<T: Task>(
    workers: &Workers,
    tasks: &[T],
    place: impl Display,
) -> Result<Vec<String>> {
    let (done, open): (Vec<&T>, Vec<&T>) = tasks.iter().partition(|task| task.is_done());
    let done = done.len();
    eprintln!("{}, {done} of them done already, in {place}", counted(tasks));
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let jobs = workers
        .jobs
        .unwrap_or(workers.devices.len())
        .clamp(1, open.len().max(1));
    let share = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .div_ceil(jobs);
    let share = std::env::var_os(THREADS).is_none().then_some(share);
    let queue = Mutex::new(VecDeque::from(open));
    let failures = Mutex::new(Vec::new());
    let finished = AtomicUsize::new(done);
    let interrupt = interrupt::watch();
    std::thread::scope(|scope| {
        for device in workers.devices.iter().cycle().take(jobs) {
            let device = device
                .to_possible_value()
                .map_or("auto".into(), |value| value.get_name().to_owned());
            let (queue, failures, finished) = (&queue, &failures, &finished);
            let (program, interrupt) = (&program, &interrupt);
            scope.spawn(move || {
                let next = || {
                    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.pop_front().filter(|_| !interrupt.is_requested())
                };
                while let Some(task) = next() {
                    let start = Instant::now();
                    eprintln!("{task}: started on {device}");
                    let done = task.execute(&Child {
                        program,
                        device: &device,
                        threads: task.threads().or(share),
                        interrupt,
                    });
                    match done {
                        Ok(said) => {
                            eprintln!("{task}: {said} in {:.0} s", start.elapsed().as_secs_f64());
                            finished.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(_) if interrupt.is_requested() => eprintln!("{task}: stopped"),
                        Err(err) => {
                            eprintln!("{task}: failed, {err:#}");
                            failures
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(format!("{task}: {err:#}"));
                        }
                    }
                }
            });
        }
    });
    if interrupt.is_requested() {
        bail!(Interrupted(format!(
            "stopped with {} of {} done: start the same command again to go on, trainings from their checkpoints",
            finished.into_inner(),
            counted(tasks)
        )));
    }
    Ok(failures.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// An error that lists the tasks that failed, if any did.
pub(in crate::cli) fn check<T: Task>(failures: &[String], tasks: &[T], command: &str) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} failed: {}; mend the cause and start the same {command} again, the others are kept",
        failures.len(),
        counted(tasks),
        failures.join("; ")
    )
}
