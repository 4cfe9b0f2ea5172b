//! Where the views of an image lie, and how their maps become one, as [`crate::data::placement`] has it.

use super::builder::{Builder, Name};
use super::proto::DataType;
use crate::config::InputLayout;
use crate::data::placement::{MOST_SQUARES, OVERLAP};

/// From a view to the next one, as a share of its size: numerator and denominator.
const STEP: [i64; 2] = [((1.0 - OVERLAP) * 4.0) as i64, 4];

/// Where the views lie in the image: along its rows (from top to bottom) and along its columns.
pub(super) struct Places {
    /// From top to bottom.
    pub(super) down: Line,
    /// From left to right.
    pub(super) across: Line,
    /// Images in the batch.
    pub(super) batch: Name,
    /// Whether there is one view that fills the input, with a map of the input's size: true or false.
    pub(super) is_plain: Name,
}

/// The views along one side of an image. All are integers of 64 bits; a place is in pixels.
pub(super) struct Line {
    /// Pixels of the image.
    pub(super) image: Name,
    /// Pixels of the image in each view.
    pub(super) part: Name,
    /// First pixel of each view, `[views]`.
    pub(super) starts: Name,
    /// Number of views.
    views: Name,
    /// Pixels of the network's input that show the image ...
    pub(super) shown: Name,
    /// ... and the first of them.
    pub(super) first: Name,
    /// Pixels of the map that covers the whole image.
    map: Name,
    /// Which of the input's pixels show the image, `[side]`, 1 or 0.
    pub(super) inside: Name,
}

impl Line {
    pub(super) fn new(b: &mut Builder, layout: InputLayout, side: usize, image: &str, square: &str) -> Self {
        let [zero, one, two, side_name] = [0, 1, 2, side as i64].map(|value| b.integer(value));
        let part = b.op("Min", [image, square]);
        let shown = scaled(b, &part, [&side_name, square]);
        let map = scaled(b, image, [&side_name, square]);
        let border = b.op("Sub", [&side_name, &shown]);
        let first = b.op("Div", [&border, &two]);
        let free = b.op("Sub", [image, &part]);
        let starts = if matches!(layout, InputLayout::Tile | InputLayout::Strip) {
            // as few as have the overlap; a step is at least one pixel
            let [numerator, denominator] = STEP.map(|value| b.integer(value));
            let step = b.op("Mul", [&part, &numerator]);
            let step = b.op("Max", [&step, &denominator]);
            let way = b.op("Mul", [&free, &denominator]);
            let gaps = b.op("Add", [&way, &step]);
            let gaps = b.op("Sub", [&gaps, &one]);
            let gaps = b.op("Div", [&gaps, &step]);
            let count = b.op("Add", [&gaps, &one]);
            let places = b.op("Range", [&zero, &count, &one]);
            let gaps = b.op("Max", [&gaps, &one]);
            rounded(b, [&free, &places, &gaps])
        } else {
            let start = b.op("Div", [&free, &two]);
            b.reshape(&start, &[1])
        };
        let count = b.op("Size", [&starts]);
        let pixels = pixels_of(b, side);
        let own = b.op("Sub", [&pixels, &first]);
        let inside = within(b, &own, &shown);
        Self {
            image: image.into(),
            part,
            starts,
            views: count,
            shown,
            first,
            map,
            inside,
        }
    }

    /// From the maps of this side's views to the map of the whole image: a matrix `[map, views * side]`. Maps are faded into
    /// each other where they overlap.
    fn joining(&self, b: &mut Builder, side: usize) -> Name {
        let [zero, one] = [0, 1].map(|value| b.integer(value));
        // a view's place in the map
        let own = rounded(b, [&self.part, &self.map, &self.image]);
        let own = b.op("Max", [&own, &one]);
        let own = b.op("Min", [&own, &self.map]);
        let left = rounded(b, [&self.starts, &self.map, &self.image]);
        let most = b.op("Sub", [&self.map, &own]);
        let left = b.op("Min", [&left, &most]);
        let left = b.reshape(&left, &[-1, 1]);
        let places = b.op("Range", [&zero, &self.map, &one]);
        // `[views, map]`
        let at = b.op("Sub", [&places, &left]);
        let inside = within(b, &at, &own);
        let last = b.op("Sub", [&own, &one]);
        let from_end = b.op("Sub", [&last, &at]);
        let edge = b.op("Min", [&at, &from_end]);
        let edge = b.op("Add", [&edge, &one]);
        let [edge, size, at, shown, first] =
            [&edge, &own, &at, &self.shown, &self.first].map(|value| b.cast(value, DataType::Float));
        let [half, overlap, whole, none] = [0.5, OVERLAP as f32, 1.0, 0.0].map(|value| b.number(value));
        let ramp = b.op("Mul", [&size, &overlap]);
        let ramp = b.op("Max", [&ramp, &whole]);
        let fade = b.op("Div", [&edge, &ramp]);
        let fade = b.op("Min", [&fade, &whole]);
        let fade = b.op("Mul", [&fade, &inside]);
        let sum = b.reduce("ReduceSum", &fade, 0, true);
        let tiny = b.number(f32::MIN_POSITIVE);
        let sum = b.op("Max", [&sum, &tiny]);
        let share = b.op("Div", [&fade, &sum]);
        // bilinear resize with half-pixel centres
        let centre = b.op("Add", [&at, &half]);
        let factor = b.op("Div", [&shown, &size]);
        let centre = b.op("Mul", [&centre, &factor]);
        let centre = b.op("Sub", [&centre, &half]);
        let last = b.op("Sub", [&shown, &whole]);
        let centre = b.op("Clip", [&centre, &none, &last]);
        let centre = b.op("Add", [&centre, &first]);
        let [centre, share] = [&centre, &share].map(|own| b.unsqueeze(own, &[2]));
        let pixels = pixels_of(b, side);
        let pixels = b.cast(&pixels, DataType::Float);
        let away = b.op("Sub", [&pixels, &centre]);
        let away = b.op("Abs", [&away]);
        let near = b.op("Sub", [&whole, &away]);
        let near = b.op("Max", [&near, &none]);
        // `[views, map, side]`
        let matrix = b.op("Mul", [&near, &share]);
        let matrix = b.transpose(&matrix, &[1, 0, 2]);
        let rest = b.integer(-1);
        let shape = shape_of(b, &[&self.map, &rest]);
        b.op("Reshape", [&matrix, &shape])
    }
}

impl Places {
    /// Number of views of an image.
    pub(super) fn views(&self, b: &mut Builder) -> Name {
        b.op("Mul", [&self.down.views, &self.across.views])
    }

    /// Values of all views, `[views * batch, ...]`, as `[views, batch, ...]`; `rest` are the sizes of the other axes.
    pub(super) fn by_view(&self, b: &mut Builder, values: &str, rest: &[i64]) -> Name {
        let views = self.views(b);
        let rest: Vec<Name> = rest.iter().map(|&size| b.integer(size)).collect();
        let mut sizes = vec![&*views, &*self.batch];
        sizes.extend(rest.iter().map(String::as_str));
        let shape = shape_of(b, &sizes);
        b.op("Reshape", [values, &shape])
    }

    /// One map of each image, `[batch, height, width]`, from those of all views, `[views * batch, side, side]`.
    pub(super) fn joined(&self, b: &mut Builder, maps: &str, side: usize) -> Name {
        let side_name = b.integer(side as i64);
        let (down, across) = (&self.down.views, &self.across.views);
        let shape = shape_of(b, &[down, across, &self.batch, &side_name, &side_name]);
        let maps = b.op("Reshape", [maps, &shape]);
        let maps = b.transpose(&maps, &[2, 0, 3, 1, 4]);
        let [rows, columns] = [down, across].map(|views| b.op("Mul", [views, &side_name]));
        let shape = shape_of(b, &[&self.batch, &rows, &columns]);
        let maps = b.op("Reshape", [&maps, &shape]);
        let rows = self.down.joining(b, side);
        let columns = self.across.joining(b, side);
        let columns = b.transpose(&columns, &[1, 0]);
        let short = b.op("MatMul", [&rows, &maps]);
        b.op("MatMul", [&short, &columns])
    }

    /// 1 where a view shows the image, else 0, `[side, side]`.
    pub(super) fn inside(&self, b: &mut Builder) -> Name {
        inside(b, &self.down, &self.across)
    }
}

/// A shape from the sizes of its axes, which are scalars.
fn shape_of(b: &mut Builder, sizes: &[&str]) -> Name {
    let sizes: Vec<Name> = sizes.iter().map(|size| b.reshape(size, &[1])).collect();
    b.concat(&sizes, 0)
}

/// Side of the square that the network sees, in pixels of the image.
pub(super) fn square(b: &mut Builder, layout: InputLayout, side: usize, [height, width]: [&str; 2]) -> Name {
    let long = b.op("Max", [height, width]);
    let short = b.op("Min", [height, width]);
    match layout {
        InputLayout::Squash | InputLayout::Pad => long,
        InputLayout::Crop => short,
        InputLayout::Tile => {
            let side = b.integer(side as i64);
            b.op("Min", [&side, &long])
        }
        InputLayout::Strip => {
            let [most, rest] = [MOST_SQUARES, MOST_SQUARES - 1].map(|value| b.integer(value as i64));
            let least = b.op("Add", [&long, &rest]);
            let least = b.op("Div", [&least, &most]);
            b.op("Max", [&short, &least])
        }
    }
}

/// A size times `to / from`, rounded, at least 1.
fn scaled(b: &mut Builder, size: &str, [to, from]: [&str; 2]) -> Name {
    let [rounded, one] = [rounded(b, [size, to, from]), b.integer(1)];
    b.op("Max", [&rounded, &one])
}

/// `x * y / z` of integers above or equal to 0, rounded.
fn rounded(b: &mut Builder, [x, y, z]: [&str; 3]) -> Name {
    let two = b.integer(2);
    let product = b.op("Mul", [x, y]);
    let twice = b.op("Mul", [&product, &two]);
    let sum = b.op("Add", [&twice, z]);
    let divisor = b.op("Mul", [z, &two]);
    b.op("Div", [&sum, &divisor])
}

/// The places of the network's input, `[side]`.
pub(super) fn pixels_of(b: &mut Builder, side: usize) -> Name {
    b.integers(&(0..side as i64).collect::<Vec<_>>())
}

/// 1 for places from 0 up to but without `end`, else 0.
pub(super) fn within(b: &mut Builder, places: &str, end: &str) -> Name {
    let zero = b.integer(0);
    let behind = b.op("GreaterOrEqual", [places, &zero]);
    let before = b.op("Less", [places, end]);
    let both = b.op("And", [&behind, &before]);
    b.cast(&both, DataType::Float)
}

/// 1 where both lines are inside, `[side, side]`.
pub(super) fn inside(b: &mut Builder, down: &Line, across: &Line) -> Name {
    let column = b.reshape(&down.inside, &[-1, 1]);
    b.op("Mul", [&column, &across.inside])
}

/// Whether there is one view that fills the input, and whose map is that of the image.
pub(super) fn is_plain(b: &mut Builder, side: usize, lines: [&Line; 2]) -> Name {
    let [one, side] = [1, side as i64].map(|value| b.integer(value));
    let mut all: Option<Name> = None;
    for line in lines {
        for (value, expected) in [(&line.views, &one), (&line.shown, &side), (&line.map, &side)] {
            let is = b.op("Equal", [value, expected]);
            all = Some(match all {
                Some(all) => b.op("And", [&all, &is]),
                None => is,
            });
        }
    }
    all.unwrap_or_default()
}
