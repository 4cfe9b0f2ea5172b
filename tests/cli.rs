//! The command line as a newcomer uses it: the way from data to heat map, and what is said when
//! something is wrong with what was given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use destseg_engine::arch::weights::Weights;
use destseg_engine::config::ModelConfig;
use destseg_engine::methods::file::ModelFile;
use tempfile::TempDir;
use xtask::cli_docs;

#[path = "support/command.rs"]
mod command;

use command::{demo_data, destseg};

/// Good training images of the small data set.
const GOOD: usize = 4;

/// What it printed, if it succeeded.
fn succeeds(arguments: &[&str], folder: &Path) -> String {
    command::succeeds(arguments, folder).0
}

/// Checks that a command fails with one sentence that contains these words, and no panic.
fn fails(arguments: &[&str], folder: &Path, words: &[&str]) {
    let errors = command::fails(arguments, folder);
    let sentences: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let [sentence] = sentences[..] else {
        panic!("{arguments:?} should say one sentence: {errors}");
    };
    for word in words {
        assert!(
            sentence.contains(word),
            "{arguments:?} should say `{word}`: {sentence}"
        );
    }
}

/// A folder with a small data set in `circuit`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    demo_data(folder.path(), "circuit", [GOOD, 2, 1], 3);
    folder
}

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "--data", "circuit", "-o", out, "--device", "cpu"];
    arguments.extend([
        "--batch",
        "2",
        "--student-steps",
        "2",
        "--segmentation-steps",
        "2",
    ]);
    arguments.extend(more);
    arguments
}

/// Names of everything in a folder, hidden files too.
fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("lists")
        .map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_training_starts_from_another_models_networks() {
    let folder = data();
    let path = folder.path();
    let small = ["--set", "model.student.decoder=[64,48,32,24]"];
    succeeds(&train("start.safetensors", &small), path);
    let arguments = [
        "train",
        "--data",
        "circuit",
        "-o",
        "next.safetensors",
        "--device",
        "cpu",
        "--batch",
        "2",
        "--start-from",
        "start.safetensors",
        "--student-steps",
        "0",
        "--segmentation-steps",
        "1",
    ];
    succeeds(&arguments, path);
    let read = |name: &str| ModelFile::parse(&fs::read(path.join(name)).expect("reads")).expect("is a model");
    let (start, next) = (read("start.safetensors"), read("next.safetensors"));
    assert_eq!(networks(&start).student, networks(&next).student);
    let mut compared = 0;
    for (name, array) in start.weights.iter() {
        let now = next.weights.get(name).expect("has the same tensors");
        if name.starts_with("student") {
            assert_eq!(array.data, now.data, "{name}: no step was to change the student");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared} tensors of the student");
    fails(
        &train("x.safetensors", &["--start-from", "nowhere.safetensors"]),
        path,
        &["nowhere.safetensors"],
    );
}

#[test]
fn from_demo_data_to_heat_maps_and_metrics() {
    let folder = data();
    let path = folder.path();
    succeeds(&train("a.safetensors", &["--seed", "7"]), path);
    let one_thread = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(train("b.safetensors", &["--seed", "7"]))
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(path)
        .status();
    assert!(one_thread.expect("starts").success());
    succeeds(&train("c.safetensors", &["--seed", "8"]), path);
    let read = |name: &str| fs::read(path.join(name)).expect("reads");
    // not assert_eq: nobody wants to read a model's bytes
    assert!(
        read("a.safetensors") == read("b.safetensors"),
        "the same seed gives the same file, whatever the number of threads"
    );
    assert!(read("a.safetensors") != read("c.safetensors"));

    let model = ModelFile::parse(&read("a.safetensors")).expect("is a model");
    let training = model.header.training().expect("says how it was trained");
    assert_eq!(training.config.seed, 7);
    assert!(model.header.calibration.is_some());

    let images = ["circuit/test/scratch/000.png", "circuit/train/good/000.png"];
    let arguments = [
        &["predict"][..],
        &images,
        &["-m", "a.safetensors", "-o", "out", "--device", "cpu"],
    ];
    let lines = succeeds(&arguments.concat(), path);
    assert_eq!(lines.lines().count(), images.len());
    for (line, file) in lines.lines().zip(images) {
        let line: serde_json::Value = serde_json::from_str(line).expect("is JSON");
        assert_eq!(line["file"], file);
        let score = line["score"].as_f64().expect("has a score");
        assert!((0.0..=1.0).contains(&score), "{score}");
        assert!(line["milliseconds"].as_f64().expect("has a time") > 0.0);
        let open = |key: &str| {
            let picture = path.join(line[key].as_str().expect("is a path"));
            image::open(picture).expect("is a picture")
        };
        let overlay = open("overlay");
        assert_eq!((overlay.width(), overlay.height()), (256, 256));
        let map = open("map");
        assert_eq!(map.color(), image::ColorType::L16);
        // the score is the mean of the 100 largest pixels
        let mut values = map.into_luma16().into_raw();
        values.sort_unstable_by(|a, b| b.cmp(a));
        let mean: f64 = values[..100].iter().map(|&v| f64::from(v) / 65535.0).sum::<f64>() / 100.0;
        assert!((mean - score).abs() < 1e-4, "{mean} is not {score}");
    }

    let table = succeeds(
        &[
            "eval",
            "--data",
            "circuit",
            "-m",
            "a.safetensors",
            "--device",
            "cpu",
        ],
        path,
    );
    for word in [
        "image AUC",
        "pixel AP",
        "PRO",
        "IAP@90",
        "segmentation",
        "DeST",
        "scratch",
    ] {
        assert!(table.contains(word), "{word} is missing in {table}");
    }
    let json = [
        "eval",
        "--data",
        "circuit",
        "-m",
        "a.safetensors",
        "--device",
        "cpu",
        "--json",
    ];
    serde_json::from_str::<serde_json::Value>(&succeeds(&json, path)).expect("is JSON");
}

/// STPM and the ablations have other parts and recipes.
#[test]
fn baseline_and_ablations_train_and_predict() {
    let folder = data();
    let path = folder.path();
    let image = "circuit/test/scratch/000.png";
    let cases: [(&str, &[&str], bool); 3] = [
        (
            "stpm.safetensors",
            &["--method", "stpm", "--student-steps", "2"],
            false,
        ),
        (
            "plain.safetensors",
            &["--ablation", "none", "--student-steps", "2"],
            false,
        ),
        (
            "den-seg.safetensors",
            &[
                "--ablation",
                "den,seg",
                "--student-steps",
                "1",
                "--segmentation-steps",
                "1",
            ],
            true,
        ),
    ];
    for (name, how, has_segmentation) in cases {
        let arguments = [
            "train", "--data", "circuit", "-o", name, "--device", "cpu", "--batch", "2",
        ];
        succeeds(&[&arguments, how].concat(), path);
        let model = ModelFile::parse(&fs::read(path.join(name)).expect("reads")).expect("is a model");
        assert_eq!(
            networks(&model).segmentation.is_some(),
            has_segmentation,
            "{name}"
        );
        assert!(networks(&model).student.decoder.is_none(), "{name}");
        let line = succeeds(
            &["predict", image, "-m", name, "-o", "out", "--device", "cpu"],
            path,
        );
        let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        let same = line["score"] == line["dest_score"];
        assert_eq!(same, !has_segmentation, "{name}: {line}");
    }
}

#[test]
fn settings_are_written_and_read_again() {
    let folder = data();
    let path = folder.path();
    succeeds(
        &train(
            "first.safetensors",
            &["--seed", "3", "--set", "training.momentum=0.5"],
        ),
        path,
    );
    let settings = fs::read_to_string(path.join("first.toml")).expect("is written");
    assert!(settings.contains("momentum = 0.5"), "{settings}");
    let again = [
        "train",
        "--data",
        "circuit",
        "--config",
        "first.toml",
        "--device",
        "cpu",
        "-o",
    ];
    succeeds(&[&again[..], &["second.safetensors"]].concat(), path);
    let read = |name: &str| fs::read(path.join(name)).expect("reads");
    assert!(
        read("first.safetensors") == read("second.safetensors"),
        "the same settings give the same file"
    );

    fs::write(path.join("wrong.toml"), settings.replace("momentum", "momentun")).expect("writes");
    let wrong = [&again[..], &["third.safetensors", "--config", "wrong.toml"]].concat();
    let wrong: Vec<&str> = wrong.into_iter().filter(|word| *word != "first.toml").collect();
    let first = wrong
        .iter()
        .position(|word| *word == "--config")
        .expect("is there");
    fails(
        &[&wrong[..first], &wrong[first + 1..]].concat(),
        path,
        &["wrong.toml", "momentun"],
    );

    let printed = succeeds(&["train", "--preset", "paper", "--print-config", "json"], path);
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("is JSON");
    assert_eq!(printed["training"]["segmentation"]["steps"], 4000);
}

#[test]
fn a_training_that_diverges_keeps_its_last_good_state() {
    let folder = data();
    let path = folder.path();
    let arguments = [
        "train",
        "--data",
        "circuit",
        "-o",
        "a.safetensors",
        "--device",
        "cpu",
        "--batch",
        "2",
    ];
    let rates = [
        "--student-steps",
        "6",
        "--checkpoint-every",
        "1",
        "--set",
        "training.student.learning_rate=1e18",
    ];
    fails(
        &[&arguments[..], &rates].concat(),
        path,
        &["not a number", "at step", "learning rate"],
    );
    assert!(!path.join("a.safetensors").exists());
    let checkpoint = fs::read(path.join("a.safetensors.checkpoint")).expect("is kept");
    assert!(!checkpoint.is_empty());
}

/// Kills a training at different moments, among them while a checkpoint is written, and goes on.
#[test]
fn a_killed_training_goes_on_bit_by_bit() {
    const STEPS: &str = "8";
    let folder = data();
    let path = folder.path();
    let run = |out: &'static str, more: &[&'static str]| {
        let steps = ["--student-steps", STEPS, "--segmentation-steps", STEPS];
        let mut arguments = vec!["train", "--data", "circuit", "-o", out, "--device", "cpu"];
        arguments.extend(["--batch", "2", "--seed", "5", "--checkpoint-every", "1"]);
        arguments.extend(steps);
        arguments.extend(more);
        arguments
    };
    succeeds(&run("whole.safetensors", &[]), path);
    let checkpoint = path.join("killed.safetensors.checkpoint");
    let mut going_on: &[&str] = &[];
    let mut kills = 0;
    // each start gets a little further: at least one step more, or the test would not end
    for wait in (0..).map(|round| Duration::from_millis(700 + 250 * round)) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_destseg"))
            .args(run("killed.safetensors", going_on))
            .current_dir(path)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("destseg starts");
        std::thread::sleep(wait);
        if child.try_wait().expect("is a child").is_some() {
            let output = child.wait_with_output().expect("ended");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            break;
        }
        child.kill().expect("is killed");
        child.wait().expect("ends");
        kills += 1;
        assert!(kills < 40, "the training never ends");
        if checkpoint.exists() {
            going_on = &["--resume"];
            // as if stopped between its last files
            for ending in ["safetensors", "toml"] {
                fs::write(
                    path.join("late").with_extension(ending),
                    "of a run that was stopped",
                )
                .expect("writes");
            }
            fs::copy(&checkpoint, path.join("late.safetensors.checkpoint")).expect("copies");
        } else if path.join("killed.safetensors").exists() {
            break;
        }
    }
    // the state of a training is a model as far as it goes
    let so_far = ["eval", "--data", "circuit", "-m", "late.safetensors.checkpoint"];
    let table = succeeds(&[&so_far[..], &["--device", "cpu"]].concat(), path);
    assert!(table.contains("segmentation"), "{table}");
    succeeds(&run("late.safetensors", &["--resume"]), path);
    assert!(kills > 0, "the training was too quick to be killed");
    let read = |name: &str| fs::read(path.join(name)).expect("reads");
    for name in ["killed.safetensors", "late.safetensors"] {
        assert!(
            read("whole.safetensors") == read(name),
            "an interrupted training ends in another model"
        );
    }
    let left: Vec<_> = list(path)
        .into_iter()
        .filter(|name| name.ends_with(".checkpoint"))
        .collect();
    assert!(left.is_empty(), "{left:?} is left");

    fails(
        &run("new.safetensors", &["--resume"]),
        path,
        &["--resume", "no new.safetensors"],
    );
    fs::write(path.join("new.safetensors.checkpoint"), b"{}").expect("writes");
    fails(&run("new.safetensors", &[]), path, &["--resume", "--force"]);
    fails(
        &run("new.safetensors", &["--resume"]),
        path,
        &["no usable checkpoint"],
    );
}

/// Ctrl-C ends a training after its step, which can be taken up there.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_learned() {
    let folder = data();
    let path = folder.path();
    let arguments = |more: &[&'static str]| {
        let mut arguments = vec![
            "train",
            "--data",
            "circuit",
            "-o",
            "m.safetensors",
            "--device",
            "cpu",
        ];
        arguments.extend([
            "--batch",
            "2",
            "--student-steps",
            "4000",
            "--segmentation-steps",
            "0",
        ]);
        arguments.extend(["--checkpoint-every", "3"]);
        arguments.extend(more);
        arguments
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(arguments(&[]))
        .current_dir(path)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("destseg starts");
    let checkpoint = path.join("m.safetensors.checkpoint");
    while !checkpoint.exists() {
        assert!(
            child.try_wait().expect("is a child").is_none(),
            "the training ended"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    let step = said
        .split_once("stopped after step ")
        .and_then(|(_, rest)| rest.split_once(" of 4000. m.safetensors.checkpoint holds"))
        .map(|(step, _)| step.to_owned())
        .unwrap_or_else(|| panic!("does not say at which step: {said}"));
    assert!(said.contains("--resume") && !said.contains("error"), "{said}");
    assert!(!path.join("m.safetensors").exists());

    let mut child = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(arguments(&["--resume"]))
        .current_dir(path)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("destseg starts");
    let stderr = std::io::BufReader::new(child.stderr.take().expect("is piped"));
    let going_on = format!("going on after step {step} of 4000");
    let found = std::io::BufRead::lines(stderr).any(|line| line.is_ok_and(|line| line == going_on));
    child.kill().expect("is killed");
    child.wait().expect("ends");
    assert!(found, "does not say \"{going_on}\"");
}

#[test]
fn a_data_set_that_cannot_be_trained_on_is_named() {
    let folder = data();
    let path = folder.path();
    let before = list(path);
    let on = |data: &'static str| {
        let mut arguments = train("m.safetensors", &[]);
        arguments[2] = data;
        arguments
    };
    fails(&on("nowhere"), path, &["nowhere", "does not exist"]);
    fs::create_dir_all(path.join("empty/train/good")).expect("creates");
    fails(&on("empty"), path, &["empty", "image"]);
    fs::create_dir_all(path.join("flat")).expect("creates");
    fails(&on("flat"), path, &["flat", "train"]);
    fs::write(path.join("circuit/train/good/zzz.png"), b"no picture").expect("writes");
    fails(&on("circuit"), path, &["zzz.png"]);
    for made in ["empty", "flat"] {
        fs::remove_dir_all(path.join(made)).expect("removes");
    }
    assert_eq!(list(path), before, "something half written is left");
}

/// Sets of images that say little still train, and what is odd about them is said.
#[test]
fn few_equal_and_plain_images_are_dealt_with() {
    let folder = data();
    let path = folder.path();
    let plain = image::RgbImage::from_pixel(256, 256, image::Rgb([90, 120, 90]));
    for i in 0..5 {
        let good = path.join("plain/train/good");
        fs::create_dir_all(&good).expect("creates");
        plain.save(good.join(format!("{i}.png"))).expect("saves");
    }
    let mut arguments = train("plain.safetensors", &[]);
    arguments[2] = "plain";
    let output = destseg(&arguments, path);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("4 of the 5 good images are copies"), "{errors}");
    let predict = [
        "predict",
        "plain/train/good/0.png",
        "-m",
        "plain.safetensors",
        "-o",
        "out",
    ];
    let line = succeeds(&[&predict[..], &["--device", "cpu"]].concat(), path);
    let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
    assert!(line["score"].as_f64().expect("is a number").is_finite());

    let few = train("few.safetensors", &["--limit", "3"]);
    fails(&few, path, &["3 good images are too few", "at least 4"]);
}

/// Images of other shapes than the network's.
#[test]
fn images_of_any_shape_are_seen_whole_or_in_tiles() {
    let folder = data();
    let path = folder.path();
    let picture = image::open(path.join("circuit/test/scratch/000.png")).expect("is a picture");
    let wide = picture.resize_exact(400, 200, image::imageops::FilterType::Triangle);
    wide.save(path.join("wide.png")).expect("saves");
    wide.save(path.join("circuit/train/good/900.png")).expect("saves");
    let model = shipped_model();
    let file = ModelFile::parse(&fs::read(&model).expect("reads")).expect("is a model");
    let side = file.header.input_size() as u32;
    let model = model.to_str().expect("is UTF-8");
    for (more, size) in [
        (&[][..], (400, 200)),
        (&["--tile"], (400, 200)),
        (&["--tile", "100"], (400, 200)),
        (&["--map-size", "model"], (side, side)),
        (&["--map-size", "model", "--tile", "100"], (4 * side, 2 * side)),
    ] {
        let predict = ["predict", "wide.png", "-m", model, "-o", "out", "--device", "cpu"];
        let line = succeeds(&[&predict[..], more].concat(), path);
        let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        let map = line["map"].as_str().expect("is a path");
        let map = image::open(path.join(map)).expect("is a picture");
        assert_eq!((map.width(), map.height()), size, "{more:?}");
    }
    for (fit, views) in [("pad", 1), ("crop", 1), ("tile", 2), ("strip", 3)] {
        let out = format!("{fit}.safetensors");
        succeeds(&train(&out, &["--fit", fit]), path);
        let model = ModelFile::parse(&fs::read(path.join(&out)).expect("reads")).expect("is a model");
        let config = serde_json::to_value(networks(&model)).expect("serialises");
        assert_eq!(config["fit"], fit);
        let images = model.header.training().expect("says how").images;
        assert_eq!(images, GOOD + views - 1, "one is held out");
        let eval = ["eval", "--data", "circuit", "-m", &out, "--device", "cpu"];
        succeeds(&eval, path);
    }
}

/// The compact preset chooses by the images' shapes.
#[test]
fn long_images_are_shown_in_strips_unless_told_otherwise() {
    let folder = data();
    let path = folder.path();
    let fit = |more: &[&str]| {
        let arguments = [&["train", "--data", "circuit", "--print-config", "json"], more].concat();
        let settings: serde_json::Value = serde_json::from_str(&succeeds(&arguments, path)).expect("is JSON");
        settings["model"]["fit"].as_str().expect("is a name").to_owned()
    };
    assert_eq!(fit(&[]), "squash");
    for i in 0..GOOD + 1 {
        let long = image::RgbImage::from_pixel(230, 630, image::Rgb([90, 90, 90]));
        long.save(path.join(format!("circuit/train/good/9{i}.png")))
            .expect("saves");
    }
    assert_eq!(fit(&[]), "strip");
    assert_eq!(fit(&["--fit", "squash"]), "squash");
    assert_eq!(fit(&["--set", "model.fit=pad"]), "pad");
    assert_eq!(fit(&["--preset", "paper"]), "squash");
}

#[test]
fn large_photos_get_the_larger_input_unless_told_otherwise() {
    let folder = data();
    let path = folder.path();
    for i in 0..GOOD + 1 {
        let large = image::RgbImage::from_pixel(1024, 768, image::Rgb([90, 90, 90]));
        large
            .save(path.join(format!("circuit/train/good/9{i}.png")))
            .expect("saves");
    }
    let model = |more: &[&str]| {
        let arguments = [&["train", "--data", "circuit", "--print-config", "json"], more].concat();
        let settings: serde_json::Value = serde_json::from_str(&succeeds(&arguments, path)).expect("is JSON");
        let model = &settings["model"];
        (
            model["preset"].clone(),
            model["input_size"].as_u64().expect("is a number"),
        )
    };
    assert_eq!(model(&[]), ("standard".into(), 384));
    assert_eq!(model(&["--preset", "compact"]), ("compact".into(), 256));
    assert_eq!(model(&["--set", "model.input_size=320"]).1, 320);
    assert_eq!(model(&["--method", "stpm"]), ("compact".into(), 256));
    // and the training says so
    let line = "train --data circuit -o m.safetensors --device cpu --student-steps 1 --segmentation-steps 1 --batch 2";
    let output = destseg(&line.split(' ').collect::<Vec<_>>(), path);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    assert!(notes.contains("384 pixels, because photos this large"), "{notes}");
    let line = [
        "train",
        "--method",
        "draem",
        "--preset",
        "standard",
        "--print-config",
    ];
    fails(&line, path, &["choose compact or paper"]);
}

/// What training would see, as pictures.
#[test]
fn samples_of_every_kind_are_written() {
    let folder = data();
    let path = folder.path();
    // the last is the former name of `scratch`
    for kind in ["texture", "cut-paste", "scratch", "stain", "blur", "scar"] {
        let out = format!("samples-{kind}");
        succeeds(
            &[
                "samples", "--data", "circuit", "-o", &out, "--count", "2", "--kind", kind,
            ],
            path,
        );
        assert_eq!(list(&path.join(&out)), ["000.png", "001.png"]);
        let picture = image::open(path.join(&out).join("000.png"))
            .expect("is a picture")
            .to_rgb8();
        assert_eq!(picture.dimensions(), (3 * 256, 256));
        assert!(
            picture
                .enumerate_pixels()
                .any(|(x, _, pixel)| x >= 512 && pixel.0 == [255; 3])
        );
    }
    let unknown = ["samples", "--data", "circuit", "-o", "x", "--kind", "rust"];
    assert_eq!(destseg(&unknown, path).status.code(), Some(2));
}

#[test]
fn an_unreadable_image_does_not_stop_the_others() {
    let folder = data();
    let path = folder.path();
    fs::write(path.join("broken.png"), b"no picture").expect("writes");
    let model = shipped_model();
    let arguments = ["predict", "circuit/train/good/000.png", "broken.png", "-m"];
    let rest = [model.to_str().expect("is UTF-8"), "-o", "out", "--device", "cpu"];
    let output = destseg(&[&arguments[..], &rest].concat(), path);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("broken.png") && errors.contains("1 of 2 images"),
        "{errors}"
    );
    assert_eq!(list(&path.join("out")), ["000.map.png", "000.overlay.png"]);
}

/// A model goes to PyTorch's names and back, and stays the same.
#[test]
fn exports_and_imports_keep_the_model() {
    let folder = data();
    let path = folder.path();
    let model = shipped_model();
    let model = model.to_str().expect("is UTF-8");
    let export = [
        "export",
        model,
        "--format",
        "safetensors",
        "-o",
        "torch.safetensors",
    ];
    succeeds(&export, path);
    fails(&export, path, &["torch.safetensors exists already", "--force"]);
    let import = ["import", "torch.safetensors", "-o", "back.safetensors"];
    succeeds(&import, path);
    fails(&import, path, &["back.safetensors exists already", "--force"]);
    succeeds(&[&import[..], &["--force", "--precision", "f32"]].concat(), path);
    let read =
        |name: &Path| ModelFile::parse(&fs::read(path.join(name)).expect("reads")).expect("is a model");
    let (before, after) = (read(Path::new(model)), read(Path::new("back.safetensors")));
    assert!(networks_of(&before) == networks_of(&after));
    assert_eq!(before.header.calibration, after.header.calibration);
    assert_eq!(before.header.training(), after.header.training());

    let score = |model: &str| {
        let image = "circuit/test/scratch/000.png";
        let lines = succeeds(
            &["predict", image, "-m", model, "-o", "out", "--device", "cpu"],
            path,
        );
        let line: serde_json::Value = serde_json::from_str(&lines).expect("is JSON");
        line["score"].as_f64().expect("has a score")
    };
    // the export itself opens, too
    assert_eq!(score(model), score("torch.safetensors"));

    let teacher = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.safetensors");
    let teacher = teacher.to_str().expect("is UTF-8");
    succeeds(&["import", teacher, "-o", "teacher.safetensors"], path);
    let as_model = [
        "predict",
        "circuit/test/scratch/000.png",
        "-m",
        teacher,
        "-o",
        "out",
    ];
    fails(
        &as_model,
        path,
        &["only the efficientnet-lite0 teacher", "--teacher"],
    );
    fs::write(
        path.join("crafted.pckl"),
        b"\x80\x02}cos\nsystem\nX\x04\0\0\0echo\x85Rs.",
    )
    .expect("writes");
    let crafted = ["import", "crafted.pckl", "-o", "never.safetensors"];
    fails(
        &crafted,
        path,
        &["crafted.pckl", "`os.system`", "nothing of it was run"],
    );
    assert!(!path.join("never.safetensors").exists());
}

/// The weights of a file's networks, without the record of its good images.
fn networks_of(file: &ModelFile) -> Weights {
    let mut file = file.clone();
    file.set_familiarity(None);
    file.weights
}

#[test]
fn thresholds_are_measured_anew_without_training() {
    let folder = data();
    let path = folder.path();
    let shipped = shipped_model();
    let model = shipped.to_str().expect("is UTF-8");
    let calibrate = |out: &'static str| {
        let arguments = [
            "calibrate",
            "-m",
            model,
            "--data",
            "circuit",
            "-o",
            out,
            "--device",
            "cpu",
        ];
        [&arguments[..], &["--precision", "int8", "--new-part"]].concat()
    };
    succeeds(&calibrate("again.safetensors"), path);
    let all = [&calibrate("all.safetensors")[..], &["--all"]].concat();
    succeeds(&all, path);
    let open = |file: &Path| ModelFile::parse(&fs::read(file).expect("is there")).expect("is a model");
    let before = open(&shipped);
    let [again, all] = ["again", "all"].map(|name| open(&path.join(format!("{name}.safetensors"))));
    assert_eq!(
        networks_of(&again),
        networks_of(&before),
        "the networks stay as they are"
    );
    // what good images look like is learned anew
    let familiarity = |file: &ModelFile| file.familiarity().expect("fits").expect("is there");
    assert_ne!(familiarity(&again), familiarity(&before));
    assert_eq!(again.header.training(), before.header.training());
    let looked_at = |file: &ModelFile| {
        let calibration = file.header.calibration.as_ref().expect("is calibrated");
        calibration.good_scores.len()
    };
    assert_eq!([looked_at(&again), looked_at(&all)], [1, GOOD]);
    fails(
        &calibrate("again.safetensors"),
        path,
        &["again.safetensors", "--force"],
    );
    let mut elsewhere = calibrate("other.safetensors");
    elsewhere[4] = "nowhere";
    fails(&elsewhere, path, &["nowhere"]);
}

#[test]
fn an_unwritable_output_leaves_nothing() {
    let folder = data();
    let path = folder.path();
    fs::write(path.join("file"), b"in the way").expect("writes");
    let before = list(path);
    // before the training, not after it
    fails(&train("file/m.safetensors", &[]), path, &["file"]);
    fails(&train("circuit", &[]), path, &["circuit"]);
    let model = shipped_model();
    let model = model.to_str().expect("is UTF-8");
    let image = "circuit/train/good/000.png";
    fails(&["predict", image, "-m", model, "-o", "file"], path, &["file"]);
    fails(&["demo-data", "file", "--category", "fabric"], path, &["file"]);
    fails(
        &["demo-data", ".", "--category", "circuit"],
        path,
        &["circuit", "exists"],
    );
    assert_eq!(list(path), before);
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let folder = data();
    let path = folder.path();
    let image = "circuit/train/good/000.png";
    let predict = |model: &'static str| ["predict", image, "-m", model, "-o", "out", "--device", "cpu"];
    fails(&predict("nothing"), path, &["nothing", "read"]);
    fails(&predict(image), path, &["000.png", "model"]);
    let bytes = fs::read(shipped_model()).expect("reads");
    fs::write(path.join("cut.safetensors"), &bytes[..bytes.len() / 2]).expect("writes");
    fails(&predict("cut.safetensors"), path, &["cut.safetensors"]);
    assert!(!path.join("out").exists());
}

#[test]
fn wrong_flags_are_told_from_right_ones() {
    let folder = tempfile::tempdir().expect("creates");
    for (arguments, word) in [
        (&["train", "--colour"][..], "--colour"),
        (&["predict"], "--model"),
        (
            &["demo-data", ".", "--category", "cars"],
            "fabric, tablets, circuit",
        ),
        (
            &["predict", "a.png", "-m", "m", "-o", "o", "--opacity", "2"],
            "between 0 and 1",
        ),
        (&["fly"], "fly"),
    ] {
        let output = destseg(arguments, folder.path());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(
            errors.contains(word),
            "{arguments:?} should say `{word}`: {errors}"
        );
    }
    assert!(list(folder.path()).is_empty());
}

fn shipped_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fabric.safetensors")
}

#[test]
fn every_subcommand_is_documented_with_its_help() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(cli_docs::DOCUMENT);
    let page = fs::read_to_string(page).expect("docs/cli.md is there");
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_destseg"));
        command
            .args(arguments)
            .arg("--help")
            .env("COLUMNS", cli_docs::COLUMNS);
        let output = command.output().expect("destseg starts");
        String::from_utf8(output.stdout).expect("prints UTF-8")
    };
    let all = help(&[]);
    let subcommands = cli_docs::subcommands(&all);
    assert!(subcommands.contains(&"train"), "{all}");
    assert_eq!(
        cli_docs::sections(&page).len(),
        subcommands.len(),
        "docs/cli.md describes a command that is gone: remove its section"
    );
    assert_eq!(
        cli_docs::with_contents(&page),
        page,
        "the list of docs/cli.md lacks a section: run `cargo xtask cli-docs`"
    );
    for subcommand in subcommands.into_iter().chain([""]) {
        let arguments: Vec<&str> = Some(subcommand)
            .filter(|name| !name.is_empty())
            .into_iter()
            .collect();
        assert_eq!(
            cli_docs::documented(&page, subcommand),
            Some(help(&arguments).trim_end()),
            "docs/cli.md lacks the help of `destseg {subcommand}`: run `cargo xtask cli-docs`"
        );
    }
}

/// The networks of a model, which a memory bank has not.
fn networks(file: &ModelFile) -> &ModelConfig {
    file.header.networks().expect("has networks")
}
