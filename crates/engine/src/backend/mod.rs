//! Where the networks are computed: on the CPU by kernels of our own, on GPUs by Burn.

#[cfg(feature = "burn")]
pub mod burn;
pub mod cpu;
pub mod device;
pub mod network;
pub mod optimiser;
