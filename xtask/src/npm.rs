//! The npm package: the JavaScript of `npm/`, the engine as WebAssembly, the teacher and the licences.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{self, find, root};
use crate::setup::WasmCompiler;
use crate::{budget, page, supply};

/// Where its sources lie, and where the built package does in a site.
const SOURCES: &str = "npm";
pub(crate) const IN_SITE: &str = "inspector";
/// Its module, by which a folder is known to be an earlier package.
const MODULE: &str = "wasm/destseg_bg.wasm";
/// What it shares with the project.
const SHARED: [&str; 4] = [
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "models/LICENSE-efficientnet-lite0",
    "models/efficientnet-lite0.safetensors",
];

/// Builds the package as it is published, in the place of what was there.
///
/// # Errors
/// If the build fails, or the package has outgrown its budget.
pub fn publish(compiler: &WasmCompiler, out: &Path) -> Result<()> {
    let out = std::path::absolute(out).with_context(|| format!("cannot use {}", out.display()))?;
    page::refuse_foreign(&out, MODULE)?;
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot clear {}", out.display()))?;
    }
    assemble(compiler, &out)?;
    page::optimise(&out)?;
    supply::notices(&out.join(page::NOTICES))?;
    budget::check_package(&out)?;
    println!("The package is in {}: `npm publish` publishes it.", out.display());
    Ok(())
}

/// Puts the package together in a folder, with its module as compiled.
///
/// # Errors
/// If the build fails.
pub fn assemble(compiler: &WasmCompiler, out: &Path) -> Result<()> {
    let copy = |from: &Path| {
        let to = out.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let shared = SHARED.map(|file| root().join(file));
    for file in page::files(&root().join(SOURCES))?.iter().chain(&shared) {
        copy(file)?;
    }
    let bindgen = find("wasm-bindgen").context("wasm-bindgen is missing: run `cargo xtask setup`")?;
    let mut command = process::command(bindgen);
    command
        .args([
            "--target",
            "web",
            "--no-typescript",
            "--out-name",
            "destseg",
            "--out-dir",
        ])
        .arg(out.join("wasm"))
        .arg(compile(compiler)?);
    process::run(&mut command)
}

/// Compiles the engine; where its module lies.
fn compile(compiler: &WasmCompiler) -> Result<PathBuf> {
    let mut command = process::command("cargo");
    command.args([
        "build",
        "--package",
        "destseg-inspector",
        "--lib",
        "--profile",
        "web",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    process::run(compiler.apply(&mut command))?;
    Ok(target()?.join("wasm32-unknown-unknown/web/destseg_inspector.wasm"))
}

/// Cargo's build folder.
fn target() -> Result<PathBuf> {
    let mut command = process::command("cargo");
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: serde_json::Value = serde_json::from_str(&process::output(&mut command)?)?;
    let folder = metadata["target_directory"].as_str();
    Ok(folder.context("cargo does not say where it builds")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(root().join(path)).expect("reads")
    }

    #[test]
    fn the_package_has_the_version_of_the_project() {
        let package: serde_json::Value = serde_json::from_str(&read("npm/package.json")).expect("is JSON");
        let version = package["version"].as_str().expect("has one");
        assert!(
            read("Cargo.toml").contains(&format!("version = \"{version}\"\nedition")),
            "{version}"
        );
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        let sources = page::files(&root().join(SOURCES)).expect("lists");
        let name = |path: &PathBuf| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let built = [
            "wasm/destseg.js",
            "wasm/destseg_bg.wasm",
            "efficientnet-lite0.safetensors",
        ];
        let there: Vec<String> = sources.iter().map(name).chain(built.map(str::to_owned)).collect();
        let code = sources.iter().filter(|path| {
            let name = name(path);
            name.ends_with(".js") || name == "package.json"
        });
        for path in code {
            let text = fs::read_to_string(path).expect("reads");
            let named = text.split("\"./").skip(1).filter_map(|rest| rest.split_once('"'));
            // names of exports have no ending
            for (name, _) in named.filter(|(name, _)| name.contains('.')) {
                assert!(
                    there.contains(&name.to_owned()),
                    "{} names {name}",
                    path.display()
                );
            }
        }
    }
}
