//! Sharing work among threads, where there are any.

use std::cell::RefCell;

/// Does `work` for all items, on all threads.
#[cfg(feature = "threads")]
pub fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
    use rayon::prelude::*;
    let items: Vec<T> = items.collect();
    if items.len() == 1 {
        items.into_iter().for_each(work);
    } else {
        items.into_par_iter().for_each(work);
    }
}

/// Does `work` for all items, one after the other.
#[cfg(not(feature = "threads"))]
pub fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
    items.for_each(work);
}

/// How many threads [`for_each`] has: those of the machine, or as many as the environment variable `RAYON_NUM_THREADS` says.
#[cfg(feature = "threads")]
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// How many threads [`for_each`] has.
#[cfg(not(feature = "threads"))]
pub fn threads() -> usize {
    1
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `work` this thread's memory of `len` values, whatever they are. Must not be nested.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        work(&mut scratch[..len])
    })
}
