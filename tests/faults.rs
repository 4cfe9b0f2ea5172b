//! Writes that fail: whatever is written, the old file stays whole, nothing is left beside it, and one sentence says why.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

/// Every file below a folder, with its content.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(own) = open.pop() {
        for entry in fs::read_dir(own).expect("reads") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("is below").display().to_string();
                all.insert(name, fs::read(&path).expect("reads"));
            }
        }
    }
    all
}

/// Runs the program where no file can become longer than so many blocks of 512 bytes, as on a full disk.
fn on_a_full_disk(arguments: &[&str], folder: &Path, blocks: usize) -> (Option<i32>, String) {
    // a write beyond the limit fails instead of ending the program
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_destseg")])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("sh starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_full_disk_costs_no_file_that_was_there() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 4, 2], 3);
    let train = [
        "train",
        "--data",
        "fabric",
        "--device",
        "cpu",
        "--force",
        "-o",
        "m.safetensors",
    ];
    succeeds(&[&train[..], &SHORT].concat(), path);
    succeeds(
        &[
            "eval",
            "--data",
            "fabric",
            "-m",
            "m.safetensors",
            "--device",
            "cpu",
            "--report",
            "r.html",
            "--report",
            "r.json",
        ],
        path,
    );
    succeeds(
        &[
            "predict",
            "fabric/test/good/000.png",
            "-m",
            "m.safetensors",
            "--device",
            "cpu",
            "-o",
            "out",
            "--csv",
            "t.csv",
        ],
        path,
    );
    fs::copy(path.join("m.safetensors"), path.join("n.safetensors")).expect("copies");
    let before = content(path);
    let model = ["-m", "m.safetensors", "--device", "cpu"];
    let commands: [Vec<&str>; 6] = [
        [&train[..], &SHORT].concat(),
        [
            &["calibrate", "--promise", "1", "--force", "-o", "n.safetensors"],
            &model[..],
        ]
        .concat(),
        [
            &[
                "correct",
                "--good",
                "fabric/test/good",
                "--force",
                "-o",
                "n.safetensors",
            ],
            &model[..],
        ]
        .concat(),
        [
            &[
                "eval", "--data", "fabric", "--report", "r.html", "--report", "r.json",
            ],
            &model[..],
        ]
        .concat(),
        [&["predict", "fabric/test/good/000.png", "-o", "out"], &model[..]].concat(),
        vec!["import", "m.safetensors", "--force", "-o", "n.safetensors"],
    ];
    for arguments in commands {
        // nothing fits, and the beginning of a file does
        for blocks in [0, 8] {
            let (code, said) = on_a_full_disk(&arguments, path, blocks);
            let line = arguments.join(" ");
            assert_eq!(code, Some(1), "{line}: {said}");
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(!errors.is_empty() && !said.contains("panicked"), "{line}: {said}");
            let after = content(path);
            for (name, old) in &before {
                assert!(
                    after.get(name) == Some(old),
                    "{line} with {blocks} blocks changed {name}"
                );
            }
            let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
            assert!(new.is_empty(), "{line} left {new:?}");
        }
    }
}

#[test]
fn a_file_where_a_folder_should_be_is_named() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [1, 1, 1], 3);
    fs::write(path.join("notes.txt"), "mine").expect("writes");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");
    let model = ["-m", model, "--device", "cpu"];
    let commands: [Vec<&str>; 3] = [
        vec!["import", model[1], "-o", "notes.txt/n.safetensors"],
        [&["predict", "fabric/test/good", "-o", "notes.txt"], &model[..]].concat(),
        [
            &["eval", "--data", "fabric", "--report", "notes.txt/r.html"],
            &model[..],
        ]
        .concat(),
    ];
    for arguments in commands {
        let said = fails(&arguments, path);
        assert!(said.contains("notes.txt"), "{arguments:?}: {said}");
        assert_eq!(fs::read_to_string(path.join("notes.txt")).expect("reads"), "mine");
    }
}
