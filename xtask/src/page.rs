//! Building the page, and turning a build into what is published.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, TempDir, compressed_len, find, root};
use crate::setup::WasmCompiler;
use crate::{npm, offline, supply};

/// The file by which a folder is known to be a built page.
const INDEX: &str = "index.html";

/// The licences of what the page is made of.
pub(crate) const NOTICES: &str = "third-party.txt";

/// What every browser with WebGPU can do; `--all-features` would let wasm-opt write what none can.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// What of the page is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Everything.
    All,
    /// The page and its engine for the CPU, which need no Burn.
    WithoutGpu,
}

/// Where the page's own document is, and the one without the GPU engine while that is built. It stands beside the
/// first, because their links are relative.
const SOURCE: &str = "www/index.html";
const SOURCE_WITHOUT_GPU: &str = "www/.without-gpu.html";

/// Builds the page with Trunk into `dist`; profile and features are the page's own affair.
///
/// # Errors
/// If the build fails.
pub fn build(compiler: &WasmCompiler, dist: &Path, parts: Parts) -> Result<()> {
    if parts == Parts::All {
        trunk(compiler, dist, SOURCE)?;
        npm::assemble(compiler, &dist.join(npm::IN_SITE))?;
        supply::notices(&dist.join(NOTICES))?;
        return offline::write(dist);
    }
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let page = without_gpu(&read(&root().join(SOURCE))?)?;
    let source = root().join(SOURCE_WITHOUT_GPU);
    fs::write(&source, page).with_context(|| format!("cannot write {}", source.display()))?;
    let built = trunk(compiler, dist, SOURCE_WITHOUT_GPU);
    fs::remove_file(&source).with_context(|| format!("cannot remove {}", source.display()))?;
    built?;
    offline::write(dist)
}

/// The programs that nobody waits for: they are built after the rest.
const LATER: [&str; 2] = ["worker_converter", "worker_gpu"];

/// The page's document without the links that have Trunk build [`LATER`].
fn without_gpu(page: &str) -> Result<String> {
    LATER.iter().try_fold(page.to_owned(), |page, program| {
        let name = page.find(&format!("data-bin=\"{program}\""));
        let link = name.and_then(|name| {
            let start = page[..name].rfind("<link")?;
            Some(start..name + page[name..].find("/>")? + "/>".len())
        });
        let link = link.with_context(|| format!("{SOURCE} has no link of the program {program}"))?;
        Ok(format!("{}{}", &page[..link.start], &page[link.end..]))
    })
}

fn trunk(compiler: &WasmCompiler, dist: &Path, source: &str) -> Result<()> {
    let trunk = find("trunk").context("Trunk is missing: run `cargo xtask setup`")?;
    let mut command = process::command(trunk);
    command
        .args(["build", source, "--dist"])
        .arg(dist)
        .env("TRUNK_BUILD_HTML_OUTPUT", INDEX)
        // All files are of one origin, and `optimise` changes some: their hashes would be wrong.
        .env("TRUNK_BUILD_NO_SRI", "true")
        .env("TRUNK_SKIP_VERSION_CHECK", "true")
        // Trunk takes the usual "1" for a mistake.
        .env_remove("NO_COLOR");
    process::run(compiler.apply(&mut command))
}

/// Builds the site as it is published and puts it in the place of `out`, all or nothing.
///
/// # Errors
/// If the build fails or `out` holds something else than an earlier site.
pub fn publish(compiler: &WasmCompiler, out: &Path) -> Result<()> {
    let out = std::path::absolute(out).with_context(|| format!("cannot use {}", out.display()))?;
    refuse_foreign(&out, INDEX)?;
    let parent = out
        .parent()
        .context("the top of the file system cannot be a site")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let fresh = TempDir::new(parent, ".site-new")?;
    build(compiler, fresh.path(), Parts::All)?;
    optimise(fresh.path())?;
    // its files are others now
    offline::write(fresh.path())?;
    let replaced = TempDir::new(parent, ".site-old")?;
    let moved = |from: &Path, to: &Path| {
        fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
    };
    if out.exists() {
        moved(&out, &replaced.path().join("site"))?;
    }
    moved(fresh.path(), &out)?;
    print_sizes(&out)?;
    println!(
        "The site is in {}: any static host serves it, under any path.",
        out.display()
    );
    Ok(())
}

/// Refuses to replace a folder that is not an earlier one of its kind, which a file of this name tells.
pub(crate) fn refuse_foreign(out: &Path, mark: &str) -> Result<()> {
    let empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !out.exists(),
    };
    if !empty && !out.join(mark).is_file() {
        bail!(
            "{} holds something else: choose another folder with --out",
            out.display()
        );
    }
    Ok(())
}

/// Makes the wasm modules and stylesheets of a built page or package smaller, and the modules faster.
pub(crate) fn optimise(site: &Path) -> Result<()> {
    for module in files(site)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "wasm"))
    {
        let small = module.with_extension("optimised");
        if let Err(error) = optimise_module(&module, &small) {
            println!("{} stays as compiled: {error:#}", module.display());
            continue;
        }
        fs::rename(&small, &module).with_context(|| format!("cannot replace {}", module.display()))?;
    }
    let is_style = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "css");
    for style in files(site)?.into_iter().filter(is_style) {
        optimise_style(&style, &style)?;
    }
    Ok(())
}

/// Writes a stylesheet as it is published.
///
/// # Errors
/// If it cannot be read or written.
pub(crate) fn optimise_style(style: &Path, out: &Path) -> Result<()> {
    let text = fs::read_to_string(style).with_context(|| format!("cannot read {}", style.display()))?;
    fs::write(out, small_style(&text)).with_context(|| format!("cannot write {}", out.display()))
}

/// A stylesheet without comments and indentation, which browsers do not need.
fn small_style(text: &str) -> String {
    let mut small = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        small += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    small += rest;
    let lines = small.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes a wasm module as it is published: what everybody waits for optimised for size, the rest for speed.
///
/// # Errors
/// If wasm-opt is missing or refuses the module.
pub(crate) fn optimise_module(module: &Path, out: &Path) -> Result<()> {
    let program = find("wasm-opt").context("wasm-opt is missing: run `cargo xtask setup`")?;
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    let levels: &[&str] = match &*name {
        name if name.starts_with("ui") => &["-Oz", "--converge"],
        // its kernels are compiled for speed already, and everybody waits for it
        name if name.starts_with("worker_cpu") || name.starts_with("destseg") => &["-Os"],
        _ => &["-O2"],
    };
    println!("wasm-opt {} {name}", levels.join(" "));
    let mut command = process::command(&program);
    command.args(levels).args(WASM_FEATURES).arg("--strip-debug");
    process::run(command.arg(module).arg("-o").arg(out))
}

/// All files below a folder, sorted.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Prints what a visitor downloads, as it is and as hosts send it.
fn print_sizes(site: &Path) -> Result<()> {
    const COMPRESSORS: [&[&str]; 2] = [&["gzip", "-9", "-c"], &["brotli", "-q", "11", "-c"]];
    let mut total = [Some(0), Some(0), Some(0)];
    println!("{:>12} {:>12} {:>12}  file", "bytes", "gzip -9", "brotli -11");
    let row = |sizes: &[Option<u64>; 3], name: &str| {
        let [raw, gzip, brotli] = sizes.map(|size| size.map_or_else(|| "?".into(), |size| size.to_string()));
        println!("{raw:>12} {gzip:>12} {brotli:>12}  {name}");
    };
    for file in files(site)? {
        let raw = Some(fs::metadata(&file)?.len());
        let [gzip, brotli] = COMPRESSORS.map(|compressor| compressed_len(compressor, &file));
        let sizes = [raw, gzip, brotli];
        for (sum, size) in total.iter_mut().zip(sizes) {
            *sum = sum.zip(size).map(|(sum, size)| sum + size);
        }
        row(
            &sizes,
            &file.strip_prefix(site).unwrap_or(&file).display().to_string(),
        );
    }
    row(&total, "in all");
    for compressor in COMPRESSORS
        .iter()
        .filter_map(|c| c.first())
        .filter(|name| find(name).is_none())
    {
        println!("({compressor} is not installed: its column is empty)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_keep_their_rules_alone() {
        let style = "/* one */\n.a,\n.b {\n  margin: 0\n    auto; /* two */\n}\n\n.c { color: red }\n";
        assert_eq!(
            small_style(style),
            ".a,\n.b {\nmargin: 0\nauto;\n}\n.c { color: red }"
        );
    }

    #[test]
    fn only_a_site_or_nothing_is_replaced() {
        let folder = TempDir::new(&std::env::temp_dir(), "destseg-page").expect("creates");
        let at = |name: &str| folder.path().join(name);
        assert!(refuse_foreign(&at("absent"), INDEX).is_ok());
        fs::create_dir(at("empty")).expect("creates");
        assert!(refuse_foreign(&at("empty"), INDEX).is_ok());
        fs::write(at("empty").join("letter.txt"), "precious").expect("writes");
        assert!(refuse_foreign(&at("empty"), INDEX).is_err());
        fs::write(at("empty").join(INDEX), "<p>").expect("writes");
        assert!(refuse_foreign(&at("empty"), INDEX).is_ok());
        assert!(refuse_foreign(&at("empty").join("letter.txt"), INDEX).is_err());
    }

    #[test]
    fn the_gpu_engine_is_left_out_and_nothing_else() {
        let page = fs::read_to_string(root().join(SOURCE)).expect("reads");
        let less = without_gpu(&page).expect("has the link");
        assert!(
            LATER.iter().all(|program| !less.contains(program)) && !less.contains("burn"),
            "{less}"
        );
        let links = |page: &str| page.matches("<link").count();
        assert_eq!(links(&less) + LATER.len(), links(&page));
        assert!(less.contains("data-bin=\"worker_cpu\"") && less.contains("data-bin=\"ui\""));
        assert!(without_gpu(&less).is_err());
    }

    #[test]
    fn files_are_found_in_all_folders() {
        let folder = TempDir::new(&std::env::temp_dir(), "destseg-files").expect("creates");
        fs::create_dir_all(folder.path().join("a/b")).expect("creates");
        for name in ["z", "a/y", "a/b/x"] {
            fs::write(folder.path().join(name), name).expect("writes");
        }
        let expected: Vec<_> = ["a/b/x", "a/y", "z"].map(|name| folder.path().join(name)).into();
        assert_eq!(files(folder.path()).expect("reads"), expected);
    }
}
