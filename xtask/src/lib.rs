//! The project's own commands. A library too, because the browser tests serve the page and find
//! the browser with the same code.
//!
//! ```text
//! demo  = setup -> page::build -> serve
//! dist  = setup -> page::build -> page::optimise -> rename into place
//! test  = setup (browser too) -> checks, page::build, budget::check and cargo test, step by step
//! ```

pub mod bench;
pub mod browser;
pub mod budget;
pub mod checks;
pub mod page;
pub mod process;
pub mod serve;
pub mod setup;
