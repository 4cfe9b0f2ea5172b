//! What the engine does for each command.

use std::collections::BTreeMap;

use burn::tensor::Device;
use js_sys::{ArrayBuffer, Float32Array};

use super::download::download;
use super::{post, post_fatal};
use crate::image;
use crate::inference::{Detection, Detector};
use crate::model::file::{ModelFile, parse_teacher};
use crate::model::open::{Opened, open};
use crate::model::weights::Weights;
use crate::platform::now_ms;
use crate::protocol::{
    AnalysisInfo, BackendChoice, Command, DeviceInfo, Event, ManifestFile, ManifestModel, ModelInfo,
};
use crate::{Error, Result, device};

/// Device, teachers and the current model.
#[derive(Default)]
pub(super) struct Engine {
    device: Option<Device>,
    /// Folded weights by teacher id; shared by all models.
    teachers: BTreeMap<String, Teacher>,
    detector: Option<Detector>,
}

/// A teacher that was fetched or given.
struct Teacher {
    weights: Weights,
    bytes: u64,
}

impl Engine {
    /// Runs one command to its end; every failure becomes an event.
    pub(super) async fn handle(&mut self, command: Command, bytes: Vec<u8>) {
        let (job, result) = match command {
            Command::Start { backend } => (None, self.start(backend).await.map(Event::DeviceReady)),
            Command::LoadShipped { job, model, teacher } => {
                (Some(job), self.load_shipped(job, &model, &teacher).await)
            }
            Command::LoadFile { job, name, teachers } => {
                (Some(job), self.load_file(job, name, &bytes, &teachers).await)
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

    async fn start(&mut self, backend: BackendChoice) -> Result<DeviceInfo> {
        let selected = device::select(backend).await?;
        self.device = Some(selected.device);
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
        self.open_model(job, model.name.clone(), file, bytes.len(), start)
            .await
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
        Ok(Event::ModelReady { job, model })
    }

    async fn analyse(&self, bytes: &[u8]) -> Result<(AnalysisInfo, ArrayBuffer)> {
        let Some(detector) = &self.detector else {
            return Err(Error::Model("no model is loaded yet: choose one first".into()));
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

/// A message as a sentence: capital letter and full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let capital = letters
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    let full_stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{capital}{}{full_stop}", letters.as_str())
}
