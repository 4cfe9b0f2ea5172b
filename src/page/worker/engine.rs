//! What the engine does for each command.

use js_sys::Uint8Array;

use super::evaluate::Measuring;
use super::loaded::{Loaded, no_model};
use super::study::study;
use super::workshop::Workshop;
use super::{Deliver, post, post_fatal};
use crate::page::protocol::{Command, Event};
use destseg_engine::Error;
use destseg_engine::error::sentence;

/// The model in place and what is done with it.
pub(super) struct Engine {
    loaded: Loaded,
    measuring: Measuring,
    workshop: Workshop,
}

impl Engine {
    /// Without a device and a model; `deliver` takes what helpers say.
    pub(super) fn new(deliver: Deliver) -> Self {
        Self {
            loaded: Loaded::default(),
            measuring: Measuring::new(deliver),
            workshop: Workshop::default(),
        }
    }

    /// Hears what a helper says.
    pub(super) fn hear(&mut self, number: usize, event: Event, bytes: &[u8]) {
        self.measuring.hear(number, event, bytes);
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
            Command::Teach { task } => return self.workshop.take(loaded, *task, &bytes).await,
            Command::Contest { task } => return self.workshop.contest(loaded, task, &bytes).await,
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
                Ok((look, map)) => {
                    post(&Event::Ablated { job, look }, Some(&map));
                    return;
                }
                Err(err) => (Some(job), Err(err)),
            },
            Command::Measure { task } => {
                let (detector, file) = (loaded.detector.as_ref(), loaded.shared_file());
                let handled = self.measuring.handle(detector, file, task, bytes).await;
                if let Err(err) = handled {
                    post_fatal(&sentence(&err.to_string()));
                }
                return;
            }
            Command::Watch { job, width, height } => match loaded.watch((width, height), &bytes).await {
                Ok((look, map)) => {
                    post(&Event::Watched { job, look }, Some(&map));
                    return;
                }
                Err(err) => (Some(job), Err(err)),
            },
            Command::Analyse { job } => match loaded.analyse(&bytes).await {
                Ok((result, maps)) => {
                    post(&Event::Analysed { job, result }, Some(&maps));
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
        self.workshop.is_working()
    }

    /// Goes on with it.
    pub(super) async fn work(&mut self) {
        self.workshop.work(&self.loaded).await;
    }
}
