//! Building the memory bank of `PatchCore`: features of good images, then the patches that cover the others best. One
//! step at a time, as [`Trainer`](crate::train::Trainer).

use std::sync::Arc;

use destseg_kernels::Finish;
use destseg_kernels::Grid;
use destseg_kernels::compare::products;
use destseg_kernels::conv::{Conv, Shape};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::{BANK, BankConfig, BankRecord, patches};
use crate::arch::weights::{Array, Weights};
use crate::backend::cpu::CpuTeacher;
use crate::backend::device::Device;
use crate::config::FEWEST_IMAGES;
use crate::data::image::{self, RgbImage};
use crate::data::preprocess;
use crate::error::count;
use crate::files::storage::Precision;
use crate::inspect::{Detector, Learned, Pending};
use crate::methods::file::{Body, ModelFile, ModelHeader};
use crate::methods::{Material, Progress, Training, read_settings};
use crate::synthesis::Synthesiser;
use crate::train::{calibrate, hold_out};
use crate::verdict::calibration::Calibration;
use crate::{Error, Result};

/// Patches chosen in one step.
const PER_STEP: usize = 64;
/// Keeps the random numbers here apart from those of a training.
const SEED_OFFSET: u64 = 0xc07e_5e70;

/// A memory bank that is being built.
#[derive(Debug)]
pub struct BankBuilder {
    config: BankConfig,
    weights: Weights,
    teacher: CpuTeacher,
    images: Vec<Arc<RgbImage>>,
    held_out: Vec<Arc<RgbImage>>,
    done: usize,
    /// Patches of the images so far, row by row.
    patches: Vec<f32>,
    selection: Option<Coreset>,
}

impl BankBuilder {
    /// Prepares a memory bank of good `images` of the input's size; `teacher` holds folded weights.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible settings, [`Error::Dataset`] for too few images,
    /// [`Error::Model`] for a teacher that does not fit.
    pub fn new(
        config: BankConfig,
        teacher: &Weights,
        images: impl IntoIterator<Item = impl Into<Arc<RgbImage>>>,
    ) -> Result<Self> {
        config.validate()?;
        let mut images: Vec<Arc<RgbImage>> = images.into_iter().map(Into::into).collect();
        if images.len() < FEWEST_IMAGES {
            return Err(Error::Dataset(format!(
                "{} too few for a memory bank: give at least {FEWEST_IMAGES}",
                count(images.len(), "good image is", "good images are")
            )));
        }
        let held_out = hold_out(&mut images, config.held_out, config.seed);
        Ok(Self {
            teacher: CpuTeacher::new(config.teacher, teacher, config.input_size)?,
            weights: teacher.clone(),
            config,
            images,
            held_out,
            done: 0,
            patches: Vec::new(),
            selection: None,
        })
    }

    /// Good images whose patches may enter the memory bank; held-out images do not count.
    pub fn image_count(&self) -> usize {
        self.images.len()
    }

    /// Patches of the images so far.
    pub fn patch_count(&self) -> usize {
        self.patches.len() / self.config.dimensions()
    }

    /// Does the next step; `None` once all are done.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub fn step(&mut self) -> Result<Option<Progress>> {
        if let Some(image) = self.images.get(self.done) {
            let pixels = image::to_f32(image);
            let grid = preprocess::grid(&pixels, self.config.input_size, self.config.teacher);
            self.patches.extend(patches(&self.teacher.run(&grid)).data);
            self.done += 1;
            return Ok(Some(Progress {
                doing: "looking at good images",
                done: self.done,
                total: self.images.len(),
            }));
        }
        let rows = self.patch_count();
        let wanted = ((rows as f64 * self.config.coreset) as usize).clamp(1, rows.max(1));
        if self.selection.is_none() {
            let dimensions = self.config.dimensions();
            let start = Coreset::random_start(rows, self.config.seed);
            let own = Coreset::new(
                &self.patches,
                dimensions,
                self.config.projection,
                start,
                self.config.seed,
            )?;
            self.selection = Some(own);
        }
        let Some(selection) = &mut self.selection else {
            return Ok(None);
        };
        if selection.chosen().len() >= wanted {
            return Ok(None);
        }
        selection.choose((selection.chosen().len() + PER_STEP).min(wanted));
        Ok(Some(Progress {
            doing: "choosing patches",
            done: selection.chosen().len(),
            total: wanted,
        }))
    }

    /// The memory bank as a file of this precision holds it, calibrated on the held-out images if there are
    /// any. `data` and `on` say of what and where it was built.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost, [`Error::Training`] before all steps are done.
    pub async fn finish(
        &self,
        synthesiser: &Synthesiser,
        precision: Precision,
        data: &str,
        on: &str,
    ) -> Result<ModelFile> {
        let Some(selection) = self.selection.as_ref().filter(|own| !own.chosen().is_empty()) else {
            return Err(Error::Training("the memory bank is not complete yet".into()));
        };
        let dimensions = self.config.dimensions();
        let rows = selection.chosen().iter();
        let mut weights = Weights::default();
        let bank = Array {
            shape: vec![rows.len(), dimensions],
            data: rows
                .flat_map(|&row| &self.patches[row * dimensions..][..dimensions])
                .copied()
                .collect(),
        };
        weights.insert(BANK.into(), bank);
        let bank = weights.rounded(precision)?.get(BANK)?.clone();
        let record = BankRecord {
            data: data.into(),
            images: self.images.len(),
            patches: self.patch_count(),
            device: on.into(),
            files: None,
        };
        let mut weights = Weights::default();
        weights.insert(BANK.into(), bank);
        let body = Body::Bank {
            config: self.config.clone(),
            training: Some(record),
        };
        let mut file = ModelFile::new(ModelHeader::new(body), weights)?;
        let detector = super::detector(&file, Some(&self.weights), &Device::Cpu)?;
        file.header.calibration = self.calibrate(&detector, synthesiser).await?;
        let good = self.images.iter().chain(&self.held_out).map(AsRef::as_ref);
        file.set_familiarity(Learned::of(&detector, good, 0).await?.familiarity);
        Ok(file)
    }

    async fn calibrate(&self, detector: &Detector, synthesiser: &Synthesiser) -> Result<Option<Calibration>> {
        if self.held_out.is_empty() {
            return Ok(None);
        }
        calibrate::calibrate(detector, &self.held_out, &[], synthesiser, self.config.seed, 1.0)
            .await
            .map(Some)
    }
}

/// Begins to build a bank.
pub(super) fn begin(settings: Value, material: Material) -> Result<Box<dyn Training>> {
    let config = read_settings(settings)?;
    let builder = BankBuilder::new(config, &material.teacher, material.images)?;
    // thresholds are found with synthetic defects
    let synthesiser = Synthesiser::new(Default::default(), Default::default(), material.textures);
    Ok(Box::new(Run { builder, synthesiser }))
}

/// A bank that is built and calibrated.
struct Run {
    builder: BankBuilder,
    synthesiser: Synthesiser,
}

impl Training for Run {
    fn step(&mut self) -> Pending<'_, Option<Progress>> {
        Box::pin(async { self.builder.step() })
    }

    fn images(&self) -> usize {
        self.builder.image_count()
    }

    fn kept(&self) -> Option<(usize, usize)> {
        let chosen = self.builder.selection.as_ref();
        Some((
            chosen.map_or(0, |own| own.chosen().len()),
            self.builder.patch_count(),
        ))
    }

    fn finish<'a>(
        &'a mut self,
        precision: Precision,
        data: &'a str,
        device: &'a str,
    ) -> Pending<'a, ModelFile> {
        Box::pin(async move {
            self.builder
                .finish(&self.synthesiser, precision, data, device)
                .await
        })
    }
}

/// A greedy choice of points so that the farthest of all others is as near as possible: again and again
/// the point farthest from all chosen ones.
#[derive(Debug)]
pub struct Coreset {
    /// One behind the other.
    points: Vec<f32>,
    dimensions: usize,
    /// Squared lengths.
    lengths: Vec<f32>,
    /// Squared distances to the nearest chosen point.
    nearest: Vec<f32>,
    chosen: Vec<usize>,
    start: usize,
}

impl Coreset {
    /// Points row by row, which are compared in `projection` random directions if they have more
    /// dimensions (0: as they are), beginning with point `start`.
    ///
    /// # Errors
    /// [`Error::Dataset`] without points.
    pub fn new(
        points: &[f32],
        dimensions: usize,
        projection: usize,
        start: usize,
        seed: u64,
    ) -> Result<Self> {
        let count = points.len() / dimensions.max(1);
        if count == 0 {
            return Err(Error::Dataset("there are no patches to choose from".into()));
        }
        let (mut points, mut dimensions) = (points.to_vec(), dimensions);
        if projection > 0 && projection < dimensions {
            points = projected(points, dimensions, projection, seed);
            dimensions = projection;
        }
        let lengths = points
            .chunks_exact(dimensions)
            .map(|point| products(point, point)[0])
            .collect();
        Ok(Self {
            points,
            dimensions,
            lengths,
            nearest: vec![f32::INFINITY; count],
            chosen: Vec::new(),
            start: start.min(count - 1),
        })
    }

    /// A point to begin with.
    pub fn random_start(count: usize, seed: u64) -> usize {
        let mut rng = Pcg64::seed_from_u64(seed ^ SEED_OFFSET);
        (rng.next_u64() % count.max(1) as u64) as usize
    }

    /// The points chosen so far, in their order.
    pub fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// Chooses further points until there are `count`.
    pub fn choose(&mut self, count: usize) {
        while self.chosen.len() < count.min(self.lengths.len()) {
            let next = match self.chosen.last() {
                None => self.start,
                Some(&last) => self.farthest(last),
            };
            self.nearest[next] = f32::NEG_INFINITY;
            self.chosen.push(next);
        }
    }

    /// Takes the last chosen point into account; the first of the points farthest from all chosen ones.
    fn farthest(&mut self, last: usize) -> usize {
        let own = &self.points[last * self.dimensions..][..self.dimensions];
        let products = products(&self.points, own);
        let length = self.lengths[last];
        let mut best = (f32::NEG_INFINITY, 0);
        let all = self.nearest.iter_mut().zip(&self.lengths).zip(&products);
        for (at, ((nearest, own), product)) in all.enumerate() {
            *nearest = nearest.min((own + length - 2.0 * product).max(0.0));
            if *nearest > best.0 {
                best = (*nearest, at);
            }
        }
        best.1
    }
}

/// Points in random directions, `count` of them.
fn projected(points: Vec<f32>, dimensions: usize, count: usize, seed: u64) -> Vec<f32> {
    let directions = directions(dimensions, count, seed);
    // a convolution's weights have a row for each output
    let rows: Vec<f32> = (0..count)
        .flat_map(|direction| directions.iter().skip(direction).step_by(count).copied())
        .collect();
    let shape = Shape {
        inputs: dimensions,
        outputs: count,
        kernel: 1,
        stride: 1,
        dilation: 1,
        padding: [0, 0],
    };
    let points = Grid {
        height: 1,
        width: points.len() / dimensions,
        channels: dimensions,
        data: points,
    };
    let mut out = Grid::zeros(1, points.width, count);
    Conv::new(shape, &rows, vec![0.0; count]).run(&points, (&mut out).into(), Finish::default());
    out.data
}

/// Random directions (`[dimensions, count]`, one number in three is not zero) that keep distances on
/// average (Achlioptas, 2003).
fn directions(dimensions: usize, count: usize, seed: u64) -> Vec<f32> {
    let scale = (3.0 / count as f32).sqrt();
    let mut rng = Pcg64::seed_from_u64(seed ^ SEED_OFFSET.rotate_left(32));
    (0..dimensions * count)
        .map(|_| match rng.next_u32() % 6 {
            0 => scale,
            1 => -scale,
            _ => 0.0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_point_comes_next() {
        // on a line: 0, 1, 10, 4
        let points = [0.0, 1.0, 10.0, 4.0];
        let mut coreset = Coreset::new(&points, 1, 0, 0, 0).expect("has points");
        coreset.choose(9);
        assert_eq!(coreset.chosen(), [0, 2, 3, 1]);
    }

    #[test]
    fn projections_keep_distances_on_average() {
        let (dimensions, pairs) = (300, 40);
        let mut rng = Pcg64::seed_from_u64(1);
        let points: Vec<f32> = (0..2 * pairs * dimensions)
            .map(|_| rng.next_u32() as f32 / u32::MAX as f32)
            .collect();
        let own = Coreset::new(&points, dimensions, 128, 0, 5).expect("has points");
        let projected = own.points;
        let apart = |values: &[f32], width: usize, pair: usize| -> f32 {
            let (a, b) = (
                &values[2 * pair * width..][..width],
                &values[(2 * pair + 1) * width..][..width],
            );
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
        };
        let ratio: f32 = (0..pairs)
            .map(|pair| apart(&projected, 128, pair) / apart(&points, dimensions, pair))
            .sum::<f32>()
            / pairs as f32;
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    }
}
