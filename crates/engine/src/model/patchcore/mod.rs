//! `PatchCore` (Roth et al., CVPR 2022): an image is as anomalous as its strangest patch, and a patch is
//! as strange as it is far from all patches of good images that are remembered.

#[cfg(feature = "burn")]
mod blur;
mod file;
#[cfg(feature = "burn")]
mod search;

use super::weights::{Array, Weights};
use crate::Result;

#[cfg(feature = "burn")]
pub use blur::gaussian;
pub(super) use file::MEMORY_KEY;
pub use file::{MemoryFile, MemoryHeader, MemoryRecord};
#[cfg(feature = "burn")]
pub use search::{PatchCore, Strangeness, patches};

/// Name of the remembered patches in a file, `[patches, dimensions]`.
pub const BANK: &str = "bank";

/// The remembered patches of a file.
pub(super) fn bank(weights: &Weights) -> Result<&Array> {
    weights.get(BANK)
}
