//! The network on Burn, which trains it and runs it on GPUs, and is what `plan/` is tested against.

mod conv;
pub mod exchange;
pub mod features;
pub mod init;
pub(crate) mod layers;
pub mod loss;
pub mod names;
pub mod segmentation;
pub mod student;
pub mod teacher;
pub mod upsample;
pub mod whitening;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::prefix;
use crate::Result;
use crate::config::ModelConfig;
use crate::model::weights::Weights;
use exchange::{collect, load};
use features::{Features, Levels, Similarity, dest_map};
use segmentation::Segmentation;
use student::Student;
use teacher::Teacher;
use whitening::Whitening;

/// The whole network.
#[derive(Module, Debug)]
pub struct DeSTSeg {
    /// Frozen.
    pub teacher: Teacher,
    /// Trained in stage 1.
    pub student: Student,
    /// Trained in stage 2; none where the DeST map is all there is.
    pub segmentation: Option<Segmentation>,
    /// Estimated before stage 2, where the segmentation network is shown differences too.
    pub whitening: Option<Whitening>,
    /// What a cosine distance of 1 counts in the DeST map.
    #[module(skip)]
    distance_scale: f32,
}

/// What the network says about a batch of images.
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
}

impl DeSTSeg {
    /// The same network with other trained parts.
    #[must_use]
    pub fn with(&self, student: Student, segmentation: Option<Segmentation>) -> Self {
        Self {
            teacher: self.teacher.clone(),
            student,
            segmentation,
            whitening: self.whitening.clone(),
            distance_scale: self.distance_scale,
        }
    }

    /// A network around `teacher` whose trained parts are still zero.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an impossible shape.
    pub fn new(config: &ModelConfig, teacher: Teacher, device: &Device) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            teacher,
            student: Student::new(&config.student, config.teacher, device),
            segmentation: Segmentation::of(config, device),
            whitening: Whitening::of(config, device),
            distance_scale: config.distance.scale(),
        })
    }

    /// Fills student and segmentation network from a file's weights.
    ///
    /// # Errors
    /// [`crate::Error::Model`] naming a missing or misshapen tensor.
    pub fn load(self, weights: &Weights) -> Result<Self> {
        Ok(Self {
            teacher: self.teacher,
            student: load(self.student, weights, prefix::STUDENT)?,
            segmentation: self
                .segmentation
                .map(|network| load(network, weights, prefix::SEGMENTATION))
                .transpose()?,
            whitening: self
                .whitening
                .map(|whitening| load(whitening, weights, prefix::WHITENING))
                .transpose()?,
            distance_scale: self.distance_scale,
        })
    }

    /// The same network for inference only: batch normalisation is folded into the convolutions.
    #[must_use]
    pub fn folded(mut self) -> Self {
        self.student.fold();
        self.segmentation.iter_mut().for_each(Segmentation::fold);
        self
    }

    /// Copies the trained weights from the device.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device was lost.
    pub async fn trained_weights(&self) -> Result<Weights> {
        let mut weights = collect(&self.student, prefix::STUDENT).await?;
        if let Some(segmentation) = &self.segmentation {
            weights.extend(collect(segmentation, prefix::SEGMENTATION).await?);
        }
        if let Some(whitening) = &self.whitening {
            weights.extend(collect(whitening, prefix::WHITENING).await?);
        }
        Ok(weights)
    }

    /// Normalised features of teacher and student for images `[batch, 3, side, side]`, already
    /// normalised.
    pub fn features(&self, images: Tensor<4>) -> [Features; 2] {
        let teacher = self.teacher.forward(images.clone()).normalise();
        [teacher, self.student.forward(images).normalise()]
    }

    /// Agreement of teacher and student on the same.
    pub fn similarity(&self, images: Tensor<4>) -> Similarity {
        let [teacher, student] = self.features(images);
        teacher.similarity(student)
    }

    /// What the segmentation network is shown of the same.
    pub fn evidence(&self, images: Tensor<4>) -> Levels {
        let [teacher, student] = self.features(images);
        let unusual = self.unusual(&teacher, &student);
        teacher.similarity(student).evidence(unusual)
    }

    fn unusual(&self, teacher: &Features, student: &Features) -> Vec<Tensor<4>> {
        self.whitening
            .as_ref()
            .map_or_else(Vec::new, |whitening| whitening.forward(teacher, student))
    }

    /// Both maps for images `[batch, 3, side, side]`, already normalised for the teacher.
    pub fn forward(&self, images: Tensor<4>) -> Output {
        let [teacher, student] = self.features(images);
        let unusual = self.unusual(&teacher, &student);
        let similarity = teacher.similarity(student);
        let scale = self.distance_scale;
        let levels = similarity.distances().map(|level| level * scale);
        Output {
            segmentation: self
                .segmentation
                .as_ref()
                .map(|network| network.forward(similarity.evidence(unusual))),
            dest: dest_map(levels.clone()),
            levels,
        }
    }
}
