//! Weights that come from a formula, as those of the reference's numbers do.

use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::{Array, Weights};

/// The fixtures' portable random numbers in [-0.5, 0.5): a hash of a tensor's name and an index.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0..count as u32)
        .map(|index| {
            let mut x = index.wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            x ^= x >> 16;
            (f64::from(x) / 4_294_967_296.0 - 0.5) as f32
        })
        .collect()
}

/// The fixtures' weights for a tensor of the state dict.
pub(crate) fn formula(name: &str, shape: &[usize]) -> Array {
    let (offset, scale) = if let [_, inputs, height, width] = shape {
        (
            0.0,
            (2.0 * (6.0 / (inputs * height * width) as f64).sqrt()) as f32,
        )
    } else if shape.len() == 2 {
        (0.0, 4.0)
    } else if name.ends_with("_ema_cluster_size") {
        (2.0, 2.0)
    } else if name.ends_with("running_var") {
        (1.0, 0.4)
    } else if name.ends_with(".weight") {
        (1.0, 0.2)
    } else {
        (0.0, 0.2)
    };
    let data = uniform(name, shape.iter().product());
    Array {
        shape: shape.to_vec(),
        data: data.into_iter().map(|u| offset + scale * u).collect(),
    }
}

/// Names and shapes of torchvision's `resnet18` up to its third layer.
pub(crate) fn teacher_shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut unit = |conv: String, norm: String, shape: [usize; 4]| {
        shapes.push((format!("{conv}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    unit("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    for (layer, (inputs, outputs)) in [(64, 64), (64, 128), (128, 256)].into_iter().enumerate() {
        for block in 0..2 {
            let at = |part: &str| format!("layer{}.{block}.{part}", layer + 1);
            let inputs = if block == 0 { inputs } else { outputs };
            unit(at("conv1"), at("bn1"), [outputs, inputs, 3, 3]);
            unit(at("conv2"), at("bn2"), [outputs, outputs, 3, 3]);
            if inputs != outputs {
                unit(at("downsample.0"), at("downsample.1"), [outputs, inputs, 1, 1]);
            }
        }
    }
    shapes
}

pub(crate) fn formula_teacher() -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in teacher_shapes() {
        let array = formula(&format!("{}{name}", prefix::TEACHER), &shape);
        weights.insert(name, array);
    }
    weights
}
