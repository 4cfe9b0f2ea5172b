//! One call from image to maps and scores, the same in the command line and the page.

#[cfg(feature = "burn")]
#[path = "on_burn.rs"]
mod burn_network;
#[cfg(not(feature = "burn"))]
#[path = "without_burn.rs"]
mod burn_network;

use std::sync::Arc;

use destseg_kernels::Grid;

use crate::verdict::calibration::Calibration;
use crate::config::{Fit, ImageScore, Method, ModelConfig, TeacherKind, Upsampling};
use crate::backend::device::{self, Device};
use crate::data::image::{self, RgbImage};
use crate::data::map::AnomalyMap;
use crate::model::file::ModelFile;
use crate::model::patchcore::MemoryFile;
use crate::model::plan::{Maps, Plan, TeacherPlan};
use crate::model::weights::{Array, Weights};
use crate::data::placement::Layout;
use crate::data::preprocess;
use crate::{Error, Result};
use burn_network::BurnNetwork;

/// A loaded model, ready to look at images.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    method: Method,
    /// Side of the square input in pixels.
    side: usize,
    teacher: TeacherKind,
    fit: Fit,
    rule: ImageScore,
    upsampling: Upsampling,
    /// Whether the map that decides holds probabilities.
    probabilities: bool,
    calibration: Option<Calibration>,
    /// Side of a tile in pixels of the image.
    tile: usize,
}

/// The network as its device runs it.
#[derive(Debug)]
enum Network {
    /// On the CPU, by kernels of our own.
    Cpu(Box<Plan>),
    /// On any device, by Burn; not there in builds without it.
    Burn(BurnNetwork),
}

/// What the model says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The segmentation network's map of the whole image, values in (0, 1), as finely as the network saw
    /// it; none where the model has no such network.
    pub segmentation: Option<AnomalyMap>,
    /// The DeST map (product of the levels' distances), of the same size; of `PatchCore` the distances to
    /// its memory.
    pub dest: AnomalyMap,
    /// Distance of teacher and student at 1/4, 1/8 and 1/16 of the input's side, of the whole image too:
    /// as the network has them if it saw the image at once, else at the other maps' size. `PatchCore` has
    /// no student, and here maps without pixels.
    pub levels: [AnomalyMap; 3],
    /// Image score of [`Self::map`].
    pub score: f32,
    /// Image score of the DeST map.
    pub dest_score: f32,
}

impl Detection {
    /// The map that decides: the segmentation network's if there is one.
    pub fn map(&self) -> &AnomalyMap {
        self.segmentation.as_ref().unwrap_or(&self.dest)
    }
}

impl Detector {
    /// Builds the network of a model file on `device`; `teacher` holds folded weights, needed if
    /// the file carries none.
    ///
    /// # Errors
    /// [`Error::Model`] naming what is missing or misshapen.
    pub fn new(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Self> {
        let config = &file.header.config;
        let network = if device::is_cpu(device) {
            let teacher = file.teacher_or(teacher)?;
            let teacher = TeacherPlan::new(config.teacher, &teacher, config.input_size)?;
            Network::Cpu(Box::new(Plan::new(config, Arc::new(teacher), &file.weights)?))
        } else {
            Network::Burn(BurnNetwork::of_model(file, teacher, device)?)
        };
        Ok(Self {
            calibration: file.header.calibration.clone(),
            ..Self::around(network, config)
        })
    }

    /// A detector around a plan in memory.
    pub fn from_plan(plan: Plan, config: &ModelConfig) -> Self {
        Self::around(Network::Cpu(Box::new(plan)), config)
    }

    fn around(network: Network, config: &ModelConfig) -> Self {
        Self {
            network,
            method: config.method(),
            side: config.input_size,
            teacher: config.teacher,
            fit: config.fit,
            rule: config.score,
            upsampling: config
                .segmentation
                .as_ref()
                .map_or_else(Default::default, |shape| shape.upsampling),
            probabilities: config.segmentation.is_some(),
            calibration: None,
            tile: config.input_size,
        }
    }

    /// Builds the memory of a file on `device`; `teacher` holds folded weights, needed if the file
    /// carries none.
    ///
    /// # Errors
    /// [`Error::Model`] naming what is missing or misshapen.
    pub fn of_memory(file: &MemoryFile, teacher: Option<&Weights>, device: &Device) -> Result<Self> {
        let config = &file.header.config;
        Ok(Self {
            network: Network::Burn(BurnNetwork::of_memory(file, teacher, device)?),
            method: Method::Patchcore,
            side: config.input_size,
            teacher: config.teacher,
            fit: config.fit,
            rule: ImageScore::Maximum,
            upsampling: Upsampling::Bilinear,
            probabilities: false,
            calibration: file.header.calibration.clone(),
            tile: config.input_size,
        })
    }

    /// Side of the network's square input in pixels.
    pub fn input_size(&self) -> usize {
        self.side
    }

    /// The method that it follows.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether the map that decides holds probabilities; distances have no upper end.
    pub fn gives_probabilities(&self) -> bool {
        self.probabilities
    }

    /// Thresholds from the model file.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Runs the network once on nothing, so that kernels are compiled and memory is allocated.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn warm_up(&self) -> Result<()> {
        let side = self.side;
        let blank = vec![0.5; 3 * side * side];
        self.detect_pixels(&blank).await.map(|_| ())
    }

    /// Shows images in tiles of `side` pixels instead, whatever the model's own way.
    #[must_use]
    pub fn with_tiles(self, side: usize) -> Self {
        Self {
            fit: Fit::Tile,
            tile: side,
            ..self
        }
    }

    /// Analyses an image of any size, shown as the model's [`Fit`] says. The maps cover the whole image;
    /// the score is that of the view with the highest.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect(&self, image: &RgbImage) -> Result<Detection> {
        let layout = Layout::new(self.fit, image.dimensions(), self.side, self.tile);
        let mut segmentations = Vec::new();
        let mut dests = Vec::new();
        let mut levels: [Vec<AnomalyMap>; 3] = Default::default();
        let mut strangest = 0.0_f32;
        for (index, view) in layout.views(image).enumerate() {
            let found = self.detect_pixels(&image::unit(&view)).await?;
            if layout.is_plain() {
                return Ok(found);
            }
            let side = self.side;
            strangest = strangest.max(found.score);
            let trim = |map: AnomalyMap| layout.trim(index, map);
            segmentations.extend(found.segmentation.map(trim));
            dests.push(trim(found.dest));
            for (all, level) in levels.iter_mut().zip(found.levels) {
                if !level.values().is_empty() {
                    all.push(trim(level.resize(side, side)));
                }
            }
        }
        let highest = |maps: &[AnomalyMap]| maps.iter().map(|map| self.score(map)).fold(0.0, f32::max);
        let dest_score = match &self.network {
            // not of the map alone
            Network::Burn(network) if network.scores() => strangest,
            _ => highest(&dests),
        };
        let join = |maps| layout.join(maps).ok_or_else(not_numbers);
        let (score, segmentation) = if segmentations.is_empty() {
            (dest_score, None)
        } else {
            (highest(&segmentations), Some(join(segmentations)?))
        };
        let of_level = |maps: Vec<AnomalyMap>| {
            if maps.is_empty() {
                Ok(AnomalyMap::empty())
            } else {
                join(maps)
            }
        };
        let [fine, middle, coarse] = levels;
        Ok(Detection {
            segmentation,
            dest: join(dests)?,
            levels: [of_level(fine)?, of_level(middle)?, of_level(coarse)?],
            score,
            dest_score,
        })
    }

    /// What the network sees of an image first, and whether that is all of it.
    pub fn first_view(&self, image: &RgbImage) -> (RgbImage, bool) {
        let layout = Layout::new(self.fit, image.dimensions(), self.side, self.tile);
        let view = layout.views(image).next();
        let side = self.side as u32;
        (
            view.unwrap_or_else(|| RgbImage::new(side, side)),
            layout.is_plain(),
        )
    }

    /// Normalised features of teacher and student at the three levels, `[1, channels, height, width]`, for
    /// pixels as [`Self::detect_pixels`] takes them.
    ///
    /// # Errors
    /// [`Error::Model`] for a memory, which has no student; [`Error::Device`] if the device was lost.
    pub async fn features(&self, pixels: &[f32]) -> Result<[[Array; 3]; 2]> {
        match &self.network {
            Network::Cpu(plan) => {
                let features = plan.features(&preprocess::grid(pixels, self.side, self.teacher));
                Ok(features.map(|levels| levels.map(|level| channels_first(&level))))
            }
            Network::Burn(network) => network.features(pixels, self.side, self.teacher).await,
        }
    }

    /// Analyses pixels that already have the model's input size; values in [0, 1], channels interleaved.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect_pixels(&self, pixels: &[f32]) -> Result<Detection> {
        let side = self.side;
        let Found {
            segmentation,
            dest,
            levels,
            score,
        } = match &self.network {
            Network::Cpu(plan) => Found::of(plan.run(&preprocess::grid(pixels, side, self.teacher)))?,
            Network::Burn(network) => network.look(pixels, side, self.teacher).await?,
        };
        // the maps that decide are upsampled bilinearly (section 4.1 of the paper)
        let segmentation = segmentation.map(|map| match self.upsampling {
            Upsampling::Bilinear => map.resize(side, side),
            Upsampling::Soft => map.soften().resize(side, side),
        });
        let dest = dest.resize(side, side);
        let dest_score = score.unwrap_or_else(|| self.score(&dest));
        Ok(Detection {
            score: segmentation.as_ref().map_or(dest_score, |map| self.score(map)),
            dest_score,
            segmentation,
            dest,
            levels,
        })
    }

    /// The image score of a map, by the model's rule.
    fn score(&self, map: &AnomalyMap) -> f32 {
        match self.rule {
            ImageScore::MeanOfLargest => map.score(),
            ImageScore::Maximum => map.maximum(),
        }
    }
}

/// The maps of one view of an image.
struct Found {
    segmentation: Option<AnomalyMap>,
    dest: AnomalyMap,
    /// The levels' distances; without pixels where there are none.
    levels: [AnomalyMap; 3],
    /// The image score, where it is more than a rule for the map.
    score: Option<f32>,
}

impl Found {
    fn of(maps: Maps) -> Result<Self> {
        let map = |grid: Grid| AnomalyMap::new(grid.width, grid.height, grid.data).ok_or_else(not_numbers);
        let [fine, middle, coarse] = maps.levels;
        Ok(Self {
            segmentation: maps.segmentation.map(map).transpose()?,
            dest: map(maps.dest)?,
            levels: [map(fine)?, map(middle)?, map(coarse)?],
            score: None,
        })
    }
}

/// The values of a grid, `[1, channels, height, width]`.
fn channels_first(grid: &Grid) -> Array {
    let own = |channel| grid.data.iter().skip(channel).step_by(grid.channels);
    Array {
        shape: vec![1, grid.channels, grid.height, grid.width],
        data: (0..grid.channels).flat_map(own).copied().collect(),
    }
}

fn not_numbers() -> Error {
    Error::Device("the device returned values that are not numbers: try the other backend".into())
}
