//! Memory that goes from one layer to a later one.

use std::sync::{Mutex, PoisonError};

use crate::Grid;

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Vec<Vec<f32>>>);

impl Pool {
    /// A grid of this size; its values are whatever they were.
    pub fn take(&self, height: usize, width: usize, channels: usize) -> Grid {
        let len = height * width * channels;
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // a network needs the same sizes again and again; others would have to be filled
        let found = free.iter().position(|buffer| buffer.len() == len);
        let data = found.map(|at| free.swap_remove(at));
        drop(free);
        Grid {
            height,
            width,
            channels,
            data: data.unwrap_or_else(|| vec![0.0; len]),
        }
    }

    /// Keeps the memory of a grid that is done with.
    pub fn give(&self, grid: Grid) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(grid.data);
    }
}
