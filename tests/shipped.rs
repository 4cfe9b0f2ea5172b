//! What `models/` holds is complete, whole, and finds the defects of its own examples.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use destseg::page::protocol::{Manifest, ManifestFile};
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Preset, TrainConfig};
use destseg_engine::data::image::{RgbImage, crop, decode, resize};
use destseg_engine::inspect::Detector;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::Trainer;
use sha2::{Digest as _, Sha256};

/// The page's folder above `models/`.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest() -> Manifest {
    let text = fs::read(root().join("models/manifest.json")).expect("reads");
    serde_json::from_slice(&text).expect("is a manifest")
}

fn read(file: &str) -> Vec<u8> {
    fs::read(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn files_are_those_of_the_manifest() {
    let manifest = manifest();
    let of_models = manifest.models.iter().map(|model| &model.file);
    let ablated = manifest.ablations.iter().map(|model| &model.file);
    let files: Vec<&ManifestFile> = of_models.chain(&manifest.teachers).chain(ablated).collect();
    for entry in &files {
        let bytes = read(&entry.file);
        assert_eq!(bytes.len() as u64, entry.bytes, "{}", entry.file);
        let sum: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sum, entry.sha256, "{}", entry.file);
    }
    let listed: BTreeSet<_> = files.iter().map(|entry| entry.file.as_str()).collect();
    let there = fs::read_dir(root().join("models")).expect("lists");
    for entry in there {
        let name = entry.expect("reads").file_name();
        let name = format!("models/{}", name.to_string_lossy());
        assert!(
            !name.ends_with(".safetensors") || listed.contains(name.as_str()),
            "{name} is not in the manifest"
        );
    }
}

/// The detector of a shipped model.
fn detector(manifest: &Manifest, file: &ModelFile) -> Detector {
    let id = file.header.teacher().id();
    let teacher = manifest.teachers.iter().find(|teacher| teacher.id == id);
    let teacher = teacher.expect("its teacher is shipped");
    let (_, teacher) = parse_teacher(&read(&teacher.file)).expect("is a teacher");
    methods::detector(file, Some(&teacher), &Device::Cpu).expect("builds")
}

/// Inside a tile the map of a tiled image is that of the tile alone: overlaps fade, nothing else changes.
#[tokio::test]
async fn tiles_show_no_seams() {
    let manifest = manifest();
    let tablets = manifest.models.iter().find(|model| model.file.id == "tablets");
    let model = tablets.expect("is shipped");
    let file = ModelFile::parse(&read(&model.file.file)).expect("is a model");
    let tile = file.header.input_size();
    let detector = detector(&manifest, &file).with_tiles(tile);
    let example = &model.examples[0];
    let image = decode(&read(&example.file)).expect("is an image");
    let image = resize(&image, tile * 3 / 2, tile * 3 / 2);
    let whole = detector.detect(&image).await.expect("detects");
    assert_eq!(
        (whole.map().width(), whole.map().height()),
        (image.width() as usize, image.height() as usize)
    );
    // two tiles across; what only the first one covers
    let second = image.width() as usize - tile;
    let corner = crop(&image, 0, 0, tile, tile);
    let alone = detector.detect(&corner).await.expect("detects");
    assert!(whole.score >= alone.score);
    let (whole, alone) = (whole.map(), alone.map());
    for y in 0..second {
        for x in 0..second {
            let (tiled, own) = (
                whole.values()[y * whole.width() + x],
                alone.values()[y * tile + x],
            );
            assert!(
                (tiled - own).abs() <= 1e-3,
                "at {x}, {y}: {tiled} instead of {own}"
            );
        }
    }
}

#[tokio::test]
async fn every_model_ranks_its_defective_examples_above_the_good_ones() {
    let manifest = manifest();
    assert!(!manifest.models.is_empty());
    for model in &manifest.models {
        let file = ModelFile::parse(&read(&model.file.file)).expect("is a model");
        let detector = detector(&manifest, &file);
        let threshold = file.header.calibration.expect("is calibrated").image_threshold;
        let mut good: Vec<f32> = Vec::new();
        let mut defective: Vec<f32> = Vec::new();
        for example in &model.examples {
            let image = decode(&read(&example.file)).expect("is an image");
            let detection = detector.detect(&image).await.expect("is analysed");
            println!("{}: {:.3}", example.file, detection.score);
            if example.label == "good" {
                good.push(detection.score);
            } else {
                defective.push(detection.score);
            }
        }
        let highest = good.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let lowest = defective.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(
            !good.is_empty() && defective.len() >= 3,
            "{} has few examples",
            model.name
        );
        assert!(
            highest < threshold && f64::from(threshold) <= f64::from(lowest),
            "{}: good up to {highest}, threshold {threshold}, defective from {lowest}",
            model.name
        );
    }
}

/// One defective image among the good ones is pointed at, whether it was trained on or held out.
#[tokio::test]
async fn a_defective_image_among_the_good_ones_is_pointed_at() {
    let manifest = manifest();
    let model = &manifest.models[0];
    let file = ModelFile::parse(&read(&model.file.file)).expect("is a model");
    let side = file.header.input_size();
    let pictures = |defective: bool| {
        let chosen = model
            .examples
            .iter()
            .filter(move |example| (example.label != "good") == defective);
        chosen.map(move |example| resize(&decode(&read(&example.file)).expect("is an image"), side, side))
    };
    let good: Vec<RgbImage> = pictures(false).collect();
    let bad = pictures(true).next().expect("has one");
    let calibration = file.header.calibration.clone().expect("is calibrated");
    for place in [0, good.len()] {
        let mut images: Vec<RgbImage> = good.iter().cycle().take(3 * good.len()).cloned().collect();
        images.insert(place, bad.clone());
        let mut config = TrainConfig::preset(Preset::Compact);
        config.held_out = 0.3;
        let synthesiser = Synthesiser::new(
            config.synthesis.clone(),
            config.augment,
            TextureSource::Procedural,
        );
        let (_, teacher) = parse_teacher(&read(&manifest.teachers[0].file)).expect("is a teacher");
        let device = Device::Cpu;
        let model_config = file.header.networks().expect("has networks").clone();
        let mut trainer =
            Trainer::new(model_config, config, &teacher, images, synthesiser, &device).expect("starts");
        trainer.start_from(&file.weights).expect("takes the weights");
        let outliers = trainer
            .outliers(&calibration, usize::MAX)
            .await
            .expect("looks at them");
        let places: Vec<usize> = outliers.iter().map(|outlier| outlier.index).collect();
        assert_eq!(places, [place], "{outliers:?}");
    }
}
