//! The networks of DSR (Zavrtanik et al., ECCV 2022). A VQ-VAE turns an image into two maps of codes, a coarse and a fine one.
//! Subspace restriction turns the codes of anomalies into those of good images. A general and an object-specific decoder paint
//! an image each, and two U-Nets mark where these differ.
//!
//! The names are those of the reference implementation's six state dicts, each behind a prefix. There "top" is the coarse
//! level ("lo"), an eighth of the input's side, and "bottom" the fine one ("hi"), a quarter.

use destseg_kernels::Activation::Relu;
use serde::{Deserialize, Serialize};

use super::blocks::Norm::Instance;
use super::graph::{Graph, Layer, Pool, Value};

/// Prefixes of the six networks' tensors.
pub mod prefix {
    /// The VQ-VAE: encoders, codebooks, general decoder.
    pub const GENERAL: &str = "vq.";
    /// Subspace restriction of the fine level.
    pub const RESTRICTION_FINE: &str = "subspace_hi.";
    /// Subspace restriction of the coarse level.
    pub const RESTRICTION_COARSE: &str = "subspace_lo.";
    /// The object-specific decoder.
    pub const OBJECT: &str = "image_recon.";
    /// The anomaly detection module.
    pub const DETECTION: &str = "anomaly_det.";
    /// The upsampling module, which refines the map of the detection.
    pub const UPSAMPLING: &str = "upsample.";
}

/// The codebook of the coarse level, `[codes, embedding]`.
pub const COARSE_CODES: &str = "vq._vq_vae_top._embedding.weight";
/// The codebook of the fine level, `[codes, embedding]`.
pub const FINE_CODES: &str = "vq._vq_vae_bot._embedding.weight";
/// By how much the sides of the coarse and of the fine level are smaller than the input's.
pub const STRIDES: [usize; 2] = [8, 4];

/// Layers of a residual stack.
const RESIDUAL_LAYERS: usize = 2;
/// Kernel, stride and padding of transposed convolutions, which double the size.
const DOUBLING: [usize; 3] = [4, 2, 1];
/// Channels in the middle of the object-specific decoder, whatever the other widths.
const MIDDLE: usize = 64;

/// Widths of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsrShape {
    /// Channels of encoders and decoders; an even number.
    pub hidden: usize,
    /// Channels inside their residual layers.
    pub residual: usize,
    /// Channels of a code.
    pub embedding: usize,
    /// Codes of each of the two codebooks.
    pub codes: usize,
    /// Channels of the first block of the two U-Nets.
    pub unet: usize,
}

impl DsrShape {
    /// The published networks.
    pub const PAPER: Self = Self {
        hidden: 128,
        residual: 64,
        embedding: 128,
        codes: 4096,
        unet: 64,
    };
}

/// All of it: from an image `[side, side, 3]` in [0, 1] to the probabilities of good and anomalous pixels,
/// `[side, side, 2]`, first as the anomaly detection module gives them and then as the upsampling module refines them.
/// `side` is a multiple of 32.
pub fn dsr(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let (evidence, detected) = graph.evidence(shape, side);
    let refined = graph.marks(evidence, prefix::UPSAMPLING, shape);
    graph.with_outputs([detected, refined])
}

/// What the upsampling module is shown of an image: the object-specific and the general image, and the probabilities of the
/// anomaly detection module, `[side, side, 8]`.
pub fn evidence(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let (evidence, _) = graph.evidence(shape, side);
    graph.with_outputs([evidence])
}

/// The VQ-VAE: from an image to the general decoder's image, and to the features of the coarse and of the fine level as they
/// are before they become codes; without `codes` they never do.
pub fn vq_vae(shape: &DsrShape, side: usize, codes: bool) -> Graph {
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let coded = |graph: &mut Graph, x: Value, name: &str| match codes {
        true => graph.nearest_code(x, name, shape.codes),
        false => x,
    };
    let (encoded, coarse) = graph.encoded(image, shape);
    let coarse_codes = coded(&mut graph, coarse, COARSE_CODES);
    let large = graph.enlarged_codes(coarse_codes, shape);
    let fine = graph.fine_features(encoded, large, shape);
    let fine_codes = coded(&mut graph, fine, FINE_CODES);
    let image = graph.general_image(large, fine_codes, shape);
    graph.with_outputs([image, coarse, fine])
}

/// From an image to what the fine level is computed from, `[side / 4, side / 4, hidden]`, and to the features of the coarse
/// level, `[side / 8, side / 8, embedding]`.
pub fn encoder(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let (encoded, coarse) = graph.encoded(image, shape);
    graph.with_outputs([encoded, coarse])
}

/// From the first output of [`encoder`] and codes of the coarse level to the features of the fine one,
/// `[side / 4, side / 4, embedding]`.
pub fn fine_encoder(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let [_, fine] = STRIDES.map(|stride| side / stride);
    let encoded = graph.input([fine, fine, shape.hidden]);
    let coarse = graph.codes(shape, side)[0];
    let large = graph.enlarged_codes(coarse, shape);
    let features = graph.fine_features(encoded, large, shape);
    graph.with_outputs([features])
}

/// From codes of both levels to the general decoder's image.
pub fn general_decoder(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let [coarse, fine] = graph.codes(shape, side);
    let large = graph.enlarged_codes(coarse, shape);
    let image = graph.general_image(large, fine, shape);
    graph.with_outputs([image])
}

/// From codes of both levels to the features of the coarse and of the fine level that good images have instead, and to the
/// object-specific image of their codes. Of the VQ-VAE it has the codebooks and what enlarges the coarse level.
pub fn restoration(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let [coarse, fine] = graph.codes(shape, side);
    let restored = graph.restored(coarse, fine, shape);
    graph.with_outputs(restored)
}

/// From object-specific and general image, `[side, side, 6]`, to the anomaly detection module's probabilities.
pub fn detection(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let images = graph.input([side, side, 6]);
    let marks = graph.marks(images, prefix::DETECTION, shape);
    graph.with_outputs([marks])
}

/// From what [`evidence`] gives to the upsampling module's probabilities.
pub fn upsampling(shape: &DsrShape, side: usize) -> Graph {
    let mut graph = Graph::default();
    let evidence = graph.input([side, side, 8]);
    let marks = graph.marks(evidence, prefix::UPSAMPLING, shape);
    graph.with_outputs([marks])
}

impl Graph {
    /// Codes of the coarse and of the fine level from outside.
    fn codes(&mut self, shape: &DsrShape, side: usize) -> [Value; 2] {
        STRIDES.map(|stride| self.input([side / stride, side / stride, shape.embedding]))
    }

    /// What [`evidence`] gives, and the probabilities in it.
    fn evidence(&mut self, shape: &DsrShape, side: usize) -> (Value, Value) {
        let image = self.input([side, side, 3]);
        let (encoded, coarse) = self.encoded(image, shape);
        let coarse = self.nearest_code(coarse, COARSE_CODES, shape.codes);
        let large = self.enlarged_codes(coarse, shape);
        let fine = self.fine_features(encoded, large, shape);
        let fine = self.nearest_code(fine, FINE_CODES, shape.codes);
        let general = self.general_image(large, fine, shape);
        let [_, _, object] = self.restored(coarse, fine, shape);
        let images = self.concat(vec![object, general]);
        let detected = self.marks(images, prefix::DETECTION, shape);
        (self.concat(vec![object, general, detected]), detected)
    }

    /// What [`encoder`] gives.
    fn encoded(&mut self, image: Value, shape: &DsrShape) -> (Value, Value) {
        let halving = |width| {
            Layer::dense(width, 4)
                .stride(2)
                .padding(1)
                .bias()
                .activation(Relu)
        };
        // the stacks begin with a ReLU, which belongs to the convolution before it
        let keeping = Layer::dense(shape.hidden, 3).bias().activation(Relu);
        let x = self.conv(image, "vq._encoder_b._conv_1", halving(shape.hidden / 2));
        let x = self.conv(x, "vq._encoder_b._conv_2", halving(shape.hidden));
        let x = self.conv(x, "vq._encoder_b._conv_3", keeping);
        let encoded = self.residual_stack(x, "vq._encoder_b", shape);
        let x = self.conv(encoded, "vq._encoder_t._conv_1", halving(shape.hidden));
        let x = self.conv(x, "vq._encoder_t._conv_2", keeping);
        let x = self.residual_stack(x, "vq._encoder_t", shape);
        let features = Layer::dense(shape.embedding, 1).bias();
        (encoded, self.conv(x, "vq._pre_vq_conv_top", features))
    }

    /// Codes of the coarse level at the size of the fine one.
    fn enlarged_codes(&mut self, coarse: Value, shape: &DsrShape) -> Value {
        self.conv_transpose(coarse, "vq.upsample_t", shape.embedding, DOUBLING)
    }

    /// Features of the fine level.
    fn fine_features(&mut self, encoded: Value, large: Value, shape: &DsrShape) -> Value {
        let both = self.concat(vec![encoded, large]);
        self.conv(
            both,
            "vq._pre_vq_conv_bot",
            Layer::dense(shape.embedding, 1).bias(),
        )
    }

    /// The general decoder, from enlarged codes of the coarse level and codes of the fine one.
    fn general_image(&mut self, large: Value, fine: Value, shape: &DsrShape) -> Value {
        let both = self.concat(vec![large, fine]);
        self.image(both, "vq._decoder_b", shape)
    }

    /// What [`restoration`] gives.
    fn restored(&mut self, coarse: Value, fine: Value, shape: &DsrShape) -> [Value; 3] {
        let good_coarse = self.restriction(coarse, prefix::RESTRICTION_COARSE, shape.embedding);
        let good_fine = self.restriction(fine, prefix::RESTRICTION_FINE, shape.embedding);
        let coarse = self.nearest_code(good_coarse, COARSE_CODES, shape.codes);
        let fine = self.nearest_code(good_fine, FINE_CODES, shape.codes);
        let large = self.enlarged_codes(coarse, shape);
        let both = self.concat(vec![large, fine]);
        [good_coarse, good_fine, self.object_image(both, shape)]
    }

    /// Subspace restriction: an autoencoder without skip connections.
    fn restriction(&mut self, codes: Value, prefix: &str, width: usize) -> Value {
        let mut x = codes;
        for (i, [first, second]) in (1..).zip([[1, 1], [2, 2], [4, 4]]) {
            if i > 1 {
                x = self.max_pool(x, Pool::HALVING);
            }
            let name = format!("{prefix}unet.encoder.block{i}");
            x = self.pair(Instance, x, &name, [first * width, second * width]);
        }
        for (i, factor) in (2..).zip([2, 1]) {
            x = self.enlarged(
                Instance,
                x,
                &format!("{prefix}unet.decoder.up{i}"),
                factor * width,
            );
            x = self.pair(
                Instance,
                x,
                &format!("{prefix}unet.decoder.db{i}"),
                [factor * width; 2],
            );
        }
        let last = Layer::dense(width, 3).bias();
        self.conv(x, format!("{prefix}unet.decoder.fin_out.0"), last)
    }

    /// The object-specific decoder.
    fn object_image(&mut self, codes: Value, shape: &DsrShape) -> Value {
        let named = |part: &str| format!("{}{part}", prefix::OBJECT);
        let width = 2 * shape.embedding;
        let x = self.pair(Instance, codes, &named("block1"), [width, 2 * width]);
        let x = self.max_pool(x, Pool::HALVING);
        let x = self.pair(Instance, x, &named("block2"), [2 * width, 4 * width]);
        let x = self.max_pool(x, Pool::HALVING);
        let mut x = self.conv(x, named("pre_vq_conv"), Layer::dense(MIDDLE, 1).bias());
        for block in ["upblock1", "upblock2"] {
            x = self.conv_transpose(x, named(block), MIDDLE, DOUBLING);
            x = self.activation(x, Relu);
        }
        self.image(x, prefix::OBJECT.trim_end_matches('.'), shape)
    }

    /// The end of both decoders, from a quarter of the input's side to an image without bounds.
    fn image(&mut self, x: Value, prefix: &str, shape: &DsrShape) -> Value {
        let first = Layer::dense(shape.hidden, 3).bias().activation(Relu);
        let x = self.conv(x, format!("{prefix}._conv_1"), first);
        let x = self.residual_stack(x, prefix, shape);
        let x = self.conv_transpose(x, format!("{prefix}._conv_trans_1"), shape.hidden / 2, DOUBLING);
        let x = self.activation(x, Relu);
        self.conv_transpose(x, format!("{prefix}._conv_trans_2"), 3, DOUBLING)
    }

    /// Residual layers of values that are not negative, then a `ReLU`. The reference's layers change their input in place, so
    /// the shortcut of each carries the `ReLU` of what came before.
    fn residual_stack(&mut self, mut x: Value, prefix: &str, shape: &DsrShape) -> Value {
        for layer in 0..RESIDUAL_LAYERS {
            let named = |at: usize| format!("{prefix}._residual_stack._layers.{layer}._block.{at}");
            let narrow = self.conv(x, named(1), Layer::dense(shape.residual, 3).activation(Relu));
            let change = self.conv(narrow, named(3), Layer::dense(shape.hidden, 1));
            x = self.add(x, change, Relu);
        }
        x
    }

    /// A U-Net with skip connections, to the probabilities of good and anomalous.
    fn marks(&mut self, shown: Value, prefix: &str, shape: &DsrShape) -> Value {
        let width = shape.unet;
        let mut x = shown;
        let mut levels = Vec::new();
        for (i, factor) in (1..).zip([1, 2, 4, 4]) {
            if i > 1 {
                x = self.max_pool(x, Pool::HALVING);
            }
            x = self.pair(
                Instance,
                x,
                &format!("{prefix}unet.encoder.block{i}"),
                [factor * width; 2],
            );
            levels.push(x);
        }
        levels.pop();
        for ((i, factor), level) in (1..).zip([4, 2, 1]).zip(levels.into_iter().rev()) {
            let up = self.enlarged(
                Instance,
                x,
                &format!("{prefix}unet.decoder.up{i}"),
                factor * width,
            );
            let joined = self.concat(vec![up, level]);
            x = self.pair(
                Instance,
                joined,
                &format!("{prefix}unet.decoder.db{i}"),
                [factor * width; 2],
            );
        }
        let logits = Layer::dense(2, 3).bias();
        let logits = self.conv(x, format!("{prefix}unet.decoder.fin_out.0"), logits);
        self.softmax(logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::cost::Cost;

    #[test]
    fn the_papers_networks_cost_as_much_as_published() {
        let parameters = |graph: Graph| Cost::of(&graph).parameters;
        // the reference counts sums for the codebooks, as many as codes, too
        let codebooks = 2 * 4096 * 128;
        assert_eq!(
            parameters(vq_vae(&DsrShape::PAPER, 256, true)),
            4_021_379 - codebooks
        );
        assert_eq!(parameters(detection(&DsrShape::PAPER, 256)), 5_610_690);
        assert_eq!(parameters(upsampling(&DsrShape::PAPER, 256)), 5_611_842);
        let of_general = codebooks + 128 * 128 * 16 + 128;
        assert_eq!(
            parameters(restoration(&DsrShape::PAPER, 256)),
            2 * 7_818_240 + 9_418_371 + of_general
        );
        let giga = |graph: Graph| Cost::of(&graph).macs as f64 / 1e9;
        assert!((giga(detection(&DsrShape::PAPER, 256)) - 44.996).abs() < 1e-3);
        assert!((giga(general_decoder(&DsrShape::PAPER, 256)) - 2.466 - 0.268).abs() < 1e-3);
        let all = giga(dsr(&DsrShape::PAPER, 256));
        assert!((127.0..129.0).contains(&all), "{all}");
    }
}
