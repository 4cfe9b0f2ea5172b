//! The losses of DRAEM (section 3 of the paper): squared error and structural similarity of the reconstruction, focal loss
//! of the anomaly's probability. Sums run in `f64`, because the variances of a window are small differences.

use destseg_kernels::Grid;

/// Side of the window in which structure is compared, and the standard deviation of its Gaussian (Wang et al., "Image
/// quality assessment: from error visibility to structural similarity", 2004).
const WINDOW: (usize, f64) = (11, 1.5);
/// Shares of the range of values, squared, that keep the quotients of structural similarity apart from zero.
const STABILISERS: [f64; 2] = [0.01 * 0.01, 0.03 * 0.03];
/// Exponent of the focal loss.
const GAMMA: i32 = 2;
/// What the focal loss takes from the right class and gives to the wrong one.
const SMOOTHING: f64 = 1e-5;

/// What a step's losses are; they are added with equal weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Mean squared error of the reconstruction.
    pub squared: f32,
    /// One less the mean structural similarity of reconstruction and clean image.
    pub similarity: f32,
    /// Focal loss of the probabilities.
    pub focal: f32,
}

impl Losses {
    /// Their sum, which is minimised.
    pub fn total(&self) -> f32 {
        self.squared + self.similarity + self.focal
    }
}

/// The losses of a batch and the gradients of their sum: with respect to the reconstructions `[side, side, 3]`, and to the
/// probabilities of good and anomalous, `[side, side, 2]`. `clean` are the images to be reconstructed, `masks` has a byte for
/// each pixel of each image, 0 where it is good.
pub fn losses(
    reconstructions: &[Grid],
    probabilities: &[Grid],
    clean: &[Grid],
    masks: &[Vec<u8>],
) -> (Losses, Vec<Vec<Grid>>) {
    let (squared, mut of_reconstructions) = squared(reconstructions, clean);
    let (similarity, of_similarity) = similarity(reconstructions, clean);
    for (sum, own) in of_reconstructions.iter_mut().zip(&of_similarity) {
        let values = sum.data.iter_mut().zip(&own.data);
        values.for_each(|(sum, own)| *sum += own);
    }
    let (focal, of_probabilities) = focal(probabilities, masks);
    let losses = Losses {
        squared,
        similarity,
        focal,
    };
    (losses, vec![of_reconstructions, of_probabilities])
}

/// A grid of the same size.
fn like(grid: &Grid, values: impl Iterator<Item = f32>) -> Grid {
    Grid {
        data: values.collect(),
        ..*grid
    }
}

fn count(grids: &[Grid]) -> f64 {
    grids.iter().map(|grid| grid.data.len()).sum::<usize>() as f64
}

/// The mean squared difference, and its gradient with respect to `images`.
pub fn squared(images: &[Grid], targets: &[Grid]) -> (f32, Vec<Grid>) {
    let (count, mut sum) = (count(images), 0.0);
    let gradients = images.iter().zip(targets).map(|(image, target)| {
        let differences = image.data.iter().zip(&target.data).map(|(a, b)| {
            let difference = f64::from(a - b);
            sum += difference * difference;
            (2.0 * difference / count) as f32
        });
        like(image, differences)
    });
    let gradients = gradients.collect();
    ((sum / count) as f32, gradients)
}

/// One less the mean structural similarity of `images` and `targets`, and its gradient with respect to `images`. Windows
/// reach beyond the edge, where they see zeros. As in the reference, the range of values follows from `images`.
pub fn similarity(images: &[Grid], targets: &[Grid]) -> (f32, Vec<Grid>) {
    let constants = STABILISERS.map(|share| share * range(images).powi(2));
    let (count, mut sum) = (count(images), 0.0);
    let gradients = images.iter().zip(targets).map(|(image, target)| {
        let mut gradient = Grid::zeros(image.height, image.width, image.channels);
        for channel in 0..image.channels {
            let plane = |grid: &Grid| Plane {
                width: grid.width,
                values: grid
                    .data
                    .iter()
                    .skip(channel)
                    .step_by(grid.channels)
                    .map(|&v| f64::from(v))
                    .collect(),
            };
            let (own, slopes) = plane(image).similarity(&plane(target), constants);
            sum += own;
            let values = gradient.data.iter_mut().skip(channel).step_by(image.channels);
            values
                .zip(slopes)
                .for_each(|(to, slope)| *to = (-slope / count) as f32);
        }
        gradient
    });
    let gradients = gradients.collect();
    ((1.0 - sum / count) as f32, gradients)
}

/// How far values can be apart: of bytes if one is above 128, else of [0, 1], or of [-1, 1] if one is below -0.5.
fn range(images: &[Grid]) -> f64 {
    let values = || images.iter().flat_map(|image| &image.data).copied();
    let highest = if values().any(|value| value > 128.0) {
        255.0
    } else {
        1.0
    };
    let lowest = if values().any(|value| value < -0.5) {
        -1.0
    } else {
        0.0
    };
    highest - lowest
}

/// One channel of an image.
struct Plane {
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    /// The sum of the similarities of all windows, and its gradient with respect to each of the plane's own values.
    fn similarity(&self, other: &Self, [c1, c2]: [f64; 2]) -> (f64, Vec<f64>) {
        let product = |a: &Self, b: &Self| a.with(a.values.iter().zip(&b.values).map(|(a, b)| a * b));
        let (means, others) = (self.blurred(), other.blurred());
        let (squares, other_squares) = (product(self, self).blurred(), product(other, other).blurred());
        let products = product(self, other).blurred();
        let mut sum = 0.0;
        let mut slopes: [Vec<f64>; 3] = Default::default();
        for at in 0..self.values.len() {
            let (a, b) = (means.values[at], others.values[at]);
            let (variance, other_variance) = (squares.values[at] - a * a, other_squares.values[at] - b * b);
            let above = [2.0 * a * b + c1, 2.0 * (products.values[at] - a * b) + c2];
            let below = [a * a + b * b + c1, variance + other_variance + c2];
            let below_both = below[0] * below[1];
            let own = above[0] * above[1] / below_both;
            sum += own;
            // with respect to the mean, to the mean square and to the mean product
            let of_mean = 2.0 * b * (above[1] - above[0]) / below_both
                - 2.0 * a * own * (1.0 / below[0] - 1.0 / below[1]);
            for (all, slope) in slopes
                .iter_mut()
                .zip([of_mean, -own / below[1], 2.0 * above[0] / below_both])
            {
                all.push(slope);
            }
        }
        // a symmetric filter is its own gradient
        let [of_mean, of_square, of_product] = slopes.map(|slopes| self.with(slopes.into_iter()).blurred());
        let slope = |at: usize| {
            of_mean.values[at]
                + 2.0 * self.values[at] * of_square.values[at]
                + other.values[at] * of_product.values[at]
        };
        (sum, (0..self.values.len()).map(slope).collect())
    }

    fn with(&self, values: impl Iterator<Item = f64>) -> Self {
        Self {
            width: self.width,
            values: values.collect(),
        }
    }

    /// The Gaussian mean of each window.
    fn blurred(&self) -> Self {
        self.blurred_along(1, self.width)
            .blurred_along(self.width, self.values.len() / self.width)
    }

    /// The same along one axis: `length` values at a distance of `stride`.
    fn blurred_along(&self, stride: usize, length: usize) -> Self {
        let reach = WINDOW.0 / 2;
        let weight = |distance: usize| (-(distance as f64).powi(2) / (2.0 * WINDOW.1 * WINDOW.1)).exp();
        let total: f64 = (0..WINDOW.0).map(|place| weight(place.abs_diff(reach))).sum();
        let weights: Vec<f64> = (0..=reach).map(|distance| weight(distance) / total).collect();
        let mut blurred: Vec<f64> = self.values.iter().map(|value| value * weights[0]).collect();
        let lines = self.values.chunks_exact(stride * length);
        for (values, blurred) in lines.zip(blurred.chunks_exact_mut(stride * length)) {
            for (distance, weight) in weights.iter().enumerate().take(length).skip(1) {
                let shift = distance * stride;
                let rest = values.len() - shift;
                let add = |(to, from): (&mut f64, &f64)| *to += weight * from;
                blurred[shift..].iter_mut().zip(&values[..rest]).for_each(add);
                blurred[..rest].iter_mut().zip(&values[shift..]).for_each(add);
            }
        }
        self.with(blurred.into_iter())
    }
}

/// The mean focal loss (Lin et al., ICCV 2017) of probabilities of good and anomalous pixels, and its gradient with respect
/// to these.
pub fn focal(probabilities: &[Grid], masks: &[Vec<u8>]) -> (f32, Vec<Grid>) {
    let pixels = probabilities.iter().map(Grid::pixels).sum::<usize>() as f64;
    let mut sum = 0.0;
    let gradients = probabilities.iter().zip(masks).map(|(probabilities, mask)| {
        let pairs = probabilities.data.as_chunks::<2>().0.iter().zip(mask);
        let slopes = pairs.flat_map(|(pair, &mark)| {
            let target = usize::from(mark != 0);
            let shares = [0, 1].map(|class| {
                if class == target {
                    1.0 - SMOOTHING
                } else {
                    SMOOTHING
                }
            });
            let right = shares[0] * f64::from(pair[0]) + shares[1] * f64::from(pair[1]) + SMOOTHING;
            let wrong = 1.0 - right;
            sum -= wrong.powi(GAMMA) * right.ln();
            let slope = f64::from(GAMMA) * wrong.powi(GAMMA - 1) * right.ln() - wrong.powi(GAMMA) / right;
            shares.map(|share| (share * slope / pixels) as f32)
        });
        like(probabilities, slopes)
    });
    let gradients = gradients.collect();
    ((sum / pixels) as f32, gradients)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The probabilities of one pixel, and whether it is anomalous.
    fn of_pixel(anomalous: f32, mark: u8) -> f32 {
        let mut pixel = Grid::zeros(1, 1, 2);
        pixel.data = vec![1.0 - anomalous, anomalous];
        focal(&[pixel], &[vec![mark]]).0
    }

    #[test]
    fn the_focal_loss_of_single_pixels_is_the_references() {
        for (anomalous, mark, expected) in [
            (0.5, 1, 0.17327),
            (0.9, 1, 0.001_053_5),
            (0.9, 0, 1.864_87),
            (1.0, 1, 0.0),
            (0.0, 1, 10.819_35),
        ] {
            let ours = of_pixel(anomalous, mark);
            assert!(
                (ours - expected).abs() < 1e-5 * expected.max(1.0),
                "{ours} is not {expected}"
            );
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_losses() {
        let grid = |seed, channels| {
            let mut grid = crate::test_support::grid(seed, [12, 9, channels]);
            grid.data.iter_mut().for_each(|value| *value = 0.5 + 0.4 * *value);
            grid
        };
        let (image, target, pairs) = (grid(1, 3), grid(2, 3), grid(3, 2));
        let mask: Vec<u8> = (0..12 * 9).map(|place| u8::from(place % 3 == 0)).collect();
        let all = |image: &Grid, pairs: &Grid| {
            let batch = |grid: &Grid| vec![grid.clone()];
            losses(
                &batch(image),
                &batch(pairs),
                &batch(&target),
                std::slice::from_ref(&mask),
            )
        };
        let (_, gradients) = all(&image, &pairs);
        const STEP: f32 = 0.01;
        for place in [0, 50, 107] {
            for (output, gradients) in gradients.iter().enumerate() {
                let at = |change: f32| {
                    let (mut image, mut pairs) = (image.clone(), pairs.clone());
                    let changed = if output == 0 { &mut image } else { &mut pairs };
                    changed.data[place] += change;
                    let (losses, _) = all(&image, &pairs);
                    losses.total()
                };
                let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                let ours = gradients[0].data[place];
                assert!(
                    (ours - slope).abs() < 2e-5,
                    "{output}, {place}: {ours} is not {slope}"
                );
            }
        }
    }
}
