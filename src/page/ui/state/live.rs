//! Verdicts on the camera's picture as it comes: one look after the other, as quickly as the engine goes.

use std::rc::Rc;

use web_sys::HtmlVideoElement;

use super::{Bulk, State};
use crate::page::protocol::Look;
use destseg_engine::data::map::AnomalyMap;

/// What is watched, and what the model said of it last.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The camera's picture, while the visitor wants verdicts on it.
    pub video: Option<HtmlVideoElement>,
    /// The last result.
    pub seen: Option<Rc<Glimpse>>,
    /// Why the camera is no longer watched.
    pub error: Option<Rc<str>>,
    /// The look in the engine.
    working: Option<u32>,
}

/// One look at the camera's picture.
#[derive(Debug, PartialEq)]
pub struct Glimpse {
    /// Tells it from the one before.
    pub job: u32,
    /// Score and thresholds.
    pub look: Look,
    /// The map that decides.
    pub map: AnomalyMap,
}

impl Live {
    pub(super) fn begin(&mut self, job: u32) {
        self.working = Some(job);
    }

    pub(super) fn hear(&mut self, job: u32, look: Look, bulk: Option<Bulk>) {
        if self.working.take_if(|own| *own == job).is_none() || self.video.is_none() {
            return;
        }
        match AnomalyMap::new(look.size.0, look.size.1, Bulk::values(bulk)) {
            Some(map) => self.seen = Some(Glimpse { job, look, map }.into()),
            None => self.give_up("The engine's answer was incomplete: switch the live verdict on again."),
        }
    }

    pub(super) fn fail(&mut self, job: u32, message: &str) {
        if self.working.take_if(|own| *own == job).is_some() {
            self.give_up(message);
        }
    }

    /// The engine went down; if it had a picture of the camera, it shall not get the next one unasked.
    pub(super) fn crash(&mut self) {
        if self.working.take().is_some() {
            self.give_up("The engine stopped while it watched: switch the live verdict on again.");
        }
    }

    /// The engine is another one, which knows of no look.
    pub(super) fn engine_is_new(&mut self) {
        self.working = None;
    }

    fn give_up(&mut self, message: &str) {
        if self.video.take().is_some() {
            self.error = Some(message.into());
        }
        self.seen = None;
    }
}

impl State {
    pub(super) fn next_watch(&self) -> Option<HtmlVideoElement> {
        let own = &self.live;
        own.video.clone().filter(|_| own.working.is_none())
    }

    /// Watches a camera's picture, or no longer.
    pub(super) fn watch(&mut self, video: Option<HtmlVideoElement>) {
        self.live.video = video;
        self.live.seen = None;
        self.live.error = None;
    }

    /// Whether the rooms leave the camera to inspection: in the others it only takes photos.
    pub fn is_inspecting(&self) -> bool {
        !(self.teach.open || self.compare.open || self.evaluate.open)
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen::{JsCast as _, JsValue};

    use super::*;
    use crate::page::protocol::BackendChoice;

    fn watching() -> State {
        let mut state = State::new(BackendChoice::Cpu, None);
        state.watch(Some(JsValue::UNDEFINED.unchecked_into()));
        state
    }

    fn look() -> Look {
        Look {
            method: Default::default(),
            score: 0.5,
            thresholds: None,
            probabilities: true,
            size: (2, 1),
            ms: 1.0,
        }
    }

    fn map() -> Option<Bulk> {
        Some(Bulk::Maps(vec![0.0, 1.0]))
    }

    #[test]
    fn one_look_at_a_time() {
        let mut state = watching();
        assert!(state.next_watch().is_some());
        state.live.begin(4);
        assert!(state.next_watch().is_none());
        state.live.hear(3, look(), map());
        assert!(
            state.live.seen.is_none() && state.next_watch().is_none(),
            "another look's answer"
        );
        state.live.hear(4, look(), map());
        assert!(state.live.seen.is_some() && state.next_watch().is_some());
        state.live.begin(5);
        state.live.engine_is_new();
        assert!(state.next_watch().is_some(), "the new engine watches on");
    }

    #[test]
    fn what_was_switched_off_stays_off() {
        let mut state = watching();
        state.live.begin(4);
        state.watch(None);
        state.live.hear(4, look(), map());
        assert!(state.live.seen.is_none() && state.next_watch().is_none());
    }

    #[test]
    fn failures_end_it_with_a_sentence() {
        for fail in [
            (|live| live.hear(4, look(), None)) as fn(&mut Live),
            |live| live.fail(4, "No."),
            Live::crash,
        ] {
            let mut state = watching();
            state.live.begin(4);
            fail(&mut state.live);
            assert!(state.live.error.is_some() && state.next_watch().is_none());
            state.watch(Some(JsValue::UNDEFINED.unchecked_into()));
            assert!(state.live.error.is_none() && state.next_watch().is_some());
        }
        let mut state = watching();
        state.live.crash();
        assert!(state.next_watch().is_some(), "it was not the camera's picture");
    }
}
