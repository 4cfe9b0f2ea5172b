//! Reading bytes from the front, never beyond the end.

use super::refuse;
use crate::Result;

/// What is left to read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(count)
            .ok()
            .and_then(|count| self.0.split_at_checked(count));
        let (taken, rest) = split.ok_or_else(|| refuse("it ends too early, so copy or download it again"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The bytes up to `end`, which is dropped.
    pub(super) fn until(&mut self, end: u8) -> Result<&'a [u8]> {
        let length = self.0.iter().position(|&byte| byte == end);
        let taken = self.take(length.map_or(u64::MAX, |length| length as u64))?;
        self.take(1)?;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
