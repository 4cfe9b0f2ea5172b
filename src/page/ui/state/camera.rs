//! Live verdicts on the camera: one prediction after the other, as fast as the engine is.

use std::rc::Rc;

use web_sys::HtmlVideoElement;

use super::{Bulk, Room, State};
use crate::page::protocol::PredictionSummary;
use destseg_engine::data::map::AnomalyMap;

/// The camera, and the last prediction.
#[derive(Debug, Clone, Default)]
pub struct CameraState {
    /// The camera's picture, while the visitor wants verdicts on it.
    pub video: Option<HtmlVideoElement>,
    /// The last result.
    pub prediction: Option<Rc<CameraPrediction>>,
    /// Why the live verdict ended.
    pub error: Option<Rc<str>>,
    /// The job in the engine.
    working: Option<u32>,
}

/// A prediction of one frame of the camera.
#[derive(Debug, PartialEq)]
pub struct CameraPrediction {
    /// Tells it from the one before.
    pub job: u32,
    /// Score and thresholds.
    pub summary: PredictionSummary,
    /// The map that decides.
    pub map: AnomalyMap,
}

impl CameraState {
    pub(super) fn begin(&mut self, job: u32) {
        self.working = Some(job);
    }

    pub(super) fn on_event(&mut self, job: u32, summary: PredictionSummary, bulk: Option<Bulk>) {
        if self.working.take_if(|own| *own == job).is_none() || self.video.is_none() {
            return;
        }
        match AnomalyMap::new(summary.size.0, summary.size.1, Bulk::values(bulk)) {
            Some(map) => self.prediction = Some(CameraPrediction { job, summary, map }.into()),
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

    /// The engine is a new one: the job in the old one gets no answer.
    pub(super) fn engine_is_new(&mut self) {
        self.working = None;
    }

    fn give_up(&mut self, message: &str) {
        if self.video.take().is_some() {
            self.error = Some(message.into());
        }
        self.prediction = None;
    }
}

impl State {
    pub(super) fn next_camera(&self) -> Option<HtmlVideoElement> {
        let own = &self.camera;
        own.video.clone().filter(|_| own.working.is_none())
    }

    /// Begins the live verdict on a camera, or ends it.
    pub(super) fn set_camera(&mut self, video: Option<HtmlVideoElement>) {
        self.camera.video = video;
        self.camera.prediction = None;
        self.camera.error = None;
    }

    /// Whether the rooms leave the camera to inspection: in the others it only takes photos.
    pub fn is_inspecting(&self) -> bool {
        self.room == Room::Inspect
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen::{JsCast as _, JsValue};

    use super::*;
    use crate::page::protocol::BackendChoice;

    fn watching() -> State {
        let mut state = State::new(BackendChoice::Cpu, None);
        state.set_camera(Some(JsValue::UNDEFINED.unchecked_into()));
        state
    }

    fn summary() -> PredictionSummary {
        PredictionSummary {
            method: Default::default(),
            score: 0.5,
            thresholds: None,
            probabilities: true,
            size: (2, 1),
            unfamiliar: None,
            ms: 1.0,
        }
    }

    fn map() -> Option<Bulk> {
        Some(Bulk::Maps(vec![0.0, 1.0]))
    }

    #[test]
    fn one_prediction_at_a_time() {
        let mut state = watching();
        assert!(state.next_camera().is_some());
        state.camera.begin(4);
        assert!(state.next_camera().is_none());
        state.camera.on_event(3, summary(), map());
        assert!(
            state.camera.prediction.is_none() && state.next_camera().is_none(),
            "another job's answer"
        );
        state.camera.on_event(4, summary(), map());
        assert!(state.camera.prediction.is_some() && state.next_camera().is_some());
        state.camera.begin(5);
        state.camera.engine_is_new();
        assert!(state.next_camera().is_some(), "the new engine watches on");
    }

    #[test]
    fn what_was_switched_off_stays_off() {
        let mut state = watching();
        state.camera.begin(4);
        state.set_camera(None);
        state.camera.on_event(4, summary(), map());
        assert!(state.camera.prediction.is_none() && state.next_camera().is_none());
    }

    #[test]
    fn failures_end_it_with_a_sentence() {
        for fail in [
            (|camera| camera.on_event(4, summary(), None)) as fn(&mut CameraState),
            |camera| camera.fail(4, "No."),
            CameraState::crash,
        ] {
            let mut state = watching();
            state.camera.begin(4);
            fail(&mut state.camera);
            assert!(state.camera.error.is_some() && state.next_camera().is_none());
            state.set_camera(Some(JsValue::UNDEFINED.unchecked_into()));
            assert!(state.camera.error.is_none() && state.next_camera().is_some());
        }
        let mut state = watching();
        state.camera.crash();
        assert!(state.next_camera().is_some(), "it was not the camera's picture");
    }
}
