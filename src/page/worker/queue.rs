//! Images of the queue that helpers look at. What they say is passed on to the page; an image whose helper was lost
//! goes to another, once.

use std::collections::BTreeSet;

use js_sys::Uint8Array;

use super::loaded::Loaded;
use super::pool::{Assignment, Owner, Pool, Shared};
use super::{Deliver, Message, post};
use crate::page::protocol::{Command, Event, ManifestFile, STOPPED_TWICE};
use destseg_engine::inspect::Detector;
use destseg_engine::verdict::calibration::Calibration;

/// Helpers and what they do.
pub(super) struct Queue {
    pool: Pool,
    /// Images that a helper was lost over.
    suspects: BTreeSet<u32>,
    deliver: Deliver,
}

impl Queue {
    /// Without helpers.
    pub(super) fn new(deliver: Deliver) -> Self {
        Self {
            pool: Pool::default(),
            suspects: BTreeSet::new(),
            deliver,
        }
    }

    /// Starts helpers for so many images in place of those there are, and tells the page how many it may send.
    pub(super) fn start(&mut self, loaded: &Loaded, images: usize, teachers: &[ManifestFile]) {
        self.end();
        if let Some(file) = loaded.shared_file() {
            let calibration = loaded.detector.as_ref().and_then(Detector::calibration);
            let shared = Shared {
                file,
                teachers,
                calibration,
            };
            self.pool = Pool::start(Owner::Queue, &shared, images, &self.deliver);
        }
        self.tell();
    }

    fn tell(&self) {
        let at_once = self.pool.capacity().max(1);
        post(&Event::Helpers { at_once }, None);
    }

    /// Ends all helpers; the page no longer waits for their images.
    pub(super) fn end(&mut self) {
        self.pool = Pool::default();
        self.suspects.clear();
    }

    /// Puts other thresholds in force, and other corrections.
    pub(super) fn set_calibration(&mut self, calibration: &Calibration) {
        self.pool.set_calibration(calibration);
    }

    /// Gives an image to a helper, or back: a helper has no maps of it.
    pub(super) fn give(&mut self, job: u32, assignment: Assignment) -> Option<Assignment> {
        match assignment.0 {
            Command::Inspect { brief: true, .. } => self.pool.give(job, assignment),
            _ => Some(assignment),
        }
    }

    /// Takes an event of a helper.
    pub(super) fn on_event(&mut self, helper: usize, event: Event, bytes: &[u8]) {
        match event {
            Event::Ready { .. } => self.pool.ready(helper),
            Event::Inspected { job, .. } | Event::Failed { job: Some(job), .. }
                if self.pool.done(helper, job).is_some() =>
            {
                post(&event, Some(&Uint8Array::from(bytes).buffer()));
            }
            Event::Fatal { .. } | Event::Failed { .. } => self.lost(helper),
            // it prepares itself
            _ => {}
        }
    }

    fn lost(&mut self, helper: usize) {
        let mut images = self.pool.lost(helper);
        if let Some((job, _)) = images.first_key_value() {
            let job = *job;
            if !self.suspects.insert(job) {
                images.remove(&job);
                let message = STOPPED_TWICE.into();
                post(
                    &Event::Failed {
                        job: Some(job),
                        message,
                    },
                    None,
                );
            }
        }
        self.tell();
        for (command, bytes) in images.into_values() {
            (self.deliver)(Message::Command(command, bytes));
        }
    }
}
