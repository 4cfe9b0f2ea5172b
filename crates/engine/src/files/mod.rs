//! File formats: arrays as safetensors, checkpoints of PyTorch, published teachers, zip archives.

mod numbers;
pub mod pytorch;
pub mod storage;
pub mod teacher;
pub mod zip;
