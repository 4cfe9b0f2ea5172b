//! The shape of a network.

use serde::{Deserialize, Serialize};

use super::{Method, Preset};
use crate::order;
use crate::{Error, Result};

/// Side of the model's square input in pixels (section 4.1 of the paper).
pub const INPUT_SIZE: usize = 256;
/// The same of the preset `standard`.
pub const STANDARD_INPUT_SIZE: usize = 384;

/// The frozen ImageNet network whose features the student learns to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// Torchvision's `ResNet18`, `layer1` to `layer3`.
    Resnet18,
    /// `EfficientNet-Lite0`, blocks 2, 4 and 10.
    EfficientnetLite0,
}

impl TeacherKind {
    /// The id that model files and the manifest use.
    pub fn id(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::EfficientnetLite0 => "efficientnet-lite0",
        }
    }

    /// The preset that this teacher belongs to.
    pub fn preset(self) -> Preset {
        match self {
            Self::Resnet18 => Preset::Paper,
            Self::EfficientnetLite0 => Preset::Compact,
        }
    }

    /// Channels of the three feature levels, at 1/4, 1/8 and 1/16 of the input's side.
    pub fn channels(self) -> [usize; 3] {
        match self {
            Self::Resnet18 => [64, 128, 256],
            Self::EfficientnetLite0 => [24, 40, 112],
        }
    }
}

/// Everything that decides the shape of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawModelConfig")]
pub struct ModelConfig {
    /// The method that the network follows.
    pub method: Method,
    /// The preset this started from.
    pub preset: Preset,
    /// Side of the square input in pixels; a multiple of 32.
    pub input_size: usize,
    /// The teacher.
    pub teacher: TeacherKind,
    /// The denoising encoder-decoder.
    pub student: StudentConfig,
    /// The network that fuses the levels; none in STPM and in ablations, which show the DeST map.
    pub segmentation: Option<SegmentationConfig>,
    /// How far apart two feature vectors are.
    #[serde(default)]
    pub distance: Distance,
    /// How a map becomes the image score.
    #[serde(default)]
    pub score: ImageScore,
    /// How images of other shapes and sizes are shown to the network.
    #[serde(default)]
    pub fit: InputLayout,
}

/// As files have it: those of version 0.1 do not say the method.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModelConfig {
    method: Option<Method>,
    preset: Preset,
    input_size: usize,
    teacher: TeacherKind,
    student: StudentConfig,
    segmentation: Option<SegmentationConfig>,
    #[serde(default)]
    distance: Distance,
    #[serde(default)]
    score: ImageScore,
    #[serde(default)]
    fit: InputLayout,
}

impl From<RawModelConfig> for ModelConfig {
    fn from(raw: RawModelConfig) -> Self {
        // then only STPM measured distances in its own way
        let method = raw.method.unwrap_or(match raw.distance {
            Distance::SquaredEuclidean => Method::Stpm,
            Distance::Cosine => Method::Destseg,
        });
        Self {
            method,
            preset: raw.preset,
            input_size: raw.input_size,
            teacher: raw.teacher,
            student: raw.student,
            segmentation: raw.segmentation,
            distance: raw.distance,
            score: raw.score,
            fit: raw.fit,
        }
    }
}

/// How an image that is not square fits the network's square input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum InputLayout {
    /// Stretched to a square, as the paper does.
    #[default]
    Squash,
    /// The whole image in its aspect ratio, with a plain border.
    Pad,
    /// The middle square of the image.
    Crop,
    /// In its own size, in overlapping squares, for large images with small defects.
    Tile,
    /// Whole across its short side, in overlapping squares along the long one.
    Strip,
}

impl InputLayout {
    /// What suits images of these widths and heights: long ones lose too much when they are stretched to
    /// a square.
    pub fn suggested(sizes: &[(u32, u32)]) -> Self {
        /// Long to short side from which on squares are better.
        const LONG: f64 = 1.6;
        let mut ratios: Vec<f64> = sizes
            .iter()
            .map(|&(width, height)| f64::from(width.max(height)) / f64::from(width.min(height).max(1)))
            .collect();
        order::sort_by(&mut ratios, f64::total_cmp);
        match ratios.get(ratios.len() / 2) {
            Some(&median) if median >= LONG => Self::Strip,
            _ => Self::Squash,
        }
    }
}

/// How far apart two normalised feature vectors are, in losses and maps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// 1 - cosine, in [0, 2] (DeSTSeg).
    #[default]
    Cosine,
    /// Squared Euclidean, which is twice that (STPM).
    SquaredEuclidean,
}

impl Distance {
    /// This distance for a cosine distance of 1.
    pub fn scale(self) -> f32 {
        match self {
            Self::Cosine => 1.0,
            Self::SquaredEuclidean => 2.0,
        }
    }
}

/// How the image score follows from the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageScore {
    /// The mean of the largest pixels (DeSTSeg, section 4.1).
    #[default]
    MeanOfLargest,
    /// The largest pixel (STPM).
    Maximum,
    /// The largest mean of a window (DRAEM, DSR).
    LargestWindow,
}

/// First layers of the student's encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7x7 convolution of stride 2, then 3x3 max pooling of stride 2 (`ResNet`).
    Resnet,
    /// One 3x3 convolution of stride 2; the first encoder stage halves again.
    Conv,
}

/// Shape of the student (section 3.2 of the paper). Stages are residual basic blocks; the
/// decoder upsamples bilinearly between its stages and has no skip connections. A student without
/// decoder gives its encoder's features, as the plain student of STPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// First layers.
    pub stem: Stem,
    /// Channels of the stem.
    pub stem_channels: usize,
    /// Channels of the encoder's stages, at 1/4, 1/8, 1/16 and 1/32; the last is only there for the
    /// decoder.
    pub encoder: [usize; 4],
    /// Channels of the decoder's stages, at 1/32, 1/16, 1/8 and 1/4.
    pub decoder: Option<[usize; 4]>,
    /// Basic blocks per stage.
    pub blocks: usize,
    /// 1x1 convolutions with bias from the student's channels to the teacher's. Needed where the
    /// teacher's features are signed, because a block ends in a `ReLU`.
    pub projection: bool,
}

/// Input of the segmentation network, computed from the normalised features of teacher and student.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionInput {
    /// Their products (the paper).
    #[default]
    Products,
    /// The products and the differences. The differences are whitened with statistics of good images.
    ProductsAndDifferences,
    /// The same and the teacher's features, whitened likewise. They show what is unusual even where the
    /// student agrees with the teacher.
    ProductsDifferencesAndFeatures,
}

impl FusionInput {
    /// Input channels for each channel of the teacher.
    pub fn channel_factor(self) -> usize {
        match self {
            Self::Products => 1,
            Self::ProductsAndDifferences => 2,
            Self::ProductsDifferencesAndFeatures => 3,
        }
    }
}

/// How the segmentation network's cells, 4 pixels wide, become a map of the input's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upsampling {
    /// Interpolated between their centres (section 4.1 of the paper).
    #[default]
    Bilinear,
    /// The same, each cell softened first by its neighbours (`AnomalyMap::soften`): single
    /// cells of a small network are less sure than what they agree on.
    Soft,
}

/// Shape of the segmentation network (section 3.3 of the paper).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationConfig {
    /// Its input, computed from the features of teacher and student.
    #[serde(default)]
    pub evidence: FusionInput,
    /// Whether a 1x1 convolution narrows the input before the first block.
    pub squeeze: bool,
    /// Channels of all layers.
    pub width: usize,
    /// Basic blocks before the atrous pyramid.
    pub blocks: usize,
    /// Dilation rates of the atrous spatial pyramid pooling.
    pub rates: [usize; 3],
    /// How its output becomes a map of the input's size.
    #[serde(default)]
    pub upsampling: Upsampling,
}

impl ModelConfig {
    /// The network of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self {
                method: Method::Destseg,
                preset,
                input_size: INPUT_SIZE,
                teacher: TeacherKind::Resnet18,
                student: StudentConfig {
                    stem: Stem::Resnet,
                    stem_channels: 64,
                    encoder: [64, 128, 256, 512],
                    decoder: Some([512, 256, 128, 64]),
                    blocks: 2,
                    projection: false,
                },
                segmentation: Some(SegmentationConfig {
                    evidence: FusionInput::Products,
                    squeeze: false,
                    width: 256,
                    blocks: 2,
                    rates: [6, 12, 18],
                    upsampling: Upsampling::Bilinear,
                }),
                distance: Distance::Cosine,
                score: ImageScore::MeanOfLargest,
                fit: InputLayout::Squash,
            },
            Preset::Compact => Self {
                method: Method::Destseg,
                preset,
                input_size: INPUT_SIZE,
                teacher: TeacherKind::EfficientnetLite0,
                student: StudentConfig {
                    stem: Stem::Conv,
                    stem_channels: 24,
                    encoder: [32, 64, 112, 160],
                    decoder: Some([160, 112, 48, 24]),
                    blocks: 1,
                    projection: true,
                },
                segmentation: Some(SegmentationConfig {
                    evidence: FusionInput::ProductsDifferencesAndFeatures,
                    squeeze: true,
                    width: 32,
                    blocks: 1,
                    rates: [6, 12, 18],
                    upsampling: Upsampling::Soft,
                }),
                distance: Distance::Cosine,
                score: ImageScore::MeanOfLargest,
                fit: InputLayout::Squash,
            },
            Preset::Standard => Self {
                preset,
                input_size: STANDARD_INPUT_SIZE,
                ..Self::preset(Preset::Compact)
            },
        }
    }

    /// STPM with the teacher of a preset: the student is a plain encoder, the map the product of
    /// the squared distances, the score its maximum.
    pub fn stpm(preset: Preset) -> Self {
        let destseg = Self::preset(preset);
        Self {
            method: Method::Stpm,
            student: StudentConfig {
                decoder: None,
                ..destseg.student
            },
            segmentation: None,
            distance: Distance::SquaredEuclidean,
            score: ImageScore::Maximum,
            ..destseg
        }
    }

    /// This model with another's networks, which it can then start from: teacher and layers are the other's, what
    /// images are shown at stays.
    #[must_use]
    pub fn with_networks_of(&self, other: &Self) -> Self {
        let alike = self.teacher == other.teacher;
        Self {
            preset: if alike { self.preset } else { other.preset },
            input_size: self.input_size,
            fit: self.fit,
            ..other.clone()
        }
    }

    /// Refuses shapes that no network can have.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        if !matches!(self.method, Method::Destseg | Method::Stpm) {
            return Err(Error::Config(format!(
                "{} has no student and segmentation network: its settings are others",
                self.method.label()
            )));
        }
        let student = &self.student;
        let mut widths = student.encoder.to_vec();
        widths.extend(student.decoder.into_iter().flatten());
        widths.extend([student.stem_channels, student.blocks]);
        if let Some(segmentation) = &self.segmentation {
            widths.extend([segmentation.width, segmentation.blocks]);
        }
        // The largest published network has 512 channels; this keeps a hostile file from
        // asking for terabytes.
        const WIDEST: usize = 2048;
        if widths.into_iter().any(|width| width == 0 || width > WIDEST) {
            return Err(Error::Config(format!(
                "the network's channel counts must lie between 1 and {WIDEST}"
            )));
        }
        if self.input_size == 0 || !self.input_size.is_multiple_of(32) || self.input_size > 2048 {
            return Err(Error::Config(format!(
                "the input size is {} but must be a multiple of 32 up to 2048",
                self.input_size
            )));
        }
        let rates = self
            .segmentation
            .as_ref()
            .map_or(&[][..], |network| &network.rates);
        if rates.iter().any(|&rate| rate == 0 || rate > self.input_size) {
            return Err(Error::Config(
                "the dilation rates must lie between 1 and the input size".into(),
            ));
        }
        if !student.projection && student.levels() != self.teacher.channels() {
            return Err(Error::Config(
                "without projections the student's features need the teacher's channel counts".into(),
            ));
        }
        Ok(())
    }
}

impl StudentConfig {
    /// Channels of the three feature levels before projection, at 1/4, 1/8 and 1/16.
    pub fn levels(&self) -> [usize; 3] {
        match (self.decoder, self.encoder) {
            (Some([_, deep, middle, shallow]), _) => [shallow, middle, deep],
            (None, [shallow, middle, deep, _]) => [shallow, middle, deep],
        }
    }
}
