//! The networks of a training, trained by Burn.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use destseg_kernels::Grid;

use super::features::{Features, Levels};
use super::loss;
use super::model::{BurnModel, Part, download_batch, download_features, upload};
use super::network::{Mode, Parameter, Tensors, is_statistic, run};
use super::optimiser::Optimiser;
use super::read::{read, read_all};
use crate::arch::graph::Graph;
use crate::arch::weights::{Array, Weights};
use crate::arch::{self, narrow_before_resizing, prefix};
use crate::backend::optimiser::{Rule, StepSize};
use crate::config::ModelConfig;
use crate::{Error, Result};

/// The networks of a training and their optimisers.
#[derive(Debug)]
pub struct BurnTraining {
    config: ModelConfig,
    rule: Rule,
    /// Without autodiff.
    device: Device,
    teacher: Part,
    student: Trained,
    segmentation: Option<Trained>,
    /// None where the segmentation network is not shown whitened vectors.
    whitening: Option<(Graph, Tensors)>,
    /// Teacher, student and whitening as they are now; made when they are asked for, forgotten when a weight of theirs
    /// changes.
    frozen: Option<BurnModel>,
}

/// A network that is trained.
#[derive(Debug)]
pub struct Trained {
    graph: Graph,
    tensors: Tensors,
    optimiser: Optimiser,
}

impl Trained {
    /// A network without weights on a plain device (without autodiff).
    pub fn new(graph: Graph, rule: Rule, device: &Device) -> Self {
        Self {
            tensors: Tensors::new(&arch::init::zeros(&graph), device),
            graph,
            optimiser: Optimiser::new(rule),
        }
    }

    /// The network's outputs on the batch, recorded, and what [`Self::change`] needs.
    fn forward(&self, inputs: Vec<Tensor<4>>) -> Result<(Vec<Tensor<4>>, Recorded)> {
        let recorded = self.tensors.recorded();
        let mut statistics = Vec::new();
        let inputs = inputs.into_iter().map(Tensor::from_inner).collect();
        let graph = narrow_before_resizing(&self.graph);
        let outputs = run(&graph, &recorded, inputs, Mode::Training(&mut statistics))?;
        Ok((
            outputs,
            Recorded {
                tensors: recorded,
                statistics,
            },
        ))
    }

    /// The backward pass and the optimiser's step.
    fn change(&mut self, size: StepSize, loss: &Tensor<1>, recorded: Recorded) {
        let all = loss.backward();
        let gradients = recorded.tensors.iter().filter(|(name, _)| !is_statistic(name));
        let gradients = gradients.filter_map(|(name, own)| Some((name.clone(), own.values.grad(&all)?)));
        let gradients = gradients.collect();
        self.optimiser.step(size, &mut self.tensors, gradients);
        for (name, values) in recorded.statistics {
            let shape = values.dims().to_vec();
            self.tensors.insert(name, Parameter { shape, values });
        }
    }

    /// A step on a batch for each input, with a loss that is computed on the CPU: it is shown the batches of the network's
    /// outputs and gives, beside what it says of them, their gradients.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn step<T>(
        &mut self,
        inputs: &[Vec<Grid>],
        size: StepSize,
        device: &Device,
        loss: impl FnOnce(&[&[Grid]]) -> (T, Vec<Vec<Grid>>),
    ) -> Result<T> {
        let inputs = inputs.iter().map(|input| upload(input, device)).collect();
        let (outputs, recorded) = self.forward(inputs)?;
        let mut shown = Vec::with_capacity(outputs.len());
        for output in &outputs {
            shown.push(download_batch(output.clone().inner()).await?);
        }
        let (said, gradients) = loss(&shown.iter().map(Vec::as_slice).collect::<Vec<_>>());
        // the outputs' products with constants have the constants for gradients
        let products = outputs.into_iter().zip(&gradients).map(|(output, gradient)| {
            let gradient = Tensor::from_inner(upload(gradient, device));
            (output * gradient).sum()
        });
        if let Some(sum) = products.reduce(|a, b| a + b) {
            self.change(size, &sum, recorded);
        }
        Ok(said)
    }

    /// Takes other weights, which have no prefix.
    pub fn set_weights(&mut self, weights: &Weights, device: &Device) {
        self.tensors = Tensors::new(weights, device);
    }

    /// Replaces one tensor, which keeps its shape.
    pub fn set_tensor(&mut self, name: &str, array: &Array, device: &Device) {
        self.tensors
            .insert(name.to_owned(), Parameter::new(array, device));
    }

    /// The weights, `prefix` before their names.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn weights(&self, prefix: &str) -> Result<Weights> {
        download(&self.tensors, prefix).await
    }
}

/// What a forward pass leaves behind.
struct Recorded {
    tensors: Tensors,
    statistics: Vec<(String, Tensor<1>)>,
}

async fn download(tensors: &Tensors, prefix: &str) -> Result<Weights> {
    let flat = tensors.iter().map(|(_, own)| own.values.clone()).collect();
    let mut weights = Weights::default();
    for ((name, own), data) in tensors.iter().zip(read_all(flat).await?) {
        let shape = own.shape.clone();
        weights.insert(format!("{prefix}{name}"), Array { shape, data });
    }
    Ok(weights)
}

impl BurnTraining {
    /// Networks without weights around a teacher, whose weights are folded. `device` is plain (without autodiff).
    ///
    /// # Errors
    /// [`Error::Model`] naming a missing or misshapen tensor of the teacher.
    pub fn new(config: &ModelConfig, teacher: &Weights, rule: Rule, device: &Device) -> Result<Self> {
        let graph = arch::teacher(config.teacher, config.input_size);
        graph.tensors("").check(teacher, "")?;
        let teacher = Part::new(&graph, &Tensors::new(teacher, device))?;
        Ok(Self::around(config, teacher, rule, device))
    }

    fn around(config: &ModelConfig, teacher: Part, rule: Rule, device: &Device) -> Self {
        Self {
            student: Trained::new(arch::student(config), rule, device),
            segmentation: arch::segmentation(config).map(|graph| Trained::new(graph, rule, device)),
            whitening: arch::whitening(config).map(|graph| {
                let zeros = Tensors::new(&arch::init::zeros(&graph), device);
                (graph, zeros)
            }),
            config: config.clone(),
            rule,
            device: device.clone(),
            teacher,
            frozen: None,
        }
    }

    /// Networks of the same kind without weights.
    pub fn untrained_copy(&self) -> Self {
        Self::around(&self.config, self.teacher.clone(), self.rule, &self.device)
    }

    /// All weights that are trained or estimated, under the names of a file.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn weights(&self) -> Result<Weights> {
        let mut weights = self.student.weights(prefix::STUDENT).await?;
        if let Some(part) = &self.segmentation {
            weights.extend(part.weights(prefix::SEGMENTATION).await?);
        }
        if let Some((_, tensors)) = &self.whitening {
            weights.extend(download(tensors, prefix::WHITENING).await?);
        }
        Ok(weights)
    }

    /// Takes those parts whose weights there are, under the names of a file.
    pub fn set_weights(&mut self, weights: &Weights) {
        let part = |name: &str| {
            let own = weights.with_prefix(name);
            (!own.is_empty()).then(|| Tensors::new(&own, &self.device))
        };
        let (student, segmentation) = (part(prefix::STUDENT), part(prefix::SEGMENTATION));
        let whitening = part(prefix::WHITENING);
        if let Some(tensors) = student {
            self.student.tensors = tensors;
        }
        if let (Some(own), Some(tensors)) = (&mut self.segmentation, segmentation) {
            own.tensors = tensors;
        }
        if let (Some((_, own)), Some(tensors)) = (&mut self.whitening, whitening) {
            *own = tensors;
        }
        self.frozen = None;
    }

    /// A step of stage 1: the teacher sees the `clean` images, the student the `seen` ones. The result is the cosine
    /// loss times `factor`.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn student_step(
        &mut self,
        clean: &[Grid],
        seen: &[Grid],
        size: StepSize,
        factor: f32,
    ) -> Result<f32> {
        let clean = self.teacher.features(upload(clean, &self.device))?.normalise();
        let clean = Features(clean.0.map(Tensor::from_inner));
        let (levels, recorded) = self.student.forward(vec![upload(seen, &self.device)])?;
        let levels: [Tensor<4>; 3] = levels
            .try_into()
            .map_err(|_| Error::Model("a student needs three levels".into()))?;
        let loss = loss::cosine(clean, Features(levels).normalise()) * factor;
        let value = loss.clone().inner();
        self.student.change(size, &loss, recorded);
        self.frozen = None;
        Ok(read(value).await?[0])
    }

    /// A step of stage 2 on the `corrupted` images and the masks of their anomalies: focal and L1 loss.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no segmentation network, [`Error::Device`] if the device was lost.
    pub async fn segmentation_step(
        &mut self,
        corrupted: &[Grid],
        mask: &[f32],
        size: StepSize,
        gamma: f64,
    ) -> Result<[f32; 2]> {
        let frozen = self.take_frozen()?;
        let Some(part) = &mut self.segmentation else {
            return Err(Error::Config("there is no segmentation network to train".into()));
        };
        let Levels(fusion_input) = frozen.fusion_input(upload(corrupted, &self.device))?;
        let (mut logits, recorded) = part.forward(fusion_input.into())?;
        let map = sigmoid(logits.swap_remove(0));
        let mask = TensorData::new(mask.to_vec(), map.dims());
        let mask = Tensor::from_inner(Tensor::<4>::from_data(mask, &self.device));
        let focal = loss::focal(map.clone(), mask.clone(), gamma);
        let l1 = loss::l1(map, mask);
        let loss = focal.clone() + l1.clone();
        let values = Tensor::cat(vec![focal.inner(), l1.inner()], 0);
        part.change(size, &loss, recorded);
        // teacher and student are as they were
        self.frozen = Some(frozen);
        let losses = read(values).await?;
        Ok([losses[0], losses[1]])
    }

    /// The model as it is now, for inference.
    ///
    /// # Errors
    /// [`Error::Model`] for a missing tensor, which no checked weights have.
    pub fn current(&self) -> Result<BurnModel> {
        let segmentation = self.segmentation.as_ref();
        let whitening = self.whitening.as_ref();
        Ok(BurnModel {
            teacher: self.teacher.clone(),
            student: Part::new(&self.student.graph, &self.student.tensors)?,
            whitening: whitening
                .map(|(graph, tensors)| Part::new(graph, tensors))
                .transpose()?,
            segmentation: segmentation
                .map(|part| Part::new(&part.graph, &part.tensors))
                .transpose()?,
            distance_scale: self.config.distance.scale(),
            device: self.device.clone(),
        })
    }

    /// To be put back where no weight of teacher, student and whitening changes.
    fn take_frozen(&mut self) -> Result<BurnModel> {
        self.frozen.take().map_or_else(|| self.current(), Ok)
    }

    /// Features of teacher and student for an image that is normalised for the teacher, every vector of length 1.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn features(&mut self, image: &Grid) -> Result<[[Grid; 3]; 2]> {
        let frozen = self.take_frozen()?;
        let features = frozen.features_of(upload(std::slice::from_ref(image), &self.device))?;
        self.frozen = Some(frozen);
        download_features(features).await
    }

    /// The moments of both optimisers, under the names of a file.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn moments(&self) -> Result<Weights> {
        let mut moments = self.student.optimiser.state().await?.prefixed(prefix::STUDENT);
        if let Some(part) = &self.segmentation {
            moments.extend(part.optimiser.state().await?.prefixed(prefix::SEGMENTATION));
        }
        Ok(moments)
    }

    /// Resumes with saved moments.
    ///
    /// # Errors
    /// [`Error::Training`] if they do not fit.
    pub fn restore(&mut self, moments: &Weights) -> Result<()> {
        for (name, Array { shape, data }) in moments.iter() {
            if data.len() != shape.iter().product::<usize>() {
                return Err(Error::Training(format!(
                    "the saved momentum of `{name}` does not fit: start the training again"
                )));
            }
        }
        let part = |prefix| moments.with_prefix(prefix);
        self.student
            .optimiser
            .restore(&part(prefix::STUDENT), &self.device);
        if let Some(own) = &mut self.segmentation {
            own.optimiser.restore(&part(prefix::SEGMENTATION), &self.device);
        }
        Ok(())
    }
}
