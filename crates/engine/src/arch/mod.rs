//! What the networks are, each written once: layers in order, with the names of their tensors.
//!
//! A network is a [`Graph`] of operations. Everything else is read from that graph: which tensors a file must hold
//! ([`Graph::tensors`]), what a network costs ([`cost`]), how weights are drawn ([`init`]), and how the network runs -
//! on the CPU for training and for inference (`backend::cpu`), and on GPUs
//! (`backend::burn`). To change a network, change its function here; nothing else names its layers.

mod blocks;
pub mod cost;
mod draem;
pub mod dsr;
mod fold;
pub mod graph;
pub mod init;
mod rewrite;
mod segmentation;
pub mod shapes;
mod student;
mod teacher;
pub mod weights;
mod whitening;

pub use draem::draem;
pub use fold::{fold, fold_graph};
pub use graph::{Graph, Node, Op, Value};
pub use rewrite::narrow_before_resizing;
pub use segmentation::segmentation;
pub use student::student;
pub use teacher::teacher;
pub use whitening::whitening;

use crate::config::ModelConfig;
use shapes::Shapes;

/// Added to a variance before its square root, where batches are normalised (PyTorch's default).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics of a batch normalisation (PyTorch's default).
pub const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Prefixes of the parts' tensors in a file.
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

/// The trained parts of a model: prefix of the tensors, and graph.
pub fn parts(config: &ModelConfig) -> Vec<(&'static str, Graph)> {
    let mut parts = vec![(prefix::STUDENT, student(config))];
    parts.extend(segmentation(config).map(|graph| (prefix::SEGMENTATION, graph)));
    parts.extend(whitening(config).map(|graph| (prefix::WHITENING, graph)));
    parts
}

/// The tensors of a model without its teacher.
pub fn tensors(config: &ModelConfig) -> Shapes {
    let mut shapes = Shapes::default();
    for (prefix, graph) in parts(config) {
        shapes.extend(graph.tensors(prefix));
    }
    shapes
}
