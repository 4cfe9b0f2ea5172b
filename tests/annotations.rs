//! Folders whose defects are outlined by other programs, as commands read them: the figures are those of painted masks.

use std::fs;
use std::path::Path;

use destseg_engine::data::mask;
use destseg_engine::evaluation::{Evaluation, Metric};
use serde_json::{Value, json};

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

fn model() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fabric.safetensors");
    path.to_str().expect("is UTF-8").to_owned()
}

/// What is measured of `data`, and what is said meanwhile.
fn measured(data: &str, folder: &Path) -> (Evaluation, String) {
    let model = model();
    let arguments = [
        "eval", "--data", data, "-m", &model, "--device", "cpu", "--report", "r.json",
    ];
    let (_, said) = succeeds(&arguments, folder);
    let text = fs::read_to_string(folder.join("r.json")).expect("is written");
    (serde_json::from_str(&text).expect("is an evaluation"), said)
}

/// The test images of a small set: their paths, and those of their masks.
fn test_images(folder: &Path) -> Vec<(String, Option<String>)> {
    let mut all = Vec::new();
    for kind in fs::read_dir(folder.join("fabric/test")).expect("reads") {
        let kind = kind.expect("an entry");
        for image in fs::read_dir(kind.path()).expect("reads") {
            let (kind, image) = (kind.file_name(), image.expect("an entry").file_name());
            let (kind, image) = (kind.to_string_lossy(), image.to_string_lossy());
            let mask = format!(
                "fabric/ground_truth/{kind}/{}_mask.png",
                image.trim_end_matches(".png")
            );
            let has_mask = folder.join(&mask).is_file();
            all.push((format!("fabric/test/{kind}/{image}"), has_mask.then_some(mask)));
        }
    }
    all.sort();
    all
}

/// Run lengths of a mask, column by column.
fn runs(path: &Path) -> Value {
    let mask = mask::read(path).expect("reads");
    let (width, height) = mask.dimensions();
    let mut counts = vec![0_u32];
    let mut marked = false;
    for at in 0..width * height {
        let own = mask.get_pixel(at / height, at % height).0[0] >= 128;
        if own != marked {
            counts.push(0);
            marked = own;
        }
        *counts.last_mut().expect("has one") += 1;
    }
    json!({"size": [height, width], "counts": counts})
}

#[test]
fn a_table_of_coco_gives_the_figures_of_painted_masks() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [2, 4, 1], 5);
    let (painted, _) = measured("fabric", path);
    let images = test_images(path);
    fs::create_dir_all(path.join("coco/images")).expect("creates");
    let (mut listed, mut annotations) = (Vec::new(), Vec::new());
    for (id, (image, mask)) in images.iter().enumerate() {
        let name = format!("{id}.png");
        fs::copy(path.join(image), path.join("coco/images").join(&name)).expect("copies");
        listed.push(json!({"id": id, "file_name": name, "width": 256, "height": 256}));
        annotations.extend(
            mask.iter()
                .map(|mask| json!({"image_id": id, "segmentation": runs(&path.join(mask))})),
        );
    }
    let table = json!({"images": listed, "annotations": annotations}).to_string();
    fs::create_dir(path.join("coco/annotations")).expect("creates");
    fs::write(path.join("coco/annotations/instances.json"), table).expect("writes");
    let (outlined, said) = measured("coco", path);
    assert!(
        said.contains("they are defective where their masks mark something"),
        "{said}"
    );
    let figures = |own: &Evaluation| own.report.segmentation;
    assert_eq!(figures(&outlined), figures(&painted));
    assert!(
        outlined.notes.iter().all(|note| !note.contains("could not")),
        "{:?}",
        outlined.notes
    );
    // the good ones among them train a model
    let train = [
        "train",
        "--data",
        "coco",
        "--device",
        "cpu",
        "-o",
        "m.safetensors",
    ];
    let (_, said) = succeeds(&[&train[..], &SHORT].concat(), path);
    assert!(said.contains("on 3 good images of coco"), "{said}");
}

/// `VisA` as it is downloaded: the table beside the category says what is there to train on.
#[test]
fn the_split_of_visa_is_that_of_its_table() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [2, 7, 1], 5);
    let images = path.join("visa/candle/Data/Images");
    for name in ["Normal", "Anomaly"] {
        fs::create_dir_all(images.join(name)).expect("creates");
    }
    fs::create_dir_all(path.join("visa/split_csv")).expect("creates");
    let mut table = String::from("object,split,label,image,mask\n");
    for index in 0..7 {
        let name = format!("Normal/{index}.png");
        fs::copy(
            path.join(format!("fabric/test/good/00{index}.png")),
            images.join(&name),
        )
        .expect("copies");
        let split = if index < 5 { "train" } else { "test" };
        table += &format!("candle,{split},normal,candle/Data/Images/{name},\n");
    }
    fs::copy(
        path.join("fabric/test/hole/000.png"),
        images.join("Anomaly/0.png"),
    )
    .expect("copies");
    table += "candle,test,anomaly,candle/Data/Images/Anomaly/0.png,\n";
    fs::write(path.join("visa/split_csv/1cls.csv"), table).expect("writes");
    let (_, said) = measured("visa/candle", path);
    assert!(said.contains("3 test images: 2 good, 1 defective"), "{said}");
    let train = [
        "train",
        "--data",
        "visa/candle",
        "--device",
        "cpu",
        "-o",
        "m.safetensors",
    ];
    let (_, said) = succeeds(&[&train[..], &SHORT].concat(), path);
    assert!(said.contains("on 4 good images of visa/candle"), "{said}");
}

#[test]
fn boxes_tell_the_class_and_no_pixels() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [2, 3, 1], 5);
    let (painted, _) = measured("fabric", path);
    fs::create_dir_all(path.join("yolo/images/test")).expect("creates");
    fs::create_dir_all(path.join("yolo/labels/test")).expect("creates");
    for (id, (image, mask)) in test_images(path).iter().enumerate() {
        fs::copy(path.join(image), path.join(format!("yolo/images/test/{id}.png"))).expect("copies");
        let line = if mask.is_some() {
            "0 0.5 0.5 0.25 0.25\n"
        } else {
            ""
        };
        fs::write(path.join(format!("yolo/labels/test/{id}.txt")), line).expect("writes");
    }
    fs::write(path.join("yolo/scan.heic"), "").expect("writes");
    let (boxed, said) = measured("yolo", path);
    let figure = |own: &Evaluation, metric| own.report.segmentation.and_then(|all| all.get(metric));
    assert!(figure(&boxed, Metric::ImageAuc).is_some());
    assert_eq!(
        figure(&boxed, Metric::ImageAuc),
        figure(&painted, Metric::ImageAuc)
    );
    assert_eq!(figure(&boxed, Metric::PixelAp), None);
    assert!(
        said.contains("boxes, lines and points say that the image is defective, but not where"),
        "{said}"
    );
    assert!(
        said.contains("1 image is left out (the first: yolo/scan.heic): HEIC files are not read here"),
        "{said}"
    );
    // nothing that is good can be trained on where images are only there to test with
    let said = fails(
        &[
            "train",
            "--data",
            "yolo",
            "--device",
            "cpu",
            "-o",
            "m.safetensors",
        ],
        path,
    );
    assert!(said.contains("yolo is not laid out as expected"), "{said}");
}
