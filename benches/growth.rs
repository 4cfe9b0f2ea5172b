//! How cost grows: `cargo bench --bench growth -- [FOLDER]` prints milliseconds as CSV and draws into the folder what
//! a unit of each kind of work costs, as a multiple of the cheapest point. A level line is cost in proportion.

#[allow(dead_code, reason = "the peers' network is timed elsewhere")]
mod common;

use std::io::Cursor;

use common::{detector, inference, time, training};
use destseg_engine::backend::device::Device;
use destseg_engine::config::{ModelConfig, Preset};
use destseg_engine::data::annotations::MarkFile;
use destseg_engine::data::image::{Rgb, RgbImage};
use destseg_engine::data::labelled::Class;
use destseg_engine::evaluation::{Session, Subject};
use destseg_engine::metrics::{Curve, Point};
use destseg_engine::report::chart::{self, Axes, CurveChart, STYLE};
use pollster::block_on;

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs whose median counts.
const RUNS: usize = 5;

/// One kind of work at growing sizes.
struct Growth {
    name: &'static str,
    /// In its file's name.
    file: &'static str,
    /// Size, units of work in it, milliseconds.
    points: Vec<(usize, f64, f64)>,
}

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let all = [batches(), sides(), folders()];
    println!("work,size,milliseconds,milliseconds per unit");
    for Growth { name, points, .. } in &all {
        for (size, units, ms) in points {
            println!("{name},{size},{ms:.2},{:.5}", ms / units);
        }
    }
    if let Some(folder) = folder {
        for growth in &all {
            let file = format!("{folder}/growth-{}.svg", growth.file);
            std::fs::write(file, drawn(growth)).expect("the folder can be written to");
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A training step of the compact network, per image of the batch; batch normalisation needs two at least.
fn batches() -> Growth {
    let step = |batch: usize| {
        let mut config = ModelConfig::preset(Preset::Compact);
        config.input_size = 128;
        (
            batch,
            batch as f64,
            median(training(config, [1000, 0], batch, &Device::Cpu, RUNS)),
        )
    };
    Growth {
        name: "Training step, images of a batch",
        file: "batch",
        points: [2, 4, 8, 16, 32].map(step).into(),
    }
}

/// A look of the compact network, per thousand pixels of its input.
fn sides() -> Growth {
    let look = |side: usize| {
        let mut config = ModelConfig::preset(Preset::Compact);
        config.input_size = side;
        (
            side,
            (side * side) as f64 / 1e3,
            median(inference(config, &Device::Cpu, RUNS)),
        )
    };
    Growth {
        name: "Image, side in pixels",
        file: "side",
        points: [128, 256, 512, 1024].map(look).into(),
    }
}

/// A whole evaluation, per image of the folder.
fn folders() -> Growth {
    const SIDE: u32 = 64;
    let mut config = ModelConfig::preset(Preset::Compact);
    config.input_size = SIDE as usize;
    let detector = detector(config, &Device::Cpu);
    let image = png(|x, y| Rgb([(x * 3) as u8, (y * 5) as u8, (x ^ y) as u8]));
    let mask = png(|x, y| Rgb([255 * u8::from(x / 8 == 3 && y / 8 == 2); 3]));
    let masks = [MarkFile {
        name: "mask.png",
        bytes: Ok(&mask),
    }];
    let evaluate = |images: usize| {
        let times = time(1, || {
            let mut session = Session::new(&detector);
            for i in 0..images {
                let is_good = i % 2 == 0;
                let subject = Subject {
                    path: "",
                    name: &format!("{i}.png"),
                    class: &if is_good {
                        Class::Good
                    } else {
                        Class::Defective("spot".into())
                    },
                    image: &image,
                    masks: if is_good { &[] } else { &masks },
                };
                block_on(session.add(&detector, subject)).expect("looks");
            }
            session.finish("growth", "none", Vec::new());
        });
        (images, images as f64, median(times))
    };
    Growth {
        name: "Evaluation, images of a folder",
        file: "folder",
        points: [1, 10, 50, 100, 200, 500].map(evaluate).into(),
    }
}

fn png(pixel: impl Fn(u32, u32) -> Rgb<u8>) -> Vec<u8> {
    const SIDE: u32 = 64;
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(SIDE, SIDE, pixel)
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("encodes");
    bytes.into_inner()
}

/// Cost per unit over size, by doublings.
fn drawn(Growth { name, points, .. }: &Growth) -> String {
    let of = |(_, units, ms): &(usize, f64, f64)| ms / units;
    let cheapest = points.iter().map(of).fold(f64::INFINITY, f64::min);
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let doublings = |size: usize| (size as f64 / first as f64).log2() as f32;
    let at = |point: &(usize, f64, f64)| Point {
        x: doublings(point.0),
        y: (of(point) / cheapest) as f32,
        threshold: point.0 as f32,
    };
    let curve: Curve = points.iter().map(at).collect();
    let highest = curve.iter().map(|point| point.y).fold(2.0, f32::max);
    let drawing = CurveChart {
        title: name,
        labels: [
            &format!("{name}: doublings from {first} to {last}"),
            "Cost of a unit",
        ],
        axes: Axes {
            x: (0.0, doublings(last)),
            y: (0.0, highest.ceil()),
        },
        curves: vec![(name, &curve)],
        diagonal: false,
        mark: None,
        readable: false,
    };
    chart::curve(&drawing)
        .replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1)
        .replacen('>', &format!("><style>{STYLE}</style>"), 1)
}
