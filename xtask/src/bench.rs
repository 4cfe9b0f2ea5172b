//! Measurements: the page's engine in a browser, and this program beside its peers.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, find, root};
use crate::setup::{Extra, setup};
use crate::{browser, page};

/// Builds the page and prints one line of JSON for the CPU and one for WebGPU.
///
/// # Errors
/// If the page cannot be built or no browser be steered.
pub fn web() -> Result<()> {
    let compiler = setup(&[Extra::Browser, Extra::WasmOpt])?;
    // what visitors get, after wasm-opt
    let site = root().join("dist");
    page::publish(&compiler, &site)?;
    let browser = browser::find()?;
    let mut command = process::command("cargo");
    command.args([
        "test",
        "--release",
        "--test",
        "browser",
        "--",
        "--ignored",
        "--nocapture",
        "speed::",
    ]);
    command
        .env("DESTSEG_DIST", site)
        .env("CHROME", browser.chrome)
        .env("CHROMEDRIVER", browser.driver);
    process::run(&mut command)
}

/// One kind of work, ours and the peers'.
struct Contest {
    /// As `benches/speed.rs` calls it.
    work: &'static str,
    runs: &'static str,
    peers: Vec<Peer>,
}

/// A peer's program.
struct Peer {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// Before its seconds or milliseconds in what it prints.
    mark: &'static str,
    /// Its unit in milliseconds.
    unit: f64,
}

/// A step of a whole `ResNet18` student in `PyTorch`, batches of 4, as `cargo bench --bench speed -- stpm` takes it; with the
/// encoder of the peers' scripts, in whose folder it looks.
const STPM_STEP: &str = r#"
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
from destseg_torch import Encoder, l2n
torch.set_num_threads(2)
teacher, student = Encoder(3).eval(), Encoder(3).train()
optimizer = torch.optim.SGD(student.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
images, times = torch.rand(4, 3, 256, 256), []
for _ in range(8):
    start = time.time()
    with torch.no_grad():
        wanted = [l2n(level) for level in teacher(images)]
    given = [l2n(level) for level in student(images)]
    loss = sum((1 - (a * b).sum(1)).mean() for a, b in zip(wanted, given))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    times.append(time.time() - start)
print("step", sorted(times[1:])[3])
"#;

/// Runs both sides in turn, `rounds` times each, and prints medians and ratios. Where the peers are:
/// `DESTSEG_PEERS` (their scripts; default `../shared/bench`), `DESTSEG_PYTHON` (a Python with torch,
/// onnxruntime, onnx and efficientnet-lite-pytorch; default `python3`).
///
/// # Errors
/// If our own side cannot be timed.
pub fn peers(rounds: usize) -> Result<()> {
    let scripts = env::var_os("DESTSEG_PEERS").map_or_else(|| root().join("../shared/bench"), PathBuf::from);
    let python = env::var_os("DESTSEG_PYTHON")
        .map(PathBuf::from)
        .or_else(|| find("python3"));
    let contests = contests(&scripts, python.as_deref());
    println!(
        "{:<10} {:<22} {:>9} {:>9} {:>7}",
        "work", "peer", "ours ms", "peer ms", "ratio"
    );
    for Contest { work, runs, peers } in contests {
        let mut ours = Vec::new();
        let mut theirs: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
        for _ in 0..rounds {
            ours.push(own(work, runs)?);
            for (peer, times) in peers.iter().zip(&mut theirs) {
                times.extend(peer.time());
            }
        }
        let ours = median(&mut ours).context("no rounds: give --rounds 1 at least")?;
        for (peer, times) in peers.iter().zip(&mut theirs) {
            match median(times) {
                Some(time) => println!(
                    "{work:<10} {:<22} {ours:>9.1} {time:>9.1} {:>7.2}",
                    peer.name,
                    time / ours
                ),
                None => println!("{work:<10} {:<22} {ours:>9.1} (not installed)", peer.name),
            }
        }
    }
    Ok(())
}

/// The median of our own runs in milliseconds.
fn own(work: &str, runs: &str) -> Result<f64> {
    let mut command = process::command("cargo");
    command.args(["bench", "--quiet", "--bench", "speed", "--", work, runs]);
    let output = process::output(&mut command)?;
    let Some((_, list)) = output.rsplit_once('[') else {
        bail!("the benchmark said nothing about `{work}`");
    };
    let mut times: Vec<f64> = list
        .trim_end_matches(|c: char| !c.is_ascii_digit())
        .split(", ")
        .filter_map(|time| time.parse().ok())
        .collect();
    median(&mut times).context("the benchmark gave no times")
}

impl Peer {
    /// Its time in milliseconds, if it is there.
    fn time(&self) -> Option<f64> {
        let mut command = process::command(&self.program);
        command.args(&self.arguments).current_dir(&self.folder);
        let output = process::output(&mut command).ok()?;
        let (_, after) = output.split_once(self.mark)?;
        let number: String = after
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        number.parse::<f64>().ok().map(|time| time * self.unit)
    }
}

fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// What is compared: the scripts print their own medians.
fn contests(scripts: &Path, python: Option<&Path>) -> Vec<Contest> {
    let program = python.unwrap_or(Path::new("python3"));
    let peer = |name, script: &str, arguments: &[&str], mark| Peer {
        name,
        program: program.to_owned(),
        arguments: [&scripts.join(script).display().to_string()]
            .into_iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect(),
        folder: env::temp_dir(),
        mark,
        unit: 1e3,
    };
    let exported = |script: &str, file: &str| {
        let file = env::temp_dir().join(file).display().to_string();
        let made = peer("", script, &["onnx", &file], "");
        if !Path::new(&file).is_file() {
            let mut command = process::command(&made.program);
            // where it cannot be made, onnxruntime cannot be timed, which is said
            let _ = process::output(command.args(&made.arguments));
        }
        file
    };
    let paper = exported("destseg_torch.py", "destseg-paper.onnx");
    let compact = exported("compact_torch.py", "destseg-compact.onnx");
    let onnx = |file: &str, runs| peer("onnxruntime", "ort_native.py", &[file, "2", runs], "median");
    let torch = |mark| peer("PyTorch", "compact_torch.py", &["bench", "2"], mark);
    vec![
        Contest {
            work: "paper",
            runs: "7",
            peers: vec![
                onnx(&paper, "7"),
                peer("PyTorch", "destseg_torch.py", &["bench", "2"], "s/image"),
            ],
        },
        Contest {
            work: "trial",
            runs: "40",
            peers: vec![onnx(&compact, "40"), torch("infer")],
        },
        Contest {
            work: "trial1",
            runs: "7",
            peers: vec![torch("stage 1")],
        },
        Contest {
            work: "trial2",
            runs: "7",
            peers: vec![torch("stage 2")],
        },
        Contest {
            work: "stpm",
            runs: "7",
            peers: vec![Peer {
                arguments: vec!["-c".into(), STPM_STEP.into(), scripts.display().to_string()],
                ..torch("step")
            }],
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_sorted_times() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn a_peer_that_is_not_there_has_no_time() {
        let nobody = Path::new("/nonexistent/python");
        let contests = contests(Path::new("/nonexistent"), Some(nobody));
        assert!(
            contests
                .iter()
                .flat_map(|contest| &contest.peers)
                .all(|peer| peer.time().is_none())
        );
    }
}
