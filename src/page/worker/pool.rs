//! Helpers: more of these workers with the same model, which look at images while this one has its hands free. A
//! helper that fails gives its images back, and another takes its place.

use std::collections::BTreeMap;

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use super::{Deliver, Message, content, scope};
use crate::page::protocol::{BackendChoice, Command, EvaluateCommand, Event, ManifestFile};
use crate::page::shared;
use destseg_engine::verdict::calibration::Calibration;

/// The script of the CPU engine, which is enough for them.
const WORKER: &str = "./worker_cpu_loader.js";
/// Helpers at most: each needs memory for a model.
const MOST: usize = 4;
/// From this many images on helpers are worth their start.
const WORTHWHILE: usize = 8;
/// Images that a helper has at the same time: it looks at one, another waits.
const EACH: usize = 2;
/// Helpers that are started in place of lost ones, at most.
const SPARE: usize = 4;
/// Names a helper's only load.
const LOAD: u32 = 1;

/// Whom helpers work for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// The queue of images.
    Queue,
    /// An evaluation.
    Evaluation,
}

/// What a helper loads.
pub(super) struct Shared<'a> {
    /// The model file.
    pub(super) file: &'a [u8],
    /// Teachers that can be fetched.
    pub(super) teachers: &'a [ManifestFile],
    /// What the page has made of the file's calibration: corrections change maps and scores.
    pub(super) calibration: Option<&'a Calibration>,
}

/// An image that a helper has: what the page said, and the files.
pub(super) type Assignment = (Command, Vec<u8>);

/// A worker that looks at images.
struct Helper {
    worker: Worker,
    /// Whether it listens.
    is_ready: bool,
    /// Its images, by their numbers.
    assignments: BTreeMap<u32, Assignment>,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn()>,
}

/// All helpers; one that is lost leaves its slot empty.
#[derive(Default)]
pub(super) struct Pool {
    helpers: Vec<Option<Helper>>,
    /// The commands that each gets first.
    start: Vec<Assignment>,
    /// Helpers that may still be started in place of lost ones.
    spare: usize,
    /// Whom they work for and who takes what they say.
    told: Option<(Owner, Deliver)>,
}

/// Processors that the browser tells of.
fn processors() -> usize {
    let get = |object: &js_sys::Object, name: &str| Reflect::get(object, &name.into()).ok();
    let navigator = get(scope().unchecked_ref(), "navigator");
    let count = navigator.and_then(|navigator| get(navigator.unchecked_ref(), "hardwareConcurrency"));
    count.and_then(|count| count.as_f64()).unwrap_or(1.0) as usize
}

impl Pool {
    /// As many helpers as are worth while for so many images; none on a single processor.
    pub(super) fn start(owner: Owner, shared: &Shared<'_>, images: usize, deliver: &Deliver) -> Self {
        let count = processors().min(MOST);
        if images < WORTHWHILE || count < 2 {
            return Self::default();
        }
        let load = Command::LoadFile {
            job: LOAD,
            name: "model".into(),
            teachers: shared.teachers.to_vec(),
        };
        let backend = BackendChoice::Cpu;
        let mut pool = Self {
            start: vec![
                (Command::Start { backend }, Vec::new()),
                (load, shared.file.to_vec()),
            ],
            spare: SPARE,
            told: Some((owner, deliver.clone())),
            ..Self::default()
        };
        if let Some(calibration) = shared.calibration {
            pool.set_calibration(calibration);
        }
        (0..count).for_each(|_| pool.add());
        pool
    }

    /// Starts one more.
    fn add(&mut self) {
        if let Some((owner, deliver)) = &self.told {
            let helper = Helper::start(*owner, self.helpers.len(), deliver);
            self.helpers.push(helper);
        }
    }

    /// Images that it takes at the same time.
    pub(super) fn capacity(&self) -> usize {
        EACH * self.helpers.iter().flatten().count()
    }

    /// Puts other thresholds in force, and other corrections.
    pub(super) fn set_calibration(&mut self, calibration: &Calibration) {
        let calibration = calibration.clone().into();
        let command = Command::SetCalibration { calibration };
        for helper in self.helpers.iter().flatten().filter(|helper| helper.is_ready) {
            helper.send(&command, &[]);
        }
        self.start
            .retain(|(own, _)| !matches!(own, Command::SetCalibration { .. }));
        self.start.push((command, Vec::new()));
    }

    /// Gives an image to the helper that has the fewest, or back where there is none.
    pub(super) fn give(&mut self, number: u32, assignment: Assignment) -> Option<Assignment> {
        let helpers = self.helpers.iter_mut().flatten();
        let Some(helper) = helpers.min_by_key(|helper| helper.assignments.len()) else {
            return Some(assignment);
        };
        if helper.is_ready {
            helper.send_image(&assignment);
        }
        helper.assignments.insert(number, assignment);
        None
    }

    /// What a helper has done.
    pub(super) fn done(&mut self, helper: usize, number: u32) -> Option<Assignment> {
        let helper = self.helpers.get_mut(helper)?.as_mut()?;
        helper.assignments.remove(&number)
    }

    /// A helper listens now.
    pub(super) fn ready(&mut self, helper: usize) {
        if let Some(Some(helper)) = self.helpers.get_mut(helper) {
            helper.is_ready = true;
            for (command, bytes) in &self.start {
                helper.send(command, bytes);
            }
            for assignment in helper.assignments.values() {
                helper.send_image(assignment);
            }
        }
    }

    /// A helper is lost; its images, the one that it looked at first.
    pub(super) fn lost(&mut self, helper: usize) -> BTreeMap<u32, Assignment> {
        let Some(mut helper) = self.helpers.get_mut(helper).and_then(Option::take) else {
            return BTreeMap::new();
        };
        // one that never listened has successors that do not, either
        if helper.is_ready && self.spare > 0 {
            self.spare -= 1;
            self.add();
        }
        std::mem::take(&mut helper.assignments)
    }
}

impl Helper {
    /// None where the browser has no workers of workers.
    fn start(owner: Owner, number: usize, deliver: &Deliver) -> Option<Self> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(WORKER, &options).ok()?;
        let (told, gone) = (deliver.clone(), deliver.clone());
        let lost = |message: &str| Event::Fatal {
            message: message.into(),
        };
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let (event, buffer) =
                shared::decode::<Event>(&event.data()).unwrap_or_else(|| (lost("it is garbled"), None));
            told(Message::Helper(owner, number, event, content(buffer)));
        });
        let on_error = Closure::<dyn Fn()>::new(move || {
            gone(Message::Helper(owner, number, lost("it is gone"), Vec::new()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Some(Self {
            worker,
            is_ready: false,
            assignments: BTreeMap::new(),
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    fn send_image(&self, (command, bytes): &Assignment) {
        match command {
            Command::Evaluate {
                command:
                    EvaluateCommand::Image {
                        run,
                        index,
                        image_bytes,
                        ..
                    },
            } => {
                let command = EvaluateCommand::Predict {
                    run: *run,
                    index: *index,
                };
                let image = bytes
                    .get(..image_bytes.as_ref().copied().unwrap_or_default())
                    .unwrap_or(bytes);
                self.send(&Command::Evaluate { command }, image);
            }
            command => self.send(command, bytes),
        }
    }

    fn send(&self, command: &Command, bytes: &[u8]) {
        let buffer: Option<ArrayBuffer> = (!bytes.is_empty()).then(|| Uint8Array::from(bytes).buffer());
        if let Ok(envelope) = shared::encode(command, buffer.as_ref()) {
            // a helper that cannot be told anything is one that answers nothing: its error event follows
            let _sent = self
                .worker
                .post_message_with_transfer(&envelope.message, &envelope.transfer);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}
