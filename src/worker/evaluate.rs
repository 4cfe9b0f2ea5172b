//! Measuring the loaded model on the images that the page sends one by one.

use js_sys::Uint8Array;

use super::post;
use crate::error::sentence;
use crate::evaluation::{Session, Subject};
use crate::inference::Detector;
use crate::protocol::{Event, Measure, MeasureEvent};
use crate::{Error, Result};

/// The evaluation that goes on, and its name.
#[derive(Default)]
pub(super) struct Measuring(Option<(u32, Session)>);

fn tell(event: MeasureEvent, bytes: Option<&[u8]>) {
    let buffer = bytes.map(|bytes| Uint8Array::from(bytes).buffer());
    post(&Event::Measure { event }, buffer.as_ref());
}

impl Measuring {
    /// Does one task; what goes wrong is told, a lost device is an error.
    pub(super) async fn handle(
        &mut self,
        detector: Option<&Detector>,
        task: Measure,
        bytes: &[u8],
    ) -> Result<()> {
        let run = task.run();
        let Some(detector) = detector else {
            let message = "No model is loaded yet: choose one first.".into();
            tell(MeasureEvent::Failed { run, message }, None);
            return Ok(());
        };
        match self.work(detector, task, bytes).await {
            Err(Error::Device(reason)) => Err(Error::Device(reason)),
            Err(err) => {
                let message = sentence(&err.to_string());
                tell(MeasureEvent::Failed { run, message }, None);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn work(&mut self, detector: &Detector, task: Measure, bytes: &[u8]) -> Result<()> {
        let gone = || Error::Metric("the evaluation was given up: start it again".into());
        match task {
            Measure::Begin { run } => {
                self.0 = Some((run, Session::new(detector)));
                tell(MeasureEvent::Begun { run }, None);
            }
            Measure::Image {
                run,
                place,
                name,
                class,
                image_bytes,
                has_mask,
            } => {
                let Some((_, session)) = self.0.as_mut().filter(|own| own.0 == run) else {
                    return Err(gone());
                };
                let (image, mask) = bytes.split_at_checked(image_bytes).unwrap_or((bytes, &[]));
                let subject = Subject {
                    name: &name,
                    class: &class,
                    image,
                    mask: has_mask.then_some(mask),
                };
                let seen = session.add(detector, subject).await?;
                let event = MeasureEvent::Seen {
                    run,
                    place,
                    result: seen.result.into(),
                    bytes: session.bytes(),
                };
                tell(event, Some(&seen.picture));
            }
            Measure::Finish {
                run,
                category,
                model,
                notes,
            } => {
                let Some((_, session)) = self.0.take().filter(|own| own.0 == run) else {
                    return Err(gone());
                };
                let evaluation = session.finish(&category, &model, notes).into();
                tell(MeasureEvent::Measured { run, evaluation }, None);
            }
        }
        Ok(())
    }
}
