//! File formats.

pub mod zip;
