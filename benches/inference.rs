//! One image through the shipped compact model and its parts, on the CPU with all threads.
//! `cargo bench --bench inference`; `RAYON_NUM_THREADS=1` for one thread.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use criterion::{Criterion, criterion_group, criterion_main};
use destseg_engine::inspect::Detector;
use destseg_engine::methods::file::{ModelFile, parse_teacher};

const SIDE: usize = 256;

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn inference(criterion: &mut Criterion) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let read = |name: &str| std::fs::read(models.join(name)).expect("is shipped");
    let file = ModelFile::parse(&read("fabric.safetensors")).expect("is a model");
    let (_, teacher) = parse_teacher(&read("efficientnet-lite0.safetensors")).expect("is a teacher");
    let device = Device::flex();
    let detector = Detector::new(&file, Some(&teacher), &device).expect("builds");
    let network = file.build(Some(&teacher), &device).expect("builds");

    let pixels: Vec<f32> = (0..3 * SIDE * SIDE).map(|i| (i % 251) as f32 / 250.0).collect();
    let batch = Tensor::from_data(TensorData::new(pixels.clone(), [1, 3, SIDE, SIDE]), &device);
    let evidence = network.evidence(batch.clone());

    let mut group = criterion.benchmark_group("compact");
    group.bench_function("image", |bencher| {
        bencher.iter(|| pollster::block_on(detector.detect_pixels(&pixels)).expect("detects"));
    });
    group.bench_function("teacher", |bencher| {
        bencher.iter(|| {
            network
                .teacher
                .forward(batch.clone())
                .0
                .map(|level| level.into_data())
        });
    });
    group.bench_function("student", |bencher| {
        bencher.iter(|| {
            network
                .student
                .forward(batch.clone())
                .0
                .map(|level| level.into_data())
        });
    });
    let segmentation = network.segmentation.as_ref().expect("has one");
    group.bench_function("segmentation network", |bencher| {
        bencher.iter(|| segmentation.forward(evidence.clone()).into_data());
    });
    group.finish();
}

criterion_group!(benches, inference);
criterion_main!(benches);
