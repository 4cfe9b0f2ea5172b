//! What the command line says to input that cannot be used, before any work is done for nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use destseg_engine::methods::file::ModelFile;
use tempfile::TempDir;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, destseg, fails, succeeds};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");
const IMAGE: &str = "circuit/test/good/000.png";

/// A folder with a small data set in `circuit`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    demo_data(folder.path(), "circuit", [4, 2, 1], 3);
    folder
}

/// The one error sentence of a command line that fails with exit code 1 and leaves the folder as it was.
fn error(line: &str, folder: &Path) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    let before = list(folder);
    let errors = fails(&arguments, folder);
    let sentences: Vec<&str> = errors
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .collect();
    assert_eq!(sentences.len(), 1, "{line} should say one sentence: {errors}");
    assert!(!errors.contains(".tmp"), "{errors}");
    assert_eq!(list(folder), before, "{line} leaves something");
    sentences[0].to_owned()
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

/// Runs it with another standard output or error; returns the exit code and what it wrote to the others, besides notes.
fn with_streams(line: &str, folder: &Path, [out, err]: [Stdio; 2]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(line.split(' '))
        .current_dir(folder)
        .stdout(out)
        .stderr(err)
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("destseg runs");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("is UTF-8");
    let is_news = |line: &&str| !line.starts_with("note: ") && !line.contains(" test images: ");
    let lines = text.lines().filter(is_news);
    (output.status.code(), lines.collect::<Vec<_>>().join("\n"))
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("makes a pipe");
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let folder = data();
    let path = folder.path();
    let predict = format!("predict circuit/test/good -m {MODEL} -o out --device cpu");
    let eval = format!("eval --data circuit -m {MODEL} --device cpu");
    for line in [&*predict, &eval, "train --print-config", "--help"] {
        let (code, errors) = with_streams(line, path, [closed(), Stdio::piped()]);
        assert_eq!((code, &*errors), (Some(0), ""), "{line}");
    }
    // a training goes on without a reader of its log
    let train = [
        "train --data circuit -o m.safetensors --device cpu",
        &SHORT.join(" "),
    ]
    .join(" ");
    let (code, _) = with_streams(&train, path, [Stdio::null(), closed()]);
    assert_eq!(code, Some(0));
    assert!(path.join("m.safetensors").is_file());
    let (code, _) = with_streams("train --data nowhere -o x", path, [Stdio::null(), closed()]);
    assert_eq!(code, Some(1));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said() {
    let folder = data();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").expect("is there"));
    let predict = format!("predict {IMAGE} -m {MODEL} -o out --device cpu");
    for line in [&*predict, "train --print-config"] {
        let (code, errors) = with_streams(line, folder.path(), [full(), Stdio::piped()]);
        assert_eq!(
            (code, &*errors),
            (
                Some(1),
                "error: cannot write standard output: there is no room left on the disk; free some and run again"
            ),
            "{line}"
        );
    }
}

#[test]
fn outputs_are_checked_before_the_work() {
    let folder = data();
    let path = folder.path();
    fs::create_dir(path.join("folder")).expect("creates");
    fs::write(path.join("file"), "in the way").expect("writes");
    let eval = format!("eval --data circuit -m {MODEL} --device cpu");
    // the flags before the file; none of them comes to the work, which would fail in another way
    let commands = [
        "train --data circuit --force --textures nowhere -o",
        "train --data circuit --force --method patchcore --textures nowhere -o",
        &format!("{eval} --out"),
        &format!("export {MODEL} --format safetensors --force -o"),
        &format!("import {MODEL} --force -o"),
        &format!("calibrate -m {MODEL} --restore --force -o"),
        &format!("correct -m {MODEL} --good circuit/test/good --textures nowhere --data circuit --force -o"),
    ];
    for command in commands {
        for (out, words) in [
            ("folder", "folder is a folder: add the name of a file"),
            (
                "nowhere/m.safetensors",
                "the folder nowhere does not exist: create it first",
            ),
            ("file/m.safetensors", "file"),
        ] {
            let said = error(&format!("{command} {out}"), path);
            assert!(said.contains(words), "{command} {out}: {said}");
        }
    }
    for (out, words) in [
        ("nowhere/r.html", "the folder nowhere does not exist"),
        ("r.pdf", "must end in .html, .json or .csv"),
        ("r.csv -m other", "r.csv can hold one model only"),
    ] {
        let said = error(&format!("{eval} --report {out}"), path);
        assert!(said.contains(words), "{said}");
    }
    let predict = format!("predict {IMAGE} -m nowhere -o");
    for command in [
        &predict,
        "samples --data circuit --textures nowhere -o",
        "demo-data --category fabric",
        "bench circuit -o",
        "sweep --data circuit -o",
    ] {
        for out in ["file", "file/deep/inside"] {
            let said = error(&format!("{command} {out}"), path);
            assert_eq!(said, "file is a file: choose another folder", "{command} {out}");
        }
    }
    let said = error(&format!("{eval} --out /dev/null"), path);
    assert!(said.contains("not an ordinary file"), "{said}");
}

#[test]
fn settings_replace_settings_alone() {
    let folder = data();
    let path = folder.path();
    fs::write(path.join("Cargo.toml"), "[package]\nname = \"a\"\n").expect("writes");
    fs::write(path.join("notes.toml"), "no TOML at all").expect("writes");
    let train = |out: &str| {
        format!(
            "train --data circuit --device cpu --force {} -o {out}",
            SHORT.join(" ")
        )
    };
    for (out, words) in [
        (
            "Cargo.safetensors",
            "would replace Cargo.toml, which holds other things",
        ),
        ("notes.safetensors", "would replace notes.toml"),
        ("m.toml", "give the model another ending, such as m.safetensors"),
        ("m.JSON", "m.JSON is named like a settings file"),
    ] {
        let said = error(&train(out), path);
        assert!(said.contains(words), "{said}");
    }
    // settings of this program are replaced, be they of another method
    let (bank, _) = succeeds(&["train", "--method", "patchcore", "--print-config"], path);
    assert!(bank.contains("coreset"), "{bank}");
    fs::write(path.join("own.toml"), bank).expect("writes");
    succeeds(&train("own.safetensors").split(' ').collect::<Vec<_>>(), path);
    let settings = fs::read_to_string(path.join("own.toml")).expect("is there");
    assert!(settings.contains("[training.student]"), "{settings}");
}

#[test]
fn sets_are_checked_before_the_first_training() {
    let folder = data();
    let path = folder.path();
    fs::create_dir_all(path.join("plain/train/good")).expect("creates");
    fs::create_dir_all(path.join("other/circuit/test/good")).expect("creates");
    fs::create_dir_all(path.join("other/circuit/train/good")).expect("creates");
    for to in ["plain/train/good/0.png", "other/circuit/train/good/0.png"] {
        fs::copy(path.join(IMAGE), path.join(to)).expect("copies");
    }
    for (line, words) in [
        ("bench circuit plain -o out", "plain has no test folder"),
        ("sweep --data other -o out", "other/circuit/test holds no images"),
    ] {
        let said = error(line, path);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn folders_of_images_can_be_predicted() {
    let folder = data();
    let path = folder.path();
    fs::create_dir(path.join("empty")).expect("creates");
    fs::write(path.join("circuit/test/good/notes.txt"), "no image").expect("writes");
    let predict = |images: &str| format!("predict {images} -m {MODEL} -o out --device cpu");
    let said = error(&predict("empty"), path);
    assert_eq!(
        said,
        "empty holds no images: add PNG, JPEG, TIFF, BMP, WebP or GIF files"
    );
    let files = |line: &str| {
        let output = destseg(&line.split(' ').collect::<Vec<_>>(), path);
        let text = String::from_utf8(output.stdout).expect("is UTF-8");
        let files: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("is JSON")["file"].clone())
            .map(|file| file.as_str().expect("is a path").to_owned())
            .collect();
        (
            output.status.code(),
            files,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, found, _) = files(&predict("circuit/test/good"));
    assert_eq!(
        (code, found),
        (
            Some(0),
            vec![IMAGE.to_owned(), "circuit/test/good/001.png".to_owned()]
        )
    );
    let (code, found, errors) = files(&predict("empty circuit/train/good/003.png circuit/test/good"));
    assert_eq!(
        (code, found.len(), &*found[0]),
        (Some(1), 3, "circuit/train/good/003.png")
    );
    assert!(
        errors.contains("empty holds no images") && errors.contains("1 of 4 images could not be analysed"),
        "{errors}"
    );
}

/// Saves a picture of the small data set again, reduced to this side.
fn save_as(name: &str, side: u32, folder: &Path) {
    let picture = image::open(folder.join(IMAGE)).expect("opens");
    let picture = picture.resize_exact(side, side, image::imageops::FilterType::Triangle);
    picture.to_rgb8().save(folder.join(name)).expect("is saved");
}

#[test]
fn other_files_than_those_of_the_training_are_said_once() {
    const NOTE: &str = "the model was trained on";
    let folder = data();
    let path = folder.path();
    for name in ["other", "other/test", "other/test/good"] {
        fs::create_dir(path.join(name)).expect("creates");
    }
    save_as("other/test/good/a.jpg", 256, path);
    save_as("other/test/good/b.jpg", 256, path);
    save_as("small.bmp", 100, path);
    let said = |line: &str| {
        let (_, errors) = succeeds(&line.split(' ').collect::<Vec<_>>(), path);
        let notes = errors.lines().filter(|line| line.contains(NOTE));
        notes.map(str::to_owned).collect::<Vec<_>>()
    };
    for (model, method) in [
        ("m.safetensors", SHORT.join(" ")),
        ("bank.safetensors", "--method patchcore".into()),
    ] {
        said(&format!("train --data circuit -o {model} --device cpu {method}"));
        let bytes = fs::read(path.join(model)).expect("is there");
        let header = ModelFile::parse(&bytes).expect("opens").header;
        let files = header.files().expect("says it");
        assert_eq!((files.types.join(" "), files.size), ("PNG".into(), [256, 256]));
        let predict = |images: &str| said(&format!("predict {images} -m {model} -o out --device cpu"));
        assert!(predict("circuit/test/good").is_empty());
        let jpeg = predict("other/test/good");
        assert_eq!(jpeg.len(), 1, "{jpeg:?}");
        assert!(
            jpeg[0].contains("note: the model was trained on lossless files (PNG), not on JPEG files:"),
            "{jpeg:?}"
        );
        let small = predict("small.bmp");
        assert!(
            small[0].contains("images of 256 x 256 pixels, not on images of 100 x 100 pixels"),
            "{small:?}"
        );
        let eval = |data: &str| said(&format!("eval --data {data} -m {model} --device cpu"));
        assert!(eval("circuit").is_empty());
        let jpeg = eval("other");
        assert_eq!(jpeg.len(), 1, "{jpeg:?}");
        assert!(jpeg[0].contains("not on JPEG files"), "{jpeg:?}");
    }
    // models of older versions do not say what they were trained from
    assert!(said(&format!("predict small.bmp -m {MODEL} -o out --device cpu")).is_empty());
}

#[test]
fn numbers_out_of_bounds_are_refused_with_the_bounds() {
    let folder = tempfile::tempdir().expect("creates");
    let train = "train --data nowhere -o m";
    let samples = "samples --data nowhere -o out";
    let demo = "demo-data out --category fabric";
    let eval = "eval --data nowhere -m nothing";
    let bench = "bench nowhere -o out";
    let sweep = "sweep --data nowhere -o out";
    for (line, words) in [
        (format!("{train} --batch 1"), "from 2 to 4096"),
        (format!("{train} --batch 4097"), "from 2 to 4096"),
        (format!("{train} --student-steps -5"), "from 0 to 10000000"),
        (
            format!("{train} --segmentation-steps 18446744073709551615"),
            "from 0 to 10000000",
        ),
        (format!("{train} --seed -1"), "from 0 to 9223372036854775807"),
        (
            format!("{train} --seed 18446744073709551615"),
            "from 0 to 9223372036854775807",
        ),
        (format!("{train} --checkpoint-every -1"), "from 0 to 10000000"),
        (format!("{train} --limit 0"), "from 1 to 100000"),
        (format!("{samples} --count 0"), "from 1 to 100000"),
        (format!("{samples} --count 1.5"), "from 1 to 100000"),
        (format!("{demo} --train -1"), "from 0 to 100000"),
        (format!("{demo} --size -1"), "from 256 to 512"),
        (format!("{demo} --size 0"), "from 256 to 512"),
        (format!("{eval} --limit 0"), "from 1 to 100000"),
        (format!("{bench} --images -1"), "from 1 on, or `all`"),
        (format!("{bench} --foreign 0"), "from 1 to 100000"),
        (format!("{sweep} --seeds 1,-2"), "from 0 to 9223372036854775807"),
        (format!("{sweep} --jobs 0"), "from 1 to 100000"),
    ] {
        let output = destseg(&line.split(' ').collect::<Vec<_>>(), folder.path());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {errors}");
        assert!(
            errors.contains("give a") && errors.contains(words),
            "{line}: {errors}"
        );
    }
    assert!(list(folder.path()).is_empty());
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let folder = data();
    let path = folder.path();
    for (setting, words) in [
        (
            "training.student.learning_rate=-0.1",
            "the learning rate of stage 1 is -0.1 but must be 0 or more",
        ),
        (
            "training.segmentation.learning_rate=nan",
            "the learning rate of stage 2 is NaN",
        ),
        (
            "training.batch=100000",
            "the batch size is 100000 but must be at most 4096",
        ),
        (
            "training.augment.rotate=nan",
            "the rotation of the good images is NaN degrees but must lie between 0 and 180",
        ),
        (
            "training.momentum=1",
            "the momentum is 1 but must be 0 or more and below 1",
        ),
    ] {
        let said = error(
            &format!("train --data circuit -o m.safetensors --set {setting}"),
            path,
        );
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn files_of_another_kind_are_named() {
    let folder = data();
    let path = folder.path();
    fs::create_dir(path.join("out")).expect("creates");
    let train = "train --data circuit -o m.safetensors";
    for (line, said) in [
        (
            format!("predict {IMAGE} -m {IMAGE} -o out"),
            format!("{IMAGE}: this is an image, not a model: give the file that training wrote"),
        ),
        (
            format!("predict {IMAGE} -m circuit -o out"),
            "cannot read circuit: it is a folder; give a file".to_owned(),
        ),
        (
            format!("predict {IMAGE} -m nothing -o out"),
            "cannot read nothing: there is no such file or folder; check the path".to_owned(),
        ),
        (
            format!("predict nothing.png -m {MODEL} -o out --device cpu"),
            "cannot read nothing.png: there is no such file or folder; check the path".to_owned(),
        ),
        (
            format!("{train} --config {IMAGE}"),
            format!(
                "{IMAGE} is an image: give a settings file (.toml or .json), such as training writes beside its model"
            ),
        ),
        (
            format!("{train} --config {MODEL}"),
            format!(
                "{MODEL} is not a text file: give a settings file (.toml or .json), such as training writes beside its model"
            ),
        ),
        (
            format!("{train} --only {IMAGE}"),
            format!("{IMAGE} is an image: give a list of images, one path a line"),
        ),
        (
            format!("{train} --resume"),
            "there is no m.safetensors.checkpoint to go on from: leave out --resume to start from the beginning"
                .to_owned(),
        ),
        (
            format!("{train} --limit 1"),
            "1 good image is too few to train on: give at least 4".to_owned(),
        ),
    ] {
        assert_eq!(error(&line, path), said, "{line}");
    }
}

#[test]
fn a_preset_beside_a_model_to_start_from_only_says_how_to_train() {
    let folder = data();
    let path = folder.path();
    let line = format!("train --data circuit --start-from {MODEL} --preset paper --print-config");
    let (settings, notes) = succeeds(&line.split(' ').collect::<Vec<_>>(), path);
    assert!(
        notes.contains("(preset compact); the preset paper only says how they are trained"),
        "{notes}"
    );
    assert!(
        settings.contains("preset = \"compact\"") && settings.contains("batch = 32"),
        "{settings}"
    );
    let line = format!("train --data circuit --start-from {MODEL} --print-config");
    assert_eq!(succeeds(&line.split(' ').collect::<Vec<_>>(), path).1, "");
}

#[test]
fn what_good_images_alone_cannot_tell_is_not_available() {
    let folder = data();
    let path = folder.path();
    let test = path.join("circuit/test");
    for name in list(&test).iter().filter(|name| *name != "good") {
        fs::remove_dir_all(test.join(name)).expect("removes");
    }
    let line = format!("eval --data circuit -m {MODEL} --device cpu");
    let (text, _) = succeeds(&line.split(' ').collect::<Vec<_>>(), path);
    assert!(
        text.contains("F1 n/a, false alarms ") && text.contains(", misses n/a\n"),
        "{text}"
    );
    assert!(!text.contains("per defect"), "{text}");
    let (text, _) = succeeds(
        &[line.split(' ').collect::<Vec<_>>(), vec!["--limit", "1"]].concat(),
        path,
    );
    assert!(text.starts_with("1 test image of circuit"), "{text}");
}
