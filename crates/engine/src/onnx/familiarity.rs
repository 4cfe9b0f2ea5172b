//! Whether images show the part that the model knows, as [`crate::inspect::familiarity`] decides it.

use super::builder::{Builder, Name, int, ints};
use super::places::Places;
use super::proto::DataType;
use super::view::Views;
use crate::Result;
use crate::arch::weights::Weights;
use crate::inspect::familiarity::appearance::{BLACK, NOISE, PIXELS, SIDE, changed};
use crate::inspect::familiarity::{AppearanceRecord, FamiliarityRecord, MEAN, PREFIX, TEMPLATE, WHITENING};
use crate::verdict::difference::Difference;

/// Cells of the views, whitened, `[views * batch, cells, channels]`.
pub(super) struct Cells {
    whitened: Name,
    /// Rows, and columns.
    pub(super) side: usize,
    /// Numbers of a cell.
    pub(super) channels: usize,
}

impl Cells {
    /// The cells of the teacher's normalised features, which have so many channels, at 1/16 of the input's side.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) naming a missing tensor of the record.
    pub(super) fn new(
        b: &mut Builder,
        weights: &Weights,
        features: &[Name],
        channels: usize,
        side: usize,
    ) -> Result<Self> {
        let [own, wide] = [1, 2].map(|level| {
            let attributes = vec![
                ints("kernel_shape", &[3; 2]),
                ints("pads", &[1; 4]),
                int("count_include_pad", 0),
            ];
            b.node("AveragePool", [&features[level]], attributes)
        });
        let own = mean_of_blocks(b, &own, 2);
        let cells = b.concat(&[own, wide], 1);
        let count = side * side;
        let cells = b.reshape(&cells, &[0, channels as i64, count as i64]);
        let cells = b.transpose(&cells, &[0, 2, 1]);
        let mean = &weights.get(&format!("{PREFIX}{MEAN}"))?.data;
        let triangle = &weights.get(&format!("{PREFIX}{WHITENING}"))?.data;
        let mut matrix = vec![0.0; channels * channels];
        for row in 0..channels {
            let own = &triangle[row * (row + 1) / 2..][..=row];
            own.iter()
                .enumerate()
                .for_each(|(column, &value)| matrix[column * channels + row] = value);
        }
        let mean = b.weights(&format!("{PREFIX}{MEAN}"), &[channels], mean);
        let matrix = b.weights(&format!("{PREFIX}{WHITENING}"), &[channels; 2], &matrix);
        let centred = b.op("Sub", [&cells, &mean]);
        Ok(Self {
            whitened: b.op("MatMul", [&centred, &matrix]),
            side,
            channels,
        })
    }

    /// The cells.
    pub(super) fn whitened(&self) -> &str {
        &self.whitened
    }

    /// The median over the cells of all views of how far they are from those of good images, `[batch]`.
    fn median(&self, b: &mut Builder, places: Option<&Places>) -> Name {
        let squares = b.op("Mul", [&self.whitened, &self.whitened]);
        let mean = b.reduce("ReduceMean", &squares, 2, false);
        let mut distances = b.op("Sqrt", [&mean]);
        let count = self.side * self.side;
        let middle = match places {
            None => b.integer((count / 2) as i64),
            Some(places) => {
                let by_view = places.by_view(b, &distances, &[count as i64]);
                let by_image = b.transpose(&by_view, &[1, 0, 2]);
                // `[batch, views * cells]`
                distances = b.op("Flatten", [&by_image]);
                let own = b.integer(count as i64);
                let two = b.integer(2);
                let views = places.views(b);
                let all = b.op("Mul", [&views, &own]);
                b.op("Div", [&all, &two])
            }
        };
        let one = b.integer(1);
        let smallest = b.op("Add", [&middle, &one]);
        let smallest = b.reshape(&smallest, &[1]);
        let attributes = vec![int("axis", 1), int("largest", 0)];
        let [values, _] = b.node_of("TopK", "TopK", &[&distances, &smallest], attributes);
        b.node("Gather", [&values, &middle], vec![int("axis", 1)])
    }
}

/// What is known of images.
pub(super) struct Judged {
    /// Distance from the good images, `[batch]`.
    pub(super) distance: Name,
    /// Number of the difference among [`Difference::ALL`], from 1 on; 0 for none. `[batch]`, 64-bit integers.
    pub(super) difference: Name,
}

/// How far images are from the good ones, and how they differ.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming a missing tensor of the record.
pub(super) fn judge(
    b: &mut Builder,
    record: &FamiliarityRecord,
    weights: &Weights,
    cells: &Cells,
    views: &Views,
    side: usize,
) -> Result<Judged> {
    let distance = cells.median(b, views.places.as_ref());
    let limit = b.number(record.limit);
    let is_far = b.op("Greater", [&distance, &limit]);
    let Some(appearance) = &record.appearance else {
        return Ok(Judged {
            distance,
            difference: b.cast(&is_far, DataType::Int64),
        });
    };
    let template = &weights.get(&format!("{PREFIX}{TEMPLATE}"))?.data;
    let is_far = b.reshape(&is_far, &[-1, 1]);
    let (difference, beyond) = difference(b, appearance, template, &is_far, views, side);
    let beyond = b.op("Mul", [&beyond, &limit]);
    Ok(Judged {
        distance: b.op("Max", [&distance, &beyond]),
        difference,
    })
}

/// A difference, whether there is one, and how far beyond its limit; all `[batch, 1]`.
struct Found {
    number: Name,
    is_there: Name,
    beyond: Name,
}

/// How images differ, and how far beyond the limit that is (0 for none), `[batch]`.
fn difference(
    b: &mut Builder,
    record: &AppearanceRecord,
    template: &[f32],
    is_far: &str,
    views: &Views,
    side: usize,
) -> (Name, Name) {
    let light = light(b, record, views);
    let (pose, framing, fit) = framing(b, record, template, is_far, views, side);
    // part of the image alone has another mean colour, too; another light leaves the framing as it is
    let [none, zero, part] = [b.number(0.0), b.integer(0), number(b, Difference::Part)];
    let light_or_none = choose(b, &light.is_there, [&light.number, &zero], [&light.beyond, &none]);
    let near = choose(
        b,
        &framing.is_there,
        [&framing.number, &light_or_none.0],
        [&framing.beyond, &light_or_none.1],
    );
    let one = b.number(1.0);
    let far = if record.is_sharp() {
        let well = b.number(record.fits_well());
        let mut is_the_part = b.op("LessOrEqual", [&fit, &well]);
        if let Some(places) = &views.places {
            is_the_part = b.op("And", [&is_the_part, &places.is_plain]);
        }
        let is_light = b.op("And", [&is_the_part, &light.is_there]);
        choose(b, &is_light, [&light.number, &part], [&light.beyond, &one])
    } else {
        (part, one)
    };
    let is_near = b.op("Not", [is_far]);
    let is_near = b.op("Or", [&is_near, &pose]);
    let (number, beyond) = choose(b, &is_near, [&near.0, &far.0], [&near.1, &far.1]);
    (b.reshape(&number, &[-1]), b.reshape(&beyond, &[-1]))
}

/// The first number and distance where a condition holds, else the second ones.
fn choose(b: &mut Builder, condition: &str, numbers: [&str; 2], beyond: [&str; 2]) -> (Name, Name) {
    let [number, beyond] = [numbers, beyond].map(|[yes, no]| b.op("Where", [condition, yes, no]));
    (number, beyond)
}

/// A difference's number.
fn number(b: &mut Builder, difference: Difference) -> Name {
    let place = Difference::ALL.iter().position(|&own| own == difference);
    b.integer(place.map_or(0, |place| place as i64 + 1))
}

/// Whether the light is another.
fn light(b: &mut Builder, record: &AppearanceRecord, views: &Views) -> Found {
    let means = b.op("GlobalAveragePool", [&views.pixels]);
    let means = b.reshape(&means, &[0, 3]);
    let black = b.number(BLACK);
    let means = b.op("Add", [&means, &black]);
    let logarithms = b.op("Log", [&means]);
    // mean of the channels, red and blue against green
    let share = 1.0 / 3.0;
    let mix = [share, 1.0, 0.0, share, -1.0, -1.0, share, 0.0, 1.0];
    let mix = b.weights("light", &[3, 3], &mix);
    let mut light = b.op("MatMul", [&logarithms, &mix]);
    if let Some(places) = &views.places {
        let by_view = places.by_view(b, &light, &[3]);
        light = b.reduce("ReduceMean", &by_view, 0, false);
    }
    let usual = b.weights("usual_light", &[3], &record.light);
    let limits = b.weights("light_limits", &[3], &record.light_limits);
    let apart = b.op("Sub", [&light, &usual]);
    let size = b.op("Abs", [&apart]);
    let beyond = b.op("Div", [&size, &limits]);
    let farthest = b.reduce("ReduceMax", &beyond, 1, true);
    let brightness = b.slice(&beyond, 1, (0, 1));
    let is_tint = b.op("Less", [&brightness, &farthest]);
    let brighter = b.slice(&apart, 1, (0, 1));
    let [none, one] = [0.0, 1.0].map(|value| b.number(value));
    let is_brighter = b.op("Greater", [&brighter, &none]);
    let names = [Difference::Brighter, Difference::Darker, Difference::Tint];
    let [bright, dark, tint] = names.map(|own| number(b, own));
    let number = b.op("Where", [&is_brighter, &bright, &dark]);
    Found {
        number: b.op("Where", [&is_tint, &tint, &number]),
        is_there: b.op("Greater", [&farthest, &one]),
        beyond: farthest,
    }
}

/// Whether the part is turned, nearer or further away; whether the framing is another in any way; how well the image fits the
/// template. All `[batch, 1]`.
fn framing(
    b: &mut Builder,
    record: &AppearanceRecord,
    template: &[f32],
    is_far: &str,
    views: &Views,
    side: usize,
) -> (Name, Found, Name) {
    let picture = small_picture(b, views, side);
    let changed = changed(template);
    let counts = changed.each_ref().map(Vec::len);
    let templates: Vec<f32> = [template.to_vec()]
        .into_iter()
        .chain(changed.into_iter().flatten())
        .flatten()
        .collect();
    let templates = b.weights(
        &format!("{PREFIX}{TEMPLATE}"),
        &[templates.len() / PIXELS, PIXELS],
        &templates,
    );
    let picture = b.unsqueeze(&picture, &[1]);
    let apart = b.op("Sub", [&picture, &templates]);
    let squares = b.op("Mul", [&apart, &apart]);
    let mean = b.reduce("ReduceMean", &squares, 2, false);
    let noise = b.number(NOISE);
    let mean = b.op("Add", [&mean, &noise]);
    let fits = b.op("Log", [&mean]);
    let own = b.slice(&fits, 1, (0, 1));
    let mut first = 1;
    let best = counts.map(|count| {
        let range = (first, first + count as i64);
        first = range.1;
        let fits = b.slice(&fits, 1, range);
        b.reduce("ReduceMin", &fits, 1, true)
    });
    let best = b.concat(&best, 1);
    // another part fits no template, however it is changed
    let [well, limit, one, none] =
        [record.fits_well(), record.framing_limit, 1.0, 0.0].map(|value| b.number(value));
    let fitting = b.op("Where", [is_far, &well, &limit]);
    let better = b.op("Sub", [&own, &best]);
    let limits = b.weights("better_limits", &[3], &record.better_limits);
    let better = b.op("Sub", [&better, &limits]);
    let beyond = b.op("Exp", [&better]);
    let fits = b.op("LessOrEqual", [&best, &fitting]);
    let beyond = b.op("Where", [&fits, &beyond, &none]);
    let most = b.reduce("ReduceMax", &beyond, 1, true);
    let which = b.node("ArgMax", [&beyond], vec![int("axis", 1), int("keepdims", 1)]);
    // the three follow each other
    let turned = number(b, Difference::Turned);
    let which = b.op("Add", [&which, &turned]);
    let mut is_pose = b.op("Greater", [&most, &one]);
    let beyond = b.op("Sub", [&own, &limit]);
    let beyond = b.op("Exp", [&beyond]);
    let mut is_framing = b.op("Greater", [&beyond, &one]);
    if let Some(places) = &views.places {
        // several views have no framing
        is_pose = b.op("And", [&is_pose, &places.is_plain]);
        is_framing = b.op("And", [&is_framing, &places.is_plain]);
    }
    let framed = number(b, Difference::Framing);
    let (number, beyond) = choose(b, &is_pose, [&which, &framed], [&most, &beyond]);
    let found = Found {
        number,
        is_there: b.op("Or", [&is_pose, &is_framing]),
        beyond,
    };
    (is_pose, found, own)
}

/// Where images are bright, with mean 0 and standard deviation 1, `[batch, PIXELS]`.
fn small_picture(b: &mut Builder, views: &Views, side: usize) -> Name {
    let mut pixels = views.pixels.clone();
    if let Some(places) = &views.places {
        // it counts only where each image has one view
        let [zero, end] = [b.integers(&[0]), b.reshape(&places.batch, &[1])];
        pixels = b.op("Slice", [&pixels, &zero, &end, &zero]);
    }
    let blocks = mean_of_blocks(b, &pixels, side / SIDE);
    let grey = b.reduce("ReduceMean", &blocks, 1, false);
    let flat = b.reshape(&grey, &[0, PIXELS as i64]);
    let mean = b.reduce("ReduceMean", &flat, 1, true);
    let centred = b.op("Sub", [&flat, &mean]);
    let squares = b.op("Mul", [&centred, &centred]);
    let variance = b.reduce("ReduceMean", &squares, 1, true);
    let deviation = b.op("Sqrt", [&variance]);
    let noise = b.number(NOISE);
    let deviation = b.op("Add", [&deviation, &noise]);
    b.op("Div", [&centred, &deviation])
}

/// The mean of each block of `side` x `side` pixels.
fn mean_of_blocks(b: &mut Builder, x: &str, side: usize) -> Name {
    let size = [side as i64; 2];
    b.node(
        "AveragePool",
        [x],
        vec![ints("kernel_shape", &size), ints("strides", &size)],
    )
}
