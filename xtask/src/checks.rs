//! Everything that must hold before a change lands, as steps with a name and a duration.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::page::{self, Parts};
use crate::process::{self, root};
use crate::setup::{Extra, WasmCompiler, ensure_browser, ensure_cluster, ensure_onnxruntime, setup};
use crate::{browser, budget, npm, supply};

/// What is compiled to WebAssembly, and how cargo is told.
const WASM_PARTS: [(&str, &str); 5] = [
    ("ui", "--no-default-features --features ui --lib --bin ui"),
    (
        "worker_cpu",
        "--no-default-features --features worker --lib --bin worker_cpu",
    ),
    (
        "worker_gpu",
        "--no-default-features --features worker,burn --lib --bin worker_gpu",
    ),
    (
        "worker_converter",
        "--package destseg-converter --bin worker_converter",
    ),
    ("npm package", "--package destseg-inspector --lib"),
];

/// The test program that opens the page.
const BROWSER_TESTS: &str = "browser";
/// The test program that runs several machines; it needs a build with S3, and no Burn.
const CLUSTER_TESTS: &str = "cluster";

/// Formatting and lints, native and wasm.
///
/// # Errors
/// The first failure, with the step's name.
pub fn check() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("formatting", formatting)?;
    steps.run("licences", supply::licences)?;
    steps.run("lints, native", native_lints)?;
    let compiler = steps.run("set-up", || setup(&[]))?;
    wasm_lints(&mut steps, &compiler)?;
    steps.print();
    Ok(())
}

/// Which checks and tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All of them.
    All,
    /// Formatting and unit tests without Burn: what to run after every change.
    Unit,
    /// [`Self::Unit`], then all else that needs no browser.
    Native,
    /// The page: lints for wasm, its size, and the tests in the browser.
    Page,
}

impl Mode {
    const NAMES: [(&str, Self); 3] = [
        ("--unit", Self::Unit),
        ("--native", Self::Native),
        ("--page", Self::Page),
    ];

    /// The mode that these arguments name; all without one.
    ///
    /// # Errors
    /// One sentence, if there is no such mode or several are named.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        const CHOICE: &str = "--unit, --native or --page";
        let [argument] = arguments else {
            ensure!(
                arguments.is_empty(),
                "choose one of {CHOICE}, or none to run everything"
            );
            return Ok(Self::All);
        };
        let named = Self::NAMES.into_iter().find(|(name, _)| name == argument);
        let (_, mode) = named.with_context(|| {
            let hint = if argument.starts_with('-') {
                String::new()
            } else {
                format!(", and names of tests stand behind `--`: cargo xtask test -- {argument}")
            };
            format!("`{argument}` is not one of {CHOICE}{hint}")
        })?;
        Ok(mode)
    }
}

/// Runs the checks and tests of a mode, the cheapest first. `names` go to the test programs: a part of a name picks
/// tests.
///
/// # Errors
/// The first failure, with the step's name.
pub fn test(mode: Mode, names: &[String]) -> Result<()> {
    let mut steps = Steps::default();
    if mode != Mode::Page {
        unit(&mut steps, names)?;
    }
    if matches!(mode, Mode::Native | Mode::All) {
        native(&mut steps, names)?;
    }
    if matches!(mode, Mode::Page | Mode::All) {
        page(&mut steps, names)?;
    }
    steps.print();
    Ok(())
}

/// Needs nothing but Rust, and compiles no Burn.
fn unit(steps: &mut Steps, names: &[String]) -> Result<()> {
    steps.run("formatting", formatting)?;
    // one command, so that all packages share their dependencies
    steps.run("unit tests", || {
        let mut command = cargo(&["test", "--workspace", "--no-default-features", "--features", "ui"]);
        process::run(command.args(["--lib", "--bins", "--"]).args(names))
    })
}

/// What [`unit`] leaves out of everything that needs no browser.
fn native(steps: &mut Steps, names: &[String]) -> Result<()> {
    steps.run("licences", supply::licences)?;
    steps.run("lints, native", native_lints)?;
    steps.run("documentation", || {
        let mut command = cargo(&["doc", "--release", "--workspace", "--no-deps", "--lib"]);
        process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    // its software adapter is what they compute on where there is no GPU
    if let Err(error) = ensure_browser() {
        println!("(going on without Chromium: {error:#})");
    }
    steps.run("unit tests with Burn", || {
        process::run(cargo_test(&["--lib", "--bins"]).args(names))
    })?;
    let programs = integration_tests()?;
    let chosen: Vec<&str> = programs
        .iter()
        .filter(|name| ![BROWSER_TESTS, CLUSTER_TESTS].contains(&name.as_str()))
        .flat_map(|name| ["--test", name])
        .collect();
    if let Err(error) = ensure_onnxruntime() {
        println!("(going on without onnxruntime: {error:#})");
    }
    steps.run("integration tests", || {
        process::run(with_output(&chosen).args(names))
    })?;
    if let Err(error) = ensure_cluster() {
        println!("(going on without Slurm or S3: {error:#})");
    }
    steps.run("several machines, with S3", || {
        let mut command = cargo(&["test", "--release", "--no-default-features", "--features", "s3"]);
        process::run(
            command
                .args(["--test", CLUSTER_TESTS, "--", "--show-output"])
                .args(names),
        )
    })
}

/// The page, and what opens it in a browser.
fn page(steps: &mut Steps, names: &[String]) -> Result<()> {
    let dist = root().join("dist");
    let compiler = steps.run("set-up", || setup(&[Extra::WasmOpt, Extra::Browser, Extra::Node]))?;
    wasm_lints(steps, &compiler)?;
    steps.run("page", || page::build(&compiler, &dist, Parts::All))?;
    steps.run("size of the page and the package", || {
        budget::check(&dist)?;
        budget::check_package(&dist.join(npm::IN_SITE))
    })?;
    steps.run("browser tests", || {
        let mut command = with_output(&["--test", BROWSER_TESTS]);
        process::run(command.args(names).env("DESTSEG_DIST", &dist))
    })
}

/// The test programs of all packages.
fn integration_tests() -> Result<Vec<String>> {
    let mut folders = vec![root().to_path_buf()];
    for entry in fs::read_dir(root().join("crates"))? {
        folders.push(entry?.path());
    }
    let mut names = Vec::new();
    for folder in folders.iter().map(|folder| folder.join("tests")) {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").is_file() {
                names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn formatting() -> Result<()> {
    process::run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn native_lints() -> Result<()> {
    let mut command = cargo(&["clippy", "--release", "--workspace", "--all-targets"]);
    process::run(command.args(["--", "-D", "warnings"]))
}

fn wasm_lints(steps: &mut Steps, compiler: &WasmCompiler) -> Result<()> {
    for (part, arguments) in WASM_PARTS {
        steps.run(&format!("lints, wasm, {part}"), || lint_wasm(compiler, arguments))?;
    }
    Ok(())
}

fn lint_wasm(compiler: &WasmCompiler, arguments: &str) -> Result<()> {
    let action = if compiler.has_clippy() {
        "clippy"
    } else {
        println!("(clippy cannot read the libraries of Debian's compiler: compiling without lints)");
        "check"
    };
    // The profile of the page: its procedural macros are built once for both.
    let mut command = cargo(&[action, "--profile", "web", "--target", "wasm32-unknown-unknown"]);
    command.args(arguments.split(' '));
    if compiler.has_clippy() {
        command
            .args(["--", "-D", "warnings"])
            .env("CLIPPY_CONF_DIR", root().join("clippy-wasm"));
    }
    process::run(compiler.apply(&mut command))
}

/// Tests with all features, in the profile of the programs; names of tests can follow.
fn cargo_test(targets: &[&str]) -> Command {
    let mut command = cargo(&["test", "--release", "--workspace"]);
    command.args(targets).arg("--");
    if let Ok(browser) = browser::find() {
        if let Some(folder) = browser::software_adapter(&browser) {
            // beside the drivers of the machine; the loader is for machines that have none
            command
                .env("VK_ADD_DRIVER_FILES", folder.join(browser::SOFTWARE_ADAPTER))
                .env("LD_LIBRARY_PATH", library_path(&folder));
        }
        command
            .env("CHROME", browser.chrome)
            .env("CHROMEDRIVER", browser.driver);
    }
    command
}

/// Tests that print measurements: times, and how far the page is from the command line.
fn with_output(targets: &[&str]) -> Command {
    let mut command = cargo_test(targets);
    command.arg("--show-output");
    command
}

/// Where libraries are looked for, and last in this folder.
fn library_path(folder: &Path) -> OsString {
    let mut path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(folder);
    path
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = process::command("cargo");
    command.args(arguments);
    command
}

/// The steps so far.
#[derive(Debug, Default)]
struct Steps(Vec<(String, Duration)>);

impl Steps {
    /// Runs one step between a headline and its duration.
    fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n=== {name} ===");
        let start = Instant::now();
        let result = step().with_context(|| format!("step `{name}` failed"))?;
        let time = start.elapsed();
        println!("=== {name}: {} ===", in_words(time));
        self.0.push((name.to_owned(), time));
        Ok(result)
    }

    /// All steps with their times.
    fn print(&self) {
        println!("\nAll steps passed:");
        for (name, time) in &self.0 {
            println!("  {:>10}  {name}", in_words(*time));
        }
        println!(
            "  {:>10}  in all",
            in_words(self.0.iter().map(|(_, time)| *time).sum())
        );
    }
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_failed_step_is_named_and_not_recorded() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)).expect("succeeds"), 1);
        let error = steps
            .run("two", || -> Result<()> { bail!("no luck") })
            .expect_err("fails");
        assert_eq!(format!("{error:#}"), "step `two` failed: no luck");
        assert_eq!(steps.0.len(), 1);
    }

    #[test]
    fn modes_are_chosen_one_at_a_time() {
        let parse = |text: &str| {
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            Mode::parse(&words).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(parse(""), Ok(Mode::All));
        assert_eq!(parse("--native"), Ok(Mode::Native));
        let refused = |text: &str| parse(text).expect_err("refused");
        assert!(refused("--unit --page").contains("choose one of --unit, --native or --page"));
        assert!(refused("--quick").contains("`--quick` is not one of"));
        assert!(refused("zip").contains("cargo xtask test -- zip"));
    }

    #[test]
    fn all_test_programs_are_found() {
        let names = integration_tests().expect("lists");
        for name in ["browser", "cli", "parity", "shipped"] {
            assert!(names.iter().any(|found| found == name), "{names:?}");
        }
        assert!(!names.iter().any(|name| name == "support" || name == "fixtures"));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(in_words(Duration::from_millis(1540)), "1.5 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 05 s");
    }
}
