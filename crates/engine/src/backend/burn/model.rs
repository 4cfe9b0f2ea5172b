//! A whole model on Burn: teacher, student, what they are compared by, segmentation network.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::Grid;

use super::features::{Features, Levels, dest_map};
use super::network::{Mode, Tensors, run};
use super::read::read;
use crate::arch::graph::Graph;
use crate::arch::weights::Weights;
use crate::arch::{self, narrow_before_resizing, prefix};
use crate::config::ModelConfig;
use crate::data::map::AnomalyMap;
use crate::inspect::{Network, Pending, ViewMaps, not_numbers};
use crate::{Error, Result};

/// A network for inference and its tensors: batch normalisation is folded.
#[derive(Debug, Clone)]
pub struct Part {
    graph: Graph,
    tensors: Tensors,
}

impl Part {
    /// From tensors that are not folded yet.
    pub(super) fn new(graph: &Graph, tensors: &Tensors) -> Result<Self> {
        let (graph, pairs) = arch::fold_graph(graph);
        Ok(Self {
            tensors: tensors.folded(&pairs)?,
            graph: narrow_before_resizing(&graph),
        })
    }

    /// From a file's weights, which have no prefix.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing, misshapen or unknown tensor.
    pub fn load(graph: &Graph, weights: &Weights, device: &Device) -> Result<Self> {
        graph.tensors("").check(weights, "")?;
        Self::new(graph, &Tensors::new(weights, device))
    }

    fn run(&self, inputs: Vec<Tensor<4>>) -> Result<Vec<Tensor<4>>> {
        run(&self.graph, &self.tensors, inputs, Mode::Inference)
    }

    /// The network's maps for one image's, read without blocking.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn maps(&self, inputs: &[&Grid], device: &Device) -> Result<Vec<Grid>> {
        let inputs = inputs
            .iter()
            .map(|input| upload(std::slice::from_ref(*input), device));
        let mut maps = Vec::new();
        for output in self.run(inputs.collect())? {
            maps.push(download(output).await?);
        }
        Ok(maps)
    }

    /// Features of images, already normalised for the teacher.
    pub(super) fn features(&self, images: Tensor<4>) -> Result<Features> {
        let levels: [Tensor<4>; 3] = self
            .run(vec![images])?
            .try_into()
            .map_err(|_| Error::Model("a network of features needs three levels".into()))?;
        Ok(Features(levels))
    }
}

/// The parts of a model on one device.
#[derive(Debug, Clone)]
pub struct BurnModel {
    pub(super) teacher: Part,
    pub(super) student: Part,
    pub(super) whitening: Option<Part>,
    pub(super) segmentation: Option<Part>,
    /// What a cosine distance of 1 counts in the DeST map.
    pub(super) distance_scale: f32,
    pub(super) device: Device,
}

/// What the model says about a batch of images.
#[derive(Debug, Clone)]
pub struct Output {
    /// Probability of an anomaly, `[batch, 1, side / 4, side / 4]` in (0, 1); none without a
    /// segmentation network.
    pub segmentation: Option<Tensor<4>>,
    /// Product of the three levels' distances ("DeST"), same shape; in [0, 8] for cosine distances.
    pub dest: Tensor<4>,
    /// The levels' distances, `[batch, 1, height, width]` at 1/4, 1/8 and 1/16 of the image's side; in
    /// [0, 2] for cosine distances.
    pub levels: [Tensor<4>; 3],
    /// The teacher's normalised features at 1/8 and 1/16, `[batch, channels, height, width]`.
    pub features: [Tensor<4>; 2],
}

impl BurnModel {
    /// The model of `config` with folded weights of its teacher and a file's `weights`.
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing, misshapen or unknown tensor.
    pub fn new(config: &ModelConfig, teacher: &Weights, weights: &Weights, device: &Device) -> Result<Self> {
        let part = |graph: &Graph, prefix: &str| Part::load(graph, &weights.with_prefix(prefix), device);
        let optional = |graph: Option<Graph>, prefix| graph.map(|graph| part(&graph, prefix)).transpose();
        Ok(Self {
            teacher: Part::load(&arch::teacher(config.teacher, config.input_size), teacher, device)?,
            student: part(&arch::student(config), prefix::STUDENT)?,
            whitening: optional(arch::whitening(config), prefix::WHITENING)?,
            segmentation: optional(arch::segmentation(config), prefix::SEGMENTATION)?,
            distance_scale: config.distance.scale(),
            device: device.clone(),
        })
    }

    /// Normalised features of teacher and student for images `[batch, 3, side, side]`, already normalised for the
    /// teacher.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing tensor, which no loaded model has.
    pub fn features_of(&self, images: Tensor<4>) -> Result<[Features; 2]> {
        let teacher = self.teacher.features(images.clone())?.normalise();
        Ok([teacher, self.student.features(images)?.normalise()])
    }

    /// What the segmentation network is shown of the same.
    pub(super) fn fusion_input(&self, images: Tensor<4>) -> Result<Levels> {
        let [teacher, student] = self.features_of(images)?;
        let unusual = self.unusual(&teacher, &student)?;
        Ok(teacher.similarity(student).fusion_input(unusual))
    }

    /// How unusual each whitened channel is: `ln(1 + w^2)`, `[batch, channels, height, width]` per level; nothing where
    /// the segmentation network is not shown that.
    fn unusual(&self, teacher: &Features, student: &Features) -> Result<Vec<Tensor<4>>> {
        let Some(whitening) = &self.whitening else {
            return Ok(Vec::new());
        };
        let mut vectors = teacher.clone().difference(student.clone()).to_vec();
        let levels = vectors.len();
        vectors.extend(teacher.0.clone());
        vectors.truncate(whitening.graph.inputs().len());
        let whitened = whitening.run(vectors)?;
        let mut unusual = whitened.into_iter().map(|vector| vector.square().log1p());
        let mut all: Vec<Tensor<4>> = unusual.by_ref().take(levels).collect();
        for (level, of_features) in all.iter_mut().zip(unusual) {
            *level = Tensor::cat(vec![level.clone(), of_features], 1);
        }
        Ok(all)
    }

    /// All maps for images `[batch, 3, side, side]`, already normalised for the teacher.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing tensor, which no loaded model has.
    pub fn forward(&self, images: Tensor<4>) -> Result<Output> {
        let [teacher, student] = self.features_of(images)?;
        let unusual = self.unusual(&teacher, &student)?;
        let [_, middle, coarse] = teacher.0.clone();
        let similarity = teacher.similarity(student);
        let levels = similarity.distances().map(|level| level * self.distance_scale);
        let segmentation = match &self.segmentation {
            Some(network) => {
                let Levels(fusion_input) = similarity.fusion_input(unusual);
                Some(sigmoid(network.run(fusion_input.into())?.swap_remove(0)))
            }
            None => None,
        };
        Ok(Output {
            segmentation,
            dest: dest_map(levels.clone()),
            levels,
            features: [middle, coarse],
        })
    }
}

/// A batch of images on a device.
pub(super) fn upload(images: &[Grid], device: &Device) -> Tensor<4> {
    let Some(&Grid {
        height,
        width,
        channels,
        ..
    }) = images.first()
    else {
        return Tensor::zeros([0, 1, 1, 1], device);
    };
    let plane = |image: &Grid, channel: usize| {
        let values = image.data.iter().skip(channel).step_by(channels);
        values.copied().collect::<Vec<f32>>()
    };
    let values: Vec<f32> = images
        .iter()
        .flat_map(|image| (0..channels).flat_map(move |channel| plane(image, channel)))
        .collect();
    Tensor::from_data(
        TensorData::new(values, [images.len(), channels, height, width]),
        device,
    )
}

/// One map `[1, channels, height, width]` from its device.
async fn download(map: Tensor<4>) -> Result<Grid> {
    Ok(download_batch(map).await?.swap_remove(0))
}

/// Maps `[batch, channels, height, width]` from their device.
pub(super) async fn download_batch(maps: Tensor<4>) -> Result<Vec<Grid>> {
    let [_, channels, height, width] = maps.dims();
    let values = read(maps.flatten::<1>(0, 3)).await?;
    let maps = values.chunks_exact(channels * height * width);
    Ok(maps
        .map(|values| channels_last(values, [channels, height, width]))
        .collect())
}

/// A map from planes of channels.
fn channels_last(values: &[f32], [channels, height, width]: [usize; 3]) -> Grid {
    let mut grid = Grid::zeros(height, width, channels);
    for (channel, plane) in values.chunks_exact(height * width).enumerate() {
        let to = grid.data.iter_mut().skip(channel).step_by(channels);
        to.zip(plane).for_each(|(to, &from)| *to = from);
    }
    grid
}

/// Features of one image from their device.
pub(super) async fn download_features(features: [Features; 2]) -> Result<[[Grid; 3]; 2]> {
    let mut found: [[Grid; 3]; 2] = Default::default();
    for (features, found) in features.into_iter().zip(&mut found) {
        for (level, found) in features.0.into_iter().zip(found) {
            *found = download(level).await?;
        }
    }
    Ok(found)
}

impl Network for BurnModel {
    fn maps<'a>(&'a self, image: &'a Grid) -> Pending<'a, ViewMaps> {
        Box::pin(async { read_maps(self.forward(upload(std::slice::from_ref(image), &self.device))?).await })
    }

    fn features<'a>(&'a self, image: &'a Grid) -> Pending<'a, [[Grid; 3]; 2]> {
        Box::pin(async {
            download_features(self.features_of(upload(std::slice::from_ref(image), &self.device))?).await
        })
    }
}

/// All maps from the device, in one read-back.
async fn read_maps(output: Output) -> Result<ViewMaps> {
    let Output {
        segmentation,
        dest,
        levels: [fine, middle, coarse],
        features,
    } = output;
    let has_segmentation = segmentation.is_some();
    let maps = [segmentation, Some(dest), Some(fine), Some(middle), Some(coarse)];
    let tensors: Vec<Tensor<4>> = maps.into_iter().flatten().chain(features).collect();
    let shapes: Vec<[usize; 4]> = tensors.iter().map(Tensor::dims).collect();
    let flat = tensors
        .into_iter()
        .map(|tensor| tensor.flatten::<1>(0, 3))
        .collect();
    let values = read(Tensor::cat(flat, 0)).await?;
    let mut rest = &values[..];
    let grids = shapes.into_iter().map(|[_, channels, height, width]| {
        let length = channels * height * width;
        let (own, others) = rest.split_at_checked(length).ok_or_else(not_numbers)?;
        rest = others;
        Ok(channels_last(own, [channels, height, width]))
    });
    let mut grids = grids.collect::<Result<Vec<_>>>()?.into_iter();
    let mut next = || grids.next().ok_or_else(not_numbers);
    let map = |grid: Grid| AnomalyMap::new(grid.width, grid.height, grid.data).ok_or_else(not_numbers);
    Ok(ViewMaps {
        segmentation: match has_segmentation {
            true => Some(map(next()?)?),
            false => None,
        },
        dest: map(next()?)?,
        levels: [map(next()?)?, map(next()?)?, map(next()?)?],
        score: None,
        features: [next()?, next()?],
    })
}
