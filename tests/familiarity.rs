//! The third verdict as commands: images that do not show the part that a model knows.

use std::fs;
use std::path::Path;

use destseg_engine::evaluation::{Bench, CategoryReport};
use destseg_engine::methods::file::ModelFile;
use serde_json::Value;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

const IMAGES: [&str; 3] = [
    "fabric/test/good/000.png",
    "fabric/test/hole/000.png",
    "circuit/test/good/000.png",
];

/// What `predict` says of one image, and its notes.
fn predict(image: &str, model: &str, folder: &Path) -> (Value, String) {
    let (line, notes) = succeeds(
        &["predict", image, "-m", model, "-o", "out", "--device", "cpu"],
        folder,
    );
    (serde_json::from_str(&line).expect("is JSON"), notes)
}

fn model(name: &str, folder: &Path) -> ModelFile {
    ModelFile::parse(&fs::read(folder.join(name)).expect("reads")).expect("is a model")
}

/// Makes a file say that it is of format version 1.
fn make_old(file: &Path) {
    let bytes = fs::read(file).expect("reads");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).expect("is UTF-8");
    // a text in a text
    let older = header.replace(r#"format_version\":2"#, r#"format_version\":1"#);
    assert!(older != header && older.len() == length, "{header}");
    fs::write(
        file,
        [&bytes[..8], older.as_bytes(), &bytes[8 + length..]].concat(),
    )
    .expect("writes");
}

#[test]
fn another_part_is_unfamiliar_to_every_method() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 2, 1], 3);
    demo_data(path, "circuit", [1, 2, 1], 3);
    let train = ["train", "--data", "fabric", "--device", "cpu", "-o"];
    let patchcore = [
        "patchcore.safetensors",
        "--method",
        "patchcore",
        "--coreset",
        "0.01",
    ];
    succeeds(&[&train[..], &["destseg.safetensors"], &SHORT].concat(), path);
    let draem = "draem.safetensors --method draem --set training.steps=1 --set model.input_size=256 --set model.widths=[4,2]";
    let draem: Vec<&str> = draem.split(' ').collect();
    succeeds(&[&train[..], &patchcore].concat(), path);
    succeeds(&[&train[..], &draem].concat(), path);
    for file in [
        "destseg.safetensors",
        "patchcore.safetensors",
        "draem.safetensors",
    ] {
        for image in IMAGES {
            let (line, notes) = predict(image, file, path);
            let foreign = image.starts_with("circuit");
            assert_eq!(line["verdict"] == "unfamiliar", foreign, "{file}: {line}");
            // nothing is said of defects where the part is not known
            assert_eq!(line["defective"].is_null(), foreign, "{line}");
            let [distance, limit] = ["distance", "distance_limit"].map(|name| line[name].as_f64());
            assert_eq!(distance > limit, foreign, "{line}");
            assert_eq!(notes.contains("does not look like the part"), foreign, "{notes}");
        }
        let counts = |data: &str, more: &[&str]| {
            let eval = ["eval", "--data", data, "-m", file, "--device", "cpu", "--json"];
            let report = succeeds(&[&eval[..], more].concat(), path).0;
            let report: CategoryReport = serde_json::from_str(&report).expect("is a report");
            let own = report.unfamiliar.expect("can tell");
            (own.good.of + own.defective.of, own.good.all + own.defective.all)
        };
        assert_eq!(counts("fabric", &[]), (0, 2 + 6), "{file}");
        assert_eq!(counts("circuit", &["--limit", "3"]), (3, 3), "{file}");
    }
    // the same numbers from the same images, whatever the student has learned
    let limits = ["destseg", "patchcore", "draem"].map(|name| {
        let file = model(&format!("{name}.safetensors"), path);
        file.header.familiarity.expect("has it").limit
    });
    let [first, others @ ..] = limits;
    assert!(others.iter().all(|own| (first - own).abs() < 0.02), "{limits:?}");
}

#[test]
fn an_imported_model_keeps_its_record() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");
    succeeds(&["import", shipped, "-o", "again.safetensors"], path);
    let [before, after] = [shipped, "again.safetensors"].map(|name| model(name, path));
    let record = |file: &ModelFile| {
        file.familiarity()
            .expect("is whole")
            .expect("has it")
            .record()
            .clone()
    };
    assert_eq!(record(&before), record(&after));
    assert_eq!(before.header.calibration, after.header.calibration);
}

#[test]
fn an_older_model_says_that_it_cannot_tell_and_learns_it() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [12, 2, 1], 3);
    demo_data(path, "circuit", [6, 2, 1], 3);
    succeeds(
        &[
            &[
                "train",
                "--data",
                "fabric",
                "--device",
                "cpu",
                "-o",
                "new.safetensors",
            ],
            &SHORT[..],
        ]
        .concat(),
        path,
    );
    let mut old = model("new.safetensors", path);
    old.set_familiarity(None);
    let bytes = old.to_bytes(Default::default()).expect("writes");
    fs::write(path.join("old.safetensors"), bytes).expect("writes");
    make_old(&path.join("old.safetensors"));
    assert_eq!(model("old.safetensors", path).header.format_version, 1);
    let (line, notes) = predict(IMAGES[2], "old.safetensors", path);
    assert!(
        line["verdict"] != "unfamiliar" && line["distance"].is_null(),
        "{line}"
    );
    assert!(
        notes.contains("cannot tell whether an image shows the part"),
        "{notes}"
    );

    let calibrate = [
        "calibrate",
        "-m",
        "old.safetensors",
        "--data",
        "fabric",
        "--device",
        "cpu",
    ];
    let keep = ["--keep-thresholds", "-o", "kept.safetensors"];
    succeeds(&[&calibrate[..], &keep].concat(), path);
    // another part takes the place of the one that it knows only if that is meant
    let another = [
        "calibrate",
        "-m",
        "kept.safetensors",
        "--data",
        "circuit",
        "--device",
        "cpu",
        "-o",
        "circuit.safetensors",
    ];
    let errors = fails(&another, path);
    assert!(
        errors.contains("do not look like the part that kept.safetensors knows"),
        "{errors}"
    );
    succeeds(&[&another[..], &["--new-part"]].concat(), path);
    assert!(predict(IMAGES[2], "circuit.safetensors", path).0["verdict"] != "unfamiliar");
    let kept = model("kept.safetensors", path);
    // readers of version 0.1 must refuse it, not ignore what they do not know
    assert_eq!(kept.header.format_version, 2);
    assert_eq!(kept.header.calibration, old.header.calibration);
    for (name, array) in old.weights.iter() {
        assert_eq!(kept.weights.get(name).expect("is there"), array, "{name}");
    }
    assert_eq!(
        kept.familiarity().expect("fits"),
        model("new.safetensors", path).familiarity().expect("fits")
    );
    assert_eq!(
        predict(IMAGES[2], "kept.safetensors", path).0["verdict"],
        "unfamiliar"
    );
    let mut broken = kept.clone();
    let _lost = broken.weights.take_prefix("familiarity.");
    fs::write(
        path.join("broken.safetensors"),
        broken.to_bytes(Default::default()).expect("writes"),
    )
    .expect("writes");
    let errors = fails(
        &["predict", IMAGES[0], "-m", "broken.safetensors", "-o", "out"],
        path,
    );
    assert!(errors.contains("`familiarity.mean`"), "{errors}");
    // PyTorch's network has no place for it
    let export = [
        "export",
        "kept.safetensors",
        "--format",
        "safetensors",
        "-o",
        "torch.safetensors",
    ];
    succeeds(&export, path);
    assert!(model("torch.safetensors", path).header.familiarity.is_none());
}

#[test]
fn a_bench_shows_every_model_the_other_parts() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    for category in ["circuit", "fabric"] {
        demo_data(path, category, [8, 2, 1], 3);
    }
    let bench = [
        "bench",
        "circuit",
        "fabric",
        "-o",
        "runs",
        "--devices",
        "cpu",
        "--foreign",
    ];
    let run = |count: &'static str| succeeds(&[&bench[..], &[count, "--"], &SHORT].concat(), path);
    run("4");
    let read = || {
        let text = fs::read_to_string(path.join("runs/bench.json")).expect("is there");
        serde_json::from_str::<Bench>(&text).expect("is a bench")
    };
    for row in read().rows {
        let sets = if row.set == "all sets" { 2 } else { 1 };
        assert_eq!(
            (row.stopped.foreign.of, row.stopped.foreign.all),
            (4 * sets, 4 * sets),
            "{row:?}"
        );
        assert_eq!(
            (row.stopped.unfamiliar.of, row.stopped.unfamiliar.all),
            (0, 8 * sets),
            "{row:?}"
        );
    }
    // another number is asked for: nothing is trained again
    let models = || {
        let times = ["circuit", "fabric"].map(|set| {
            let model = path.join(format!("runs/destseg-compact/all/{set}/seed-0/model.safetensors"));
            fs::metadata(model)
                .and_then(|data| data.modified())
                .expect("is there")
        });
        times.to_vec()
    };
    let before = models();
    run("2");
    assert_eq!(models(), before);
    assert!(read().rows.iter().all(|row| row.stopped.foreign.all <= 4));
}
