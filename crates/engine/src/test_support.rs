//! Reads the reference arrays that the tests compare with.

use std::path::PathBuf;

use safetensors::SafeTensors;

use crate::data::image::RgbImage;

/// The named arrays of one file.
pub(crate) struct Fixture(Vec<u8>);

/// `preprocess.safetensors`, or `None` with a note where the shared folder is absent.
pub(crate) fn preprocess() -> Option<Fixture> {
    Fixture::open("preprocess.safetensors")
}

/// A file of the shared fixtures folder.
pub(crate) fn path(name: &str) -> PathBuf {
    let shared = std::env::var_os("DESTSEG_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("fixtures").join(name)
}

/// A file of expected numbers; `None`, with a note, where it is absent.
pub(crate) fn expected(name: &str) -> Option<serde_json::Value> {
    let path = path(name);
    let Ok(text) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(serde_json::from_slice(&text).expect("is JSON"))
}

/// Fails at the first pair that is further apart than `tolerance`.
#[track_caller]
pub(crate) fn assert_close(ours: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), expected.len());
    for (i, (a, b)) in ours.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "at {i}: {a} is not {b}");
    }
}

impl Fixture {
    pub(crate) fn open(name: &str) -> Option<Self> {
        let path = path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Some(Self(bytes)),
            Err(_) => {
                eprintln!("skipped: {} is not there", path.display());
                None
            }
        }
    }

    fn array(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let view = tensors.tensor(name).expect("the array is there");
        (view.shape().to_vec(), view.data().to_vec())
    }

    pub(crate) fn shape(&self, name: &str) -> Vec<usize> {
        self.array(name).0
    }

    pub(crate) fn u8(&self, name: &str) -> Vec<u8> {
        self.array(name).1
    }

    pub(crate) fn f32(&self, name: &str) -> Vec<f32> {
        let bytes = self.u8(name);
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect()
    }

    pub(crate) fn f64(&self, name: &str) -> Vec<f64> {
        let bytes = self.u8(name);
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f64::from_le_bytes(b))
            .collect()
    }

    pub(crate) fn rgb(&self, name: &str) -> RgbImage {
        let (shape, data) = self.array(name);
        RgbImage::from_raw(shape[1] as u32, shape[0] as u32, data).expect("height x width x 3")
    }
}

/// Reproducible weights for a network's tensors that keep activations near 1, variances positive and every term in play.
pub(crate) fn randomised(graph: &crate::arch::Graph) -> crate::arch::weights::Weights {
    let mut weights = crate::arch::weights::Weights::default();
    let mut noise = noise(1);
    for (name, shape) in graph.tensors("").iter() {
        let fan_in: usize = shape.iter().skip(1).product();
        let value = |u: f32| match shape.len() {
            4 => u * (5.0 / fan_in as f32).sqrt(),
            _ if name.ends_with("running_var") => 1.0 + 0.5 * u,
            _ if name.contains("bn") && name.ends_with("weight") => 1.0 + 0.3 * u,
            2 => u,
            _ => 0.3 * u,
        };
        let data = (0..shape.iter().product()).map(|_| value(noise())).collect();
        let shape = shape.to_vec();
        weights.insert(name.to_owned(), crate::arch::weights::Array { shape, data });
    }
    weights
}

/// Numbers in [-1, 1) that look random, always the same.
pub(crate) fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

/// A map of such numbers.
pub(crate) fn grid(seed: u32, [height, width, channels]: [usize; 3]) -> destseg_kernels::Grid {
    let mut grid = destseg_kernels::Grid::zeros(height, width, channels);
    let mut noise = noise(seed.wrapping_mul(2_654_435_761).wrapping_add(7));
    grid.data.iter_mut().for_each(|value| *value = noise());
    grid
}

/// Every network that the presets and their settings can make, small.
pub(crate) fn networks() -> Vec<crate::config::ModelConfig> {
    use crate::config::{FusionInput, ModelConfig, Preset, Stem};
    let small = |preset| ModelConfig {
        input_size: 96,
        ..ModelConfig::preset(preset)
    };
    let mut configs = vec![small(Preset::Compact), small(Preset::Paper)];
    // the other way round in everything that the presets choose
    for mut config in configs.clone() {
        if let Some(network) = &mut config.segmentation {
            network.squeeze = !network.squeeze;
            network.rates = [1, 2, 5];
            network.blocks = 2;
            network.evidence = match network.evidence {
                FusionInput::Products | FusionInput::ProductsDifferencesAndFeatures => {
                    FusionInput::ProductsAndDifferences
                }
                FusionInput::ProductsAndDifferences => FusionInput::ProductsDifferencesAndFeatures,
            };
        }
        config.student.stem = match config.student.stem {
            Stem::Conv => Stem::Resnet,
            Stem::Resnet => Stem::Conv,
        };
        config.student.blocks = 3 - config.student.blocks;
        configs.push(config);
    }
    for preset in [Preset::Compact, Preset::Paper] {
        configs.push(ModelConfig {
            input_size: 64,
            ..ModelConfig::stpm(preset)
        });
    }
    configs
}
