//! Work for several machines: `destseg plan` writes units, `work` does some of them, `merge` unites their results. Who runs
//! what, where, and again after a failure is the business of a scheduler.
//!
//! | name in the storage | what |
//! |---|---|
//! | `plan.json` | [`Plan`]: the units in order |
//! | `units/ID.json` | [`unit::Unit`] |
//! | `results/ID.json` | [`Outcome`], put once |
//! | `failures/ID.json` | [`Failure`]: why the last try failed |
//! | `conflicts/ID.json` | [`Failure`]: another worker got another result |
//! | `blobs/SHA256` | files of results, models and teachers |

mod engines;
mod files;
mod images;
pub(super) mod merge;
pub(super) mod plan;
mod source;
mod store;
mod unit;
pub(super) mod work;

pub(super) use images::{Args as ImagesArgs, run as work_images};

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::number::whole;
use super::runs::Recipe;
use store::Store;

/// The form of plans and results that this version writes and reads.
const FORMAT: u32 = 2;
/// What did the work; the same unit by another version has another name.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The name of the plan in its storage.
const PLAN: &str = "plan.json";

/// Where plan and results are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Storage {
    /// Folder that all machines see, or `s3://BUCKET/PREFIX` with the usual variables `AWS_*`.
    #[arg(short, long, value_name = "PLACE")]
    store: String,
    /// Seconds to try to reach a storage that does not answer.
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE, value_parser = whole(0..=3600_u64))]
    patience: u64,
}

/// Seconds to try to reach a storage, unless said otherwise.
const PATIENCE: u64 = 180;

impl Storage {
    fn open(&self) -> Result<Store> {
        Store::open(&self.store, Duration::from_secs(self.patience))
    }
}

/// All units, and what becomes of their results.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    format: u32,
    /// Version of the program that made it.
    destseg: String,
    /// Parts that the units are shared out in, where nobody says otherwise.
    shards: usize,
    /// Threads of a unit.
    threads: usize,
    table: TableKind,
    units: Vec<Named>,
}

/// What is made of the results.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TableKind {
    Bench(Recipe),
    Sweep(Recipe),
    Eval {
        set: String,
        model: String,
        /// Whether it is said of an image if it is good.
        labelled: bool,
        /// What is odd about the set.
        notes: Vec<String>,
    },
}

/// A unit in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    /// Hash of data, settings, seed and version.
    id: String,
    /// For people.
    name: String,
}

impl Named {
    fn unit(&self) -> String {
        format!("units/{}.json", self.id)
    }

    fn result(&self) -> String {
        format!("results/{}.json", self.id)
    }

    fn failure(&self) -> String {
        format!("failures/{}.json", self.id)
    }

    fn conflict(&self) -> String {
        format!("conflicts/{}.json", self.id)
    }
}

/// What a unit gave.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    destseg: String,
    /// SHA-256 of all that is the same whenever and wherever the unit is done.
    hash: String,
    /// Wall time of the unit that was put first.
    seconds: f64,
    /// Files by name: the SHA-256 under which they lie in `blobs`.
    files: BTreeMap<String, String>,
}

/// Why a unit has no result, or what is odd about it.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    reason: String,
}

impl Plan {
    /// The plan in a storage.
    ///
    /// # Errors
    /// If there is none, or one of another version.
    fn read(store: &Store) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
            destseg: String,
        }
        let Some(bytes) = store.get(PLAN)? else {
            bail!("{store} holds no plan: write one with `destseg plan --store {store}`");
        };
        let head: Head = parse(store, PLAN, &bytes)?;
        if head.format != FORMAT || head.destseg != VERSION {
            bail!(
                "the plan in {store} is of destseg {} (format {}), and this is {VERSION} (format {FORMAT}): use that version for \
                 all of it, or plan again",
                head.destseg,
                head.format
            );
        }
        let plan: Self = parse(store, PLAN, &bytes)?;
        if plan.shards == 0 {
            bail!("{PLAN} in {store} is damaged (it has no shards): plan again");
        }
        Ok(plan)
    }
}

/// Names of the files in a folder of the storage.
fn names(store: &Store, folder: &str) -> Result<HashSet<String>> {
    Ok(store.list(folder)?.into_iter().map(|(name, _)| name).collect())
}

/// Reads a file of a storage that this program wrote.
fn parse<T: DeserializeOwned>(store: &Store, name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|err| anyhow!("{name} in {store} is damaged ({err}): remove it and plan again"))
}

/// The file that a storage must hold.
fn read<T: DeserializeOwned>(store: &Store, name: &str) -> Result<T> {
    let bytes = store.get(name)?;
    let bytes = bytes.ok_or_else(|| anyhow!("{name} is missing in {store}: plan again"))?;
    parse(store, name, &bytes)
}
