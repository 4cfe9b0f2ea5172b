//! What the engine does for each command.

use js_sys::Uint8Array;

use super::evaluate::Evaluating;
use super::loaded::{Loaded, no_model};
use super::study::study;
use super::training::Training;
use super::{Deliver, post, post_fatal};
use crate::page::protocol::{Command, Event};
use destseg_engine::Error;
use destseg_engine::error::sentence;

/// The model in place and what is done with it.
pub(super) struct Engine {
    loaded: Loaded,
    evaluating: Evaluating,
    training: Training,
}

impl Engine {
    /// Without a device and a model; `deliver` takes what helpers say.
    pub(super) fn new(deliver: Deliver) -> Self {
        Self {
            loaded: Loaded::default(),
            evaluating: Evaluating::new(deliver),
            training: Training::default(),
        }
    }

    /// Hears what a helper says.
    pub(super) fn on_event(&mut self, number: usize, event: Event, bytes: &[u8]) {
        self.evaluating.on_event(number, event, bytes);
    }

    /// Runs one command to its end; every failure becomes an event.
    pub(super) async fn handle(&mut self, command: Command, bytes: Vec<u8>) {
        let loaded = &mut self.loaded;
        let (job, result) = match command {
            Command::Start { backend } => (None, loaded.start(backend).await.map(Event::DeviceReady)),
            Command::LoadShipped { job, model, teacher } => {
                (Some(job), loaded.load_shipped(job, &model, &teacher).await)
            }
            Command::LoadFile { job, name, teachers } => {
                (Some(job), loaded.load_file(job, name, bytes, &teachers).await)
            }
            Command::Train { command } => return self.training.handle_train(loaded, *command, &bytes).await,
            Command::Compare { command } => {
                return self.training.handle_compare(loaded, command, &bytes).await;
            }
            Command::Study {
                job,
                damage,
                image_bytes,
            } => {
                let studied = match &loaded.detector {
                    Some(detector) => study(detector, damage, image_bytes, &bytes).await,
                    None => Err(no_model()),
                };
                match studied {
                    Ok((study, buffer)) => {
                        let buffer = Uint8Array::from(buffer.as_slice()).buffer();
                        post(&Event::Studied { job, study }, Some(&buffer));
                        return;
                    }
                    Err(err) => (Some(job), Err(err)),
                }
            }
            Command::Ablate { job, model, teacher } => match loaded.ablate(&model, &teacher, &bytes).await {
                Ok((summary, map)) => {
                    post(&Event::Ablated { job, summary }, Some(&map));
                    return;
                }
                Err(err) => (Some(job), Err(err)),
            },
            Command::Evaluate { command } => {
                let (detector, file) = (loaded.detector.as_ref(), loaded.shared_file());
                let handled = self.evaluating.handle(detector, file, command, bytes).await;
                if let Err(err) = handled {
                    post_fatal(&sentence(&err.to_string()));
                }
                return;
            }
            Command::Camera { job, width, height } => {
                match loaded.predict_frame((width, height), &bytes).await {
                    Ok((summary, map)) => {
                        post(&Event::Camera { job, summary }, Some(&map));
                        return;
                    }
                    Err(err) => (Some(job), Err(err)),
                }
            }
            Command::Inspect { job } => match loaded.inspect(&bytes).await {
                Ok((result, maps)) => {
                    post(&Event::Inspected { job, result }, Some(&maps));
                    return;
                }
                Err(err) => (Some(job), Err(err)),
            },
        };
        match result {
            Ok(event) => post(&event, None),
            // a lost device does not come back inside this worker
            Err(Error::Device(reason)) => post_fatal(&sentence(&reason)),
            Err(err) => post(
                &Event::Failed {
                    job,
                    message: sentence(&err.to_string()),
                },
                None,
            ),
        }
    }

    /// Whether there is something to go on with between commands.
    pub(super) fn is_working(&self) -> bool {
        self.training.is_working()
    }

    /// Goes on with it.
    pub(super) async fn work(&mut self) {
        self.training.work(&self.loaded).await;
    }
}
