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
        let (mut segmentations, mut dests) = (Vec::new(), Vec::new());
        for (index, view) in layout.views(image).enumerate() {
            let Detection {
                segmentation, dest, ..
            } = self.detect_pixels(&image::unit(&view)).await?;
            segmentations.extend(segmentation.map(|map| layout.trim(index, map)));
            dests.push(layout.trim(index, dest));
        }
        let highest = |maps: &[AnomalyMap]| maps.iter().map(|map| self.score(map)).fold(0.0, f32::max);
        let dest_score = highest(&dests);
        let score = match &segmentations[..] {
            [] => dest_score,
            maps => highest(maps),
        };
        let segmentation = match segmentations.is_empty() {
            true => None,
            false => Some(layout.join(segmentations).ok_or_else(not_numbers)?),
        };
        Ok(Detection {
            segmentation,
            dest: layout.join(dests).ok_or_else(not_numbers)?,
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
        let Output { segmentation, dest } = self.model.forward(batch);
        let segmentation_maps = usize::from(segmentation.is_some());
        // one read-back for both maps
        let maps = [segmentation, Some(dest)].into_iter().flatten().collect();
        let values = read(Tensor::cat(maps, 1)).await?;
        let (segmentation, dest) = values.split_at(values.len() / 2 * segmentation_maps);
        let segmentation = (!segmentation.is_empty())
            .then(|| self.map(segmentation))
            .transpose()?;
        let dest = self.map(dest)?;
        let dest_score = self.score(&dest);
        Ok(Detection {
            score: segmentation.as_ref().map_or(dest_score, |map| self.score(map)),
            dest_score,
            segmentation,
            dest,
        })
    }

    /// The image score of a map, by the model's rule.
    fn score(&self, map: &AnomalyMap) -> f32 {
        match self.config.score {
            ImageScore::MeanOfLargest => map.score(),
            ImageScore::Maximum => map.maximum(),
        }
    }

    /// A map of the network, upsampled bilinearly to the input size (section 4.1 of the paper).
    fn map(&self, values: &[f32]) -> Result<AnomalyMap> {
        let side = values.len().isqrt();
        AnomalyMap::new(side, side, values.to_vec())
            .map(|map| map.resize(self.config.input_size, self.config.input_size))
            .ok_or_else(not_numbers)
    }
}

fn not_numbers() -> Error {
    Error::Device("the device returned values that are not numbers: try the other backend".into())
}
