//! The operations, forward and backward.

use destseg_kernels::dense::Dense;
use destseg_kernels::gradient::{of_weights, spread, transposed};
use destseg_kernels::nearest::Rows;
use destseg_kernels::norm::{self, Norm};
use destseg_kernels::{Activation, Finish, Grid, for_each};

use super::{Batch, Entry, Gradients, Tape};
use crate::Result;
use crate::arch::graph::{Conv, ConvTranspose, Corners, Pool};
use crate::arch::weights::Array;
use crate::arch::{BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM};
use crate::backend::cpu::operations::{
    self, Transposed, activate, copy_channels, instance_norm_gradient, max_pool_gradient, nearest_code,
    repeat, softmax_gradient,
};
use crate::backend::cpu::weights::{Kernel, tensor};

impl Tape<'_> {
    pub(super) fn conv(&mut self, x: Entry, conv: &Conv) -> Result<Entry> {
        let [height, width, _] = self.value(x).size();
        let shape = conv.shape;
        let kernel = Kernel::of(conv, self.weights)?;
        if conv.depthwise {
            return Err(crate::Error::Config(format!(
                "the depthwise convolution `{}` cannot be trained on the CPU",
                conv.name
            )));
        }
        let dense = Dense::new(shape, shape.size(height), &kernel.weights, kernel.bias);
        let mut out = self.grids(x, [shape.size(height), shape.size(width), shape.outputs]);
        convolve(&dense, self.value(x), &mut out);
        let is_tracked = self.is_tracked(x);
        let (own, weights) = (conv.clone(), kernel.weights);
        let backward = move |values: &[Batch], gradient: Batch, all: &mut Gradients| {
            let of_kernel = of_weights(&shape, &values[x.0], &gradient);
            let (name, of_shape) = (format!("{}.weight", own.name), own.weight_shape());
            match own.slice {
                Some([first, _]) => all.set_columns(name, &of_shape, first * shape.taps(), &of_kernel),
                None => all.set(name, &of_shape, of_kernel),
            }
            if own.bias {
                all.set(
                    format!("{}.bias", own.name),
                    &[shape.outputs],
                    norm::sums(&gradient),
                );
            }
            if is_tracked {
                let (shape, weights) = transposed(&shape, &weights);
                let dense = Dense::new(shape, height, &weights, vec![0.0; shape.outputs]);
                let gradient = match own.shape.stride {
                    1 => gradient,
                    stride => {
                        let mut wide = gradient.beside([height, width, shape.inputs]);
                        for_each(gradient.iter().zip(wide.iter_mut()), |(own, wide)| {
                            spread(own, stride, wide);
                        });
                        wide
                    }
                };
                let mut back = gradient.beside([height, width, shape.outputs]);
                convolve(&dense, &gradient, &mut back);
                all.add(x, back);
            }
        };
        let out = self.push(out, Some(Box::new(backward)));
        Ok(self.activation(out, conv.activation))
    }

    pub(super) fn conv_transpose(
        &mut self,
        x: Entry,
        conv: &ConvTranspose,
        size: [usize; 2],
    ) -> Result<Entry> {
        let [inputs, outputs] = conv.channels;
        let (weight_name, bias_name) = (format!("{}.weight", conv.name), format!("{}.bias", conv.name));
        let of_shape = [inputs, outputs, conv.kernel, conv.kernel];
        let weights = tensor(self.weights, &weight_name, &of_shape)?.data.clone();
        let bias = tensor(self.weights, &bias_name, &[outputs])?.data.clone();
        let own = Transposed::new(conv, &weights, bias, size[0]);
        let mut out = self.grids(x, [size[0], size[1], outputs]);
        for_each(self.value(x).iter().zip(out.iter_mut()), |(input, out)| {
            own.run(input, out);
        });
        let (shape, is_tracked) = (Transposed::shape(conv), self.is_tracked(x));
        let [height, width, _] = self.value(x).size();
        let backward = move |values: &[Batch], gradient: Batch, all: &mut Gradients| {
            all.set(
                weight_name,
                &of_shape,
                of_weights(&shape, &gradient, &values[x.0]),
            );
            all.set(bias_name, &[outputs], norm::sums(&gradient));
            if is_tracked {
                let dense = Dense::new(shape, height, &weights, vec![0.0; inputs]);
                let mut back = gradient.beside([height, width, inputs]);
                convolve(&dense, &gradient, &mut back);
                all.add(x, back);
            }
        };
        Ok(self.push(out, Some(Box::new(backward))))
    }

    /// Normalisation by the batch's own statistics.
    pub(super) fn batch_norm(&mut self, x: Entry, name: &str, activation: Activation) -> Result<Entry> {
        let get =
            |part: &str| Ok::<_, crate::Error>(self.weights.get(&format!("{name}.{part}"))?.data.clone());
        let (gamma, beta) = (get("weight")?, get("bias")?);
        let input = self.value(x);
        let count = input.iter().map(Grid::pixels).sum::<usize>() as f32;
        let mean: Vec<f32> = norm::sums(input).iter().map(|sum| sum / count).collect();
        let squares = norm::squares(input, &mean);
        let std = squares
            .iter()
            .map(|sum| (sum / count + BATCH_NORM_EPSILON as f32).sqrt());
        let inverse = std.map(f32::recip).collect();
        let unbiased: Vec<f32> = squares.iter().map(|sum| sum / (count - 1.0).max(1.0)).collect();
        for (part, new) in [("running_mean", &mean), ("running_var", &unbiased)] {
            let old = get(part)?;
            let keep = |(old, new): (&f32, &f32)| {
                old * (1.0 - BATCH_NORM_MOMENTUM as f32) + new * BATCH_NORM_MOMENTUM as f32
            };
            let data = old.iter().zip(new).map(keep).collect();
            let shape = vec![old.len()];
            self.statistics
                .insert(format!("{name}.{part}"), Array { shape, data });
        }
        let norm = Norm {
            mean,
            inverse,
            gamma,
            beta,
        };
        // the kernel's own `ReLU` saves a pass; any other activation is an entry of its own
        let relu = activation == Activation::Relu;
        let mut out = self.grids(x, self.value(x).size());
        norm.run(self.value(x), relu, &mut out);
        let (name, own) = (name.to_owned(), self.values.len());
        let backward = move |values: &[Batch], mut gradient: Batch, all: &mut Gradients| {
            if relu {
                norm::masked(&mut gradient, &values[own]);
            }
            let [of_gamma, of_beta] = norm.back(&values[x.0], &mut gradient);
            all.set(format!("{name}.weight"), &[of_gamma.len()], of_gamma);
            all.set(format!("{name}.bias"), &[of_beta.len()], of_beta);
            all.add(x, gradient);
        };
        let out = self.push(out, Some(Box::new(backward)));
        Ok(match activation {
            Activation::Relu => out,
            other => self.activation(out, other),
        })
    }

    pub(super) fn instance_norm(&mut self, x: Entry) -> Entry {
        let mut out = self.value(x).clone();
        let mut inverse: Vec<Vec<f32>> = vec![Vec::new(); out.len()];
        for_each(out.iter_mut().zip(&mut inverse), |(grid, inverse)| {
            *inverse = operations::instance_norm(grid);
        });
        let own = self.values.len();
        let backward = move |values: &[Batch], mut gradient: Batch, all: &mut Gradients| {
            let images = gradient.iter_mut().zip(values[own].iter()).zip(&inverse);
            for_each(images, |((gradient, normal), inverse)| {
                instance_norm_gradient(normal, inverse, gradient);
            });
            all.add(x, gradient);
        };
        self.push(out, Some(Box::new(backward)))
    }

    /// An activation as an entry of its own; [`Activation::Linear`] is none.
    pub(super) fn activation(&mut self, x: Entry, activation: Activation) -> Entry {
        if activation == Activation::Linear {
            return x;
        }
        let mut out = self.value(x).clone();
        for_each(out.iter_mut(), |grid| activate(grid, activation));
        let own = self.values.len();
        let [low, high] = activation.bounds();
        let backward = move |values: &[Batch], mut gradient: Batch, all: &mut Gradients| {
            for_each(gradient.iter_mut().zip(values[own].iter()), |(gradient, out)| {
                for (gradient, &value) in gradient.data.iter_mut().zip(&out.data) {
                    if value <= low || value >= high {
                        *gradient = 0.0;
                    }
                }
            });
            all.add(x, gradient);
        };
        self.push(out, Some(Box::new(backward)))
    }

    pub(super) fn add(&mut self, a: Entry, b: Entry, activation: Activation) -> Entry {
        let relu = activation == Activation::Relu;
        let mut out = self.grids(a, self.value(a).size());
        norm::add(self.value(a), self.value(b), relu, &mut out);
        let own = self.values.len();
        let backward = move |values: &[Batch], mut gradient: Batch, all: &mut Gradients| {
            if relu {
                norm::masked(&mut gradient, &values[own]);
            }
            all.add(a, gradient.clone());
            all.add(b, gradient);
        };
        let out = self.push(out, Some(Box::new(backward)));
        match activation {
            Activation::Relu => out,
            other => self.activation(out, other),
        }
    }

    pub(super) fn max_pool(&mut self, x: Entry, pool: Pool, [height, width]: [usize; 2]) -> Entry {
        let size @ [.., channels] = self.value(x).size();
        let mut out = self.grids(x, [height, width, channels]);
        for_each(self.value(x).iter().zip(out.iter_mut()), |(input, out)| {
            operations::max_pool(input, pool, out);
        });
        let own = self.values.len();
        let backward = move |values: &[Batch], gradient: Batch, all: &mut Gradients| {
            let mut back = gradient.beside(size);
            let there = values[x.0].iter().zip(values[own].iter());
            for_each(
                there.zip(gradient.iter()).zip(back.iter_mut()),
                |(((input, pooled), gradient), back)| max_pool_gradient(input, pooled, gradient, pool, back),
            );
            all.add(x, back);
        };
        self.push(out, Some(Box::new(backward)))
    }

    pub(super) fn resize(&mut self, x: Entry, corners: Corners, [height, width]: [usize; 2]) -> Entry {
        let size @ [.., channels] = self.value(x).size();
        let mut out = self.grids(x, [height, width, channels]);
        for_each(self.value(x).iter().zip(out.iter_mut()), |(input, out)| {
            operations::resize(input, corners, out, 0);
        });
        let backward = move |_: &[Batch], gradient: Batch, all: &mut Gradients| {
            let mut back = gradient.beside(size);
            for_each(gradient.iter().zip(back.iter_mut()), |(gradient, back)| {
                operations::resize_gradient(gradient, corners, back);
            });
            all.add(x, back);
        };
        self.push(out, Some(Box::new(backward)))
    }

    /// The mean of each image's pixels.
    pub(super) fn mean(&mut self, x: Entry) -> Entry {
        let size @ [height, width, channels] = self.value(x).size();
        let mut means = self.grids(x, [1, 1, channels]);
        for (image, mean) in self.value(x).iter().zip(means.iter_mut()) {
            mean.data.copy_from_slice(&destseg_kernels::resample::mean(image));
        }
        let backward = move |_: &[Batch], gradient: Batch, all: &mut Gradients| {
            let share = 1.0 / (height * width) as f32;
            let mut back = gradient.beside(size);
            for (gradient, back) in gradient.iter().zip(back.iter_mut()) {
                let pixel: Vec<f32> = gradient.data.iter().map(|value| value * share).collect();
                repeat(&pixel, back);
            }
            all.add(x, back);
        };
        self.push(means, Some(Box::new(backward)))
    }

    /// One pixel's channels for all pixels of a grid.
    pub(super) fn expand(&mut self, x: Entry, [height, width]: [usize; 2]) -> Entry {
        let size @ [.., channels] = self.value(x).size();
        let mut out = self.grids(x, [height, width, channels]);
        for (pixel, out) in self.value(x).iter().zip(out.iter_mut()) {
            repeat(&pixel.data, out);
        }
        let backward = move |_: &[Batch], gradient: Batch, all: &mut Gradients| {
            let mut back = gradient.beside(size);
            for (image, back) in gradient.iter().zip(back.iter_mut()) {
                back.data
                    .copy_from_slice(&norm::sums(std::slice::from_ref(image)));
            }
            all.add(x, back);
        };
        self.push(out, Some(Box::new(backward)))
    }

    /// All channels one behind the other.
    pub(super) fn concat(&mut self, parts: Vec<Entry>) -> Entry {
        let [height, width, _] = self.value(parts[0]).size();
        let widths: Vec<usize> = parts.iter().map(|&part| self.value(part).size()[2]).collect();
        let channels = widths.iter().sum();
        let mut out = self.grids(parts[0], [height, width, channels]);
        let mut first = 0;
        for (&part, &own) in parts.iter().zip(&widths) {
            for (out, part) in out.iter_mut().zip(self.value(part).iter()) {
                copy_channels(part, out, first);
            }
            first += own;
        }
        let backward = move |_: &[Batch], gradient: Batch, all: &mut Gradients| {
            let mut first = 0;
            for (part, own) in parts.into_iter().zip(widths) {
                let mut back = gradient.beside([height, width, own]);
                for (gradient, back) in gradient.iter().zip(back.iter_mut()) {
                    let pixels = gradient
                        .data
                        .chunks_exact(channels)
                        .zip(back.data.chunks_exact_mut(own));
                    pixels.for_each(|(gradient, back)| back.copy_from_slice(&gradient[first..first + own]));
                }
                all.add(part, back);
                first += own;
            }
        };
        self.push(out, Some(Box::new(backward)))
    }

    pub(super) fn softmax(&mut self, x: Entry) -> Entry {
        let mut out = self.value(x).clone();
        out.iter_mut().for_each(operations::softmax);
        let own = self.values.len();
        let backward = move |values: &[Batch], mut gradient: Batch, all: &mut Gradients| {
            for (gradient, out) in gradient.iter_mut().zip(values[own].iter()) {
                softmax_gradient(out, gradient);
            }
            all.add(x, gradient);
        };
        self.push(out, Some(Box::new(backward)))
    }

    /// The gradient passes straight through (van den Oord et al., 2017); the codebook has none, because it follows the
    /// mean of what chose each row.
    pub(super) fn nearest_code(&mut self, x: Entry, name: &str) -> Result<Entry> {
        let mut out = self.value(x).clone();
        let book = Rows::new(self.weights.get(name)?.data.clone(), out.size()[2]);
        for_each(out.iter_mut(), |grid| nearest_code(grid, &book));
        let backward = move |_: &[Batch], gradient: Batch, all: &mut Gradients| all.add(x, gradient);
        Ok(self.push(out, Some(Box::new(backward))))
    }
}

fn convolve(dense: &Dense, input: &[Grid], out: &mut [Grid]) {
    for_each(input.iter().zip(out), |(input, out)| {
        dense.run(input, out, Finish::default());
    });
}
