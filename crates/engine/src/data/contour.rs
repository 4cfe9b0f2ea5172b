//! Outlines of the region above a threshold (marching squares).

use crate::data::map::AnomalyMap;

/// No neighbour: marks grid edges that the outline does not cross.
const NONE: usize = usize::MAX;

/// Closed outlines around all values of at least `threshold`, as points in map pixels.
///
/// The centre of the first pixel is (0.5, 0.5); the last point of an outline joins the first. Holes
/// have outlines of their own. A region that touches the border is closed along the border.
pub fn contours(map: &AnomalyMap, threshold: f32) -> Vec<Vec<(f32, f32)>> {
    Grid { map, threshold }.outlines()
}

/// The map with a ring of pixels around it that are always below the threshold.
///
/// Corners are numbered from 0 with the ring included; every corner owns the edge to its right
/// (even numbers) and the edge below it (odd numbers).
struct Grid<'a> {
    map: &'a AnomalyMap,
    threshold: f32,
}

impl Grid<'_> {
    fn columns(&self) -> usize {
        self.map.width() + 2
    }

    fn rows(&self) -> usize {
        self.map.height() + 2
    }

    /// The value at a corner, `None` on the ring.
    fn value(&self, x: usize, y: usize) -> Option<f32> {
        let inside = x > 0 && y > 0 && x <= self.map.width() && y <= self.map.height();
        inside.then(|| self.map.values()[(y - 1) * self.map.width() + x - 1])
    }

    fn is_high(&self, x: usize, y: usize) -> bool {
        self.value(x, y).is_some_and(|value| value >= self.threshold)
    }

    fn edge(&self, x: usize, y: usize, down: bool) -> usize {
        2 * (y * self.columns() + x) + usize::from(down)
    }

    /// Where the outline crosses an edge, in map pixels.
    fn crossing(&self, edge: usize) -> (f32, f32) {
        let (corner, down) = (edge / 2, edge % 2);
        let (x, y) = (corner % self.columns(), corner / self.columns());
        let (x2, y2) = (x + 1 - down, y + down);
        let share = match (self.value(x, y), self.value(x2, y2)) {
            (Some(a), Some(b)) if a != b => ((self.threshold - a) / (b - a)).clamp(0.0, 1.0),
            // towards the ring: half way, which is the border of the image
            _ => 0.5,
        };
        let (right, below) = if down == 1 { (0.0, share) } else { (share, 0.0) };
        // corner 1 is the centre of the first pixel
        (x as f32 + right - 0.5, y as f32 + below - 0.5)
    }

    /// Whether the high corners of a cell with two opposite high corners are joined.
    fn joined(&self, x: usize, y: usize) -> bool {
        let corners = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
        let values = corners.map(|(x, y)| self.value(x, y));
        // on the ring there is no mean, and parts stay apart
        let sum = values
            .iter()
            .try_fold(0.0, |sum, value| value.map(|value| sum + value));
        sum.is_some_and(|sum| sum / 4.0 >= self.threshold)
    }

    /// For every edge the edge that the outline crosses next, high values on its right.
    fn links(&self) -> Vec<usize> {
        let mut next = vec![NONE; 2 * self.columns() * self.rows()];
        for y in 0..self.rows() - 1 {
            for x in 0..self.columns() - 1 {
                let (top, bottom) = (self.edge(x, y, false), self.edge(x, y + 1, false));
                let (left, right) = (self.edge(x, y, true), self.edge(x + 1, y, true));
                let high = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)].map(|(x, y)| self.is_high(x, y));
                let mut link = |from, to| next[from] = to;
                match high.map(u8::from) {
                    [0, 0, 0, 0] | [1, 1, 1, 1] => {}
                    [1, 0, 0, 0] => link(top, left),
                    [0, 1, 0, 0] => link(right, top),
                    [0, 0, 1, 0] => link(bottom, right),
                    [0, 0, 0, 1] => link(left, bottom),
                    [1, 1, 0, 0] => link(right, left),
                    [0, 1, 1, 0] => link(bottom, top),
                    [0, 0, 1, 1] => link(left, right),
                    [1, 0, 0, 1] => link(top, bottom),
                    [0, 1, 1, 1] => link(left, top),
                    [1, 0, 1, 1] => link(top, right),
                    [1, 1, 0, 1] => link(right, bottom),
                    [1, 1, 1, 0] => link(bottom, left),
                    [first, ..] => {
                        let along = (first == 1) == self.joined(x, y);
                        let pairs = match (first == 1, along) {
                            (true, true) => [(top, right), (bottom, left)],
                            (true, false) => [(top, left), (bottom, right)],
                            (false, false) => [(left, top), (right, bottom)],
                            (false, true) => [(right, top), (left, bottom)],
                        };
                        pairs.into_iter().for_each(|(from, to)| link(from, to));
                    }
                }
            }
        }
        next
    }

    /// Follows the links round until none is left.
    fn outlines(&self) -> Vec<Vec<(f32, f32)>> {
        let mut next = self.links();
        let mut outlines = Vec::new();
        for start in 0..next.len() {
            let mut outline = Vec::new();
            let mut edge = start;
            while next[edge] != NONE {
                outline.push(self.crossing(edge));
                edge = std::mem::replace(&mut next[edge], NONE);
            }
            if !outline.is_empty() {
                outlines.push(outline);
            }
        }
        outlines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even-odd rule: whether the outlines enclose a point.
    fn encloses(outlines: &[Vec<(f32, f32)>], (x, y): (f32, f32)) -> bool {
        let crossings = outlines.iter().flat_map(|outline| {
            let ends = outline.iter().cycle().skip(1);
            outline.iter().zip(ends).filter(|((x1, y1), (x2, y2))| {
                (*y1 > y) != (*y2 > y) && x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
            })
        });
        crossings.count() % 2 == 1
    }

    /// Numbers in `0..1` that look random.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..count).map(|_| step()).collect()
    }

    #[test]
    fn encloses_exactly_the_pixels_above_the_threshold() {
        for (seed, threshold) in [(1, 0.2), (2, 0.5), (3, 0.5), (4, 0.8), (5, 0.95)] {
            let (width, height) = (13, 9);
            let map = AnomalyMap::new(width, height, noise(width * height, seed)).expect("sizes agree");
            let outlines = contours(&map, threshold);
            for (i, &value) in map.values().iter().enumerate() {
                // a little off the centre, so that no corner of an outline lies on the test ray
                let point = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5001);
                assert_eq!(
                    encloses(&outlines, point),
                    value >= threshold,
                    "seed {seed}, pixel {i}"
                );
            }
        }
    }

    #[test]
    fn a_full_map_is_outlined_along_its_border() {
        let map = AnomalyMap::new(4, 3, vec![1.0; 12]).expect("sizes agree");
        let outlines = contours(&map, 0.5);
        assert_eq!(outlines.len(), 1);
        assert!(
            outlines[0]
                .iter()
                .all(|&(x, y)| x == 0.0 || x == 4.0 || y == 0.0 || y == 3.0)
        );
    }

    #[test]
    fn a_hole_has_its_own_outline_and_nothing_has_none() {
        let mut values = vec![1.0; 25];
        values[12] = 0.0;
        let map = AnomalyMap::new(5, 5, values).expect("sizes agree");
        assert_eq!(contours(&map, 0.5).len(), 2);
        assert!(contours(&map, 2.0).is_empty());
        assert!(contours(&AnomalyMap::new(0, 0, vec![]).expect("sizes agree"), 0.5).is_empty());
    }

    #[test]
    fn crossings_lie_where_the_line_between_two_values_meets_the_threshold() {
        let map = AnomalyMap::new(2, 1, vec![1.0, 0.0]).expect("sizes agree");
        let outlines = contours(&map, 0.75);
        assert!(
            outlines[0].iter().any(|&(x, y)| x == 0.75 && y == 0.5),
            "{outlines:?}"
        );
    }
}
