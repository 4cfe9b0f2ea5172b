//! DRAEM as commands: trained, asked, corrected, taken to PyTorch and back, and given the wrong files.

use std::fs;
use std::path::Path;

use destseg_engine::evaluation::CategoryReport;
use destseg_engine::methods::file::{Body, ModelFile};
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{demo_data, fails, succeeds};

const DEFECT: &str = "fabric/test/hole/000.png";
/// What makes a training take seconds.
const SHORT: &str = "--set training.steps=3 --set model.input_size=64 --set model.widths=[4,2]";

fn line(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn model(name: &str, folder: &Path) -> ModelFile {
    ModelFile::parse(&fs::read(folder.join(name)).expect("reads")).expect("is a model")
}

/// A folder with a small data set and a model that was trained on it for a moment.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 2, 1], 3);
    let train = format!(
        "train --data fabric --device cpu --method draem --batch 2 --seed 5 {SHORT} -o m.safetensors"
    );
    let (_, notes) = succeeds(&line(&train), path);
    assert!(notes.contains("training DRAEM on 11 good images"), "{notes}");
    folder
}

fn predict(image: &str, model: &str, folder: &Path) -> Value {
    let (line, _) = succeeds(
        &["predict", image, "-m", model, "-o", "out", "--device", "cpu"],
        folder,
    );
    serde_json::from_str(&line).expect("is JSON")
}

#[test]
fn its_model_does_what_all_models_do() {
    let folder = trained();
    let path = folder.path();
    let file = model("m.safetensors", path);
    let Body::Draem { config, training } = &file.header.body else {
        panic!("is a model of DRAEM")
    };
    let recipe = &training.as_ref().expect("says it").config;
    assert_eq!((config.input_size, config.widths), (64, [4, 2]));
    assert_eq!((recipe.batch, recipe.seed, recipe.steps), (2, 5, 3));
    assert_eq!(file.header.files().expect("says it").types, ["PNG"]);

    let said = predict(DEFECT, "m.safetensors", path);
    assert!(
        said["threshold"].is_number() && said["distance"].is_number(),
        "{said}"
    );
    assert!(path.join("out/000.overlay.png").exists());
    let eval = "eval --data fabric -m m.safetensors --device cpu --json --report report.html";
    let report: CategoryReport = serde_json::from_str(&succeeds(&line(eval), path).0).expect("is a report");
    assert!(report.unfamiliar.is_some());
    assert!(
        fs::read_to_string(path.join("report.html"))
            .expect("reads")
            .contains("DRAEM")
    );

    // another model of the same kind of file
    let calibrate = "calibrate -m m.safetensors --data fabric --device cpu --all -o again.safetensors";
    let (_, notes) = succeeds(&line(calibrate), path);
    assert!(notes.contains("too optimistic"), "{notes}");
    let again = model("again.safetensors", path);
    let scores = again.header.calibration.expect("is calibrated").good_scores;
    assert_eq!(scores.len(), 12);
    fs::create_dir(path.join("good")).expect("creates");
    fs::copy(path.join("fabric/test/good/000.png"), path.join("good/0.png")).expect("copies");
    let correct = "correct -m m.safetensors --good good --device cpu -o corrected.safetensors";
    succeeds(&line(correct), path);
    let corrected = model("corrected.safetensors", path)
        .header
        .calibration
        .expect("is calibrated");
    assert_eq!(corrected.corrections.len(), 1);
    assert!(
        !corrected.corrections[0].places.is_empty(),
        "it remembers nothing"
    );
    let further = format!("{correct} --force --data fabric");
    let said = fails(&line(&further), path);
    assert!(
        said.contains("no segmentation network to train further: leave out --data"),
        "{said}"
    );
}

#[test]
fn it_goes_to_pytorch_and_comes_back() {
    let folder = trained();
    let path = folder.path();
    let export = "export m.safetensors --format safetensors -o out.safetensors";
    let (_, notes) = succeeds(&line(export), path);
    assert!(
        notes.contains("out.safetensors and out_seg.safetensors"),
        "{notes}"
    );
    assert!(fails(&line(export), path).contains("exists already"));
    let import = "import out_seg.safetensors out.safetensors --precision f32 -o back.safetensors";
    let (_, notes) = succeeds(&line(import), path);
    assert!(notes.contains("found a DRAEM model"), "{notes}");
    let [before, after] = ["m.safetensors", "back.safetensors"].map(|name| model(name, path));
    let networks = |file: &ModelFile| {
        let mut weights = file.weights.clone();
        drop(weights.take_prefix("familiarity."));
        weights
    };
    assert!(
        networks(&before) == networks(&after),
        "the weights changed on the way"
    );
    // the published size of images, and no thresholds
    assert_eq!(after.header.input_size(), 256);
    assert!(after.header.calibration.is_none());

    for (command, words) in [
        (
            "import out.safetensors -o x.safetensors",
            "only the reconstructive network of DRAEM",
        ),
        (
            "import out_seg.safetensors -o x.safetensors",
            "only the discriminative network of DRAEM",
        ),
        (
            "import out.safetensors out.safetensors -o x.safetensors",
            "both files hold the reconstructive network",
        ),
        (
            "import out.safetensors m.safetensors -o x.safetensors",
            "are neither the two networks of DRAEM nor the six of DSR",
        ),
        (
            "predict fabric/test -m out.safetensors -o out",
            "give the file of its discriminative network",
        ),
        (
            "train --data fabric --student-from m.safetensors -o x.safetensors --device cpu",
            "the networks of DRAEM, but a student is needed",
        ),
        (
            "train --data fabric --start-from m.safetensors -o x.safetensors --device cpu",
            "the networks of DRAEM, but a student is needed",
        ),
        (
            "train --data fabric --method draem --set model.input_size=32 -o x.safetensors --device cpu",
            "the input size is 32 but must be a multiple of 32 from 64",
        ),
        (
            "train --data fabric --method draem --student-steps 3 -o x.safetensors",
            "--student-steps says how student and segmentation network are trained, but DRAEM has neither",
        ),
        (
            "train --data fabric --method patchcore --batch 3 -o x.safetensors",
            "--batch says how student and segmentation network are trained, but PatchCore has neither",
        ),
    ] {
        let said = fails(&line(command), path);
        assert!(said.contains(words), "{command}: {said}");
        assert!(!path.join("x.safetensors").exists());
    }
}
