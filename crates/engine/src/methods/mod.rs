//! The methods. Each is a folder: settings, training, detection, and what it is in one sentence; [`ALL`] lists them.

pub mod destseg;
pub mod export;
pub mod file;
pub mod open;
pub mod patchcore;
pub mod stpm;

use crate::Result;
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::Method;
use crate::inspect::Detector;
use file::ModelFile;

/// A method, as the programs know it.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its name in files and flags.
    pub method: Method,
    /// What it does, in one sentence for people.
    pub explanation: &'static str,
    /// Builds the network of a model file; the weights are a folded teacher, for files that carry none.
    detector: fn(&ModelFile, Option<&Weights>, &Device) -> Result<Detector>,
}

/// All methods.
pub const ALL: [Entry; 3] = [destseg::ENTRY, stpm::ENTRY, patchcore::ENTRY];

/// The entry of a method.
pub fn entry(method: Method) -> &'static Entry {
    const ENTRIES: &[Entry] = &ALL;
    let found = ENTRIES.iter().find(|entry| entry.method == method);
    // a test makes sure that every method has one
    found.unwrap_or(&ENTRIES[0])
}

/// The model of a file on `device`, ready to look at images; `teacher` holds folded weights, needed if the file carries
/// none.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming what is missing or misshapen.
pub fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    (entry(file.header.method()).detector)(file, teacher, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry() {
        for method in Method::ALL {
            let own = ALL.iter().filter(|entry| entry.method == method);
            assert_eq!(own.count(), 1, "{method:?}");
            assert!(entry(method).explanation.ends_with('.'));
        }
        assert_eq!(ALL.len(), Method::ALL.len());
    }
}
