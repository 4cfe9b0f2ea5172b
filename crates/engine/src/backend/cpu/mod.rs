//! Networks on the CPU's own kernels ([`destseg_kernels`]): programs for inference, a tape and optimisers for training.

mod model;
mod operations;
mod optimiser;
mod part;
mod program;
pub mod tape;
#[cfg(test)]
mod tests;
mod training;
pub(crate) mod weights;

pub(crate) use model::unit_vectors;
pub use model::{CpuModel, CpuTeacher, Maps};
pub use optimiser::Optimiser;
pub use part::Part;
pub use program::Program;
pub use training::CpuTraining;
