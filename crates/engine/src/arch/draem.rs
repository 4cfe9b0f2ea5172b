//! The two networks of DRAEM (Zavrtanik et al., ICCV 2021, section 3): one paints the image as it would be without a
//! defect, the other compares both and marks the defect. They are trained together, so they are one graph. The names are
//! those of the reference implementation's two state dicts, which share none.

use super::blocks::Norm::Batch;
use super::graph::{Graph, Layer, Pool, Value};

/// From an image `[side, side, 3]` in [0, 1] to its reconstruction, of the same size and without bounds, and to the
/// probabilities of good and anomalous pixels, `[side, side, 2]`.
///
/// `widths` are the channels of the first block of the reconstructive and of the discriminative network, 128 and 64 in the
/// paper; the others follow from them. `side` is a multiple of 32.
pub fn draem([reconstructive, discriminative]: [usize; 2], side: usize) -> Graph {
    let mut graph = Graph::default();
    let image = graph.input([side, side, 3]);
    let reconstruction = graph.reconstructive(image, reconstructive);
    let both = graph.concat(vec![reconstruction, image]);
    let logits = graph.discriminative(both, discriminative);
    let probabilities = graph.softmax(logits);
    graph.with_outputs([reconstruction, probabilities])
}

impl Graph {
    /// An autoencoder without skip connections: what it did not learn from good images does not get through.
    fn reconstructive(&mut self, image: Value, width: usize) -> Value {
        let mut x = image;
        for (i, factor) in (1..).zip([1, 2, 4, 8, 8]) {
            if i > 1 {
                x = self.max_pool(x, Pool::HALVING);
            }
            x = self.pair(Batch, x, &format!("encoder.block{i}"), [factor * width; 2]);
        }
        for (i, [factor, next]) in (1..).zip([[8, 4], [4, 2], [2, 1], [1, 1]]) {
            x = self.enlarged(Batch, x, &format!("decoder.up{i}"), factor * width);
            x = self.pair(
                Batch,
                x,
                &format!("decoder.db{i}"),
                [factor * width, next * width],
            );
        }
        self.conv(x, "decoder.fin_out.0", Layer::dense(3, 3).bias())
    }

    /// A network with skip connections, from reconstruction and image to the logits of good and anomalous.
    fn discriminative(&mut self, both: Value, width: usize) -> Value {
        let mut x = both;
        let mut levels = Vec::new();
        for (i, factor) in (1..).zip([1, 2, 4, 8, 8, 8]) {
            if i > 1 {
                x = self.max_pool(x, Pool::HALVING);
            }
            x = self.pair(
                Batch,
                x,
                &format!("encoder_segment.block{i}"),
                [factor * width; 2],
            );
            levels.push(x);
        }
        levels.pop();
        // channels after the enlargement, and after the level was joined to it
        let stages = [("_b", 8, 8), ("1", 4, 4), ("2", 2, 2), ("3", 1, 1), ("4", 1, 1)];
        for ((stage, before, after), level) in stages.into_iter().zip(levels.into_iter().rev()) {
            let up = self.enlarged(Batch, x, &format!("decoder_segment.up{stage}"), before * width);
            let joined = self.concat(vec![up, level]);
            x = self.pair(
                Batch,
                joined,
                &format!("decoder_segment.db{stage}"),
                [after * width; 2],
            );
        }
        self.conv(x, "decoder_segment.fin_out.0", Layer::dense(2, 3).bias())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::cost::Cost;

    #[test]
    fn the_papers_networks_have_as_many_parameters_as_published() {
        let cost = Cost::of(&draem([128, 64], 256));
        assert_eq!(cost.parameters, 69_048_579 + 28_374_146);
        assert!((cost.macs as f64 / 1e9 - (159.903_646 + 38.050_725_9)).abs() < 1e-3);
    }
}
