//! Single layers of the two networks: `cargo bench -p destseg-kernels` for one thread, with
//! `--features threads` for all. The throughput is in multiplications of the plain convolution, so that the
//! ways to the same result compare: a core of Zen 3 has 16 a cycle with AVX2.

use std::slice;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use destseg_kernels::conv::{Conv, Shape};
use destseg_kernels::depthwise::Depthwise;
use destseg_kernels::gradient::of_weights;
use destseg_kernels::resample::{Onto, bilinear};
use destseg_kernels::winograd::Winograd;
use destseg_kernels::{Activation, Finish, Grid};

fn values(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0)
        .collect()
}

fn grid(side: usize, channels: usize) -> Grid {
    Grid {
        data: values(side * side * channels),
        ..Grid::zeros(side, side, channels)
    }
}

/// Name, side of the input, input and output channels, kernel, stride, dilation.
type Layer = (&'static str, usize, [usize; 2], usize, usize, usize);

const DENSE: [Layer; 16] = [
    ("paper stem", 256, [3, 64], 7, 2, 1),
    ("paper layer1", 64, [64, 64], 3, 1, 1),
    ("paper layer3", 16, [256, 256], 3, 1, 1),
    ("paper head", 64, [256, 256], 3, 1, 1),
    ("paper head, dilation 6", 64, [256, 256], 3, 1, 6),
    ("paper head, dilation 12", 64, [256, 256], 3, 1, 12),
    ("paper head, dilation 18", 64, [256, 256], 3, 1, 18),
    ("compact stem", 256, [3, 32], 3, 2, 1),
    ("compact expand", 64, [24, 144], 1, 1, 1),
    ("compact project", 64, [144, 24], 1, 1, 1),
    ("compact head", 64, [32, 32], 3, 1, 1),
    // the student's, and the second half of what depthwise convolutions would need instead
    ("compact student 1/8", 32, [64, 64], 3, 1, 1),
    ("compact student 1/8, pointwise", 32, [64, 64], 1, 1, 1),
    ("compact student 1/16", 16, [112, 112], 3, 1, 1),
    ("compact student 1/16, pointwise", 16, [112, 112], 1, 1, 1),
    ("compact head, pointwise", 64, [32, 32], 1, 1, 1),
];

fn dense(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dense");
    for (name, side, [inputs, outputs], kernel, stride, dilation) in DENSE {
        let before = dilation * (kernel / 2);
        let shape = Shape {
            inputs,
            outputs,
            kernel,
            stride,
            dilation,
            padding: [before, 2 * before],
        };
        let (input, mut out) = (grid(side, inputs), grid(shape.size(side), outputs));
        let (weights, bias) = (values(outputs * inputs * kernel * kernel), values(outputs));
        let finish = Finish {
            activation: Activation::Relu,
            ..Finish::default()
        };
        group.throughput(Throughput::Elements(
            (out.data.len() * inputs * kernel * kernel) as u64,
        ));
        group.bench_function(format!("{name}, gradient of the weights"), |bencher| {
            let (inputs, gradients) = (slice::from_ref(&input), slice::from_ref(&out));
            bencher.iter(|| of_weights(&shape, inputs, gradients));
        });
        let conv = Conv::new(shape, &weights, bias.clone());
        group.bench_function(format!("{name}, direct"), |bencher| {
            bencher.iter(|| conv.run(&input, (&mut out).into(), finish));
        });
        if kernel == 3 && stride == 1 {
            let conv = Winograd::new(inputs, outputs, dilation, &weights, bias);
            group.bench_function(format!("{name}, winograd"), |bencher| {
                bencher.iter(|| conv.run(&input, (&mut out).into(), finish));
            });
        }
    }
    group.finish();
}

fn others(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("depthwise");
    for (side, channels, kernel, stride) in [
        (128, 96, 3, 2),
        (64, 144, 5, 2),
        (32, 240, 5, 1),
        (16, 480, 3, 1),
        (64, 32, 3, 1),
        (32, 64, 3, 1),
        (16, 112, 3, 1),
    ] {
        let all = kernel - stride;
        let shape = Shape {
            inputs: channels,
            outputs: channels,
            kernel,
            stride,
            dilation: 1,
            padding: [all / 2, all],
        };
        let (input, mut out) = (grid(side, channels), grid(shape.size(side), channels));
        let weights = values(channels * kernel * kernel);
        let conv = Depthwise::new(shape, &weights, values(channels)).expect("is a known kind");
        group.throughput(Throughput::Elements((out.data.len() * kernel * kernel) as u64));
        group.bench_function(
            format!("{side}x{side}x{channels}, {kernel}x{kernel}, stride {stride}"),
            |bencher| {
                bencher.iter(|| conv.run(&input, &mut out, Activation::Relu6));
            },
        );
    }
    group.finish();
    let (small, mut large) = (grid(32, 128), grid(64, 128));
    criterion.bench_function("bilinear 32x32x128 to 64x64", |bencher| {
        bencher.iter(|| bilinear(&small, (&mut large).into(), Onto::Nothing));
    });
}

criterion_group!(benches, dense, others);
criterion_main!(benches);
