//! Faults and hours: kills at random moments, and memory over many images. The environment says how many; without it they are
//! few. docs/reliability.md has the long runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use destseg_engine::backend::device::Device;
use destseg_engine::data::image::{Rgb, RgbImage};
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

#[path = "support/command.rs"]
mod command;

use command::{demo_data, fails, succeeds};

/// Kills, where `DESTSEG_KILLS` says nothing.
const KILLS: usize = 4;
/// Images, where `DESTSEG_IMAGES` says nothing.
const IMAGES: usize = 120;
/// Images before the memory is first looked at.
const WARM: usize = 40;
/// Memory may grow by this share afterwards.
const GROWTH: f64 = 0.03;

fn number(name: &str, otherwise: usize) -> usize {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(otherwise)
}

fn training(out: &str, more: &[&str]) -> Vec<String> {
    let line = format!(
        "train --data circuit -o {out} --device cpu --batch 2 --seed 5 --checkpoint-every 1 --student-steps 8 --segmentation-steps 8"
    );
    line.split(' ')
        .chain(more.iter().copied())
        .map(str::to_owned)
        .collect()
}

/// A training that is killed anywhere, from its start to its last file, and resumed where it left a checkpoint, ends in the very
/// model of one that nobody disturbed.
#[test]
fn kills_at_random_moments_change_nothing() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "circuit", [4, 2, 1], 3);
    let start = Instant::now();
    let whole = training("whole.safetensors", &[]);
    succeeds(&whole.iter().map(String::as_str).collect::<Vec<_>>(), path);
    let duration = start.elapsed();
    let expected = fs::read(path.join("whole.safetensors")).expect("reads");
    let model = path.join("killed.safetensors");
    let checkpoint = path.join("killed.safetensors.checkpoint");
    let mut rng = Pcg64::seed_from_u64(7);
    let (mut kills, mut ends, wanted) = (0, 0, number("DESTSEG_KILLS", KILLS));
    let mut resumed = 0;
    loop {
        let more: &[&str] = if checkpoint.exists() {
            &["--resume"]
        } else {
            &["--force"]
        };
        resumed += usize::from(checkpoint.exists());
        let mut child = Command::new(env!("CARGO_BIN_EXE_destseg"))
            .args(training("killed.safetensors", more))
            .current_dir(path)
            .stderr(Stdio::piped())
            .spawn()
            .expect("destseg starts");
        // after enough kills it may go on to its end
        let wait = if kills < wanted {
            duration.mul_f64(rng.random::<f64>())
        } else {
            Duration::from_secs(600)
        };
        let start = Instant::now();
        while child.try_wait().expect("is a child").is_none() && start.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(3));
        }
        if child.try_wait().expect("is a child").is_none() {
            child.kill().expect("is killed");
            child.wait().expect("ends");
            kills += 1;
            continue;
        }
        let output = child.wait_with_output().expect("ended");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            fs::read(&model).expect("reads") == expected,
            "another model after {kills} kills"
        );
        assert!(!checkpoint.exists(), "a checkpoint is left");
        ends += 1;
        fs::remove_file(&model).expect("removes");
        if kills >= wanted {
            break;
        }
    }
    assert!(resumed > 0, "no kill left a checkpoint");
    // nothing is resumed that is not there
    let resumed = training("killed.safetensors", &["--resume"]);
    let said = fails(&resumed.iter().map(String::as_str).collect::<Vec<_>>(), path);
    assert!(said.contains("--resume"), "{said}");
    println!("{kills} kills, {ends} trainings ended with the same file");
}

/// Memory of this process in bytes, if the system says so.
fn memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(1024.0 * kilobytes)
}

#[test]
fn memory_is_flat_over_many_images() {
    let read = |name: &str| {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)).expect("reads")
    };
    let model = ModelFile::parse(&read("fabric.safetensors")).expect("opens");
    let (_, teacher) = parse_teacher(&read("efficientnet-lite0.safetensors")).expect("opens");
    let detector = methods::detector(&model, Some(&teacher), &Device::Cpu).expect("is built");
    let images = number("DESTSEG_IMAGES", IMAGES);
    let mut before = None;
    let start = Instant::now();
    for index in 0..images {
        // of different sizes, as people have them
        let (width, height) = (200 + (index % 7) as u32 * 40, 180 + (index % 5) as u32 * 60);
        let image = RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x + index as u32) as u8, (y * 3) as u8, (x ^ y) as u8])
        });
        pollster::block_on(detector.detect(&image)).expect("is analysed");
        if index == WARM {
            before = memory();
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let (Some(before), Some(after)) = (before, memory()) else {
        println!("skipped: this system does not say how much memory a process has");
        return;
    };
    println!(
        "{images} images in {seconds:.0} s: {:.1} MB after {WARM}, {:.1} MB at the end",
        before / 1e6,
        after / 1e6
    );
    assert!(
        after <= before * (1.0 + GROWTH),
        "memory grew from {before} to {after}"
    );
}
