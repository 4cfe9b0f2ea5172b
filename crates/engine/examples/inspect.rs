//! Inspects one image with a model file:
//! `cargo run --release -p destseg-engine --example inspect -- MODEL TEACHER IMAGE`.

use std::path::Path;

use destseg_engine::backend::device::Device;
use destseg_engine::data::image;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, teacher, picture] = &arguments[..] else {
        return Err("say which: MODEL TEACHER IMAGE".into());
    };
    let model = ModelFile::parse(&std::fs::read(model)?)?;
    let (_, teacher) = parse_teacher(&std::fs::read(teacher)?)?;
    let detector = methods::detector(&model, Some(&teacher), &Device::Cpu)?;
    let found = pollster::block_on(detector.detect(&image::read(Path::new(picture))?))?;
    println!("{} by {}", found.score, detector.method().label());
    if let Some(calibration) = detector.calibration() {
        let defective = found.score >= calibration.image_threshold;
        println!(
            "{} (threshold {})",
            if defective { "defective" } else { "good" },
            calibration.image_threshold
        );
    }
    Ok(())
}
