//! `destseg samples`.

use std::path::PathBuf;

use anyhow::Result;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

use super::common::{
    check_output_folder, load_all_good, load_textures, make_folder, note_unreadable, write_file,
};
use super::number::{MOST, whole};
use super::settings;
use destseg_engine::config::AnomalyKind;
use destseg_engine::data::dataset::Category;
use destseg_engine::data::image::{Rgb, RgbImage};
use destseg_engine::error::count;
use destseg_engine::synthesis::{Sample, Synthesiser};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder in MVTec layout; only train/good is used.
    #[arg(long)]
    data: PathBuf,
    /// Folder for the pictures; made if it does not exist.
    #[arg(short, long)]
    out: PathBuf,
    /// Pictures to write.
    #[arg(long, default_value_t = 8, value_parser = whole(1..=MOST))]
    count: usize,
    /// Paint this kind of defect alone.
    #[arg(long, value_enum)]
    kind: Option<AnomalyKind>,
    /// Folder of texture images for the synthetic defects; without it, built-in textures.
    #[arg(long)]
    textures: Option<PathBuf>,
    #[command(flatten)]
    settings: settings::Args,
}

/// Writes what training would see: the good image, the same with defects and their mask, side by side.
pub(super) fn run(args: &Args) -> Result<()> {
    check_output_folder(&args.out)?;
    let category = Category::open(&args.data)?;
    note_unreadable(&args.data);
    let mut paths = category.train_good()?;
    let mut settings = args.settings.settings(&category.name, &paths)?;
    paths.truncate(args.count);
    if let Some(kind) = args.kind {
        let shares = &mut settings.training.synthesis.kinds;
        for other in AnomalyKind::ALL {
            *shares.get_mut(other) = f32::from(u8::from(other == kind));
        }
    }
    let size = settings.model.input_size;
    let good = load_all_good(&paths, size, settings.model.fit)?.images;
    let textures = load_textures(args.textures.as_deref(), size)?;
    let training = settings.training;
    let synthesiser = Synthesiser::new(training.synthesis, training.augment, textures);
    make_folder(&args.out)?;
    for (index, image) in good.iter().cycle().take(args.count).enumerate() {
        let mut rng = Pcg64::seed_from_u64(training.seed.wrapping_add((index as u64) << 32));
        let sample = synthesiser.sample(image, &mut rng)?;
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture(&sample).write_to(&mut bytes, ::image::ImageFormat::Png)?;
        write_file(&args.out.join(format!("{index:03}.png")), &bytes.into_inner())?;
    }
    eprintln!(
        "wrote {} to {}",
        count(args.count, "picture", "pictures"),
        args.out.display()
    );
    Ok(())
}

/// Good image, corrupted image and mask, side by side.
fn picture(sample: &Sample) -> RgbImage {
    let (width, height) = sample.clean.dimensions();
    RgbImage::from_fn(3 * width, height, |x, y| {
        let at = (y * width + x % width) as usize;
        match x / width {
            0 => *sample.clean.get_pixel(x, y),
            1 => {
                let values = &sample.corrupted[3 * at..3 * at + 3];
                Rgb([0, 1, 2].map(|c: usize| (255.0 * values[c] + 0.5) as u8))
            }
            _ => Rgb([255 * sample.mask[at]; 3]),
        }
    })
}
