//! Other methods beside the loaded model: prepared from the good images, then run on the same image.

use std::collections::BTreeMap;
use std::sync::Arc;

use destseg_engine::backend::device::Device;
use js_sys::{ArrayBuffer, Float32Array, Uint8Array};

use super::post;
use super::predict::predict;
use crate::page::protocol::{Baseline, CompareEvent, Event};
use destseg_engine::arch::weights::Weights;
use destseg_engine::config::{Method, ModelConfig, Preset, TrainConfig};
use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::files::storage::Precision;
use destseg_engine::inspect::Detector;
use destseg_engine::methods;
use destseg_engine::methods::file::{ModelFile, ModelHeader};
use destseg_engine::methods::patchcore::{BankBuilder, BankConfig, BankProgress, bank_size};
use destseg_engine::platform::now_ms;
use destseg_engine::synthesis::{Synthesiser, TextureSource};
use destseg_engine::train::Trainer;
use destseg_engine::{Error, Result};

/// How baselines are stored.
const PRECISION: Precision = Precision::F16;
/// Images of a step of STPM, which a page can hold.
const BATCH: usize = 8;
/// Steps between two evaluations of the held-out images.
const SELECT_EVERY: usize = 20;
/// Share of the images that is held out for the thresholds.
const HELD_OUT: f64 = 0.2;

/// A baseline that is being prepared.
enum Making {
    Bank(Box<BankBuilder>),
    Student(Box<Trainer>),
}

/// Baselines, and the one that is being prepared.
#[derive(Default)]
pub(super) struct Comparing {
    baselines: BTreeMap<Method, Detector>,
    making: Option<(Making, f64)>,
    teacher: Option<Weights>,
}

fn post_compare(event: CompareEvent, bytes: Option<&ArrayBuffer>) {
    post(&Event::Compare { event }, bytes);
}

/// The generator of the synthetic defects that thresholds are found with.
fn synthesiser() -> Synthesiser {
    Synthesiser::new(Default::default(), Default::default(), TextureSource::Procedural)
}

impl Comparing {
    /// Whether there is something to go on with.
    pub(super) fn is_making(&self) -> bool {
        self.making.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.making = None;
    }

    pub(super) fn prepare(
        &mut self,
        method: Method,
        (coreset, steps): (f64, usize),
        images: Vec<Arc<RgbImage>>,
        teacher: Weights,
        device: &Device,
    ) -> Result<()> {
        let making = match method {
            Method::Patchcore => {
                let config = BankConfig {
                    coreset,
                    held_out: HELD_OUT,
                    ..BankConfig::preset(Preset::Compact)
                };
                Making::Bank(BankBuilder::new(config, &teacher, images)?.into())
            }
            Method::Stpm => {
                let model = ModelConfig::stpm(Preset::Compact);
                let mut config = TrainConfig::stpm(images.len());
                config.batch = BATCH;
                config.student.steps = steps;
                config.select_every = SELECT_EVERY.min(steps);
                config.held_out = HELD_OUT;
                let trainer = Trainer::new(model, config, &teacher, images, synthesiser(), device)?;
                Making::Student(trainer.into())
            }
            Method::Destseg => {
                return Err(Error::Config(
                    "DeSTSeg is the loaded model: train it as a new inspector".into(),
                ));
            }
        };
        self.teacher = Some(teacher);
        self.making = Some((making, now_ms()));
        Ok(())
    }

    /// Does the next step of what is being made.
    pub(super) async fn step(&mut self, device: &Device) -> Result<()> {
        let Some((making, _)) = &mut self.making else {
            return Ok(());
        };
        let (method, progress) = match making {
            Making::Bank(builder) => {
                let progress = builder.step()?.map(|progress| match progress {
                    BankProgress::Images(done, total) => ("looking at good images", done, total),
                    BankProgress::Patches(done, total) => ("choosing patches", done, total),
                });
                (Method::Patchcore, progress)
            }
            Making::Student(trainer) => {
                let total = trainer.total_steps();
                let progress = trainer
                    .step()
                    .await?
                    .map(|report| ("training", report.step, total));
                (Method::Stpm, progress)
            }
        };
        match progress {
            Some((doing, done, total)) => {
                let doing = doing.into();
                post_compare(
                    CompareEvent::Progress {
                        method,
                        doing,
                        done,
                        total,
                    },
                    None,
                );
                Ok(())
            }
            None => self.finish(device).await,
        }
    }

    async fn finish(&mut self, device: &Device) -> Result<()> {
        let Some((making, start)) = self.making.take() else {
            return Ok(());
        };
        let teacher = self.teacher.as_ref();
        let (method, bytes, images, patches) = match making {
            Making::Bank(builder) => {
                let file = builder
                    .finish(&synthesiser(), PRECISION, "images of the page", "in a browser")
                    .await?;
                let detector = methods::detector(&file, teacher, device)?;
                self.baselines.insert(Method::Patchcore, detector);
                let patches = Some((bank_size(&file), builder.patch_count()));
                (
                    Method::Patchcore,
                    file.to_bytes(PRECISION)?,
                    builder.image_count(),
                    patches,
                )
            }
            Making::Student(mut trainer) => {
                let (weights, calibration) = trainer.finish(PRECISION).await?;
                let header = ModelHeader {
                    calibration,
                    ..ModelHeader::of_networks(ModelConfig::stpm(Preset::Compact))
                };
                let file = ModelFile { header, weights };
                let detector = methods::detector(&file, teacher, device)?;
                self.baselines.insert(Method::Stpm, detector);
                (
                    Method::Stpm,
                    file.to_bytes(PRECISION)?,
                    trainer.image_count(),
                    None,
                )
            }
        };
        let baseline = Baseline {
            images,
            patches,
            bytes: bytes.len(),
            ms: now_ms() - start,
        };
        let file = Uint8Array::from(bytes.as_slice()).buffer();
        post_compare(CompareEvent::Ready { method, baseline }, Some(&file));
        Ok(())
    }

    /// What the loaded model and all baselines say about an image file.
    pub(super) async fn predict(&self, job: u32, loaded: Option<&Detector>, bytes: &[u8]) -> Result<()> {
        let image = image::decode(bytes)?;
        let (mut predictions, mut maps) = (Vec::new(), Vec::new());
        for detector in loaded.into_iter().chain(self.baselines.values()) {
            predictions.push(predict(detector, &image, &mut maps).await?);
        }
        let buffer = Float32Array::from(maps.as_slice()).buffer();
        post_compare(CompareEvent::Compared { job, predictions }, Some(&buffer));
        Ok(())
    }
}
