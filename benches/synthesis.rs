//! One synthetic sample of 256 x 256 pixels on one core: noise, texture, composition, loss mask.
//! `cargo bench --bench synthesis`.

use criterion::{Criterion, criterion_group, criterion_main};
use destseg_engine::config::{Preset, TrainConfig};
use destseg_engine::data::image::{Rgb, RgbImage};
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng as _;

const SIDE: u32 = 256;

fn image() -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]))
}

fn synthesis(criterion: &mut Criterion) {
    let image = image();
    let folder = tempfile::tempdir().expect("creates");
    image.save(folder.path().join("texture.png")).expect("saves");
    let mut group = criterion.benchmark_group("synthesis");
    for preset in [Preset::Paper, Preset::Compact] {
        let config = TrainConfig::preset(preset);
        let textures = TextureSource::folder(folder.path(), SIDE as usize).expect("has an image");
        for (kind, textures) in [
            ("texture images", textures),
            ("procedural", TextureSource::Procedural),
        ] {
            let generator = Synthesiser::new(config.synthesis.clone(), config.augment, textures);
            let mut index = 0;
            group.bench_function(format!("{} preset, {kind}", preset.id()), |bencher| {
                bencher.iter(|| {
                    index += 1;
                    generator.sample(&image, &mut Pcg64::seed_from_u64(index))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, synthesis);
criterion_main!(benches);
