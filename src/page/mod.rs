//! The page: a user interface that only draws, and a worker that holds the engine.

pub mod protocol;
#[cfg(any(feature = "ui", feature = "worker"))]
pub mod shared;
#[cfg(feature = "ui")]
pub mod ui;
#[cfg(feature = "worker")]
pub mod worker;
