//! From a network's map to that of the whole input, and from maps to scores.

use super::builder::{Builder, Name, int, ints};
use super::places::Places;
use super::view::Views;
use crate::config::ImageScore;
use crate::data::map::{AnomalyMap, SCORE_PIXELS, SCORE_WINDOW};
use crate::inspect::InputSettings;

impl Builder {
    /// Maps `[batch, from, from]` at another size. `change` does it with a map that has one row; both sides of a map are
    /// treated alike, and each value of the result is a weighted sum of values, so that row says all weights.
    pub(super) fn scaled_map(
        &mut self,
        name: &str,
        maps: &str,
        from: usize,
        change: impl Fn(&AnomalyMap) -> AnomalyMap,
    ) -> Name {
        let columns: Vec<Vec<f32>> = (0..from)
            .map(|place| {
                let values = (0..from).map(|other| f32::from(u8::from(other == place)));
                let line = AnomalyMap::new(from, 1, values.collect());
                line.map_or_else(Vec::new, |line| change(&line).values().to_vec())
            })
            .collect();
        let to = columns.first().map_or(0, Vec::len);
        let transposed: Vec<f32> = columns.concat();
        let right = self.weights(name, &[from, to], &transposed);
        let left = self.transpose(&right, &[1, 0]);
        let short = self.op("MatMul", [&left, maps]);
        self.op("MatMul", [&short, &right])
    }
}

/// The image scores, `[batch]`, of the views' maps `[views * batch, side, side]`: the highest of each image's views.
pub(super) fn scores(b: &mut Builder, views: &Views, maps: &str, settings: &InputSettings) -> Name {
    let pixels = settings.side * settings.side;
    let mut values = maps.to_owned();
    let mut count = b.number(SCORE_PIXELS.min(pixels) as f32);
    if let Some(places) = &views.places {
        // only what shows the image counts
        let inside = places.inside(b);
        values = b.op("Mul", [&values, &inside]);
        let area = b.reshape(&inside, &[-1]);
        let area = b.reduce("ReduceSum", &area, 0, false);
        count = b.op("Min", [&count, &area]);
    }
    let flat = b.reshape(&values, &[0, pixels as i64]);
    let scores = match settings.score {
        ImageScore::Maximum => b.reduce("ReduceMax", &flat, 1, false),
        ImageScore::MeanOfLargest => {
            let largest = largest(b, &flat, SCORE_PIXELS.min(pixels));
            let sum = b.reduce("ReduceSum", &largest, 1, false);
            b.op("Div", [&sum, &count])
        }
        ImageScore::LargestWindow => {
            let (side, window) = (settings.side as i64, SCORE_WINDOW as i64);
            let planes = b.reshape(&values, &[-1, 1, side, side]);
            let attributes = vec![
                ints("kernel_shape", &[window; 2]),
                ints("pads", &[window / 2; 4]),
                int("count_include_pad", 1),
            ];
            let means = b.node("AveragePool", [&planes], attributes);
            let flat = b.reshape(&means, &[-1, pixels as i64]);
            b.reduce("ReduceMax", &flat, 1, false)
        }
    };
    highest(b, views.places.as_ref(), scores)
}

/// Of each image the highest score of its views.
pub(super) fn highest(b: &mut Builder, places: Option<&Places>, scores: Name) -> Name {
    let Some(places) = places else { return scores };
    let by_view = places.by_view(b, &scores, &[]);
    b.reduce("ReduceMax", &by_view, 0, false)
}

/// The largest values of each row.
fn largest(b: &mut Builder, rows: &str, count: usize) -> Name {
    let count = b.integers(&[count as i64]);
    let [values, _] = b.node_of("TopK", "TopK", &[rows, &count], vec![int("axis", 1)]);
    values
}
