//! One call from image to maps and scores, the same in the command line and the page.

pub(crate) mod codebook;
pub(crate) mod familiarity;
mod finding;
mod good;
mod remember;

use std::fmt;
use std::pin::Pin;

use destseg_kernels::Grid;

use crate::arch::weights::Array;
use crate::config::{ImageScore, InputLayout, Method, ModelConfig, TeacherKind, Upsampling};
use crate::data::facts::FileFacts;
use crate::data::image::{self, RgbImage};
use crate::data::map::AnomalyMap;
use crate::data::preprocess;
use crate::verdict::calibration::Calibration;
use crate::verdict::decision::Verdict;
use crate::verdict::difference::Difference;
use crate::verdict::memory::Memory;
use crate::{Error, Result};

pub use codebook::{Codebook, CodebookRecord, PREFIX as CODEBOOK_PREFIX};
use familiarity::{Appearance, cells};
pub use familiarity::{AppearanceRecord, Familiarity, FamiliarityRecord, PREFIX as FAMILIARITY_PREFIX};
pub use finding::Finding;
pub use good::Learned;

/// A loaded model, ready to look at images.
#[derive(Debug)]
pub struct Detector {
    network: Box<dyn Network>,
    settings: InputSettings,
    method: Method,
    calibration: Option<Calibration>,
    familiarity: Option<Familiarity>,
    codebook: Option<Codebook>,
    /// What the model was trained from.
    files: Option<FileFacts>,
    /// What the calibration's corrections left behind.
    memory: Memory,
    /// Side of a tile in pixels of the image.
    tile: usize,
}

/// How images are shown to a network, and how its maps are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSettings {
    /// Side of the square input in pixels.
    pub side: usize,
    /// The network whose normalisation pixels get; none for pixels as they are, in [0, 1].
    pub teacher: Option<TeacherKind>,
    /// How images of other shapes and sizes are shown.
    pub fit: InputLayout,
    /// From a map to the image score.
    pub score: ImageScore,
    /// How the segmentation network's map is enlarged.
    pub upsampling: Upsampling,
    /// Whether the map that decides holds probabilities.
    pub probabilities: bool,
}

/// The result of work that may wait for a device.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + 'a>>;

/// A method's network on a device.
pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// The maps of one view, an image of the input's size that is normalised as [`InputSettings::teacher`] says.
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps>;

    /// Features of teacher and student for the same, every vector of length 1.
    fn features<'a>(&'a self, image: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]>;

    /// Whether the network computes the image score itself, not from the map.
    fn scores_views(&self) -> bool {
        false
    }

    /// Whether the image score is that of [`ViewMaps::dest`], which the segmentation only refines.
    fn scores_first_map(&self) -> bool {
        false
    }
}

/// The maps of one view of an image.
#[derive(Debug)]
pub(crate) struct ViewMaps {
    pub(crate) segmentation: Option<AnomalyMap>,
    pub(crate) dest: AnomalyMap,
    /// The distances at the three levels; empty for methods without a student.
    pub(crate) levels: [AnomalyMap; 3],
    /// The image score, where the network computes it itself.
    pub(crate) score: Option<f32>,
    /// The teacher's normalised features at the middle and the coarse level.
    pub(crate) features: [Grid; 2],
}

/// What the model says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The segmentation network's map of the whole image, values in (0, 1), as finely as the network saw
    /// it; none where the model has no such network.
    pub segmentation: Option<AnomalyMap>,
    /// The DeST map (product of the levels' distances), of the same size; of `PatchCore` the distances to
    /// its memory bank, of DRAEM the squared error of its reconstruction, of DSR the map that its segmentation refines.
    pub dest: AnomalyMap,
    /// Distance of teacher and student at 1/4, 1/8 and 1/16 of the input's side. An image of several views has them
    /// joined, at the size of the other maps. Empty for methods without a student.
    pub levels: [AnomalyMap; 3],
    /// Image score of [`Self::map`].
    pub score: f32,
    /// The same without any memory of corrected images.
    pub plain_score: f32,
    /// Image score of the DeST map.
    pub dest_score: f32,
    /// Distance from the good images, see [`Familiarity`]; none where the model has no record of them.
    pub distance: Option<f32>,
    /// How an image differs whose distance is beyond the limit.
    pub difference: Option<Difference>,
    /// Cells of all views, from which the distance is computed.
    pub(crate) cells: Grid,
    /// The image in small.
    pub(crate) appearance: Appearance,
    /// The highest logit in each of them, without any memory of corrected images; empty without segmentation network.
    pub(crate) logits: Vec<f32>,
}

impl Detection {
    /// The map that decides: the segmentation network's if there is one.
    pub fn map(&self) -> &AnomalyMap {
        self.segmentation.as_ref().unwrap_or(&self.dest)
    }
}

impl Detector {
    /// A detector around a method's network.
    pub(crate) fn new(
        network: Box<dyn Network>,
        settings: InputSettings,
        method: Method,
        calibration: Option<Calibration>,
    ) -> Self {
        Self {
            network,
            method,
            memory: remembered(calibration.as_ref()),
            calibration,
            familiarity: None,
            codebook: None,
            files: None,
            tile: settings.side,
            settings,
        }
    }

    /// The same with a record of the good images.
    #[must_use]
    pub(crate) fn with_familiarity(self, familiarity: Option<Familiarity>) -> Self {
        Self { familiarity, ..self }
    }

    /// The same with a codebook of good features, which changes the segmentation network's map.
    #[must_use]
    pub(crate) fn with_codebook(self, codebook: Option<Codebook>) -> Self {
        Self { codebook, ..self }
    }

    /// The same with what the model was trained from.
    #[must_use]
    pub(crate) fn with_files(self, files: Option<FileFacts>) -> Self {
        Self { files, ..self }
    }

    /// A sentence about image files of other types or of another size than those that the model was trained from; none for
    /// files alike, and where either is not known.
    pub fn note_on(&self, files: Option<&FileFacts>) -> Option<String> {
        self.files.as_ref()?.difference(files?)
    }

    /// A detector around a student-teacher model in memory.
    pub(crate) fn of_networks(network: Box<dyn Network>, config: &ModelConfig) -> Self {
        Self::new(network, InputSettings::of(config), config.method, None)
    }

    /// Side of the network's square input in pixels.
    pub fn input_size(&self) -> usize {
        self.settings.side
    }

    /// How images of other shapes and sizes are shown to the network.
    pub fn fit(&self) -> InputLayout {
        self.settings.fit
    }

    /// The method that it follows.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Whether the map that decides holds probabilities; distances have no upper end.
    pub fn gives_probabilities(&self) -> bool {
        self.settings.probabilities
    }

    /// Puts other thresholds in force.
    pub fn set_calibration(&mut self, calibration: Option<Calibration>) {
        self.memory = remembered(calibration.as_ref());
        self.calibration = calibration;
    }

    /// Thresholds from the model file.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// The record of the good images from the model file.
    pub fn familiarity(&self) -> Option<&Familiarity> {
        self.familiarity.as_ref()
    }

    /// The verdict about an image; none where the model is not calibrated and the image is not known to be unfamiliar.
    pub fn verdict(&self, detection: &Detection) -> Option<Verdict> {
        let unfamiliar = self.is_unfamiliar(detection.distance, detection.difference);
        if unfamiliar == Some(true) {
            return Some(Verdict::Unfamiliar);
        }
        let thresholds = self.calibration.as_ref()?.thresholds();
        Some(thresholds.verdict(detection.score, unfamiliar))
    }

    /// Whether an image with this distance and difference shows something else than the model's part; none where that is
    /// not known.
    pub fn is_unfamiliar(&self, distance: Option<f32>, difference: Option<Difference>) -> Option<bool> {
        let record = self.familiarity.as_ref()?.record();
        Some(record.is_unfamiliar(distance?, difference, self.calibration.as_ref()))
    }

    /// Whether an image with this distance and difference cannot be the model's part, whatever someone says.
    pub fn is_beyond(&self, distance: Option<f32>, difference: Option<Difference>) -> bool {
        let record = self.familiarity.as_ref().map(Familiarity::record);
        record
            .zip(distance)
            .is_some_and(|(record, distance)| record.is_beyond(distance, difference))
    }

    /// Runs the network once on nothing, so that kernels are compiled and memory is allocated.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn warm_up(&self) -> Result<()> {
        let side = self.settings.side;
        let blank = vec![0.5; 3 * side * side];
        self.detect_pixels(&blank).await.map(|_| ())
    }

    /// Shows images in tiles of `side` pixels instead, whatever the model's own way.
    #[must_use]
    pub fn with_tiles(self, side: usize) -> Self {
        Self {
            settings: InputSettings {
                fit: InputLayout::Tile,
                ..self.settings
            },
            tile: side,
            ..self
        }
    }

    /// Analyses an image of any size, shown as the model's [`InputLayout`] says. The maps cover the whole image;
    /// the score is the highest of all views.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect(&self, image: &RgbImage) -> Result<Detection> {
        let layout = self.layout(image);
        let mut segmentations = Vec::new();
        let mut dests = Vec::new();
        let mut levels: [Vec<AnomalyMap>; 3] = Default::default();
        let mut highest_score = 0.0_f32;
        let mut plain_score = 0.0_f32;
        let mut cells = Grid::default();
        let mut appearances = Vec::new();
        let mut logits = Vec::new();
        for (index, view) in layout.views(image).enumerate() {
            let found = self.detect_view(&image::to_f32(&view)).await?;
            if layout.is_plain() {
                return Ok(self.with_distance(found));
            }
            let side = self.settings.side;
            highest_score = highest_score.max(found.score);
            plain_score = plain_score.max(found.plain_score);
            logits.extend(found.logits);
            // one below the other
            cells.width = found.cells.width;
            cells.channels = found.cells.channels;
            cells.height += found.cells.height;
            cells.data.extend(found.cells.data);
            appearances.push(found.appearance);
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
        let dest_score = if self.network.scores_views() {
            highest_score
        } else {
            highest(&dests)
        };
        let join = |maps| layout.join(maps).ok_or_else(not_numbers);
        let score = if segmentations.is_empty() || self.network.scores_first_map() {
            dest_score
        } else {
            highest(&segmentations)
        };
        let segmentation = match segmentations.is_empty() {
            true => None,
            false => Some(join(segmentations)?),
        };
        let of_level = |maps: Vec<AnomalyMap>| {
            if maps.is_empty() {
                Ok(AnomalyMap::empty())
            } else {
                join(maps)
            }
        };
        let [fine, middle, coarse] = levels;
        Ok(self.with_distance(Detection {
            segmentation,
            dest: join(dests)?,
            levels: [of_level(fine)?, of_level(middle)?, of_level(coarse)?],
            score,
            // a map that is joined of trimmed parts has a score of its own
            plain_score: if self.memory.is_empty() {
                score
            } else {
                plain_score
            },
            dest_score,
            distance: None,
            difference: None,
            cells,
            appearance: Appearance::joined(&appearances),
            logits,
        }))
    }

    /// Normalised features of teacher and student at the three levels, `[1, channels, height, width]`, for
    /// pixels as [`Self::detect_pixels`] takes them.
    ///
    /// # Errors
    /// [`Error::Model`] for a memory bank, which has no student; [`Error::Device`] if the device was lost.
    pub async fn features(&self, pixels: &[f32]) -> Result<[[Array; 3]; 2]> {
        let features = self.network.features(&self.grid(pixels)).await?;
        Ok(features.map(|levels| levels.map(|level| channels_first(&level))))
    }

    /// Pixels in [0, 1] as the network takes them.
    fn grid(&self, pixels: &[f32]) -> Grid {
        match self.settings.teacher {
            Some(teacher) => preprocess::grid(pixels, self.settings.side, teacher),
            None => preprocess::plain(pixels, self.settings.side),
        }
    }

    /// Analyses pixels that already have the model's input size; values in [0, 1], channels interleaved.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect_pixels(&self, pixels: &[f32]) -> Result<Detection> {
        Ok(self.with_distance(self.detect_view(pixels).await?))
    }

    /// The teacher's normalised features of such pixels at the middle and the coarse level.
    async fn teacher_features(&self, pixels: &[f32]) -> Result<[Grid; 2]> {
        Ok(self.network.maps(&self.grid(pixels)).await?.features)
    }

    /// The same as [`Self::detect_pixels`] without the distance from the good images, which is that of all views together.
    async fn detect_view(&self, pixels: &[f32]) -> Result<Detection> {
        let side = self.settings.side;
        let ViewMaps {
            segmentation,
            dest,
            levels,
            score,
            features,
        } = self.network.maps(&self.grid(pixels)).await?;
        let dest = dest.resize(side, side);
        let dest_score = score.unwrap_or_else(|| self.score(&dest));
        let plain = Detection {
            score: dest_score,
            plain_score: dest_score,
            dest_score,
            segmentation: None,
            dest,
            levels,
            distance: None,
            difference: None,
            cells: cells(&features[0], &features[1]),
            appearance: Appearance::of(pixels, side),
            logits: Vec::new(),
        };
        Ok(match segmentation {
            Some(map) => self.with_segmentation(plain, map, &features),
            None => plain,
        })
    }

    fn with_distance(&self, detection: Detection) -> Detection {
        let Some(familiarity) = &self.familiarity else {
            return detection;
        };
        let (distance, difference) = familiarity.judge(&detection.cells, &detection.appearance);
        Detection {
            distance: Some(distance),
            difference,
            ..detection
        }
    }

    /// The image score of a map, by the model's rule.
    fn score(&self, map: &AnomalyMap) -> f32 {
        match self.settings.score {
            ImageScore::MeanOfLargest => map.score(),
            ImageScore::Maximum => map.maximum(),
            ImageScore::LargestWindow => map.largest_window(),
        }
    }
}

impl InputSettings {
    /// Those of a student-teacher model.
    pub fn of(config: &ModelConfig) -> Self {
        Self {
            side: config.input_size,
            teacher: Some(config.teacher),
            fit: config.fit,
            score: config.score,
            upsampling: config
                .segmentation
                .as_ref()
                .map_or_else(Default::default, |network| network.upsampling),
            probabilities: config.segmentation.is_some(),
        }
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

fn remembered(calibration: Option<&Calibration>) -> Memory {
    calibration.map(Calibration::memory).unwrap_or_default()
}

pub(crate) fn not_numbers() -> Error {
    Error::Device("the device returned values that are not numbers: try the other backend".into())
}
