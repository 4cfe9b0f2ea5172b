//! Finding a Chromium and the driver that tests steer it with.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::process;

/// A browser and its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browser {
    /// Chromium or Google Chrome.
    pub chrome: PathBuf,
    /// The `chromedriver` of the same version.
    pub driver: PathBuf,
}

/// What tells a Vulkan loader about the software adapter.
pub const SOFTWARE_ADAPTER: &str = "vk_swiftshader_icd.json";
/// Names on PATH, and where macOS keeps it.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];
const MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// Folder of the browser's software adapter for Vulkan, with its loader: what native tests compute on where there
/// is no GPU.
pub fn software_adapter(browser: &Browser) -> Option<PathBuf> {
    /// Where the programs on PATH, which may be scripts, start it from.
    const FOLDERS: [&str; 2] = ["/usr/lib/chromium", "/opt/google/chrome"];
    let beside = browser.chrome.canonicalize().ok();
    let beside = beside.and_then(|program| program.parent().map(Path::to_path_buf));
    beside
        .into_iter()
        .chain(FOLDERS.map(PathBuf::from))
        .find(|folder| folder.join(SOFTWARE_ADAPTER).is_file())
}

/// The installed browser; `CHROME` and `CHROMEDRIVER` name others.
///
/// # Errors
/// If one of the two is missing; the message says what to install.
pub fn find() -> Result<Browser> {
    let named = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_file())
    };
    let macos = || {
        Some(Path::new(MACOS))
            .filter(|path| path.is_file())
            .map(Path::to_path_buf)
    };
    let chrome = named("CHROME")
        .or_else(|| NAMES.into_iter().find_map(process::find))
        .or_else(macos);
    let driver = named("CHROMEDRIVER").or_else(|| process::find("chromedriver"));
    match (chrome, driver) {
        (Some(chrome), Some(driver)) => Ok(Browser { chrome, driver }),
        (chrome, driver) => {
            let missing = [("Chromium (or Google Chrome)", chrome), ("chromedriver", driver)];
            let missing: Vec<_> = missing
                .into_iter()
                .filter(|(_, path)| path.is_none())
                .map(|(name, _)| name)
                .collect();
            Err(anyhow!(
                "{} not found: install it, both in the same version (Debian: `apt-get install chromium \
                 chromium-driver`), then run this again",
                missing.join(" and ")
            ))
        }
    }
}
