//! Rust's standard library for the target `wasm32-unknown-unknown`, and a compiler that fits it.
//!
//! Usually `rustup target add wasm32-unknown-unknown` is all there is to it, and that is tried first. Some
//! machines cannot reach Rust's release server, though: behind company proxies, and in sandboxes that allow only
//! the packages of their Linux distribution. Debian packages a Rust compiler for building its web browsers
//! (`rustc-web`) and the sources of Rust's standard library (`rust-web-src`). Where rustup fails on Debian, both
//! are installed, and that compiler builds the library from these sources, in about a minute.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{apt, doing, found, missing};
use crate::process::{self, TempDir, find};

const TARGET: &str = "wasm32-unknown-unknown";
const WHAT: &str = "Rust's standard library for wasm";

/// Seconds for each try to reach the release server: some networks swallow the first one.
const RUSTUP_LIMITS: [u64; 2] = [60, 120];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_STD: &str = "/usr/lib/rustlib/wasm32-unknown-unknown/lib";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// The compiler to build the page with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmCompiler {
    /// The one that builds everything else, too.
    Ordinary,
    /// Debian's.
    Debian {
        /// The folder of the ordinary toolchain that has `rust-lld`, which Debian's lacks.
        linker: PathBuf,
    },
}

impl WasmCompiler {
    /// Makes a command (cargo, or one that starts cargo) compile with this compiler.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Self::Debian { linker } = self {
            command.env("RUSTC", DEBIAN_RUSTC);
            process::add_to_path(command, linker);
        }
        command
    }

    /// Whether clippy can run on wasm code: it reads only its own toolchain's libraries.
    pub fn has_clippy(&self) -> bool {
        *self == Self::Ordinary
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ordinary => "the toolchain's own",
            Self::Debian { .. } => "Debian's compiler",
        }
    }

    /// Whether a program compiles and links: the only question that matters.
    fn works(&self) -> bool {
        let Ok(folder) = TempDir::new(&std::env::temp_dir(), "destseg-probe") else {
            return false;
        };
        let source = folder.path().join("probe.rs");
        if fs::write(&source, "fn main() {}").is_err() {
            return false;
        }
        let mut command = match self {
            Self::Ordinary => process::command("rustc"),
            Self::Debian { .. } => process::command(DEBIAN_RUSTC),
        };
        self.apply(&mut command);
        command
            .args(["--target", TARGET, "-o"])
            .arg(folder.path().join("probe.wasm"))
            .arg(source);
        process::output(&mut command).is_ok()
    }
}

/// Finds or makes a compiler for wasm.
///
/// # Errors
/// If there is no way.
pub(super) fn ensure() -> Result<WasmCompiler> {
    let debian = WasmCompiler::Debian {
        linker: linker_folder().unwrap_or_default(),
    };
    if let Some(compiler) = [WasmCompiler::Ordinary, debian.clone()]
        .into_iter()
        .find(WasmCompiler::works)
    {
        found(WHAT, compiler.name());
        return Ok(compiler);
    }
    missing(WHAT, "the page and its engine are compiled to wasm");
    if add_by_rustup() && WasmCompiler::Ordinary.works() {
        found(WHAT, WasmCompiler::Ordinary.name());
        return Ok(WasmCompiler::Ordinary);
    }
    if !apt::is_debian() {
        bail!(
            "there is no standard library for wasm and rustup could not install it: check the network, \
             run `rustup target add {TARGET}`, then run this again"
        );
    }
    doing("no Rust release server answers: using Debian's compiler, with a library built from its source");
    apt::install(&DEBIAN_PACKAGES)?;
    build_for_debian()?;
    if !debian.works() {
        bail!(
            "Debian's compiler still cannot compile for {TARGET}; `rustup target add {TARGET}` is the other way"
        );
    }
    found(WHAT, debian.name());
    Ok(debian)
}

fn add_by_rustup() -> bool {
    if find("rustup").is_none() {
        doing("rustup is not there to install it");
        return false;
    }
    RUSTUP_LIMITS.into_iter().any(|limit| {
        doing(&format!("rustup target add {TARGET} (at most {limit} s)"));
        let mut command = process::command("rustup");
        command.args(["target", "add", TARGET]);
        process::run_within(Duration::from_secs(limit), &mut command)
            .inspect_err(|error| doing(&format!("{error:#}")))
            .is_ok()
    })
}

/// The folder of the running toolchain that has `rust-lld`.
fn linker_folder() -> Option<PathBuf> {
    let sysroot = process::output(process::command("rustc").args(["--print", "sysroot"])).ok()?;
    let targets = fs::read_dir(Path::new(sysroot.trim()).join("lib/rustlib")).ok()?;
    targets
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("bin"))
        .find(|bin| bin.join("rust-lld").is_file())
}

/// Builds the standard library from Debian's source package and puts it where its compiler looks.
fn build_for_debian() -> Result<()> {
    let folder = TempDir::new(&std::env::temp_dir(), "destseg-std")?;
    let libraries = build_std(folder.path())?;
    let by_hand = format!("mkdir -p {DEBIAN_STD}");
    doing(&format!("copying {} libraries to {DEBIAN_STD}", libraries.len()));
    // Those of an earlier version of the compiler would be taken for doubles.
    process::run(apt::privileged("rm", &by_hand)?.args(["-rf", DEBIAN_STD]))?;
    process::run(apt::privileged("mkdir", &by_hand)?.args(["-p", DEBIAN_STD]))?;
    process::run(apt::privileged("cp", &by_hand)?.args(&libraries).arg(DEBIAN_STD))
}

/// Builds the standard library in `folder`, as the dependency of an empty crate; its files.
fn build_std(folder: &Path) -> Result<Vec<PathBuf>> {
    const CRATE: &str = "empty";
    let manifest =
        format!("[package]\nname = \"{CRATE}\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n");
    fs::write(folder.join("Cargo.toml"), manifest).context("cannot write a temporary crate")?;
    fs::write(folder.join("lib.rs"), "").context("cannot write a temporary crate")?;
    let mut command = process::command("cargo");
    command
        .args([
            "build",
            "--release",
            "-Zbuild-std=std,panic_abort",
            "--target",
            TARGET,
        ])
        .current_dir(folder)
        // Nightly options of a stable compiler are for building the standard library only.
        .envs([("RUSTC", DEBIAN_RUSTC), ("RUSTC_BOOTSTRAP", "1")])
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .stdin(Stdio::null());
    doing("building the standard library from Debian's source (about a minute)");
    process::run(&mut command)?;
    let built = folder.join("target").join(TARGET).join("release/deps");
    let libraries: Vec<_> = fs::read_dir(&built)
        .with_context(|| format!("cannot read {}", built.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            name.ends_with(".rlib") && !name.starts_with(&format!("lib{CRATE}-"))
        })
        .collect();
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_other_compiler_changes_the_environment() {
        let mut command = Command::new("cargo");
        WasmCompiler::Ordinary.apply(&mut command);
        assert_eq!(command.get_envs().count(), 0);
        WasmCompiler::Debian {
            linker: "/opt/lld".into(),
        }
        .apply(&mut command);
        let path = command
            .get_envs()
            .find_map(|(name, value)| (name == "PATH").then_some(value))
            .flatten();
        assert!(path.expect("is set").to_string_lossy().ends_with("/opt/lld"));
        assert!(
            command
                .get_envs()
                .any(|(name, value)| name == "RUSTC" && value == Some(DEBIAN_RUSTC.as_ref()))
        );
    }
}
