//! One call from image to maps and scores, the same in the command line and the page.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use destseg_kernels::Grid;

use crate::calibration::Calibration;
use crate::config::{Fit, ImageScore, Method, ModelConfig, TeacherKind};
use crate::image::{self, RgbImage};
use crate::map::AnomalyMap;
use crate::model::file::ModelFile;
use crate::model::patchcore::{MemoryFile, PatchCore};
use crate::model::plan::{Maps, Plan, TeacherPlan};
use crate::model::weights::{Weights, read};
use crate::model::{DeSTSeg, Output};
use crate::placement::Layout;
use crate::{Error, Result, device, preprocess};

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
    /// On any device, by Burn.
    Burn { model: Box<DeSTSeg>, device: Device },
    /// A teacher and what it saw of good images, by Burn.
    Memory { memory: Box<PatchCore>, device: Device },
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
            Network::burn(file.build(teacher, device)?, device)
        };
        Ok(Self {
            calibration: file.header.calibration.clone(),
            ..Self::around(network, config)
        })
    }

    /// A detector around a network in memory, by Burn on any device.
    pub fn from_model(model: DeSTSeg, config: &ModelConfig, device: &Device) -> Self {
        Self::around(Network::burn(model, device), config)
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
            network: Network::Memory {
                memory: file.build(teacher, device)?.into(),
                device: device.clone(),
            },
            method: Method::Patchcore,
            side: config.input_size,
            teacher: config.teacher,
            fit: config.fit,
            rule: ImageScore::Maximum,
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
        let dest_score = match self.network {
            // not of the map alone
            Network::Memory { .. } => strangest,
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

    /// Analyses pixels that already have the model's input size; values in [0, 1], channels interleaved.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect_pixels(&self, pixels: &[f32]) -> Result<Detection> {
        let side = self.side;
        let found = match &self.network {
            Network::Cpu(plan) => found(plan.run(&preprocess::grid(pixels, side, self.teacher))),
            Network::Burn { model, device } => {
                let batch = preprocess::batch([pixels].into_iter(), side, self.teacher, device);
                read_maps(model.forward(batch)).await
            }
            Network::Memory { memory, device } => {
                let batch = preprocess::batch([pixels].into_iter(), side, self.teacher, device);
                let found = memory.look(batch).await?;
                return Ok(Detection {
                    segmentation: None,
                    dest: memory.smooth(&found.patches),
                    levels: [AnomalyMap::empty(), AnomalyMap::empty(), AnomalyMap::empty()],
                    score: found.score,
                    dest_score: found.score,
                });
            }
        };
        let (segmentation, [dest, fine, middle, coarse]) = found?;
        // the maps that decide are upsampled bilinearly (section 4.1 of the paper)
        let segmentation = segmentation.map(|map| map.resize(side, side));
        let dest = dest.resize(side, side);
        let dest_score = self.score(&dest);
        Ok(Detection {
            score: segmentation.as_ref().map_or(dest_score, |map| self.score(map)),
            dest_score,
            segmentation,
            dest,
            levels: [fine, middle, coarse],
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

impl Network {
    fn burn(model: DeSTSeg, device: &Device) -> Self {
        Self::Burn {
            model: Box::new(model.folded()),
            device: device.clone(),
        }
    }
}

/// The segmentation network's map; the DeST map and the levels' distances.
type Found = (Option<AnomalyMap>, [AnomalyMap; 4]);

fn found(maps: Maps) -> Result<Found> {
    let map = |grid: Grid| AnomalyMap::new(grid.width, grid.height, grid.data).ok_or_else(not_numbers);
    let [fine, middle, coarse] = maps.levels;
    Ok((
        maps.segmentation.map(map).transpose()?,
        [map(maps.dest)?, map(fine)?, map(middle)?, map(coarse)?],
    ))
}

/// All maps from the device, in one read-back.
async fn read_maps(output: Output) -> Result<Found> {
    let Output {
        segmentation,
        dest,
        levels: [fine, middle, coarse],
    } = output;
    let has_segmentation = segmentation.is_some();
    let maps = [segmentation, Some(dest), Some(fine), Some(middle), Some(coarse)];
    let maps: Vec<Tensor<4>> = maps.into_iter().flatten().collect();
    let sizes: Vec<usize> = maps.iter().map(|map| map.dims()[2]).collect();
    let flat = maps.into_iter().map(|map| map.flatten::<1>(0, 3)).collect();
    let values = read(Tensor::cat(flat, 0)).await?;
    let mut rest = &values[..];
    let maps = sizes.into_iter().map(|size| {
        let (own, others) = rest.split_at_checked(size * size).ok_or_else(not_numbers)?;
        rest = others;
        AnomalyMap::new(size, size, own.to_vec()).ok_or_else(not_numbers)
    });
    let mut maps = maps.collect::<Result<Vec<_>>>()?.into_iter();
    let mut next = || maps.next().ok_or_else(not_numbers);
    let segmentation = match has_segmentation {
        true => Some(next()?),
        false => None,
    };
    Ok((segmentation, [next()?, next()?, next()?, next()?]))
}

fn not_numbers() -> Error {
    Error::Device("the device returned values that are not numbers: try the other backend".into())
}
