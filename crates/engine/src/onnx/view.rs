//! From 8-bit images of any size to what the network sees of them, as [`crate::data::placement`] and
//! [`crate::data::image::resize`] have it, bit for bit.
//!
//! A resize is a product with a matrix of weights for each axis, which the graph computes from the size of the image. The
//! integer weights have 22 bits, more than products in `f32` have room for. So the matrix is made of an upper and a lower
//! half of 11 bits each, and all sums stay exact.

use super::builder::{Axis, Builder, Name};
use super::places::{Line, Places, inside, is_plain, pixels_of, square, within};
use super::proto::DataType;
use crate::config::{InputLayout, TeacherKind};
use crate::data::placement::PADDING;

/// Bits of each half of a weight.
const HALF_BITS: u32 = 11;
/// One, in the upper half.
const ONE: i64 = 1 << HALF_BITS;

/// The network's inputs, and what became of the images.
pub(super) struct Views {
    /// Values in [0, 1], `[views * batch, 3, side, side]`; the views of an image are `batch` apart.
    pub(super) pixels: Name,
    /// None where each image is one view that fills the input.
    pub(super) places: Option<Places>,
}

impl Views {
    /// The views of images that come as an input of the graph, `[batch, height, width, 3]`, red, green, blue.
    pub(super) fn of_images(b: &mut Builder, layout: InputLayout, side: usize) -> Self {
        let axes = [
            Axis::Free("batch"),
            Axis::Free("height"),
            Axis::Free("width"),
            Axis::Fixed(3),
        ];
        let about = "8-bit images, red, green, blue, all of one size";
        let images = b.input("image", DataType::Uint8, &axes, about);
        let shape = b.op("Shape", [&images]);
        let mut size = |axis| {
            let axis = b.integer(axis);
            b.op("Gather", [&shape, &axis])
        };
        let [batch, height, width] = [size(0), size(1), size(2)];
        let values = b.cast(&images, DataType::Float);
        let planes = b.transpose(&values, &[0, 3, 1, 2]);
        if layout == InputLayout::Squash {
            let to = b.integer(side as i64);
            let rows = weights(b, side, (&height, &to), None);
            let columns = weights(b, side, (&width, &to), None);
            let columns = b.transpose(&columns, &[1, 0]);
            let resized = resize(b, &planes, [&rows, &columns], side);
            return Self {
                pixels: unit(b, &resized),
                places: None,
            };
        }
        let square = square(b, layout, side, [&height, &width]);
        let [down, across] = [&height, &width].map(|image| Line::new(b, layout, side, image, &square));
        // the first axes of the result: views from top to bottom, views from left to right, batch
        let rows = weights(b, side, (&down.part, &down.shown), Some(&down));
        let rows = b.unsqueeze(&rows, &[1, 2, 3]);
        let columns = weights(b, side, (&across.part, &across.shown), Some(&across));
        let columns = b.transpose(&columns, &[0, 2, 1]);
        let columns = b.unsqueeze(&columns, &[1, 2]);
        let resized = resize(b, &planes, [&rows, &columns], side);
        let views = b.reshape(&resized, &[-1, 3, side as i64, side as i64]);
        let inside = inside(b, &down, &across);
        let none = b.number(0.0);
        let shows_image = b.op("Greater", [&inside, &none]);
        let border = b.weights("padding", &[3, 1, 1], &PADDING.0.map(f32::from));
        let padded = b.op("Where", [&shows_image, &views, &border]);
        let is_plain = is_plain(b, side, [&down, &across]);
        Self {
            pixels: unit(b, &padded),
            places: Some(Places {
                down,
                across,
                batch,
                is_plain,
            }),
        }
    }

    /// Views that come as an input of the graph, values in [0, 1], `[batch, 3, side, side]`.
    pub(super) fn given(b: &mut Builder, side: usize) -> Self {
        let axes = [
            Axis::Free("batch"),
            Axis::Fixed(3),
            Axis::Fixed(side),
            Axis::Fixed(side),
        ];
        let about = "images of the network's size, red, green, blue, values in [0, 1]";
        Self {
            pixels: b.input("view", DataType::Float, &axes, about),
            places: None,
        }
    }

    /// The views as the teacher takes them.
    pub(super) fn normalised(&self, b: &mut Builder, teacher: TeacherKind) -> Name {
        let own = teacher.normalisation();
        let mean = b.weights("input_mean", &[3, 1, 1], &own.mean);
        let scale = b.weights("input_scale", &[3, 1, 1], &own.std.map(f32::recip));
        let centred = b.op("Sub", [&self.pixels, &mean]);
        b.op("Mul", [&centred, &scale])
    }
}

/// The weights of a resize from `sizes.0` pixels of the image to `sizes.1` of the input, as a matrix `[2 * side, image]`, upper
/// halves first. With a line, one for each view, in which only the view's part of the image counts.
///
/// A weight is a triangle as wide as the reduction. All its values are fractions with one denominator, so whole numbers do.
fn weights(b: &mut Builder, side: usize, sizes: (&str, &str), line: Option<&Line>) -> Name {
    let (from, to) = sizes;
    let [zero, one, two] = [0, 1, 2].map(|value| b.integer(value));
    let outputs = pixels_of(b, side);
    let mut outputs = b.reshape(&outputs, &[-1, 1]);
    let image = line.map_or(from, |line| &*line.image);
    let mut inputs = b.op("Range", [&zero, image, &one]);
    if let Some(line) = line {
        outputs = b.op("Sub", [&outputs, &line.first]);
        let starts = b.reshape(&line.starts, &[-1, 1, 1]);
        inputs = b.op("Sub", [&inputs, &starts]);
    }
    // twice the centres, in units in which neighbours of both are whole numbers apart
    let mut centres = |places: &str, unit: &str| {
        let twice = b.op("Mul", [places, &two]);
        let odd = b.op("Add", [&twice, &one]);
        b.op("Mul", [&odd, unit])
    };
    let input_centres = centres(&inputs, to);
    let output_centres = centres(&outputs, from);
    let apart = b.op("Sub", [&input_centres, &output_centres]);
    let apart = b.op("Abs", [&apart]);
    let reach = b.op("Max", [from, to]);
    let reach = b.op("Mul", [&reach, &two]);
    let rest = b.op("Sub", [&reach, &apart]);
    let mut triangle = b.op("Max", [&rest, &zero]);
    if let Some(line) = line {
        let part = within(b, &inputs, from);
        let inside = b.reshape(&line.inside, &[-1, 1]);
        let both = b.op("Mul", [&part, &inside]);
        let both = b.cast(&both, DataType::Int64);
        triangle = b.op("Mul", [&triangle, &both]);
    }
    let axis = if line.is_some() { 2 } else { 1 };
    let sum = b.reduce("ReduceSum", &triangle, axis, true);
    // of rows beyond the image all are 0
    let sum = b.op("Max", [&sum, &one]);
    let twice = b.op("Mul", [&sum, &two]);
    let scale = b.integer(2 * ONE);
    let scaled = b.op("Mul", [&triangle, &scale]);
    let upper = b.op("Div", [&scaled, &twice]);
    let whole = b.op("Mul", [&upper, &twice]);
    let rest = b.op("Sub", [&scaled, &whole]);
    let scale = b.integer(ONE);
    let rest = b.op("Mul", [&rest, &scale]);
    let rest = b.op("Add", [&rest, &sum]);
    let lower = b.op("Div", [&rest, &twice]);
    let halves = b.concat(&[upper, lower], axis - 1);
    b.cast(&halves, DataType::Float)
}

/// Resizes planes of whole numbers from 0 to 255, columns first, to `side` x `side` such numbers; weights are those of rows,
/// and of columns with their axes swapped.
fn resize(b: &mut Builder, planes: &str, [rows, columns]: [&str; 2], side: usize) -> Name {
    let narrow = b.op("MatMul", [planes, columns]);
    let narrow = joined_halves(b, &narrow, -1, side);
    let short = b.op("MatMul", [rows, &narrow]);
    joined_halves(b, &short, -2, side)
}

/// From the sums of both halves, which lie one behind the other along an axis, to pixels.
fn joined_halves(b: &mut Builder, sums: &str, axis: i64, side: usize) -> Name {
    let side = side as i64;
    let upper = b.slice(sums, axis, (0, side));
    let lower = b.slice(sums, axis, (side, 2 * side));
    let [one, half, most] = [ONE as f32, (ONE / 2) as f32, 255.0].map(|value| b.number(value));
    let upper = b.op("Add", [&upper, &half]);
    let whole = b.op("Div", [&upper, &one]);
    let whole = b.op("Floor", [&whole]);
    let taken = b.op("Mul", [&whole, &one]);
    let rest = b.op("Sub", [&upper, &taken]);
    let carried = b.op("Div", [&lower, &one]);
    let carried = b.op("Floor", [&carried]);
    let rest = b.op("Add", [&rest, &carried]);
    let rest = b.op("Div", [&rest, &one]);
    let rest = b.op("Floor", [&rest]);
    let pixels = b.op("Add", [&whole, &rest]);
    b.op("Min", [&pixels, &most])
}

/// Values in [0, 1].
fn unit(b: &mut Builder, pixels: &str) -> Name {
    let most = b.number(255.0);
    b.op("Div", [pixels, &most])
}
