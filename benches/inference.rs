//! One image through the shipped compact model and its parts, on the CPU with all threads.
//! `cargo bench --bench inference`; `RAYON_NUM_THREADS=1` for one thread.

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use destseg_engine::arch::{self, prefix};
use destseg_engine::backend::cpu::{CpuModel, CpuTeacher, Program};
use destseg_engine::backend::device::Device;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn inference(criterion: &mut Criterion) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let read = |name: &str| std::fs::read(models.join(name)).expect("is shipped");
    let file = ModelFile::parse(&read("fabric.safetensors")).expect("is a model");
    let (_, teacher) = parse_teacher(&read("efficientnet-lite0.safetensors")).expect("is a teacher");
    let config = file.header.networks().expect("has networks").clone();
    let detector = methods::detector(&file, Some(&teacher), &Device::Cpu).expect("builds");
    let teacher = CpuTeacher::new(config.teacher, &teacher, config.input_size).expect("builds");
    let student = Program::new(
        &arch::student(&config),
        &file.weights.with_prefix(prefix::STUDENT),
    )
    .expect("builds");
    let graph = arch::segmentation(&config).expect("has one");
    let segmentation = Program::new(&graph, &file.weights.with_prefix(prefix::SEGMENTATION)).expect("builds");

    let side = config.input_size;
    let pixels: Vec<f32> = (0..3 * side * side).map(|i| (i % 251) as f32 / 250.0).collect();
    let image = Grid {
        height: side,
        width: side,
        channels: 3,
        data: pixels.clone(),
    };
    let pool = Pool::default();
    let give = |grids: Vec<Grid>| grids.into_iter().for_each(|grid| pool.give(grid));

    let mut group = criterion.benchmark_group("compact");
    group.bench_function("image", |bencher| {
        bencher.iter(|| pollster::block_on(detector.detect_pixels(&pixels)).expect("detects"));
    });
    group.bench_function("teacher", |bencher| bencher.iter(|| teacher.run(&image)));
    group.bench_function("student", |bencher| {
        bencher.iter(|| give(student.run(&[&image], &pool)));
    });
    let model = CpuModel::new(&config, teacher.into(), &file.weights).expect("builds");
    let (_, fusion_input) = model.fusion_input(&image);
    let fusion_input: Vec<&Grid> = fusion_input.iter().collect();
    group.bench_function("segmentation network", |bencher| {
        bencher.iter(|| give(segmentation.run(&fusion_input, &pool)));
    });
    group.finish();
}

criterion_group!(benches, inference);
criterion_main!(benches);
