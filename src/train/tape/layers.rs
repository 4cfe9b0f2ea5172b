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
        let input = self.value(x);
        let (height, width) = (input[0].height, input[0].width);
        let [outputs, inputs, side] = kernel.shape;
        let shape = layout.shape(inputs, outputs, side, height);
        let dense = Dense::new(shape, shape.size(height), &kernel.weights, kernel.bias);
        let out = convolved(&dense, input, shape.size(height), shape.size(width));
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
                    stride => slopes
                        .iter()
                        .map(|own| spread(own, stride, height, width))
                        .collect(),
                };
                all.add(x, convolved(&dense, &slopes, height, width));
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
        let out = norm.run(self.value(x), relu);
        let (name, own) = (name.to_owned(), Node(self.values.len()));
        let back = move |values: &[Batch], mut slopes: Batch, all: &mut super::Slopes| {
            if relu {
                norm::masked(&mut slopes, &values[own.0]);
            }
            let (of_gamma, of_beta, back) = norm.back(&values[x.0], &slopes);
            all.set(format!("{name}.weight"), &[of_gamma.len()], of_gamma);
            all.set(format!("{name}.bias"), &[of_beta.len()], of_beta);
            all.add(x, back);
        };
        Ok(self.push(out, Some(Box::new(back))))
    }

    /// The sum, then `ReLU` if asked for.
    pub(super) fn add(&mut self, a: Node, b: Node, relu: bool) -> Node {
        let out = norm::add(self.value(a), self.value(b), relu);
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
        let input = self.value(x);
        let (from, columns) = (input[0].height, input[0].width);
        if (from, columns) == (height, width) {
            return x;
        }
        let mut out = zeros(input.len(), height, width, input[0].channels);
        for_each(input.iter().zip(&mut out), |(input, out)| {
            bilinear(input, out.into(), Onto::Nothing);
        });
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut back = vec![Grid::default(); slopes.len()];
            for_each(slopes.iter().zip(&mut back), |(slopes, back)| {
                *back = bilinear_gradient(slopes, from, columns);
            });
            all.add(x, back);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// 3x3 maximum of stride 2.
    pub(super) fn pool(&mut self, x: Node) -> Node {
        let input = self.value(x);
        let (height, width) = (input[0].height.div_ceil(2), input[0].width.div_ceil(2));
        let mut out = zeros(input.len(), height, width, input[0].channels);
        for_each(input.iter().zip(&mut out), |(input, out)| max_pool(input, out));
        let back = move |values: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut back = vec![Grid::default(); slopes.len()];
            for_each(
                values[x.0].iter().zip(&slopes).zip(&mut back),
                |((input, slopes), back)| {
                    *back = max_pool_gradient(input, slopes);
                },
            );
            all.add(x, back);
        };
        self.push(out, Some(Box::new(back)))
    }

    /// The mean of each image's pixels.
    pub(super) fn mean(&mut self, x: Node) -> Node {
        let means = self.value(x).iter().map(|image| {
            let mut mean = Grid::zeros(1, 1, image.channels);
            mean.data = destseg_kernels::resample::mean(image);
            mean
        });
        let means = means.collect();
        let back = move |values: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let share = 1.0 / values[x.0][0].pixels() as f32;
            let back = values[x.0].iter().zip(&slopes).map(|(image, slopes)| {
                let pixel: Vec<f32> = slopes.data.iter().map(|slope| slope * share).collect();
                Grid {
                    data: pixel.repeat(image.pixels()),
                    ..*image
                }
            });
            all.add(x, back.collect());
        };
        self.push(means, Some(Box::new(back)))
    }

    /// One pixel's channels for all pixels of a grid.
    pub(super) fn expand(&mut self, x: Node, height: usize, width: usize) -> Node {
        let out = self.value(x).iter().map(|pixel| Grid {
            height,
            width,
            channels: pixel.channels,
            data: pixel.data.repeat(height * width),
        });
        let out = out.collect();
        let back = move |_: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let back = slopes.iter().map(|image| Grid {
                height: 1,
                width: 1,
                channels: image.channels,
                data: norm::sums(std::slice::from_ref(image)),
            });
            all.add(x, back.collect());
        };
        self.push(out, Some(Box::new(back)))
    }

    /// All channels one behind the other.
    pub(super) fn stack(&mut self, parts: Vec<Node>) -> Node {
        let first = self.value(parts[0]);
        let (height, width) = (first[0].height, first[0].width);
        let channels: usize = parts.iter().map(|&part| self.value(part)[0].channels).sum();
        let mut out = zeros(first.len(), height, width, channels);
        let mut at = 0;
        for &part in &parts {
            for (out, part) in out.iter_mut().zip(self.value(part)) {
                let pixels = out
                    .data
                    .chunks_exact_mut(channels)
                    .zip(part.data.chunks_exact(part.channels));
                pixels.for_each(|(out, part)| out[at..at + part.len()].copy_from_slice(part));
            }
            at += self.value(part)[0].channels;
        }
        let back = move |values: &[Batch], slopes: Batch, all: &mut super::Slopes| {
            let mut at = 0;
            for part in parts {
                let own = values[part.0][0].channels;
                let back = slopes.iter().map(|image| Grid {
                    channels: own,
                    data: image
                        .data
                        .chunks_exact(channels)
                        .flat_map(|pixel| &pixel[at..at + own])
                        .copied()
                        .collect(),
                    ..*image
                });
                all.add(part, back.collect());
                at += own;
            }
        };
        self.push(out, Some(Box::new(back)))
    }
}

fn zeros(images: usize, height: usize, width: usize, channels: usize) -> Batch {
    vec![Grid::zeros(height, width, channels); images]
}

fn convolved(dense: &Dense, input: &[Grid], height: usize, width: usize) -> Batch {
    let mut out = zeros(input.len(), height, width, dense.outputs());
    for_each(input.iter().zip(&mut out), |(input, out)| {
        dense.run(input, out, Finish::default());
    });
    out
}
