//! Our side of `cargo xtask bench-peers`: one kind of work on the CPU with all threads, timed as the peers'
//! scripts time theirs. `cargo bench --bench speed -- WORK RUNS` prints the milliseconds of each run as JSON.
//!
//! WORK is `paper`, `compact` or `trial` (one image of 256 pixels), `stage1` or `stage2` (a training step of the compact
//! network, batches of 8; `trial1` and `trial2` of the trial network), or `stpm` (a step of a whole `ResNet18`
//! student, batches of 4). The trial network is the one that the peers' scripts have for `compact`. A third
//! word, `gpu`, takes the first graphics adapter for the images.

mod common;

use common::{inference, training, trial};
use destseg::config::{ModelConfig, Preset};
use destseg::device;
use destseg::protocol::BackendChoice;

/// As the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    let inference = |config| {
        let selected = pollster::block_on(device::select(backend)).expect("opens");
        inference(config, &selected.device, runs)
    };
    let times = match work.as_str() {
        "paper" => inference(ModelConfig::preset(Preset::Paper)),
        "compact" => inference(ModelConfig::preset(Preset::Compact)),
        "trial" => inference(trial()),
        "stage1" => training(ModelConfig::preset(Preset::Compact), [1000, 0], 8, runs),
        "stage2" => training(ModelConfig::preset(Preset::Compact), [0, 1000], 8, runs),
        "trial1" => training(trial(), [1000, 0], 8, runs),
        "trial2" => training(trial(), [0, 1000], 8, runs),
        "stpm" => training(ModelConfig::stpm(Preset::Paper), [1000, 0], 4, runs),
        other => return println!("speed: `{other}` is unknown"),
    };
    let times: Vec<String> = times.iter().map(|time| format!("{time:.3}")).collect();
    println!("[{}]", times.join(", "));
}
