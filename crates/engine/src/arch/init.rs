//! Initial weights, as the reference draws them (its section "initialisation"), from a seed and the tensor's name alone:
//! the same on every device and in a browser.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::dsr::prefix;
use super::graph::{Graph, Op};
use super::weights::{Array, Weights};

/// Standard deviation of the first weights of DRAEM, and of two networks of DSR.
const NARROW_STD: f64 = 0.02;

/// How the convolutions of a network start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Kaiming normal by fan-out for all convolutions; the second batch norm of each encoder block
    /// starts at 0.
    Student,
    /// The same, but all batch norms start at 1 (torchvision's default, STPM).
    PlainStudent,
    /// Kaiming normal, but PyTorch's default (uniform by fan-in) for the head.
    Segmentation,
    /// Normal with a standard deviation of 0.02 for all convolutions, and for the scales of batch norms around 1.
    Draem,
    /// The same for object-specific decoder and anomaly detection, PyTorch's default for the other networks; codebooks start
    /// at 0.
    Dsr,
}

impl Scheme {
    /// Whether a convolution starts as PyTorch's do.
    fn is_uniform(self, name: &str) -> bool {
        match self {
            Self::Student | Self::PlainStudent => name.starts_with("projections."),
            Self::Segmentation => name.starts_with("head."),
            Self::Draem => false,
            Self::Dsr => ![prefix::OBJECT, prefix::DETECTION]
                .into_iter()
                .any(|own| name.starts_with(own)),
        }
    }
}

/// Zeros for every tensor of a network, normalisations that change nothing.
pub fn zeros(graph: &Graph) -> Weights {
    let mut weights = Weights::default();
    for (name, shape) in graph.tensors("").iter() {
        let is_scale = name.ends_with(".running_var");
        weights.insert(name.to_owned(), filled(shape, f32::from(u8::from(is_scale))));
    }
    for (_, node) in graph.nodes() {
        if let Op::BatchNorm { name, .. } = &node.op {
            weights.insert(format!("{name}.weight"), filled(&node.size[2..], 1.0));
        }
    }
    weights
}

/// Draws all weights of a network.
pub fn initialise(graph: &Graph, scheme: Scheme, seed: u64) -> Weights {
    let mut weights = zeros(graph);
    for (_, node) in graph.nodes() {
        let (name, shape, has_bias) = match &node.op {
            Op::Conv(conv) => (&conv.name, conv.weight_shape(), conv.bias),
            Op::ConvTranspose(conv) => {
                let [inputs, outputs] = conv.channels;
                (&conv.name, [inputs, outputs, conv.kernel, conv.kernel], true)
            }
            _ => continue,
        };
        // of a transposed convolution PyTorch takes the outputs for inputs
        let [first, second, height, width] = shape;
        let fan_in = second * height * width;
        let count = shape.iter().product();
        let weight = format!("{name}.weight");
        let mut rng = rng(seed, &weight);
        let data = if scheme.is_uniform(name) {
            uniform_values(&mut rng, fan_in, count)
        } else {
            let std = match scheme {
                Scheme::Draem | Scheme::Dsr => NARROW_STD,
                _ => (2.0 / (first * height * width) as f64).sqrt(),
            };
            (0..count).map(|_| (normal(&mut rng) * std) as f32).collect()
        };
        let shape = shape.to_vec();
        weights.insert(weight, Array { shape, data });
        if has_bias {
            let [.., outputs] = node.size;
            let bias = format!("{name}.bias");
            let data = uniform_values(&mut self::rng(seed, &bias), fan_in, outputs);
            let shape = vec![outputs];
            weights.insert(bias, Array { shape, data });
        }
    }
    for (_, node) in graph.nodes() {
        let Op::BatchNorm { name, .. } = &node.op else {
            continue;
        };
        let scales = format!("{name}.weight");
        let is_second = name.starts_with("encoder.layer") && name.ends_with(".bn2");
        match scheme {
            Scheme::Student if is_second => weights.insert(scales, filled(&node.size[2..], 0.0)),
            Scheme::Draem => {
                let mut rng = rng(seed, &scales);
                let mut own = filled(&node.size[2..], 1.0);
                let drawn = own.data.iter_mut();
                drawn.for_each(|scale| *scale += (normal(&mut rng) * NARROW_STD) as f32);
                weights.insert(scales, own);
            }
            _ => {}
        }
    }
    weights
}

fn filled(shape: &[usize], value: f32) -> Array {
    Array {
        shape: shape.to_vec(),
        data: vec![value; shape.iter().product()],
    }
}

fn rng(seed: u64, name: &str) -> Pcg64 {
    // FNV-1a of the name
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Pcg64::seed_from_u64(seed ^ hash)
}

fn uniform_values(rng: &mut Pcg64, fan_in: usize, count: usize) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    (0..count)
        .map(|_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32)
        .collect()
}

/// A standard normal number (Box and Muller, 1958), by `libm` so that every platform agrees.
fn normal(rng: &mut Pcg64) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - rng.random::<f64>()));
    radius * libm::cos(std::f64::consts::TAU * rng.random::<f64>())
}
