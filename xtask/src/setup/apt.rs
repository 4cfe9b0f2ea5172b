//! Debian's package manager.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Result, bail};

use super::doing;
use crate::process::{self, find};

/// Whether this is Debian itself; its relatives have other packages for browsers.
pub(super) fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    find("apt-get").is_some() && release.lines().any(|line| line == "ID=debian")
}

/// Installs packages.
///
/// # Errors
/// If there is no right to, or apt fails.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    static UPDATED: OnceLock<()> = OnceLock::new();
    let by_hand = format!("apt-get update && apt-get install {}", packages.join(" "));
    if UPDATED.get().is_none() {
        doing("apt-get update");
        process::run(privileged("apt-get", &by_hand)?.args(["update", "--quiet", "--quiet"]))?;
        let _ = UPDATED.set(());
    }
    doing(&format!("apt-get install {}", packages.join(" ")));
    let mut command = privileged("apt-get", &by_hand)?;
    command
        .args([
            "install",
            "--yes",
            "--quiet",
            "--quiet",
            "--no-install-recommends",
        ])
        .args(packages);
    process::run(&mut command)
}

/// A command with the rights of root; `by_hand` is what to type if there is no way to get them.
///
/// # Errors
/// If there is no way to get them.
pub(super) fn privileged(program: &str, by_hand: &str) -> Result<Command> {
    let is_root = process::output(process::command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if is_root {
        process::command(program)
    } else if find("sudo").is_some() && may_ask_for_a_password() {
        let mut command = process::command("sudo");
        // sudo clears the environment, so the variable goes on its command line.
        command.args(["DEBIAN_FRONTEND=noninteractive", program]);
        command
    } else {
        bail!("installing Debian packages needs root: run `{by_hand}` as root, then run this again");
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

/// Whether sudo works, be it that someone can type the password.
fn may_ask_for_a_password() -> bool {
    io::stdin().is_terminal() || process::output(process::command("sudo").args(["-n", "true"])).is_ok()
}
