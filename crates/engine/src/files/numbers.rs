//! Floating-point numbers as files store them, little endian.

use half::{bf16, f16};

/// A number type; everything is computed in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// All numbers of `bytes`; what is too large for `f32` becomes infinite.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
        }
        match self {
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_number_types_become_f32() {
        let value = -2.5_f32;
        let cases = [
            (Number::F16, f16::from_f32(value).to_le_bytes().to_vec()),
            (Number::Bf16, bf16::from_f32(value).to_le_bytes().to_vec()),
            (Number::F32, value.to_le_bytes().to_vec()),
            (Number::F64, f64::from(value).to_le_bytes().to_vec()),
        ];
        for (number, bytes) in cases {
            assert_eq!(bytes.len(), number.size());
            assert_eq!(number.decode(&bytes.repeat(3)), [value; 3], "{number:?}");
        }
    }
}
