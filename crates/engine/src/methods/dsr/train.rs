//! How DSR is trained: three stages one after the other, one step at a time.

use std::sync::Arc;

use destseg_kernels::Grid;
use serde_json::Value;

use super::general::{General, GeneralTraining};
use super::item::{Corrupted, part, smudged};
use super::stages::{DetectionTraining, Start, UpsamplingTraining};
use super::{DsrSettings, detector};
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::backend::optimiser::{Rule, StepSize};
use crate::data::image::RgbImage;
use crate::files::storage::Precision;
use crate::inspect::Pending;
use crate::methods::file::{Body, ModelFile, ModelHeader, TrainingRecord};
use crate::methods::measure::measure;
use crate::methods::{Material, Progress, Training, read_settings};
use crate::synthesis::Synthesiser;
use crate::train::{check_enough, hold_out, item_rng};
use crate::{Error, Result};

/// Side of the parts of images that stage 1 is shown, at most: it does not look far.
const PART: usize = 128;
/// Share of stage 2 after which the learning rate falls, and to which part of itself.
const FALL: (f64, f64) = (0.8, 0.1);

/// Begins a training.
pub(super) fn begin(settings: Value, material: Material) -> Result<Box<dyn Training>> {
    Ok(Box::new(Run::new(read_settings(settings)?, material)?))
}

/// What is trained.
#[derive(Debug)]
enum Stage {
    General(Box<GeneralTraining>),
    Detection(Box<(General, DetectionTraining)>),
    Upsampling(Box<UpsamplingTraining>),
}

impl Stage {
    /// In words.
    fn doing(&self) -> &'static str {
        match self {
            Self::General(_) => "training the VQ-VAE",
            Self::Detection(_) => "training the detection",
            Self::Upsampling(_) => "training the upsampling",
        }
    }

    async fn weights(&self) -> Result<Weights> {
        match self {
            Self::General(own) => own.weights().await,
            Self::Detection(own) => own.1.weights().await,
            Self::Upsampling(own) => own.weights().await,
        }
    }
}

/// A training.
struct Run {
    settings: DsrSettings,
    stage: Stage,
    /// Of the stages before.
    weights: Weights,
    teacher: Weights,
    device: Device,
    images: Vec<Arc<RgbImage>>,
    held_out: Vec<Arc<RgbImage>>,
    /// Its textures are for the training, the whole of it finds the thresholds.
    synthesiser: Synthesiser,
    /// Of all stages together.
    step: usize,
}

impl Run {
    fn new(settings: DsrSettings, material: Material) -> Result<Self> {
        let DsrSettings { model, training } = &settings;
        model.validate()?;
        training.validate()?;
        let mut images = material.images;
        check_enough(images.len())?;
        let held_out = hold_out(&mut images, training.held_out, training.seed);
        let (device, steps) = (material.device, training.general_steps);
        let side = model.input_size.min(PART);
        let general = GeneralTraining::new(model.networks, side, steps, training.seed, &device);
        Ok(Self {
            stage: Stage::General(general.into()),
            weights: Weights::default(),
            teacher: material.teacher,
            device,
            synthesiser: Synthesiser::new(Default::default(), Default::default(), material.textures),
            images,
            held_out,
            step: 0,
            settings,
        })
    }

    fn total(&self) -> usize {
        self.settings.training.steps().iter().sum()
    }

    /// The stage of a step, and the steps of that stage before it.
    fn place(&self, mut step: usize) -> (usize, usize) {
        for (stage, steps) in self.settings.training.steps().into_iter().enumerate() {
            if step < steps {
                return (stage, step);
            }
            step -= steps;
        }
        (2, step)
    }

    /// Stage 2 or 3 on the weights of the stages before.
    fn begin_stage(&self, stage: usize) -> Result<Stage> {
        let DsrSettings { model, training } = &self.settings;
        let start = Start {
            shape: &model.networks,
            side: model.input_size,
            known: &self.weights,
            seed: training.seed,
            rule: Rule::adam(),
            device: &self.device,
        };
        Ok(match stage {
            1 => {
                let general = General::new(start.shape, start.side, start.known, start.device)?;
                Stage::Detection(Box::new((general, DetectionTraining::new(&start))))
            }
            _ => Stage::Upsampling(UpsamplingTraining::new(&start)?.into()),
        })
    }

    /// The sum of the losses of the next step.
    async fn do_step(&mut self) -> Result<f32> {
        let (stage, step) = self.place(self.step);
        if step == 0 && stage > 0 {
            self.weights.extend(self.stage.weights().await?);
            self.stage = self.begin_stage(stage)?;
        }
        let DsrSettings { model, training } = &self.settings;
        let mut rng = item_rng(training.seed, self.step);
        let rng = &mut rng;
        let fallen = stage == 1 && step as f64 >= FALL.0 * training.detection_steps as f64;
        let size = StepSize {
            rate: training.learning_rate * if fallen { FALL.1 } else { 1.0 },
            head: 1.0,
            step,
        };
        let images = &self.images;
        let loss = match &mut self.stage {
            Stage::General(own) => {
                let side = model.input_size.min(PART);
                let mut part = || part(images, self.synthesiser.textures(), side, rng);
                let parts: Result<Vec<Grid>> = (0..training.batch).map(|_| part()).collect();
                let said = own.step(parts?, size, rng).await?;
                said.image + said.commitments.iter().sum::<f32>()
            }
            Stage::Detection(own) => {
                let (general, detection) = &mut **own;
                let mut items = Vec::with_capacity(training.batch);
                for _ in 0..training.batch {
                    items.push(Corrupted::draw(images, general, rng).await?);
                }
                let said = detection.step(&items, size).await?;
                said.restoration() + said.focal
            }
            Stage::Upsampling(own) => {
                let items = (0..training.batch).map(|_| smudged(images, rng));
                let (shown, masks): (Vec<Grid>, Vec<Vec<u8>>) = items.unzip();
                own.step(&shown, &masks, size).await?
            }
        };
        if !loss.is_finite() {
            return Err(Error::Training(format!(
                "the loss is not a number any more at step {}: try a smaller learning rate",
                self.step + 1
            )));
        }
        self.step += 1;
        Ok(loss)
    }

    async fn model(&mut self, precision: Precision, data: &str, device: &str) -> Result<ModelFile> {
        let DsrSettings { model, training } = &self.settings;
        self.weights.extend(self.stage.weights().await?);
        let record = TrainingRecord {
            data: data.into(),
            images: self.images.len(),
            textures: self.synthesiser.textures().description(),
            config: training.clone(),
            device: device.into(),
            files: None,
        };
        let body = Body::Dsr {
            config: model.clone(),
            training: Some(record.into()),
        };
        let weights = self.weights.clone().rounded(precision)?;
        let mut file = ModelFile::new(ModelHeader::new(body), weights)?;
        let detector = detector(&file, Some(&self.teacher), &self.device)?;
        let images = (&self.images[..], &self.held_out[..]);
        measure(&mut file, &detector, images, &self.synthesiser, training.seed).await?;
        Ok(file)
    }
}

impl Training for Run {
    fn step(&mut self) -> Pending<'_, Option<Progress>> {
        Box::pin(async {
            if self.step == self.total() {
                return Ok(None);
            }
            self.do_step().await?;
            Ok(Some(Progress {
                doing: self.stage.doing(),
                done: self.step,
                total: self.total(),
            }))
        })
    }

    fn images(&self) -> usize {
        self.images.len()
    }

    fn finish<'a>(
        &'a mut self,
        precision: Precision,
        data: &'a str,
        device: &'a str,
    ) -> Pending<'a, ModelFile> {
        Box::pin(self.model(precision, data, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::dsr::DsrShape;
    use crate::config::Preset;
    use crate::data::image::to_f32;
    use crate::inspect::Detector;
    use crate::methods;
    use crate::synthesis::TextureSource;
    use crate::test_support::{grid, randomised};
    use pollster::block_on;

    fn material(images: usize) -> Material {
        let picture = |seed: u32| {
            let own = grid(seed, [4, 4, 3]);
            let value = |x: u32, y: u32, c: usize| {
                128.0 + 40.0 * own.data[(((y / 16) * 4 + x / 16) * 3) as usize + c]
            };
            RgbImage::from_fn(64, 64, |x, y| {
                ::image::Rgb([0, 1, 2].map(|c| value(x, y, c) as u8))
            })
        };
        let teacher = crate::arch::teacher(settings().model.teacher, 64);
        Material {
            images: (0..images as u32).map(|seed| picture(seed % 3).into()).collect(),
            teacher: randomised(&teacher),
            textures: TextureSource::Procedural,
            device: Device::Cpu,
        }
    }

    fn settings() -> DsrSettings {
        let mut settings = DsrSettings::preset(Preset::Compact);
        settings.model.input_size = 64;
        settings.model.networks = DsrShape {
            hidden: 16,
            residual: 8,
            embedding: 8,
            codes: 32,
            unet: 4,
        };
        settings.training.general_steps = 60;
        settings.training.detection_steps = 40;
        settings.training.upsampling_steps = 30;
        settings.training.held_out = 0.2;
        settings
    }

    fn detector(file: &ModelFile) -> Detector {
        let teacher = material(0).teacher;
        methods::detector(file, Some(&teacher), &Device::Cpu).expect("builds")
    }

    #[test]
    fn a_training_learns_in_all_stages_and_its_model_comes_back_from_a_file() {
        let mut run = Run::new(settings(), material(10)).expect("starts");
        let mut losses = Vec::new();
        while run.step < run.total() {
            losses.push(block_on(run.do_step()).expect("steps"));
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        for (name, stage) in [
            ("stage 1", &losses[..60]),
            ("stage 2", &losses[60..100]),
            ("stage 3", &losses[100..]),
        ] {
            let (first, last) = (mean(&stage[..5]), mean(&stage[stage.len() - 5..]));
            assert!(
                last < 0.9 * first,
                "the loss of {name} went from {first} to {last}"
            );
        }
        assert_eq!(
            (run.place(59), run.place(60), run.place(129)),
            ((0, 59), (1, 0), (2, 29))
        );

        let file = block_on(run.finish(Precision::F32, "data", "here")).expect("finishes");
        assert!(file.header.calibration.is_some() && file.header.familiarity.is_some());
        let bytes = file.to_bytes(Precision::F32).expect("writes");
        let back = ModelFile::parse(&bytes).expect("reads");
        assert!(back == file, "the file gives another model");
        let pixels = to_f32(&run.images[0]);
        let [ours, theirs] =
            [&file, &back].map(|own| block_on(detector(own).detect_pixels(&pixels)).expect("detects"));
        assert_eq!(ours, theirs);
        // the image score is that of the anomaly detection module
        assert_eq!(ours.score, ours.dest.largest_window());
        assert!(ours.segmentation.is_some() && ours.distance.is_some());
        assert_eq!(file.header.trained_on(), Some(("data", 8)));
    }

    #[test]
    fn codes_do_not_collapse() {
        let mut run = Run::new(settings(), material(10)).expect("starts");
        for _ in 0..60 {
            block_on(run.do_step()).expect("steps");
        }
        let weights = block_on(run.stage.weights()).expect("reads");
        let general = General::new(&run.settings.model.networks, 64, &weights, &Device::Cpu).expect("builds");
        let mut used = std::collections::BTreeSet::new();
        let mut rng = item_rng(1, 0);
        for _ in 0..8 {
            let image = part(&run.images, &TextureSource::Procedural, 64, &mut rng).expect("draws");
            let [_, coarse] = block_on(general.coarse(&image)).expect("runs");
            used.extend(general.codebooks()[0].nearest(&coarse));
        }
        assert!(used.len() >= 8, "only {} of 32 codes are used", used.len());
    }

    #[test]
    fn trainings_with_one_seed_are_the_same() {
        let mut short = settings();
        short.training.general_steps = 3;
        short.training.detection_steps = 2;
        short.training.upsampling_steps = 2;
        let train = |seed: u64| {
            let mut own = short.clone();
            own.training.seed = seed;
            let mut run = Run::new(own, material(6)).expect("starts");
            let losses: Vec<f32> = (0..7).map(|_| block_on(run.do_step()).expect("steps")).collect();
            (losses, block_on(run.stage.weights()).expect("reads"))
        };
        let first = train(0);
        assert!(first == train(0), "the same seed gives another model");
        assert!(first.0 != train(1).0);
    }

    #[test]
    fn impossible_settings_and_too_few_images_are_refused() {
        let said = |change: &dyn Fn(&mut DsrSettings), images| {
            let mut own = settings();
            change(&mut own);
            match Run::new(own, material(images)) {
                Ok(_) => panic!("is refused"),
                Err(error) => error.to_string(),
            }
        };
        assert!(said(&|own| own.model.input_size = 32, 10).contains("halve an image five times"));
        assert!(said(&|own| own.training.upsampling_steps = 0, 10).contains("each stage of DSR"));
        assert!(said(&|own| own.training.batch = 1, 10).contains("batch"));
        assert!(said(&|own| own.training.learning_rate = 0.0, 10).contains("learning rate"));
        assert!(said(&|_| {}, 3).contains("3 good images are too few"));
    }
}
