//! Exported graphs against `destseg predict`: what onnxruntime computes on real images. `cargo xtask setup --onnx` makes a Python
//! with onnxruntime, numpy and pillow, `DESTSEG_PYTHON` names another; without one these comparisons are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

/// Largest difference of a map's values.
const TOLERANCE: f32 = 1e-4;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A shipped model's file.
fn shipped(name: &str) -> String {
    let path = root().join(format!("models/{name}.safetensors"));
    path.to_str().expect("is UTF-8").to_owned()
}

/// A Python with what the comparisons need; `None`, with a note, where there is none.
fn python() -> Option<PathBuf> {
    let own = root().join("target/onnx/bin/python");
    let own = own.is_file().then(|| own.into_os_string());
    let named = std::env::var_os("DESTSEG_PYTHON").or(own);
    let python = named.unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import numpy, onnxruntime, PIL"])
        .output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python.into());
    }
    println!(
        "skipped: {} has no onnxruntime, numpy or pillow (cargo xtask setup --onnx)",
        python.display()
    );
    None
}

/// Example images of a shipped model.
fn example(name: &str) -> RgbImage {
    let path = root().join("models/examples").join(name);
    image::open(path).expect("opens").into_rgb8()
}

/// The images that each model sees: a good and a defective one, other sizes and shapes, another part, another light.
fn images(category: &str, defect: &str) -> Vec<RgbImage> {
    let [good, bad] = ["good_000", defect].map(|name| example(&format!("{category}/{name}.png")));
    let other = if category == "fabric" { "tablets" } else { "fabric" };
    let (width, height) = bad.dimensions();
    vec![
        imageops::crop_imm(&bad, width / 8, 0, width * 3 / 4, height - 7).to_image(),
        imageops::resize(&bad, 523, 411, FilterType::Triangle),
        imageops::resize(&bad, 200, 610, FilterType::Triangle),
        imageops::rotate90(&good),
        imageops::brighten(&good, 70),
        example(&format!("{other}/good_000.png")),
        good,
        bad,
    ]
}

/// What a graph gives for an image.
struct Given {
    line: Value,
    /// Rows of the map, columns, and its values.
    map: (usize, usize, Vec<f32>),
}

/// Writes images where both programs find them.
fn write(images: &[RgbImage], folder: &Path) -> Vec<String> {
    let names = (0..images.len()).map(|place| format!("{place:03}.png"));
    let names: Vec<String> = names.collect();
    for (name, image) in names.iter().zip(images) {
        image.save(folder.join(name)).expect("writes");
        fs::write(folder.join(format!("{name}.rgb")), image.as_raw()).expect("writes");
    }
    names
}

/// What onnxruntime makes of images that [`write`] wrote.
fn run(python: &Path, graph: &str, images: &[RgbImage], names: &[String], folder: &Path) -> Vec<Given> {
    let mut command = Command::new(python);
    command
        .arg(root().join("tests/support/onnx.py"))
        .arg(graph)
        .current_dir(folder);
    for (name, image) in names.iter().zip(images) {
        command.arg(format!("{} {} {name}.rgb", image.width(), image.height()));
    }
    let output = command.output().expect("starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{graph}: {errors}");
    let lines = String::from_utf8(output.stdout).expect("is UTF-8");
    let given = lines.lines().zip(names).map(|(line, name)| {
        let line: Value = serde_json::from_str(line).expect("is JSON");
        let bytes = fs::read(folder.join(format!("{name}.rgb.map"))).expect("is there");
        let (values, _) = bytes.as_chunks::<4>();
        let size = |axis: usize| line["size"][axis].as_u64().expect("is a size") as usize;
        Given {
            map: (
                size(0),
                size(1),
                values.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            ),
            line,
        }
    });
    given.collect()
}

/// What `destseg predict` says of them: its lines, in the order of the images.
fn predict(model: &str, names: &[String], folder: &Path) -> Vec<Value> {
    let mut arguments = vec!["predict"];
    arguments.extend(names.iter().map(String::as_str));
    let out = ["-m", model, "-o", "out", "--device", "cpu", "--map-size", "model"];
    let (lines, _) = succeeds(&[&arguments[..], &out].concat(), folder);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("is JSON"))
        .collect()
}

/// Whether two numbers are the same but for rounding: a distance rests on sums over all pixels.
fn are_same(ours: &Value, theirs: &Value) -> bool {
    let [a, b] = [ours, theirs].map(|value| value.as_f64().expect("is a number"));
    (a - b).abs() <= 3e-4 * a.abs().max(1.0)
}

/// Compares a model with its graph on images, and gives the verdicts.
fn compare(python: &Path, model: &str, images: &[RgbImage], folder: &Path) -> Vec<String> {
    let graph = "model.onnx";
    let export = ["export", model, "--format", "onnx", "--force", "-o", graph];
    succeeds(&export, folder);
    let names = write(images, folder);
    let ours = predict(model, &names, folder);
    let theirs = run(python, graph, images, &names, folder);
    assert_eq!((ours.len(), theirs.len()), (images.len(), images.len()));
    let mut verdicts = Vec::new();
    for ((own, their), name) in ours.iter().zip(&theirs).zip(&names) {
        let what = format!("{model}, {name}");
        for number in ["score", "p_value", "decision_score", "distance"] {
            let (a, b) = (&own[number], &their.line[number]);
            assert!(are_same(a, b), "{what}, {number}: {a} became {b}");
        }
        let verdict = own["verdict"].as_str().expect("has a verdict");
        let words = ["good", "defective", "unfamiliar"];
        let number = their.line["verdict"].as_u64().expect("is a number");
        // rounding may decide at the threshold
        if verdict == "unfamiliar" || !are_same(&own["score"], &own["threshold"]) {
            assert_eq!(words[number as usize], verdict, "{what}");
        }
        if verdict == "unfamiliar" {
            let number = their.line["difference"].as_u64().expect("is a number");
            let words = [
                "part", "turned", "closer", "farther", "framing", "brighter", "darker", "tint",
            ];
            assert_eq!(
                Some(words[number as usize - 1]),
                own["difference"].as_str(),
                "{what}"
            );
        }
        verdicts.push(verdict.to_owned());
        let white = own["map_white"].as_f64().expect("has a scale") as f32;
        let picture = folder.join(own["map"].as_str().expect("has a map"));
        let picture = image::open(picture).expect("opens").into_luma16();
        let (rows, columns, values) = &their.map;
        assert_eq!(
            (picture.height() as usize, picture.width() as usize),
            (*rows, *columns),
            "{what}"
        );
        let farthest = picture
            .as_raw()
            .iter()
            .zip(values)
            .map(|(&ours, theirs)| (f32::from(ours) * white / f32::from(u16::MAX) - theirs).abs())
            .fold(0.0, f32::max);
        // the picture has 16 bits
        let rounding = white / f32::from(u16::MAX);
        println!("{what}: {verdict}, {rows} x {columns}, largest difference {farthest:.1e}");
        assert!(farthest <= TOLERANCE + rounding, "{what}: {farthest}");
    }
    verdicts
}

#[test]
fn graphs_of_shipped_models_decide_as_predict_does() {
    let Some(python) = python() else { return };
    for (category, defect) in [
        ("fabric", "hole_000"),
        ("tablets", "missing_000"),
        ("circuit", "missing_part_000"),
    ] {
        let folder = tempfile::tempdir().expect("creates");
        let verdicts = compare(
            &python,
            &shipped(category),
            &images(category, defect),
            folder.path(),
        );
        for verdict in ["good", "defective", "unfamiliar"] {
            assert!(
                verdicts.iter().any(|own| own == verdict),
                "{category}: {verdicts:?}"
            );
        }
    }
}

/// All but DSR: where two codes are nearly as close, rounding decides between them, and all of the map depends on it.
#[test]
fn graphs_of_all_methods_and_layouts_decide_as_predict_does() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 0, 0], 3);
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
    let stpm = [&["--method", "stpm"], &SHORT[..4]].concat();
    let bank = ["--method", "patchcore", "--coreset", "0.05"];
    let draem = [
        "--method",
        "draem",
        "--batch",
        "2",
        "--set",
        "training.steps=3",
        "--set",
        "model.widths=[4,2]",
    ];
    let small = ["--set", "model.input_size=128"];
    for (layout, method) in [
        ("squash", &stpm[..]),
        ("squash", &bank),
        ("pad", &bank),
        ("crop", &stpm),
        ("strip", &SHORT),
        ("tile", &bank),
        ("squash", &draem),
        ("strip", &draem),
    ] {
        // of a memory bank the input size is a setting of its own
        let small = if method == bank {
            ["--set", "input_size=128"]
        } else {
            small
        };
        succeeds(&[&train[..], method, &small, &["--fit", layout]].concat(), path);
        compare(&python, "m.safetensors", &images("fabric", "hole_000"), path);
    }
}

#[test]
fn graphs_remember_corrected_images() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let all = images("fabric", "stain_002");
    let names = write(&all, path);
    let model = shipped("fabric");
    // false alarms: a stain that is none, and a photo that is brighter
    fs::create_dir(path.join("right")).expect("creates");
    for name in [names.last().expect("is there"), &names[4]] {
        fs::copy(path.join(name), path.join("right").join(name)).expect("copies");
    }
    let correct = [
        "correct",
        "-m",
        &model,
        "--good",
        "right",
        "-o",
        "m.safetensors",
        "--device",
        "cpu",
    ];
    succeeds(&correct, path);
    let before = predict(&model, &names, path);
    let after = predict("m.safetensors", &names, path);
    assert_ne!(
        before.last().expect("is there")["score"],
        after.last().expect("is there")["score"]
    );
    compare(&python, "m.safetensors", &all, path);
}

#[test]
fn a_graph_of_a_view_takes_what_the_network_takes() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let model = shipped("circuit");
    let export = [
        "export",
        &model,
        "--format",
        "onnx",
        "--input",
        "view",
        "--f32",
        "-o",
        "view.onnx",
    ];
    succeeds(&export, path);
    // of the network's size, so nothing is resized
    let image = imageops::resize(
        &example("circuit/missing_part_000.png"),
        352,
        352,
        FilterType::Triangle,
    );
    let images = [image];
    let names = write(&images, path);
    let ours = predict(&model, &names, path);
    let theirs = run(&python, "view.onnx", &images, &names, path);
    for number in ["score", "distance", "decision_score", "p_value"] {
        let (a, b) = (&ours[0][number], &theirs[0].line[number]);
        assert!(are_same(a, b), "{number}: {a} became {b}");
    }
    // an image of another size is refused
    let refused = Command::new(&python)
        .arg(root().join("tests/support/onnx.py"))
        .args(["view.onnx", "176 704 000.png.rgb"])
        .current_dir(path)
        .output()
        .expect("starts");
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && errors.contains("Got invalid dimensions for input: view"),
        "{errors}"
    );
}

/// The example in the document.
#[test]
fn the_document_s_example_runs() {
    let Some(python) = python() else { return };
    let document = fs::read_to_string(root().join("docs/onnx.md")).expect("reads");
    let (_, program) = document.split_once("```python\n").expect("has an example");
    let (program, _) = program.split_once("```").expect("ends");
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let model = shipped("fabric");
    succeeds(&["export", &model, "--format", "onnx", "-o", "fabric.onnx"], path);
    example("fabric/hole_000.png")
        .save(path.join("hole.png"))
        .expect("writes");
    let output = Command::new(&python)
        .args(["-c", program, "fabric.onnx", "hole.png"])
        .current_dir(path)
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with("hole.png: defective, score 0.9"),
        "{said}{errors}"
    );
    let map = image::open(path.join("map.png")).expect("opens");
    assert_eq!((map.width(), map.height()), (384, 384));
}

#[test]
fn what_cannot_be_exported_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let model = shipped("fabric");
    let export = |more: &[&str]| fails(&[&["export"], more].concat(), path);
    // a model of a newer format
    let bytes = fs::read(&model).expect("reads");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).expect("is UTF-8");
    let newer = header.replace(r#"format_version\":2"#, r#"format_version\":9"#);
    let newer = [&bytes[..8], newer.as_bytes(), &bytes[8 + length..]].concat();
    fs::write(path.join("newer.safetensors"), newer).expect("writes");
    let said = export(&["newer.safetensors", "--format", "onnx", "-o", "m.onnx"]);
    assert!(said.contains("newer destseg (format 9"), "{said}");
    // a place that cannot be written
    for (out, words) in [
        (
            "nowhere/m.onnx",
            "the folder nowhere does not exist: create it first",
        ),
        (".", "is a folder: add the name of a file"),
    ] {
        let said = export(&[&model, "--format", "onnx", "-o", out]);
        assert!(said.contains(words), "{said}");
    }
    // settings of the other format
    let said = export(&[&model, "--format", "safetensors", "--f32", "-o", "m"]);
    assert!(said.contains("add --format onnx"), "{said}");
    // a graph is no model
    succeeds(&["export", &model, "--format", "onnx", "-o", "m.onnx"], path);
    let said = export(&["m.onnx", "--format", "onnx", "-o", "n.onnx"]);
    assert!(said.contains("an ONNX model, which cannot be opened"), "{said}");
    // a file is replaced only if that is wanted
    let said = export(&[&model, "--format", "onnx", "-o", "m.onnx"]);
    assert!(said.contains("m.onnx exists already"), "{said}");
}
