//! Comparing methods: which baselines there are, and what all say about the image shown.

use std::collections::BTreeMap;
use std::rc::Rc;

use web_sys::Blob;

use super::{Bulk, ItemId, Room, State, Status};
use crate::page::protocol::{Baseline, CompareCommand, CompareEvent, PredictionSummary};
use destseg_engine::config::Method;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::methods::info;

/// Status of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// It is being prepared: what goes on, how much is done of how much.
    Making(Rc<str>, usize, usize),
    /// It is ready, and its file.
    Ready(Baseline, Blob),
}

/// What all methods say about an image.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    /// The numbers and the map of each.
    pub predictions: Vec<(PredictionSummary, AnomalyMap)>,
}

/// Everything about the comparison.
#[derive(Debug, Clone, Default)]
pub struct CompareState {
    /// What the visitor chose of each method's [`Choice`](destseg_engine::methods::Choice).
    chosen: BTreeMap<Method, f64>,
    /// Steps of a student, where the address says so.
    pub steps: Option<usize>,
    /// Methods that are prepared, or being prepared.
    baselines: BTreeMap<Method, Readiness>,
    /// Why the last command failed.
    pub error: Option<Rc<str>>,
    /// What is known of an image.
    pub result: Option<(ItemId, Rc<Comparison>)>,
    /// To be sent to the engine.
    command: Option<CompareCommand>,
    /// The job in the engine.
    working: Option<(u32, ItemId)>,
}

/// Something the visitor does about a comparison.
#[derive(Debug, Clone, Copy)]
pub enum CompareAction {
    /// Chooses a value of the method's setting.
    Choose(Method, f64),
    /// Prepares a baseline.
    Prepare(Method),
    /// Stops preparing.
    Stop,
}

/// A job of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum CompareJob {
    /// Something without a file.
    Command(CompareCommand),
    /// To ask all methods for the prediction of an image.
    Predict(ItemId),
}

impl CompareState {
    /// What is known of this image.
    pub fn of(&self, item: ItemId) -> Option<&Rc<Comparison>> {
        self.result.as_ref().filter(|own| own.0 == item).map(|own| &own.1)
    }

    /// Status of a method's baseline; none where it is not prepared.
    pub fn baseline(&self, method: Method) -> Option<&Readiness> {
        self.baselines.get(&method)
    }

    /// The chosen value of a method's setting, the first one of its list unless the visitor chose.
    pub fn chosen(&self, method: Method) -> Option<f64> {
        let choice = info(method).baseline?.choice?;
        let first = choice.values.first().map(|&(value, _)| value);
        self.chosen.get(&method).copied().or(first)
    }

    /// What is changed in a method's settings.
    fn settings(&self, method: Method) -> BTreeMap<String, f64> {
        /// The setting that `?steps=` in the address changes.
        const STEPS: &str = "training.student.steps";
        let Some(baseline) = info(method).baseline else {
            return BTreeMap::new();
        };
        let in_page = baseline
            .in_page
            .iter()
            .map(|&(name, value)| (name.to_owned(), value));
        let mut settings: BTreeMap<String, f64> = in_page.collect();
        if let (Some(own), Some(steps)) = (settings.get_mut(STEPS), self.steps) {
            *own = steps as f64;
        }
        let choice = baseline.choice.map(|choice| choice.setting.to_owned());
        settings.extend(choice.zip(self.chosen(method)));
        settings
    }

    /// Whether a baseline is being prepared.
    pub fn is_making(&self) -> bool {
        let mut all = self.baselines.values();
        all.any(|own| matches!(own, Readiness::Making(..)))
    }

    fn stop_making(&mut self) {
        self.baselines
            .retain(|_, own| !matches!(own, Readiness::Making(..)));
    }

    /// A new engine has no baselines.
    pub(super) fn engine_is_new(&mut self) {
        *self = Self {
            chosen: std::mem::take(&mut self.chosen),
            steps: self.steps,
            ..Self::default()
        };
    }

    /// The loaded model is another one.
    pub(super) fn model_is_new(&mut self) {
        self.result = None;
    }

    pub(super) fn begin(&mut self, job: &CompareJob, number: u32) {
        match job {
            CompareJob::Command(_) => self.command = None,
            CompareJob::Predict(item) => self.working = Some((number, *item)),
        }
    }

    /// The job failed before the engine had it.
    pub(super) fn on_failure(&mut self, job: u32, message: &str) {
        if self.working.is_some_and(|own| own.0 == job) {
            self.fail(message);
        }
    }

    pub(super) fn fail(&mut self, message: &str) {
        self.error = Some(message.into());
        self.stop_making();
        if let Some((_, item)) = self.working.take() {
            // an empty answer: it is not asked for again until something changes
            self.result = Some((
                item,
                Comparison {
                    predictions: Vec::new(),
                }
                .into(),
            ));
        }
    }
}

impl State {
    pub(super) fn next_comparison(&self) -> Option<CompareJob> {
        let own = &self.compare;
        if let Some(command) = &own.command {
            return Some(CompareJob::Command(command.clone()));
        }
        let item = self.current()?;
        let wanted = self.room == Room::Compare
            && own.working.is_none()
            && !own.is_making()
            && own.of(item.id).is_none()
            && !matches!(item.status, Status::Failed(_));
        wanted.then_some(CompareJob::Predict(item.id))
    }

    pub(super) fn compare(&mut self, action: CompareAction) {
        let teachers = self.teachers();
        let own = &mut self.compare;
        own.error = None;
        match action {
            CompareAction::Choose(method, value) => {
                own.chosen.insert(method, value);
            }
            CompareAction::Prepare(method) => {
                let settings = own.settings(method);
                own.command = Some(CompareCommand::Prepare {
                    method,
                    settings,
                    teachers,
                });
                let readiness = Readiness::Making("beginning".into(), 0, 0);
                own.baselines.insert(method, readiness);
            }
            CompareAction::Stop => {
                own.command = Some(CompareCommand::Stop);
                own.stop_making();
            }
        }
    }

    pub(super) fn on_compare_event(&mut self, event: CompareEvent, bulk: Option<Bulk>) {
        let own = &mut self.compare;
        match event {
            CompareEvent::Progress {
                method,
                doing,
                done,
                total,
            } => {
                // one that was stopped meanwhile stays so
                if let Some(own @ Readiness::Making(..)) = own.baselines.get_mut(&method) {
                    *own = Readiness::Making(doing.into(), done, total);
                }
            }
            CompareEvent::Ready { method, baseline } => {
                if let Some(Bulk::File(file)) = bulk {
                    own.baselines.insert(method, Readiness::Ready(baseline, file));
                    own.result = None;
                }
            }
            CompareEvent::Compared { job, predictions } => {
                let Some((_, item)) = own.working.take_if(|own| own.0 == job) else {
                    return;
                };
                let mut values = Bulk::values(bulk);
                let mut pairs = Vec::new();
                for summary in predictions {
                    let rest = values.split_off((summary.size.0 * summary.size.1).min(values.len()));
                    let own = std::mem::replace(&mut values, rest);
                    pairs.extend(
                        AnomalyMap::new(summary.size.0, summary.size.1, own).map(|map| (summary, map)),
                    );
                }
                self.compare.result = Some((item, Comparison { predictions: pairs }.into()));
            }
            CompareEvent::Failed { message } => own.fail(&message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::protocol::BackendChoice;

    fn state() -> State {
        State::new(BackendChoice::Cpu, None)
    }

    fn summary(method: Method, size: (usize, usize)) -> PredictionSummary {
        PredictionSummary {
            method,
            score: 0.5,
            thresholds: None,
            probabilities: method == Method::Destseg,
            size,
            unfamiliar: None,
            ms: 1.0,
        }
    }

    #[test]
    fn maps_are_told_apart() {
        let mut state = state();
        state.compare.begin(&CompareJob::Predict(3), 9);
        let predictions = vec![
            summary(Method::Destseg, (2, 1)),
            summary(Method::Patchcore, (1, 3)),
        ];
        let event = CompareEvent::Compared { job: 9, predictions };
        state.on_compare_event(event, Some(Bulk::Maps(vec![1.0, 2.0, 3.0, 4.0, 5.0])));
        let found = state.compare.of(3).expect("is of this image");
        let values: Vec<&[f32]> = found.predictions.iter().map(|(_, map)| map.values()).collect();
        assert_eq!(values, [&[1.0, 2.0][..], &[3.0, 4.0, 5.0]]);
        assert!(state.compare.of(4).is_none());
        state.compare.model_is_new();
        assert!(state.compare.of(3).is_none(), "another model says something else");
    }

    #[test]
    fn what_was_stopped_stays_so() {
        let mut state = state();
        state.compare(CompareAction::Prepare(Method::Patchcore));
        assert!(state.compare.is_making());
        let progress = |done| CompareEvent::Progress {
            method: Method::Patchcore,
            doing: "choosing".into(),
            done,
            total: 4,
        };
        state.on_compare_event(progress(1), None);
        let making = Readiness::Making("choosing".into(), 1, 4);
        assert_eq!(state.compare.baseline(Method::Patchcore), Some(&making));
        state.compare(CompareAction::Stop);
        state.on_compare_event(progress(2), None);
        assert_eq!(state.compare.baseline(Method::Patchcore), None);
        assert_eq!(
            state.next_comparison(),
            Some(CompareJob::Command(CompareCommand::Stop))
        );
    }

    #[test]
    fn a_failure_is_said_once() {
        let mut state = state();
        state.compare(CompareAction::Prepare(Method::Stpm));
        let message = "Too few images.".to_owned();
        state.on_compare_event(CompareEvent::Failed { message }, None);
        assert_eq!(state.compare.baseline(Method::Stpm), None);
        assert_eq!(state.compare.error.as_deref(), Some("Too few images."));
        state.compare(CompareAction::Choose(Method::Patchcore, 0.05));
        assert!(state.compare.error.is_none());
    }
}
