//! `destseg work`: does the units of a shard that have no result, and puts each result once.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Result, bail};

use super::files::{Hashes, hash, put_blob};
use super::images::{pack, said, unpack};
use super::store::Store;
use super::unit::Unit;
use super::{Failure, Named, Outcome, Plan, Storage, VERSION, names, read};
use crate::cli::common::make_folder;
use crate::cli::runs::{Child, Run, Task, Workers, check, work_off};
use destseg_engine::Error;
use destseg_engine::error::count;

/// Of what was seen of images, in the files of a result.
pub(super) const SEEN: &str = "seen.cbor";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    storage: Storage,
    /// Do the units of part I of N, counted from 0. Without it, Slurm's array or Kubernetes' job says which part of those
    /// that were planned, or all units are done.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    workers: Workers,
    /// Folder for what is not finished, such as checkpoints; unless given, a folder of the storage or the system's for
    /// temporary files.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// One part of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    const ALL: Self = Self { index: 0, count: 1 };

    /// As the flag says, or a scheduler, whose variables `variable` looks up.
    fn of(flag: Option<Self>, planned: usize, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        const INDICES: [&str; 2] = ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"];
        if let Some(shard) = flag {
            return Ok(shard);
        }
        let told = INDICES.into_iter().find_map(|name| Some((name, variable(name)?)));
        let Some((name, text)) = told else {
            return Ok(Self::ALL);
        };
        match text.parse() {
            Ok(index) if index < planned => Ok(Self {
                index,
                count: planned,
            }),
            _ => bail!(
                "{name} is {text}, but {planned} shards are planned, from 0 to {}: plan as many as the job has, or give --shard",
                planned - 1
            ),
        }
    }
}

impl Shard {
    /// The part of the units, in their order. Units are dealt out by their hashes, so that a set of slow ones goes to all.
    fn of_units<'a>(self, units: &'a [Named]) -> impl Iterator<Item = &'a Named> + use<'a> {
        let mut ids: Vec<&str> = units.iter().map(|unit| &*unit.id).collect();
        ids.sort_unstable();
        let own: HashSet<&str> = ids.into_iter().skip(self.index).step_by(self.count).collect();
        units.iter().filter(move |unit| own.contains(&*unit.id))
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .map(|(index, count)| (index.parse(), count.parse()));
        match numbers {
            Some((Ok(index), Ok(count))) if index < count => Ok(Self { index, count }),
            _ => Err("give a part and the number of parts, as in 0/4 to 3/4".into()),
        }
    }
}

pub(in crate::cli) fn run(args: &Args) -> Result<()> {
    let store = args.storage.open()?;
    let plan = Plan::read(&store)?;
    let variable = |name: &str| std::env::var(name).ok();
    let shard = Shard::of(args.shard, plan.shards, variable)?;
    if args.shard.is_none() {
        note_other_array(plan.shards, variable);
    }
    let scratch = match (&args.scratch, store.folder()) {
        (Some(folder), _) => folder.clone(),
        (None, Some(folder)) => folder.join("scratch"),
        (None, None) => std::env::temp_dir().join("destseg-scratch"),
    };
    make_folder(&scratch)?;
    let done = names(&store, "results")?;
    let hashes = Hashes::default();
    let tasks: Vec<StoredUnit<'_>> = shard
        .of_units(&plan.units)
        .map(|named| StoredUnit {
            named,
            is_done: done.contains(&named.result()),
            threads: plan.threads,
            store: &store,
            storage: &args.storage,
            scratch: &scratch,
            hashes: &hashes,
        })
        .collect();
    let failures = work_off(&args.workers, &tasks, &store)?;
    check(&failures, &tasks, "work")
}

/// Says where a job array of Slurm has another number of tasks than the plan has shards.
fn note_other_array(planned: usize, variable: impl Fn(&str) -> Option<String>) {
    let tasks: Option<usize> = variable("SLURM_ARRAY_TASK_COUNT").and_then(|text| text.parse().ok());
    if let Some(tasks) = tasks.filter(|&tasks| tasks != planned) {
        eprintln!(
            "note: the job array has {}, and {} are planned: each task does the shard of its index, others do the rest",
            count(tasks, "task", "tasks"),
            count(planned, "shard", "shards")
        );
    }
}

/// A unit of the plan, and where its result belongs.
struct StoredUnit<'a> {
    named: &'a Named,
    is_done: bool,
    threads: usize,
    store: &'a Store,
    storage: &'a Storage,
    scratch: &'a Path,
    hashes: &'a Hashes,
}

impl fmt::Display for StoredUnit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named.name)
    }
}

impl Task for StoredUnit<'_> {
    const NOUN: [&'static str; 2] = ["unit", "units"];

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }

    fn execute(&self, child: &Child<'_>) -> Result<String> {
        self.finish(child).inspect_err(|err| {
            if !child.is_interrupted() {
                self.note(&self.named.failure(), format!("{err:#}"));
            }
        })
    }
}

/// What a unit gave, before it is put.
struct Made {
    /// In a few words.
    said: String,
    /// What is the same whenever and wherever it is done.
    essence: Vec<u8>,
    files: Vec<(String, Vec<u8>)>,
}

impl StoredUnit<'_> {
    /// Leaves a reason in the storage. Where the storage is the reason, the error itself says more.
    fn note(&self, name: &str, reason: String) {
        let text = serde_json::to_vec(&Failure { reason });
        let _ = text.map(|text| self.store.put(name, text));
    }

    fn finish(&self, child: &Child<'_>) -> Result<String> {
        let unit: Unit = read(self.store, &self.named.unit())?;
        if unit.id(self.hashes)? != self.named.id {
            bail!("its data have changed since it was planned: plan again");
        }
        let place = Scratch::new(self.scratch, &self.named.id)?;
        if self.store.has(&self.named.result())? {
            place.clear();
            return Ok("done by another worker meanwhile".into());
        }
        let start = Instant::now();
        let made = match unit {
            Unit::Train(run) => train(*run, &place.folder, child)?,
            Unit::Images(_) => self.measure(&place.folder, child)?,
        };
        let said = self.put(made, start.elapsed().as_secs_f64())?;
        place.clear();
        Ok(said)
    }

    fn measure(&self, folder: &Path, child: &Child<'_>) -> Result<Made> {
        let (out, log) = (folder.join(SEEN), folder.join("log.txt"));
        let messages = File::create(&log).map_err(Error::io("write", &log))?;
        let mut command = child.command("work-images", &messages)?;
        self.storage.pass_to(&mut command);
        command.args(["--unit", &self.named.id]).arg("--out").arg(&out);
        child.printed(&mut command, &log, "the measurement")?;
        let seen = std::fs::read(&out).map_err(Error::io("read", &out))?;
        let mut session = unpack(&seen)?;
        session.forget_times();
        Ok(Made {
            said: said(&session),
            essence: pack(&session)?,
            files: vec![(SEEN.into(), seen)],
        })
    }

    /// Puts the files, then once the result that names them.
    fn put(&self, made: Made, seconds: f64) -> Result<String> {
        let mut files = BTreeMap::new();
        for (name, content) in made.files {
            files.insert(name, put_blob(self.store, content)?);
        }
        let outcome = Outcome {
            destseg: VERSION.into(),
            hash: hash(&made.essence),
            seconds,
            files,
        };
        if self
            .store
            .put_once(&self.named.result(), serde_json::to_vec_pretty(&outcome)?)?
        {
            return Ok(made.said);
        }
        let first: Outcome = read(self.store, &self.named.result())?;
        if first.hash != outcome.hash {
            const OTHER: &str = "it gave another result than the one that is there, which stays: the machines or devices of the \
                                 two workers compute differently";
            self.note(&self.named.conflict(), OTHER.into());
            bail!(OTHER);
        }
        Ok(format!("{}, as another worker found meanwhile", made.said))
    }
}

/// Trains and evaluates in a folder, or goes on there.
fn train(run: Run, folder: &Path, child: &Child<'_>) -> Result<Made> {
    let run = Run {
        folder: folder.to_owned(),
        ..run
    };
    let said = run.execute(child)?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.push((name, std::fs::read(&path).map_err(Error::io("read", &path))?));
    }
    Ok(Made {
        said,
        essence: run.essence()?,
        files,
    })
}

/// A folder for what a unit has not finished, of this worker alone.
struct Scratch {
    folder: PathBuf,
    /// The file by which others see that somebody works here; none for a folder that goes with the worker.
    lock: Option<(PathBuf, File)>,
    /// Removes the folder.
    _own: Option<tempfile::TempDir>,
}

impl Scratch {
    /// The folder where an earlier try may have left a checkpoint; while another worker is there, a new one.
    fn new(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(format!("{id}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::io("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {
                let folder = root.join(id);
                make_folder(&folder)?;
                Ok(Self {
                    folder,
                    lock: Some((path, lock)),
                    _own: None,
                })
            }
            // a file system without locks is as good as a busy folder
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {
                let own = tempfile::tempdir_in(root).map_err(Error::io("write into", root))?;
                Ok(Self {
                    folder: own.path().to_owned(),
                    lock: None,
                    _own: Some(own),
                })
            }
        }
    }

    /// Removes what is no longer needed; what cannot be removed does no harm.
    fn clear(self) {
        if let Some((path, lock)) = self.lock {
            let _ = std::fs::remove_dir_all(&self.folder);
            let _ = std::fs::remove_file(path);
            drop(lock);
        }
    }
}

impl Storage {
    /// The flags of this storage.
    fn pass_to(&self, command: &mut std::process::Command) {
        command
            .args(["--store", &self.store])
            .args(["--patience", &self.patience.to_string()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parts_of_a_number() {
        assert_eq!("3/4".parse(), Ok(Shard { index: 3, count: 4 }));
        for text in ["4/4", "0/0", "1", "a/2", "-1/2", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_unit_belongs_to_one_shard() {
        let unit = |number: u32| Named {
            id: hash(&number.to_le_bytes()),
            name: number.to_string(),
        };
        let units: Vec<Named> = (0..10).map(unit).collect();
        let parts = (0..3).map(|index| Shard { index, count: 3 }.of_units(&units).collect::<Vec<_>>());
        let parts: Vec<Vec<&Named>> = parts.collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 3]);
        for unit in &units {
            assert_eq!(parts.iter().filter(|part| part.contains(&unit)).count(), 1);
        }
        // in the plan's order, in which one seed of everything comes first
        let place = |named: &Named| named.name.parse::<u32>().expect("is a number");
        assert!(
            parts
                .iter()
                .all(|part| part.is_sorted_by_key(|named| place(named)))
        );
    }

    #[test]
    fn schedulers_say_which_shard_it_is() {
        let environment = |own: &'static str| move |name: &str| (name == own).then(|| "2".to_owned());
        let none = |_: &str| None;
        let given = Shard { index: 1, count: 9 };
        assert_eq!(
            Shard::of(Some(given), 4, environment("JOB_COMPLETION_INDEX")).expect("fits"),
            given
        );
        for name in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] {
            let own = Shard::of(None, 4, environment(name)).expect("fits");
            assert_eq!(own, Shard { index: 2, count: 4 });
            let err = Shard::of(None, 2, environment(name)).expect_err("does not fit");
            assert!(
                err.to_string().contains("2 shards are planned, from 0 to 1"),
                "{err}"
            );
        }
        assert_eq!(Shard::of(None, 4, none).expect("fits"), Shard::ALL);
    }

    #[test]
    fn two_workers_never_share_a_folder() {
        let root = tempfile::tempdir().expect("creates");
        let first = Scratch::new(root.path(), "a").expect("creates");
        std::fs::write(first.folder.join("checkpoint"), "half").expect("writes");
        let second = Scratch::new(root.path(), "a").expect("creates");
        assert_ne!(first.folder, second.folder);
        let own = second.folder.clone();
        second.clear();
        assert!(!own.exists() && first.folder.exists());
        // a worker that was killed leaves its folder to the next one
        drop(first);
        let third = Scratch::new(root.path(), "a").expect("creates");
        assert!(third.folder.join("checkpoint").exists());
        third.clear();
        assert_eq!(std::fs::read_dir(root.path()).expect("lists").count(), 0);
    }
}
