//! DeSTSeg (Zhang et al., CVPR 2023): visual defect inspection that is trained on good images
//! alone, as one engine for the command line and the browser.
//!
//! ```text
//! detect : image -> preprocess -> model (teacher, student, segmentation) -> maps -> score, picture
//! train  : dataset -> synthesis -> stages (student, segmentation) -> calibration -> checkpoint
//! browser: ui --Command--> worker (engine) --Event--> ui
//! ```
//!
//! `ARCHITECTURE.md` is the map of the source tree.
#![recursion_limit = "256"]

pub mod archive;
pub mod chart;
pub mod config;
pub mod decision;
pub mod error;
pub mod evaluation;
pub mod labelled;
pub mod map;
pub mod metrics;
pub mod protocol;
pub mod regions;
pub mod render;
pub mod report;
pub mod study;

#[cfg(feature = "engine")]
pub mod calibration;
#[cfg(feature = "engine")]
pub mod device;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "engine")]
pub mod image;
#[cfg(feature = "engine")]
pub mod inference;
#[cfg(feature = "engine")]
pub mod model;
#[cfg(feature = "engine")]
pub mod placement;
#[cfg(feature = "engine")]
pub mod platform;
#[cfg(feature = "engine")]
pub mod preprocess;

#[cfg(feature = "engine")]
pub mod dataset;
#[cfg(feature = "engine")]
pub mod synthesis;
#[cfg(feature = "train")]
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod demo_data;

#[cfg(feature = "ui")]
pub mod ui;
#[cfg(feature = "web")]
pub mod web;
#[cfg(feature = "quick")]
pub mod worker;

pub use error::{Error, Result};
