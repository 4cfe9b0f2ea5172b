//! Maps of the reference, and comparing with what is known of them.

use destseg_kernels::Grid;
use serde_json::Value;

use crate::formula::uniform;

/// The fixtures' inputs `[images, channels, height, width]`, image by image.
pub(crate) fn input(name: &str, scale: f32, [images, channels, height, width]: [usize; 4]) -> Vec<Grid> {
    let values = uniform(name, images * channels * height * width);
    let image = |values: &[f32]| {
        let mut grid = Grid::zeros(height, width, channels);
        for (i, u) in values.iter().enumerate() {
            let (channel, pixel) = (i / (height * width), i % (height * width));
            grid.data[pixel * channels + channel] = scale * u;
        }
        grid
    };
    values
        .chunks_exact(channels * height * width)
        .map(image)
        .collect()
}

/// Maps in the fixtures' order: image by image, channel by channel, row by row.
pub(crate) fn planes<'a>(grids: impl IntoIterator<Item = &'a Grid>) -> Vec<f32> {
    let plane = |grid: &'a Grid, channel: usize| grid.data.iter().skip(channel).step_by(grid.channels);
    let of_grid = |grid: &'a Grid| (0..grid.channels).flat_map(move |channel| plane(grid, channel));
    grids.into_iter().flat_map(of_grid).copied().collect()
}

/// Compares mean, standard deviation, extremes and samples, relative to the tensor's largest value.
pub(crate) fn check(what: &str, values: &[f32], expected: &Value, tolerance: f64) {
    let number = |key: &str| expected[key].as_f64().expect("is a number");
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let square = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let extreme =
        |start: f64, pick: fn(f64, f64) -> f64| values.iter().map(|&v| f64::from(v)).fold(start, pick);
    let scale = number("min").abs().max(number("max").abs()).max(1.0);
    let close = |part: &str, ours: f64, theirs: f64| {
        let error = (ours - theirs).abs() / scale;
        assert!(error <= tolerance, "{what}, {part}: {ours} instead of {theirs}");
    };
    close("mean", mean, number("mean"));
    let std = number("std");
    // the fixtures' standard deviation is of a population or of a sample, which here is the same
    close("standard deviation", (square / count).sqrt(), std);
    close("minimum", extreme(f64::INFINITY, f64::min), number("min"));
    close("maximum", extreme(f64::NEG_INFINITY, f64::max), number("max"));
    let indices = expected["idx"].as_array().expect("is a list");
    let samples = expected["vals"].as_array().expect("is a list");
    for (index, sample) in indices.iter().zip(samples) {
        let index = index.as_u64().expect("is an index") as usize;
        close(
            &format!("value {index}"),
            f64::from(values[index]),
            sample.as_f64().expect("is a number"),
        );
    }
}
