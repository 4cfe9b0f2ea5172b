//! The page's end of the line to its engine: one worker, started, listened to and spoken to.

use std::cell::RefCell;
use std::rc::Rc;

use gloo::events::EventListener;
use js_sys::{ArrayBuffer, Float32Array, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Blob, ErrorEvent, HtmlVideoElement, MessageEvent, Response, Worker, WorkerOptions, WorkerType,
};

use super::state::{
    AblateJob, Action, Bulk, CompareJob, Dispatch, EvaluateJob, ItemId, Job, ModelSource, State, StudyJob,
    TrainAction, TrainJob,
};
use super::video::{self, Frame};
use super::{gpu_engine, store};
use crate::page::protocol::{
    Command, CompareCommand, Damage, EvaluateCommand, EvaluateEvent, Event, Manifest, Payload, TrainCommand,
    TrainEvent,
};
use crate::page::shared;
use crate::page::shared::content::{self as given, Content};

/// The scripts that start the CPU engine and the GPU engine, next to the page.
const CPU_ENGINE: &str = "./worker_cpu_loader.js";
const GPU_ENGINE: &str = gpu_engine::SCRIPT;
/// The list of shipped models, next to the page.
const MANIFEST: &str = "./models/manifest.json";

/// A running worker; dropping it ends the worker.
pub(crate) struct Client {
    generation: u32,
    worker: Worker,
    _listeners: [EventListener; 3],
}

/// The client of the moment, if there is one.
pub(crate) type ClientSlot = Rc<RefCell<Option<Client>>>;

impl Client {
    /// Starts a worker with the GPU engine or the CPU engine, whose events come as actions with this
    /// generation.
    ///
    /// # Errors
    /// A sentence, if the browser has no module workers.
    pub(crate) fn start(generation: u32, on_gpu: bool, dispatch: &Dispatch) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let script = if on_gpu { GPU_ENGINE } else { CPU_ENGINE };
        let worker = Worker::new_with_options(script, &options).map_err(
            |_| "This browser cannot run the engine: use a current Chrome, Edge, Firefox or Safari.",
        )?;
        let on_message = {
            let dispatch = dispatch.clone();
            EventListener::new(&worker, "message", move |event| {
                let data = event
                    .dyn_ref::<MessageEvent>()
                    .map(MessageEvent::data)
                    .unwrap_or_default();
                dispatch.dispatch(read(generation, &data));
            })
        };
        let on_error = {
            let dispatch = dispatch.clone();
            EventListener::new(&worker, "error", move |event| {
                let crash = Action::Crash(generation, describe(event).into());
                let dispatch = dispatch.clone();
                spawn_local(async move {
                    let is_absent = on_gpu && !gpu_engine::is_there().await;
                    dispatch.dispatch(match is_absent {
                        true => Action::GpuEngineFiles(false),
                        false => crash,
                    });
                });
            })
        };
        let on_garbled = {
            let dispatch = dispatch.clone();
            EventListener::new(&worker, "messageerror", move |_| {
                dispatch.dispatch(garbled(generation));
            })
        };
        Ok(Self {
            generation,
            worker,
            _listeners: [on_message, on_error, on_garbled],
        })
    }

    fn send(&self, command: &Command, buffer: Option<&ArrayBuffer>) -> Result<(), String> {
        let refused = || "The engine did not take the file: reload the page.".to_owned();
        let envelope = shared::encode(command, buffer).map_err(|_| refused())?;
        self.worker
            .post_message_with_transfer(&envelope.message, &envelope.transfer)
            .map_err(|_| refused())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.terminate();
    }
}

/// A worker's message as an action.
fn read(generation: u32, data: &JsValue) -> Action {
    match shared::decode::<Event>(data) {
        Some((event, buffer)) => {
            let bulk = buffer.and_then(|buffer| bulk(&event, &buffer));
            Action::Engine(generation, event, bulk)
        }
        None => garbled(generation),
    }
}

/// What came with an event.
fn bulk(event: &Event, buffer: &ArrayBuffer) -> Option<Bulk> {
    let bytes = || Uint8Array::new(buffer).to_vec();
    match event.payload() {
        Payload::None => None,
        Payload::Maps => Some(Bulk::Maps(Float32Array::new(buffer).to_vec())),
        Payload::Pictures => Some(Bulk::Pictures(bytes())),
        Payload::Packed => Some(Bulk::Packed(bytes())),
        Payload::File => {
            let file = Blob::new_with_buffer_source_sequence(&js_sys::Array::of1(buffer));
            file.ok().map(Bulk::File)
        }
    }
}

fn garbled(generation: u32) -> Action {
    Action::Crash(
        generation,
        "The engine sent something unreadable and is started again.".into(),
    )
}

/// One sentence about a worker's error event, which has a message if code failed, and none if the
/// script could not be fetched. The message is in the browser's console.
fn describe(event: &web_sys::Event) -> &'static str {
    match event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message) {
        Some(message) if !message.is_empty() => "The engine stopped unexpectedly.",
        _ => "The engine could not be loaded: check the connection, then try again.",
    }
}

/// Carries out a job: reads the bytes it needs and sends the command. What goes wrong on the way
/// comes back like a failure of the engine.
pub(crate) fn perform(job: Job, number: u32, state: &State, slot: &ClientSlot, dispatch: &Dispatch) {
    let job = match job {
        Job::Train(job) => return perform_train(job, state, slot, dispatch),
        Job::Evaluate(job) => return perform_evaluate(job, state, slot, dispatch),
        Job::SwitchToGpuEngine => return gpu_engine::ask(dispatch),
        job => job,
    };
    let generation = state.generation;
    let item = match &job {
        Job::Inspect(id, _) => state.item(*id).cloned(),
        Job::Study(job) => state.item(job.item).cloned(),
        Job::Ablate(job) => state.item(job.item).cloned(),
        Job::Compare(CompareJob::Predict(id)) => state.item(*id).cloned(),
        _ => None,
    };
    let painted = item
        .as_ref()
        .map_or_else(|| Rc::new([]) as Rc<[_]>, |item| item.painted.clone());
    let manifest = state.manifest.clone().unwrap_or_default();
    let (slot, dispatch) = (slot.clone(), dispatch.clone());
    spawn_local(async move {
        let failed = (!matches!(job, Job::Start(_))).then_some(number);
        let image = async {
            match item {
                Some(item) => content(&item.content, &item.example, item.id, &dispatch).await,
                None => Err("The image is no longer there.".into()),
            }
        };
        let prepared = match job {
            Job::Start(backend) => Ok((Command::Start { backend }, None)),
            Job::Train(_) | Job::Evaluate(_) | Job::SwitchToGpuEngine => return,
            Job::Load(source) => load_command(number, source, &manifest).await,
            Job::SetCalibration(calibration) => Ok((Command::SetCalibration { calibration }, None)),
            Job::Compare(CompareJob::Command(command)) => Ok((Command::Compare { command }, None)),
            Job::Compare(CompareJob::Predict(_)) => image.await.map(|image| {
                let command = CompareCommand::Predict { job: number };
                (Command::Compare { command }, Some(image))
            }),
            Job::Study(job) => image.await.map(|image| study_command(number, &job, &image)),
            Job::Ablate(job) => image
                .await
                .and_then(|image| Ok((ablate_command(number, job, &manifest)?, Some(image)))),
            Job::Camera(video) => camera_command(number, &video).await,
            Job::Helpers(images) => {
                let teachers = manifest.teachers.clone();
                Ok((Command::Helpers { images, teachers }, None))
            }
            Job::Inspect(_, brief) => image.await.map(|image| {
                let command = Command::Inspect {
                    job: number,
                    painted: painted.to_vec(),
                    brief,
                };
                (command, Some(image))
            }),
        };
        let sent = prepared.and_then(|(command, buffer)| send(&slot, generation, &command, buffer.as_ref()));
        if let Err(message) = sent {
            dispatch.dispatch(Action::Engine(
                generation,
                Event::Failed { job: failed, message },
                None,
            ));
        }
    });
}

/// Sends a command, unless the worker was replaced meanwhile: the new one gets its own.
fn send(
    slot: &ClientSlot,
    generation: u32,
    command: &Command,
    buffer: Option<&ArrayBuffer>,
) -> Result<(), String> {
    match &*slot.borrow() {
        Some(client) if client.generation == generation => client.send(command, buffer),
        _ => Ok(()),
    }
}

/// Carries out a job of training.
fn perform_train(job: TrainJob, state: &State, slot: &ClientSlot, dispatch: &Dispatch) {
    let generation = state.generation;
    let (slot, dispatch) = (slot.clone(), dispatch.clone());
    match job {
        TrainJob::Command(command) => {
            if let Err(message) = send(&slot, generation, &Command::Train { command }, None) {
                let event = TrainEvent::Failed { message };
                dispatch.dispatch(Action::Engine(generation, Event::Train { event }, None));
            }
        }
        TrainJob::Collect(image) => {
            let train = &state.train;
            let (side, fit) = (train.settings.model.input_size, train.settings.model.fit);
            let find = |images: &[super::state::TrainingImage]| {
                let found = images.iter().find(|good| good.id == image);
                found.and_then(|good| good.content.clone())
            };
            let (command, content) = match find(&train.images) {
                Some(content) => (TrainCommand::Add { image, side, fit }, Some(content)),
                None => (TrainCommand::AddTexture { image }, find(&train.own_textures)),
            };
            spawn_local(async move {
                let bytes = match content {
                    Some(content) => content.bytes().await,
                    None => Err("The image is no longer there: add it again.".into()),
                };
                let sent = bytes.and_then(|buffer| {
                    send(
                        &slot,
                        generation,
                        &Command::Train {
                            command: command.into(),
                        },
                        Some(&buffer),
                    )
                });
                if let Err(message) = sent {
                    let event = TrainEvent::Refused { image, message };
                    dispatch.dispatch(Action::Engine(generation, Event::Train { event }, None));
                }
            });
        }
        TrainJob::Keep(trained) => {
            let first = state.train.images.iter().find_map(|image| {
                let size = image.size()?;
                Some((image.content.clone()?, size))
            });
            spawn_local(async move {
                let kept = store::keep(&trained, first).await;
                dispatch.dispatch(Action::Train(TrainAction::Kept(kept)));
            });
        }
    }
}

/// Carries out a job of an evaluation: image and mask travel in one buffer.
fn perform_evaluate(job: EvaluateJob, state: &State, slot: &ClientSlot, dispatch: &Dispatch) {
    let generation = state.generation;
    let (slot, dispatch) = (slot.clone(), dispatch.clone());
    let failed = {
        let dispatch = dispatch.clone();
        move |run: u32, message: String| {
            let event = Event::Evaluate {
                event: EvaluateEvent::Failed { run, message },
            };
            dispatch.dispatch(Action::Engine(generation, event, None));
        }
    };
    let (run, index) = match job {
        EvaluateJob::Command(command) => {
            let run = command.run();
            if let Err(message) = send(&slot, generation, &Command::Evaluate { command: *command }, None) {
                failed(run, message);
            }
            return;
        }
        EvaluateJob::Image { run, index } => (run, index),
    };
    let (Some((image, masks)), Some(about)) = (
        state.evaluate.contents(index),
        state
            .evaluate
            .files
            .as_ref()
            .and_then(|files| files.set.images.get(index).cloned()),
    ) else {
        return failed(run, "The folder is no longer there: choose it again.".into());
    };
    spawn_local(async move {
        // what cannot be read is said in the report
        let image = bytes_of(image).await;
        let mut parts = vec![image];
        let mut names = Vec::new();
        for (name, mask) in masks {
            names.push(name);
            parts.push(bytes_of(mask).await);
        }
        let length = |part: &Uint8Array| part.length();
        let known = || parts.iter().filter_map(|part| part.as_ref().ok());
        let all = Uint8Array::new_with_length(known().map(length).sum());
        let mut end = 0;
        for part in known() {
            all.set(part, end);
            end += part.length();
        }
        let mut lengths = parts
            .into_iter()
            .map(|part| part.map(|part| part.length() as usize));
        let command = EvaluateCommand::Image {
            run,
            index,
            path: about.path,
            name: about.name,
            class: about.class,
            image_bytes: lengths.next().unwrap_or(Ok(0)),
            masks: names.into_iter().zip(lengths).collect(),
        };
        if let Err(message) = send(
            &slot,
            generation,
            &Command::Evaluate { command },
            Some(&all.buffer()),
        ) {
            failed(run, message);
        }
    });
}

/// Image file and painted pixels travel in one buffer.
fn study_command(number: u32, job: &StudyJob, image: &ArrayBuffer) -> (Command, Option<ArrayBuffer>) {
    let painted: &[u8] = match job.damage {
        Damage::Painted => &job.painted,
        Damage::None | Damage::Synthetic(_) => &[],
    };
    let image = Uint8Array::new(image);
    let both = Uint8Array::new_with_length(image.length() + painted.len() as u32);
    both.set(&image, 0);
    both.set(&Uint8Array::from(painted), image.length());
    let command = Command::Study {
        job: number,
        damage: job.damage,
        image_bytes: image.length() as usize,
    };
    (command, Some(both.buffer()))
}

/// The camera's picture of the moment.
async fn camera_command(
    number: u32,
    video: &HtmlVideoElement,
) -> Result<(Command, Option<ArrayBuffer>), String> {
    let Some(Frame {
        width,
        height,
        pixels,
    }) = video::next_frame(video).await
    else {
        return Err("The camera's picture could not be read: take a photo instead.".into());
    };
    Ok((
        Command::Camera {
            job: number,
            width,
            height,
        },
        Some(pixels),
    ))
}

/// The network and its teacher, which is also that of the complete network.
fn ablate_command(number: u32, job: AblateJob, manifest: &Manifest) -> Result<Command, String> {
    let whole = manifest.models.iter().find(|model| model.file.id == job.model.of);
    let teacher = whole.and_then(|whole| {
        let mut teachers = manifest.teachers.iter();
        teachers.find(|teacher| teacher.id == whole.teacher)
    });
    let teacher = teacher
        .cloned()
        .ok_or("The list of models is incomplete: reload the page.")?;
    let model = job.model.file;
    Ok(Command::Ablate {
        job: number,
        model,
        teacher,
    })
}

async fn bytes_of(content: Result<Content, String>) -> Result<Uint8Array, String> {
    let bytes = content?.bytes().await?;
    Ok(Uint8Array::new(&bytes))
}

async fn load_command(
    number: u32,
    source: ModelSource,
    manifest: &Manifest,
) -> Result<(Command, Option<ArrayBuffer>), String> {
    match source {
        ModelSource::Shipped(index) => {
            let model = manifest.models.get(index).cloned();
            let teacher = model.as_ref().and_then(|model| {
                manifest
                    .teachers
                    .iter()
                    .find(|teacher| teacher.id == model.teacher)
                    .cloned()
            });
            let (Some(model), Some(teacher)) = (model, teacher) else {
                return Err("The list of models is incomplete: choose another model.".into());
            };
            Ok((
                Command::LoadShipped {
                    job: number,
                    model,
                    teacher,
                },
                None,
            ))
        }
        ModelSource::File { name, blob } | ModelSource::Kept { name, blob, .. } => {
            let buffer = given::read(&blob).await?;
            let teachers = manifest.teachers.clone();
            Ok((
                Command::LoadFile {
                    job: number,
                    name: name.to_string(),
                    teachers,
                },
                Some(buffer),
            ))
        }
    }
}

/// The bytes of an image; an example's file is fetched at first and kept.
async fn content(
    content: &Option<Content>,
    example: &Option<Rc<crate::page::protocol::Example>>,
    id: ItemId,
    dispatch: &Dispatch,
) -> Result<ArrayBuffer, String> {
    let blob = match (content, example) {
        (Some(content), _) => return content.bytes().await,
        (None, Some(example)) => {
            let blob = fetch_blob(&example.file)
                .await
                .map_err(|()| "The example could not be fetched: check the connection and pick it again.")?;
            dispatch.dispatch(Action::Fetched(id, blob.clone()));
            blob
        }
        (None, None) => return Err("The image is no longer there: add it again.".into()),
    };
    given::read(&blob).await
}

async fn fetch(path: &str) -> Result<Response, ()> {
    let window = web_sys::window().ok_or(())?;
    let response = JsFuture::from(window.fetch_with_str(path))
        .await
        .map_err(|_| ())?;
    let response = response.dyn_into::<Response>().map_err(|_| ())?;
    if response.ok() { Ok(response) } else { Err(()) }
}

/// Fetches a file that comes with the page.
pub(crate) async fn fetch_blob(path: &str) -> Result<Blob, ()> {
    let blob = fetch(path).await?.blob().map_err(|_| ())?;
    JsFuture::from(blob)
        .await
        .ok()
        .and_then(|blob| blob.dyn_into().ok())
        .ok_or(())
}

/// Fetches the list of shipped models.
///
/// # Errors
/// A sentence, if it cannot be fetched or read.
pub(crate) async fn fetch_manifest() -> Result<Manifest, String> {
    let text = async {
        let text = fetch(MANIFEST).await?.text().map_err(|_| ())?;
        JsFuture::from(text)
            .await
            .ok()
            .and_then(|text| text.as_string())
            .ok_or(())
    };
    let text = text
        .await
        .map_err(|()| "The list of models could not be fetched: reload the page.")?;
    serde_json::from_str(&text).map_err(|_| "The list of models is damaged: reload the page.".into())
}
