//! What the command line says besides its results, and what it keeps: names of outputs, thresholds, precision.

use std::fs;
use std::path::Path;

use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::verdict::calibration::SetBy;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");

/// A folder with a small data set in `fabric`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    demo_data(folder.path(), "fabric", [8, 2, 1], 3);
    folder
}

/// Standard output and standard error of a line on the CPU that succeeds.
fn runs(line: &str, folder: &Path) -> (String, String) {
    let line = format!("{line} --device cpu");
    succeeds(&line.split(' ').collect::<Vec<_>>(), folder)
}

/// Standard error of a line that fails.
fn refused(line: &str, folder: &Path) -> String {
    fails(&line.split(' ').collect::<Vec<_>>(), folder)
}

fn open(name: &str, folder: &Path) -> ModelFile {
    ModelFile::parse(&fs::read(folder.join(name)).expect("reads")).expect("is a model")
}

/// Names of everything in a folder.
fn list(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("lists");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A model whose training took seconds, in `own.safetensors`; what it said.
fn train(folder: &Path) -> String {
    let train = "train --data fabric -o own.safetensors --device cpu";
    succeeds(
        &[&train.split(' ').collect::<Vec<_>>()[..], &SHORT].concat(),
        folder,
    )
    .1
}

#[test]
fn outputs_are_told_apart_and_never_taken_for_input() {
    let folder = data();
    let path = folder.path();
    let both = format!("predict fabric/test/hole/000.png fabric/test/slub/000.png -m {MODEL} -o out");
    let (_, said) = runs(&both, path);
    assert!(!said.contains("earlier run"), "{said}");
    assert_eq!(
        list(&path.join("out")),
        [
            "hole_000.map.png",
            "hole_000.overlay.png",
            "slub_000.map.png",
            "slub_000.overlay.png"
        ]
    );
    let (_, said) = runs(&both, path);
    assert_eq!(
        said.matches("2 results of an earlier run in out are replaced")
            .count(),
        1,
        "{said}"
    );
    // a folder that is its own output
    let own = format!("predict fabric/test/good -m {MODEL} -o fabric/test/good");
    let (first, _) = runs(&own, path);
    let (second, said) = runs(&own, path);
    assert_eq!((first.lines().count(), second.lines().count()), (2, 2));
    assert!(
        said.contains("4 pictures of an earlier run in fabric/test/good are left out"),
        "{said}"
    );
    let said = refused(&format!("predict out/hole_000.map.png -m {MODEL} -o out"), path);
    assert!(said.contains("nothing but pictures of an earlier run"), "{said}");
}

#[test]
fn tiles_and_thresholds_have_bounds() {
    let folder = data();
    let path = folder.path();
    let predict = format!("predict fabric/test/good/000.png -m {MODEL} -o out");
    let said = refused(&format!("{predict} --tile 3"), path);
    assert!(said.contains("give --tile 48 or more"), "{said}");
    runs(&format!("{predict} --tile 0"), path);
    for line in [
        format!("{predict} --threshold 1e30"),
        format!("eval --data fabric -m {MODEL} --threshold 1e30"),
        format!("calibrate -m {MODEL} -o x.safetensors --threshold 9"),
    ] {
        let said = refused(&line, path);
        assert!(
            said.contains("probabilities, from 0 to 1") && said.contains("is impossible"),
            "{line}: {said}"
        );
    }
    assert!(!path.join("x.safetensors").exists());
}

#[test]
fn a_calibration_keeps_the_precision_and_the_promise() {
    let folder = data();
    let path = folder.path();
    runs(
        &format!("calibrate -m {MODEL} -o strict.safetensors --promise 1"),
        path,
    );
    let (_, said) = runs(
        "calibrate -m strict.safetensors --data fabric --all -o again.safetensors",
        path,
    );
    assert!(said.contains("at most 1 % of good parts are stopped"), "{said}");
    assert!(
        said.contains(" of 8 good photos") && !said.contains("held-out"),
        "{said}"
    );
    let (before, after) = (open(MODEL, path), open("again.safetensors", path));
    let networks = |file: &ModelFile| {
        let mut weights = file.weights.clone();
        let _record = weights.take_prefix("familiarity.");
        weights
    };
    assert!(
        networks(&before) == networks(&after),
        "the networks stay as they are, bit by bit"
    );
    let bytes = fs::read(path.join("again.safetensors")).expect("reads");
    assert_eq!(Precision::of_file(&bytes), Some(Precision::Int8));
    let own = after.header.calibration.expect("is calibrated");
    assert_eq!(own.set_by, SetBy::Promise(0.01));
    assert_eq!(own.image_threshold, own.at_promise(0.01));
    assert_eq!(own.good_scores.len(), 8);

    let few = path.join("few/train/good");
    fs::create_dir_all(&few).expect("creates");
    for name in ["000.png", "001.png", "002.png"] {
        fs::copy(path.join("fabric/train/good").join(name), few.join(name)).expect("copies");
    }
    let said = refused(&format!("calibrate -m {MODEL} --data few -o x.safetensors"), path);
    assert!(
        said.contains("too few good images in few to calibrate with: give at least 4"),
        "{said}"
    );
}

#[test]
fn a_model_gets_a_codebook_and_keeps_it() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [14, 2, 1], 3);
    assert!(open(MODEL, path).header.codebook.is_none());
    let calibrate = format!("calibrate -m {MODEL} --data fabric -o");
    runs(&format!("{calibrate} plain.safetensors"), path);
    runs(&format!("{calibrate} own.safetensors --codebook"), path);
    let own = open("own.safetensors", path);
    let codebook = own.codebook().expect("fits").expect("is there");
    let features = own.header.networks().expect("are networks").teacher.channels();
    let rows = |level: usize, channels: usize| {
        let own = own
            .weights
            .get(&format!("codebook.{level}.rows"))
            .expect("is there");
        own.data.len() / channels
    };
    assert_eq!([rows(0, features[1]), rows(1, features[2])], [256, 256]);
    // it raises a map and never lowers one
    let score = |model: &str| {
        let line = format!("predict fabric/test -m {model} -o out-{model}");
        let (said, _) = runs(&line, path);
        let scores = said.lines().map(|line| {
            let own: Value = serde_json::from_str(line).expect("is JSON");
            own["score"].as_f64().expect("is a number")
        });
        scores.collect::<Vec<f64>>()
    };
    let (plain, with) = (score("plain.safetensors"), score("own.safetensors"));
    assert_eq!(plain.len(), 8);
    assert!(
        plain.iter().zip(&with).all(|(plain, with)| *with > plain - 1e-4),
        "{plain:?} {with:?}"
    );
    assert!(
        plain.iter().zip(&with).any(|(plain, with)| *with > plain + 1e-3),
        "{plain:?} {with:?}"
    );
    // it stays where thresholds are measured anew, with new numbers only where it is asked for
    runs(
        "calibrate -m own.safetensors --data fabric -o again.safetensors",
        path,
    );
    let again = open("again.safetensors", path).codebook().expect("fits");
    assert_eq!(again.as_ref(), Some(&codebook));

    fs::create_dir_all(path.join("few/train/good")).expect("creates");
    for number in 0..6 {
        let name = format!("train/good/{number:03}.png");
        fs::copy(path.join("fabric").join(&name), path.join("few").join(&name)).expect("copies");
    }
    let said = refused(
        &format!("calibrate -m {MODEL} --data few -o x.safetensors --codebook"),
        path,
    );
    assert!(
        said.contains("too few good images in few for a codebook"),
        "{said}"
    );
    runs("train --method patchcore --data fabric -o bank.safetensors", path);
    let line = "calibrate -m bank.safetensors --data fabric -o x.safetensors --codebook";
    let said = refused(line, path);
    assert!(
        said.contains("which only DeSTSeg has: leave out --codebook"),
        "{said}"
    );
    assert!(!path.join("x.safetensors").exists());
}

#[test]
fn another_part_among_the_good_images_is_named() {
    let folder = data();
    let path = folder.path();
    demo_data(path, "circuit", [5, 2, 1], 3);
    for number in 0..5 {
        let from = path.join(format!("circuit/train/good/{number:03}.png"));
        fs::copy(from, path.join(format!("fabric/train/good/other-{number}.png"))).expect("copies");
    }
    for flags in ["", " --keep-thresholds"] {
        let line = format!("calibrate -m {MODEL} --data fabric -o x.safetensors --force{flags}");
        let (_, said) = runs(&line, path);
        for words in [
            "5 of 13 good images do not look like the part",
            "other-0.png, fabric/train/good/other-1.png, fabric/train/good/other-2.png, …",
            "look like two kinds of part",
        ] {
            assert!(said.contains(words), "{flags}: {said}");
        }
    }
    let (_, said) = runs(&format!("eval --data circuit -m {MODEL}"), path);
    let most = said.find("8 of the 8 test images are not of the part that this model knows");
    assert!(most.is_some() && most < said.find("Not the part"), "{said}");
}

#[test]
fn a_model_that_was_not_ready_says_so() {
    let folder = data();
    let path = folder.path();
    let said = train(path);
    assert!(
        said.contains("Ctrl-C keeps what was learned") && said.contains("stage 2 of 2 done"),
        "{said}"
    );
    let eval = "eval --data fabric -m own.safetensors";
    let (table, said) = runs(eval, path);
    assert_eq!(
        said.matches("was not ready when it was trained: it found ")
            .count(),
        1,
        "{said}"
    );
    assert!(table.contains("(set by training or calibration): F1"), "{table}");
    let (json, _) = runs(&format!("{eval} --json --promise 10"), path);
    let report: Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(report["decisions"]["threshold_set"]["by"], "promise", "{report}");
    // calibrated on what it was trained on: the held-out images alone say what they said
    let calibrate = "calibrate -m own.safetensors --data fabric --force -o x.safetensors";
    let (_, said) = runs(calibrate, path);
    assert!(
        said.contains("not ready: ") && !said.contains("images of the training"),
        "{said}"
    );
    let (_, said) = runs(&format!("{calibrate} --all"), path);
    assert!(
        said.contains("these look like the images of the training (fabric, 6 of them trained on)"),
        "{said}"
    );
}

#[test]
fn a_model_without_threshold_says_how_to_measure_one() {
    let folder = data();
    let path = folder.path();
    let mut file = open(MODEL, path);
    file.header.calibration = None;
    let bytes = file.to_bytes(Precision::Int8).expect("is written");
    fs::write(path.join("bare.safetensors"), bytes).expect("writes");
    let predict = "predict fabric/test/good/000.png -o out -m";
    let (_, said) = runs(&format!("{predict} bare.safetensors"), path);
    let command = said
        .split_once("no threshold, so there is no verdict: measure one with `destseg ")
        .and_then(|(_, rest)| rest.split_once('`'))
        .map(|(command, _)| command.replace("DATA", "fabric"));
    runs(
        &command.unwrap_or_else(|| panic!("names no command: {said}")),
        path,
    );
    let (_, said) = runs(&format!("{predict} bare-calibrated.safetensors"), path);
    assert!(!said.contains("no threshold"), "{said}");
}

#[test]
fn what_was_given_for_a_model_is_named() {
    let folder = data();
    let path = folder.path();
    train(path);
    fs::write(path.join("text.png"), "no picture").expect("writes");
    for (line, words) in [
        (
            "predict fabric/test/good/000.png -o out -m own.toml",
            "own.toml is a settings file: give the model that lies beside it, own.safetensors",
        ),
        (
            "import text.png -o x.safetensors",
            "text.png: this is text, not a model",
        ),
    ] {
        let said = refused(line, path);
        assert!(said.contains(words), "{line}: {said}");
    }
}

#[test]
fn a_bench_is_checked_before_its_folder_keeps_the_flags() {
    let folder = data();
    let path = folder.path();
    for (line, words) in [
        (
            "bench fabric -o runs -- --student-stepz 2",
            "flags for `destseg train`: unexpected argument '--student-stepz'",
        ),
        ("bench fabric -o runs -- --set training.btach=2", "btach"),
        ("bench fabric -o runs --foreign 5", "give two sets or more"),
        (
            "sweep --data fabric -o runs -- --seed 1",
            "--seed is chosen by this command itself",
        ),
    ] {
        let said = refused(line, path);
        assert!(said.contains(words), "{line}: {said}");
        assert!(!path.join("runs").exists(), "{line}");
    }
}
