//! What the engine does for each command.

use std::collections::BTreeMap;

use burn::tensor::Device;
use js_sys::{ArrayBuffer, Float32Array, Uint8Array};

use super::compare::{Comparing, look};
use super::download::download;
use super::evaluate::Measuring;
use super::run::{Kept, Material, Place, Run};
use super::study::study;
use super::teach::{Teaching, tell};
use super::{Deliver, post, post_fatal};
use crate::calibration::Calibration;
use crate::config::{Method, ModelConfig, TeacherKind};
use crate::error::sentence;
use crate::image;
use crate::inference::{Detection, Detector};
use crate::model::file::{ModelFile, parse_teacher};
use crate::model::open::{Opened, open};
use crate::model::patchcore::MemoryFile;
use crate::model::prefix;
use crate::model::weights::Weights;
use crate::platform::now_ms;
use crate::protocol::{
    AnalysisInfo, BackendChoice, Command, Contest, ContestEvent, DeviceInfo, Event, KeptRun, Look,
    ManifestFile, ManifestModel, ModelInfo, RunInfo, Task, TaskEvent,
};
use crate::{Error, Result, device};

/// Largest model file that is kept, and copied to each helper of an evaluation.
const LARGEST_SHARED: usize = 16 << 20;

/// Device, teachers, the current model and the new one.
pub(super) struct Engine {
    device: Option<Device>,
    info: Option<DeviceInfo>,
    /// Folded weights by teacher id; shared by all models.
    teachers: BTreeMap<String, Teacher>,
    detector: Option<Detector>,
    /// The current model's file, unless it is too large to share.
    file: Option<Vec<u8>>,
    /// The current model's trained weights, for a new inspector to start from.
    trained: Option<(ModelConfig, Weights)>,
    teaching: Teaching,
    measuring: Measuring,
    comparing: Comparing,
    /// Networks that lack a component, by the ids of their files.
    ablated: BTreeMap<String, Detector>,
}

/// A teacher that was fetched or given.
struct Teacher {
    weights: Weights,
    bytes: u64,
}

impl Engine {
    /// Without a device and a model; `deliver` takes what helpers say.
    pub(super) fn new(deliver: Deliver) -> Self {
        Self {
            device: None,
            info: None,
            teachers: BTreeMap::new(),
            detector: None,
            file: None,
            trained: None,
            teaching: Teaching::default(),
            measuring: Measuring::new(deliver),
            comparing: Comparing::default(),
            ablated: BTreeMap::new(),
        }
    }

    /// Hears what a helper says.
    pub(super) fn hear(&mut self, number: usize, event: Event, bytes: &[u8]) {
        self.measuring.hear(number, event, bytes);
    }

    fn is_on_cpu(&self) -> bool {
        let info = self.info.as_ref();
        info.is_some_and(|info| info.backend == BackendChoice::Cpu)
    }

    /// Runs one command to its end; every failure becomes an event.
    pub(super) async fn handle(&mut self, command: Command, bytes: Vec<u8>) {
        let (job, result) = match command {
            Command::Start { backend } => (None, self.start(backend).await.map(Event::DeviceReady)),
            Command::LoadShipped { job, model, teacher } => {
                (Some(job), self.load_shipped(job, &model, &teacher).await)
            }
            Command::LoadFile { job, name, teachers } => {
                let result = self.load_file(job, name, &bytes, &teachers).await;
                if let Ok(Event::ModelReady { .. }) = result {
                    self.share(bytes);
                }
                (Some(job), result)
            }
            Command::Teach { task } => {
                let result = match self.teaching.collect(*task, &bytes) {
                    Some(task) => self.teach(task).await,
                    None => Ok(()),
                };
                return self.report(result);
            }
            Command::Study {
                job,
                damage,
                image_bytes,
            } => {
                let studied = match &self.detector {
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
            Command::Ablate { job, model, teacher } => match self.ablate(&model, &teacher, &bytes).await {
                Ok((look, map)) => {
                    post(&Event::Ablated { job, look }, Some(&map));
                    return;
                }
                Err(err) => (Some(job), Err(err)),
            },
            Command::Contest { task } => {
                let result = self.contest(task, &bytes).await;
                return report_contest(result);
            }
            Command::Measure { task } => {
                let file = self.file.as_deref().filter(|_| self.is_on_cpu());
                let detector = self.detector.as_ref();
                let handled = self.measuring.handle(detector, file, task, bytes).await;
                if let Err(err) = handled {
                    post_fatal(&sentence(&err.to_string()));
                }
                return;
            }
            Command::Analyse { job } => match self.analyse(&bytes).await {
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

    /// Whether there is a training to go on with.
    pub(super) fn is_training(&self) -> bool {
        self.comparing.is_making() || self.teaching.run.as_ref().is_some_and(Run::is_working)
    }

    /// Does the next step of the training, or ends it.
    pub(super) async fn train(&mut self) {
        if self.comparing.is_making() {
            let result = match self.device() {
                Ok(device) => self.comparing.step(&device).await,
                Err(err) => Err(err),
            };
            if result.is_err() {
                self.comparing.stop();
            }
            return report_contest(result);
        }
        let Some(run) = &mut self.teaching.run else {
            return;
        };
        let result = match run.step().await {
            Ok(true) => Ok(()),
            Ok(false) => self.finish().await,
            Err(err) => Err(err),
        };
        self.report(result);
    }

    /// Ends the training with the model as it is.
    async fn finish(&mut self) -> Result<()> {
        match self.teaching.run.take() {
            Some(run) => run.finish().await,
            None => Ok(()),
        }
    }

    /// A failure ends the training; what the browser keeps of it stays.
    fn report(&mut self, result: Result<()>) {
        match result {
            Ok(()) => {}
            Err(Error::Device(reason)) => post_fatal(&sentence(&reason)),
            Err(err) => {
                self.teaching.run = None;
                let message = sentence(&err.to_string());
                tell(TaskEvent::Failed { message }, None);
            }
        }
    }

    async fn teach(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Train {
                name,
                settings,
                textures,
                fine_tune,
                teachers,
            } => {
                let teacher = self.teacher(settings.model.teacher, &teachers).await?;
                let (ids, images) = self.teaching.views();
                let same = |config: &ModelConfig| {
                    (&config.student, &config.segmentation, config.teacher)
                        == (
                            &settings.model.student,
                            &settings.model.segmentation,
                            settings.model.teacher,
                        )
                };
                let start = self
                    .trained
                    .as_ref()
                    .filter(|(config, _)| fine_tune && same(config));
                let side = settings.model.input_size;
                let material = Material {
                    images,
                    textures: self.teaching.pictures(textures, side),
                    start: start.map(|(_, weights)| weights.clone()),
                };
                let began = js_sys::Date::now();
                let info = RunInfo {
                    run: format!("{began}"),
                    name,
                    images: 0,
                    held_out: 0,
                    student_steps: 0,
                    total_steps: 0,
                    done: 0,
                    began,
                };
                let kept = KeptRun {
                    info,
                    settings,
                    textures,
                    ids,
                };
                let run = Run::begin(kept, material, &teacher, self.place()?).await?;
                self.take_on(run).await?;
            }
            Task::Resume { run, teachers } => {
                let kept = Kept::open(&run).await?;
                let teacher = match kept.teacher().await? {
                    Some(own) => own,
                    None => self.teacher(kept.run.settings.model.teacher, &teachers).await?,
                };
                let run = Run::resume(kept, &teacher, self.place()?).await?;
                self.take_on(run).await?;
            }
            Task::Pause { paused } => {
                if let Some(run) = &mut self.teaching.run {
                    run.pause(paused).await?;
                }
            }
            Task::Stop { keep: true } if self.teaching.run.as_ref().is_some_and(Run::can_end) => {
                self.finish().await?;
            }
            // before stage 2 there is nothing to keep; the page does not offer it
            Task::Stop { keep: true } => {}
            Task::Stop { keep: false } => match self.teaching.run.take() {
                Some(run) => run.discard().await,
                None => tell(TaskEvent::Discarded, None),
            },
            Task::Add { .. }
            | Task::AddTexture { .. }
            | Task::Remove { .. }
            | Task::ShowTextures { .. }
            | Task::Preview { .. } => {}
        }
        Ok(())
    }

    async fn take_on(&mut self, mut run: Run) -> Result<()> {
        if self
            .info
            .as_ref()
            .is_some_and(|info| info.backend == BackendChoice::Webgpu)
        {
            run.prepare().await?;
        }
        tell(TaskEvent::Started(run.info()), None);
        // from the first step on, an interruption loses half a minute at most
        run.save().await?;
        self.teaching.run = Some(run);
        Ok(())
    }

    async fn contest(&mut self, task: Contest, bytes: &[u8]) -> Result<()> {
        match task {
            Contest::Prepare {
                method,
                coreset,
                steps,
                teachers,
            } => {
                let teacher = self.teacher(TeacherKind::EfficientnetLite0, &teachers).await?;
                let (_, images) = self.teaching.views();
                let device = self.device()?;
                self.comparing
                    .prepare(method, (coreset, steps), images, teacher, &device)
            }
            Contest::Stop => {
                self.comparing.stop();
                Ok(())
            }
            Contest::Look { job } => self.comparing.look(job, self.detector.as_ref(), bytes).await,
        }
    }

    /// What a shipped network without a component says about an image; it is fetched once.
    async fn ablate(
        &mut self,
        model: &ManifestFile,
        teacher: &ManifestFile,
        bytes: &[u8],
    ) -> Result<(Look, ArrayBuffer)> {
        let detector = match self.ablated.remove(&model.id) {
            Some(detector) => detector,
            None => {
                self.fetch_teacher(teacher, &mut |_| {}).await?;
                let file = ModelFile::parse(&download(model, &mut |_| {}).await?)?;
                let teacher = self.teachers.get(&teacher.id).map(|teacher| &teacher.weights);
                Detector::new(&file, teacher, &self.device()?)?
            }
        };
        let mut map = Vec::new();
        let look = look(&detector, &image::decode(bytes)?, &mut map).await?;
        self.ablated.insert(model.id.clone(), detector);
        Ok((look, Float32Array::from(map.as_slice()).buffer()))
    }

    fn place(&self) -> Result<Place> {
        let device = self.device()?;
        let info = self.info.as_ref();
        let gpu = info.is_some_and(|info| info.backend == BackendChoice::Webgpu);
        let adapter = info.map_or("", |info| &info.adapter);
        let kind = if gpu { "WebGPU" } else { "CPU" };
        Ok(Place {
            device,
            name: format!("{kind} ({adapter}), in a browser"),
        })
    }

    /// The folded weights of a teacher, fetched if they are not there yet.
    async fn teacher(&mut self, kind: TeacherKind, teachers: &[ManifestFile]) -> Result<Weights> {
        if let Some(file) = teachers.iter().find(|file| file.id == kind.id()) {
            self.fetch_teacher(file, &mut |_| {}).await?;
        }
        let found = self.teachers.get(kind.id());
        found.map(|teacher| teacher.weights.clone()).ok_or_else(|| {
            Error::Model(format!(
                "the {} teacher is not there: open its file first, then train",
                kind.id()
            ))
        })
    }

    async fn start(&mut self, backend: BackendChoice) -> Result<DeviceInfo> {
        let selected = device::select(backend).await?;
        self.device = Some(selected.device);
        self.info = Some(selected.info.clone());
        Ok(selected.info)
    }

    fn device(&self) -> Result<Device> {
        self.device
            .clone()
            .ok_or_else(|| Error::Device("the engine was used before it was started".into()))
    }

    async fn load_shipped(
        &mut self,
        job: u32,
        model: &ManifestModel,
        teacher: &ManifestFile,
    ) -> Result<Event> {
        let start = now_ms();
        let missing = if self.teachers.contains_key(&teacher.id) {
            0
        } else {
            teacher.bytes
        };
        let total = missing + model.file.bytes;
        let mut report = |received| post(&Event::Progress { job, received, total }, None);
        self.fetch_teacher(teacher, &mut report).await?;
        let bytes = download(&model.file, &mut |received| report(missing + received)).await?;
        let file = ModelFile::parse(&bytes)?;
        let event = self.open_model(job, model.name.clone(), file, bytes.len(), start);
        let event = event.await?;
        self.share(bytes);
        Ok(event)
    }

    /// Keeps the current model's file for helpers.
    fn share(&mut self, file: Vec<u8>) {
        self.file = Some(file).filter(|file| file.len() <= LARGEST_SHARED);
    }

    async fn load_file(
        &mut self,
        job: u32,
        name: String,
        bytes: &[u8],
        teachers: &[ManifestFile],
    ) -> Result<Event> {
        let start = now_ms();
        let file = match open(bytes)? {
            Opened::Model(file) => *file,
            Opened::Memory(file) => {
                return self
                    .open_memory(job, name, &file, bytes.len(), start, teachers)
                    .await;
            }
            Opened::Teacher(kind, weights) => {
                let teacher = kind.id().to_owned();
                let bytes = bytes.len() as u64;
                self.teachers.insert(teacher.clone(), Teacher { weights, bytes });
                return Ok(Event::TeacherReady { job, teacher });
            }
        };
        let id = file.header.config.teacher.id();
        if !file.has_teacher() && !self.teachers.contains_key(id) {
            let Some(teacher) = teachers.iter().find(|teacher| teacher.id == id) else {
                return Err(Error::Model(format!(
                    "the model needs the {id} teacher, which neither the file nor this page has: \
                     open the teacher's file first, then this one again"
                )));
            };
            let total = teacher.bytes;
            self.fetch_teacher(teacher, &mut |received| {
                post(&Event::Progress { job, received, total }, None);
            })
            .await?;
        }
        self.open_model(job, name, file, bytes.len(), start).await
    }

    /// Opens a memory of `PatchCore` as the current model.
    async fn open_memory(
        &mut self,
        job: u32,
        name: String,
        file: &MemoryFile,
        bytes: usize,
        start: f64,
        teachers: &[ManifestFile],
    ) -> Result<Event> {
        let config = &file.header.config;
        let teacher = match file.has_teacher() {
            true => None,
            false => Some(self.teacher(config.teacher, teachers).await?),
        };
        let detector = Detector::of_memory(file, teacher.as_ref(), &self.device()?)?;
        let load_ms = now_ms() - start;
        let before = now_ms();
        detector.warm_up().await?;
        let count = teacher.map_or(0, |teacher| teacher.count());
        let of_teacher = self.teachers.get(config.teacher.id());
        let model = ModelInfo {
            name,
            method: Method::Patchcore,
            preset: config.teacher.preset().id().into(),
            teacher: config.teacher.id().into(),
            parameters: (file.weights.count() + count) as u64,
            bytes: bytes as u64 + of_teacher.map_or(0, |teacher| teacher.bytes),
            input_size: config.input_size,
            segmentation: false,
            trained_on: file.header.training.as_ref().map_or_else(
                || "an unknown data set".into(),
                |training| format!("{} good images of {}", training.images, training.data),
            ),
            load_ms,
            first_ms: now_ms() - before,
            calibration: detector.calibration().map(Calibration::thresholds),
        };
        self.detector = Some(detector);
        self.trained = None;
        Ok(Event::ModelReady { job, model })
    }

    async fn fetch_teacher(&mut self, teacher: &ManifestFile, report: &mut dyn FnMut(u64)) -> Result<()> {
        if !self.teachers.contains_key(&teacher.id) {
            let bytes = download(teacher, report).await?;
            let (_, weights) = parse_teacher(&bytes)?;
            self.teachers.insert(
                teacher.id.clone(),
                Teacher {
                    weights,
                    bytes: teacher.bytes,
                },
            );
        }
        Ok(())
    }

    async fn open_model(
        &mut self,
        job: u32,
        name: String,
        file: ModelFile,
        bytes: usize,
        start: f64,
    ) -> Result<Event> {
        let device = self.device()?;
        let config = &file.header.config;
        let teacher = self
            .teachers
            .get(config.teacher.id())
            .filter(|_| !file.has_teacher());
        let detector = Detector::new(&file, teacher.map(|teacher| &teacher.weights), &device)?;
        let load_ms = now_ms() - start;
        let before = now_ms();
        detector.warm_up().await?;
        let first_ms = now_ms() - before;
        let model = ModelInfo {
            name,
            method: config.method(),
            preset: config.preset.id().into(),
            teacher: config.teacher.id().into(),
            parameters: (file.weights.count() + teacher.map_or(0, |teacher| teacher.weights.count())) as u64,
            bytes: bytes as u64 + teacher.map_or(0, |teacher| teacher.bytes),
            input_size: config.input_size,
            segmentation: config.segmentation.is_some(),
            trained_on: file.header.training.as_ref().map_or_else(
                || "an unknown data set".into(),
                |training| format!("{} good images of {}", training.images, training.data),
            ),
            load_ms,
            first_ms,
            calibration: file
                .header
                .calibration
                .as_ref()
                .map(|calibration| calibration.thresholds()),
        };
        // only now: a model that cannot be used leaves the one before in place
        self.detector = Some(detector);
        let ModelFile { header, mut weights } = file;
        let own = weights.take_prefix(prefix::TEACHER);
        if !own.is_empty() {
            // new inspectors of this network learn from it, too
            let weights = own.with_prefix(prefix::TEACHER);
            let teacher = Teacher { weights, bytes: 0 };
            self.teachers
                .entry(header.config.teacher.id().into())
                .or_insert(teacher);
        }
        let can_go_on = header.config.segmentation.is_some();
        self.trained = can_go_on.then_some((header.config, weights));
        Ok(Event::ModelReady { job, model })
    }

    async fn analyse(&self, bytes: &[u8]) -> Result<(AnalysisInfo, ArrayBuffer)> {
        let Some(detector) = &self.detector else {
            return Err(no_model());
        };
        let start = now_ms();
        let image = image::decode(bytes)?;
        let decoded = now_ms();
        let Detection {
            segmentation,
            dest,
            levels,
            score,
            dest_score,
        } = detector.detect(&image).await?;
        let result = AnalysisInfo {
            width: image.width(),
            height: image.height(),
            map_width: dest.width(),
            map_height: dest.height(),
            levels: levels.each_ref().map(|level| [level.width(), level.height()]),
            score,
            dest_score,
            decode_ms: decoded - start,
            inference_ms: now_ms() - decoded,
        };
        let maps = segmentation.iter().chain([&dest]).chain(&levels);
        let maps: Vec<f32> = maps.flat_map(|map| map.values()).copied().collect();
        Ok((result, Float32Array::from(maps.as_slice()).buffer()))
    }
}

/// What a command without a model hears.
pub(super) fn no_model() -> Error {
    Error::Model("no model is loaded yet: choose one first".into())
}

/// Tells the page what went wrong with a comparison.
fn report_contest(result: Result<()>) {
    match result {
        Ok(()) => {}
        Err(Error::Device(reason)) => post_fatal(&sentence(&reason)),
        Err(err) => {
            let message = sentence(&err.to_string());
            let event = ContestEvent::Failed { message };
            post(&Event::Contest { event }, None);
        }
    }
}
