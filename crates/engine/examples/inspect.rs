//! Inspects one image with a model file:
//! `cargo run --release -p destseg-engine --example inspect -- MODEL TEACHER IMAGE`.

use std::path::Path;

use destseg_engine::backend::device::Device;
use destseg_engine::data::image;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_engine::verdict::decision::Verdict;

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
    match detector.verdict(&found) {
        Some(Verdict::Good) => println!("good"),
        Some(Verdict::Defective) => println!("defective"),
        Some(Verdict::Unfamiliar) => println!("not the part that this model knows"),
        None => println!("no verdict: the model is not calibrated"),
    }
    Ok(())
}
