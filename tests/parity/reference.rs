//! The reference's numbers, weights and inputs.

use std::fs;
use std::path::{Path, PathBuf};

use destseg_engine::arch;
use destseg_engine::arch::weights::Weights;
use destseg_engine::config::{ModelConfig, Preset};
use serde_json::Value;

pub(crate) use crate::arrays::{check, input, planes};
use crate::formula::teacher_shapes;
pub(crate) use crate::formula::{formula, formula_teacher, uniform};

/// The folder of the specification and its numbers, which may be absent.
pub(crate) fn shared() -> PathBuf {
    std::env::var_os("DESTSEG_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    )
}

/// A file of expected numbers; `None`, with a note, where it is absent.
pub(crate) fn expected(name: &str) -> Option<Value> {
    let path = shared().join("fixtures").join(name);
    let Ok(text) = fs::read(&path) else {
        println!("skipped: {} is absent", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).expect("is JSON"))
}

/// The paper's networks with the formula's weights, for images of `side` pixels.
pub(crate) fn paper(side: usize) -> (ModelConfig, Weights) {
    let config = ModelConfig {
        input_size: side,
        ..ModelConfig::preset(Preset::Paper)
    };
    let mut weights = Weights::default();
    for (name, shape) in arch::tensors(&config).iter() {
        weights.insert(name.to_owned(), formula(name, shape));
    }
    (config, weights)
}

/// Numbers that PyTorch counts as parameters of the paper's networks, the teacher's included.
pub(crate) fn parameters() -> usize {
    let (_, weights) = paper(256);
    let trained = weights
        .iter()
        .map(|(name, array)| (name.to_owned(), array.shape.clone()));
    teacher_shapes()
        .into_iter()
        .chain(trained)
        .filter(|(name, _)| !name.contains("running_"))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum()
}
