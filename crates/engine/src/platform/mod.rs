//! Where native and browser differ: time and giving way. Both sides offer the same names.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::{GpuProbe, now_ms, probe_gpu, yield_now};
#[cfg(target_family = "wasm")]
pub use web::{GpuProbe, now_ms, probe_gpu, yield_now};
