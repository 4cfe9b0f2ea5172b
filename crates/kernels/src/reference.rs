//! The plain loops that the kernels must equal.

use crate::conv::Shape;
use crate::{Activation, Grid};

/// A convolution of `[outputs, inputs / groups, kernel, kernel]` weights.
pub(crate) fn conv(
    shape: &Shape,
    groups: usize,
    weights: &[f32],
    bias: &[f32],
    input: &Grid,
    shortcut: Option<&Grid>,
    activation: Activation,
) -> Grid {
    let mut out = Grid::zeros(shape.size(input.height), shape.size(input.width), shape.outputs);
    let (ins, outs) = (shape.inputs / groups, shape.outputs / groups);
    let [low, high] = activation.bounds();
    for y in 0..out.height {
        for x in 0..out.width {
            for o in 0..shape.outputs {
                let mut sum = f64::from(bias[o]);
                for i in 0..ins {
                    for ky in 0..shape.kernel {
                        for kx in 0..shape.kernel {
                            let from = |at: usize, k: usize, size: usize| {
                                let at = (at * shape.stride + k * shape.dilation) as isize
                                    - shape.padding[0] as isize;
                                usize::try_from(at).ok().filter(|&at| at < size)
                            };
                            if let (Some(iy), Some(ix)) =
                                (from(y, ky, input.height), from(x, kx, input.width))
                            {
                                let weight = weights[((o * ins + i) * shape.kernel + ky) * shape.kernel + kx];
                                let channel = o / outs * ins + i;
                                let value = input.data[(iy * input.width + ix) * input.channels + channel];
                                sum += f64::from(weight) * f64::from(value);
                            }
                        }
                    }
                }
                let at = (y * out.width + x) * shape.outputs + o;
                let shortcut = shortcut.map_or(0.0, |grid| grid.data[at]);
                out.data[at] = (sum as f32 + shortcut).clamp(low, high);
            }
        }
    }
    out
}

/// Bilinear resize with half-pixel centres.
pub(crate) fn bilinear(input: &Grid, height: usize, width: usize) -> Grid {
    let mut out = Grid::zeros(height, width, input.channels);
    for y in 0..height {
        for x in 0..width {
            let near = |at: usize, from: usize, to: usize| {
                let centre = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
                centre.clamp(0.0, (from - 1) as f64)
            };
            let (v, u) = (near(y, input.height, height), near(x, input.width, width));
            for c in 0..input.channels {
                let at = |y: f64, x: f64| {
                    let pixel = y as usize * input.width + x as usize;
                    f64::from(input.data[pixel * input.channels + c])
                };
                let across = |y: f64| at(y, u.floor()) * (1.0 - u.fract()) + at(y, u.ceil()) * u.fract();
                let value = across(v.floor()) * (1.0 - v.fract()) + across(v.ceil()) * v.fract();
                out.data[(y * width + x) * input.channels + c] = value as f32;
            }
        }
    }
    out
}

/// 3x3 maximum of stride 2 with a border of one.
pub(crate) fn max_pool(input: &Grid) -> Grid {
    let mut out = Grid::zeros(input.height.div_ceil(2), input.width.div_ceil(2), input.channels);
    for (i, value) in out.data.iter_mut().enumerate() {
        let (pixel, c) = (i / input.channels, i % input.channels);
        let (y, x) = ((pixel / out.width) as isize, (pixel % out.width) as isize);
        *value = f32::NEG_INFINITY;
        for v in 2 * y - 1..=2 * y + 1 {
            for u in 2 * x - 1..=2 * x + 1 {
                if (0..input.height as isize).contains(&v) && (0..input.width as isize).contains(&u) {
                    let at = (v as usize * input.width + u as usize) * input.channels + c;
                    *value = value.max(input.data[at]);
                }
            }
        }
    }
    out
}

/// Adds the gradients of a dense convolution with respect to input and weights.
pub(crate) fn conv_gradient(
    shape: &Shape,
    weights: &[f32],
    input: &Grid,
    gradients: &Grid,
    of_input: &mut Grid,
    of_weights: &mut [f32],
) {
    let kernel = shape.kernel;
    for (i, &gradient) in gradients.data.iter().enumerate() {
        let (pixel, output) = (i / gradients.channels, i % gradients.channels);
        for tap in 0..kernel * kernel {
            let y = shape.source(pixel / gradients.width, tap / kernel, input.height);
            let x = shape.source(pixel % gradients.width, tap % kernel, input.width);
            let (Some(y), Some(x)) = (y, x) else { continue };
            for channel in 0..shape.inputs {
                let at = (y * input.width + x) * shape.inputs + channel;
                let weight = (output * shape.inputs + channel) * kernel * kernel + tap;
                of_input.data[at] += gradient * weights[weight];
                of_weights[weight] += gradient * input.data[at];
            }
        }
    }
}
