//! What a network says of one image, before class and mask are known, and what of it is kept.

use ::image::codecs::jpeg::JpegEncoder;

use super::detail::{Instance, Outline};
use crate::data::contour::contours;
use crate::data::image::{self, RgbImage};
use crate::data::map::AnomalyMap;
use crate::data::regions;
use crate::inspect::{Detection, Detector};
use crate::platform::now_ms;
use crate::verdict::difference::Difference;
use crate::{Error, Result};

/// Longer side of the small pictures of an evaluation in pixels.
pub const PICTURE: u32 = 256;
/// Quality of the small pictures, in percent.
const QUALITY: u8 = 80;
/// Corners of outlines that deviate by less than this many pixels are left out.
const SMOOTH: f32 = 0.4;

/// What a network says of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Columns and rows of the image.
    pub size: (u32, u32),
    /// A small picture of it as JPEG file.
    pub picture: Vec<u8>,
    /// Time that the network took.
    pub milliseconds: f64,
    /// Image score of the map that decides.
    pub score: f32,
    /// Image score of the DeST map.
    pub dest_score: f32,
    /// Distance from the good images, where the model has a record of them.
    pub distance: Option<f32>,
    /// How an image differs from the good ones whose distance is beyond the limit.
    pub difference: Option<Difference>,
    /// The segmentation network's map, if there is such a network.
    pub segmentation: Option<AnomalyMap>,
    /// The DeST map.
    pub dest: AnomalyMap,
}

impl Prediction {
    /// Looks at an image file; the inner error says why it cannot be used.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn of(detector: &Detector, bytes: &[u8]) -> Result<std::result::Result<Self, String>> {
        let image = match image::decode(bytes) {
            Ok(image) => image,
            Err(err) => return Ok(Err(err.to_string())),
        };
        let start = now_ms();
        let Detection {
            segmentation,
            dest,
            score,
            dest_score,
            distance,
            difference,
            ..
        } = detector.detect(&image).await?;
        Ok(Ok(Self {
            size: image.dimensions(),
            milliseconds: now_ms() - start,
            picture: small_picture(&image, PICTURE)?,
            score,
            dest_score,
            distance,
            difference,
            segmentation,
            dest,
        }))
    }

    /// The map that decides.
    pub fn map(&self) -> &AnomalyMap {
        self.segmentation.as_ref().unwrap_or(&self.dest)
    }
}

/// The true defects: at which threshold more than half of each is found.
pub(super) fn instances(map: &AnomalyMap, truth: &[bool]) -> Vec<Instance> {
    let mut numbers = vec![regions::NONE; truth.len()];
    let count = regions::label(truth, map.width(), 0, &mut numbers);
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); count as usize];
    for (&value, &number) in map.values().iter().zip(&numbers) {
        if let Some(own) = values.get_mut(number as usize) {
            own.push(value);
        }
    }
    values
        .into_iter()
        .map(|mut values| {
            values.sort_by(|a, b| b.total_cmp(a));
            Instance {
                area: values.len(),
                found_at: values.get(values.len() / 2).copied().unwrap_or_default(),
            }
        })
        .collect()
}

/// Outlines with the corners that can be seen, in tenths of a pixel.
pub(super) fn outlines(map: &AnomalyMap, threshold: f32) -> Vec<Outline> {
    let round = |value: f32| (10.0 * value).round() / 10.0;
    let outlines = contours(map, threshold).into_iter();
    let simple = outlines.map(|outline| simplified(&outline));
    simple
        .map(|outline| outline.into_iter().map(|(x, y)| (round(x), round(y))).collect())
        .collect()
}

/// The corners without those that are nearly on the line between their neighbours (Douglas and Peucker,
/// 1973).
fn simplified(points: &[(f32, f32)]) -> Outline {
    let Some(last) = points.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut keep = vec![false; points.len()];
    keep[0] = true;
    keep[last] = true;
    let mut open = vec![(0, last)];
    while let Some((from, to)) = open.pop() {
        let ((ax, ay), (bx, by)) = (points[from], points[to]);
        let (dx, dy) = (bx - ax, by - ay);
        let length = dx.hypot(dy);
        let off = |&(x, y): &(f32, f32)| {
            if length > 0.0 {
                ((x - ax) * dy - (y - ay) * dx).abs() / length
            } else {
                (x - ax).hypot(y - ay)
            }
        };
        let inner = points.iter().enumerate().take(to).skip(from + 1);
        let farthest = inner
            .map(|(at, point)| (off(point), at))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((off, at)) = farthest
            && off > SMOOTH
        {
            keep[at] = true;
            open.extend([(from, at), (at, to)]);
        }
    }
    let kept = points.iter().zip(keep.iter()).filter(|(_, keep)| **keep);
    kept.map(|(point, _)| *point).collect()
}

/// A small JPEG file of an image; its longer side has `most` pixels, or fewer if the image has.
///
/// # Errors
/// [`Error::Image`] if it cannot be written.
pub fn small_picture(image: &RgbImage, most: u32) -> Result<Vec<u8>> {
    let (width, height) = image.dimensions();
    let longer = width.max(height).max(1);
    let scaled = |side: u32| (u64::from(side) * u64::from(most.min(longer)) / u64::from(longer)).max(1);
    let small = image::resize(image, scaled(width) as usize, scaled(height) as usize);
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode_image(&small)
        .map_err(|err| Error::Image(format!("its small picture cannot be written: {err}")))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_keep_their_shape_with_few_corners() {
        let disc = |x: usize, y: usize| ((x as f32 - 30.0).hypot(y as f32 - 30.0) < 15.0) as u8 as f32;
        let values = (0..64 * 64).map(|i| disc(i % 64, i / 64)).collect();
        let map = AnomalyMap::new(64, 64, values).expect("sizes agree");
        let [outline] = &outlines(&map, 0.5)[..] else {
            panic!("one disc")
        };
        let full = contours(&map, 0.5)[0].len();
        assert!(
            outline.len() < full / 2 && outline.len() > 8,
            "{} of {full}",
            outline.len()
        );
        let off = |&(x, y): &(f32, f32)| ((x - 30.5).hypot(y - 30.5) - 15.0).abs();
        assert!(outline.iter().all(|point| off(point) < 1.5));
    }

    #[test]
    fn a_defect_is_found_where_more_than_half_of_it_is() {
        let values = vec![0.9, 0.8, 0.1, 0.0, 0.0, 0.0, 0.7, 0.2];
        let map = AnomalyMap::new(8, 1, values).expect("sizes agree");
        let truth = [true, true, true, false, false, false, true, true];
        let found = instances(&map, &truth);
        assert_eq!(found.iter().map(|own| own.area).collect::<Vec<_>>(), [3, 2]);
        // two of three; both of two
        assert_eq!(
            found.iter().map(|own| own.found_at).collect::<Vec<_>>(),
            [0.8, 0.2]
        );
    }
}
