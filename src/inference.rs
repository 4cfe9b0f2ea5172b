//! One call from image to maps and scores, the same in the command line and the page.

use burn::tensor::{Device, Tensor};

use crate::calibration::Calibration;
use crate::config::{Fit, ImageScore, ModelConfig};
use crate::image::{self, RgbImage};
use crate::map::AnomalyMap;
use crate::model::file::ModelFile;
use crate::model::weights::{Weights, read};
use crate::model::{DeSTSeg, Output};
use crate::placement::Layout;
use crate::preprocess;
use crate::{Error, Result};

/// A loaded model, ready to look at images.
#[derive(Debug)]
pub struct Detector {
    model: DeSTSeg,
    config: ModelConfig,
    calibration: Option<Calibration>,
    /// Side of a tile in pixels of the image.
    tile: usize,
    device: Device,
}

/// What the model says about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The segmentation network's map of the whole image, values in (0, 1), as finely as the network saw
    /// it; none where the model has no such network.
    pub segmentation: Option<AnomalyMap>,
    /// The DeST map (product of the levels' distances), of the same size.
    pub dest: AnomalyMap,
    /// Distance of teacher and student at 1/4, 1/8 and 1/16 of the input's side, of the whole image too:
    /// as the network has them if it saw the image at once, else at the other maps' size.
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
        Ok(Self {
            model: file.build(teacher, device)?.folded(),
            config: file.header.config.clone(),
            calibration: file.header.calibration.clone(),
            tile: file.header.config.input_size,
            device: device.clone(),
        })
    }

    /// A detector around a network in memory.
    pub fn from_model(model: DeSTSeg, config: ModelConfig, device: &Device) -> Self {
        Self {
            model: model.folded(),
            tile: config.input_size,
            config,
            calibration: None,
            device: device.clone(),
        }
    }

    /// The network's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
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
        let side = self.config.input_size;
        let blank = vec![0.5; 3 * side * side];
        self.detect_pixels(&blank).await.map(|_| ())
    }

    /// Shows images in tiles of `side` pixels instead, whatever the model's own way.
    #[must_use]
    pub fn with_tiles(self, side: usize) -> Self {
        Self {
            config: ModelConfig {
                fit: Fit::Tile,
                ..self.config
            },
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
        let layout = Layout::new(
            self.config.fit,
            image.dimensions(),
            self.config.input_size,
            self.tile,
        );
        let mut segmentations = Vec::new();
        let mut dests = Vec::new();
        let mut levels: [Vec<AnomalyMap>; 3] = Default::default();
        for (index, view) in layout.views(image).enumerate() {
            let found = self.detect_pixels(&image::unit(&view)).await?;
            if layout.is_plain() {
                return Ok(found);
            }
            let side = self.config.input_size;
            let trim = |map: AnomalyMap| layout.trim(index, map);
            segmentations.extend(found.segmentation.map(trim));
            dests.push(trim(found.dest));
            for (all, level) in levels.iter_mut().zip(found.levels) {
                all.push(trim(level.resize(side, side)));
            }
        }
        let highest = |maps: &[AnomalyMap]| maps.iter().map(|map| self.score(map)).fold(0.0, f32::max);
        let dest_score = highest(&dests);
        let join = |maps| layout.join(maps).ok_or_else(not_numbers);
        let (score, segmentation) = if segmentations.is_empty() {
            (dest_score, None)
        } else {
            (highest(&segmentations), Some(join(segmentations)?))
        };
        let [fine, middle, coarse] = levels;
        Ok(Detection {
            segmentation,
            dest: join(dests)?,
            levels: [join(fine)?, join(middle)?, join(coarse)?],
            score,
            dest_score,
        })
    }

    /// Analyses pixels that already have the model's input size; values in [0, 1], channels interleaved.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn detect_pixels(&self, pixels: &[f32]) -> Result<Detection> {
        let side = self.config.input_size;
        let batch = preprocess::batch([pixels].into_iter(), side, self.config.teacher, &self.device);
        let Output {
            segmentation,
            dest,
            levels,
        } = self.model.forward(batch);
        let has_segmentation = segmentation.is_some();
        let [fine, middle, coarse] = levels;
        // one read-back for all maps
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
        // the maps that decide are upsampled bilinearly (section 4.1 of the paper)
        let segmentation = match has_segmentation {
            true => Some(next()?.resize(side, side)),
            false => None,
        };
        let dest = next()?.resize(side, side);
        let dest_score = self.score(&dest);
        Ok(Detection {
            score: segmentation.as_ref().map_or(dest_score, |map| self.score(map)),
            dest_score,
            segmentation,
            dest,
            levels: [next()?, next()?, next()?],
        })
    }

    /// The image score of a map, by the model's rule.
    fn score(&self, map: &AnomalyMap) -> f32 {
        match self.config.score {
            ImageScore::MeanOfLargest => map.score(),
            ImageScore::Maximum => map.maximum(),
        }
    }
}

fn not_numbers() -> Error {
    Error::Device("the device returned values that are not numbers: try the other backend".into())
}
