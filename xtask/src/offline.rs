//! The list of the files that the service worker (`www/sw.js`) keeps for visits without a network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::page::files;
use crate::process::root;

const WORKER: &str = "sw.js";
/// What stands for the list in the worker's source.
const EMPTY: &str = "const FILES = {};";
/// What is not listed: the worker itself, what asks the host on purpose, and texts about the models.
const LEFT_OUT: [&str; 5] = [
    WORKER,
    "host-check.html",
    "host-check.js",
    ".md",
    "LICENSE-efficientnet-lite0",
];
/// The frame and its package are pages of their own.
const FRAME: [&str; 2] = ["embed.", "inspector/"];
/// Models are kept by the engine.
const MODEL: &str = "safetensors";

/// Writes the service worker of a built page, with its list: name and SHA-256 of each file. Any change of a file changes
/// the worker, by which browsers know of a new version.
///
/// # Errors
/// If a file cannot be read or written.
pub fn write(site: &Path) -> Result<()> {
    let source = root().join("www").join(WORKER);
    let source = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    ensure!(source.contains(EMPTY), "www/{WORKER} has no line `{EMPTY}`");
    let list = format!("const FILES = {};", serde_json::to_string_pretty(&list(site)?)?);
    let out = site.join(WORKER);
    fs::write(&out, source.replace(EMPTY, &list)).with_context(|| format!("cannot write {}", out.display()))
}

/// Hashes by name; the page's document is the folder itself.
fn list(site: &Path) -> Result<BTreeMap<String, String>> {
    let mut list = BTreeMap::new();
    for path in files(site)? {
        let name = path.strip_prefix(site)?.to_string_lossy().replace('\\', "/");
        let is_model = path.extension().is_some_and(|ending| ending == MODEL);
        let is_of_frame = FRAME.iter().any(|start| name.starts_with(start));
        if is_model || is_of_frame || LEFT_OUT.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let hash = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        list.insert(if name == "index.html" { String::new() } else { name }, hash);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::TempDir;

    #[test]
    fn a_changed_file_changes_the_worker() {
        let site = TempDir::new(&std::env::temp_dir(), "destseg-offline").expect("creates");
        let put = |name: &str, text: &str| {
            let path = site.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            fs::write(path, text).expect("writes");
        };
        let worker = || {
            write(site.path()).expect("writes");
            fs::read_to_string(site.path().join(WORKER)).expect("reads")
        };
        put("index.html", "<p>");
        put("models/manifest.json", "{}");
        put("models/a.safetensors", "weights");
        put("models/README.md", "words");
        put("host-check.html", "<p>");
        put("embed.html", "<p>");
        put("inspector/index.js", "export {}");
        let first = worker();
        let names: Vec<String> = list(site.path()).expect("lists").into_keys().collect();
        assert_eq!(names, ["", "models/manifest.json"]);
        // SHA-256 of `{}`
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert!(
            first.contains(&format!("\"models/manifest.json\": \"{hash}\"")),
            "{first}"
        );
        assert_eq!(worker(), first, "it does not list itself");
        put("index.html", "<p>new");
        assert_ne!(worker(), first);
    }
}
