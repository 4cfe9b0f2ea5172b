//! A training that goes on: its steps, what the page sees of it, and what the browser keeps of it so
//! that it can go on after an interruption.

use std::sync::Arc;

use destseg_engine::backend::device::Device;
use web_sys::Blob;

use super::collection::{post_train, synthesiser};
use crate::page::protocol::{KeptRun, StepInfo, Textures, TrainEvent, TrainedInfo};
use crate::page::shared::content;
use crate::page::shared::store::{Folder, Lock, RUN_RECORD, RUNS};
use destseg_engine::arch::prefix;
use destseg_engine::arch::weights::Weights;
use destseg_engine::config::TeacherKind;
use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::files::storage::Precision;
use destseg_engine::methods::file::{Body, ModelFile, TrainingRecord, parse_teacher, teacher_to_bytes};
use destseg_engine::platform::{now_ms, yield_now};
use destseg_engine::render::{self, ColorMap};
use destseg_engine::synthesis::{Sample, preview};
use destseg_engine::train::{Stage, Trainer};
use destseg_engine::{Error, Result};

/// Milliseconds between two savings.
const SAVE_EVERY_MS: f64 = 30_000.0;
/// Least milliseconds between two predictions of the preview.
const PREDICT_EVERY_MS: f64 = 3_000.0;
/// Predicting takes at most one part in this many of the time.
const PREDICT_SHARE: f64 = 20.0;
/// Images trained on that are looked at again, at most.
const MOST_CHECKED: usize = 300;
/// How the model is stored.
const PRECISION: Precision = Precision::F16;
/// Opacity of the heat maps.
const OPACITY: f32 = 0.65;

/// Names of the files that are kept of a run beside its record.
const IMAGES: &str = "images";
const TEXTURES: &str = "textures";
const CHECKPOINT: &str = "checkpoint";
const TEACHER: &str = "teacher";

/// A training run of the page.
pub(super) struct Run {
    kept: KeptRun,
    trainer: Trainer,
    teacher: Weights,
    /// What the page watches: a held-out image, and the same with an anomaly.
    preview_sample: (RgbImage, Sample),
    paused: bool,
    in_segmentation: bool,
    device: String,
    folder: Option<Folder>,
    lock: Option<Lock>,
    saved_ms: f64,
    predicted_ms: f64,
    prediction_took_ms: f64,
}

/// The device of a run.
pub(super) struct ComputeDevice {
    pub(super) device: Device,
    /// In words.
    pub(super) name: String,
}

/// What a run starts with.
pub(super) struct Material {
    /// Square, of the input's size.
    pub(super) images: Vec<Arc<RgbImage>>,
    /// Square, of the input's size; none for the built-in ones.
    pub(super) textures: Vec<RgbImage>,
    /// Weights to go on from instead of random ones.
    pub(super) start: Option<Weights>,
}

/// A run that the browser kept.
pub(super) struct Kept {
    pub(super) run: KeptRun,
    folder: Folder,
}

impl Kept {
    pub(super) async fn open(name: &str) -> Result<Self> {
        let folder = Folder::open(&[RUNS, name]).await.map_err(Error::Training)?;
        let record = folder.read(RUN_RECORD).await.ok_or_else(|| gone("settings"))?;
        // as messages are read: reading from bytes, too, would be code for every type again
        let text = str::from_utf8(&record).map_err(|_| gone("settings"))?;
        let run = serde_json::from_str(text).map_err(|_| gone("settings"))?;
        Ok(Self { run, folder })
    }

    /// The teacher, if it is not one that the page can fetch.
    pub(super) async fn teacher(&self) -> Result<Option<Weights>> {
        match self.folder.read(TEACHER).await {
            Some(bytes) => Ok(Some(parse_teacher(&bytes)?.1)),
            None => Ok(None),
        }
    }
}

fn gone(what: &str) -> Error {
    Error::Training(format!(
        "the training cannot go on, its {what} are no longer there: start it again"
    ))
}

impl Run {
    /// Prepares a run and keeps what is needed to go on with it.
    pub(super) async fn begin(
        kept: KeptRun,
        material: Material,
        teacher: &Weights,
        device: ComputeDevice,
    ) -> Result<Self> {
        // shared, not copied: two thousand images are hundreds of megabytes
        let (images, textures) = (material.images.clone(), material.textures.clone());
        let start = material.start.clone();
        let mut run = Self::new(kept, material, teacher, device).await?;
        if let Some(weights) = start {
            run.trainer.start_from(&weights)?;
        }
        match run.keep(&images, &textures).await {
            Ok(folder) => run.folder = Some(folder),
            Err(message) => post_train(TrainEvent::NotSaved { message }, None),
        }
        Ok(run)
    }

    /// Resumes a run that the browser kept.
    pub(super) async fn resume(kept: Kept, teacher: &Weights, device: ComputeDevice) -> Result<Self> {
        let Kept { run: kept, folder } = kept;
        let name = kept.info.run.clone();
        let side = kept.settings.model.input_size as u32;
        let images = folder.file(IMAGES).await.ok_or_else(|| gone("images"))?;
        let images = pictures(&images, side).await.map_err(|_| gone("images"))?;
        let textures = match folder.file(TEXTURES).await {
            Some(file) => pictures(&file, side).await.map_err(|_| gone("textures"))?,
            None => Vec::new(),
        };
        let material = Material {
            images: images.into_iter().map(Arc::new).collect(),
            textures,
            start: None,
        };
        let mut run = Self::new(kept, material, teacher, device).await?;
        if run.lock.is_none() && Lock::held().await.contains(&name) {
            return Err(Error::Training(
                "this training goes on in another tab: watch it there".into(),
            ));
        }
        if let Some(checkpoint) = folder.read(CHECKPOINT).await {
            run.trainer.resume(&checkpoint)?;
        }
        run.kept.info.done = run.trainer.steps_done();
        run.in_segmentation = run.trainer.steps_done() > run.kept.info.student_steps;
        run.folder = Some(folder);
        Ok(run)
    }

    async fn new(
        mut kept: KeptRun,
        material: Material,
        teacher: &Weights,
        device: ComputeDevice,
    ) -> Result<Self> {
        let Material { images, textures, .. } = material;
        let synthesiser = synthesiser(&kept.settings, textures);
        let settings = kept.settings.clone();
        let mut trainer = Trainer::new(
            settings.model,
            settings.training.clone(),
            teacher,
            images,
            synthesiser,
            &device.device,
        )?;
        // the views of an image follow each other
        let photos = kept.ids.chunk_by(|one, other| one == other).count();
        trainer.set_views(kept.ids.len().max(1) as f32 / photos.max(1) as f32);
        kept.info.images = trainer.image_count();
        kept.info.held_out = trainer.held_out_count();
        kept.info.student_steps = settings.training.student.steps;
        kept.info.total_steps = trainer.total_steps();
        let lock = Lock::take(&kept.info.run).await;
        Ok(Self {
            preview_sample: trainer.preview_sample()?,
            teacher: teacher.clone(),
            kept,
            trainer,
            paused: false,
            in_segmentation: false,
            device: device.name,
            folder: None,
            lock,
            saved_ms: now_ms(),
            predicted_ms: f64::NEG_INFINITY,
            prediction_took_ms: 0.0,
        })
    }

    /// What the page knows of it.
    pub(super) fn info(&self) -> crate::page::protocol::RunInfo {
        self.kept.info.clone()
    }

    /// Compiles the GPU's kernels, and says so.
    pub(super) async fn prepare(&self) -> Result<()> {
        let mut report = |done, total| post_train(TrainEvent::Preparing { done, total }, None);
        self.trainer.warm_up(&mut report).await
    }

    /// Pauses or resumes. A pause keeps the state, as the visitor may close the page next.
    pub(super) async fn pause(&mut self, paused: bool) -> Result<()> {
        if paused && !std::mem::replace(&mut self.paused, true) {
            return self.save().await;
        }
        self.paused = paused;
        Ok(())
    }

    pub(super) fn is_working(&self) -> bool {
        !self.paused
    }

    /// Whether there is a model to keep already.
    pub(super) fn can_end(&self) -> bool {
        self.in_segmentation
    }

    /// Does a step, or part of what the next one needs; false once all are done.
    pub(super) async fn step(&mut self) -> Result<bool> {
        // a pause or the end is heard of after each image
        if self.trainer.prepare().await? {
            return Ok(true);
        }
        let start = now_ms();
        let Some(report) = self.trainer.step().await? else {
            return Ok(false);
        };
        self.in_segmentation = report.stage == Stage::Segmentation;
        let step = StepInfo {
            step: report.step,
            loss: report.loss,
            parts: report.parts,
            ms: now_ms() - start,
        };
        post_train(TrainEvent::Stepped(step), None);
        if now_ms() - self.predicted_ms > PREDICT_EVERY_MS.max(PREDICT_SHARE * self.prediction_took_ms) {
            self.predict_held_out().await?;
        }
        if self.folder.is_some() && now_ms() - self.saved_ms > SAVE_EVERY_MS {
            self.save().await?;
        }
        Ok(true)
    }

    /// Posts the prediction of the preview so far: the DeST map in stage 1.
    async fn predict_held_out(&mut self) -> Result<()> {
        let start = now_ms();
        let (good, sample) = &self.preview_sample;
        let detector = self.trainer.detector()?;
        let corrupted = preview::corrupted(sample);
        let seen = [&corrupted, good];
        let mut maps = Vec::new();
        for image in seen {
            let found = detector.detect_pixels(&image::to_f32(image)).await?;
            maps.push(match found.segmentation.filter(|_| self.in_segmentation) {
                Some(map) => map,
                None => found.dest,
            });
        }
        let highest = maps
            .iter()
            .flat_map(|map| map.values())
            .copied()
            .fold(0.0, f32::max);
        let range = (0.0, if self.in_segmentation { 1.0 } else { highest });
        let side = good.width() as usize;
        let heat = |image: &RgbImage, map| {
            render::overlay(image.as_raw(), side, side, map, ColorMap::Turbo, range, OPACITY)
        };
        let mut pictures = Vec::new();
        preview::rgba(corrupted.as_raw(), &mut pictures);
        preview::mask(sample, &mut pictures);
        preview::rgba(&heat(&corrupted, &maps[0]), &mut pictures);
        preview::rgba(good.as_raw(), &mut pictures);
        preview::rgba(&heat(good, &maps[1]), &mut pictures);
        let step = self.trainer.steps_done();
        post_train(TrainEvent::HeldOutPredicted { step, side }, Some(&pictures));
        self.predicted_ms = now_ms();
        self.prediction_took_ms = self.predicted_ms - start;
        Ok(())
    }

    /// Writes what never changes during the run.
    async fn keep(&self, images: &[Arc<RgbImage>], textures: &[RgbImage]) -> Result<Folder, String> {
        let folder = Folder::open(&[RUNS, &self.kept.info.run]).await?;
        let images = images.iter().map(|image| image.as_raw().as_slice());
        folder.write_parts(IMAGES, images).await?;
        let textures = textures.iter().map(|image| image.as_raw().as_slice());
        folder.write_parts(TEXTURES, textures).await?;
        let kind = self.kept.settings.model.teacher;
        if kind != TeacherKind::EfficientnetLite0 {
            // the visitor gave it, and would have to again
            let teacher = teacher_to_bytes(kind, &self.teacher, Precision::F32);
            folder
                .write(TEACHER, &teacher.map_err(|err| err.to_string())?)
                .await?;
        }
        Ok(folder)
    }

    /// Keeps the state of the run. If the browser refuses, the page is told once.
    pub(super) async fn save(&mut self) -> Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let checkpoint = self.trainer.checkpoint().await?;
        let mut kept = self.kept.clone();
        kept.info.done = self.trainer.steps_done();
        let record = serde_json::to_vec(&kept).unwrap_or_default();
        let written = async {
            folder.write(CHECKPOINT, &checkpoint).await?;
            // last: a run with a record has all the rest
            folder.write(RUN_RECORD, &record).await
        };
        match written.await {
            Ok(()) => post_train(TrainEvent::Saved { step: kept.info.done }, None),
            Err(message) => {
                post_train(TrainEvent::NotSaved { message }, None);
                self.folder = None;
            }
        }
        self.saved_ms = now_ms();
        Ok(())
    }

    /// Calibrates and gives the page the model file. What the browser keeps of the run stays until the
    /// page has kept the model.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.save().await?;
        post_train(TrainEvent::Calibrating, None);
        yield_now().await;
        let steps = self.trainer.steps_done();
        let result = self.trainer.finish(PRECISION).await?;
        let mut trained = TrainedInfo {
            run: self.info(),
            steps,
            calibration: result.calibration.clone(),
            notes: result.notes(),
            outliers: Vec::new(),
        };
        if let Some(calibration) = &result.calibration {
            for outlier in self.trainer.outliers(calibration, MOST_CHECKED).await? {
                if let Some(&id) = self.kept.ids.get(outlier.index) {
                    trained.outliers.push((id, outlier.score));
                }
            }
        }
        let settings = self.kept.settings;
        let kind = settings.model.teacher;
        let record = TrainingRecord {
            data: self.kept.info.name.clone(),
            images: self.kept.info.images,
            textures: in_words(self.kept.textures).into(),
            config: settings.training,
            device: self.device,
            files: self.kept.files,
        };
        let body = Body::Networks {
            config: settings.model.into(),
            training: Some(record.into()),
        };
        let mut file = ModelFile::trained(body, result)?;
        if kind != TeacherKind::EfficientnetLite0 {
            // this teacher is not shipped, so the file carries it
            file.weights.extend(self.teacher.prefixed(prefix::TEACHER));
        }
        let file = file.to_bytes(PRECISION)?;
        post_train(TrainEvent::Trained(trained.into()), Some(&file));
        Ok(())
    }

    /// Removes what the browser keeps of the run.
    pub(super) async fn discard(self) {
        if let Ok(runs) = Folder::open(&[RUNS]).await {
            runs.remove(&self.kept.info.run).await;
        }
        post_train(TrainEvent::Discarded, None);
    }
}

fn in_words(textures: Textures) -> &'static str {
    match textures {
        Textures::BuiltIn => "built-in procedural textures",
        Textures::GoodImages => "the good images themselves",
        Textures::Own => "own texture images",
    }
}

/// The square images in a file that [`Run::keep`] wrote, read one by one.
async fn pictures(file: &Blob, side: u32) -> Result<Vec<RgbImage>, String> {
    let bytes = f64::from(3 * side * side);
    let mut images = Vec::new();
    for index in 0..(file.size() / bytes) as u32 {
        let start = f64::from(index) * bytes;
        let pixels = content::slice(file, start, start + bytes).await?;
        images.extend(RgbImage::from_raw(side, side, pixels));
    }
    Ok(images)
}
