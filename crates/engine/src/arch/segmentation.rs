//! The segmentation network: fuses the three levels of teacher-student similarity into one map (section 3.3 of the
//! paper).

use destseg_kernels::Activation::Relu;

use super::graph::{Corners, Graph, Layer};
use crate::config::ModelConfig;

/// From what the network is shown of the three levels, fine to coarse, to the logits of the map at 1/4 of the image's
/// side; none where the model has no such network.
pub fn segmentation(config: &ModelConfig) -> Option<Graph> {
    let network = config.segmentation.as_ref()?;
    let mut graph = Graph::default();
    let mut levels = Vec::new();
    let fine = [config.input_size / 4; 2];
    for (i, channels) in config.teacher.channels().into_iter().enumerate() {
        let side = config.input_size >> (2 + i);
        let level = graph.input([side, side, network.evidence.channel_factor() * channels]);
        levels.push(level);
    }
    let levels = levels
        .into_iter()
        .map(|level| graph.resize(level, fine, Corners::OfImage))
        .collect();
    let width = network.width;
    let mut x = graph.concat(levels);
    if network.squeeze {
        x = graph.unit(x, "squeeze", Layer::dense(width, 1));
    }
    x = graph.stage(x, "res", network.blocks, width, 1);

    // atrous spatial pyramid pooling: the global mean and three dilated branches
    let branch = |i: usize| format!("head.0.aspp_feature_extractors.{i}");
    let mean = graph.mean(x);
    let pooled = graph.unit(mean, &format!("{}.1", branch(0)), Layer::dense(width, 1));
    let mut branches = vec![graph.expand(pooled, fine)];
    for (i, &rate) in network.rates.iter().enumerate() {
        branches.push(graph.unit(x, &branch(i + 1), Layer::dense(width, 3).dilation(rate)));
    }
    let all = graph.concat(branches);
    let x = graph.unit(all, "head.0.aspp_fusion_layer", Layer::dense(width, 3));

    let x = graph.conv(x, "head.1", Layer::dense(width, 3));
    let x = graph.batch_norm(x, "head.2", Relu);
    let map = graph.conv(x, "head.4", Layer::dense(1, 1).bias());
    Some(graph.with_outputs([map]))
}
