//! Our convolutions against a plain loop, on the CPU (Burn's) and, where there is a graphics adapter, on the GPU (ours).

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use super::{Activation, convolve};
use crate::backend::burn::gpu::GPU;
use crate::backend::burn::upsample;

/// Sizes of a convolution.
#[derive(Debug, Clone)]
struct Case {
    batch: usize,
    channels: usize,
    outputs: usize,
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    dilation: usize,
    padding: [(usize, usize); 2],
    depthwise: bool,
    bias: bool,
    /// Whether the input lies as Burn uploads it, channels first.
    channels_first: bool,
    after: Activation,
}

/// Numbers without meaning in [-1, 1).
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i + seed) * 7919 % 2017) as f32 / 1008.5 - 1.0)
        .collect()
}

impl Case {
    fn groups(&self) -> usize {
        if self.depthwise { self.channels } else { 1 }
    }

    fn outputs(&self) -> usize {
        if self.depthwise {
            self.channels
        } else {
            self.outputs
        }
    }

    fn input(&self) -> Vec<f32> {
        numbers(self.batch * self.channels * self.size[0] * self.size[1], 1)
    }

    fn weights(&self) -> Vec<f32> {
        let inputs = self.channels / self.groups();
        numbers(self.outputs() * inputs * self.kernel * self.kernel, 2)
    }

    fn biases(&self) -> Vec<f32> {
        numbers(self.outputs() * usize::from(self.bias), 3)
    }

    /// Rows or columns of the output.
    fn written(&self, axis: usize) -> usize {
        let (before, after) = self.padding[axis];
        (self.size[axis] + before + after - self.dilation * (self.kernel - 1) - 1) / self.stride + 1
    }

    /// The plain loop, and the sum of magnitudes that each output is made of.
    fn reference(&self) -> Vec<(f32, f32)> {
        let (input, weights, biases) = (self.input(), self.weights(), self.biases());
        let [height, width] = self.size;
        let inputs = self.channels / self.groups();
        let mut result = Vec::new();
        for image in 0..self.batch {
            for output in 0..self.outputs() {
                let first = if self.depthwise { output } else { 0 };
                for (y, x) in (0..self.written(0)).flat_map(|y| (0..self.written(1)).map(move |x| (y, x))) {
                    let start = biases.get(output).copied().unwrap_or(0.0);
                    let (mut sum, mut magnitude) = (f64::from(start), 1.0);
                    for channel in 0..inputs {
                        for (i, j) in (0..self.kernel).flat_map(|i| (0..self.kernel).map(move |j| (i, j))) {
                            let row = (y * self.stride + i * self.dilation).checked_sub(self.padding[0].0);
                            let column = (x * self.stride + j * self.dilation).checked_sub(self.padding[1].0);
                            let (Some(row), Some(column)) = (row, column) else {
                                continue;
                            };
                            if row < height && column < width {
                                let at = (image * self.channels + first + channel) * height + row;
                                let weight = (output * inputs + channel) * self.kernel + i;
                                let product = f64::from(input[at * width + column])
                                    * f64::from(weights[weight * self.kernel + j]);
                                sum += product;
                                magnitude += product.abs();
                            }
                        }
                    }
                    let sum = match self.after {
                        Activation::Linear => sum,
                        Activation::Relu => sum.max(0.0),
                        Activation::Relu6 => sum.clamp(0.0, 6.0),
                    };
                    result.push((sum as f32, magnitude as f32));
                }
            }
        }
        result
    }

    fn on(&self, device: &Device) -> Vec<f32> {
        let (input, weights) = self.tensors(device);
        let output = self.convolve(input, weights, device);
        output.into_data().try_to_vec().expect("is f32")
    }

    /// The gradients of input and weights where each output counts differently.
    fn gradients_on(&self, device: &Device) -> [Vec<f32>; 2] {
        let device = device.clone().autodiff();
        let (input, weights) = self.tensors(&device);
        let (input, weights) = (input.detach().require_grad(), weights.require_grad());
        let output = self.convolve(input.clone(), weights.clone(), &device);
        let shape = output.dims();
        let output_gradients = TensorData::new(numbers(shape.iter().product(), 3), shape);
        let gradients = (output * Tensor::from_data(output_gradients, &device))
            .sum()
            .backward();
        [input, weights].map(|tensor| {
            let gradient = tensor.grad(&gradients).expect("is recorded");
            gradient.into_data().try_to_vec().expect("is f32")
        })
    }

    fn tensors(&self, device: &Device) -> (Tensor<4>, Tensor<4>) {
        let [height, width] = self.size;
        let shape = [self.batch, self.channels, height, width];
        let mut input = Tensor::<4>::from_data(TensorData::new(self.input(), shape), device);
        if !self.channels_first {
            // the same values in another order in memory
            let packed = input
                .permute([0, 2, 3, 1])
                .reshape([self.batch * height * width * self.channels]);
            input = packed
                .reshape([self.batch, height, width, self.channels])
                .permute([0, 3, 1, 2]);
        }
        let shape = [
            self.outputs(),
            self.channels / self.groups(),
            self.kernel,
            self.kernel,
        ];
        let weights = Tensor::from_data(TensorData::new(self.weights(), shape), device);
        (input, weights)
    }

    fn convolve(&self, input: Tensor<4>, weights: Tensor<4>, device: &Device) -> Tensor<4> {
        let bias = TensorData::new(self.biases(), [self.outputs() * usize::from(self.bias)]);
        let bias = self.bias.then(|| Tensor::from_data(bias, device));
        let options =
            ConvOptions::new_with_padding([self.stride; 2], self.padding, [self.dilation; 2], self.groups());
        let output = convolve(input, weights, bias, options, self.after);
        assert_eq!(
            output.dims(),
            [self.batch, self.outputs(), self.written(0), self.written(1)]
        );
        output
    }

    /// Fails where an output is further from the plain loop's than rounding explains: Winograd's way mixes the
    /// neighbours' values in, so the largest sum of magnitudes counts.
    fn check(&self, device: &Device) {
        let reference = self.reference();
        let found = self.on(device);
        assert_eq!(found.len(), reference.len());
        let largest = reference
            .iter()
            .fold(1.0, |most, &(_, magnitude)| magnitude.max(most));
        for (found, (expected, _)) in found.iter().zip(&reference) {
            assert!(
                (found - expected).abs() <= 1e-5 * largest,
                "{found} instead of {expected} (of {largest}) in {self:?}"
            );
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..3usize, 1..40usize, 1..9usize, [1..40usize, 1..40usize]);
    let kernel = (
        prop_oneof![Just(1usize), Just(3), Just(3), Just(5), Just(7)],
        1..3usize,
        1..7usize,
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3usize);
    (sizes, kernel, [0..3usize, 0..3usize, 0..3usize, 0..3usize], flags).prop_map(
        |((batch, channels, outputs, size), (kernel, stride, dilation), extra, flags)| {
            let (depthwise, bias, channels_first, after) = flags;
            let side = dilation * (kernel / 2);
            Case {
                batch,
                channels: if depthwise {
                    4 * channels.div_ceil(4)
                } else {
                    channels
                },
                outputs: 4 * outputs,
                size: size.map(|size| size.max(dilation * (kernel - 1) + 1)),
                kernel,
                stride,
                dilation,
                padding: [
                    (side + extra[0], side + extra[1]),
                    (side + extra[2], side + extra[3]),
                ],
                depthwise,
                bias,
                channels_first,
                after: [Activation::Linear, Activation::Relu, Activation::Relu6][after],
            }
        },
    )
}

/// What the networks have: Winograd's way with and without dilation, steps of two, one channel alone.
#[test]
fn the_networks_convolutions_are_the_plain_loop() {
    let plain = Case {
        batch: 2,
        channels: 24,
        outputs: 40,
        size: [32, 30],
        kernel: 3,
        stride: 1,
        dilation: 1,
        padding: [(1, 1); 2],
        depthwise: false,
        bias: true,
        channels_first: false,
        after: Activation::Relu,
    };
    let dilated = |dilation| Case {
        dilation,
        padding: [(dilation, dilation); 2],
        ..plain.clone()
    };
    let stem = Case {
        channels: 3,
        kernel: 7,
        stride: 2,
        padding: [(3, 3); 2],
        channels_first: true,
        ..plain.clone()
    };
    let depthwise = Case {
        depthwise: true,
        stride: 2,
        padding: [(0, 1); 2],
        after: Activation::Relu6,
        ..plain.clone()
    };
    let pointwise = Case {
        kernel: 1,
        padding: [(0, 0); 2],
        bias: false,
        after: Activation::Linear,
        ..plain.clone()
    };
    for case in [plain.clone(), dilated(3), dilated(6), stem, depthwise, pointwise] {
        case.check(&Device::flex());
        if let Some(gpu) = &*GPU {
            case.check(gpu);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of the CPU's, which is tested against Burn's own.
    #[test]
    fn resizing_on_a_gpu_is_the_cpus(
        shape in [1..3usize, 1..9usize, 1..20usize, 1..20usize],
        size in [1..50usize, 1..50usize],
        channels_first in any::<bool>(),
    ) {
        if let Some(gpu) = &*GPU {
            let [batch, channels, height, width] = shape;
            let values = || TensorData::new(numbers(shape.iter().product(), 3), shape);
            let on = |device: &Device| {
                let image = Tensor::<4>::from_data(values(), device);
                let image = if channels_first {
                    image
                } else {
                    image.reshape([batch, height, width, channels]).permute([0, 3, 1, 2])
                };
                upsample::bilinear(image, size).into_data().try_to_vec::<f32>().expect("is f32")
            };
            for (own, expected) in on(gpu).iter().zip(on(&Device::flex())) {
                prop_assert!((own - expected).abs() < 1e-5, "{own} instead of {expected}");
            }
        }
    }

    #[test]
    fn gradients_on_a_gpu_are_burns_on_the_cpu(case in cases()) {
        let Some(gpu) = &*GPU else { return Ok(()) };
        // activations are Burn's, and where they bend rounding decides
        let case = Case { after: Activation::Linear, ..case };
        let found = case.gradients_on(gpu);
        for (found, expected) in found.iter().zip(case.gradients_on(&Device::flex())) {
            let largest = expected.iter().fold(1.0, |most: f32, value| most.max(value.abs()));
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                prop_assert!(
                    (found - expected).abs() <= 1e-4 * largest,
                    "{found} instead of {expected} (of {largest})"
                );
            }
        }
    }

    #[test]
    fn any_convolution_is_the_plain_loop(case in cases()) {
        case.check(&Device::flex());
        if let Some(gpu) = &*GPU {
            case.check(gpu);
        }
    }
}
