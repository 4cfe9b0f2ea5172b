//! Units on several machines: the same as one machine, through kills, failures and everything that differs between machines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use destseg_engine::evaluation::{Bench, Evaluation};
use serde_json::Value;
use tempfile::TempDir;

#[path = "../support/command.rs"]
mod command;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod s3;
#[cfg(unix)]
mod slurm;

use command::{SHORT, demo_data, destseg, fails, succeeds};

const SETS: [&str; 2] = ["circuit", "fabric"];
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");

fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    for set in SETS {
        demo_data(folder.path(), set, [5, 2, 1], 3);
    }
    folder
}

/// Arguments from a line, and flags that make trainings short.
fn words<'a>(line: &'a str, train: &[&'a str]) -> Vec<&'a str> {
    line.split(' ').chain(train.iter().copied()).collect()
}

fn short() -> Vec<&'static str> {
    ["--"].into_iter().chain(SHORT).collect()
}

/// A program of the folder that `DESTSEG_CLUSTER` names, or that `cargo xtask setup --cluster` makes.
fn tool(name: &str) -> Option<PathBuf> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster");
    let folder = std::env::var_os("DESTSEG_CLUSTER").map_or(made, PathBuf::from);
    Some(folder.join("bin").join(name)).filter(|path| path.is_file())
}

/// Where a shell finds `destseg` and all else.
fn search_path() -> OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_destseg"))
        .parent()
        .expect("has a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path);
    std::env::join_paths([program.to_owned()].into_iter().chain(folders)).expect("joins")
}

/// The hash of each unit's result, by the unit's name in the storage.
fn hashes(store: &Path) -> BTreeMap<String, String> {
    let results = fs::read_dir(store.join("results")).expect("has results");
    let hash = |path: &Path| {
        let outcome: Value =
            serde_json::from_str(&fs::read_to_string(path).expect("reads")).expect("is JSON");
        outcome["hash"].as_str().expect("has a hash").to_owned()
    };
    let paths = results.map(|entry| entry.expect("lists").path());
    let named = paths.map(|path| {
        (
            path.file_name()
                .expect("has a name")
                .to_string_lossy()
                .into_owned(),
            hash(&path),
        )
    });
    named.collect()
}

fn evaluation(path: &Path) -> Evaluation {
    let text = fs::read_to_string(path).expect("is written");
    let mut own: Evaluation = serde_json::from_str(&text).expect("is an evaluation");
    own.forget_times();
    own
}

#[test]
fn two_shards_of_a_bench_are_the_bench_of_one_machine() {
    let folder = data();
    let path = folder.path();
    // more threads than a unit has: models do not depend on their number
    let alone = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(words(
            "bench circuit fabric --images 4,all -o alone --devices cpu",
            &short(),
        ))
        .current_dir(path)
        .env("RAYON_NUM_THREADS", "2")
        .output()
        .expect("destseg starts");
    assert!(
        alone.status.success(),
        "{}",
        String::from_utf8_lossy(&alone.stderr)
    );
    let plan = words(
        "plan --store store --shards 2 bench circuit fabric --images 4,all",
        &short(),
    );
    let (script, notes) = succeeds(&plan, path);
    assert!(notes.contains("4 units, 0 of them done already"), "{notes}");
    assert_eq!(script.matches("destseg work").count(), 2, "{script}");
    for shard in ["0/2", "1/2"] {
        let (_, notes) = succeeds(&words("work --store store --devices cpu --shard", &[shard]), path);
        assert!(notes.contains("2 units, 0 of them done already"), "{notes}");
    }
    let (table, _) = succeeds(&words("merge --store store -o merged", &[]), path);

    let bench = |name: &str| {
        let text = fs::read_to_string(path.join(name).join("bench.json")).expect("is written");
        let mut own: Bench = serde_json::from_str(&text).expect("is a bench");
        own.rows.iter_mut().for_each(|row| row.seconds = None);
        own
    };
    assert_eq!(bench("merged"), bench("alone"), "{table}");
    for set in SETS {
        for images in ["4", "all"] {
            let run = format!("destseg-compact/{images}/{set}/seed-0");
            let read = |name: &str| {
                fs::read(path.join(name).join(&run).join("model.safetensors")).expect("is there")
            };
            assert!(read("merged") == read("alone"), "{run}");
            let read = |name: &str| evaluation(&path.join(name).join(&run).join("evaluation.json"));
            assert_eq!(read("merged"), read("alone"), "{run}");
        }
    }
    // one machine goes on with what several have done
    let more = words(
        "bench circuit fabric --images 4,all -o merged --devices cpu",
        &short(),
    );
    let (_, notes) = succeeds(&more, path);
    assert!(notes.contains("4 runs, 4 of them done already"), "{notes}");

    // a larger plan keeps what is done, and neither clocks, places nor threads count
    fs::rename(path.join("fabric"), path.join("elsewhere")).expect("renames");
    fs::create_dir(path.join("data")).expect("creates");
    fs::rename(path.join("elsewhere"), path.join("data/fabric")).expect("renames");
    let image = fs::File::options()
        .write(true)
        .open(path.join("data/fabric/train/good/000.png"));
    image
        .and_then(|file| file.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)))
        .expect("sets");
    let plan = words("plan --store store sweep --data data --seeds 0,1", &short());
    let (_, notes) = succeeds(&plan, path);
    assert!(
        notes.contains("2 units, 0 of them done already"),
        "other flags: {notes}"
    );
    let line = "plan --store store --threads 3 bench data/fabric --images 4,all";
    let (_, notes) = succeeds(&words(line, &short()), path);
    assert!(notes.contains("2 units, 2 of them done already"), "{notes}");
}

#[test]
fn chunks_of_a_labelled_set_are_its_evaluation() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 6, 3], 5);
    let eval = words(
        "eval --data fabric --device cpu --report alone.json --model",
        &[MODEL],
    );
    succeeds(&eval, path);
    let plan = words(
        "plan --store store eval --data fabric --chunk 5 --model",
        &[MODEL],
    );
    succeeds(&plan, path);
    for shard in ["1/2", "0/2"] {
        succeeds(&words("work --store store --devices cpu --shard", &[shard]), path);
    }
    let (table, _) = succeeds(&words("merge --store store -o merged", &[]), path);
    assert!(table.contains("segmentation"), "{table}");
    assert_eq!(
        evaluation(&path.join("merged/evaluation.json")),
        evaluation(&path.join("alone.json"))
    );
    assert!(path.join("merged/report.html").exists() && path.join("merged/report.json").exists());
}

#[cfg(unix)]
#[test]
fn images_without_labels_are_scored_in_their_order() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 6, 1], 5);
    fs::rename(path.join("fabric/test/good"), path.join("archive")).expect("renames");
    fs::write(path.join("archive/broken.png"), "no image").expect("writes");
    succeeds(
        &words(
            "eval --data archive --device cpu --report alone.csv --model",
            &[MODEL],
        ),
        path,
    );
    let line = "plan --store store --shards 2 eval --data archive --chunk 3 --model";
    let (script, _) = succeeds(&words(line, &[MODEL]), path);
    // changed since it was planned: said of the image, and the others are scored
    fs::write(path.join("archive/broken.png"), "still no image").expect("writes");
    fs::write(path.join("job.sh"), script).expect("writes");
    let mut workers = Command::new("sh");
    workers.arg("job.sh").current_dir(path).env("PATH", search_path());
    assert!(workers.status().expect("sh runs").success());
    let (said, _) = succeeds(&words("merge --store store -o merged", &[]), path);
    assert!(
        said.contains("7 images of archive") && said.contains("1 could not be analysed"),
        "{said}"
    );
    let cells = |name: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(path.join(name)).expect("is written");
        let mut rows: Vec<Vec<String>> = text
            .lines()
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect();
        // milliseconds
        rows.iter_mut().for_each(|row| row[8].clear());
        rows
    };
    let (merged, alone) = (cells("merged/images.csv"), cells("alone.csv"));
    assert_eq!(merged.len(), 8);
    for (merged, alone) in merged.iter().zip(&alone) {
        if merged[0].contains("broken") {
            assert_eq!(merged[9], "it has changed since it was planned");
        } else {
            assert_eq!(merged, alone);
        }
    }
}

#[test]
fn a_unit_that_always_fails_is_reported_and_the_rest_goes_on() {
    let folder = data();
    let path = folder.path();
    fs::write(path.join("circuit/train/good/000.png"), "no image").expect("writes");
    succeeds(&words("plan --store store bench circuit fabric", &short()), path);
    for _ in 0..2 {
        let errors = fails(&words("work --store store --devices cpu", &[]), path);
        assert!(
            errors.contains("1 of 2 units failed: circuit, destseg compact"),
            "{errors}"
        );
    }
    let errors = fails(&words("merge --store store -o merged", &[]), path);
    assert!(errors.contains("1 of 2 units has no result: circuit"), "{errors}");
    assert!(
        errors.contains("failed, ") && errors.contains("000.png"),
        "{errors}"
    );
    let table = fs::read_to_string(path.join("merged/bench.csv")).expect("is written");
    assert!(table.contains("fabric") && !table.contains("circuit"), "{table}");

    // data that are no longer those of the plan
    fs::remove_file(path.join("circuit/train/good/000.png")).expect("removes");
    let errors = fails(&words("work --store store --devices cpu", &[]), path);
    assert!(
        errors.contains("its data have changed since it was planned: plan again"),
        "{errors}"
    );
    // a damaged file of a result costs that unit alone, and is replaced once the result is gone
    let blobs = fs::read_dir(path.join("store/blobs")).expect("lists");
    for blob in blobs {
        fs::write(blob.expect("lists").path(), "damaged").expect("writes");
    }
    let errors = fails(&words("merge --store store -o other", &[]), path);
    assert!(errors.contains("2 of 2 units have no result"), "{errors}");
    let named = errors
        .split("is damaged): remove ")
        .nth(1)
        .expect("names a result");
    let result = named.split(';').next().expect("has an end");
    fs::remove_file(path.join("store").join(result)).expect("was named");
    succeeds(&words("plan --store store bench fabric", &short()), path);
    succeeds(&words("work --store store --devices cpu", &[]), path);
    succeeds(&words("merge --store store -o mended", &[]), path);
}

/// What a killed worker leaves before its first checkpoint, and a checkpoint that is damaged.
#[test]
fn useless_remains_of_an_earlier_try_are_no_obstacle() {
    let folder = data();
    let path = folder.path();
    let work = words("work --store store --devices cpu", &[]);
    succeeds(&words("plan --store store bench fabric", &short()), path);
    succeeds(&work, path);
    succeeds(&words("merge --store store -o merged", &[]), path);
    let settings =
        fs::read(path.join("merged/destseg-compact/all/fabric/seed-0/model.toml")).expect("is there");
    let result = path.join("store").join(first_result(path));
    let scratch = path
        .join("store/scratch")
        .join(result.file_stem().expect("has a name"));
    let before = hashes(&path.join("store"));
    for checkpoint in [None, Some("garbage")] {
        fs::remove_file(&result).expect("removes");
        fs::create_dir_all(&scratch).expect("creates");
        fs::write(scratch.join("model.toml"), &settings).expect("writes");
        if let Some(content) = checkpoint {
            fs::write(scratch.join("model.safetensors.checkpoint"), content).expect("writes");
        }
        succeeds(&work, path);
        assert_eq!(hashes(&path.join("store")), before);
    }
}

/// The name in the storage of what the first unit of the plan gives.
fn first_result(path: &Path) -> String {
    let plan = fs::read_to_string(path.join("store/plan.json")).expect("is written");
    let plan: Value = serde_json::from_str(&plan).expect("is JSON");
    format!(
        "results/{}.json",
        plan["units"][0]["id"].as_str().expect("has an id")
    )
}

#[test]
fn whatever_changes_a_measurement_makes_it_another_unit() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 2, 2], 5);
    let line = "plan --store store eval --data fabric --chunk 4 --model";
    let plan = words(line, &[MODEL]);
    let work = words("work --store store --devices cpu", &[]);
    succeeds(&plan, path);
    succeeds(&work, path);
    let (_, notes) = succeeds(&plan, path);
    assert!(notes.contains("4 units, 4 of them done already"), "{notes}");

    // a mask that somebody corrected
    let masks = path.join("fabric/ground_truth/hole");
    fs::copy(masks.join("001_mask.png"), masks.join("000_mask.png")).expect("copies");
    let (_, notes) = succeeds(&plan, path);
    assert!(notes.contains("4 units, 3 of them done already"), "{notes}");
    assert!(
        notes.contains("1 of the plan before (4 units) are not in this one"),
        "{notes}"
    );
    succeeds(&work, path);
    succeeds(&words("merge --store store -o merged", &[]), path);
    succeeds(
        &words(
            "eval --data fabric --device cpu --report alone.json --model",
            &[MODEL],
        ),
        path,
    );
    assert_eq!(
        evaluation(&path.join("merged/evaluation.json")),
        evaluation(&path.join("alone.json"))
    );

    // an image of as many bytes, and another after the plan was made
    let image = path.join("fabric/test/good/000.png");
    let mut bytes = fs::read(&image).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&image, &bytes).expect("writes");
    let (_, notes) = succeeds(&plan, path);
    assert!(notes.contains("4 units, 3 of them done already"), "{notes}");
    bytes[last] ^= 3;
    fs::write(&image, &bytes).expect("writes");
    succeeds(&work, path);
    fs::remove_file(path.join("store").join(first_result(path))).expect("removes");
    fails(&words("merge --store store -o merged", &[]), path);
    // what was whole stays, what lacks a chunk says so
    assert_eq!(
        evaluation(&path.join("merged/evaluation.json")),
        evaluation(&path.join("alone.json"))
    );
    let incomplete = evaluation(&path.join("merged/incomplete-evaluation.json"));
    assert!(
        incomplete
            .notes
            .iter()
            .any(|note| note.contains("1 chunk has no result"))
    );
    assert!(path.join("merged/incomplete-report.html").exists());
}

#[cfg(unix)]
#[test]
fn an_image_that_may_not_be_read_has_a_row_that_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 2, 1], 5);
    let image = path.join("fabric/test/good/000.png");
    fs::set_permissions(&image, fs::Permissions::from_mode(0o000)).expect("sets");
    if fs::read(&image).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    succeeds(
        &words("plan --store store eval --data fabric --model", &[MODEL]),
        path,
    );
    succeeds(&words("work --store store --devices cpu", &[]), path);
    succeeds(&words("merge --store store -o merged", &[]), path);
    let rows = fs::read_to_string(path.join("merged/images.csv")).expect("is written");
    assert!(rows.contains("it cannot be read"), "{rows}");
}

#[test]
fn plans_of_other_versions_are_refused() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 1, 1], 5);
    let line = "plan --store store --engine slurm eval --data fabric --model";
    let (script, _) = succeeds(&words(line, &[MODEL]), path);
    fs::write(path.join("job.sbatch"), &script).expect("writes");
    let checked = Command::new("bash")
        .arg("-n")
        .arg(path.join("job.sbatch"))
        .status();
    assert!(checked.is_ok_and(|status| status.success()), "{script}");
    let plan = path.join("store/plan.json");
    let text = fs::read_to_string(&plan).expect("is written");
    let own: Value = serde_json::from_str(&text).expect("is JSON");
    for (field, value) in [("format", Value::from(9)), ("destseg", Value::from("0.0.9"))] {
        let mut other = own.clone();
        other[field] = value;
        fs::write(&plan, other.to_string()).expect("writes");
        for command in ["work --store store", "merge --store store -o out"] {
            let errors = fails(&words(command, &[]), path);
            assert!(
                errors.contains("use that version for all of it, or plan again"),
                "{errors}"
            );
        }
    }
    fs::write(&plan, &text[..40]).expect("writes");
    let errors = fails(&words("work --store store", &[]), path);
    assert!(errors.contains("plan.json in store is damaged"), "{errors}");
    fs::remove_file(&plan).expect("removes");
    let errors = fails(&words("work --store store", &[]), path);
    assert!(errors.contains("store holds no plan"), "{errors}");
    let output = destseg(
        &words(
            "plan --store store --engine kubernetes eval --data fabric --model",
            &[MODEL],
        ),
        path,
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("--image"), "{errors}");
}

#[test]
fn manifests_fit_the_schema_of_kubernetes() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [4, 1, 1], 5);
    let line = "plan --store store --shards 7 --engine kubernetes --image registry/destseg:1 --mount data=/data eval --data fabric \
                --model";
    let (manifest, _) = succeeds(&words(line, &[MODEL]), path);
    let file = path.join("job.json");
    fs::write(&file, &manifest).expect("writes");
    let Some(program) = tool("kubernetes-validate") else {
        println!("skipped: needs kubernetes-validate (cargo xtask setup --cluster)");
        return;
    };
    for version in ["1.29", "1.37"] {
        let checked = Command::new(&program)
            .args(["--strict", "--kubernetes-version", version])
            .arg(&file)
            .output()
            .expect("starts");
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
    }
    // the schema itself refuses what is no field
    fs::write(&file, manifest.replace("parallelism", "paralelism")).expect("writes");
    let checked = Command::new(&program)
        .arg("--strict")
        .arg(&file)
        .output()
        .expect("starts");
    assert!(!checked.status.success());
}
