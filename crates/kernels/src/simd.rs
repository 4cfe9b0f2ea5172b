//! Vectors of the machine: the best instruction set is found at run time natively and is fixed in wasm.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd};

/// Vectors per panel of output channels.
pub(crate) const VECTORS: usize = 2;

/// The instruction set of this machine; the first call looks, later ones remember.
pub(crate) fn level() -> Level {
    Level::new()
}

/// Output channels per panel of packed weights.
pub(crate) fn panel() -> usize {
    fearless_simd::dispatch!(level(), simd => panel_of(simd))
}

/// [`panel`] where the instruction set is known.
#[inline(always)]
pub(crate) fn panel_of<S: Simd>(_: S) -> usize {
    VECTORS * S::f32s::LEN
}

/// The first values of `data`, and zeros where it is shorter than a vector.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, data: &[f32]) -> S::f32s {
    let lanes = S::f32s::LEN;
    if data.len() >= lanes {
        S::f32s::from_slice(simd, &data[..lanes])
    } else {
        let mut vector = S::f32s::splat(simd, 0.0);
        vector.as_mut_slice()[..data.len()].copy_from_slice(data);
        vector
    }
}

/// Writes as much of `vector` as `data` takes.
#[inline(always)]
pub(crate) fn store<S: Simd>(vector: S::f32s, data: &mut [f32]) {
    let lanes = S::f32s::LEN;
    if data.len() >= lanes {
        vector.store_slice(&mut data[..lanes]);
    } else {
        data.copy_from_slice(&vector.as_slice()[..data.len()]);
    }
}
