//! Where the networks are computed.

pub mod device;
#[cfg(feature = "burn")]
pub(crate) mod gpu;
