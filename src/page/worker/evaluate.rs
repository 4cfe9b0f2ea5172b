//! Evaluating the loaded model on the images that the page sends one by one, with helpers where there are
//! processors for them.

use js_sys::Uint8Array;

use super::loaded::no_model;
use super::pool::{Owner, Pool, Shared};
use super::{Deliver, Message, post};
use crate::page::protocol::{Command, EvaluateCommand, EvaluateEvent, Event, HelperPrediction};
use crate::page::shared;
use destseg_engine::data::annotations::MarkFile;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::error::sentence;
use destseg_engine::evaluation::{Prediction, Session, Subject};
use destseg_engine::inspect::Detector;
use destseg_engine::{Error, Result};

/// Images that are here or on their way at the same time without helpers: while one is measured, the next is
/// read.
const ALONE: usize = 2;

/// The evaluation in progress.
struct Run {
    number: u32,
    session: Session,
    pool: Pool,
}

/// Measures; one evaluation at a time.
pub(super) struct Evaluating {
    run: Option<Run>,
    deliver: Deliver,
}

fn post_evaluate(event: EvaluateEvent, bytes: Option<&[u8]>) {
    let buffer = bytes.map(|bytes| Uint8Array::from(bytes).buffer());
    post(&Event::Evaluate { event }, buffer.as_ref());
}

fn fail(run: u32, err: &Error) {
    let message = sentence(&err.to_string());
    post_evaluate(EvaluateEvent::Failed { run, message }, None);
}

impl Evaluating {
    pub(super) fn new(deliver: Deliver) -> Self {
        Self { run: None, deliver }
    }

    /// Runs one command. Failures are posted as events; only a lost device is an error. `file` is the model's, where
    /// helpers may have it.
    pub(super) async fn handle(
        &mut self,
        detector: Option<&Detector>,
        file: Option<&[u8]>,
        command: EvaluateCommand,
        bytes: Vec<u8>,
    ) -> Result<()> {
        let run = command.run();
        let Some(detector) = detector else {
            fail(run, &no_model());
            return Ok(());
        };
        match self.work(detector, file, command, bytes).await {
            Err(Error::Device(reason)) => Err(Error::Device(reason)),
            Err(err) => {
                fail(run, &err);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn work(
        &mut self,
        detector: &Detector,
        file: Option<&[u8]>,
        command: EvaluateCommand,
        bytes: Vec<u8>,
    ) -> Result<()> {
        match command {
            EvaluateCommand::Begin {
                run: number,
                images,
                teachers,
            } => {
                let share = |file| {
                    let shared = Shared {
                        file,
                        teachers: &teachers,
                        calibration: detector.calibration(),
                    };
                    Pool::start(Owner::Evaluation, &shared, images, &self.deliver)
                };
                let pool = file.map(share).unwrap_or_default();
                let at_once = pool.capacity().max(ALONE);
                self.run = Some(Run {
                    number,
                    session: Session::new(detector),
                    pool,
                });
                post_evaluate(EvaluateEvent::Begun { run: number, at_once }, None);
            }
            EvaluateCommand::Image {
                run,
                index,
                ref image_bytes,
                ..
            } => {
                let length = image_bytes.as_ref().copied().unwrap_or_default();
                let own = self.current(run)?;
                if let Some((command, bytes)) = own
                    .pool
                    .give(index as u32, (Command::Evaluate { command }, bytes))
                {
                    let image = bytes.get(..length).unwrap_or(&bytes);
                    let prediction = Prediction::of(detector, image).await?;
                    own.take(&command, &bytes, prediction)?;
                }
            }
            EvaluateCommand::Predict { run, index } => {
                let prediction = Prediction::of(detector, &bytes).await?;
                let mut buffer = Vec::new();
                let prediction = prediction.map(|prediction| packed(&prediction, &mut buffer));
                post_evaluate(
                    EvaluateEvent::Predicted {
                        run,
                        index,
                        prediction,
                    },
                    Some(&buffer),
                );
            }
            EvaluateCommand::Cancel { run } => {
                self.run.take_if(|own| own.number == run);
            }
            EvaluateCommand::Finish {
                run,
                category,
                model,
                notes,
            } => {
                let evaluation = self.current(run)?.session.finish(&category, &model, notes).into();
                self.run = None;
                post_evaluate(EvaluateEvent::Finished { run, evaluation }, None);
            }
        }
        Ok(())
    }

    fn current(&mut self, run: u32) -> Result<&mut Run> {
        let own = self.run.as_mut().filter(|own| own.number == run);
        own.ok_or_else(|| Error::Metric("the evaluation was given up: start it again".into()))
    }

    /// Takes an event of a helper.
    pub(super) fn on_event(&mut self, number: usize, event: Event, bytes: &[u8]) {
        let Some(own) = &mut self.run else { return };
        match event {
            Event::Ready { .. } => own.pool.ready(number),
            Event::Evaluate {
                event:
                    EvaluateEvent::Predicted {
                        run,
                        index,
                        prediction,
                    },
            } => {
                let prediction = prediction.and_then(|info| {
                    unpacked(&info, bytes).ok_or_else(|| "the helper's answer was incomplete".into())
                });
                if let Some((command, files)) = own.pool.done(number, index as u32)
                    && let Err(err) = own.take(&command, &files, prediction)
                {
                    fail(run, &err);
                }
            }
            Event::Fatal { .. } | Event::Failed { .. } | Event::Evaluate { .. } => {
                for (_, (command, bytes)) in own.pool.lost(number) {
                    (self.deliver)(Message::Command(command, bytes));
                }
            }
            // it prepares itself
            _ => {}
        }
    }
}

impl Run {
    /// Measures the prediction of an image that the page sent.
    fn take(
        &mut self,
        command: &Command,
        bytes: &[u8],
        prediction: std::result::Result<Prediction, String>,
    ) -> Result<()> {
        let Command::Evaluate {
            command:
                EvaluateCommand::Image {
                    run,
                    index,
                    path,
                    name,
                    class,
                    image_bytes,
                    masks,
                },
        } = command
        else {
            return Ok(());
        };
        let length = image_bytes.as_ref().copied().unwrap_or_default();
        let (image, mut rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        let mut files = Vec::new();
        for (name, length) in masks {
            let known = length.as_ref().copied().unwrap_or_default();
            let (own, behind) = rest.split_at_checked(known).unwrap_or((rest, &[]));
            let bytes = length.as_ref().map(|_| own).map_err(String::as_str);
            files.push(MarkFile { name, bytes });
            rest = behind;
        }
        let prediction = match image_bytes {
            Ok(_) => prediction,
            Err(reason) => Err(reason.clone()),
        };
        let subject = Subject {
            path,
            name,
            class,
            image,
            masks: &files,
        };
        let prediction = self.session.take(*index, subject, prediction)?;
        let event = EvaluateEvent::ImageMeasured {
            run: *run,
            index: *index,
            result: prediction.result.into(),
            bytes: self.session.bytes(),
        };
        post_evaluate(event, Some(&prediction.picture));
        Ok(())
    }
}

/// The numbers; picture and maps go into `buffer`.
fn packed(prediction: &Prediction, buffer: &mut Vec<u8>) -> HelperPrediction {
    buffer.extend_from_slice(&prediction.picture);
    let maps = prediction.segmentation.iter().chain([&prediction.dest]);
    let values = maps.clone().flat_map(|map| map.values());
    buffer.extend(shared::to_bytes(values.copied()));
    HelperPrediction {
        size: prediction.size,
        milliseconds: prediction.milliseconds,
        score: prediction.score,
        dest_score: prediction.dest_score,
        distance: prediction.distance,
        difference: prediction.difference,
        picture_bytes: prediction.picture.len(),
        map: (prediction.dest.width(), prediction.dest.height()),
        maps: maps.count(),
    }
}

/// None if numbers and buffer do not fit together.
fn unpacked(info: &HelperPrediction, bytes: &[u8]) -> Option<Prediction> {
    let (picture, values) = bytes.split_at_checked(info.picture_bytes)?;
    let (width, height) = info.map;
    let area = size_of::<f32>() * width * height;
    if area == 0 || values.len() != info.maps * area {
        return None;
    }
    let mut maps = values
        .chunks_exact(area)
        .map(|own| AnomalyMap::new(width, height, shared::values(own).collect()));
    let segmentation = if info.maps == 2 { Some(maps.next()??) } else { None };
    Some(Prediction {
        size: info.size,
        picture: picture.to_vec(),
        milliseconds: info.milliseconds,
        score: info.score,
        dest_score: info.dest_score,
        distance: info.distance,
        difference: info.difference,
        segmentation,
        dest: maps.next()??,
    })
}
