//! Whitening: differences of teacher and student, and the teacher's features, scaled by their covariance on good images.
//!
//! The products of normalised features hardly change where a part only has another colour: the few channels that vary
//! most decide a cosine. Whitened by their covariance on good images, all directions count alike (Mahalanobis, 1936; for
//! features of a pretrained network: Rippel et al., "Modeling the distribution of normal data in pre-trained deep
//! features", ICPR 2020). Not in the paper; the notebook in `docs` has what it brings.

use super::graph::{Graph, Layer};
use crate::config::{FusionInput, ModelConfig};

/// The linear maps that whiten, estimated from good images between the two stages and never trained. Inputs are the
/// normalised differences at the three levels and, where the segmentation network takes them, the teacher's normalised
/// features; outputs are the same, whitened. None for a network without them.
pub fn whitening(config: &ModelConfig) -> Option<Graph> {
    let names: &[&str] = match config.segmentation.as_ref()?.evidence {
        FusionInput::Products => return None,
        FusionInput::ProductsAndDifferences => &["levels"],
        FusionInput::ProductsDifferencesAndFeatures => &["levels", "features"],
    };
    let mut graph = Graph::default();
    let mut outputs = Vec::new();
    for name in names {
        for (i, channels) in config.teacher.channels().into_iter().enumerate() {
            let side = config.input_size >> (2 + i);
            let vectors = graph.input([side, side, channels]);
            outputs.push(graph.conv(vectors, format!("{name}.{i}"), Layer::dense(channels, 1).bias()));
        }
    }
    Some(graph.with_outputs(outputs))
}
