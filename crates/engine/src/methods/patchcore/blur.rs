//! Smoothing of maps.

use crate::data::map::AnomalyMap;

/// Standard deviations after which the Gaussian is cut off.
const TRUNCATE: f32 = 4.0;

/// The map smoothed by a Gaussian with this standard deviation in pixels; beyond its border the map is mirrored,
/// border included.
pub fn gaussian(map: &AnomalyMap, sigma: f32) -> AnomalyMap {
    let (width, height) = (map.width(), map.height());
    if map.values().is_empty() {
        return map.clone();
    }
    let bell = bell(sigma);
    let across: Vec<f32> = map
        .values()
        .chunks_exact(width)
        .flat_map(|row| smooth(row, &bell))
        .collect();
    let mut values = vec![0.0; width * height];
    for x in 0..width {
        let column: Vec<f32> = across.iter().skip(x).step_by(width).copied().collect();
        for (y, value) in smooth(&column, &bell).into_iter().enumerate() {
            values[y * width + x] = value;
        }
    }
    // means of finite values are finite
    AnomalyMap::new(width, height, values).unwrap_or_else(|| map.clone())
}

/// Weights from one end to the other; they sum to 1.
fn bell(sigma: f32) -> Vec<f32> {
    let radius = (TRUNCATE * sigma + 0.5) as i32;
    let weights: Vec<f32> = (-radius..=radius)
        .map(|x| libm::expf(-0.5 * (x as f32 / sigma).powi(2)))
        .collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn smooth(line: &[f32], bell: &[f32]) -> Vec<f32> {
    let radius = bell.len() / 2;
    let padded: Vec<f32> = (0..line.len() + 2 * radius)
        .map(|i| line[mirrored(i as isize - radius as isize, line.len() as isize)])
        .collect();
    padded
        .windows(bell.len())
        .map(|part| part.iter().zip(bell).map(|(value, weight)| value * weight).sum())
        .collect()
}

/// The place inside of a line that stands for one beyond its ends.
fn mirrored(at: isize, length: isize) -> usize {
    let at = at.rem_euclid(2 * length);
    at.min(2 * length - 1 - at) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_mirrored_with_the_border() {
        let places = (-3..6).map(|at| mirrored(at, 3)).collect::<Vec<_>>();
        assert_eq!(places, [2, 1, 0, 0, 1, 2, 2, 1, 0]);
    }

    #[test]
    fn constants_stay_and_a_point_becomes_the_bell() {
        let plain = AnomalyMap::new(5, 4, vec![2.0; 20]).expect("sizes agree");
        assert!(
            gaussian(&plain, 4.0)
                .values()
                .iter()
                .all(|value| (value - 2.0).abs() < 1e-5)
        );
        let mut values = vec![0.0; 41 * 41];
        values[20 * 41 + 20] = 1.0;
        let point = gaussian(&AnomalyMap::new(41, 41, values).expect("sizes agree"), 2.0);
        let centre = point.values()[20 * 41 + 20];
        // 1 / (2 pi sigma^2)
        assert!((centre - 0.0398).abs() < 1e-3, "{centre}");
        assert!((point.values().iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
}
