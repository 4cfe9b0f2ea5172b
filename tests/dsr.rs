//! DSR as commands: trained, asked, corrected, taken to PyTorch and back, and given the wrong files.

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
const SHORT: &str = "--set training.general_steps=3 --set training.detection_steps=2 --set training.upsampling_steps=2 \
                     --set model.input_size=64 --set model.networks.hidden=4 --set model.networks.residual=2 \
                     --set model.networks.embedding=4 --set model.networks.codes=16 --set model.networks.unet=2";
/// What the six files of a model have at the end of their names.
const ENDS: [&str; 6] = [
    "vq_model",
    "subspace_restriction_hi",
    "subspace_restriction_lo",
    "image_recon_module",
    "anomaly_det_module",
    "upsample_module",
];

fn line(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn model(name: &str, folder: &Path) -> ModelFile {
    ModelFile::parse(&fs::read(folder.join(name)).expect("reads")).expect("is a model")
}

/// A folder with a small data set and a model that was trained on it for a moment.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 2, 1], 3);
    let train =
        format!("train --data fabric --device cpu --method dsr --batch 2 --seed 5 {SHORT} -o m.safetensors");
    let (_, notes) = succeeds(&line(&train), path);
    assert!(notes.contains("training DSR on 11 good images"), "{notes}");
    folder
}

#[test]
fn its_model_does_what_all_models_do() {
    let folder = trained();
    let path = folder.path();
    let file = model("m.safetensors", path);
    let Body::Dsr { config, training } = &file.header.body else {
        panic!("is a model of DSR")
    };
    let recipe = &training.as_ref().expect("says it").config;
    assert_eq!((config.input_size, config.networks.codes), (64, 16));
    assert_eq!((recipe.batch, recipe.seed, recipe.general_steps), (2, 5, 3));
    assert_eq!(file.header.files().expect("says it").types, ["PNG"]);

    let predict = format!("predict {DEFECT} -m m.safetensors -o out --device cpu");
    let said: Value = serde_json::from_str(&succeeds(&line(&predict), path).0).expect("is JSON");
    assert!(
        said["threshold"].is_number() && said["distance"].is_number(),
        "{said}"
    );
    // the image score is that of the map before it is refined
    assert_eq!(said["score"], said["dest_score"]);
    assert!(path.join("out/000.overlay.png").exists());
    let eval = "eval --data fabric -m m.safetensors --device cpu --json --report report.html";
    let report: CategoryReport = serde_json::from_str(&succeeds(&line(eval), path).0).expect("is a report");
    assert!(report.unfamiliar.is_some());
    assert!(
        fs::read_to_string(path.join("report.html"))
            .expect("reads")
            .contains("DSR")
    );

    // another model of the same kind of file
    let calibrate = "calibrate -m m.safetensors --data fabric --device cpu --all -o again.safetensors";
    succeeds(&line(calibrate), path);
    let again = model("again.safetensors", path);
    let scores = again.header.calibration.expect("is calibrated").good_scores;
    assert_eq!(scores.len(), 12);
    fs::create_dir(path.join("good")).expect("creates");
    fs::copy(path.join("fabric/test/good/000.png"), path.join("good/0.png")).expect("copies");
    let correct = "correct -m m.safetensors --good good --device cpu -o corrected.safetensors";
    succeeds(&line(correct), path);
    let corrected = model("corrected.safetensors", path).header;
    assert!(
        !corrected.calibration.expect("is calibrated").corrections[0]
            .places
            .is_empty(),
        "it remembers nothing"
    );
    succeeds(&line("export m.safetensors --format onnx -o m.onnx"), path);
}

#[test]
fn it_goes_to_pytorch_and_comes_back() {
    let folder = trained();
    let path = folder.path();
    let export = "export m.safetensors --format safetensors -o out.safetensors";
    let (_, notes) = succeeds(&line(export), path);
    let names = ENDS.map(|end| format!("out_{end}.safetensors"));
    assert!(names.iter().all(|name| notes.contains(name)), "{notes}");
    assert!(fails(&line(export), path).contains("exists already"));
    let all = names.join(" ");
    let import = format!("import {all} --precision f32 -o back.safetensors");
    let (_, notes) = succeeds(&line(&import), path);
    assert!(notes.contains("found a DSR model"), "{notes}");
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

    let draem = "train --data fabric --device cpu --method draem --set training.steps=1 --set model.input_size=64 --set \
                 model.widths=[4,2] -o draem.safetensors";
    succeeds(&line(draem), path);
    succeeds(
        &line("export draem.safetensors --format safetensors -o d.safetensors"),
        path,
    );
    fs::copy(path.join(&names[1]), path.join("nameless.safetensors")).expect("copies");
    let five = names[1..].join(" ");
    for (command, words) in [
        (
            format!("import {five} -o x.safetensors"),
            "no file of the VQ-VAE (vq_model)",
        ),
        (
            format!("import {} -o x.safetensors", names[4]),
            "only the anomaly detection module of DSR",
        ),
        (
            format!("import {} nameless.safetensors -o x.safetensors", names[0]),
            "keep `_hi` for the fine",
        ),
        (
            format!("import d.safetensors {} -o x.safetensors", names[0]),
            "are neither the two networks of DRAEM nor the six of DSR",
        ),
        (
            format!(
                "import d.safetensors d_seg.safetensors {} -o x.safetensors",
                names[0]
            ),
            "are neither the two networks of DRAEM nor the six of DSR",
        ),
        (
            format!("predict fabric/test -m {} -o out", names[0]),
            "give all six files of the model to `destseg import`",
        ),
        (
            format!(
                "predict fabric/test -m m.safetensors --teacher {} -o out",
                names[0]
            ),
            "holds a network of DSR: give the file of the efficientnet-lite0 teacher",
        ),
        (
            "train --data fabric --start-from m.safetensors -o x.safetensors --device cpu".to_owned(),
            "the networks of DSR, but a student is needed",
        ),
        (
            "train --data fabric --method dsr --set model.input_size=32 -o x.safetensors --device cpu"
                .to_owned(),
            "the input size is 32 but must be a multiple of 32 from 64",
        ),
        (
            "train --data fabric --method dsr --set model.networks.codes=1 -o x.safetensors --device cpu"
                .to_owned(),
            "the codebooks have 1 codes but must have 8",
        ),
    ] {
        let said = fails(&line(&command), path);
        assert!(said.contains(words), "{command}: {said}");
        assert!(!path.join("x.safetensors").exists());
    }
}
