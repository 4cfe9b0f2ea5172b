//! Connected regions: of ground-truth masks for the metrics, and of a map above a threshold, which
//! are the instances of a defect that the model found.

use serde::Serialize;

use crate::data::map::AnomalyMap;
use crate::order;

/// Region of a pixel that belongs to none.
pub(crate) const NONE: u32 = u32::MAX;

/// Numbers the 8-connected regions of one image's mask from `first` on; `regions` receives the
/// number of each pixel or [`NONE`]. Returns the next free number.
pub(crate) fn label(mask: &[bool], width: usize, first: u32, regions: &mut [u32]) -> u32 {
    regions.fill(NONE);
    let mut next = first;
    let mut open = Vec::new();
    for start in 0..mask.len() {
        if !mask[start] || regions[start] != NONE {
            continue;
        }
        regions[start] = next;
        open.push(start);
        while let Some(at) = open.pop() {
            let (x, y) = (at % width, at / width);
            let columns = x.saturating_sub(1)..=(x + 1).min(width - 1);
            let rows = y.saturating_sub(1)..=(y + 1).min(mask.len() / width - 1);
            for neighbour in rows.flat_map(|row| columns.clone().map(move |column| row * width + column)) {
                if mask[neighbour] && regions[neighbour] == NONE {
                    regions[neighbour] = next;
                    open.push(neighbour);
                }
            }
        }
        next += 1;
    }
    next
}

/// The places of each 8-connected region's pixels in a mask, row by row.
pub(crate) fn pixels(mask: &[bool], width: usize) -> Vec<Vec<usize>> {
    let mut numbers = vec![NONE; mask.len()];
    let count = label(mask, width, 0, &mut numbers);
    let mut regions = vec![Vec::new(); count as usize];
    for (at, &number) in numbers.iter().enumerate() {
        if let Some(region) = regions.get_mut(number as usize) {
            region.push(at);
        }
    }
    regions
}

/// One connected region of a map at or above a threshold, in pixels of the inspected image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width of the bounding box.
    pub width: f32,
    /// Height of the bounding box.
    pub height: f32,
    /// Area in square pixels.
    pub area: f32,
    /// Highest value in it.
    pub peak: f32,
    /// Mean value.
    pub mean: f32,
}

/// The 8-connected regions of `map` at or above `threshold`, highest peak first, for an image of
/// `width` x `height` pixels that the map covers.
pub fn instances(map: &AnomalyMap, threshold: f32, (width, height): (u32, u32)) -> Vec<Instance> {
    if map.values().is_empty() {
        return Vec::new();
    }
    let mask: Vec<bool> = map.values().iter().map(|&value| value >= threshold).collect();
    let mut numbers = vec![NONE; mask.len()];
    let count = label(&mask, map.width(), 0, &mut numbers);
    let mut found = vec![Extent::default(); count as usize];
    for (at, (&number, &value)) in numbers.iter().zip(map.values()).enumerate() {
        if number != NONE {
            found[number as usize].add(at % map.width(), at / map.width(), value);
        }
    }
    let scale = [
        width as f32 / map.width() as f32,
        height as f32 / map.height() as f32,
    ];
    let mut instances: Vec<Instance> = found.iter().map(|extent| extent.instance(scale)).collect();
    order::sort_by(&mut instances, |a, b| b.peak.total_cmp(&a.peak));
    instances
}

/// What is gathered of a region, in pixels of the map.
#[derive(Debug, Clone, Copy)]
struct Extent {
    columns: (usize, usize),
    rows: (usize, usize),
    area: usize,
    peak: f32,
    sum: f64,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            columns: (usize::MAX, 0),
            rows: (usize::MAX, 0),
            area: 0,
            peak: f32::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Extent {
    fn add(&mut self, x: usize, y: usize, value: f32) {
        self.columns = (self.columns.0.min(x), self.columns.1.max(x + 1));
        self.rows = (self.rows.0.min(y), self.rows.1.max(y + 1));
        self.area += 1;
        self.peak = self.peak.max(value);
        self.sum += f64::from(value);
    }

    fn instance(&self, [across, down]: [f32; 2]) -> Instance {
        Instance {
            x: self.columns.0 as f32 * across,
            y: self.rows.0 as f32 * down,
            width: (self.columns.1 - self.columns.0) as f32 * across,
            height: (self.rows.1 - self.rows.0) as f32 * down,
            area: self.area as f32 * across * down,
            peak: self.peak,
            mean: (self.sum / self.area.max(1) as f64) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_connect_and_rows_do_not_wrap() {
        let picture = "#..#
                       .#..
                       ...#
                       #..#";
        let mask: Vec<bool> = picture
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c == '#')
            .collect();
        let mut regions = vec![0; 16];
        assert_eq!(label(&mask, 4, 5, &mut regions), 9);
        const N: u32 = NONE;
        assert_eq!(regions, [5, N, N, 6, N, 5, N, N, N, N, N, 7, 8, N, N, 7]);
    }

    #[test]
    fn instances_are_measured_in_pixels_of_the_image() {
        let values = vec![0.9, 0.1, 0.0, 0.5, 0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.6];
        let map = AnomalyMap::new(4, 3, values).expect("sizes agree");
        let found = instances(&map, 0.5, (8, 9));
        assert_eq!(found.len(), 3);
        let first = &found[0];
        assert_eq!(
            (first.x, first.y, first.width, first.height),
            (0.0, 0.0, 2.0, 6.0)
        );
        assert_eq!((first.area, first.peak), (12.0, 0.9));
        assert!((first.mean - 0.8).abs() < 1e-6);
        assert_eq!((found[1].x, found[1].y, found[1].peak), (6.0, 6.0, 0.6));
        assert!(instances(&map, 0.95, (8, 9)).is_empty());
    }
}
