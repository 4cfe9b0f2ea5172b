//! From a score to a verdict: thresholds, where they come from, how sure a verdict is, and what a model can be expected
//! to do.

pub mod calibration;
pub mod certainty;
pub mod corrections;
pub mod decision;
pub mod difference;
pub mod expected;
pub mod memory;
pub mod quality;
