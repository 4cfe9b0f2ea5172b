//! The names of tensors in files: those of the reference implementation's state dict, so that its
//! checkpoints load here and ours there.

use burn::module::ParamId;

/// The identity of a parameter by its [`key`], so that an optimiser's saved state finds it again in
/// another process.
pub fn param_id(key: &str) -> ParamId {
    ParamId::from(fnv1a(key))
}

/// FNV-1a of a name.
pub(super) fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The reference's name of the parameter at `path` (field names and indices of our modules).
pub fn key(path: &[String]) -> String {
    // our field names -> the reference's; the longest match at a position wins by order
    const RENAMED: [(&str, &str); 13] = [
        ("head.pyramid.pool.", "head.0.aspp_feature_extractors.0.1."),
        ("head.pyramid.atrous.0.", "head.0.aspp_feature_extractors.1."),
        ("head.pyramid.atrous.1.", "head.0.aspp_feature_extractors.2."),
        ("head.pyramid.atrous.2.", "head.0.aspp_feature_extractors.3."),
        ("head.pyramid.fusion.", "head.0.aspp_fusion_layer."),
        ("head.conv.", "head.1."),
        ("head.norm.", "head.2."),
        ("head.out.", "head.4."),
        ("encoder.stem.conv.", "encoder.conv1."),
        ("encoder.stem.norm.", "encoder.bn1."),
        ("downsample.conv.", "downsample.0."),
        ("downsample.norm.", "downsample.1."),
        ("downsample.", "downsample.0."),
    ];
    let mut parts: Vec<String> = Vec::with_capacity(path.len());
    let mut path = path.iter().peekable();
    while let Some(part) = path.next() {
        let index = path.peek().and_then(|next| next.parse::<usize>().ok());
        match (part.as_str(), index) {
            ("layers", Some(i)) => {
                parts.push(format!("layer{}", i + 1));
                path.next();
            }
            ("decoder", Some(i)) => {
                // the reference counts decoder layers like the encoder's: 4 is the coarsest
                parts.push(format!("decoder_layer{}", 4 - i));
                path.next();
            }
            ("gamma", _) => parts.push("weight".into()),
            ("beta", _) => parts.push("bias".into()),
            (other, _) => parts.push(other.into()),
        }
    }
    let name = parts.join(".");
    RENAMED
        .iter()
        .find(|(ours, _)| name.contains(ours))
        .map_or_else(|| name.clone(), |(ours, theirs)| name.replacen(ours, theirs, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_references() {
        let cases = [
            ("encoder.stem.conv.weight", "encoder.conv1.weight"),
            ("encoder.layers.3.1.bn2.gamma", "encoder.layer4.1.bn2.weight"),
            (
                "encoder.layers.1.0.downsample.norm.running_var",
                "encoder.layer2.0.downsample.1.running_var",
            ),
            ("decoder.0.1.conv1.weight", "decoder_layer4.1.conv1.weight"),
            (
                "decoder.3.0.downsample.conv.weight",
                "decoder_layer1.0.downsample.0.weight",
            ),
            ("res.0.bn1.beta", "res.0.bn1.bias"),
            (
                "head.pyramid.pool.conv.weight",
                "head.0.aspp_feature_extractors.0.1.conv.weight",
            ),
            (
                "head.pyramid.atrous.2.norm.gamma",
                "head.0.aspp_feature_extractors.3.norm.weight",
            ),
            (
                "head.pyramid.fusion.norm.beta",
                "head.0.aspp_fusion_layer.norm.bias",
            ),
            ("head.norm.running_mean", "head.2.running_mean"),
            ("head.out.bias", "head.4.bias"),
            ("layers.1.0.downsample.weight", "layer2.0.downsample.0.weight"),
        ];
        for (ours, theirs) in cases {
            let path: Vec<String> = ours.split('.').map(str::to_owned).collect();
            assert_eq!(key(&path), theirs);
        }
    }
}
