//! Everything that must hold before a change lands, as steps with a name and a duration.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::process::{self, root};
use crate::setup::{Extra, WasmCompiler, setup};
use crate::{browser, budget, page};

/// The programs of the page and their features.
const WASM_PARTS: [(&str, &str); 3] = [("ui", "ui"), ("worker_cpu", "worker"), ("worker_gpu", "worker,burn")];

/// Formatting and lints, native and wasm.
///
/// # Errors
/// The first failure, with the step's name.
pub fn check() -> Result<()> {
    let mut steps = Steps::default();
    let compiler = steps.run("set-up", || setup(&[]))?;
    lints(&mut steps, &compiler)?;
    steps.print();
    Ok(())
}

/// [`check`], all tests (those in the browser, too) and the documentation. `arguments` go to the
/// test programs: a part of a name picks tests.
///
/// # Errors
/// The first failure, with the step's name.
pub fn test(arguments: &[String]) -> Result<()> {
    let dist = root().join("dist");
    let mut steps = Steps::default();
    let compiler = steps.run("set-up", || setup(&[Extra::Browser]))?;
    lints(&mut steps, &compiler)?;
    steps.run("documentation", || {
        let mut command = cargo(&["doc", "--release", "--workspace", "--no-deps", "--lib"]);
        process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.run("unit tests", || {
        cargo_test(&["--lib", "--bins"], arguments, &dist)
    })?;
    steps.run("unit tests of the page", || {
        let mut command = cargo(&["test", "--release", "--lib", "--no-default-features"]);
        command.args(["--features", "ui", "--"]).args(arguments);
        process::run(&mut command)
    })?;
    // What the browser tests open. It is no earlier step, because it takes longest.
    steps.run("page", || page::build(&compiler, &dist))?;
    steps.run("size of the page", || budget::check(&dist))?;
    // They print measurements: times, and how far the page is from the command line.
    let arguments: Vec<_> = ["--show-output".to_owned()]
        .into_iter()
        .chain(arguments.iter().cloned())
        .collect();
    steps.run("integration and browser tests", || {
        cargo_test(&["--test", "*"], &arguments, &dist)
    })?;
    steps.print();
    Ok(())
}

fn lints(steps: &mut Steps, compiler: &WasmCompiler) -> Result<()> {
    steps.run("formatting", || {
        process::run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    steps.run("lints, native", || {
        process::run(&mut cargo(&[
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    for (program, features) in WASM_PARTS {
        steps.run(&format!("lints, wasm, {program}"), || {
            wasm_lints(compiler, program, features)
        })?;
    }
    Ok(())
}

fn wasm_lints(compiler: &WasmCompiler, program: &str, features: &str) -> Result<()> {
    let action = if compiler.has_clippy() {
        "clippy"
    } else {
        println!("(clippy cannot read the libraries of Debian's compiler: compiling without lints)");
        "check"
    };
    // The profile of the page: its procedural macros are built once for both.
    let mut command = cargo(&[action, "--profile", "web", "--target", "wasm32-unknown-unknown"]);
    command.args([
        "--no-default-features",
        "--features",
        features,
        "--lib",
        "--bin",
        program,
    ]);
    if compiler.has_clippy() {
        command
            .args(["--", "-D", "warnings"])
            .env("CLIPPY_CONF_DIR", root().join("clippy-wasm"));
    }
    process::run(compiler.apply(&mut command))
}

fn cargo_test(targets: &[&str], arguments: &[String], dist: &Path) -> Result<()> {
    let mut command = cargo(&["test", "--release", "--workspace"]);
    command
        .args(targets)
        .arg("--")
        .args(arguments)
        .env("DESTSEG_DIST", dist);
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
    process::run(&mut command)
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
    fn durations_read_well() {
        assert_eq!(in_words(Duration::from_millis(1540)), "1.5 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 05 s");
    }
}
