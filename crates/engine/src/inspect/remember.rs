//! What a detector shows of corrected images to a training, what it remembers of them ([`Memory`](crate::verdict::memory)),
//! and how that changes its maps.

use destseg_kernels::Grid;

use image::{DynamicImage, GrayImage, RgbImage};

use super::{Detection, Detector};
use crate::data::map::AnomalyMap;
use crate::data::placement::ViewLayout;
use crate::order;
use crate::verdict::expected::Scale;
use crate::verdict::memory::{Memory, Remembered};

/// Places of a good image that are remembered: those with the highest values.
const GOOD_PLACES: usize = 6;
/// Places with a lower logit than the threshold's less this stop no good image.
const NEAR: f32 = 2.0;
/// Places of a defect that are remembered: those with the highest values.
const DEFECT_PLACES: usize = 8;

impl Detector {
    /// What there is to remember of an image that was detected: of a good one the places with the highest values, of a
    /// defective one those of the defect. `mask` says where that is ([`Self::mask_pixels`]); without it nobody knows, and
    /// nothing is remembered. Neither is it by models without segmentation network or without a record of the good images.
    pub fn places(&self, found: &Detection, mask: Option<&[bool]>, defective: bool) -> Vec<Remembered> {
        let Some(familiarity) = self.familiarity.as_ref() else {
            return Vec::new();
        };
        let limit = self.calibration.as_ref().map_or(f32::NEG_INFINITY, |own| {
            Scale::Probability.normal(own.image_threshold) - NEAR
        });
        let is_defect = |place: usize| mask.is_some_and(|mask| self.touches(mask, place, &found.cells));
        let is_meant = |&(place, logit): &(usize, f32)| match defective {
            true => is_defect(place),
            false => logit >= limit,
        };
        let logits = found.logits.iter().copied().enumerate();
        let mut all: Vec<(usize, f32)> = logits.filter(is_meant).collect();
        order::sort_by(&mut all, |(_, a), (_, b)| b.total_cmp(a));
        all.truncate(if defective { DEFECT_PLACES } else { GOOD_PLACES });
        let channels = found.cells.channels;
        let cell = |place: usize| familiarity.whiten(&found.cells.data[place * channels..][..channels]);
        all.into_iter()
            .map(|(place, logit)| Remembered::new(logit, &cell(place)))
            .collect()
    }

    /// The views in which an image is shown.
    pub(super) fn layout(&self, image: &RgbImage) -> ViewLayout {
        ViewLayout::new(
            self.settings.fit,
            image.dimensions(),
            self.settings.side,
            self.tile,
        )
    }

    /// The first view of an image as the network sees it, and whether it is the only one.
    pub fn first_view(&self, image: &RgbImage) -> (RgbImage, bool) {
        let layout = self.layout(image);
        let view = layout.views(image).next();
        let side = self.settings.side as u32;
        (
            view.unwrap_or_else(|| RgbImage::new(side, side)),
            layout.is_plain(),
        )
    }

    /// A mask of an image as the network sees it: the pixels of all views, one below the other.
    pub fn mask_pixels(&self, mask: &GrayImage) -> Vec<bool> {
        let mask = DynamicImage::ImageLuma8(mask.clone()).into_rgb8();
        let views = self.layout(&mask);
        let views = views.views(&mask).flat_map(RgbImage::into_raw);
        // all three channels are the same; a small defect leaves little where its mask shrinks
        views.step_by(3).map(|value| value > 0).collect()
    }

    /// Whether a mask marks a pixel of a cell.
    fn touches(&self, mask: &[bool], place: usize, cells: &Grid) -> bool {
        let side = self.settings.side;
        let size = side / cells.width.max(1);
        let (top, left) = (place / cells.width * size, place % cells.width * size);
        let row = |y: usize| mask.get(y * side + left..y * side + left + size);
        (top..top + size).any(|y| row(y).is_some_and(|pixels| pixels.contains(&true)))
    }

    /// A view's detection with the segmentation network's map, which codebook and memory change.
    pub(super) fn with_segmentation(
        &self,
        plain: Detection,
        network: AnomalyMap,
        features: &[Grid; 2],
    ) -> Detection {
        let side = self.settings.side;
        let shifts = self.codebook.as_ref().and_then(|own| own.shifts(features));
        let map = shifts
            .and_then(|shifts| shifted(&network, &shifts))
            .unwrap_or(network);
        let enlarge = |map: &AnomalyMap| map.enlarge(self.settings.upsampling, side, side);
        let own = enlarge(&map);
        let changed = self.remembering(&map, &plain.cells).map(|map| enlarge(&map));
        let logits = highest_logits(&map, &plain.cells);
        if self.network.scores_first_map() {
            let first = self.remembering(&plain.dest, &plain.cells);
            let score = first.as_ref().map_or(plain.dest_score, |map| self.score(map));
            return Detection {
                score,
                dest_score: score,
                segmentation: Some(changed.unwrap_or(own)),
                dest: first.unwrap_or(plain.dest),
                logits,
                ..plain
            };
        }
        let plain_score = self.score(&own);
        Detection {
            score: changed.as_ref().map_or(plain_score, |map| self.score(map)),
            plain_score,
            segmentation: Some(changed.unwrap_or(own)),
            logits,
            ..plain
        }
    }

    /// A view's map as the memory changes it; none where it does not.
    fn remembering(&self, map: &AnomalyMap, cells: &Grid) -> Option<AnomalyMap> {
        let familiarity = self.familiarity.as_ref().filter(|_| !self.memory.is_empty())?;
        let shifts = shifts(&self.memory, cells, |cell| familiarity.whiten(cell))?;
        shifted(map, &shifts)
    }
}

/// A map of probabilities whose logits get these amounts, which are resized to its size.
fn shifted(map: &AnomalyMap, shifts: &AnomalyMap) -> Option<AnomalyMap> {
    let shifts = shifts.resize(map.width(), map.height());
    let scale = Scale::Probability;
    let both = map.values().iter().zip(shifts.values());
    let values = both.map(|(&value, shift)| scale.score(scale.normal(value) + shift));
    AnomalyMap::new(map.width(), map.height(), values.collect())
}

/// What a memory adds to the logit of each cell; none where it adds nothing.
fn shifts(memory: &Memory, cells: &Grid, whiten: impl Fn(&[f32]) -> Vec<f32>) -> Option<AnomalyMap> {
    let cell = |cell: &[f32]| memory.shift(&whiten(cell));
    let values = cells.data.chunks_exact(cells.channels.max(1)).map(cell);
    AnomalyMap::new(cells.width, cells.height, values.collect())
}

/// The highest logit of a map of probabilities in each cell.
fn highest_logits(map: &AnomalyMap, cells: &Grid) -> Vec<f32> {
    let mut highest = vec![0.0_f32; cells.width * cells.height];
    if highest.is_empty() {
        return Vec::new();
    }
    for (place, &value) in map.values().iter().enumerate() {
        let (y, x) = (place / map.width(), place % map.width());
        let cell = y * cells.height / map.height() * cells.width + x * cells.width / map.width();
        highest[cell] = highest[cell].max(value);
    }
    highest
        .into_iter()
        .map(|value| Scale::Probability.normal(value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_highest_logit_of_its_pixels() {
        let values = (0..64).map(|place| if place == 27 { 0.5 } else { 0.1 }).collect();
        let map = AnomalyMap::new(8, 8, values).expect("sizes agree");
        // pixel 27 is at row 3, column 3
        let logits = highest_logits(&map, &Grid::zeros(2, 2, 1));
        assert!(logits[0].abs() < 1e-6 && logits[1..].iter().all(|own| (own + 2.197).abs() < 1e-3));
    }
}
