//! Workers that are killed, and shards that run twice.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

use super::{command, data, hashes, short, words};
use command::{fails, succeeds};

/// Kills, where `DESTSEG_KILLS` says nothing.
const KILLS: usize = 3;

/// Starts a worker whose children end with it, as those of a machine that is lost.
fn start(arguments: &str, folder: &Path) -> Child {
    use std::os::unix::process::CommandExt as _;

    Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(arguments.split(' '))
        .current_dir(folder)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("destseg starts")
}

/// Ends a worker and its children at once.
fn kill(worker: &mut Child) {
    let group = format!("-{}", worker.id());
    let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
    assert!(killed.expect("kill runs").success());
    worker.wait().expect("ends");
}

/// Twelve units, done by two workers of which one or the other is killed, have the hashes of an undisturbed run.
#[test]
fn kills_at_random_moments_change_no_result() {
    let folder = data();
    let path = folder.path();
    let mut flags = short();
    flags.extend(["--checkpoint-every", "1"]);
    for store in ["whole", "killed"] {
        let line = format!("plan --store {store} bench circuit fabric --images 4 --seeds 0,1,2,3,4,5");
        let (_, notes) = succeeds(&words(&line, &flags), path);
        assert!(notes.contains("12 units"), "{notes}");
    }
    let begin = Instant::now();
    succeeds(&words("work --store whole --devices cpu --jobs 2", &[]), path);
    let unit = begin.elapsed() / 6;
    let given = std::env::var("DESTSEG_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let wanted: usize = given.unwrap_or(KILLS);
    let mut rng = Pcg64::seed_from_u64(11);
    let line = |shard: usize| format!("work --store killed --devices cpu --shard {shard}/2");
    let mut workers = [0, 1].map(|shard| start(&line(shard), path));
    // spread over the time that all units take
    let most = unit.mul_f64(1.0_f64.min(8.0 / wanted as f64));
    let mut kills = 0;
    for _ in 0..wanted {
        std::thread::sleep(most.mul_f64(rng.random::<f64>()));
        let shard = usize::from(rng.random::<bool>());
        if workers[shard].try_wait().expect("is a child").is_none() {
            kill(&mut workers[shard]);
            kills += 1;
        }
        workers[shard] = start(&line(shard), path);
    }
    for worker in &mut workers {
        assert!(worker.wait().expect("ends").success());
    }
    let expected = hashes(&path.join("whole"));
    assert_eq!(expected.len(), 12);
    assert_eq!(hashes(&path.join("killed")), expected, "after {kills} kills");
    assert!(kills > 0, "all was done before the first kill");
    println!("{kills} kills of a worker at work, 12 units with the same hashes");
}

#[test]
fn a_shard_that_runs_twice_gives_one_result() {
    let folder = data();
    let path = folder.path();
    // as many images as the set has: none is left over for the test
    let line = "plan --store store bench fabric --images 5 --seeds 0,1";
    succeeds(&words(line, &short()), path);
    let line = "work --store store --devices cpu";
    let mut twins = [start(line, path), start(line, path)];
    for twin in &mut twins {
        assert!(twin.wait().expect("ends").success());
    }
    assert_eq!(hashes(&path.join("store")).len(), 2);
    let left = fs::read_dir(path.join("store/scratch")).expect("lists").count();
    assert_eq!(left, 0, "nothing is left");
    // a result that another machine found differently stays, and is reported
    let results = fs::read_dir(path.join("store/results")).expect("lists");
    let first = results
        .map(|entry| entry.expect("lists").path())
        .next()
        .expect("is there");
    let text = fs::read_to_string(&first).expect("reads");
    fs::remove_file(&first).expect("removes");
    let mut worker = start(line, path);
    // once the training has begun, somebody else is done
    let scratch = path
        .join("store/scratch")
        .join(first.file_stem().expect("has a name"));
    while !scratch.join("train.log").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut other: Value = serde_json::from_str(&text).expect("is JSON");
    other["hash"] = "0".into();
    fs::write(&first, other.to_string()).expect("writes");
    assert!(!worker.wait().expect("ends").success());
    let (_, notes) = succeeds(&words("merge --store store -o merged", &[]), path);
    assert!(notes.contains("it gave another result"), "{notes}");
    let errors = fails(&words("work --store nowhere", &[]), path);
    assert!(errors.contains("there is no folder nowhere"), "{errors}");
}
