//! `EfficientNet-Lite0` (Tan and Le, 2019, without squeeze-excitation) up to block 10.

use super::folding::Folding;
use crate::Result;
use crate::model::weights::Weights;

/// Rows of the architecture: blocks, expansion, kernel, stride of the first, output channels.
pub(in crate::model) const STAGES: [(usize, usize, usize, usize, usize); 5] = [
    (1, 1, 3, 1, 16),
    (2, 6, 3, 2, 24),
    (2, 6, 5, 2, 40),
    (3, 6, 3, 2, 80),
    (3, 6, 5, 1, 112),
];
/// Channels of the stem.
pub(in crate::model) const STEM: usize = 32;
/// Blocks whose outputs are the features.
pub(in crate::model) const TAPS: [usize; 3] = [2, 4, 10];
/// The published network's batch-norm epsilon.
const EPSILON: f32 = 1e-3;

/// Folds the published state dict.
pub(super) fn fold(mut folding: Folding<'_>) -> Result<Weights> {
    folding.unit("stem", "_conv_stem", "_bn0", EPSILON)?;
    let count: usize = STAGES.iter().map(|stage| stage.0).sum();
    for i in 0..count {
        let (from, to) = (format!("_blocks.{i}"), format!("blocks.{i}"));
        let parts: [[&str; 3]; 3] = [
            ["expand", "_expand_conv", "_bn0"],
            ["depthwise", "_depthwise_conv", "_bn1"],
            ["project", "_project_conv", "_bn2"],
        ];
        // block 0 has expansion 1, so no expand convolution
        for [name, conv, norm] in parts.into_iter().skip(usize::from(i == 0)) {
            folding.unit(
                &format!("{to}.{name}"),
                &format!("{from}.{conv}"),
                &format!("{from}.{norm}"),
                EPSILON,
            )?;
        }
    }
    let block =
        |name: &str| -> Option<usize> { name.strip_prefix("_blocks.")?.split('.').next()?.parse().ok() };
    folding.finish(|name| {
        let is_after = |prefix| name.starts_with(prefix);
        block(name).is_some_and(|block| block >= count)
            || ["_conv_head.", "_bn1.", "_fc."].into_iter().any(is_after)
    })
}
