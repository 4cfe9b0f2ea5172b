//! DeSTSeg (Zhang et al., CVPR 2023), STPM, `PatchCore`, DRAEM and DSR: visual defect inspection that is trained on good
//! images alone. One engine for the command line and the page; it knows neither.
//!
//! ```text
//! inspect: image -> preprocess -> network (teacher, student, segmentation) -> maps -> verdict and picture
//! train  : dataset -> synthesis -> stages (student, segmentation) -> calibration -> model file
//! ```
#![recursion_limit = "256"]

pub mod arch;
pub mod backend;
pub mod config;
pub mod data;
pub mod error;
pub mod evaluation;
pub mod files;
pub mod inspect;
pub mod methods;
pub mod metrics;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod order;
pub mod platform;
pub mod render;
pub mod report;
pub mod synthesis;
pub mod train;
pub mod verdict;

// the tests' shared modules name this crate
#[cfg(test)]
extern crate self as destseg_engine;

#[cfg(test)]
#[path = "../../../tests/support/arrays.rs"]
mod arrays;
#[cfg(test)]
#[path = "../../../tests/support/formula.rs"]
#[expect(
    dead_code,
    reason = "the published teacher's weights are for the tests of the programs"
)]
mod formula;
#[cfg(test)]
pub(crate) mod test_support;

pub use error::{Error, Result};
