//! First weights, as the reference draws them (its section "initialisation"), from a seed and the
//! tensor's name alone: the same on every device and in a browser.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::names::{fnv1a, key, param_id};

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
}

/// Draws all weights of `module`.
pub fn initialise<M: Module>(module: M, scheme: Scheme, seed: u64) -> M {
    module.map(&mut Initialiser {
        scheme,
        seed,
        path: Vec::new(),
        fan_in: 1,
    })
}

struct Initialiser {
    scheme: Scheme,
    seed: u64,
    path: Vec<String>,
    /// Of the convolution visited last; its bias, visited next, is drawn from the same range.
    fan_in: usize,
}

impl ModuleMapper for Initialiser {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = key(&self.path);
        let shape = param.lazy_shape().to_vec();
        let count: usize = shape.iter().product();
        let own = self.path.last().map_or("", String::as_str);
        let uniform = match self.scheme {
            Scheme::Student | Scheme::PlainStudent => name.starts_with("projections."),
            Scheme::Segmentation => name.starts_with("head."),
        };
        let mut rng = Pcg64::seed_from_u64(self.seed ^ fnv1a(&name));
        let data: Vec<f32> = if let [output, input, height, width] = shape[..] {
            self.fan_in = input * height * width;
            if uniform {
                uniform_values(&mut rng, self.fan_in, count)
            } else {
                let deviation = (2.0 / (output * height * width) as f64).sqrt();
                (0..count)
                    .map(|_| (normal(&mut rng) * deviation) as f32)
                    .collect()
            }
        } else if own == "bias" {
            uniform_values(&mut rng, self.fan_in, count)
        } else if self.scheme == Scheme::Student
            && own == "gamma"
            && name.starts_with("encoder.layer")
            && name.contains(".bn2.")
        {
            vec![0.0; count]
        } else {
            let value = param.val();
            return param.transform_for_load(value, param_id(&name));
        };
        let device = param.lazy_device();
        let value = Tensor::from_data(TensorData::new(data, shape), &device);
        param.transform_for_load(value, param_id(&name))
    }
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
