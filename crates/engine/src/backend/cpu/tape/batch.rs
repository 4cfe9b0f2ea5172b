//! The grids of a batch's images, whose memory the next step uses again.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use destseg_kernels::Grid;
use destseg_kernels::pool::Pool;

/// The grids of a batch's images.
#[derive(Debug)]
pub struct Batch {
    grids: Vec<Grid>,
    /// Where their memory comes from and goes to; none if it comes from elsewhere.
    pool: Option<Arc<Pool>>,
}

impl Batch {
    /// Grids of one size, whose values are whatever they were.
    pub(super) fn take(pool: &Arc<Pool>, images: usize, [height, width, channels]: [usize; 3]) -> Self {
        Self {
            grids: (0..images).map(|_| pool.take(height, width, channels)).collect(),
            pool: Some(Arc::clone(pool)),
        }
    }

    /// Grids of as many images, of the same pool, whose values are whatever they were.
    pub(super) fn beside(&self, [height, width, channels]: [usize; 3]) -> Self {
        match &self.pool {
            Some(pool) => Self::take(pool, self.len(), [height, width, channels]),
            None => vec![Grid::zeros(height, width, channels); self.len()].into(),
        }
    }

    /// The size of each grid: rows, pixels per row, values per pixel.
    pub(super) fn size(&self) -> [usize; 3] {
        self.first()
            .map_or([0; 3], |first| [first.height, first.width, first.channels])
    }
}

impl From<Vec<Grid>> for Batch {
    fn from(grids: Vec<Grid>) -> Self {
        Self { grids, pool: None }
    }
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        let mut copy = self.beside(self.size());
        for (to, from) in copy.iter_mut().zip(self.iter()) {
            to.data.copy_from_slice(&from.data);
        }
        copy
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            self.grids.drain(..).for_each(|grid| pool.give(grid));
        }
    }
}

impl Deref for Batch {
    type Target = [Grid];

    fn deref(&self) -> &[Grid] {
        &self.grids
    }
}

impl DerefMut for Batch {
    fn deref_mut(&mut self) -> &mut [Grid] {
        &mut self.grids
    }
}
