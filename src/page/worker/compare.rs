//! Other methods beside the loaded model: prepared from the good images, then run on the same image.

use std::collections::BTreeMap;

use js_sys::{ArrayBuffer, Float32Array, Uint8Array};

use super::post;
use super::predict::predict;
use crate::page::protocol::{Baseline, CompareEvent, Event};
use destseg_engine::arch::weights::Weights;
use destseg_engine::backend::device::Device;
use destseg_engine::config::{Method, Preset};
use destseg_engine::data::image;
use destseg_engine::files::storage::Precision;
use destseg_engine::inspect::Detector;
use destseg_engine::methods::{self, Material, Training};
use destseg_engine::platform::now_ms;
use destseg_engine::{Error, Result};

/// How baselines are stored.
const PRECISION: Precision = Precision::F16;

/// A baseline that is being prepared.
struct Making {
    method: Method,
    training: Box<dyn Training>,
    /// When it began.
    start: f64,
}

/// Baselines, and the one that is being prepared.
#[derive(Default)]
pub(super) struct Comparing {
    baselines: BTreeMap<Method, Detector>,
    making: Option<Making>,
    teacher: Option<Weights>,
}

fn post_compare(event: CompareEvent, bytes: Option<&ArrayBuffer>) {
    post(&Event::Compare { event }, bytes);
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
        changes: &BTreeMap<String, f64>,
        material: Material,
    ) -> Result<()> {
        let baseline = methods::entry(method).baseline.ok_or_else(|| {
            Error::Config(format!(
                "{} is trained as a new inspector: open the page's training",
                method.label()
            ))
        })?;
        let mut settings = (baseline.settings)(Preset::Compact);
        for (name, value) in changes {
            methods::change_setting(&mut settings, name, *value)?;
        }
        self.teacher = Some(material.teacher.clone());
        self.making = Some(Making {
            method,
            training: (baseline.begin)(settings, material)?,
            start: now_ms(),
        });
        Ok(())
    }

    /// Does the next step of what is being made.
    pub(super) async fn step(&mut self, device: &Device) -> Result<()> {
        let Some(making) = &mut self.making else {
            return Ok(());
        };
        let method = making.method;
        let Some(progress) = making.training.step().await? else {
            return self.finish(device).await;
        };
        post_compare(
            CompareEvent::Progress {
                method,
                doing: progress.doing.into(),
                done: progress.done,
                total: progress.total,
            },
            None,
        );
        Ok(())
    }

    async fn finish(&mut self, device: &Device) -> Result<()> {
        let Some(Making {
            method,
            mut training,
            start,
        }) = self.making.take()
        else {
            return Ok(());
        };
        let file = training
            .finish(PRECISION, "images of the page", "in a browser")
            .await?;
        let detector = methods::detector(&file, self.teacher.as_ref(), device)?;
        self.baselines.insert(method, detector);
        let bytes = file.to_bytes(PRECISION)?;
        let baseline = Baseline {
            images: training.images(),
            patches: training.kept(),
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
