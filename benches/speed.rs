//! Our side of `cargo xtask bench-peers`: one kind of work with all threads of the CPU, timed as the peers' scripts time
//! theirs. `cargo bench --bench speed -- WORK RUNS [cpu|gpu [BATCH]]` prints the milliseconds of each run as JSON.
//!
//! WORK is `paper`, `compact` or `trial` (one image of 256 pixels), `stage1` or `stage2` (a training step of the compact
//! network, batches of 8; `trial1` and `trial2` of the trial network, `paper1` and `paper2` of the paper's, batches of 32), or
//! `stpm` (a step of a whole `ResNet18` student, batches of 4). The trial network is the one that the peers' scripts have for
//! `compact`. `gpu` takes the first graphics adapter. A number is another batch (on the CPU of training alone); images are
//! on the graphics card then before they are looked at, as the peers' are.

mod common;

use common::{batches, inference, training, trial};
use destseg_engine::backend::device::{self, BackendChoice};
use destseg_engine::config::{ModelConfig, Preset};

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Steps of the two stages, more than are timed.
const STUDENT: [usize; 2] = [1000, 0];
const SEGMENTATION: [usize; 2] = [0, 1000];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let (Some(work), Some(runs)) = (
        arguments.first(),
        arguments.get(1).and_then(|runs| runs.parse().ok()),
    ) else {
        // `cargo bench` alone starts all benchmarks
        return println!("speed: say what, and how often: cargo bench --bench speed -- compact 30");
    };
    let backend = match arguments.get(2).map(String::as_str) {
        Some("gpu") => BackendChoice::Webgpu,
        _ => BackendChoice::Cpu,
    };
    let device = pollster::block_on(device::select(backend)).expect("opens").device;
    let batch = arguments.get(3).and_then(|batch| batch.parse().ok());
    let inference = |config| match batch {
        Some(batch) if backend == BackendChoice::Webgpu => batches(config, batch, &device, runs),
        _ => inference(config, &device, runs),
    };
    let training = |config, steps, usual| training(config, steps, batch.unwrap_or(usual), &device, runs);
    let times = match work.as_str() {
        "paper" => inference(ModelConfig::preset(Preset::Paper)),
        "compact" => inference(ModelConfig::preset(Preset::Compact)),
        "trial" => inference(trial()),
        "stage1" => training(ModelConfig::preset(Preset::Compact), STUDENT, 8),
        "stage2" => training(ModelConfig::preset(Preset::Compact), SEGMENTATION, 8),
        "trial1" => training(trial(), STUDENT, 8),
        "trial2" => training(trial(), SEGMENTATION, 8),
        "stpm" => training(ModelConfig::stpm(Preset::Paper), STUDENT, 4),
        "paper1" => training(ModelConfig::preset(Preset::Paper), STUDENT, 32),
        "paper2" => training(ModelConfig::preset(Preset::Paper), SEGMENTATION, 32),
        other => return println!("speed: `{other}` is unknown"),
    };
    let times: Vec<String> = times.iter().map(|time| format!("{time:.3}")).collect();
    println!("[{}]", times.join(", "));
}
