//! The curves behind the figures, with as many points as can be seen.

use serde::{Deserialize, Serialize};

use super::Ranking;
use super::ranking::score;

/// Points that are nearer than this to their predecessor are left out.
const STEP: f64 = 0.004;

/// A point of a curve and the threshold that gives it: what scores at least so much counts as defective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 3]", into = "[f32; 3]")]
pub struct Point {
    /// False positive rate or recall.
    pub x: f32,
    /// True positive rate, precision or overlap.
    pub y: f32,
    /// The threshold; larger than all scores at the curve's beginning.
    pub threshold: f32,
}

impl From<[f32; 3]> for Point {
    fn from([x, y, threshold]: [f32; 3]) -> Self {
        Self { x, y, threshold }
    }
}

impl From<Point> for [f32; 3] {
    fn from(point: Point) -> Self {
        [point.x, point.y, point.threshold]
    }
}

/// From the highest threshold to the lowest.
pub type Curve = Vec<Point>;

/// A curve that grows.
struct Line {
    points: Curve,
    last: Option<(f64, f64, f32)>,
}

impl Line {
    fn from(x: f64, y: f64, threshold: f32) -> Self {
        let mut line = Self {
            points: Vec::new(),
            last: None,
        };
        line.keep(x, y, threshold);
        line
    }

    fn keep(&mut self, x: f64, y: f64, threshold: f32) {
        self.points.push(Point {
            x: x as f32,
            y: y as f32,
            threshold,
        });
        self.last = None;
    }

    /// Adds a point, unless it cannot be told from the one before.
    fn add(&mut self, x: f64, y: f64, threshold: f32) {
        let far = self
            .points
            .last()
            .is_none_or(|point| (x - f64::from(point.x)).abs() + (y - f64::from(point.y)).abs() > STEP);
        if far {
            // the corner before a long way belongs to the curve
            if let Some((x, y, threshold)) = self.last {
                self.keep(x, y, threshold);
            }
            self.keep(x, y, threshold);
        } else {
            self.last = Some((x, y, threshold));
        }
    }

    fn end(mut self) -> Curve {
        if let Some((x, y, threshold)) = self.last {
            self.keep(x, y, threshold);
        }
        self.points
    }
}

impl Ranking {
    /// The threshold above all scores.
    fn above_all(&self) -> f32 {
        self.highest().map_or(1.0, |highest| score(highest).next_up())
    }

    /// True over false positive rate; none where labels are of one kind.
    pub fn roc(&self) -> Option<Curve> {
        self.auc().ok()?;
        let (good, defective) = (self.good() as f64, self.defective() as f64);
        let mut line = Line::from(0.0, 0.0, self.above_all());
        let mut found = 0;
        for group in self.groups() {
            line.add(
                group.above as f64 / good,
                f64::from(found) / defective,
                score(group.key()),
            );
            found += group.positives.len() as u32;
            let alarms = (group.above + group.tied) as f64 / good;
            line.add(alarms, f64::from(found) / defective, score(group.key()));
        }
        let lowest = line.points.last().map_or(0.0, |point| point.threshold);
        line.add(1.0, 1.0, self.lowest().map_or(lowest, score));
        Some(line.end())
    }

    /// Precision over recall; none without a defective entry.
    pub fn precision_recall(&self) -> Option<Curve> {
        let defective = self.defective() as f64;
        let mut line: Option<Line> = None;
        let mut found = 0;
        for group in self.groups() {
            found += group.positives.len();
            let precision = found as f64 / (found + group.above + group.tied) as f64;
            let (recall, threshold) = (found as f64 / defective, score(group.key()));
            match &mut line {
                None => line = Some(Line::from(recall, precision, threshold)),
                Some(line) => line.add(recall, precision, threshold),
            }
        }
        line.map(Line::end)
    }

    /// Mean share of each region that is found over the false positive rate of all good pixels, up to
    /// `limit`; none where pixels are of one kind.
    pub fn overlap(&self, limit: f64) -> Option<Curve> {
        self.aupro(limit).ok()?;
        let background = self.good() as f64;
        let mut line = Line::from(0.0, 0.0, self.above_all());
        let mut overlap = 0.0;
        for group in self.groups() {
            let start = group.above as f64 / background;
            if start > limit {
                break;
            }
            line.add(start, overlap, score(group.key()));
            overlap += self.gain(group.positives);
            let end = (start + group.tied as f64 / background).min(limit);
            line.add(end, overlap, score(group.key()));
        }
        let threshold = line.points.last().map_or(0.0, |point| point.threshold);
        line.add(limit, overlap, threshold);
        Some(line.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(curve: &Curve) -> f64 {
        let pairs = curve.windows(2).map(|pair| {
            let width = f64::from(pair[1].x - pair[0].x);
            width * f64::from(pair[0].y + pair[1].y) / 2.0
        });
        pairs.sum()
    }

    #[test]
    fn areas_under_the_curves_are_the_figures() {
        // scores that overlap, in no order
        let scores: Vec<f32> = (0..4000).map(|i| ((i * 7919) % 4000) as f32 / 4000.0).collect();
        let labels: Vec<bool> = scores
            .iter()
            .enumerate()
            .map(|(i, s)| s * s + 0.3 * ((i % 7) as f32 / 7.0) > 0.6)
            .collect();
        let ranking = Ranking::of_images(&scores, &labels, (20, 20)).expect("fits");
        let roc = ranking.roc().expect("has both");
        assert!((area(&roc) - ranking.auc().expect("has both")).abs() < 2e-3);
        assert!(roc.len() < 1000 && roc.windows(2).all(|pair| pair[0].x <= pair[1].x));
        let overlap = ranking.overlap(0.3).expect("has both");
        let aupro = ranking.aupro(0.3).expect("has both");
        assert!(
            (area(&overlap) / 0.3 - aupro).abs() < 5e-3,
            "{} {aupro}",
            area(&overlap) / 0.3
        );
        let curve = ranking.precision_recall().expect("has defects");
        assert!((area(&curve) - ranking.average_precision().expect("has defects")).abs() < 1e-2);
        assert_eq!(curve.last().map(|point| point.x), Some(1.0));
    }

    #[test]
    fn thresholds_give_their_points() {
        let ranking = Ranking::new(&[0.1, 0.2, 0.3, 0.4], &[false, true, false, true]).expect("fits");
        let roc: Vec<[f32; 3]> = ranking
            .roc()
            .expect("has both")
            .into_iter()
            .map(Into::into)
            .collect();
        assert!(
            roc.contains(&[0.0, 0.5, 0.4]) && roc.contains(&[0.5, 1.0, 0.2]),
            "{roc:?}"
        );
        assert_eq!(roc.first().map(|point| (point[0], point[1])), Some((0.0, 0.0)));
        assert_eq!(roc.last(), Some(&[1.0, 1.0, 0.1]));
        assert!(Ranking::new(&[0.1], &[true]).expect("fits").roc().is_none());
    }
}
