//! `cargo xtask`: see [`USAGE`].

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use xtask::arguments::Arguments;
use xtask::checks::Mode;
use xtask::process::root;
use xtask::setup::{Extra, setup};
use xtask::{bench, checks, cli_docs, demo, manifest, npm, page, supply, targets};

const USAGE: &str = "\
cargo xtask demo [--port N] [--no-open]   build the page, serve it here and open it
cargo xtask test [MODE] [-- NAME..]       run all checks and tests, or those of a mode;
                                          CONTRIBUTING.md says how long they take:
    --unit      formatting and unit tests without Burn; needs Rust alone
    --native    these, lints, documentation and every other native test; needs Rust, and a GPU or Chromium
    --page      lints for wasm, the page, its size and the tests in the browser; needs Chromium
cargo xtask check                         formatting and lints only
cargo xtask dist [--out DIR]              make the site for any static host (default: dist)
cargo xtask npm [--out DIR]               make the npm package (default: target/npm)
cargo xtask serve DIR [--port N]          serve a folder on this machine
cargo xtask setup [--browser] [--npm] [--cluster] [--onnx]
                                          install what is missing, nothing else
cargo xtask manifest DIR [--first MODEL]  list the models of a folder for the page, in DIR/manifest.json
cargo xtask notices FILE                  write the licences of all packages, to ship with the programs
cargo xtask sbom FILE                     write a bill of materials (CycloneDX)
cargo xtask advisories                    look for known vulnerabilities of the packages; needs a network
cargo xtask targets                       compile for Windows and macOS, test the kernels on an emulated ARM processor
cargo xtask cli-docs                      write the help of every subcommand into docs/cli.md
cargo xtask bench-web                     time the page's engine in Chromium, on the CPU and on WebGPU
cargo xtask bench-peers [--rounds N] [--gpu]
                                          time it beside PyTorch and onnxruntime, where they are installed";

/// Where the demo listens, or on the next free port.
const DEMO_PORT: u16 = 8080;

/// Turns of both sides in a comparison.
const BENCH_ROUNDS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("say what to do:\n{USAGE}")
    };
    let nothing_more = || Arguments::parse(rest, &[], &[], 0);
    match command.as_str() {
        "demo" => {
            let given = Arguments::parse(rest, &["--no-open"], &["--port"], 0)?;
            demo::run(given.number("--port", DEMO_PORT)?, !given.has("--no-open"))
        }
        "dist" => {
            let given = Arguments::parse(rest, &[], &["--out"], 0)?;
            let out = given
                .value("--out")
                .map_or_else(|| root().join("dist"), PathBuf::from);
            page::publish(&setup(&[Extra::WasmOpt])?, &out)
        }
        "npm" => {
            let given = Arguments::parse(rest, &[], &["--out"], 0)?;
            let out = given
                .value("--out")
                .map_or_else(|| root().join("target/npm"), PathBuf::from);
            npm::publish(&setup(&[Extra::WasmOpt])?, &out)
        }
        "test" => {
            let end = rest.iter().position(|argument| argument == "--");
            let (modes, names) = rest.split_at(end.unwrap_or(rest.len()));
            checks::test(Mode::parse(modes)?, names.get(1..).unwrap_or_default())
        }
        "check" => nothing_more().and_then(|_| checks::check()),
        "serve" => {
            let given = Arguments::parse(rest, &[], &["--port"], 1)?;
            let folder = given.word().context("which folder? cargo xtask serve DIR")?;
            demo::serve(Path::new(folder), given.number("--port", DEMO_PORT)?)
        }
        "setup" => {
            let given = Arguments::parse(rest, &["--browser", "--npm", "--cluster", "--onnx"], &[], 0)?;
            let chosen = [
                ("--browser", Extra::Browser),
                ("--npm", Extra::Node),
                ("--cluster", Extra::Cluster),
                ("--onnx", Extra::Onnx),
            ];
            let chosen = chosen.into_iter().filter(|(flag, _)| given.has(flag));
            let extras: Vec<_> = chosen.map(|(_, extra)| extra).chain([Extra::WasmOpt]).collect();
            setup(&extras).map(drop)
        }
        "manifest" => {
            let given = Arguments::parse(rest, &[], &["--first"], 1)?;
            let folder = given
                .word()
                .context("which folder? cargo xtask manifest models")?;
            manifest::write(Path::new(folder), given.value("--first"))
        }
        "notices" => supply::notices(Path::new(
            Arguments::parse(rest, &[], &[], 1)?
                .word()
                .context("which file? cargo xtask notices FILE")?,
        )),
        "sbom" => supply::bill_of_materials(Path::new(
            Arguments::parse(rest, &[], &[], 1)?
                .word()
                .context("which file? cargo xtask sbom FILE")?,
        )),
        "advisories" => nothing_more().and_then(|_| supply::advisories()),
        "targets" => nothing_more().and_then(|_| targets::check()),
        "cli-docs" => nothing_more().and_then(|_| cli_docs::write()),
        "bench-web" => nothing_more().and_then(|_| bench::web()),
        "bench-peers" => {
            let given = Arguments::parse(rest, &["--gpu"], &["--rounds"], 0)?;
            bench::peers(given.number("--rounds", BENCH_ROUNDS)?, given.has("--gpu"))
        }
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`:\n{USAGE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_fails_with_the_usage() {
        let error = run(&["dmeo".into()]).expect_err("fails");
        assert!(format!("{error:#}").contains("cargo xtask demo"));
    }
}
