//! How the page's state follows its worker: answers, failures, crashes.

use super::{AblateState, Bulk, Engine, Helpers, Load, Model, ModelSource, Room, State, Status};
use crate::page::protocol::{BackendChoice, Event, PROTOCOL_VERSION};

/// From this crash in a row on, the CPU computes.
const CRASHES_UNTIL_CPU: u32 = 2;
/// At this crash in a row the page stops trying.
const CRASHES_UNTIL_STOP: u32 = 4;

impl State {
    pub(super) fn on_event(&mut self, event: Event, bulk: Option<Bulk>) {
        match event {
            Event::Ready {
                protocol: PROTOCOL_VERSION,
            } => self.engine = Engine::Listening,
            Event::Ready { .. } => {
                let message = "The page and its engine are of different versions: reload the page.";
                self.engine = Engine::Stopped(message.into());
            }
            Event::DeviceReady(device) => {
                self.engine = Engine::Running;
                self.device = Some(device.into());
            }
            Event::Progress {
                job,
                received: now,
                total: all,
            } => {
                if let Load::Running {
                    job: running,
                    received,
                    total,
                    ..
                } = &mut self.load
                    && *running == job
                {
                    (*received, *total) = (now, all);
                }
            }
            Event::ModelReady { job, model } => {
                if let Load::Running {
                    job: running, source, ..
                } = &self.load
                    && *running == job
                {
                    let model = Model {
                        source: source.clone(),
                        info: model.into(),
                    };
                    self.model_is_ready(model);
                }
            }
            Event::TeacherReady { job, teacher } => {
                if let Load::Running {
                    job: running, source, ..
                } = &self.load
                    && *running == job
                {
                    if !self.go_back(source.clone()) {
                        self.load = Load::Idle;
                    }
                    let next = if self.room == Room::Train {
                        "train with it"
                    } else {
                        "open the model that needs it"
                    };
                    self.notify(format!(
                        "The {teacher} teacher is kept until you leave the page: now {next}."
                    ));
                    self.train.teachers.push(teacher.into());
                }
            }
            Event::Inspected { job, result } => self.on_inspected(job, result, bulk),
            Event::Helpers { at_once } => {
                if self.helpers != Helpers::None {
                    self.helpers = Helpers::Ready(at_once);
                }
            }
            Event::Train { event } => self.on_train_event(event, bulk),
            Event::Compare { event } => self.on_compare_event(event, bulk),
            Event::Studied { job, study } => self.on_studied(job, study, bulk),
            Event::Ablated { job, summary } => self.ablate.on_event(job, summary, bulk),
            Event::Camera { job, summary } => self.camera.on_event(job, summary, bulk),
            Event::Evaluate { event } => self.on_evaluate_event(event, bulk),
            Event::Failed { job: None, message } => self.device_failed(message),
            Event::Failed {
                job: Some(job),
                message,
            } => match &self.load {
                Load::Running {
                    job: running, source, ..
                } if *running == job => {
                    let source = source.clone();
                    self.load_failed(source, message);
                }
                _ => {
                    self.study.fail(job, &message);
                    self.ablate.fail(job, &message);
                    self.camera.fail(job, &message);
                    self.compare.on_failure(job, &message);
                    self.finish(job, Status::Failed(message.into()));
                }
            },
            Event::Fatal { message } => self.crash(&message),
        }
    }

    /// Puts a model in place. Results of another model are worked out again.
    fn model_is_ready(&mut self, mut model: Model) {
        self.load = Load::Idle;
        self.keep_threshold(&mut model);
        self.model_loaded = true;
        self.times.clear();
        let same = self.model.as_ref().is_some_and(|old| old.source == model.source);
        self.model = Some(model);
        let kinds = self.map_kinds();
        if !kinds.contains(&self.view.kind) {
            self.view.kind = kinds[0];
        }
        if let Some(model) = &self.model {
            self.evaluate.model_is_new(&model.source);
        }
        if !same {
            self.study.reset();
            self.ablate = AblateState::default();
            self.camera.prediction = None;
            self.compare.model_is_new();
            self.view.thresholds = [None; 2];
            let removed = self.removed.iter_mut().map(|(_, item)| item);
            for item in self.items.iter_mut().chain(removed) {
                // what was painted was for the model of before
                item.is_to_remember = false;
                item.painted = [].into();
                if matches!(item.status, Status::Done(_)) {
                    item.status = Status::Waiting;
                }
            }
        }
    }

    fn load_failed(&mut self, source: ModelSource, message: String) {
        self.write_down(&message);
        if self.go_back(source.clone()) {
            self.notify(message);
        } else {
            self.load = Load::Failed(source, message.into());
        }
    }

    /// Goes back from `source` to the model that results belong to: the engine still has it, or loads
    /// it again. Returns whether there is one.
    fn go_back(&mut self, source: ModelSource) -> bool {
        match self.model.as_ref().map(|model| model.source.clone()) {
            Some(ModelSource::Shipped(index)) if self.model_loaded => {
                self.load = Load::Idle;
                self.offer(index);
            }
            Some(_) if self.model_loaded => self.load = Load::Idle,
            Some(old) if old != source => self.open_model(old),
            _ => return false,
        }
        true
    }

    fn device_failed(&mut self, message: String) {
        if self.backend == BackendChoice::Cpu {
            self.engine = Engine::Stopped(message);
        } else {
            self.notify(message);
            self.backend = BackendChoice::Cpu;
            self.restart();
        }
    }

    pub(super) fn crash(&mut self, message: &str) {
        self.write_down(message);
        let (in_flight, helpers) = (self.requeue(), self.helpers);
        self.camera.crash();
        if self.engine == Engine::Starting {
            self.engine = Engine::Stopped(message.to_owned());
            return;
        }
        self.blame(in_flight, helpers);
        self.crashes += 1;
        if self.crashes >= CRASHES_UNTIL_STOP {
            self.engine = Engine::Stopped(message.to_owned());
            return;
        }
        self.notify(message);
        if self.crashes >= CRASHES_UNTIL_CPU && self.backend != BackendChoice::Cpu {
            self.backend = BackendChoice::Cpu;
            self.notify("The engine stopped twice, so the CPU computes from now on.");
        }
        self.restart();
    }

    /// Replaces the CPU engine by the GPU engine, which loads the same model.
    pub(super) fn switch_to_gpu_engine(&mut self) {
        self.gpu_engine = true;
        self.requeue();
        self.restart();
    }

    /// Asks for a new worker with the model that was in place or on its way.
    pub(super) fn restart(&mut self) {
        self.generation += 1;
        self.engine = Engine::Starting;
        self.model_loaded = false;
        self.helpers = Helpers::None;
        self.device = None;
        let teachers = self.teachers();
        self.train.engine_is_new(teachers);
        self.evaluate.engine_is_new();
        self.study.reset();
        self.ablate = AblateState::default();
        self.camera.engine_is_new();
        self.compare.engine_is_new();
        if let Some(source) = self.shown_source().cloned() {
            self.load = Load::Wanted(source);
        }
    }

    pub(super) fn retry(&mut self) {
        if let Engine::Stopped(_) = self.engine {
            self.crashes = 0;
            self.restart();
        } else if let Load::Failed(source, _) = &self.load {
            self.load = Load::Wanted(source.clone());
        }
    }
}
