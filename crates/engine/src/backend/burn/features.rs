//! What teacher and student give for an image, and how far they disagree.

use burn::tensor::Tensor;

use super::upsample::bilinear;

/// Feature maps at 1/4, 1/8 and 1/16 of the image's side, `[batch, channels, height, width]`.
#[derive(Debug, Clone)]
pub struct Features(pub [Tensor<4>; 3]);

impl Features {
    /// Scales every pixel's feature vector to length 1.
    #[must_use]
    pub fn normalise(self) -> Self {
        Self(self.0.map(|level| {
            // the gradient of a square root at 0 is infinite: keep a little inside
            const TINY: f64 = 1e-24;
            let length = level.clone().square().sum_dim(1).add_scalar(TINY).sqrt();
            level / length
        }))
    }

    /// What these features have beyond another network's.
    #[must_use]
    pub fn difference(self, other: Self) -> [Tensor<4>; 3] {
        let [a1, a2, a3] = self.0;
        let [b1, b2, b3] = other.0;
        [a1 - b1, a2 - b2, a3 - b3]
    }

    /// Elementwise product with another network's features; both normalised.
    #[must_use]
    pub fn similarity(self, other: Self) -> Similarity {
        let [a1, a2, a3] = self.0;
        let [b1, b2, b3] = other.0;
        Similarity([a1 * b1, a2 * b2, a3 * b3])
    }
}

/// The "DeST" map: product of the three levels' distances at the finest one's size.
pub(super) fn dest_map(distances: [Tensor<4>; 3]) -> Tensor<4> {
    let [fine, middle, coarse] = distances;
    let [_, _, height, width] = fine.dims();
    fine * bilinear(middle, [height, width]) * bilinear(coarse, [height, width])
}

/// Products of normalised teacher and student features at the three levels.
#[derive(Debug, Clone)]
pub struct Similarity(pub [Tensor<4>; 3]);

impl Similarity {
    /// Cosine distance per pixel at each level, `[batch, 1, height, width]` in [0, 2].
    pub fn distances(&self) -> [Tensor<4>; 3] {
        self.0
            .clone()
            .map(|product| product.sum_dim(1).neg().add_scalar(1.0))
    }

    /// The segmentation network's input: minus the products (the sign is the reference code's), and
    /// behind them, level by level, what else there is to see.
    pub fn fusion_input(self, more: Vec<Tensor<4>>) -> Levels {
        let mut more = more.into_iter();
        Levels(self.0.map(|product| match more.next() {
            Some(more) => Tensor::cat(vec![product.neg(), more], 1),
            None => product.neg(),
        }))
    }
}

/// What the segmentation network sees of the three levels, `[batch, channels, height, width]`, each at
/// its own resolution.
#[derive(Debug, Clone)]
pub struct Levels(pub [Tensor<4>; 3]);
