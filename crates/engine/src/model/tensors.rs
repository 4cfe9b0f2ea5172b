//! Which tensors a network has, from its configuration alone: the names and shapes of the reference
//! implementation's state dict.

use super::prefix;
use super::shapes::Shapes;
use super::teacher::{efficientnet, resnet};
use crate::config::{Evidence, ModelConfig, SegmentationConfig, Stem, StudentConfig, TeacherKind};

/// The tensors of student, segmentation network and whitening.
pub(super) fn of_network(config: &ModelConfig) -> Shapes {
    let mut list = List::behind(prefix::STUDENT);
    student(&mut list, &config.student, config.teacher);
    let mut shapes = list.shapes;
    if let Some(own) = &config.segmentation {
        let mut list = List::behind(prefix::SEGMENTATION);
        segmentation(&mut list, own, config.teacher);
        shapes.extend(list.shapes);
        let mut list = List::behind(prefix::WHITENING);
        whitening(&mut list, own.evidence, config.teacher);
        shapes.extend(list.shapes);
    }
    shapes
}

/// Those of a folded teacher, with `prefix` before all names.
pub(super) fn of_teacher(prefix: &str, kind: TeacherKind) -> Shapes {
    let mut list = List::behind(prefix);
    match kind {
        TeacherKind::Resnet18 => resnet18(&mut list),
        TeacherKind::EfficientnetLite0 => efficientnet_lite0(&mut list),
    }
    list.shapes
}

/// Tensors so far, all behind one prefix.
struct List<'a> {
    prefix: &'a str,
    shapes: Shapes,
}

impl<'a> List<'a> {
    fn behind(prefix: &'a str) -> Self {
        Self {
            prefix,
            shapes: Shapes::default(),
        }
    }

    fn add(&mut self, name: &str, shape: &[usize]) {
        self.shapes.insert(format!("{}{name}", self.prefix), shape);
    }

    /// A convolution without bias.
    fn conv(&mut self, name: &str, [input, output]: [usize; 2], kernel: usize) {
        self.add(&format!("{name}.weight"), &[output, input, kernel, kernel]);
    }

    fn conv_with_bias(&mut self, name: &str, channels: [usize; 2], kernel: usize) {
        self.conv(name, channels, kernel);
        self.add(&format!("{name}.bias"), &[channels[1]]);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        for part in ["weight", "bias", "running_mean", "running_var"] {
            self.add(&format!("{name}.{part}"), &[channels]);
        }
    }

    /// A convolution and its normalisation, in one part of the network.
    fn unit(&mut self, name: &str, channels: [usize; 2], kernel: usize) {
        self.conv(&format!("{name}.conv"), channels, kernel);
        self.norm(&format!("{name}.norm"), channels[1]);
    }

    /// Residual basic blocks; the first has the stride.
    fn stage(&mut self, name: &str, blocks: usize, input: usize, output: usize, stride: usize) {
        for block in 0..blocks {
            let (from, stride) = if block == 0 { (input, stride) } else { (output, 1) };
            let at = |part: &str| format!("{name}.{block}.{part}");
            self.conv(&at("conv1"), [from, output], 3);
            self.norm(&at("bn1"), output);
            self.conv(&at("conv2"), [output, output], 3);
            self.norm(&at("bn2"), output);
            if from != output || stride != 1 {
                self.conv(&at("downsample.0"), [from, output], 1);
                self.norm(&at("downsample.1"), output);
            }
        }
    }
}

fn student(list: &mut List<'_>, config: &StudentConfig, teacher: TeacherKind) {
    let (kernel, first_stride) = match config.stem {
        Stem::Resnet => (7, 1),
        Stem::Conv => (3, 2),
    };
    let mut channels = config.stem_channels;
    list.conv("encoder.conv1", [3, channels], kernel);
    list.norm("encoder.bn1", channels);
    let stages = if config.decoder.is_some() { 4 } else { 3 };
    for (i, &width) in config.encoder.iter().take(stages).enumerate() {
        let stride = if i == 0 { first_stride } else { 2 };
        let name = format!("encoder.layer{}", i + 1);
        list.stage(&name, config.blocks, channels, width, stride);
        channels = width;
    }
    for (i, &width) in config.decoder.iter().flatten().enumerate() {
        // counted like the encoder's: 4 is the coarsest
        let name = format!("decoder_layer{}", 4 - i);
        list.stage(&name, config.blocks, channels, width, 1);
        channels = width;
    }
    if config.projection {
        for (i, (from, to)) in config.levels().into_iter().zip(teacher.channels()).enumerate() {
            list.conv_with_bias(&format!("projections.{i}"), [from, to], 1);
        }
    }
}

fn segmentation(list: &mut List<'_>, config: &SegmentationConfig, teacher: TeacherKind) {
    let width = config.width;
    let shown = config.evidence.times() * teacher.channels().iter().sum::<usize>();
    let mut input = shown;
    if config.squeeze {
        list.unit("squeeze", [shown, width], 1);
        input = width;
    }
    list.stage("res", config.blocks, input, width, 1);
    let branch = |i: usize| format!("head.0.aspp_feature_extractors.{i}");
    list.unit(&format!("{}.1", branch(0)), [width, width], 1);
    for i in 1..=config.rates.len() {
        list.unit(&branch(i), [width, width], 3);
    }
    let branches = 1 + config.rates.len();
    list.unit("head.0.aspp_fusion_layer", [branches * width, width], 3);
    list.conv("head.1", [width, width], 3);
    list.norm("head.2", width);
    list.conv_with_bias("head.4", [width, 1], 1);
}

fn whitening(list: &mut List<'_>, evidence: Evidence, teacher: TeacherKind) {
    for (name, needed) in [("levels", 2), ("features", 3)] {
        if evidence.times() >= needed {
            for (i, channels) in teacher.channels().into_iter().enumerate() {
                list.conv_with_bias(&format!("{name}.{i}"), [channels; 2], 1);
            }
        }
    }
}

fn resnet18(list: &mut List<'_>) {
    let mut input = resnet::CHANNELS[0];
    list.conv_with_bias("conv1", [3, input], 7);
    for (layer, &width) in resnet::CHANNELS.iter().enumerate() {
        for block in 0..resnet::BLOCKS {
            let from = std::mem::replace(&mut input, width);
            let at = |part: &str| format!("layer{}.{block}.{part}", layer + 1);
            list.conv_with_bias(&at("conv1"), [from, width], 3);
            list.conv_with_bias(&at("conv2"), [width, width], 3);
            if from != width {
                list.conv_with_bias(&at("downsample.0"), [from, width], 1);
            }
        }
    }
}

fn efficientnet_lite0(list: &mut List<'_>) {
    let mut input = efficientnet::STEM;
    list.conv_with_bias("stem", [3, input], 3);
    let mut number = 0;
    for (count, expansion, kernel, _, output) in efficientnet::STAGES {
        for _ in 0..count {
            let from = std::mem::replace(&mut input, output);
            let hidden = from * expansion;
            let at = |part: &str| format!("blocks.{number}.{part}");
            if expansion > 1 {
                list.conv_with_bias(&at("expand"), [from, hidden], 1);
            }
            // one filter per channel
            list.add(&at("depthwise.weight"), &[hidden, 1, kernel, kernel]);
            list.add(&at("depthwise.bias"), &[hidden]);
            list.conv_with_bias(&at("project"), [hidden, output], 1);
            number += 1;
        }
    }
}

#[cfg(all(test, feature = "burn"))]
mod tests {
    use super::*;
    use crate::config::Preset;
    use crate::backend::device;
    use crate::model::network::exchange::shapes;
    use crate::model::network::segmentation::Segmentation;
    use crate::model::network::student::Student;
    use crate::model::network::teacher::Teacher;
    use crate::model::network::whitening::Whitening;

    /// What is listed here against what Burn's modules hold.
    #[test]
    fn tensors_are_those_of_the_modules() {
        let device = device::any();
        let mut with_differences = ModelConfig::preset(Preset::Compact);
        let own = with_differences.segmentation.as_mut().expect("has one");
        own.evidence = Evidence::ProductsAndDifferences;
        for config in [
            ModelConfig::preset(Preset::Compact),
            ModelConfig::preset(Preset::Paper),
            ModelConfig::stpm(Preset::Compact),
            ModelConfig::stpm(Preset::Paper),
            with_differences,
        ] {
            let student = Student::new(&config.student, config.teacher, &device);
            let mut expected = shapes(&student, prefix::STUDENT);
            if let Some(segmentation) = Segmentation::of(&config, &device) {
                expected.extend(shapes(&segmentation, prefix::SEGMENTATION));
            }
            if let Some(whitening) = Whitening::of(&config, &device) {
                expected.extend(shapes(&whitening, prefix::WHITENING));
            }
            assert_eq!(of_network(&config), expected, "{config:?}");
        }
        for kind in [TeacherKind::Resnet18, TeacherKind::EfficientnetLite0] {
            let expected = match Teacher::new(kind, &device) {
                Teacher::Resnet18(network) => shapes(&network, "t."),
                Teacher::EfficientnetLite0(network) => shapes(&network, "t."),
            };
            assert_eq!(of_teacher("t.", kind), expected);
        }
    }
}
