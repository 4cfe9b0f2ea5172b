//! How much a visitor downloads: it may not grow unnoticed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::page;
use crate::process::{TempDir, compressed_len};

/// What the page needs for its first result and for a training on the CPU, beside the model and the picture.
const FIRST: [&str; 17] = [
    "index.html",
    "boot.js",
    "chart.css",
    "base.css",
    "welcome.css",
    "inspect.css",
    "camera.css",
    "train.css",
    "evaluate.css",
    "study.css",
    "compare.css",
    "tour.css",
    "ui.js",
    "ui_bg.wasm",
    "worker_cpu_loader.js",
    "worker_cpu.js",
    "worker_cpu_bg.wasm",
];
/// Most bytes of them all as they are published (after wasm-opt) and sent (`gzip -9`): what a visitor fetches for the first
/// result and for a training on the CPU.
const MOST_AT_FIRST: u64 = 1_600_000;
/// Most bytes of code and data in each module, as compiled and without the names for debugging.
const MOST_IN_MODULES: [(&str, u64); 4] = [
    ("ui_bg.wasm", 2_000_000),
    // it trains and compares, too
    ("worker_cpu_bg.wasm", 3_000_000),
    // decodes TIFF files and writes ONNX files; nobody waits for it who does neither
    ("worker_converter_bg.wasm", 1_700_000),
    ("worker_gpu_bg.wasm", 29_000_000),
];

/// Most bytes of the npm package, compressed, without the teacher.
const MOST_IN_PACKAGE: u64 = 1_600_000;
/// What does not count: the teacher, which only models without one of their own fetch, and what no program reads.
const BESIDE_THE_PACKAGE: [&str; 3] = ["safetensors", "md", "txt"];

/// Compares the npm package with its budget.
///
/// # Errors
/// If it is too large.
pub fn check_package(package: &Path) -> Result<()> {
    let mut sums = [Some(0), Some(0)];
    for file in page::files(package)? {
        let ending = file.extension().unwrap_or_default().to_string_lossy();
        let kind = usize::from(BESIDE_THE_PACKAGE.contains(&&*ending) || ending.is_empty());
        let length = compressed_len(&["gzip", "-9", "-c"], &file);
        sums[kind] = sums[kind].zip(length).map(|(sum, length)| sum + length);
    }
    let [Some(code), Some(beside)] = sums else {
        println!("(gzip is not installed: the compressed size of the npm package is not checked)");
        return Ok(());
    };
    println!(
        "{code:>12} of {MOST_IN_PACKAGE:>12} bytes  the npm package, compressed; its teacher and texts {beside}"
    );
    if code > MOST_IN_PACKAGE {
        bail!(
            "the npm package has {code} bytes, {} too many: make it smaller",
            code - MOST_IN_PACKAGE
        );
    }
    Ok(())
}

/// Compares a built page with its budget.
///
/// # Errors
/// Naming what is too large, or what cannot be read.
pub fn check(site: &Path) -> Result<()> {
    let mut beyond = Vec::new();
    let mut compare = |what: &str, bytes: u64, most: u64| {
        println!("{bytes:>12} of {most:>12} bytes  {what}");
        if bytes > most {
            beyond.push(format!("{what} has {bytes} bytes, {} too many", bytes - most));
        }
    };
    for (name, most) in MOST_IN_MODULES {
        let path = site.join(name);
        let module = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = used(&module).with_context(|| format!("{name} is no WebAssembly module"))?;
        compare(name, bytes, most);
    }
    let published = TempDir::new(&std::env::temp_dir(), "destseg-published")?;
    let sizes = FIRST.map(|name| {
        let (path, small) = (site.join(name), published.path().join(name));
        let written = match name.rsplit_once('.') {
            Some((_, "wasm")) => page::optimise_module(&path, &small).is_ok(),
            Some((_, "css")) => page::optimise_style(&path, &small).is_ok(),
            _ => false,
        };
        compressed_len(&["gzip", "-9", "-c"], if written { &small } else { &path })
    });
    match sizes.into_iter().sum::<Option<u64>>() {
        Some(bytes) => compare(
            "for the first result and a training, compressed",
            bytes,
            MOST_AT_FIRST,
        ),
        None => println!("(gzip is not installed: the compressed size is not checked)"),
    }
    if !beyond.is_empty() {
        bail!(
            "the page has outgrown its budget: {}; make it smaller, or raise the limit in xtask/src/budget.rs and say why",
            beyond.join("; ")
        );
    }
    Ok(())
}

/// Bytes of a module's sections that are no custom ones; none if it is no module.
fn used(module: &[u8]) -> Option<u64> {
    const HEADER: usize = 8;
    const CUSTOM: u8 = 0;
    let mut rest = module.strip_prefix(b"\0asm").and_then(|_| module.get(HEADER..))?;
    let mut sum = HEADER;
    while let Some((&id, after)) = rest.split_first() {
        let (length, size) = leb128(after)?;
        let end = size + length;
        if id != CUSTOM {
            sum += 1 + end;
        }
        rest = after.get(end..)?;
    }
    Some(sum as u64)
}

/// An unsigned number of wasm's encoding, and its own bytes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    const MOST: usize = 5;
    let mut value = 0;
    for (i, byte) in bytes.iter().take(MOST).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module of a custom section of 3 bytes and a data section of 300.
    fn module() -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([0, 3, 1, b'x', 9]);
        module.extend([11, 0xac, 0x02]);
        module.extend([7; 300]);
        module
    }

    #[test]
    fn debugging_names_do_not_count() {
        assert_eq!(used(&module()), Some(8 + 3 + 300));
        assert_eq!(used(b"<html>"), None);
        assert_eq!(used(&module()[..100]), None);
    }

    #[test]
    fn too_large_a_module_is_named() {
        let folder = TempDir::new(&std::env::temp_dir(), "destseg-budget").expect("creates");
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("writes");
        for name in FIRST {
            write(name, b"");
        }
        for (name, _) in MOST_IN_MODULES {
            write(name, &module());
        }
        check(folder.path()).expect("is within its budget");
        let mut large = b"\0asm\x01\0\0\0\x0b".to_vec();
        large.extend([0x80, 0x80, 0x80, 0x02]); // 4 MiB
        large.resize(large.len() + (4 << 20), 1);
        write("ui_bg.wasm", &large);
        let error = check(folder.path()).expect_err("is too large");
        assert!(format!("{error}").contains("ui_bg.wasm has"), "{error}");
    }
}
