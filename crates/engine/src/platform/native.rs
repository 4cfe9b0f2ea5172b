//! The native side.

use std::sync::LazyLock;
use std::time::Instant;

/// What can be said about the GPU before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProbe {
    /// The adapter's name; empty where only opening it tells.
    pub name: String,
    /// Whether it is software.
    pub software: bool,
    /// Why it cannot be used at all.
    pub obstacle: Option<String>,
}

/// Milliseconds since the first call.
pub fn now_ms() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e3
}

/// Lets other work run; natively nothing waits on this thread.
pub async fn yield_now() {}

/// Natively, opening the device is the probe.
pub async fn probe_gpu() -> GpuProbe {
    GpuProbe {
        name: String::new(),
        software: false,
        obstacle: None,
    }
}
