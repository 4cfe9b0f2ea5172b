//! `destseg train` for methods whose settings are not those of a student and a segmentation network: they are trained as
//! baselines, with nothing but good images.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;

use super::common::{
    DeviceArg, folder_name, load_all_good, load_teacher, load_textures, open_device, write_file,
};
use super::output::show;
use super::progress::Counter;
use super::settings::{Format, SettingsText as _};
use super::train::{self, Args, Outputs};
use destseg_engine::arch::prefix;
use destseg_engine::config::{Method, TeacherKind};
use destseg_engine::data::dataset::Category;
use destseg_engine::error::count;
use destseg_engine::methods::{self, BaselineEntry, Material};

pub(super) async fn run(
    args: &Args,
    (method, entry, settings): (Method, BaselineEntry, Value),
    category: Option<&Category>,
    paths: &[PathBuf],
) -> Result<()> {
    if let Some(format) = args.print_config {
        return show(&settings.to_text(format)?);
    }
    let (Some(category), Some(out)) = (category, args.out.clone()) else {
        bail!("--data and --out are needed to train");
    };
    if args.resume {
        bail!("{} is trained in one go: leave out --resume", method.label());
    }
    let outputs = Outputs::new(out);
    outputs.check(args)?;
    let (kind, side, layout) = methods::input_of(&settings)?;
    let teacher = load_teacher(kind, args.teacher.as_deref())?;
    let loaded = load_all_good(paths, side, layout)?;
    let textures = load_textures(args.textures.as_deref(), side)?;
    let cpu_only = methods::info(method).baseline.is_some_and(|own| own.cpu_only);
    let device = match (cpu_only, args.device) {
        (true, DeviceArg::Gpu) => bail!("{} computes on the CPU: leave out --device gpu", method.label()),
        (true, DeviceArg::Auto | DeviceArg::Cpu) => DeviceArg::Cpu,
        (false, device) => device,
    };
    let (device, device_name) = open_device(device).await?;
    let start = Instant::now();
    let material = Material {
        images: loaded.images.into_iter().map(Into::into).collect(),
        teacher: teacher.clone(),
        textures,
        device,
    };
    let text = settings.to_text(Format::Toml)?;
    let mut training = (entry.begin)(settings, material)?;
    eprintln!(
        "training {} on {} of {}, on the {device_name}",
        method.label(),
        count(training.images(), "good image", "good images"),
        folder_name(&category.root)
    );
    let mut counter = Counter::new("", "", training.images());
    while let Some(progress) = training.step().await? {
        counter.set_what(progress.doing);
        counter.show(progress.done, progress.total);
    }
    counter.finish();
    let trained = start.elapsed().as_secs_f64();
    let mut file = training
        .finish(args.precision, &category.name, &device_name)
        .await?;
    file.header.set_files(loaded.facts);
    if let Some(calibration) = &file.header.calibration {
        train::report(calibration);
    }
    if kind != TeacherKind::EfficientnetLite0 {
        // this teacher is not shipped, so the file carries it
        file.weights.extend(teacher.prefixed(prefix::TEACHER));
    }
    let bytes = file.to_bytes(args.precision)?;
    write_file(&outputs.settings, text.as_bytes())?;
    write_file(&outputs.model, &bytes)?;
    let kept = training.kept().map_or_else(String::new, |(kept, all)| {
        format!(
            "{kept} of {all} patches ({:.1} %), ",
            100.0 * kept as f64 / all.max(1) as f64
        )
    });
    eprintln!(
        "wrote {}: {kept}{:.1} MB, after {trained:.1} s",
        outputs.model.display(),
        bytes.len() as f64 / 1e6
    );
    Ok(())
}
