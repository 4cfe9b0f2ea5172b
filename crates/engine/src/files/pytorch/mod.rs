//! PyTorch's checkpoints (`.pckl`, `.pth`, `.pt`), read as data: nothing in them is run, and time and
//! memory stay in proportion to the file.

mod bytes;
mod legacy;
mod pickle;
mod state_dict;
#[cfg(test)]
mod tests;
mod zip;

use std::fmt::Display;

use crate::arch::weights::Weights;
use crate::{Error, Result};
use bytes::Bytes;
use pickle::Pickle;

/// First byte of a pickle of protocol 2 or later.
const PICKLE: u8 = 0x80;

/// Whether a file is, by its first bytes, one of PyTorch's: a zip archive or a pickle.
pub fn is_pytorch(file: &[u8]) -> bool {
    // a safetensors file could start with any byte, but has a brace in ninth place
    file.starts_with(&zip::MAGIC) || file.first() == Some(&PICKLE) && file.get(8) != Some(&b'{')
}

/// Reads the floating-point tensors of a state dict, as `torch.save` writes it: zip or older format,
/// alone or as `{"state_dict": ...}`, with or without the `module.` of `DataParallel`.
///
/// # Errors
/// [`Error::Model`] saying why the file is no such state dict.
pub fn read_state_dict(file: &[u8]) -> Result<Weights> {
    if !file.starts_with(&zip::MAGIC) {
        let (pickle, storages) = legacy::read(file)?;
        return state_dict::weights(&pickle, &storages, file.len());
    }
    let entries = zip::entries(file)?;
    // all entries lie in one folder, whose name is the file's at the time
    let (folder, pickle) = entries
        .iter()
        .find_map(|(name, data)| Some((name.strip_suffix("data.pkl")?, data)))
        .ok_or_else(|| refuse("it is another kind of zip archive, so open one that torch.save wrote"))?;
    let entry = |name: &str| entries.get(format!("{folder}{name}").as_str());
    if entry("byteorder").is_some_and(|order| **order != *b"little") {
        return Err(refuse(
            "a big-endian machine wrote it, so save it again on another",
        ));
    }
    let pickle = Pickle::read(&mut Bytes(pickle))?;
    let data = format!("{folder}data/");
    let storages = entries
        .iter()
        .filter_map(|(name, data_of)| Some((name.strip_prefix(data.as_str())?, *data_of)))
        .collect();
    state_dict::weights(&pickle, &storages, file.len())
}

fn refuse(reason: impl Display) -> Error {
    Error::Model(format!("this is no readable PyTorch state dict: {reason}"))
}
