//! Other systems and processors, as far as this machine can tell: the command line is compiled for them, and the kernels' tests
//! run on an emulated ARM processor.

use anyhow::{Context as _, Result};

use crate::process;

/// Systems that the command line is compiled for, without Burn.
const SYSTEMS: [&str; 3] = [
    "x86_64-pc-windows-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];
/// What the kernels' tests run on.
const ARM: &str = "aarch64-unknown-linux-gnu";
/// Debian's names of the emulator, and of the C compiler that links for it.
const EMULATOR: &str = "qemu-aarch64-static";
const ARM_COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Where that compiler's libraries are.
const ARM_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Checks all of them.
///
/// # Errors
/// If a target's standard library cannot be installed, something does not compile, a test fails, or the emulator is missing.
pub fn check() -> Result<()> {
    for target in SYSTEMS {
        standard_library(target)?;
        let features = ["--no-default-features", "--features", "cli"];
        let mut check = process::command("cargo");
        check
            .args(["check", "--locked", "--bin", "destseg", "--target", target])
            .args(features);
        // nothing is linked: the allocator's C code need not be compiled
        for tool in ["CC", "AR", "RANLIB"] {
            check.env(format!("{tool}_{}", target.replace('-', "_")), "true");
        }
        process::run(&mut check)?;
        println!("the command line compiles for {target}");
    }
    for tool in [EMULATOR, ARM_COMPILER] {
        process::find(tool).with_context(|| {
            format!(
                "{tool} not found: install it (Debian: `apt-get install qemu-user-static gcc-aarch64-linux-gnu \
                 libc6-dev-arm64-cross`)"
            )
        })?;
    }
    standard_library(ARM)?;
    let name = ARM.replace('-', "_").to_uppercase();
    let mut test = process::command("cargo");
    test.args([
        "test",
        "--locked",
        "--release",
        "--package",
        "destseg-kernels",
        "--target",
        ARM,
    ])
    .env(format!("CARGO_TARGET_{name}_LINKER"), ARM_COMPILER)
    .env(
        format!("CARGO_TARGET_{name}_RUNNER"),
        format!("{EMULATOR} -L {ARM_LIBRARIES}"),
    );
    process::run(&mut test)?;
    println!("the kernels' tests pass on {ARM}");
    Ok(())
}

fn standard_library(target: &str) -> Result<()> {
    let mut rustup = process::command("rustup");
    process::run(rustup.args(["target", "add", target]))
        .with_context(|| format!("the standard library for {target} cannot be installed"))
}
