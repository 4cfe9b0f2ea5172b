//! All figures of one category of `MVTec` AD: 167 maps of 256 x 256 pixels, of which a third is
//! good. `cargo bench --bench metrics`; it also prints the peak memory (Linux).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use destseg_engine::metrics::{AUPRO_LIMIT, Ranking};

const IMAGES: usize = 167;
const SIDE: usize = 256;

/// Maps in (0, 1) as a network gives them, smooth and nearly free of ties, and round defects that
/// the maps show only partly.
fn category() -> (Vec<f32>, Vec<bool>) {
    let (mut maps, mut masks) = (Vec::new(), Vec::new());
    for image in 0..IMAGES {
        let phase = image as f32;
        let defects: Vec<[f32; 3]> = (0..image % 3)
            .map(|i| {
                let place = |factor: f32| (phase * factor + i as f32 * 97.0) % SIDE as f32;
                [place(31.7), place(53.3), 6.0 + (phase * 1.7) % 30.0]
            })
            .collect();
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (x, y) = (x as f32, y as f32);
                let depth = |&[cx, cy, r]: &[f32; 3]| 1.0 - (x - cx).hypot(y - cy) / r;
                let depth = defects.iter().map(depth).fold(f32::NEG_INFINITY, f32::max);
                let noise =
                    (x * 0.071 + phase).sin() * (y * 0.053 - phase).cos() + (x * y * 0.37).sin() * 0.2;
                maps.push(1.0 / (1.0 + (-(4.0 * (depth - 0.3) + 2.0 * noise).max(-8.0)).exp()));
                masks.push(depth > 0.0);
            }
        }
    }
    (maps, masks)
}

fn figures(maps: &[f32], masks: &[bool]) -> [f64; 5] {
    let ranking = Ranking::of_images(maps, masks, (SIDE, SIDE)).expect("has both classes");
    let instances = ranking.instance_ap().expect("has instances");
    [
        ranking.auc().expect("has both classes"),
        ranking.average_precision().expect("has both classes"),
        ranking.aupro(AUPRO_LIMIT).expect("has regions"),
        instances.iap,
        instances.iap90,
    ]
}

/// The most memory that this process ever had, in megabytes.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1000)
}

fn metrics(criterion: &mut Criterion) {
    let (maps, masks) = category();
    let before = peak_megabytes();
    println!("figures: {:?}", figures(&maps, &masks));
    if let (Some(before), Some(peak)) = (before, peak_megabytes()) {
        println!("peak memory: {peak} MB, of which {before} MB are the maps and masks");
    }
    let mut group = criterion.benchmark_group("metrics");
    group.sample_size(10);
    group.bench_function("a whole category", |bencher| {
        bencher.iter(|| figures(black_box(&maps), black_box(&masks)));
    });
    group.finish();
}

criterion_group!(benches, metrics);
criterion_main!(benches);
