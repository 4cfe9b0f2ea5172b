//! The programs around the compiler.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::{apt, doing, found, missing};
use crate::process::{self, find, root, version};

/// The last Trunk that Rust 1.95 builds.
const TRUNK: &str = "0.21.14";

/// The oldest binaryen that reads all that today's compiler writes; Debian's 108 does not know
/// `table.fill`.
const WASM_OPT_AT_LEAST: u32 = 116;
/// The binaryen of the npm registry that the site was measured with.
const NPM_BINARYEN: &str = "binaryen@132.0.0";
/// The oldest Node that the npm package is for.
const NODE: u32 = 20;
/// What the package is tested with.
const NPM_TOOLS: [(&str, &str); 2] = [("vite", "7.3.8"), ("typescript", "5.9.3")];

/// `wasm-bindgen` in exactly the version that the page is linked with.
pub(super) fn ensure_wasm_bindgen() -> Result<()> {
    let lock = root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let wanted = locked_version(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")?;
    let there = version("wasm-bindgen");
    if there.as_deref() != Some(wanted) {
        let why = there.map_or_else(
            || format!("it writes the page's JavaScript side; version {wanted} as in Cargo.lock"),
            |there| format!("version {there} is there, but Cargo.lock has {wanted} and they must agree"),
        );
        missing("wasm-bindgen", &why);
        // it rewrites megabytes of code at every build
        cargo_install("wasm-bindgen-cli", wanted, "1")?;
    }
    found("wasm-bindgen", wanted);
    Ok(())
}

/// Trunk, any version from [`TRUNK`] on.
pub(super) fn ensure_trunk() -> Result<()> {
    if version("trunk").is_none_or(|there| numbers(&there) < numbers(TRUNK)) {
        missing("Trunk", "it puts the page together");
        // it copies files and starts others
        cargo_install("trunk", TRUNK, "0")?;
    }
    found(
        "Trunk",
        &version("trunk").context("Trunk was installed but does not run")?,
    );
    Ok(())
}

/// `wasm-opt`, from npm where that is there (newer), else from Debian (too old for some modules).
pub(super) fn ensure_wasm_opt() -> Result<()> {
    const WHAT: &str = "wasm-opt";
    let is_new = |there: &String| numbers(there).first() >= Some(&WASM_OPT_AT_LEAST);
    if version(WHAT).filter(is_new).is_none() {
        missing(WHAT, "it makes the published modules smaller and faster");
        if find("npm").is_some() {
            npm_install(&[NPM_BINARYEN.to_owned()])?;
        } else if version(WHAT).is_none() && find("apt-get").is_some() {
            apt::install(&["binaryen"])?;
        }
    }
    let Some(version) = version(WHAT) else {
        bail!("wasm-opt is missing: install binaryen {WASM_OPT_AT_LEAST} or newer, then run this again");
    };
    found(WHAT, &version);
    if !is_new(&version) {
        println!(
            "          (older than {WASM_OPT_AT_LEAST}: modules that it cannot read stay as compiled; \
             with npm there, a newer one is taken)"
        );
    }
    Ok(())
}

/// Node and npm, and the packages that the tests of the npm package use.
pub(super) fn ensure_node() -> Result<()> {
    const WHAT: &str = "Node";
    // it says `v20.0.0`
    let node = || process::output(process::command("node").arg("--version")).ok();
    if node().is_none() || find("npm").is_none() {
        missing(WHAT, "the npm package is tested in it");
        if apt::is_debian() {
            apt::install(&["nodejs", "npm"])?;
        }
    }
    let version = node().unwrap_or_default();
    let version = version.trim().trim_start_matches('v');
    if numbers(version).first() < Some(&NODE) || find("npm").is_none() {
        bail!(
            "the tests of the npm package need Node {NODE} or newer with npm: install it, then run this again"
        );
    }
    found(WHAT, version);
    let folder = process::cache().join("node_modules");
    let is_there = |(name, wanted): &(&str, &str)| {
        let package = fs::read_to_string(folder.join(name).join("package.json")).unwrap_or_default();
        package.contains(&format!("\"version\": \"{wanted}\""))
    };
    if !NPM_TOOLS.iter().all(is_there) {
        missing("a bundler and TypeScript", "the npm package is tested with them");
        npm_install(&NPM_TOOLS.map(|(name, version)| format!("{name}@{version}")))?;
    }
    Ok(())
}

/// Installs packages of npm where [`find`] finds their programs.
fn npm_install(packages: &[String]) -> Result<()> {
    let folder = process::cache();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    doing(&format!(
        "npm install {} in {}",
        packages.join(" "),
        folder.display()
    ));
    let mut command = process::command("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--prefix"])
        .arg(&folder)
        .args(packages);
    process::run(&mut command)
}

/// Builds a tool from its published source, less optimised than usual: a first build waits for the tool.
fn cargo_install(package: &str, version: &str, opt_level: &str) -> Result<()> {
    let install = |locked: &[&str]| {
        doing(&format!(
            "cargo install {package} --version {version} {} (some minutes)",
            locked.join(" ")
        ));
        let mut command = process::command("cargo");
        command
            .args(["install", package, "--version", version])
            .args(locked)
            // A tool of another toolchain's cargo is in the way, not in use.
            .arg("--force")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", opt_level)
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        process::run(&mut command)
    };
    // Its lock file may name versions that a registry mirror does not have.
    install(&["--locked"]).or_else(|error| {
        doing(&format!(
            "{error:#}; trying with other versions of its dependencies"
        ));
        install(&[])
    })
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

/// A version's numbers, to compare.
fn numbers(version: &str) -> Vec<u32> {
    version
        .split(['.', '-'])
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "trunk"), None);
        assert!(numbers("0.22.0-beta.1") > numbers(TRUNK));
        assert!(numbers("0.21.9") < numbers(TRUNK));
    }

    #[test]
    fn the_project_locks_wasm_bindgen() {
        let lock = fs::read_to_string(root().join("Cargo.lock")).expect("is there");
        assert!(locked_version(&lock, "wasm-bindgen").is_some_and(|version| numbers(version).len() == 3));
    }
}
