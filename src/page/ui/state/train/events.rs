//! How the state of a training follows the engine's events.

use std::rc::Rc;

use super::{Bulk, Course, HeldOutPrediction, Kinds, Phase, Preview, State, Trained, TrainingImageStatus};
use crate::page::protocol::TrainEvent;

impl State {
    /// Follows what the engine says about the new inspector.
    pub(in crate::page::ui::state) fn on_train_event(&mut self, event: TrainEvent, bulk: Option<Bulk>) {
        let train = &mut self.train;
        match event {
            TrainEvent::Added {
                image,
                width,
                height,
                copy_of,
            } => {
                let size = (width, height);
                train.with(image, |image| {
                    image.status = TrainingImageStatus::Ready { size, copy_of }
                });
                train.draw();
                self.follow_suggestion();
            }
            TrainEvent::Refused { image, message } => {
                train.with(image, |image| {
                    image.status = TrainingImageStatus::Refused(message.into());
                });
                self.follow_suggestion();
            }
            TrainEvent::Previewed { side, samples, ms } => {
                train.previewing = false;
                train.preview_error = None;
                let pictures = Bulk::pictures(bulk);
                train.preview = Some(Rc::new(Preview {
                    side,
                    samples,
                    pictures,
                    ms,
                }));
            }
            TrainEvent::TexturesShown { side } => {
                let pictures = Bulk::pictures(bulk);
                train.kinds = Some(Rc::new(Kinds { side, pictures }));
            }
            TrainEvent::PreviewFailed { message } => {
                train.previewing = false;
                train.preview_error = Some(message.into());
            }
            TrainEvent::Preparing { done, total } => train.phase = Phase::Starting(done, total),
            TrainEvent::Started(info) => {
                let before = train.course.take().filter(|course| course.info.run == info.run);
                let (steps, held_out) =
                    before.map_or_else(Default::default, |course| (course.steps, course.held_out));
                train.course = Some(Course {
                    // what was done after the last saving is done again
                    steps: steps.into_iter().filter(|step| step.step <= info.done).collect(),
                    held_out,
                    saved: (info.done > 0).then_some(info.done),
                    info,
                });
                train.phase = Phase::Running;
            }
            TrainEvent::Stepped(step) => {
                if let Some(course) = &mut train.course {
                    course.steps.push(step);
                }
                self.crashes = 0;
            }
            TrainEvent::HeldOutPredicted { step, side } => {
                if let Some(course) = &mut train.course {
                    let pictures = Bulk::pictures(bulk);
                    course.held_out = Some(Rc::new(HeldOutPrediction { step, side, pictures }));
                }
            }
            TrainEvent::Saved { step } => {
                if let Some(course) = &mut train.course {
                    course.saved = Some(step);
                }
            }
            TrainEvent::NotSaved { message } => {
                if let Some(course) = &mut train.course {
                    course.saved = None;
                }
                self.notify(message);
            }
            TrainEvent::Calibrating => train.phase = Phase::Calibrating,
            TrainEvent::Trained(info) => match bulk {
                Some(Bulk::File(file)) => {
                    let trained = Rc::new(Trained { info: *info, file });
                    train.phase = Phase::Done(trained.clone());
                    train.unkept = Some(trained);
                }
                _ => {
                    let message = "The engine's answer was incomplete: train again.";
                    train.phase = Phase::Failed(message.into());
                }
            },
            TrainEvent::Failed { message } => train.phase = Phase::Failed(message.into()),
            TrainEvent::Discarded => {
                train.phase = Phase::Idle;
                train.course = None;
            }
        }
    }
}
