//! How DRAEM is trained: both networks together, one step at a time.

use std::sync::Arc;

use serde_json::Value;

use super::item::Item;
use super::loss::{Losses, losses};
use super::{DraemSettings, detector};
use crate::arch::weights::Weights;
use crate::arch::{self, init};
use crate::backend::device::Device;
use crate::backend::network::TrainedNetwork;
use crate::backend::optimiser::{Rule, StepSize};
use crate::config::MOST_BATCH;
use crate::data::image::RgbImage;
use crate::data::preprocess;
use crate::files::storage::Precision;
use crate::inspect::Pending;
use crate::methods::file::{Body, ModelFile, ModelHeader, TrainingRecord};
use crate::methods::measure::measure;
use crate::methods::{Material, Progress, Training, read_settings};
use crate::synthesis::Synthesiser;
use crate::train::{check_enough, hold_out, item_rng};
use crate::{Error, Result};

/// Shares of the steps after which the learning rate falls, and to which part of itself.
const FALLS: ([f64; 2], f64) = ([0.8, 0.9], 0.2);

/// Begins a training.
pub(super) fn begin(settings: Value, material: Material) -> Result<Box<dyn Training>> {
    Ok(Box::new(Run::new(read_settings(settings)?, material)?))
}

/// A training.
struct Run {
    settings: DraemSettings,
    network: TrainedNetwork,
    teacher: Weights,
    device: Device,
    images: Vec<Arc<RgbImage>>,
    held_out: Vec<Arc<RgbImage>>,
    /// Its textures are for the training, the whole of it finds the thresholds.
    synthesiser: Synthesiser,
    step: usize,
    steps: usize,
}

impl Run {
    fn new(settings: DraemSettings, material: Material) -> Result<Self> {
        let DraemSettings { model, training } = &settings;
        model.validate()?;
        let fail = |text: String| Err(Error::Config(text));
        if !(2..=MOST_BATCH).contains(&training.batch) {
            return fail(format!("the batch must have 2 to {MOST_BATCH} images"));
        }
        if !(0.0..0.9).contains(&training.held_out) {
            return fail("the held-out share must lie between 0 and 0.9".into());
        }
        if !(training.learning_rate > 0.0 && training.learning_rate.is_finite()) {
            return fail("the learning rate must be above 0".into());
        }
        let mut images = material.images;
        check_enough(images.len())?;
        let held_out = hold_out(&mut images, training.held_out, training.seed);
        let steps = training
            .steps
            .max(training.epochs * images.len().div_ceil(training.batch));
        if steps == 0 {
            return fail("there is nothing to do: set `training.steps` or `training.epochs`".into());
        }
        let graph = arch::draem(model.widths, model.input_size);
        let weights = init::initialise(&graph, init::Scheme::Draem, training.seed);
        Ok(Self {
            network: TrainedNetwork::new(&graph, weights, Rule::adam(), &material.device),
            teacher: material.teacher,
            device: material.device,
            synthesiser: Synthesiser::new(Default::default(), Default::default(), material.textures),
            images,
            held_out,
            step: 0,
            steps,
            settings,
        })
    }

    /// The learning rate of a step.
    fn rate(&self, step: usize) -> f64 {
        let (shares, factor) = FALLS;
        let done = step as f64 / self.steps as f64;
        let fallen = shares.iter().filter(|&&share| done >= share).count();
        self.settings.training.learning_rate * factor.powi(fallen as i32)
    }

    /// The items of a step; image, texture and all else are drawn anew for each.
    fn items(&self, step: usize) -> Result<Vec<Item>> {
        let DraemSettings { training, .. } = &self.settings;
        let places = step * training.batch..(step + 1) * training.batch;
        let item = |place: usize| {
            let mut rng = item_rng(training.seed, place);
            let image =
                &self.images[crate::synthesis::random::below(&mut rng, self.images.len() as u32) as usize];
            Item::draw(image, self.synthesiser.textures(), &mut rng)
        };
        places.map(item).collect()
    }

    async fn do_step(&mut self) -> Result<Losses> {
        let side = self.settings.model.input_size;
        let (mut clean, mut shown, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        for item in self.items(self.step)? {
            clean.push(preprocess::plain(&item.clean, side));
            shown.push(preprocess::plain(&item.shown, side));
            masks.push(item.mask);
        }
        let size = StepSize {
            rate: self.rate(self.step),
            head: 1.0,
            step: self.step,
        };
        let loss = |outputs: &[&[destseg_kernels::Grid]]| losses(outputs[0], outputs[1], &clean, &masks);
        let said = self.network.step(vec![shown], size, loss).await?;
        if !said.total().is_finite() {
            return Err(Error::Training(format!(
                "the loss is not a number any more at step {}: try a smaller learning rate",
                self.step + 1
            )));
        }
        Ok(said)
    }

    async fn model(&mut self, precision: Precision, data: &str, device: &str) -> Result<ModelFile> {
        let DraemSettings { model, training } = &self.settings;
        let weights = self.network.weights().await?.rounded(precision)?;
        let record = TrainingRecord {
            data: data.into(),
            images: self.images.len(),
            textures: self.synthesiser.textures().description(),
            config: training.clone(),
            device: device.into(),
            files: None,
        };
        let body = Body::Draem {
            config: model.clone(),
            training: Some(record.into()),
        };
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
            if self.step == self.steps {
                return Ok(None);
            }
            self.do_step().await?;
            self.step += 1;
            Ok(Some(Progress {
                doing: "training",
                done: self.step,
                total: self.steps,
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
    use crate::config::Preset;
    use crate::data::image::to_f32;
    use crate::inspect::Detector;
    use crate::methods;
    use crate::synthesis::TextureSource;
    use crate::test_support::{grid, randomised};
    use pollster::block_on;

    fn material(images: usize) -> Material {
        let settings = settings();
        let picture = |seed: u32| {
            let own = grid(seed, [4, 4, 3]);
            let value = |x: u32, y: u32, c: usize| {
                128.0 + 40.0 * own.data[(((y / 16) * 4 + x / 16) * 3) as usize + c]
            };
            RgbImage::from_fn(64, 64, |x, y| {
                ::image::Rgb([0, 1, 2].map(|c| value(x, y, c) as u8))
            })
        };
        let teacher = arch::teacher(settings.model.teacher, 64);
        Material {
            images: (0..images as u32).map(|seed| picture(seed % 3).into()).collect(),
            teacher: randomised(&teacher),
            textures: TextureSource::Procedural,
            device: Device::Cpu,
        }
    }

    fn settings() -> DraemSettings {
        let mut settings = DraemSettings::preset(Preset::Compact);
        settings.model.input_size = 64;
        settings.model.widths = [4, 4];
        settings.training.steps = 60;
        settings.training.held_out = 0.2;
        settings
    }

    fn detector(file: &ModelFile) -> Detector {
        let teacher = material(0).teacher;
        methods::detector(file, Some(&teacher), &Device::Cpu).expect("builds")
    }

    #[test]
    fn a_training_learns_and_its_model_comes_back_from_a_file() {
        let mut run = Run::new(settings(), material(10)).expect("starts");
        let mut totals = Vec::new();
        while run.step < run.steps {
            totals.push(block_on(run.do_step()).expect("steps").total());
            run.step += 1;
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        let (first, last) = (mean(&totals[..5]), mean(&totals[totals.len() - 5..]));
        assert!(last < 0.8 * first, "the loss went from {first} to {last}");
        assert!((run.rate(0) - 1e-3).abs() < 1e-9 && (run.rate(59) - 4e-5).abs() < 1e-9);

        let file = block_on(run.finish(Precision::F32, "data", "here")).expect("finishes");
        assert!(file.header.calibration.is_some() && file.header.familiarity.is_some());
        let bytes = file.to_bytes(Precision::F32).expect("writes");
        let back = ModelFile::parse(&bytes).expect("reads");
        assert!(back == file, "the file gives another model");
        let pixels = to_f32(&run.images[0]);
        let [ours, theirs] =
            [&file, &back].map(|own| block_on(detector(own).detect_pixels(&pixels)).expect("detects"));
        assert_eq!(ours, theirs);
        assert!(ours.segmentation.is_some() && ours.distance.is_some());
        assert_eq!(file.header.trained_on(), Some(("data", 8)));
    }

    #[test]
    fn impossible_settings_and_too_few_images_are_refused() {
        let said = |change: &dyn Fn(&mut DraemSettings), images| {
            let mut own = settings();
            change(&mut own);
            match Run::new(own, material(images)) {
                Ok(_) => panic!("is refused"),
                Err(error) => error.to_string(),
            }
        };
        assert!(said(&|own| own.model.input_size = 32, 10).contains("halve an image five times"));
        assert!(said(&|own| own.model.input_size = 100, 10).contains("multiple of 32"));
        assert!(said(&|own| own.model.widths = [0, 8], 10).contains("widths"));
        assert!(said(&|own| own.training.steps = 0, 10).contains("nothing to do"));
        assert!(said(&|own| own.training.batch = 1, 10).contains("batch"));
        assert!(said(&|own| own.training.learning_rate = 0.0, 10).contains("learning rate"));
        assert!(said(&|_| {}, 3).contains("3 good images are too few"));
    }
}
