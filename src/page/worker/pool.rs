//! Helpers of an evaluation: more of these workers with the same model, which look at images while this one
//! measures what they see. A helper that fails is done without, and its images are given back.

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
/// Names a helper's only load.
const LOAD: u32 = 1;

/// What a helper loads.
pub(super) struct Shared<'a> {
    /// The model file.
    pub(super) file: &'a [u8],
    /// Teachers that can be fetched.
    pub(super) teachers: &'a [ManifestFile],
    /// What the page has made of the file's calibration: corrections change maps and scores.
    pub(super) calibration: Option<&'a Calibration>,
}

/// An image that a helper has: what the page said, and both files.
type Assignment = (Command, Vec<u8>);

/// A worker that looks at images.
struct Helper {
    worker: Worker,
    /// Whether it listens.
    is_ready: bool,
    /// The commands that it gets first.
    start: Vec<Assignment>,
    /// Its images, by their indices.
    assignments: BTreeMap<usize, Assignment>,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn()>,
}

/// All helpers; one that is lost leaves its slot empty.
#[derive(Default)]
pub(super) struct Pool(Vec<Option<Helper>>);

/// Processors that the browser tells of.
fn processors() -> usize {
    let get = |object: &js_sys::Object, name: &str| Reflect::get(object, &name.into()).ok();
    let navigator = get(scope().unchecked_ref(), "navigator");
    let count = navigator.and_then(|navigator| get(navigator.unchecked_ref(), "hardwareConcurrency"));
    count.and_then(|count| count.as_f64()).unwrap_or(1.0) as usize
}

impl Pool {
    /// As many helpers as are worth while for so many images; none on a single processor.
    pub(super) fn start(shared: &Shared<'_>, images: usize, deliver: &Deliver) -> Self {
        let count = processors().min(MOST);
        if images < WORTHWHILE || count < 2 {
            return Self::default();
        }
        Self(
            (0..count)
                .map(|number| Helper::start(number, shared, deliver))
                .collect(),
        )
    }

    /// Images that it takes at the same time.
    pub(super) fn capacity(&self) -> usize {
        EACH * self.0.iter().flatten().count()
    }

    /// Gives an image to the helper that has the fewest, or back where there is none.
    pub(super) fn give(&mut self, index: usize, assignment: Assignment) -> Option<Assignment> {
        let idle = self
            .0
            .iter_mut()
            .flatten()
            .min_by_key(|helper| helper.assignments.len());
        let Some(helper) = idle else {
            return Some(assignment);
        };
        helper.give(index, assignment);
        None
    }

    /// What a helper has done.
    pub(super) fn done(&mut self, number: usize, index: usize) -> Option<Assignment> {
        self.0.get_mut(number)?.as_mut()?.assignments.remove(&index)
    }

    /// A helper listens now.
    pub(super) fn ready(&mut self, number: usize) {
        if let Some(Some(helper)) = self.0.get_mut(number) {
            helper.ready();
        }
    }

    /// A helper is lost; its images.
    pub(super) fn lost(&mut self, number: usize) -> Vec<Assignment> {
        let helper = self.0.get_mut(number).and_then(Option::take);
        helper.map_or_else(Vec::new, |mut helper| {
            std::mem::take(&mut helper.assignments).into_values().collect()
        })
    }
}

impl Helper {
    /// None where the browser has no workers of workers.
    fn start(number: usize, shared: &Shared<'_>, deliver: &Deliver) -> Option<Self> {
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
            told(Message::Helper(number, event, content(buffer)));
        });
        let on_error =
            Closure::<dyn Fn()>::new(move || gone(Message::Helper(number, lost("it is gone"), Vec::new())));
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let load = Command::LoadFile {
            job: LOAD,
            name: "model".into(),
            teachers: shared.teachers.to_vec(),
        };
        let backend = BackendChoice::Cpu;
        let mut start = vec![
            (Command::Start { backend }, Vec::new()),
            (load, shared.file.to_vec()),
        ];
        start.extend(shared.calibration.map(|own| {
            let calibration = own.clone().into();
            (Command::SetCalibration { calibration }, Vec::new())
        }));
        Some(Self {
            worker,
            is_ready: false,
            start,
            assignments: BTreeMap::new(),
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    fn ready(&mut self) {
        self.is_ready = true;
        for (command, bytes) in std::mem::take(&mut self.start) {
            self.send(&command, &bytes);
        }
        for (&index, assignment) in &self.assignments {
            self.send_image(index, assignment);
        }
    }

    fn give(&mut self, index: usize, assignment: Assignment) {
        if self.is_ready {
            self.send_image(index, &assignment);
        }
        self.assignments.insert(index, assignment);
    }

    fn send_image(&self, index: usize, (command, bytes): &Assignment) {
        let Command::Evaluate {
            command: EvaluateCommand::Image { run, image_bytes, .. },
        } = command
        else {
            return;
        };
        let command = EvaluateCommand::Predict { run: *run, index };
        let image = bytes
            .get(..image_bytes.as_ref().copied().unwrap_or_default())
            .unwrap_or(bytes);
        self.send(&Command::Evaluate { command }, image);
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
