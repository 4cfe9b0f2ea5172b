//! Memory banks and evaluations as commands: three methods in one table, reports, and messages about folders with another
//! layout.

use std::fs;
use std::path::{Path, PathBuf};

use destseg_engine::data::labelled::Class;
use destseg_engine::evaluation::{Evaluation, Metric, Report};
use destseg_engine::methods::file::Body;
use destseg_engine::methods::open::{Opened, open};
use destseg_engine::methods::patchcore::bank_size;
use tempfile::TempDir;

#[path = "support/command.rs"]
mod command;

use command::{demo_data, fails, succeeds};

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fabric.safetensors");
    path.to_str().expect("is UTF-8").to_owned()
}

/// A small set in `fabric`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    demo_data(folder.path(), "fabric", [6, 3, 1], 5);
    folder
}

fn remember<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let arguments = [
        "train",
        "--data",
        "fabric",
        "--method",
        "patchcore",
        "-o",
        out,
        "--device",
        "cpu",
    ];
    [&arguments[..], more].concat()
}

fn measure(model: &str, report: &str, folder: &Path) -> Evaluation {
    let arguments = [
        "eval", "--data", "fabric", "-m", model, "--device", "cpu", "--report", report,
    ];
    succeeds(&arguments, folder);
    let text = fs::read_to_string(folder.join(report)).expect("is written");
    serde_json::from_str(&text).expect("is an evaluation")
}

#[test]
fn a_memory_is_built_used_and_compared() {
    let folder = data();
    let path = folder.path();
    succeeds(
        &remember("a.safetensors", &["--coreset", "0.02", "--seed", "3"]),
        path,
    );
    succeeds(
        &remember("b.safetensors", &["--coreset", "0.02", "--seed", "3"]),
        path,
    );
    let read = |name: &str| fs::read(path.join(name)).expect("reads");
    assert!(
        read("a.safetensors") == read("b.safetensors"),
        "the same seed gives the same file"
    );
    let Opened::Model(memory) = open(&read("a.safetensors")).expect("opens") else {
        panic!("this is no model");
    };
    let Body::Bank { training, .. } = &memory.header.body else {
        panic!("this is no memory bank");
    };
    let record = training.as_ref().expect("says of what");
    assert_eq!((record.images, record.patches), (5, 5 * 1024));
    assert_eq!(bank_size(&memory), 5 * 1024 / 50);
    assert!(memory.header.calibration.is_some());
    assert!(
        fs::read_to_string(path.join("a.toml"))
            .expect("is there")
            .contains("coreset = 0.02")
    );

    let image = "fabric/test/hole/000.png";
    let arguments = [
        "predict",
        image,
        "-m",
        "a.safetensors",
        "-o",
        "out",
        "--device",
        "cpu",
    ];
    let (line, _) = succeeds(&arguments, path);
    let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
    assert!(line["score"].as_f64().expect("has a score") > 0.0);
    assert_eq!(line["score"], line["dest_score"]);

    // fp16, fp32 and eight bits are files of the same memory
    let arguments = [
        "import",
        "a.safetensors",
        "-o",
        "small.safetensors",
        "--precision",
        "int8",
    ];
    succeeds(&arguments, path);
    assert!(read("small.safetensors").len() < read("a.safetensors").len());

    let shipped = shipped();
    let arguments = [
        "eval",
        "--data",
        "fabric",
        "-m",
        &shipped,
        "-m",
        "a.safetensors",
        "--device",
        "cpu",
        "--format",
        "json",
        "--report",
        "both.html",
    ];
    let (json, _) = succeeds(&arguments, path);
    let report: Report = serde_json::from_str(&json).expect("is a report");
    let names: Vec<_> = report
        .categories
        .iter()
        .map(|row| (row.model.as_deref().unwrap_or_default(), row.method.label()))
        .collect();
    assert_eq!(names, [("fabric", "DeSTSeg"), ("a", "PatchCore")]);
    let page = fs::read_to_string(path.join("both.html")).expect("is written");
    for words in [
        "Models on the same images",
        "PatchCore",
        "Per-region overlap",
        "data:image/jpeg;base64,",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(
        !page.contains("<script") && !page.contains("http"),
        "it needs nothing else"
    );
}

#[test]
fn flags_that_a_memory_has_no_use_for_are_refused() {
    let folder = data();
    let path = folder.path();
    for (more, words) in [
        (
            &["--student-steps", "3"][..],
            "--student-steps says how student and segmentation network are trained",
        ),
        (&["--coreset", "0"][..], "coreset ratio is 0"),
        (&["--resume"][..], "leave out --resume"),
    ] {
        let errors = fails(&remember("x.safetensors", more), path);
        assert!(errors.contains(words), "{errors}");
    }
    let wrong = [
        "train",
        "--data",
        "fabric",
        "-o",
        "x.safetensors",
        "--coreset",
        "0.1",
        "--device",
        "cpu",
    ];
    assert!(fails(&wrong, path).contains("--coreset belongs to --method patchcore"));
    fs::write(path.join("x.txt"), "").expect("writes");
    let shipped = shipped();
    let ending = [
        "eval", "--data", "fabric", "-m", &shipped, "--report", "r.pdf", "--device", "cpu",
    ];
    assert!(fails(&ending, path).contains("must end in .html, .json or .csv"));
}

/// Every kind of bad folder gets figures where there can be any, and says why there are none where not.
#[test]
fn odd_folders_say_what_could_not_be_computed() {
    let folder = data();
    let path = folder.path();
    let model = shipped();
    let whole = measure(&model, "whole.json", path);
    assert!(
        whole.notes.is_empty() && whole.missing.is_empty(),
        "{:?} {:?}",
        whole.notes,
        whole.missing
    );
    assert!(whole.metrics().values().iter().all(Option::is_some));
    let said = |own: &Evaluation| format!("{} {:?}", own.notes.join(" "), own.missing);
    let test = path.join("fabric/test");
    let masks = path.join("fabric/ground_truth");

    // a mask of another size, an empty image and an empty mask
    let mask = masks.join("hole/000_mask.png");
    let mut small = image::GrayImage::new(10, 5);
    small.put_pixel(4, 2, image::Luma([255]));
    small.save(&mask).expect("saves");
    fs::write(test.join("good/000.png"), "").expect("writes");
    fs::write(masks.join("stain/000_mask.png"), "").expect("writes");
    let odd = measure(&model, "odd.json", path);
    let words = said(&odd);
    for part in [
        "1 of the images could not be analysed",
        "the file is empty",
        "1 of the masks could not be used (the first: test/hole/000.png, its mask is left out: the mask has 10 x 5 pixels",
        "1 of the masks could not be used (the first: test/stain/000.png, its mask is left out: the file is empty",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let hole = odd
        .images
        .iter()
        .find(|image| image.name == "test/hole/000.png")
        .expect("is there");
    assert!(hole.score.is_some() && hole.instances.is_none());
    assert!(odd.metrics().get(Metric::PixelAp).is_some() && odd.metrics().get(Metric::ImageAuc).is_some());

    // no masks at all, but one that belongs to nothing
    let kept: PathBuf = path.join("fabric/ground_truth/none");
    fs::remove_dir_all(&masks).expect("removes");
    fs::create_dir_all(&kept).expect("creates");
    image::GrayImage::new(10, 10)
        .save(kept.join("77_mask.png"))
        .expect("saves");
    let bare = measure(&model, "bare.json", path);
    let words = said(&bare);
    for part in [
        "No defective image has a mask",
        "1 mask belongs to no defective image",
        "pixel AUC",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let own = bare.metrics();
    assert!(
        own.get(Metric::ImageAuc).is_some()
            && own.get(Metric::PixelAuc).is_none()
            && own.get(Metric::Iap).is_none()
    );

    // without defective images
    for folder in fs::read_dir(&test).expect("lists") {
        let folder = folder.expect("reads").path();
        if !folder.ends_with("good") {
            fs::remove_dir_all(folder).expect("removes");
        }
    }
    let good = measure(&model, "good.json", path);
    let words = said(&good);
    assert!(
        words.contains("No image is labelled defective") && words.contains("image AUC"),
        "{words}"
    );
    assert!(good.metrics().values().iter().all(Option::is_none));

    // images without class, all of them the same
    fs::create_dir_all(path.join("loose")).expect("creates");
    for name in ["a.png", "b.png"] {
        fs::copy(test.join("good/001.png"), path.join("loose").join(name)).expect("copies");
    }
    let eval = |report| {
        let arguments = [
            "eval", "--data", "loose", "-m", &model, "--device", "cpu", "--report", report,
        ];
        succeeds(&arguments, path)
    };
    let (_, notes) = eval("loose.json");
    assert!(
        notes.contains("2 images lie in no folder") && notes.contains("All scores are"),
        "{notes}"
    );
    let text = fs::read_to_string(path.join("loose.json")).expect("is written");
    let loose: Evaluation = serde_json::from_str(&text).expect("is an evaluation");
    assert!(
        loose
            .images
            .iter()
            .all(|image| image.class == Class::Unlabelled && image.score.is_some())
    );
    eval("loose.html");
}
