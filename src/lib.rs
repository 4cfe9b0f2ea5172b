//! `destseg`: visual defect inspection on the command line and in the browser, around [`destseg_engine`].
//!
//! ```text
//! browser: ui --Command--> worker (engine) --Event--> ui
//! ```
//!
//! `ARCHITECTURE.md` is the map of the source tree.

#[cfg(feature = "cli")]
pub mod cli;
pub mod page;
