//! `destseg train --method patchcore`: a memory bank instead of trained networks.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use super::common::{
    DeviceArg, folder_name, load_all_good, load_teacher, load_textures, open_device, progress_bar, write_file,
};
use super::settings::Format;
use super::train::{self, Args, Outputs};
use destseg_engine::arch::prefix;
use destseg_engine::config::{SynthesisConfig, TeacherKind};
use destseg_engine::data::dataset::Category;
use destseg_engine::methods::patchcore::{BankBuilder, BankConfig, BankProgress, bank_size};
use destseg_engine::synthesis::Synthesiser;

pub(super) async fn build(
    args: &Args,
    config: &BankConfig,
    category: Option<&Category>,
    paths: &[PathBuf],
) -> Result<()> {
    let text = match args.print_config.unwrap_or_default() {
        Format::Toml => toml::to_string(config)?,
        Format::Json => serde_json::to_string_pretty(config)? + "\n",
    };
    if args.print_config.is_some() {
        print!("{text}");
        return Ok(());
    }
    let (Some(category), Some(out)) = (category, args.out.clone()) else {
        bail!("--data and --out are needed to train");
    };
    if args.resume {
        bail!("a memory bank is built in one go: leave out --resume");
    }
    let outputs = Outputs::new(out);
    outputs.check(args)?;
    let teacher = load_teacher(config.teacher, args.teacher.as_deref())?;
    let loaded = load_all_good(paths, config.input_size, config.fit)?;
    let textures = load_textures(args.textures.as_deref(), config.input_size)?;
    if args.device == DeviceArg::Gpu {
        bail!("a memory bank is built on the CPU: leave out --device gpu");
    }
    let (_, device_name) = open_device(DeviceArg::Cpu).await?;
    let start = Instant::now();
    let mut builder = BankBuilder::new(config.clone(), &teacher, loaded.images)?;
    eprintln!(
        "building a memory bank from {} good images of {}, on the {device_name}",
        builder.image_count(),
        folder_name(&category.root)
    );
    let bar = progress_bar(builder.image_count(), "features");
    while let Some(progress) = builder.step()? {
        let (what, done, total) = match progress {
            BankProgress::Images(done, total) => ("features", done, total),
            BankProgress::Patches(done, total) => ("coreset", done, total),
        };
        bar.set_prefix(what);
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }
    bar.finish_and_clear();
    let built = start.elapsed().as_secs_f64();
    let synthesiser = Synthesiser::new(SynthesisConfig::default(), Default::default(), textures);
    let mut file = builder
        .finish(&synthesiser, args.precision, &category.name, &device_name)
        .await?;
    if let Some(calibration) = &file.header.calibration {
        train::report(calibration);
    }
    let (patches, of) = (bank_size(&file), builder.patch_count());
    if config.teacher != TeacherKind::EfficientnetLite0 {
        // this teacher is not shipped, so the file carries it
        file.weights.extend(teacher.prefixed(prefix::TEACHER));
    }
    let bytes = file.to_bytes(args.precision)?;
    write_file(&outputs.settings, text.as_bytes())?;
    write_file(&outputs.model, &bytes)?;
    eprintln!(
        "wrote {}: {patches} of {of} patches ({:.1} %), {:.1} MB, built in {built:.1} s",
        outputs.model.display(),
        100.0 * patches as f64 / of.max(1) as f64,
        bytes.len() as f64 / 1e6
    );
    Ok(())
}
