//! Training and comparison: work that goes on between commands.

use super::collection::{Collection, post_train};
use super::compare::Comparing;
use super::loaded::Loaded;
use super::run::{self, ComputeDevice, Kept, Run};
use super::{post, post_fatal};
use crate::page::protocol::{
    BackendChoice, CompareCommand, CompareEvent, Event, KeptRun, RunInfo, TrainCommand, TrainEvent,
};
use destseg_engine::config::TeacherKind;
use destseg_engine::error::sentence;
use destseg_engine::methods::Material;
use destseg_engine::synthesis::TextureSource;
use destseg_engine::{Error, Result};

/// The collection, the training that runs, and the methods that are compared.
#[derive(Default)]
pub(super) struct Training {
    collection: Collection,
    run: Option<Run>,
    comparing: Comparing,
}

impl Training {
    /// Runs a command of training.
    pub(super) async fn handle_train(&mut self, loaded: &mut Loaded, command: TrainCommand, bytes: &[u8]) {
        let result = match self.collection.collect(command, bytes) {
            Some(command) => self.train(loaded, command).await,
            None => Ok(()),
        };
        self.report(result);
    }

    /// Runs a command of the comparison.
    pub(super) async fn handle_compare(
        &mut self,
        loaded: &mut Loaded,
        command: CompareCommand,
        bytes: &[u8],
    ) {
        report_compare(self.compare(loaded, command, bytes).await);
    }

    /// Whether there is a training or a baseline to go on with.
    pub(super) fn is_working(&self) -> bool {
        self.comparing.is_making() || self.run.as_ref().is_some_and(Run::is_working)
    }

    /// Does the next step of it, or ends it.
    pub(super) async fn work(&mut self, loaded: &Loaded) {
        if self.comparing.is_making() {
            let result = match loaded.device() {
                Ok(device) => self.comparing.step(&device).await,
                Err(err) => Err(err),
            };
            if result.is_err() {
                self.comparing.stop();
            }
            return report_compare(result);
        }
        let Some(run) = &mut self.run else {
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
        match self.run.take() {
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
                self.run = None;
                let message = sentence(&err.to_string());
                post_train(TrainEvent::Failed { message }, None);
            }
        }
    }

    async fn train(&mut self, loaded: &mut Loaded, command: TrainCommand) -> Result<()> {
        match command {
            TrainCommand::Begin {
                name,
                mut settings,
                textures,
                fine_tune,
                teachers,
            } => {
                let teacher = loaded.teacher(settings.model.teacher, &teachers).await?;
                let (ids, images) = self.collection.views();
                let start = loaded
                    .trained
                    .as_ref()
                    .filter(|(config, _)| fine_tune && config.teacher == settings.model.teacher);
                if let Some((config, _)) = start {
                    settings.model = settings.model.with_networks_of(config);
                } else if fine_tune {
                    return Err(Error::Training(
                        "the model to start from is not open: open it again, or turn \"Start from\" off"
                            .into(),
                    ));
                }
                let side = settings.model.input_size;
                let material = run::Material {
                    images,
                    textures: self.collection.pictures(textures, side),
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
                    files: self.collection.facts(),
                };
                let run = Run::begin(kept, material, &teacher, compute_device(loaded)?).await?;
                self.take_on(loaded, run).await?;
            }
            TrainCommand::Resume { run, teachers } => {
                let kept = Kept::open(&run).await?;
                let teacher = match kept.teacher().await? {
                    Some(own) => own,
                    None => loaded.teacher(kept.run.settings.model.teacher, &teachers).await?,
                };
                let run = Run::resume(kept, &teacher, compute_device(loaded)?).await?;
                self.take_on(loaded, run).await?;
            }
            TrainCommand::Pause { paused } => {
                if let Some(run) = &mut self.run {
                    run.pause(paused).await?;
                }
            }
            TrainCommand::Stop { keep: true } if self.run.as_ref().is_some_and(Run::can_end) => {
                self.finish().await?;
            }
            // before stage 2 there is nothing to keep; the page does not offer it
            TrainCommand::Stop { keep: true } => {}
            TrainCommand::Stop { keep: false } => match self.run.take() {
                Some(run) => run.discard().await,
                None => post_train(TrainEvent::Discarded, None),
            },
            TrainCommand::Add { .. }
            | TrainCommand::AddTexture { .. }
            | TrainCommand::Remove { .. }
            | TrainCommand::ShowTextures { .. }
            | TrainCommand::Preview { .. } => {}
        }
        Ok(())
    }

    async fn take_on(&mut self, loaded: &Loaded, mut run: Run) -> Result<()> {
        if loaded
            .info
            .as_ref()
            .is_some_and(|info| info.backend == BackendChoice::Webgpu)
        {
            run.prepare().await?;
        }
        post_train(TrainEvent::Started(run.info()), None);
        // from the first step on, an interruption loses half a minute at most
        run.save().await?;
        self.run = Some(run);
        Ok(())
    }

    async fn compare(&mut self, loaded: &mut Loaded, command: CompareCommand, bytes: &[u8]) -> Result<()> {
        match command {
            CompareCommand::Prepare {
                method,
                settings,
                teachers,
            } => {
                let teacher = loaded.teacher(TeacherKind::EfficientnetLite0, &teachers).await?;
                let (_, images) = self.collection.views();
                let material = Material {
                    images,
                    teacher,
                    textures: TextureSource::Procedural,
                    device: loaded.device()?,
                };
                self.comparing.prepare(method, &settings, material)
            }
            CompareCommand::Stop => {
                self.comparing.stop();
                Ok(())
            }
            CompareCommand::Predict { job } => {
                self.comparing.predict(job, loaded.detector.as_ref(), bytes).await
            }
        }
    }
}

fn compute_device(loaded: &Loaded) -> Result<ComputeDevice> {
    let device = loaded.device()?;
    let info = loaded.info.as_ref();
    let gpu = info.is_some_and(|info| info.backend == BackendChoice::Webgpu);
    let adapter = info.map_or("", |info| &info.adapter);
    let kind = if gpu { "WebGPU" } else { "CPU" };
    Ok(ComputeDevice {
        device,
        name: format!("{kind} ({adapter}), in a browser"),
    })
}

/// Posts what went wrong with a comparison.
fn report_compare(result: Result<()>) {
    match result {
        Ok(()) => {}
        Err(Error::Device(reason)) => post_fatal(&sentence(&reason)),
        Err(err) => {
            let message = sentence(&err.to_string());
            let event = CompareEvent::Failed { message };
            post(&Event::Compare { event }, None);
        }
    }
}
