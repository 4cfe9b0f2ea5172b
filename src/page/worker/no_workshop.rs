//! What stands in for the workshop in the quick engine: the page is told that the whole one is needed.

use super::loaded::Loaded;
use super::post;
use crate::page::protocol::{Contest, Event, Task};

/// Nothing.
#[derive(Default)]
pub(super) struct Workshop {}

impl Workshop {
    pub(super) async fn take(&mut self, _: &mut Loaded, _: Task, _: &[u8]) {
        post(&Event::Outgrown, None);
    }

    pub(super) async fn contest(&mut self, _: &mut Loaded, _: Contest, _: &[u8]) {
        post(&Event::Outgrown, None);
    }

    pub(super) fn is_working(&self) -> bool {
        false
    }

    pub(super) async fn work(&mut self, _: &Loaded) {}
}
