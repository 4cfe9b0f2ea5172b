//! From a score to a verdict: thresholds, where they come from, and the scale they are shown on.

pub mod calibration;
pub mod decision;
