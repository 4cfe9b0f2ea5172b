//! `cargo xtask`: see [`USAGE`].

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use xtask::process::{self, root};
use xtask::serve::Server;
use xtask::setup::{Extra, setup};
use xtask::{bench, checks, page};

const USAGE: &str = "\
cargo xtask demo [--port N] [--no-open]   build the page, serve it here and open it
cargo xtask test [-- NAME..]              run all checks and tests, those in the browser too
cargo xtask dist [--out DIR]              make the site for any static host (default: dist)
cargo xtask bench-web                     time the page's engine in Chromium, on the CPU and on WebGPU
cargo xtask bench-peers [--rounds N] [--gpu]
                                          time it beside PyTorch and onnxruntime, where they are installed
cargo xtask check                         formatting and lints only
cargo xtask setup [--browser]             install what is missing, nothing else
cargo xtask serve DIR [--port N]          serve a folder on this machine";

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
    match command.as_str() {
        "demo" => {
            let options = Options::parse(rest, &["--port", "--no-open"], 0)?;
            demo(options.port, !options.no_open)
        }
        "dist" => {
            let options = Options::parse(rest, &["--out"], 0)?;
            let compiler = setup(&[Extra::WasmOpt])?;
            page::publish(&compiler, &options.out.unwrap_or_else(|| root().join("dist")))
        }
        "test" => match rest.split_first() {
            None => checks::test(&[]),
            Some((separator, names)) if separator == "--" => checks::test(names),
            Some((other, _)) => bail!("`{other}` must come after `--`: cargo xtask test -- {other}"),
        },
        "bench-web" => Options::parse(rest, &[], 0).and_then(|_| bench::web()),
        "bench-peers" => {
            let options = Options::parse(rest, &["--rounds", "--gpu"], 0)?;
            bench::peers(options.rounds, options.gpu)
        }
        "check" => Options::parse(rest, &[], 0).and_then(|_| checks::check()),
        "setup" => {
            let options = Options::parse(rest, &["--browser"], 0)?;
            setup(if options.browser {
                &[Extra::WasmOpt, Extra::Browser]
            } else {
                &[Extra::WasmOpt]
            })
            .map(drop)
        }
        "serve" => {
            let options = Options::parse(rest, &["--port"], 1)?;
            let folder = options.folder.context("which folder? cargo xtask serve DIR")?;
            serve(&folder, options.port, false)
        }
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no command `{other}`:\n{USAGE}"),
    }
}

/// What can stand behind a command.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    port: u16,
    no_open: bool,
    browser: bool,
    rounds: usize,
    gpu: bool,
    out: Option<PathBuf>,
    folder: Option<PathBuf>,
}

impl Options {
    /// Reads the options that the command knows, and up to `folders` folders.
    fn parse(arguments: &[String], known: &[&str], folders: usize) -> Result<Self> {
        let mut options = Self {
            port: DEMO_PORT,
            no_open: false,
            browser: false,
            rounds: BENCH_ROUNDS,
            gpu: false,
            out: None,
            folder: None,
        };
        let mut arguments = arguments.iter().map(String::as_str);
        let mut folders = folders;
        while let Some(argument) = arguments.next() {
            if argument.starts_with('-') && !known.contains(&argument) {
                bail!("`{argument}` is not an option of this command:\n{USAGE}");
            }
            match argument {
                "--no-open" => options.no_open = true,
                "--browser" => options.browser = true,
                "--gpu" => options.gpu = true,
                "--port" => {
                    let port = arguments.next().and_then(|text| text.parse().ok());
                    options.port = port.context("--port needs a number between 1 and 65535")?;
                }
                "--rounds" => {
                    let rounds = arguments.next().and_then(|text| text.parse().ok());
                    options.rounds = rounds.context("--rounds needs a number")?;
                }
                "--out" => options.out = Some(arguments.next().context("--out needs a folder")?.into()),
                folder if folders > 0 => {
                    folders -= 1;
                    options.folder = Some(folder.into());
                }
                other => bail!("`{other}` is one argument too many:\n{USAGE}"),
            }
        }
        Ok(options)
    }
}

fn demo(port: u16, open: bool) -> Result<()> {
    let dist = root().join("dist");
    let compiler = setup(&[])?;
    println!("Building the page (the first build takes a while: it compiles Burn).");
    page::build(&compiler, &dist)?;
    serve(&dist, port, open)
}

/// Serves a folder until Ctrl-C.
fn serve(folder: &Path, port: u16, open: bool) -> Result<()> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let server = Server::start_near(folder, port)?;
    if server.port() != port {
        println!("Port {port} is taken; using {}.", server.port());
    }
    println!("\nServing at {} (Ctrl-C ends it).", server.url());
    if open {
        open_in_browser(&server.url());
    }
    server.wait();
    Ok(())
}

/// Opens the address where there is a desktop; nobody needs to hear where there is none.
fn open_in_browser(url: &str) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ if has_display => "xdg-open",
        _ => return,
    };
    if process::command(program).arg(url).spawn().is_err() {
        println!("(no browser could be opened: open the address yourself)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, known: &[&str], folders: usize) -> Result<Options> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, known, folders)
    }

    #[test]
    fn options_are_read_and_strangers_refused() {
        let options = parse("--port 81 site", &["--port"], 1).expect("parses");
        assert_eq!((options.port, options.folder), (81, Some("site".into())));
        assert!(parse("--port", &["--port"], 0).is_err());
        assert!(parse("--port many", &["--port"], 0).is_err());
        assert!(parse("--out x", &["--port"], 0).is_err());
        assert!(parse("one two", &[], 1).is_err());
    }

    #[test]
    fn an_unknown_command_fails_with_the_usage() {
        let error = run(&["dmeo".into()]).expect_err("fails");
        assert!(format!("{error:#}").contains("cargo xtask demo"));
    }
}
