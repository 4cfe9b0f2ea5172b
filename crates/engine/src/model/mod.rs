//! `DeSTSeg`: frozen teacher, denoising student, segmentation network (Zhang et al., CVPR 2023).
//!
//! `network/` is it on Burn, which trains and runs on GPUs; `plan/` is it on the CPU's own kernels. Files
//! know neither.

pub mod cost;
#[cfg(feature = "burn")]
pub mod export;
pub mod file;
#[cfg(feature = "burn")]
pub mod network;
mod numbers;
pub mod open;
pub mod patchcore;
pub mod plan;
pub mod pytorch;
mod shapes;
pub mod storage;
pub mod teacher;
mod tensors;
pub mod weights;

#[cfg(feature = "burn")]
pub use network::{DeSTSeg, Output, features, init, loss, names, segmentation, student, upsample, whitening};

/// Added to a variance before its square root, where batches are normalised (PyTorch's default).
pub(crate) const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Prefixes of the three parts' tensors in a file.
pub mod prefix {
    /// The teacher, where a file carries it.
    pub const TEACHER: &str = "teacher_net.encoder.";
    /// The student.
    pub const STUDENT: &str = "student_net.";
    /// The segmentation network.
    pub const SEGMENTATION: &str = "segmentation_net.";
    /// The whitening of differences, which the reference does not have.
    pub const WHITENING: &str = "whitening.";
}
