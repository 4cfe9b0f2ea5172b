//! `EfficientNet-Lite0` as it is published.

use super::folding::Unit;

/// Blocks that are used; the published network has more.
const BLOCKS: usize = 11;
/// The published network's batch-norm epsilon.
pub(super) const EPSILON: f32 = 1e-3;

/// The published names of one of our convolutions and of the batch normalisation after it.
pub(super) fn published(name: &str) -> Unit {
    let unit = |conv: String, norm: String| Unit { conv, norm };
    let Some((block, part)) = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else {
        return unit("_conv_stem".into(), "_bn0".into());
    };
    let (conv, norm) = match part {
        "expand" => ("_expand_conv", "_bn0"),
        "depthwise" => ("_depthwise_conv", "_bn1"),
        _ => ("_project_conv", "_bn2"),
    };
    unit(
        format!("_blocks.{block}.{conv}"),
        format!("_blocks.{block}.{norm}"),
    )
}

/// Whether a published tensor belongs to a layer after the last used one.
pub(super) fn is_beyond(name: &str) -> bool {
    let block =
        |name: &str| -> Option<usize> { name.strip_prefix("_blocks.")?.split('.').next()?.parse().ok() };
    block(name).is_some_and(|block| block >= BLOCKS)
        || ["_conv_head.", "_bn1.", "_fc."]
            .into_iter()
            .any(|prefix| name.starts_with(prefix))
}
