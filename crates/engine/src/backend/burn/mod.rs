//! Networks on Burn: what runs on GPUs. In tests Burn's own CPU backend runs them, too.

mod adamw;
mod conv;
mod features;
mod gpu;
mod loss;
mod model;
mod network;
mod optimiser;
mod read;
#[cfg(test)]
mod tests;
mod training;
mod upsample;

pub use model::{BurnModel, Output, Part};
pub use read::{read, read_all};
pub use training::{BurnTraining, Trained};
