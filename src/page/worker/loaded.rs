//! Device, teachers and the current model: what every command needs.

use std::collections::BTreeMap;

use js_sys::{ArrayBuffer, Float32Array, Uint8Array};

use super::download::download;
use super::post;
use super::predict::predict;
use crate::page::protocol::{
    BackendChoice, DeviceInfo, Event, ManifestFile, ManifestModel, ModelInfo, PredictionInfo,
    PredictionSummary,
};
use crate::page::shared::to_bytes;
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::{self, Device};
use destseg_engine::config::{ModelConfig, TeacherKind};
use destseg_engine::data::brush::{self, Point};
use destseg_engine::data::facts::FileFacts;
use destseg_engine::data::image;
use destseg_engine::evaluation::small_picture;
use destseg_engine::inspect::{Detection, Detector};
use destseg_engine::methods::file::{Body, ModelFile, parse_teacher};
use destseg_engine::methods::open::{Opened, open};
use destseg_engine::methods::{detector, draem, dsr};
use destseg_engine::platform::now_ms;
use destseg_engine::verdict::corrections::fingerprint;
use destseg_engine::{Error, Result};

/// Largest model file that is kept, and copied to each helper.
const LARGEST_SHARED: usize = 16 << 20;
/// Pixels of a thumbnail's longer side, twice its size on the page.
const THUMBNAIL: u32 = 96;

/// What is in place.
#[derive(Default)]
pub(super) struct Loaded {
    device: Option<Device>,
    pub(super) info: Option<DeviceInfo>,
    /// Folded weights by teacher id; shared by all models.
    teachers: BTreeMap<String, Teacher>,
    pub(super) detector: Option<Detector>,
    /// The current model's file, unless it is too large to share.
    file: Option<Vec<u8>>,
    /// One of the two networks of a model of DRAEM, which waits for the other one.
    half: Option<Weights>,
    /// The current model's trained weights, for a new inspector to start from.
    pub(super) trained: Option<(ModelConfig, Weights)>,
    /// Networks that lack a component, by the ids of their files.
    ablated: BTreeMap<String, Detector>,
}

/// A teacher that was fetched or given.
struct Teacher {
    weights: Weights,
    bytes: u64,
}

impl Loaded {
    /// The current model's file, where helpers may have it.
    pub(super) fn shared_file(&self) -> Option<&[u8]> {
        let info = self.info.as_ref();
        let is_on_cpu = info.is_some_and(|info| info.backend == BackendChoice::Cpu);
        self.file.as_deref().filter(|_| is_on_cpu)
    }

    /// What a shipped network without a component says about an image; it is fetched once.
    pub(super) async fn ablate(
        &mut self,
        model: &ManifestFile,
        teacher: &ManifestFile,
        bytes: &[u8],
    ) -> Result<(PredictionSummary, ArrayBuffer)> {
        let detector = match self.ablated.remove(&model.id) {
            Some(detector) => detector,
            None => {
                self.fetch_teacher(teacher, &mut |_| {}).await?;
                let file = ModelFile::parse(&download(model, &mut |_| {}).await?)?;
                let teacher = self.teachers.get(&teacher.id).map(|teacher| &teacher.weights);
                detector(&file, teacher, &self.device()?)?
            }
        };
        let mut map = Vec::new();
        let summary = predict(&detector, &image::decode(bytes)?, &mut map).await?;
        self.ablated.insert(model.id.clone(), detector);
        Ok((summary, Float32Array::from(map.as_slice()).buffer()))
    }

    /// The folded weights of a teacher, fetched if they are not there yet.
    pub(super) async fn teacher(&mut self, kind: TeacherKind, teachers: &[ManifestFile]) -> Result<Weights> {
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

    pub(super) async fn start(&mut self, backend: BackendChoice) -> Result<DeviceInfo> {
        let selected = device::select(backend).await?;
        self.device = Some(selected.device);
        self.info = Some(selected.info.clone());
        Ok(selected.info)
    }

    pub(super) fn device(&self) -> Result<Device> {
        self.device
            .clone()
            .ok_or_else(|| Error::Device("the engine was used before it was started".into()))
    }

    pub(super) async fn load_shipped(
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

    pub(super) async fn load_file(
        &mut self,
        job: u32,
        name: String,
        bytes: Vec<u8>,
        teachers: &[ManifestFile],
    ) -> Result<Event> {
        let start = now_ms();
        let mut whole = true;
        let file = match open(&bytes)? {
            Opened::Model(file) => *file,
            Opened::HalfOfDraem(half) => {
                let Some(other) = self.half.take() else {
                    let missing = draem::other_half(&half);
                    self.half = Some(half);
                    return Err(missing);
                };
                whole = false;
                draem::join(other, half)?
            }
            Opened::PartOfDsr(part) => return Err(dsr::alone(&part)),
            Opened::Teacher(kind, weights) => {
                let teacher = kind.id().to_owned();
                let bytes = bytes.len() as u64;
                self.teachers.insert(teacher.clone(), Teacher { weights, bytes });
                return Ok(Event::TeacherReady { job, teacher });
            }
        };
        let id = file.header.teacher().id();
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
        let event = self.open_model(job, name, file, bytes.len(), start).await?;
        if whole {
            self.share(bytes);
        } else {
            // helpers of an evaluation open one file, not two
            self.file = None;
        }
        Ok(event)
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
        let (device, header) = (self.device()?, &file.header);
        let kind = header.teacher();
        let teacher = self.teachers.get(kind.id()).filter(|_| !file.has_teacher());
        let detector = detector(&file, teacher.map(|teacher| &teacher.weights), &device)?;
        let load_ms = now_ms() - start;
        let before = now_ms();
        detector.warm_up().await?;
        let first_ms = now_ms() - before;
        let segmentation = match &header.body {
            Body::Networks { config, .. } => config.segmentation.is_some(),
            Body::Bank { .. } => false,
            Body::Draem { .. } | Body::Dsr { .. } => true,
        };
        let model = ModelInfo {
            name,
            method: header.method(),
            preset: header.preset().id().into(),
            teacher: kind.id().into(),
            parameters: (file.weights.count() + teacher.map_or(0, |teacher| teacher.weights.count())) as u64,
            bytes: bytes as u64 + teacher.map_or(0, |teacher| teacher.bytes),
            input_size: header.input_size(),
            segmentation,
            trained_on: header.trained_on().map_or_else(
                || "an unknown data set".into(),
                |(data, images)| format!("{images} good images of {data}"),
            ),
            load_ms,
            first_ms,
            calibration: detector.calibration().cloned(),
        };
        // only now: a model that cannot be used leaves the one before in place
        self.detector = Some(detector);
        self.half = None;
        let ModelFile { header, mut weights } = file;
        let own = weights.take_prefix(prefix::TEACHER);
        if !own.is_empty() {
            // new inspectors of this network are trained with this teacher, too
            let weights = own.with_prefix(prefix::TEACHER);
            let teacher = Teacher { weights, bytes: 0 };
            self.teachers.entry(kind.id().into()).or_insert(teacher);
        }
        self.trained = match header.body {
            Body::Networks { config, .. } if config.segmentation.is_some() => Some((*config, weights)),
            Body::Networks { .. } | Body::Bank { .. } | Body::Draem { .. } | Body::Dsr { .. } => None,
        };
        Ok(Event::ModelReady { job, model })
    }

    /// The prediction of a frame of the camera: RGBA pixels, row by row.
    pub(super) async fn predict_frame(
        &self,
        size: (u32, u32),
        rgba: Vec<u8>,
    ) -> Result<(PredictionSummary, ArrayBuffer)> {
        let detector = self.detector.as_ref().ok_or_else(no_model)?;
        let image = image::from_pixels(size, rgba)?;
        let mut map = Vec::new();
        let summary = predict(detector, &image, &mut map).await?;
        Ok((summary, Float32Array::from(map.as_slice()).buffer()))
    }

    /// The prediction of an image file and its thumbnail. Unless it is `brief`, its maps and what there is to remember
    /// of it, too: of a good image, and of a defect that was painted over.
    pub(super) async fn inspect(
        &self,
        bytes: &[u8],
        painted: &[Point],
        brief: bool,
    ) -> Result<(PredictionInfo, ArrayBuffer)> {
        let Some(detector) = &self.detector else {
            return Err(no_model());
        };
        let start = now_ms();
        let image = image::decode(bytes)?;
        let decoded = now_ms();
        let found = detector.detect(&image).await?;
        let inference_ms = now_ms() - decoded;
        let good_places = match brief {
            true => Vec::new(),
            false => detector.places(&found, None, false),
        };
        // a mask is as large as the image, and seldom is anything painted
        let mask =
            (!painted.is_empty()).then(|| detector.mask_pixels(&brush::mask(painted, image.dimensions())));
        let painted_places = detector.places(&found, mask.as_deref(), true);
        let Detection {
            segmentation,
            dest,
            levels,
            score,
            plain_score,
            dest_score,
            distance,
            difference,
            ..
        } = found;
        let thumbnail = small_picture(&image, THUMBNAIL)?;
        let result = PredictionInfo {
            thumbnail_bytes: thumbnail.len(),
            dest_maximum: dest.maximum(),
            width: image.width(),
            height: image.height(),
            map_width: dest.width(),
            map_height: dest.height(),
            levels: levels.each_ref().map(|level| [level.width(), level.height()]),
            score,
            plain_score,
            fingerprint: fingerprint(bytes),
            good_places,
            painted_places,
            dest_score,
            unfamiliar: detector.is_unfamiliar(distance, difference),
            foreign: detector.is_beyond(distance, difference),
            note: detector.note_on(
                FileFacts::of(image::type_name(bytes).map(|name| (name, image.dimensions()))).as_ref(),
            ),
            distance,
            difference,
            decode_ms: decoded - start,
            inference_ms,
        };
        let maps = segmentation.iter().chain([&dest]).chain(&levels);
        let values = maps.filter(|_| !brief).flat_map(|map| map.values());
        let mut buffer = to_bytes(values.copied());
        buffer.extend(thumbnail);
        Ok((result, Uint8Array::from(buffer.as_slice()).buffer()))
    }
}

/// The error of a command that needs a model.
pub(super) fn no_model() -> Error {
    Error::Model("no model is loaded yet: choose one first".into())
}
