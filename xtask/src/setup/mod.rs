//! Installs what the build and the tests need and the machine does not have, and says so.
//!
//! Everything is looked for first: a second run only looks.

mod apt;
mod tools;
mod wasm_std;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::root;
use crate::{browser, process};
pub use wasm_std::WasmCompiler;

/// What to look for besides the compiler and the tools that build the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Chromium and `ChromeDriver`, for the browser tests.
    Browser,
    /// Node with what the tests of the npm package use: a bundler and TypeScript.
    Node,
    /// Binaryen's `wasm-opt`, for the published site.
    WasmOpt,
    /// Slurm and a server like S3, for the tests of several machines.
    Cluster,
    /// onnxruntime, for the tests of exported graphs.
    Onnx,
}

/// Makes sure that everything is there. Gives the way to compile for wasm on this machine.
///
/// # Errors
/// If something is missing and cannot be installed; the message says what to do.
pub fn setup(extras: &[Extra]) -> Result<WasmCompiler> {
    println!("Set-up: looking for what is needed; what is missing is installed once.");
    let compiler = wasm_std::ensure()?;
    tools::ensure_wasm_bindgen()?;
    tools::ensure_trunk()?;
    if extras.contains(&Extra::WasmOpt) {
        tools::ensure_wasm_opt()?;
    }
    if extras.contains(&Extra::Node) {
        tools::ensure_node()?;
    }
    if extras.contains(&Extra::Browser) {
        ensure_browser()?;
    }
    if extras.contains(&Extra::Cluster) {
        ensure_cluster()?;
    }
    if extras.contains(&Extra::Onnx) {
        ensure_onnxruntime()?;
    }
    Ok(compiler)
}

/// One line about something that is there.
fn found(what: &str, which: &str) {
    println!("  found   {what}: {which}");
}

/// One line about something that is going to be installed.
fn missing(what: &str, why: &str) {
    println!("  MISSING {what} ({why})");
}

/// One line about what is done now.
fn doing(what: &str) {
    println!("          {what}");
}

/// Makes sure that Chromium and its driver are there.
///
/// # Errors
/// If they are missing and cannot be installed; the message says what to do.
pub fn ensure_browser() -> Result<()> {
    const WHAT: &str = "Chromium and ChromeDriver";
    if browser::find().is_err() {
        missing(WHAT, "the browser tests drive the real page");
        if env::consts::OS == "linux" && apt::is_debian() {
            apt::install(&["chromium", "chromium-driver"])?;
        }
    }
    let browser = browser::find()?;
    let version = process::output(process::command(&browser.chrome).arg("--version"))?;
    found(WHAT, version.trim());
    Ok(())
}

/// Makes sure that moto's server, which answers like S3, a checker of manifests, and Slurm's daemons are there.
///
/// # Errors
/// If they are missing and cannot be installed; the message says what to do.
pub fn ensure_cluster() -> Result<()> {
    const MOTO: &str = "moto's server and kubernetes-validate";
    let folder = root().join("target/cluster");
    let server = folder.join("bin/moto_server");
    if !server.is_file() || !folder.join("bin/kubernetes-validate").is_file() {
        missing(MOTO, "tests store results in it as in S3, and check manifests");
        python_with(&["moto[server]", "kubernetes-validate"], &folder)?;
    }
    found(MOTO, &server.display().to_string());

    const SLURM: &str = "Slurm";
    let daemon = || {
        process::find("slurmctld")
            .or_else(|| Some("/usr/sbin/slurmctld".into()).filter(|path: &PathBuf| path.is_file()))
    };
    if daemon().is_none() {
        missing(SLURM, "a test submits a job array to it");
        if env::consts::OS == "linux" && apt::is_debian() {
            apt::install(&["slurm-wlm", "munge"])?;
        }
    }
    let daemon = daemon().context("install Slurm (slurmctld, slurmd) and munge, then run this again")?;
    found(SLURM, &daemon.display().to_string());
    Ok(())
}

/// Makes sure that a Python of the project has onnxruntime, and what gives it images.
///
/// # Errors
/// If it is missing and cannot be installed.
pub fn ensure_onnxruntime() -> Result<()> {
    const WHAT: &str = "onnxruntime, numpy and pillow";
    let folder = root().join("target/onnx");
    let python = folder.join("bin/python");
    let import = ["-c", "import numpy, onnxruntime, PIL"];
    if process::output(process::command(&python).args(import)).is_err() {
        missing(WHAT, "tests run exported graphs");
        python_with(&["onnxruntime", "numpy", "pillow"], &folder)?;
    }
    found(WHAT, &python.display().to_string());
    Ok(())
}

/// Makes a Python with packages of its own in a folder.
fn python_with(packages: &[&str], folder: &Path) -> Result<()> {
    doing(&format!("python3 -m venv {}", folder.display()));
    process::run(process::command("python3").args(["-m", "venv"]).arg(folder))?;
    doing(&format!("pip install {}", packages.join(" ")));
    process::run(
        process::command(folder.join("bin/pip"))
            .args(["install", "--quiet"])
            .args(packages),
    )
}
