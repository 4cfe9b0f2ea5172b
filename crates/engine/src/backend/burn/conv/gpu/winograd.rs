//! 3x3 convolutions of stride 1 by Winograd's minimal filtering, F(4x4, 3x3) of Lavin and Gray (CVPR 2016): 36 products per
//! channel for 16 outputs instead of 144. Three steps, and one for the weights: inputs to 36 matrices `[tiles, channels]`,
//! their products with 36 matrices `[channels, outputs]`, and back.
//!
//! A dilated convolution is one on every `dilation`-th pixel, so its tiles take their pixels that far apart.

use burn::cubecl;
use burn::cubecl::prelude::*;
use burn::tensor::Tensor;

use super::direct::{PIXELS, vectors};
use super::{Activation, Bounds, Plan, V4, bounds, finish};
use crate::backend::burn::gpu::{Buffer, GROUP, buffer, empty, groups};
use burn::tensor::Device;

/// Outputs along a side of a tile.
const OUT: usize = 4;
/// Inputs of a tile.
const PLACES: usize = 36;

const SIXTH: f32 = 1.0 / 6.0;
const MINUS_SIXTH: f32 = -1.0 / 6.0;

/// Tiles along a side: those of one phase of the dilation after the other's, taken in turn.
fn tiles(plan: &Plan, axis: usize) -> usize {
    let dilation = plan.dilation[axis];
    dilation * plan.output[axis + 1].div_ceil(OUT * dilation)
}

/// All tiles of the batch.
fn all_tiles(plan: &Plan) -> usize {
    plan.batch * tiles(plan, 0) * tiles(plan, 1)
}

/// Whether this is the quicker way.
pub(super) fn pays(plan: &Plan, input: &Buffer) -> bool {
    if plan.kernel != [3, 3] || plan.stride != [1, 1] {
        return false;
    }
    let tiles = all_tiles(plan);
    let [channels, outputs] = [plan.input[0], plan.output[0]];
    let largest = PLACES * 4 * channels.max(outputs) * tiles.max(channels.min(outputs));
    // few tiles do not pay for transforming the weights, few channels not for transforming the tiles
    tiles >= 16
        && channels >= 16
        && outputs >= 16
        && PLACES * tiles * 10 < plan.taps() * plan.pixels() * 7
        && (largest as u64) < input.client.properties().memory.max_page_size
}

/// The convolution of a packed input.
pub(super) fn convolve(
    input: Buffer,
    weight: Buffer,
    bias: Buffer,
    plan: &Plan,
    after: Activation,
    device: &Device,
) -> Option<Tensor<1>> {
    let [channels, height, width] = plan.input;
    let [outputs, rows, columns] = plan.output;
    let tiles_in_all = all_tiles(plan);
    let client = input.client.clone();
    let group = CubeDim::new_1d(GROUP);
    let own = weight.meta.shape()[1];

    let weights = empty(PLACES * channels * outputs, device);
    transform_weights::launch(
        &client,
        groups(channels * outputs),
        group,
        weight.into_buffer_arg(),
        buffer(&weights)?.into_buffer_arg(),
        own as u32,
        channels as u32,
        outputs as u32,
    );
    let places = |channels: usize, [height, width]: [usize; 2]| {
        TilesLaunch::new(
            height as u32,
            width as u32,
            channels as u32,
            tiles(plan, 0) as u32,
            tiles(plan, 1) as u32,
            tiles_in_all as u32,
            plan.dilation[0] as u32,
            plan.dilation[1] as u32,
        )
    };
    let values = empty(PLACES * tiles_in_all * channels, device);
    transform_inputs::launch(
        &client,
        groups(tiles_in_all * channels),
        group,
        input.into_buffer_arg(),
        buffer(&values)?.into_buffer_arg(),
        places(channels, [height, width]),
        plan.padding[0] as u32,
        plan.padding[1] as u32,
    );
    let sums = empty(PLACES * tiles_in_all * outputs, device);
    let (strips, vectors) = (tiles_in_all.div_ceil(PIXELS), vectors(outputs));
    multiply::launch(
        &client,
        groups(PLACES * strips * (outputs / 4 / vectors)),
        group,
        buffer(&values)?.into_buffer_arg(),
        buffer(&weights)?.into_buffer_arg(),
        buffer(&sums)?.into_buffer_arg(),
        tiles_in_all as u32,
        strips as u32,
        channels as u32 / 4,
        outputs as u32 / 4,
        vectors,
    );
    let output = empty(plan.pixels() * outputs, device);
    transform_outputs::launch(
        &client,
        groups(tiles_in_all * outputs),
        group,
        buffer(&sums)?.into_buffer_arg(),
        bias.into_buffer_arg(),
        buffer(&output)?.into_buffer_arg(),
        places(outputs, [rows, columns]),
        bounds(after),
    );
    Some(output)
}

/// An image's size, and the tiles that it is taken in.
#[derive(CubeLaunch, CubeType)]
struct Tiles {
    height: u32,
    width: u32,
    channels: u32,
    down: u32,
    across: u32,
    in_all: u32,
    dilation_y: u32,
    dilation_x: u32,
}

/// The first pixel of the `tile`-th tile along a side.
#[cube]
fn first(tile: u32, dilation: u32) -> u32 {
    tile % dilation + tile / dilation * dilation * OUT as u32
}

/// Six inputs of a row or column, transformed in place.
#[cube]
fn inputs(d: &mut Array<f32>, #[comptime] start: usize, #[comptime] step: usize) {
    let d0 = d[start];
    let d1 = d[start + step];
    let d2 = d[start + 2 * step];
    let d3 = d[start + 3 * step];
    let d4 = d[start + 4 * step];
    let d5 = d[start + 5 * step];
    let even = d4 - 4.0 * d2;
    let odd = d3 - 4.0 * d1;
    let even_twice = d4 - d2;
    let odd_twice = 2.0 * (d3 - d1);
    d[start] = 4.0 * d0 - 5.0 * d2 + d4;
    d[start + step] = even + odd;
    d[start + 2 * step] = even - odd;
    d[start + 3 * step] = even_twice + odd_twice;
    d[start + 4 * step] = even_twice - odd_twice;
    d[start + 5 * step] = 4.0 * d1 - 5.0 * d3 + d5;
}

/// One channel of one tile per invocation.
#[cube(launch)]
fn transform_inputs(input: &[f32], values: &mut [f32], tiles: Tiles, padding_y: u32, padding_x: u32) {
    let id = ABSOLUTE_POS as u32;
    let channel = id % tiles.channels;
    let tile = id / tiles.channels;
    if tile < tiles.in_all {
        let down = tile / tiles.across % tiles.down;
        let image = tile / tiles.across / tiles.down * tiles.height;
        let top = first(down, tiles.dilation_y) as i32 - padding_y as i32;
        let left = first(tile % tiles.across, tiles.dilation_x) as i32 - padding_x as i32;
        let mut d = Array::<f32>::new(PLACES);
        #[unroll]
        for i in 0..6usize {
            let y = top + (i as u32 * tiles.dilation_y) as i32;
            #[unroll]
            for j in 0..6usize {
                let x = left + (j as u32 * tiles.dilation_x) as i32;
                let mut value = 0.0f32;
                if y >= 0 && y < tiles.height as i32 && x >= 0 && x < tiles.width as i32 {
                    let pixel = (image + y as u32) * tiles.width + x as u32;
                    value = input[(pixel * tiles.channels + channel) as usize];
                }
                d[i * 6 + j] = value;
            }
        }
        #[unroll]
        for i in 0..6usize {
            inputs(&mut d, i, 6usize);
        }
        #[unroll]
        for i in 0..6usize {
            inputs(&mut d, i * 6, 1usize);
        }
        let matrix = tiles.in_all * tiles.channels;
        #[unroll]
        for i in 0..PLACES {
            values[(i as u32 * matrix + id) as usize] = d[i];
        }
    }
}

/// Three weights to six.
#[cube]
fn weights(
    g: &Array<f32>,
    u: &mut Array<f32>,
    #[comptime] from: usize,
    #[comptime] from_step: usize,
    #[comptime] to: usize,
    #[comptime] to_step: usize,
) {
    let g0 = g[from];
    let g1 = g[from + from_step];
    let g2 = g[from + 2 * from_step];
    let outer = (g0 + g2) * MINUS_SIXTH;
    let middle = g1 * SIXTH;
    let outer_twice = (0.25 * g0 + g2) * SIXTH;
    let middle_twice = 0.5 * g1 * SIXTH;
    u[to] = 0.25 * g0;
    u[to + to_step] = outer - middle;
    u[to + 2 * to_step] = outer + middle;
    u[to + 3 * to_step] = outer_twice + middle_twice;
    u[to + 4 * to_step] = outer_twice - middle_twice;
    u[to + 5 * to_step] = g2;
}

/// Weights of one channel and output per invocation; zero beyond the `own` channels.
#[cube(launch)]
fn transform_weights(weight: &[f32], transformed: &mut [f32], own: u32, channels: u32, outputs: u32) {
    let id = ABSOLUTE_POS as u32;
    let output = id % outputs;
    let channel = id / outputs;
    if channel < channels {
        let mut g = Array::<f32>::new(9usize);
        #[unroll]
        for i in 0..9usize {
            let mut value = 0.0f32;
            if channel < own {
                value = weight[((output * own + channel) * 9) as usize + i];
            }
            g[i] = value;
        }
        let mut half = Array::<f32>::new(18usize);
        #[unroll]
        for i in 0..3usize {
            weights(&g, &mut half, i, 3usize, i, 3usize);
        }
        let mut u = Array::<f32>::new(PLACES);
        #[unroll]
        for i in 0..6usize {
            weights(&half, &mut u, i * 3, 1usize, i * 6, 1usize);
        }
        let matrix = channels * outputs;
        #[unroll]
        for i in 0..PLACES {
            transformed[(i as u32 * matrix + id) as usize] = u[i];
        }
    }
}

/// 36 products of matrices; a strip of [`PIXELS`] tiles by 4 or 8 outputs per invocation.
#[cube(launch)]
fn multiply(
    values: &[V4],
    weights: &[V4],
    sums: &mut [V4],
    tiles: u32,
    strips: u32,
    channels: u32,
    outputs: u32,
    #[comptime] vectors: usize,
) {
    let blocks = outputs / vectors as u32;
    let id = ABSOLUTE_POS as u32;
    let output = (id % blocks) * vectors as u32;
    let tile = id / blocks % strips * PIXELS as u32;
    let place = id / blocks / strips;
    if place < PLACES as u32 {
        let mut sum = Array::<V4>::new(PIXELS * vectors);
        let mut from = Array::<u32>::new(PIXELS);
        #[unroll]
        for p in 0..PIXELS {
            from[p] = (place * tiles + min(tile + p as u32, tiles - 1)) * channels;
            #[unroll]
            for v in 0..vectors {
                sum[p * vectors + v] = V4::new(0.0);
            }
        }
        let mut at = (place * channels * 4 * outputs + output) as usize;
        for c in 0..channels {
            let mut read = Array::<V4>::new(PIXELS);
            #[unroll]
            for p in 0..PIXELS {
                read[p] = values[(from[p] + c) as usize];
            }
            #[unroll]
            for i in 0..4usize {
                #[unroll]
                for v in 0..vectors {
                    let weight = weights[at + v];
                    #[unroll]
                    for p in 0..PIXELS {
                        sum[p * vectors + v] += V4::new(read[p].extract(i)) * weight;
                    }
                }
                at += outputs as usize;
            }
        }
        #[unroll]
        for p in 0..PIXELS {
            if tile + (p as u32) < tiles {
                let to = ((place * tiles + tile + p as u32) * outputs + output) as usize;
                #[unroll]
                for v in 0..vectors {
                    sums[to + v] = sum[p * vectors + v];
                }
            }
        }
    }
}

/// Six sums to four outputs.
#[cube]
fn outputs(
    m: &Array<f32>,
    y: &mut Array<f32>,
    #[comptime] from: usize,
    #[comptime] from_step: usize,
    #[comptime] to: usize,
    #[comptime] to_step: usize,
) {
    let m1 = m[from + from_step];
    let m2 = m[from + 2 * from_step];
    let m3 = m[from + 3 * from_step];
    let m4 = m[from + 4 * from_step];
    let even = m1 + m2;
    let odd = m1 - m2;
    let even_twice = m3 + m4;
    let odd_twice = m3 - m4;
    y[to] = m[from] + even + even_twice;
    y[to + to_step] = odd + 2.0 * odd_twice;
    y[to + 2 * to_step] = even + 4.0 * even_twice;
    y[to + 3 * to_step] = odd + 8.0 * odd_twice + m[from + 5 * from_step];
}

/// One channel of one tile per invocation.
#[cube(launch)]
fn transform_outputs(sums: &[f32], bias: &[f32], output: &mut [f32], tiles: Tiles, bounds: Bounds) {
    let id = ABSOLUTE_POS as u32;
    let channel = id % tiles.channels;
    let tile = id / tiles.channels;
    if tile < tiles.in_all {
        let matrix = tiles.in_all * tiles.channels;
        let mut m = Array::<f32>::new(PLACES);
        #[unroll]
        for i in 0..PLACES {
            m[i] = sums[(i as u32 * matrix + id) as usize];
        }
        let mut half = Array::<f32>::new(24usize);
        #[unroll]
        for i in 0..6usize {
            outputs(&m, &mut half, i, 6usize, i, 6usize);
        }
        let mut y = Array::<f32>::new(16usize);
        #[unroll]
        for i in 0..OUT {
            outputs(&half, &mut y, i * 6, 1usize, i * 4, 1usize);
        }
        let down = tile / tiles.across % tiles.down;
        let image = tile / tiles.across / tiles.down * tiles.height;
        let top = first(down, tiles.dilation_y);
        let left = first(tile % tiles.across, tiles.dilation_x);
        let start = bias[channel as usize];
        #[unroll]
        for i in 0..OUT {
            let row = top + i as u32 * tiles.dilation_y;
            #[unroll]
            for j in 0..OUT {
                let column = left + j as u32 * tiles.dilation_x;
                if row < tiles.height && column < tiles.width {
                    let pixel = (image + row) * tiles.width + column;
                    let value = finish(y[i * 4 + j] + start, &bounds);
                    output[(pixel * tiles.channels + channel) as usize] = value;
                }
            }
        }
    }
}
