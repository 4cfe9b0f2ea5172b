//! What the engine does for each command.

use js_sys::ArrayBuffer;

use super::evaluate::Evaluating;
use super::loaded::Loaded;
use super::pool::Owner;
use super::queue::Queue;
use super::study::study;
use super::training::Training;
use super::{Deliver, post, post_fatal};
use crate::page::protocol::{Command, Event};
use destseg_engine::error::sentence;
use destseg_engine::{Error, Result};

/// The model in place and what is done with it.
pub(super) struct Engine {
    loaded: Loaded,
    queue: Queue,
    evaluating: Evaluating,
    training: Training,
}

impl Engine {
    /// Without a device and a model; `deliver` takes what helpers say.
    pub(super) fn new(deliver: Deliver) -> Self {
        Self {
            loaded: Loaded::default(),
            queue: Queue::new(deliver.clone()),
            evaluating: Evaluating::new(deliver),
            training: Training::default(),
        }
    }

    /// Takes an event of a helper.
    pub(super) fn on_event(&mut self, owner: Owner, number: usize, event: Event, bytes: &[u8]) {
        match owner {
            Owner::Queue => self.queue.on_event(number, event, bytes),
            Owner::Evaluation => self.evaluating.on_event(number, event, bytes),
        }
    }

    /// Runs one command to its end; every failure becomes an event.
    pub(super) async fn handle(&mut self, command: Command, bytes: Vec<u8>) {
        let loaded = &mut self.loaded;
        match command {
            Command::Start { backend } => {
                let result = loaded.start(backend).await;
                reply(None, result, |device| (Event::DeviceReady(device), None));
            }
            Command::LoadShipped { job, model, teacher } => {
                self.queue.end();
                let result = loaded.load_shipped(job, &model, &teacher).await;
                reply(Some(job), result, |event| (event, None));
            }
            Command::LoadFile { job, name, teachers } => {
                self.queue.end();
                let result = loaded.load_file(job, name, bytes, &teachers).await;
                reply(Some(job), result, |event| (event, None));
            }
            Command::SetCalibration { calibration } => {
                self.queue.set_calibration(&calibration);
                if let Some(detector) = &mut loaded.detector {
                    detector.set_calibration(Some(*calibration));
                }
            }
            Command::Helpers { images, teachers } => self.queue.start(loaded, images, &teachers),
            Command::Inspect { job, painted, brief } => {
                let command = Command::Inspect { job, painted, brief };
                let Some((command, bytes)) = self.queue.give(job, (command, bytes)) else {
                    return;
                };
                let Command::Inspect { painted, .. } = command else {
                    return;
                };
                let result = loaded.inspect(&bytes, &painted, brief).await;
                reply(Some(job), result, |(result, buffer)| {
                    (Event::Inspected { job, result }, Some(buffer))
                });
            }
            Command::Camera { job, width, height } => {
                let result = loaded.predict_frame((width, height), bytes).await;
                reply(Some(job), result, |(summary, map)| {
                    (Event::Camera { job, summary }, Some(map))
                });
            }
            Command::Ablate { job, model, teacher } => {
                let result = loaded.ablate(&model, &teacher, &bytes).await;
                reply(Some(job), result, |(summary, map)| {
                    (Event::Ablated { job, summary }, Some(map))
                });
            }
            Command::Study {
                job,
                damage,
                image_bytes,
            } => {
                let result = study(loaded, damage, image_bytes, &bytes).await;
                reply(Some(job), result, |(study, buffer)| {
                    (Event::Studied { job, study }, Some(buffer))
                });
            }
            Command::Train { command } => self.training.handle_train(loaded, *command, &bytes).await,
            Command::Compare { command } => self.training.handle_compare(loaded, command, &bytes).await,
            Command::Evaluate { command } => {
                let (detector, file) = (loaded.detector.as_ref(), loaded.shared_file());
                // its own failures are events; what is left is a lost device
                if let Err(err) = self.evaluating.handle(detector, file, command, bytes).await {
                    post_fatal(&sentence(&err.to_string()));
                }
            }
        }
    }

    /// Whether there is something to go on with between commands.
    pub(super) fn is_working(&self) -> bool {
        self.training.is_working()
    }

    /// Continues the work.
    pub(super) async fn work(&mut self) {
        self.training.work(&self.loaded).await;
    }
}

/// Posts the answer to a command with its buffer, or why there is none.
fn reply<T>(job: Option<u32>, result: Result<T>, answer: impl FnOnce(T) -> (Event, Option<ArrayBuffer>)) {
    match result {
        Ok(value) => {
            let (event, buffer) = answer(value);
            post(&event, buffer.as_ref());
        }
        // a lost device does not come back inside this worker
        Err(Error::Device(reason)) => post_fatal(&sentence(&reason)),
        Err(err) => {
            let message = sentence(&err.to_string());
            post(&Event::Failed { job, message }, None);
        }
    }
}
