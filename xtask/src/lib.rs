//! The project's own commands. A library too, because the browser tests serve the page and find
//! the browser with the same code.
//!
//! ```text
//! demo  = setup -> page::build without the GPU engine -> serve, and meanwhile page::build of the rest
//! dist  = setup -> page::build -> page::optimise -> offline::write -> rename into place
//! npm   = setup -> npm::assemble, which page::build calls, too -> page::optimise
//! test  = checks: formatting, lints and cargo test, then setup, page::build, budget::check and the browser tests
//! ```

pub mod arguments;
pub mod bench;
pub mod browser;
pub mod budget;
pub mod checks;
pub mod cli_docs;
pub mod demo;
pub mod manifest;
pub mod npm;
pub mod offline;
pub mod page;
pub mod process;
pub mod serve;
pub mod setup;
#[cfg(test)]
mod structure;
pub mod supply;
pub mod targets;
