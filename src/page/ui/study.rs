//! What features of teacher and student say about a place: the arithmetic behind the look inside.

use crate::page::protocol::StudyInfo;
use crate::page::shared::values;
use destseg_engine::order;

/// Features of one level, channel by channel, row by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Level {
    /// How many channels.
    pub channels: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `channels * height * width` values; each pixel's have length 1.
    pub values: Vec<f32>,
}

/// Teacher of the clean image, teacher and student of the damaged one, fine to coarse.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Sizes and what was done to the image.
    pub info: StudyInfo,
    /// The image as the network sees it, RGBA.
    pub clean: Vec<u8>,
    /// The same, damaged.
    pub damaged: Vec<u8>,
    /// The three networks' features at each level.
    pub levels: [[Level; 3]; 3],
}

/// Index of the teacher of the clean image in [`Study::levels`].
pub const CLEAN: usize = 0;
/// Index of the teacher of the damaged image.
pub const TEACHER: usize = 1;
/// Index of the student.
pub const STUDENT: usize = 2;

impl Level {
    /// A pixel's value in a channel.
    pub fn at(&self, channel: usize, x: usize, y: usize) -> f32 {
        let index = (channel * self.height + y) * self.width + x;
        self.values.get(index).copied().unwrap_or_default()
    }

    /// All values of a channel.
    pub fn channel(&self, channel: usize) -> &[f32] {
        let area = self.width * self.height;
        self.values
            .get(channel * area..(channel + 1) * area)
            .unwrap_or_default()
    }

    /// The pixel that shows a place, given in parts of the whole.
    pub fn pixel(&self, (x, y): (f32, f32)) -> (usize, usize) {
        let place = |part: f32, size: usize| ((part * size as f32) as usize).min(size.saturating_sub(1));
        (place(x, self.width), place(y, self.height))
    }
}

/// Cosine of the angle between two networks' features at a pixel.
pub fn cosine(a: &Level, b: &Level, (x, y): (usize, usize)) -> f32 {
    (0..a.channels)
        .map(|channel| a.at(channel, x, y) * b.at(channel, x, y))
        .sum()
}

/// Channels by what they add to the distance (1 - cosine) at a pixel, or on average over all pixels: the
/// largest first. What they add is half of the squared difference, and sums to the distance.
pub fn disagreement(a: &Level, b: &Level, pixel: Option<(usize, usize)>) -> Vec<(usize, f32)> {
    let area = (a.width * a.height).max(1) as f32;
    let mut channels: Vec<(usize, f32)> = (0..a.channels)
        .map(|channel| {
            let part = match pixel {
                Some((x, y)) => (a.at(channel, x, y) - b.at(channel, x, y)).powi(2),
                None => {
                    let pairs = a.channel(channel).iter().zip(b.channel(channel));
                    pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>() / area
                }
            };
            (channel, part / 2.0)
        })
        .collect();
    order::sort_by(&mut channels, |a, b| b.1.total_cmp(&a.1));
    channels
}

/// Mean distance (1 - cosine) of two networks' features where `mask` is true, row by row; none where it is
/// nowhere.
pub fn distance(a: &Level, b: &Level, mask: &[bool]) -> Option<f32> {
    let chosen: Vec<usize> = (0..a.width * a.height)
        .filter(|&index| mask.get(index).copied().unwrap_or(false))
        .collect();
    let sum: f32 = chosen
        .iter()
        .map(|index| 1.0 - cosine(a, b, (index % a.width, index / a.width)))
        .sum();
    (!chosen.is_empty()).then(|| sum / chosen.len() as f32)
}

impl Study {
    /// From the engine's numbers and its buffer; `None` if they do not fit together.
    pub fn new(info: StudyInfo, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != info.bytes() {
            return None;
        }
        let (pictures, features) = bytes.split_at(8 * info.side * info.side);
        let (clean, damaged) = pictures.split_at(4 * info.side * info.side);
        let mut values = values(features);
        let levels = info.levels.map(|[channels, width, height]| {
            std::array::from_fn(|_| Level {
                channels,
                width,
                height,
                values: values.by_ref().take(channels * width * height).collect(),
            })
        });
        Some(Self {
            clean: clean.to_vec(),
            damaged: damaged.to_vec(),
            levels,
            info,
        })
    }

    /// Where the image was changed, at a level's size: pixels in whose square most has changed.
    pub fn changed(&self, level: usize) -> Vec<bool> {
        /// Sum of the differences of red, green and blue that can be seen.
        const VISIBLE: i32 = 24;
        let Level { width, height, .. } = self.levels[level][CLEAN];
        let side = self.info.side;
        let differs = |x: usize, y: usize| {
            let at = 4 * (y * side + x);
            let channels = self.clean[at..at + 3].iter().zip(&self.damaged[at..at + 3]);
            channels
                .map(|(&a, &b)| (i32::from(a) - i32::from(b)).abs())
                .sum::<i32>()
                > VISIBLE
        };
        (0..width * height)
            .map(|index| {
                let (x, y) = (index % width, index / width);
                let columns = x * side / width..(x + 1) * side / width;
                let rows = y * side / height..(y + 1) * side / height;
                let count = columns.len() * rows.len();
                let changed = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
                2 * changed.filter(|&(x, y)| differs(x, y)).count() > count
            })
            .collect()
    }

    /// A level of one of the networks as a picture, RGBA: three channels as red, green and blue, each over
    /// the range that it has in all three networks.
    pub fn picture(&self, level: usize, network: usize, channels: [usize; 3]) -> Vec<u8> {
        let own = &self.levels[level];
        let ranges = channels.map(|channel| {
            let all = own.iter().flat_map(|network| network.channel(channel));
            all.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
                (low.min(value), high.max(value))
            })
        });
        let area = own[network].width * own[network].height;
        (0..area)
            .flat_map(|pixel| {
                let value = |index: usize| {
                    let (low, high) = ranges[index];
                    let value = own[network]
                        .channel(channels[index])
                        .get(pixel)
                        .copied()
                        .unwrap_or(low);
                    if high > low {
                        (255.0 * (value - low) / (high - low)).round() as u8
                    } else {
                        0
                    }
                };
                [value(0), value(1), value(2), 255]
            })
            .collect()
    }

    /// The three channels that the damage changes most for the teacher, within `mask`.
    pub fn most_changed_channels(&self, level: usize, mask: &[bool]) -> [usize; 3] {
        let [clean, damaged, _] = &self.levels[level];
        let mut channels: Vec<(usize, f32)> = (0..clean.channels)
            .map(|channel| {
                let pairs = clean
                    .channel(channel)
                    .iter()
                    .zip(damaged.channel(channel))
                    .zip(mask);
                let chosen = pairs.filter(|(_, inside)| **inside);
                (channel, chosen.map(|((a, b), _)| (a - b).powi(2)).sum())
            })
            .collect();
        order::sort_by(&mut channels, |a, b| b.1.total_cmp(&a.1));
        std::array::from_fn(|index| channels.get(index).map_or(0, |&(channel, _)| channel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::protocol::Damage;

    fn level(values: Vec<f32>) -> Level {
        Level {
            channels: 2,
            width: 2,
            height: 1,
            values,
        }
    }

    #[test]
    fn channels_add_up_to_the_distance() {
        let a = level(vec![1.0, 0.6, 0.0, 0.8]);
        let b = level(vec![0.0, 0.6, 1.0, 0.8]);
        assert_eq!(cosine(&a, &b, (0, 0)), 0.0);
        assert!((cosine(&a, &b, (1, 0)) - 1.0).abs() < 1e-6);
        let parts = disagreement(&a, &b, Some((0, 0)));
        assert_eq!(parts.iter().map(|part| part.1).sum::<f32>(), 1.0);
        assert_eq!(distance(&a, &b, &[true, false]), Some(1.0));
        assert!(distance(&a, &b, &[true, true]).is_some_and(|mean| (mean - 0.5).abs() < 1e-6));
        assert_eq!(distance(&a, &b, &[false, false]), None);
    }

    fn study(painted: bool) -> Study {
        let info = StudyInfo {
            damage: Damage::Painted,
            side: 4,
            levels: [[2, 2, 2], [1, 1, 1], [1, 1, 1]],
            whole: true,
            ms: 1.0,
        };
        let mut bytes = vec![100_u8; 2 * 4 * 16];
        if painted {
            // the upper left quarter of the second picture
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                bytes[64 + 4 * (4 * y + x)] = 200;
            }
        }
        let features = (0..3 * (8 + 1 + 1)).map(|value| value as f32);
        bytes.extend(features.flat_map(f32::to_le_bytes));
        Study::new(info, &bytes).expect("fits")
    }

    #[test]
    fn the_buffer_is_taken_apart() {
        let own = study(true);
        assert_eq!(own.levels[0][CLEAN].channel(1), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(own.levels[0][STUDENT].at(0, 1, 1), 19.0);
        assert_eq!(own.levels[2][TEACHER].values, [28.0]);
        assert!(Study::new(own.info.clone(), &[0; 5]).is_none());
        assert_eq!(own.changed(0), [true, false, false, false]);
        assert!(study(false).changed(0).iter().all(|changed| !changed));
    }

    #[test]
    fn pictures_share_their_range() {
        let own = study(true);
        let (clean, student) = (
            own.picture(0, CLEAN, [0, 1, 0]),
            own.picture(0, STUDENT, [0, 1, 0]),
        );
        assert_eq!(clean[..4], [0, 0, 0, 255]);
        assert_eq!(student[12..], [255, 255, 255, 255]);
        assert_eq!(own.most_changed_channels(0, &[true; 4])[0], 0);
    }
}
