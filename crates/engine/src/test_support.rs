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
