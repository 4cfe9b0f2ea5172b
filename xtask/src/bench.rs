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
    /// Images at once on the graphics card; on the CPU the work has its own number.
    batch: Option<&'static str>,
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

/// A step of a whole `ResNet18` student in `PyTorch`, on the CPU.
const RESNET18_STEP: &str = include_str!("../peers/resnet18_step.py");

/// The paper's network in `PyTorch`, on a graphics card.
const GPU: &str = include_str!("../peers/gpu.py");

/// Runs both sides in turn, `rounds` times each, and prints medians and ratios; with `gpu` what is done on a graphics
/// card. Where the peers are: `DESTSEG_PEERS` (their scripts; default `../shared/bench`), `DESTSEG_PYTHON` (a Python with
/// torch, onnxruntime, onnx and efficientnet-lite-pytorch; default `python3`). Where cargo is not: `DESTSEG_SPEED`, the
/// program that `cargo bench --bench speed --no-run` makes.
///
/// # Errors
/// If our own side cannot be timed.
pub fn peers(rounds: usize, gpu: bool) -> Result<()> {
    let scripts = env::var_os("DESTSEG_PEERS").map_or_else(|| root().join("../shared/bench"), PathBuf::from);
    let python = env::var_os("DESTSEG_PYTHON")
        .map(PathBuf::from)
        .or_else(|| find("python3"))
        .unwrap_or_else(|| PathBuf::from("python3"));
    let contests = match gpu {
        true => contests_on_gpu(&scripts, &python),
        false => contests(&scripts, &python),
    };
    println!(
        "{:<10} {:<22} {:>9} {:>9} {:>7}",
        "work", "peer", "ours ms", "peer ms", "ratio"
    );
    for contest in contests {
        let peers = &contest.peers;
        let work = contest.name();
        let mut ours = Vec::new();
        let mut theirs: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
        for _ in 0..rounds {
            ours.push(contest.own()?);
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

impl Contest {
    /// What the table calls it.
    fn name(&self) -> String {
        let images = self.batch.map(|batch| format!(" x{batch}"));
        format!("{}{}", self.work, images.unwrap_or_default())
    }

    /// The median of our own runs in milliseconds.
    fn own(&self) -> Result<f64> {
        let mut command = env::var_os("DESTSEG_SPEED").map_or_else(
            || {
                let mut cargo = process::command("cargo");
                cargo.args(["bench", "--quiet", "--bench", "speed", "--"]);
                cargo
            },
            process::command,
        );
        command.args([self.work, self.runs]);
        if let Some(batch) = self.batch {
            command.args(["gpu", batch]);
        }
        let output = process::output(&mut command)?;
        let Some((_, list)) = output.rsplit_once('[') else {
            bail!("the benchmark said nothing about `{}`", self.work);
        };
        let mut times: Vec<f64> = list
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .split(", ")
            .filter_map(|time| time.parse().ok())
            .collect();
        median(&mut times).context("the benchmark gave no times")
    }
}

impl Peer {
    /// A Python program that prints seconds behind `mark`.
    fn python<'a>(
        python: &Path,
        name: &'static str,
        arguments: impl IntoIterator<Item = &'a str>,
        mark: &'static str,
    ) -> Self {
        Self {
            name,
            program: python.to_owned(),
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            folder: env::temp_dir(),
            mark,
            unit: 1e3,
        }
    }

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

/// What is compared on a graphics card: `PyTorch` as it comes and compiled, with all bits and with the card's short ones.
fn contests_on_gpu(scripts: &Path, python: &Path) -> Vec<Contest> {
    /// Runs of each of ours.
    const RUNS: &str = "20";
    let scripts = scripts.display().to_string();
    let ways = [
        ("PyTorch", "eager", "f32"),
        ("PyTorch TF32", "eager", "tf32"),
        ("PyTorch compiled", "compiled", "f32"),
        ("PyTorch compiled TF32", "compiled", "tf32"),
    ];
    let contest = |(work, batch)| Contest {
        work,
        runs: RUNS,
        batch: Some(batch),
        peers: Vec::from(ways.map(|(name, way, bits)| {
            let arguments = ["-c", GPU, &scripts, work, batch, way, bits];
            Peer::python(python, name, arguments, "median")
        })),
    };
    Vec::from(
        [
            ("paper", "1"),
            ("paper", "32"),
            ("paper1", "32"),
            ("paper2", "32"),
        ]
        .map(contest),
    )
}

/// What is compared on the CPU: the scripts print their own medians.
fn contests(scripts: &Path, python: &Path) -> Vec<Contest> {
    let peer = |name, script: &str, arguments: &[&str], mark| {
        let script = scripts.join(script).display().to_string();
        let arguments = [&*script].into_iter().chain(arguments.iter().copied());
        Peer::python(python, name, arguments, mark)
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
            batch: None,
            peers: vec![
                onnx(&paper, "7"),
                peer("PyTorch", "destseg_torch.py", &["bench", "2"], "s/image"),
            ],
        },
        Contest {
            work: "trial",
            runs: "40",
            batch: None,
            peers: vec![onnx(&compact, "40"), torch("infer")],
        },
        Contest {
            work: "trial1",
            runs: "7",
            batch: None,
            peers: vec![torch("stage 1")],
        },
        Contest {
            work: "trial2",
            runs: "7",
            batch: None,
            peers: vec![torch("stage 2")],
        },
        Contest {
            work: "stpm",
            runs: "7",
            batch: None,
            peers: vec![Peer::python(
                python,
                "PyTorch",
                ["-c", RESNET18_STEP, &scripts.display().to_string()],
                "step",
            )],
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
        let nowhere = Path::new("/nonexistent");
        for contests in [contests(nowhere, nobody), contests_on_gpu(nowhere, nobody)] {
            let mut peers = contests.iter().flat_map(|contest| &contest.peers);
            assert!(peers.all(|peer| peer.time().is_none()));
        }
    }
}
