//! What the programs are made of: licences of all packages, notices to ship with them, a bill of materials, and known
//! vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::{self, root};

/// Licences that say so in a file alone, after a look at it.
const CLARIFIED: [(&str, &str); 1] = [("cfg_block", "Apache-2.0")];
/// Where the page runs; the programs run on the machine that builds them.
const PAGE_TARGET: &str = "wasm32-unknown-unknown";
/// Beginnings of the names of files with licences and notices.
const LEGAL: [&str; 5] = ["license", "licence", "copying", "notice", "copyright"];
/// Longest of them in bytes.
const LONGEST: u64 = 2_000_000;

/// A package that goes into a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    name: String,
    version: String,
    license: String,
    /// Their names, as the manifest has them.
    authors: String,
    /// The registry's packages have one; the project's own have none.
    checksum: Option<String>,
    folder: PathBuf,
}

/// Checks that every package has a licence which `deny.toml` allows, and comes from the registry.
///
/// # Errors
/// Naming all that do not.
pub fn licences() -> Result<()> {
    let allowed = allowed()?;
    let packages = packages()?;
    let bad: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(&package.license, &allowed))
        .map(|package| format!("{} {} ({})", package.name, package.version, package.license))
        .collect();
    ensure!(
        bad.is_empty(),
        "deny.toml does not allow the licence of {}: choose another package, or allow the licence and say why",
        bad.join(", ")
    );
    println!("the licences of {} packages are allowed", packages.len());
    Ok(())
}

/// Writes the notices of all packages and weights into a file, to lie beside the programs and the page.
///
/// # Errors
/// If a package has no licence, or the file cannot be written.
pub fn notices(out: &Path) -> Result<()> {
    let mut text = String::from(
        "destseg is made with the packages below. Each line names a package, its version and its licence; the texts follow.\n\
         The teacher's weights (EfficientNet-Lite0) are under the Apache License 2.0; their notice comes last.\n\n\
         The photos in models/photos are a part of the category Macaroni1 of the data set VisA (Yang Zou, Jongheon Jeong, Latha \
         Pemula, Dongqing Zhang, Onkar Dabeer: SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and \
         Segmentation, ECCV 2022), under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). They were selected and made \
         smaller.\n\n",
    );
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut without_text = Vec::new();
    for package in packages()?.iter().filter(|package| package.checksum.is_some()) {
        let name = format!("{} {}", package.name, package.version);
        writeln!(text, "{name}: {}", package.license)?;
        let own = legal_texts(&package.folder)?;
        if own.is_empty() {
            // its manifest names the licence, and nothing else does
            without_text.push(format!("{name} ({})", package.authors));
        }
        for own in own {
            texts.entry(own).or_default().insert(name.clone());
        }
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let own = fs::read_to_string(root().join(file)).with_context(|| format!("cannot read {file}"))?;
        let names = texts.entry(own.trim().to_owned()).or_default();
        names.insert("destseg".into());
        names.extend(without_text.iter().cloned());
    }
    for (own, names) in texts {
        let names: Vec<String> = names.into_iter().collect();
        write!(text, "\n{}\n{}\n\n{own}\n", "-".repeat(80), names.join(", "))?;
    }
    let weights = root().join("models/LICENSE-efficientnet-lite0");
    let weights =
        fs::read_to_string(&weights).with_context(|| format!("cannot read {}", weights.display()))?;
    write!(
        text,
        "\n{}\nefficientnet-lite0.safetensors\n\n{weights}",
        "-".repeat(80)
    )?;
    fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    println!("wrote {}", out.display());
    Ok(())
}

/// Writes a bill of materials in the format of `CycloneDX`.
///
/// # Errors
/// If the file cannot be written.
pub fn bill_of_materials(out: &Path) -> Result<()> {
    let component = |package: &Package| {
        let Package { name, version, .. } = package;
        let mut own = json!({
            "type": "library",
            "bom-ref": format!("pkg:cargo/{name}@{version}"),
            "purl": format!("pkg:cargo/{name}@{version}"),
            "name": name,
            "version": version,
            "licenses": [{"expression": spdx(&package.license)}],
        });
        if let Some(checksum) = &package.checksum {
            own["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        own
    };
    let packages = packages()?;
    let mut components: Vec<Value> = packages.iter().map(component).collect();
    components.extend(weights()?);
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "destseg", "version": version()?}},
        "components": components,
    });
    let text = serde_json::to_string_pretty(&bill)? + "\n";
    fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    println!("wrote {} with {} components", out.display(), components_of(&bill));
    Ok(())
}

fn components_of(bill: &Value) -> usize {
    bill["components"].as_array().map_or(0, Vec::len)
}

/// The shipped weights, with their checksums as the page's list has them.
fn weights() -> Result<Vec<Value>> {
    let path = root().join("models/manifest.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Value = serde_json::from_str(&text)?;
    let all = ["teachers", "models"]
        .into_iter()
        .filter_map(|key| manifest[key].as_array());
    let component = |file: &Value| {
        json!({
            "type": "machine-learning-model",
            "name": file["file"],
            "hashes": [{"alg": "SHA-256", "content": file["sha256"]}],
        })
    };
    Ok(all.flatten().map(component).collect())
}

/// Asks `cargo deny` for known vulnerabilities of the packages. It is installed if it is missing.
///
/// # Errors
/// If there are any, or the list of them cannot be fetched.
pub fn advisories() -> Result<()> {
    if process::find("cargo-deny").is_none() {
        let mut install = Command::new("cargo");
        process::run(install.args(["install", "--locked", "cargo-deny"]))
            .context("cargo-deny cannot be installed: is this machine offline?")?;
    }
    let mut check = Command::new("cargo");
    check.args(["deny", "check", "advisories", "bans", "licenses", "sources"]);
    process::run(check.current_dir(root()))
        .context("there are advisories, or their list could not be fetched: see above; it needs a network")
}

fn version() -> Result<String> {
    let own = packages()?.into_iter().find(|package| package.name == "destseg");
    Ok(own.context("the package destseg is missing")?.version)
}

/// All packages that go into the programs or the page, the project's own ones included, sorted.
fn packages() -> Result<Vec<Package>> {
    let mut all = BTreeSet::new();
    for target in [host()?, PAGE_TARGET.to_owned()] {
        all.extend(packages_for(&target)?);
    }
    Ok(all.into_iter().collect())
}

fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say where it runs")?.to_owned())
}

fn packages_for(target: &str) -> Result<Vec<Package>> {
    let mut command = Command::new("cargo");
    command
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--features",
            "destseg/ui,destseg/worker,destseg/s3",
        ])
        .args(["--filter-platform", target])
        .current_dir(root());
    let output = command.output().context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let checksums = checksums()?;
    let used = reachable(&metadata);
    let list = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?;
    list.iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
        .map(|package| read_package(package, &checksums))
        .collect()
}

/// Packages that the programs need when they run or are built, by their identifiers.
fn reachable(metadata: &Value) -> BTreeSet<&str> {
    const PROGRAMS: [&str; 3] = ["destseg", "destseg-converter", "destseg-inspector"];
    let each = |value: &'static str| metadata[value].as_array().into_iter().flatten();
    let is_program = |package: &&Value| PROGRAMS.iter().any(|name| package["name"] == *name);
    let mut open: Vec<&str> = each("packages")
        .filter(is_program)
        .filter_map(|package| package["id"].as_str())
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array());
        for dependency in dependencies.into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            if kinds.into_iter().any(|kind| kind["kind"] != "dev") {
                open.extend(dependency["pkg"].as_str());
            }
        }
    }
    found
}

fn read_package(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Result<Package> {
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    let name = text("name").context("a package has no name")?;
    let version = text("version").context("a package has no version")?;
    let clarified = CLARIFIED.iter().find(|(own, _)| *own == name);
    let license = text("license").or_else(|| clarified.map(|(_, license)| (*license).to_owned()));
    let manifest = PathBuf::from(text("manifest_path").context("a package has no manifest")?);
    let checksum = checksums.get(&(name.clone(), version.clone())).cloned();
    ensure!(
        checksum.is_some() || package["source"].is_null(),
        "{name} {version} comes from elsewhere than the registry: depend on a published version"
    );
    Ok(Package {
        license: license.with_context(|| format!("{name} {version} names no licence"))?,
        authors: package["authors"]
            .as_array()
            .map(|all| {
                all.iter()
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            })
            .unwrap_or_default(),
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        checksum,
        name,
        version,
    })
}

/// Checksums of the registry's packages, from `Cargo.lock`.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let mut all = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches(" = ").trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(checksum)) =
            (value("name"), value("version"), value("checksum"))
        {
            all.insert((name, version), checksum);
        }
    }
    Ok(all)
}

/// Licences that `deny.toml` allows.
fn allowed() -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let list = text
        .split_once("allow = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.context("deny.toml has no list of licences")?;
    let names = list
        .split(',')
        .map(|name| name.trim().trim_matches('"').to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// The expression as SPDX has it: older packages write a slash for a choice.
fn spdx(license: &str) -> String {
    license.replace(" / ", " OR ").replace('/', " OR ")
}

/// Whether one way to read an expression needs allowed licences alone.
fn is_allowed(license: &str, allowed: &[String]) -> bool {
    let text = spdx(license)
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace(" WITH ", "\u{0}");
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.replace('\u{0}', " WITH "))
        .collect();
    let mut words = words.into_iter().peekable();
    let answer = either(&mut words, allowed);
    answer && words.peek().is_none()
}

/// Words of an expression.
type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

/// Licences between `OR`.
fn either(words: &mut Words, allowed: &[String]) -> bool {
    let mut any = all(words, allowed);
    while words.next_if(|word| word == "OR").is_some() {
        any |= all(words, allowed);
    }
    any
}

/// Licences between `AND`.
fn all(words: &mut Words, allowed: &[String]) -> bool {
    let mut every = one(words, allowed);
    while words.next_if(|word| word == "AND").is_some() {
        every &= one(words, allowed);
    }
    every
}

/// One licence, or an expression in brackets.
fn one(words: &mut Words, allowed: &[String]) -> bool {
    match words.next() {
        Some(word) if word == "(" => {
            let inner = either(words, allowed);
            words.next_if(|word| word == ")").is_some() && inner
        }
        Some(word) => allowed.contains(&word),
        None => false,
    }
}

/// Licences and notices in a package's folder, by their names.
fn legal_texts(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_short = entry
            .metadata()
            .is_ok_and(|own| own.is_file() && own.len() <= LONGEST);
        if is_short && LEGAL.iter().any(|start| name.starts_with(start)) {
            files.push(entry.path());
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines: Vec<String> = String::from_utf8_lossy(&text)
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        Ok(lines.join("\n").trim().to_owned())
    };
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_has_them() {
        let allowed: Vec<String> = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]
            .map(str::to_owned)
            .to_vec();
        for (license, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(GPL-3.0 OR MIT) AND Unicode-3.0", true),
            ("Unicode-3.0 AND (GPL-3.0 OR MIT)", true),
            ("GPL-3.0 OR MIT AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(license, &allowed), expected, "{license}");
        }
    }

    #[test]
    fn the_lock_file_has_the_checksums_of_the_registrys_packages() {
        let all = checksums().expect("reads");
        let anyhow = all
            .iter()
            .find(|((name, _), _)| name == "anyhow")
            .expect("is used");
        assert_eq!(anyhow.1.len(), 64);
        assert!(!all.keys().any(|(name, _)| name == "destseg"));
    }
}
