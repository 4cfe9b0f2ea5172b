//! `cargo xtask demo`: the page as soon as it can look at pictures on the CPU. The engine for GPUs, which takes
//! far longer to compile, joins the open page later.
//!
//! ```text
//! page and CPU engine -> served folder -> serve        the page asks for the GPU engine now and then
//! whole page -> another folder -> copy what is missing into the served folder
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};

use crate::page::{self, Parts};
use crate::process::{self, root};
use crate::serve::Server;
use crate::setup::{WasmCompiler, setup};

/// By this file the page knows that the GPU engine is there: it comes last.
const SIGN: &str = "worker_gpu_loader.js";

/// Builds, serves and opens the page, until Ctrl-C.
///
/// # Errors
/// If the page without the GPU engine cannot be built, or not be served.
pub fn run(port: u16, open: bool) -> Result<()> {
    let site = root().join("dist");
    let compiler = setup(&[])?;
    println!("Building the page and its engine for the CPU (the first time this takes some minutes).");
    page::build(&compiler, &site, Parts::WithoutGpu)?;
    let server = listen(&site, port)?;
    if open {
        open_in_browser(&server.url());
    }
    thread::spawn(move || {
        println!("Building the engine for GPUs meanwhile (the first time this takes a quarter of an hour).");
        match add_gpu_engine(&compiler, &site) {
            Ok(()) => println!("The engine for GPUs is ready: the page takes it when it needs one."),
            Err(error) => {
                eprintln!("The engine for GPUs could not be built, so the CPU computes: {error:#}.");
            }
        }
    });
    server.wait();
    Ok(())
}

/// Serves a folder until Ctrl-C.
///
/// # Errors
/// If it is no folder, or no port is free.
pub fn serve(folder: &Path, port: u16) -> Result<()> {
    listen(folder, port)?.wait();
    Ok(())
}

fn listen(folder: &Path, port: u16) -> Result<Server> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let server = Server::start_near(folder, port)?;
    if server.port() != port {
        println!("Port {port} is taken; using {}.", server.port());
    }
    println!("\nServing at {} (Ctrl-C ends it).", server.url());
    Ok(server)
}

/// Builds the whole page elsewhere, and adds what the site lacks.
fn add_gpu_engine(compiler: &WasmCompiler, site: &Path) -> Result<()> {
    let whole = root().join("target").join("whole-page");
    page::build(compiler, &whole, Parts::All)?;
    add_missing(&whole, site)
}

/// Copies the files that `site` lacks. A visitor sees each whole or not at all, and [`SIGN`] after the others.
fn add_missing(whole: &Path, site: &Path) -> Result<()> {
    let mut names: Vec<PathBuf> = Vec::new();
    for file in page::files(whole)? {
        let name = file.strip_prefix(whole)?.to_path_buf();
        if !site.join(&name).exists() {
            names.push(name);
        }
    }
    names.sort_by_key(|name| name == Path::new(SIGN));
    for name in names {
        let place = site.join(&name);
        let context = || format!("cannot add {}", place.display());
        fs::create_dir_all(place.parent().unwrap_or(site)).with_context(context)?;
        let incomplete = place.with_extension("incomplete");
        fs::copy(whole.join(&name), &incomplete).with_context(context)?;
        fs::rename(&incomplete, &place).with_context(context)?;
    }
    Ok(())
}

/// Opens the address where there is a desktop; nobody needs to hear where there is none.
fn open_in_browser(url: &str) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ if has_display => "xdg-open",
        _ => return,
    };
    if process::command(program).arg(url).spawn().is_err() {
        println!("(no browser could be opened: open the address yourself)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::TempDir;

    #[test]
    fn what_the_site_lacks_is_added_and_the_rest_stays() {
        let folder = TempDir::new(&std::env::temp_dir(), "destseg-demo").expect("creates");
        let (whole, site) = (folder.path().join("whole"), folder.path().join("site"));
        for folder in [&whole, &site] {
            fs::create_dir_all(folder).expect("creates");
        }
        let write = |path: PathBuf, text: &str| fs::write(path, text).expect("writes");
        fs::create_dir(whole.join("snippets")).expect("creates");
        write(whole.join("snippets/a.js"), "a");
        write(whole.join("ui.js"), "new");
        write(whole.join(SIGN), "sign");
        write(site.join("ui.js"), "old");
        add_missing(&whole, &site).expect("adds");
        let text = |name: &str| fs::read_to_string(site.join(name)).expect("reads");
        assert_eq!(
            [text("ui.js"), text("snippets/a.js"), text(SIGN)],
            ["old", "a", "sign"]
        );
        assert_eq!(page::files(&site).expect("lists").len(), 3);
    }
}
