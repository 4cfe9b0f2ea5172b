//! Training and comparison in the CPU engine: both need the GPU engine, and the page is told so.

use super::loaded::Loaded;
use super::post;
use crate::page::protocol::{CompareCommand, Event, TrainCommand};

/// Nothing.
#[derive(Default)]
pub(super) struct Training {}

impl Training {
    pub(super) async fn handle_train(&mut self, _: &mut Loaded, _: TrainCommand, _: &[u8]) {
        post(&Event::NeedsGpuEngine, None);
    }

    pub(super) async fn handle_compare(&mut self, _: &mut Loaded, _: CompareCommand, _: &[u8]) {
        post(&Event::NeedsGpuEngine, None);
    }

    pub(super) fn is_working(&self) -> bool {
        false
    }

    pub(super) async fn work(&mut self, _: &Loaded) {}
}
