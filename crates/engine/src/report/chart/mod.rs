//! Charts as SVG text, the same in the page and in reports. Colours and lines come from `chart.css`;
//! every chart says in words what it shows.

use std::fmt::Write as _;

use crate::metrics::{Curve, Point};

/// The style of all charts.
pub const STYLE: &str = include_str!("chart.css");

/// Width and height of the drawing.
pub const SIZE: (f32, f32) = (380.0, 250.0);
/// Room for the words: left, top, right, below.
const MARGINS: [f32; 4] = [46.0, 10.0, 14.0, 40.0];
/// Points with a value to read in a chart that nobody follows with a pointer.
const READABLE: usize = 32;
/// Bars of a histogram.
const BINS: usize = 30;

/// The values at the edges of a drawing's inner part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    /// Left and right.
    pub x: (f32, f32),
    /// Below and above.
    pub y: (f32, f32),
}

impl Axes {
    /// Both from 0 to 1.
    pub const UNIT: Self = Self {
        x: (0.0, 1.0),
        y: (0.0, 1.0),
    };

    /// Where a pair of values lies in the drawing.
    pub fn place(&self, x: f32, y: f32) -> (f32, f32) {
        let [left, top, right, below] = MARGINS;
        let share = |value: f32, (low, high): (f32, f32)| {
            if high > low {
                ((value - low) / (high - low)).clamp(0.0, 1.0)
            } else {
                0.5
            }
        };
        (
            left + share(x, self.x) * (SIZE.0 - left - right),
            SIZE.1 - below - share(y, self.y) * (SIZE.1 - top - below),
        )
    }

    /// The value on the horizontal axis at a share of the drawing's whole width.
    pub fn value_at(&self, share: f32) -> f32 {
        let [left, _, right, _] = MARGINS;
        let inner = (share * SIZE.0 - left) / (SIZE.0 - left - right);
        self.x.0 + inner.clamp(0.0, 1.0) * (self.x.1 - self.x.0)
    }
}

/// One or two curves over the same axes.
#[derive(Debug, Clone)]
pub struct CurveChart<'a> {
    /// What is drawn.
    pub title: &'a str,
    /// Names of the axes.
    pub labels: [&'a str; 2],
    /// Their ends.
    pub axes: Axes,
    /// Each curve with its name.
    pub curves: Vec<(&'a str, &'a Curve)>,
    /// Whether the diagonal of a guess is drawn.
    pub diagonal: bool,
    /// Shown with its values.
    pub mark: Option<Point>,
    /// Whether points tell their values where the pointer rests, for pages without a program.
    pub readable: bool,
}

/// Three digits.
fn short(value: f32) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

/// What a point says.
pub fn reading(labels: [&str; 2], point: &Point) -> String {
    format!(
        "{} {}, {} {} from threshold {}",
        labels[0].to_lowercase(),
        short(point.x),
        labels[1].to_lowercase(),
        short(point.y),
        short(point.threshold)
    )
}

/// Text for HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The frame with its scales; ends are written with as few digits as they need.
fn frame(axes: &Axes, labels: [&str; 2]) -> String {
    const PARTS: usize = 4;
    let mut svg = String::new();
    for part in 0..=PARTS {
        let share = part as f32 / PARTS as f32;
        let at = |(low, high): (f32, f32)| low + share * (high - low);
        let (x, bottom) = axes.place(at(axes.x), axes.y.0);
        let (_, top) = axes.place(at(axes.x), axes.y.1);
        let (left, y) = axes.place(axes.x.0, at(axes.y));
        let (right, _) = axes.place(axes.x.1, at(axes.y));
        let (x_words, y_words) = (short(at(axes.x)), short(at(axes.y)));
        let _ = write!(
            svg,
            "<path class=\"plot-grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}M{left:.1} {y:.1}H{right:.1}\"/>\
             <text class=\"plot-tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_words}</text>\
             <text class=\"plot-tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{y_words}</text>",
            bottom + 14.0,
            left - 6.0,
            y + 4.0,
        );
    }
    let (middle, _) = axes.place((axes.x.0 + axes.x.1) / 2.0, axes.y.0);
    let (_, centre) = axes.place(axes.x.0, (axes.y.0 + axes.y.1) / 2.0);
    let _ = write!(
        svg,
        "<text class=\"plot-label\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text class=\"plot-label\" transform=\"translate(11 {centre:.1}) rotate(-90)\" \
         text-anchor=\"middle\">{}</text>",
        SIZE.1 - 6.0,
        escaped(labels[0]),
        escaped(labels[1]),
    );
    svg
}

fn drawing(title: &str, words: &str, content: &str) -> String {
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">{content}</svg>",
        SIZE.0,
        SIZE.1,
        escaped(&format!("{title}. {words}")),
    )
}

/// The point of a curve nearest to a value on the horizontal axis; of several the highest.
pub fn nearest(curve: &Curve, x: f32) -> Option<Point> {
    let off = |point: &&Point| (point.x - x).abs();
    let best = curve.iter().min_by(|a, b| off(a).total_cmp(&off(b)))?;
    let same = curve.iter().filter(|point| point.x == best.x);
    same.max_by(|a, b| a.y.total_cmp(&b.y)).copied()
}

/// A curve, or several.
pub fn curve(chart: &CurveChart<'_>) -> String {
    let CurveChart {
        title,
        labels,
        axes,
        curves,
        ..
    } = chart;
    let mut svg = frame(axes, *labels);
    if chart.diagonal {
        let ((x, y), (x2, y2)) = (axes.place(axes.x.0, axes.y.0), axes.place(axes.x.1, axes.y.1));
        let _ = write!(
            svg,
            "<path class=\"plot-guess\" d=\"M{x:.1} {y:.1}L{x2:.1} {y2:.1}\"/>"
        );
    }
    let mut words = Vec::new();
    for (number, (name, points)) in curves.iter().enumerate() {
        let line: Vec<String> = points
            .iter()
            .map(|point| {
                let (x, y) = axes.place(point.x, point.y);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"plot-line plot-line-{number}\" points=\"{}\"/>",
            line.join(" ")
        );
        if chart.readable {
            let step = points.len().div_ceil(READABLE).max(1);
            for point in points.iter().step_by(step) {
                let (x, y) = axes.place(point.x, point.y);
                let _ = write!(
                    svg,
                    "<circle class=\"plot-hit\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>",
                    escaped(&reading(*labels, point))
                );
            }
        }
        let some: Vec<String> = [0.05, 0.25, 0.5, 0.75]
            .into_iter()
            .filter_map(|share| nearest(points, axes.x.0 + share * (axes.x.1 - axes.x.0)))
            .map(|point| format!("{} at {}", short(point.y), short(point.x)))
            .collect();
        words.push(format!(
            "{name}: {} {}",
            labels[1].to_lowercase(),
            some.join(", ")
        ));
    }
    if let Some(point) = chart.mark {
        let (x, y) = axes.place(point.x, point.y);
        let (_, bottom) = axes.place(axes.x.0, axes.y.0);
        let _ = write!(
            svg,
            "<path class=\"plot-cross\" d=\"M{x:.1} {bottom:.1}V{y:.1}H{:.1}\"/>\
             <circle class=\"plot-mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>",
            MARGINS[0]
        );
    }
    drawing(title, &words.join("; "), &svg)
}

/// Scores of good and of defective images, the first above the middle, the others below.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// Scores of good images.
    pub good: &'a [f32],
    /// Scores of defective images.
    pub defective: &'a [f32],
    /// What is called defective begins here.
    pub threshold: f32,
}

impl Histogram<'_> {
    /// From 0, or the lowest score, to the highest; the threshold lies between.
    pub fn axes(&self) -> Axes {
        let all = || self.good.iter().chain(self.defective).copied();
        let high = all().fold(self.threshold, f32::max);
        let low = all().fold(self.threshold, f32::min).min(0.0);
        let high = match high {
            high if high <= 0.0 => 1.0,
            high if high > 0.5 && high <= 1.0 => 1.0,
            high => high * 1.02,
        };
        let most = self
            .counts((low, high))
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(1)
            .max(1) as f32;
        Axes {
            x: (low, high),
            y: (-most, most),
        }
    }

    fn counts(&self, (low, high): (f32, f32)) -> [[usize; BINS]; 2] {
        [self.good, self.defective].map(|scores| {
            let mut counts = [0; BINS];
            for score in scores {
                let share = (score - low) / (high - low);
                counts[((share * BINS as f32) as usize).min(BINS - 1)] += 1;
            }
            counts
        })
    }
}

/// A histogram with its threshold.
pub fn histogram(chart: &Histogram<'_>, axes: &Axes) -> String {
    let [left, _, right, _] = MARGINS;
    let width = (SIZE.0 - left - right) / BINS as f32;
    let mut svg = String::new();
    let (_, middle) = axes.place(axes.x.0, 0.0);
    for (group, counts) in chart.counts(axes.x).iter().enumerate() {
        for (bin, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let signed = if group == 0 { count as f32 } else { -(count as f32) };
            let (_, end) = axes.place(axes.x.0, signed);
            let name = if group == 0 { "good" } else { "defective" };
            let from = axes.x.0 + bin as f32 / BINS as f32 * (axes.x.1 - axes.x.0);
            let to = axes.x.0 + (bin + 1) as f32 / BINS as f32 * (axes.x.1 - axes.x.0);
            let _ = write!(
                svg,
                "<rect class=\"plot-bar plot-{name}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\"><title>{count} {name} with scores from {} to {}</title></rect>",
                left + bin as f32 * width + 0.5,
                middle.min(end),
                width - 1.0,
                (middle - end).abs(),
                short(from),
                short(to),
            );
        }
    }
    let (start, end) = (left, SIZE.0 - right);
    let (_, top) = axes.place(axes.x.0, axes.y.1);
    let (_, bottom) = axes.place(axes.x.0, axes.y.0);
    let (x, _) = axes.place(chart.threshold, 0.0);
    let most = axes.y.1;
    let _ = write!(
        svg,
        "<path class=\"plot-axis\" d=\"M{start:.1} {middle:.1}H{end:.1}\"/>\
         <text class=\"plot-tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most}</text>\
         <text class=\"plot-tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most}</text>\
         <text class=\"plot-label\" transform=\"translate(11 {:.1}) rotate(-90)\" text-anchor=\"middle\">good</text>\
         <text class=\"plot-label\" transform=\"translate(11 {:.1}) rotate(-90)\" \
         text-anchor=\"middle\">defective</text>",
        left - 6.0,
        top + 8.0,
        left - 6.0,
        bottom,
        (top + middle) / 2.0,
        (bottom + middle) / 2.0,
    );
    for part in 0..=4 {
        let value = axes.x.0 + part as f32 / 4.0 * (axes.x.1 - axes.x.0);
        let (at, _) = axes.place(value, 0.0);
        let _ = write!(
            svg,
            "<text class=\"plot-tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 14.0,
            short(value)
        );
    }
    let anchor = if x > SIZE.0 / 2.0 {
        ("end", -6.0)
    } else {
        ("start", 6.0)
    };
    let _ = write!(
        svg,
        "<text class=\"plot-label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">Image score</text>\
         <path class=\"plot-threshold\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>\
         <path class=\"plot-grip\" d=\"M{:.1} {:.1}h12l-6 8z\"/>\
         <text class=\"plot-threshold-words\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">threshold {}</text>",
        (start + end) / 2.0,
        SIZE.1 - 6.0,
        x - 6.0,
        top - 8.0,
        x + anchor.1,
        top + 10.0,
        anchor.0,
        short(chart.threshold),
    );
    let words = [("good", chart.good), ("defective", chart.defective)].map(|(name, scores)| {
        let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        match scores.len() {
            0 => format!("no {name} images"),
            1 => format!("1 {name} image at {}", short(low)),
            count => format!("{count} {name} images from {} to {}", short(low), short(high)),
        }
    });
    let words = format!(
        "{}; the threshold is {}",
        words.join(", "),
        short(chart.threshold)
    );
    drawing("Scores by class", &words, &svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Curve {
        [[0.0, 0.0, 1.0], [0.0, 0.5, 0.8], [0.5, 0.9, 0.4], [1.0, 1.0, 0.1]]
            .map(Point::from)
            .to_vec()
    }

    #[test]
    fn places_and_values_agree() {
        let axes = Axes {
            x: (0.0, 4.0),
            y: (0.0, 1.0),
        };
        for value in [0.0, 1.0, 2.5, 4.0] {
            let (x, _) = axes.place(value, 0.0);
            assert!((axes.value_at(x / SIZE.0) - value).abs() < 1e-4);
        }
        assert_eq!(axes.value_at(0.0), 0.0);
    }

    #[test]
    fn curves_are_drawn_and_said() {
        let points = line();
        let chart = CurveChart {
            title: "ROC <images>",
            labels: ["False positive rate", "True positive rate"],
            axes: Axes::UNIT,
            curves: vec![("images", &points)],
            diagonal: true,
            mark: nearest(&points, 0.45),
            readable: true,
        };
        let svg = curve(&chart);
        assert!(svg.contains("ROC &lt;images&gt;") && !svg.contains("<images>"));
        assert!(svg.contains("true positive rate 0.9 from threshold 0.4"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert!(svg.contains("plot-mark"));
        assert_eq!(
            nearest(&points, 0.1).map(|point| point.y),
            Some(0.5),
            "the highest of equal ones"
        );
    }

    #[test]
    fn every_score_is_in_a_bar() {
        let chart = Histogram {
            good: &[0.0, 0.1, 0.1, 0.5],
            defective: &[0.7, 1.0],
            threshold: 0.6,
        };
        let axes = chart.axes();
        assert_eq!((axes.x, axes.y), ((0.0, 1.0), (-2.0, 2.0)));
        assert_eq!(
            chart.counts(axes.x).map(|counts| counts.iter().sum::<usize>()),
            [4, 2]
        );
        let svg = histogram(&chart, &axes);
        assert!(
            svg.contains("2 good with scores") && svg.contains("threshold 0.6"),
            "{svg}"
        );
        assert!(
            svg.contains("4 good images from 0 to 0.5, 2 defective images from 0.7 to 1"),
            "{svg}"
        );
        let same = Histogram {
            good: &[0.3; 3],
            defective: &[],
            threshold: 0.3,
        };
        let svg = histogram(&same, &same.axes());
        assert!(
            !svg.contains("NaN") && svg.contains("no defective images"),
            "{svg}"
        );
    }
}
