//! Running other programs, and finding them.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The top folder of the project: of the checkout this runs in, which with a shared target folder
/// need not be the one it was compiled in.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    const MARK: &str = "Trunk.toml";
    ROOT.get_or_init(|| {
        let start = env::var_os("CARGO_MANIFEST_DIR").map_or_else(env::current_dir, |dir| Ok(dir.into()));
        start
            .iter()
            .flat_map(|folder| folder.ancestors())
            .find(|folder| folder.join(MARK).is_file())
            .map_or_else(|| PathBuf::from("."), Path::to_owned)
    })
}

/// Where set-up keeps what has no ordinary place of its own.
pub fn cache() -> PathBuf {
    let home = || env::home_dir().map(|home| home.join(".cache"));
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(env::temp_dir)
        .join("destseg")
}

/// The folders that are searched for programs: `cargo install`'s and npm's, then PATH.
fn search_path() -> Vec<PathBuf> {
    let cargo = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .map(|home| home.join("bin"));
    let npm = cache().join("node_modules").join(".bin");
    let path = env::var_os("PATH").unwrap_or_default();
    cargo
        .into_iter()
        .chain([npm])
        .chain(env::split_paths(&path))
        .collect()
}

/// The first program of this name on the search path.
pub fn find(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    search_path()
        .into_iter()
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// A command that runs in the project's folder and finds what [`find`] finds.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    if let Ok(path) = env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command
}

/// Puts a folder behind the others on the command's PATH.
pub(crate) fn add_to_path(command: &mut Command, folder: &Path) {
    let folders = search_path().into_iter().chain([folder.to_path_buf()]);
    if let Ok(path) = env::join_paths(folders) {
        command.env("PATH", path);
    }
}

/// Runs a command with its output shown.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command silently and gives its standard output.
///
/// # Errors
/// If it cannot be started or does not succeed; the message ends with what it wrote.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            errors.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with its output shown, and ends it when the limit is over.
///
/// # Errors
/// If it cannot be started, does not succeed or takes too long.
pub fn run_within(limit: Duration, command: &mut Command) -> Result<()> {
    const POLL: Duration = Duration::from_millis(100);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    let end = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("`{}` failed ({status})", line(command)),
            None if Instant::now() < end => thread::sleep(POLL),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("`{}` did not finish within {} s", line(command), limit.as_secs());
            }
        }
    }
}

/// The version a program states after its name, as in `trunk 0.21.14`.
pub fn version(program: &str) -> Option<String> {
    let text = output(command(find(program)?).arg("--version")).ok()?;
    text.split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

/// A command as one would type it, for messages.
pub fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Length of a file compressed by an external program that reads standard input; `None` without one.
pub(crate) fn compressed_len(compressor: &[&str], file: &Path) -> Option<u64> {
    let (program, arguments) = compressor.split_first()?;
    let mut child = command(find(program)?)
        .args(arguments)
        .stdin(fs::File::open(file).ok()?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut output = child.stdout.take()?;
    let length = io::copy(&mut output, &mut io::sink()).ok()?;
    child.wait().ok()?.success().then_some(length)
}

/// A folder that is removed with everything in it when this goes.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new empty folder inside `parent`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot clear {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing depends on it: at worst a temporary folder stays behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}
