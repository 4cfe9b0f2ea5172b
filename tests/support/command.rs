//! The program `destseg`, as a shell calls it.

use std::path::Path;
use std::process::{Command, Output};

/// Runs it in `folder`.
pub(crate) fn destseg(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("destseg starts")
}

/// Standard output and standard error of a command that succeeds.
pub(crate) fn succeeds(arguments: &[&str], folder: &Path) -> (String, String) {
    let output = destseg(arguments, folder);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?} failed: {errors}");
    (String::from_utf8(output.stdout).expect("prints UTF-8"), errors)
}

/// Standard error of a command that fails with exit code 1, and without a panic.
pub(crate) fn fails(arguments: &[&str], folder: &Path) -> String {
    let output = destseg(arguments, folder);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

/// Draws a small data set into a folder of the category's name: so many good images to train on, and good ones and
/// defective ones of each kind to test with.
pub(crate) fn demo_data(folder: &Path, category: &str, [train, good, defective]: [usize; 3], seed: u64) {
    let command = format!(
        "demo-data . --category {category} --size 256 --train {train} --good {good} --defective {defective} --seed {seed}"
    );
    let arguments: Vec<&str> = command.split(' ').collect();
    succeeds(&arguments, folder);
}

/// What makes a training take seconds.
#[allow(dead_code, reason = "not every test program trains")]
pub(crate) const SHORT: [&str; 6] = [
    "--batch",
    "2",
    "--student-steps",
    "2",
    "--segmentation-steps",
    "2",
];
