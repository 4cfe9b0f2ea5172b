//! Thresholds, promises and corrections as commands.

use std::fs;
use std::path::Path;

use destseg_engine::methods::file::ModelFile;
use destseg_engine::verdict::calibration::{Calibration, SetBy};
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, destseg, fails, succeeds};

/// A model that has had four steps of training.
fn trained(folder: &Path) -> String {
    demo_data(folder, "fabric", [12, 4, 2], 3);
    let train = [
        "train",
        "--data",
        "fabric",
        "--device",
        "cpu",
        "-o",
        "own.safetensors",
    ];
    succeeds(&[&train[..], &SHORT].concat(), folder).1
}

fn calibration(name: &str, folder: &Path) -> Calibration {
    let bytes = fs::read(folder.join(name)).expect("reads");
    let file = ModelFile::parse(&bytes).expect("is a model");
    file.header.calibration.expect("is calibrated")
}

#[test]
fn a_training_says_what_it_can_find_and_that_it_is_not_ready() {
    let folder = tempfile::tempdir().expect("creates");
    let said = trained(folder.path());
    assert!(said.contains(" of 100 painted defects and stops "), "{said}");
    assert!(
        said.contains("not ready: ") && said.contains("Train longer"),
        "{said}"
    );
    let own = calibration("own.safetensors", folder.path());
    assert_eq!(
        (own.synthetic_scores.len(), own.synthetic_kinds.len()),
        (100, 100)
    );
    // the figures in the file are those of the threshold in force
    let stopped = own
        .good_scores
        .iter()
        .filter(|&&score| score >= own.image_threshold)
        .count();
    assert_eq!(own.quality().stopped.hits, stopped);
    assert!(own.expected.is_some() && own.set_by == SetBy::Training);
}

#[test]
fn a_threshold_is_moved_and_taken_back() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    trained(path);
    let own = calibration("own.safetensors", path);
    let image = "fabric/test/good/000.png";
    let predict = |flags: &[&str]| {
        let all = [
            "predict",
            image,
            "-m",
            "own.safetensors",
            "-o",
            "out",
            "--device",
            "cpu",
        ];
        let (line, notes) = succeeds(&[&all, flags].concat(), path);
        (serde_json::from_str::<Value>(&line).expect("is JSON"), notes)
    };
    let (line, _) = predict(&[]);
    assert_eq!(line["threshold_set"]["by"], "training", "{line}");
    assert!(
        line["certainty"].is_string() && line["p_value"].as_f64() > Some(0.0),
        "{line}"
    );
    let score = line["score"].as_f64().expect("a score");
    for (threshold, verdict) in [(0.0, "defective"), (score + 0.001, "good")] {
        let (line, _) = predict(&["--threshold", &threshold.to_string()]);
        assert_eq!(
            (&line["verdict"], &line["threshold_set"]["by"]),
            (&verdict.into(), &"hand".into())
        );
    }
    let (line, notes) = predict(&["--promise", "1"]);
    assert!((line["threshold"].as_f64().expect("one") - f64::from(own.at_promise(0.01))).abs() < 1e-6);
    assert!(notes.contains("is an estimate: check"), "{notes}");
    let change = |flags: &[&str], from: &str, to: &str| {
        succeeds(&[&["calibrate", "-m", from, "-o", to], flags].concat(), path).1
    };
    change(&["--promise", "10"], "own.safetensors", "ten.safetensors");
    let ten = calibration("ten.safetensors", path);
    assert_eq!(
        (ten.set_by, ten.trained_threshold),
        (SetBy::Promise(0.1), Some(own.image_threshold))
    );
    assert!(ten.image_threshold <= own.image_threshold);
    change(&["--restore"], "ten.safetensors", "back.safetensors");
    assert_eq!(calibration("back.safetensors", path), own);
    for (flags, expected) in [
        (&["--promise", "0"][..], "from 0.1 to 50"),
        (&["--promise", "5", "--threshold", "1"], "cannot be used with"),
        (&["--restore", "--promise", "5"], "cannot be used with"),
        (&["--threshold", "nan"], "a score of 0 or more"),
        (&[], "--data"),
    ] {
        let all = ["calibrate", "-m", "own.safetensors", "-o", "x.safetensors"];
        let output = destseg(&[&all, flags].concat(), path);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}

#[test]
fn corrections_are_followed_and_contradictions_said() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    trained(path);
    let own = calibration("own.safetensors", path);
    fs::create_dir(path.join("good")).expect("creates");
    fs::create_dir(path.join("bad")).expect("creates");
    let copy = |from: &str, to: &str| fs::copy(path.join(from), path.join(to)).expect("copies");
    copy("fabric/test/good/000.png", "good/a.png");
    copy("fabric/test/hole/000.png", "bad/b.png");
    let correct = ["correct", "-m", "own.safetensors", "--device", "cpu", "-o"];
    let both = ["--good", "good", "--defective", "bad"];
    let (_, said) = succeeds(&[&correct[..], &["quick.safetensors"], &both].concat(), path);
    assert!(said.contains("of 2 corrected images"), "{said}");
    assert!(said.contains(" judged wrongly before, "), "{said}");
    let quick = calibration("quick.safetensors", path);
    assert_eq!(quick.corrections.len(), 2);
    let moved = quick.image_threshold != own.image_threshold;
    assert_eq!(quick.set_by == SetBy::Corrections, moved);
    assert_eq!(quick.good_scores, own.good_scores);
    // a defective image is remembered only where a mask marks its defect
    let remembered = |own: &Calibration| {
        own.corrections
            .iter()
            .map(|own| own.places.len())
            .collect::<Vec<_>>()
    };
    assert_eq!(remembered(&quick)[1], 0);
    fs::create_dir(path.join("masks")).expect("creates");
    copy("fabric/ground_truth/hole/000_mask.png", "masks/b.png");
    let marked = ["marked.safetensors", "--masks", "masks"];
    succeeds(&[&correct[..], &marked, &both].concat(), path);
    let marked = calibration("marked.safetensors", path);
    assert!(remembered(&marked)[1] > 0);
    // images like those score otherwise then
    let score = |model: &str, image: &str| {
        let (said, _) = succeeds(
            &["predict", image, "-m", model, "--device", "cpu", "-o", "maps"],
            path,
        );
        let line: Value = serde_json::from_str(said.trim()).expect("is a line of JSON");
        line["score"].as_f64().expect("is a number")
    };
    assert!(score("marked.safetensors", "bad/b.png") > score("own.safetensors", "bad/b.png"));
    // and all of it can be taken back
    let undo = ["correct", "-m", "marked.safetensors", "-o"];
    let (good, bad) = (["--take-back", "good/a.png"], ["--take-back", "bad/b.png"]);
    succeeds(&[&undo[..], &["one.safetensors"], &good].concat(), path);
    assert_eq!(calibration("one.safetensors", path).corrections.len(), 1);
    succeeds(&[&undo[..], &["both.safetensors"], &good, &bad].concat(), path);
    succeeds(&[&undo[..], &["undone.safetensors", "--undo"]].concat(), path);
    for name in ["both.safetensors", "undone.safetensors"] {
        assert_eq!(calibration(name, path), own, "{name}");
    }
    let said = fails(
        &[&undo[..], &["x.safetensors", "--take-back", "no.png"]].concat(),
        path,
    );
    assert!(
        said.contains("nothing was said about no.png: corrected are"),
        "{said}"
    );
    // further training changes the segmentation network and nothing else
    let further = ["further.safetensors", "--data", "fabric", "--steps", "2"];
    succeeds(&[&correct[..], &further, &both].concat(), path);
    let open = |name: &str| ModelFile::parse(&fs::read(path.join(name)).expect("reads")).expect("is a model");
    let (before, after) = (
        open("own.safetensors").weights,
        open("further.safetensors").weights,
    );
    let same = |prefix: &str| before.with_prefix(prefix) == after.with_prefix(prefix);
    assert!(same("student"), "student");
    assert!(same("whitening"), "whitening");
    assert!(!same("segmentation"), "segmentation");
    // one image in both folders
    copy("good/a.png", "bad/c.png");
    let said = fails(&[&correct[..], &["x.safetensors"], &both].concat(), path);
    assert!(
        said.contains("are the same image, once said to be good and once defective"),
        "{said}"
    );
    fs::create_dir(path.join("empty")).expect("creates");
    let said = fails(
        &[&correct[..], &["x.safetensors", "--good", "empty"]].concat(),
        path,
    );
    assert!(said.contains("image"), "{said}");
}

#[test]
fn corrections_that_cannot_be_meant_are_refused() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    trained(path);
    demo_data(path, "circuit", [4, 2, 0], 3);
    for folder in ["good", "again", "bad", "masks"] {
        fs::create_dir(path.join(folder)).expect("creates");
    }
    let copy = |from: &str, to: &str| fs::copy(path.join(from), path.join(to)).expect("copies");
    copy("fabric/test/good/000.png", "good/a.png");
    copy("fabric/test/good/000.png", "again/z.png");
    copy("fabric/test/hole/000.png", "bad/b.png");
    let correct = |model: &'static str, more: &[&'static str]| {
        let start = [
            "correct",
            "--device",
            "cpu",
            "-m",
            model,
            "--force",
            "-o",
            "x.safetensors",
        ];
        [&start[..], more].concat()
    };
    let refused = |more: &[&'static str]| fails(&correct("own.safetensors", more), path);
    // another part than the model's
    let said = refused(&["--good", "circuit/test/good"]);
    assert!(
        said.contains("2 of 2 images show another part than the model's, the first is circuit"),
        "{said}"
    );
    assert!(!path.join("x.safetensors").exists());
    let said = refused(&["--undo"]);
    assert!(
        said.contains("own.safetensors has no corrections to take back"),
        "{said}"
    );
    // masks that say nothing
    let masked = ["--defective", "bad", "--masks", "masks"];
    let said = refused(&masked);
    assert!(said.contains("holds no images"), "{said}");
    let (width, height) = image::image_dimensions(path.join("bad/b.png")).expect("reads");
    for (size, white, expected) in [
        ((9, 5), 1, "has 9 x 5 pixels but its image"),
        ((width, height), 0, "is black all over"),
        ((width, height), usize::MAX, "seems to be inverted"),
    ] {
        let mut mask = image::GrayImage::new(size.0, size.1);
        mask.pixels_mut().take(white).for_each(|pixel| pixel.0 = [255]);
        mask.save(path.join("masks/b_mask.png")).expect("saves");
        let said = refused(&masked);
        assert!(said.contains(expected), "{said}");
    }
    copy("fabric/ground_truth/hole/000_mask.png", "masks/b_mask.png");
    succeeds(&correct("own.safetensors", &masked), path);
    // the same image under another name, and the opposite
    succeeds(&correct("own.safetensors", &["--good", "good"]), path);
    fs::rename(path.join("x.safetensors"), path.join("y.safetensors")).expect("moves");
    let (_, said) = succeeds(&correct("y.safetensors", &["--defective", "again"]), path);
    assert!(said.contains("of 1 image the opposite was said before"), "{said}");
    let own = calibration("x.safetensors", path).corrections;
    assert!(own.len() == 1 && own[0].name == "again/z.png" && own[0].defective);
    // taken back by its content
    succeeds(&correct("x.safetensors", &["--take-back", "./good/a.png"]), path);
    assert!(calibration("x.safetensors", path).corrections.is_empty());
}

fn train(data: &str) -> Vec<&str> {
    let own = ["train", "--data", data, "--device", "cpu", "-o", "x.safetensors"];
    [&own[..], &SHORT].concat()
}

#[test]
fn odd_good_images_are_noticed() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [8, 0, 0], 3);
    demo_data(path, "circuit", [5, 0, 0], 3);
    let good = path.join("mixed/train/good");
    fs::create_dir_all(&good).expect("creates");
    for category in ["fabric", "circuit"] {
        for entry in fs::read_dir(path.join(category).join("train/good")).expect("reads") {
            let from = entry.expect("an entry").path();
            let name = from.file_name().expect("a name").to_string_lossy().into_owned();
            fs::copy(&from, good.join(format!("{category}-{name}"))).expect("copies");
        }
    }
    let said = succeeds(&train("mixed"), path).1;
    assert!(said.contains("look like two kinds of part"), "{said}");
    let copies = path.join("copies/train/good");
    fs::create_dir_all(&copies).expect("creates");
    for number in 0..6 {
        let from = path.join(format!("fabric/train/good/{:03}.png", number % 2));
        fs::copy(from, copies.join(format!("{number}.png"))).expect("copies");
    }
    // six pictures are two: it trains, and says what they are worth
    let said = succeeds(&[&train("copies")[..], &["--force"]].concat(), path).1;
    assert!(
        said.contains("4 of the 6 good images are copies of others"),
        "{said}"
    );
}
