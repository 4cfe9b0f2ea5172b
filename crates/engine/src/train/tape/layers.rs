//! The layers, there and back.

use destseg_kernels::dense::Dense;
use destseg_kernels::gradient::{of_weights, spread, transposed};
use destseg_kernels::norm::{self, Norm};
use destseg_kernels::resample::{Onto, bilinear, bilinear_gradient, max_pool, max_pool_gradient};
use destseg_kernels::{Finish, Grid, for_each};

use super::{Batch, Node, Tape};
use crate::Result;
use crate::model::BATCH_NORM_EPSILON;
use crate::model::network::layers::BATCH_NORM_MOMENTUM;
use crate::model::plan::source::{Kernel, Layout, Source};
use crate::model::weights::Array;

impl Tape<'_> {
    /// The convolution `name`, with its bias if it has one.
    pub(super) fn conv(&mut self, x: Node, name: &str, layout: Layout) -> Result<Node> {
        let kernel = Source::new(self.weights, "").kernel(name)?;
        let bias = self.weights.contains(&format!("{name}.bias"));
        Ok(self.conv_with(
            x,
            format!("{name}.weight"),
            kernel,
            bias.then(|| format!("{name}.bias")),
            layout,
        ))
    }

    /// A convolution of this kernel, whose gradients get these names.
    pub(super) fn conv_with(
        &mut self,
        x: Node,
        name: String,
        kernel: Kernel,
        bias_name: Option<String>,
        layout: Layout,
    ) -> Node {
        let [height, width, _] = self.value(x).size();
        let [outputs, inputs, side] = kernel.shape;
        let shape = layout.shape(inputs, outputs, side, height);
        let dense = Dense::new(shape, shape.size(height), &kernel.weights, kernel.bias);
        let mut out = self.grids(x, [shape.size(height), shape.size(width), outputs]);
        convolve(&dense, self.value(x), &mut out);
        let is_tracked = self.is_tracked(x);
        let back = move |values: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let gradient = of_weights(&shape, &values[x.0], &slopes);
            all.set(name, &[outputs, inputs, side, side], gradient);
            if let Some(name) = bias_name {
                all.set(name, &[outputs], norm::sums(&slopes));
            }
            if is_tracked {
                let (shape, weights) = transposed(&shape, &kernel.weights);
                let dense = Dense::new(shape, height, &weights, vec![0.0; inputs]);
                let slopes = match layout.stride {
                    1 => slopes,
                    stride => {
                        let mut wide = slopes.beside([height, width, outputs]);
                        for_each(slopes.iter().zip(wide.iter_mut()), |(own, wide)| {
                            spread(own, stride, wide);
                        });
                        wide
                    }
                };
                let mut back = slopes.beside([height, width, inputs]);
                convolve(&dense, &slopes, &mut back);
                all.add(x, back);
            }
        };
        self.push(out, Some(Box::new(back)))
    }

    /// Batch normalisation by the batch's statistics, then `ReLU` if asked for.
    pub(super) fn norm(&mut self, x: Node, name: &str, relu: bool) -> Result<Node> {
        let get =
            |part: &str| Ok::<_, crate::Error>(self.weights.get(&format!("{name}.{part}"))?.data.clone());
        let (gamma, beta) = (get("weight")?, get("bias")?);
        let input = self.value(x);
        let count = input.iter().map(Grid::pixels).sum::<usize>() as f32;
        let mean: Vec<f32> = norm::sums(input).iter().map(|sum| sum / count).collect();
        let squares = norm::squares(input, &mean);
        let deviation = squares
            .iter()
            .map(|sum| (sum / count + BATCH_NORM_EPSILON as f32).sqrt());
        let inverse = deviation.map(f32::recip).collect();
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
        let mut out = self.grids(x, self.value(x).size());
        norm.run(self.value(x), relu, &mut out);
        let (name, own) = (name.to_owned(), Node(self.values.len()));
        let back = move |values: &[Batch], mut slopes: Batch, all: &mut super::Slopes| {
            if relu {
                norm::masked(&mut slopes, &values[own.0]);
            }
            let [of_gamma, of_beta] = norm.back(&values[x.0], &mut slopes);
            all.set(format!("{name}.weight"), &[of_gamma.len()], of_gamma);
            all.set(format!("{name}.bias"), &[of_beta.len()], of_beta);
            all.add(x, slopes);
        };
        Ok(self.push(out, Some(Box::new(back))))
    }

    /// The sum, then `ReLU` if asked for.
    pub(super) fn add(&mut self, a: Node, b: Node, relu: bool) -> Node {
        let mut out = self.grids(a, self.value(a).size());
        norm::add(self.value(a), self.value(b), relu, &mut out);
        let own = Node(self.values.len());
        let back = move |values: &[Batch], mut slopes: Batch, all: &mut super::Slopes| {
            if relu {
                norm::masked(&mut slopes, &values[own.0]);
            }
            all.add(a, slopes.clone());
            all.add(b, slopes);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// Bilinear resize.
    pub(super) fn resize(&mut self, x: Node, height: usize, width: usize) -> Node {
        let size @ [from, columns, channels] = self.value(x).size();
        if [from, columns] == [height, width] {
            return x;
        }
        let mut out = self.grids(x, [height, width, channels]);
        for_each(self.value(x).iter().zip(out.iter_mut()), |(input, out)| {
            bilinear(input, out.into(), Onto::Nothing);
        });
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut back = slopes.beside(size);
            for_each(slopes.iter().zip(back.iter_mut()), |(slopes, back)| {
                bilinear_gradient(slopes, back);
            });
            all.add(x, back);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// 3x3 maximum of stride 2.
    pub(super) fn pool(&mut self, x: Node) -> Node {
        let size @ [height, width, channels] = self.value(x).size();
        let mut out = self.grids(x, [height.div_ceil(2), width.div_ceil(2), channels]);
        for_each(self.value(x).iter().zip(out.iter_mut()), |(input, out)| {
            max_pool(input, out);
        });
        let own = Node(self.values.len());
        let back = move |values: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut back = slopes.beside(size);
            let there = values[x.0].iter().zip(values[own.0].iter());
            for_each(
                there.zip(slopes.iter()).zip(back.iter_mut()),
                |(((input, pooled), slopes), back)| max_pool_gradient(input, pooled, slopes, back),
            );
            all.add(x, back);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// The mean of each image's pixels.
    pub(super) fn mean(&mut self, x: Node) -> Node {
        let size @ [height, width, channels] = self.value(x).size();
        let mut means = self.grids(x, [1, 1, channels]);
        for (image, mean) in self.value(x).iter().zip(means.iter_mut()) {
            mean.data.copy_from_slice(&destseg_kernels::resample::mean(image));
        }
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let share = 1.0 / (height * width) as f32;
            let mut back = slopes.beside(size);
            for (slopes, back) in slopes.iter().zip(back.iter_mut()) {
                let pixel: Vec<f32> = slopes.data.iter().map(|slope| slope * share).collect();
                repeat(&pixel, back);
            }
            all.add(x, back);
        };
        self.push(means, Some(Box::new(back)))
    }

    /// One pixel's channels for all pixels of a grid.
    pub(super) fn expand(&mut self, x: Node, height: usize, width: usize) -> Node {
        let size @ [.., channels] = self.value(x).size();
        let mut out = self.grids(x, [height, width, channels]);
        for (pixel, out) in self.value(x).iter().zip(out.iter_mut()) {
            repeat(&pixel.data, out);
        }
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut back = slopes.beside(size);
            for (image, back) in slopes.iter().zip(back.iter_mut()) {
                back.data
                    .copy_from_slice(&norm::sums(std::slice::from_ref(image)));
            }
            all.add(x, back);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// All channels one behind the other.
    pub(super) fn stack(&mut self, parts: Vec<Node>) -> Node {
        let [height, width, _] = self.value(parts[0]).size();
        let widths: Vec<usize> = parts.iter().map(|&part| self.value(part).size()[2]).collect();
        let channels = widths.iter().sum();
        let mut out = self.grids(parts[0], [height, width, channels]);
        let mut at = 0;
        for (&part, &own) in parts.iter().zip(&widths) {
            for (out, part) in out.iter_mut().zip(self.value(part).iter()) {
                let pixels = out
                    .data
                    .chunks_exact_mut(channels)
                    .zip(part.data.chunks_exact(own));
                pixels.for_each(|(out, part)| out[at..at + own].copy_from_slice(part));
            }
            at += own;
        }
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut at = 0;
            for (part, own) in parts.into_iter().zip(widths) {
                let mut back = slopes.beside([height, width, own]);
                for (slopes, back) in slopes.iter().zip(back.iter_mut()) {
                    let pixels = slopes
                        .data
                        .chunks_exact(channels)
                        .zip(back.data.chunks_exact_mut(own));
                    pixels.for_each(|(slopes, back)| back.copy_from_slice(&slopes[at..at + own]));
                }
                all.add(part, back);
                at += own;
            }
        };
        self.push(out, Some(Box::new(back)))
    }
}

/// Gives all pixels of a grid these values.
fn repeat(pixel: &[f32], out: &mut Grid) {
    for to in out.data.chunks_exact_mut(pixel.len()) {
        to.copy_from_slice(pixel);
    }
}

fn convolve(dense: &Dense, input: &[Grid], out: &mut [Grid]) {
    for_each(input.iter().zip(out), |(input, out)| {
        dense.run(input, out, Finish::default());
    });
}
