//! Builds a `PatchCore` memory bank from a folder of good images and saves it:
//! `cargo run --release -p destseg-engine --example train -- TEACHER FOLDER OUT`.

use std::path::Path;

use destseg_engine::backend::device::Device;
use destseg_engine::config::{INPUT_SIZE, InputLayout, Method, Preset};
use destseg_engine::data::dataset::{image_files, load_good};
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::parse_teacher;
use destseg_engine::methods::{Material, entry};
use destseg_engine::synthesis::TextureSource;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [teacher, folder, out] = &arguments[..] else {
        return Err("say which: TEACHER FOLDER OUT".into());
    };
    let (_, teacher) = parse_teacher(&std::fs::read(teacher)?)?;
    let images = load_good(&image_files(Path::new(folder))?, INPUT_SIZE, InputLayout::Squash)?.images;
    let material = Material {
        images: images.into_iter().map(Into::into).collect(),
        teacher,
        textures: TextureSource::Procedural,
        device: Device::Cpu,
    };
    let baseline = entry(Method::Patchcore)
        .baseline
        .ok_or("PatchCore needs good images alone")?;
    let mut training = (baseline.begin)((baseline.settings)(Preset::Compact), material)?;
    while let Some(progress) = pollster::block_on(training.step())? {
        println!("{}: {} of {}", progress.doing, progress.done, progress.total);
    }
    let file = pollster::block_on(training.finish(Precision::F16, folder, "the CPU"))?;
    std::fs::write(out, file.to_bytes(Precision::F16)?)?;
    Ok(())
}
