//! Small charts as SVG, in the colours of the style sheet, with their content in words.

use yew::{Html, html};

/// Width and height of a chart's coordinates.
const SIZE: (f32, f32) = (320.0, 90.0);
/// Room for the axis' words below the chart.
const FOOT: f32 = 14.0;
/// Half the width of the threshold's words; the axis' ends are not written below them.
const WORDS: f32 = 32.0;
/// Bars of a histogram.
const BINS: usize = 24;
/// Points of a line at most; more cannot be seen.
const POINTS: usize = 160;

/// A falling or rising line. `points` are (step, value); the axis begins at 0 and `last` steps long.
pub(crate) fn line(title: &str, points: &[(usize, f32)], last: usize) -> Html {
    let smooth = thinned(points);
    let highest = smooth
        .iter()
        .map(|&(_, value)| value)
        .fold(f32::MIN_POSITIVE, f32::max);
    let (width, height) = SIZE;
    let path: Vec<String> = smooth
        .iter()
        .map(|&(step, value)| {
            let x = width * step as f32 / last.max(1) as f32;
            let y = height * (1.0 - value / highest);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let latest = smooth.last().map_or(0.0, |&(_, value)| value);
    let words = format!("{title}: {latest:.4} now, {highest:.4} at most");
    html! {
        <figure class="chart">
            <figcaption>
                <span>{ title.to_owned() }</span>
                <b>{ if smooth.is_empty() { "–".to_owned() } else { format!("{latest:.4}") } }</b>
            </figcaption>
            <svg viewBox={format!("0 0 {width} {height}")} preserveAspectRatio="none" role="img" aria-label={words}>
                <path class="chart-axis" d={format!("M0 {height}H{width}")} />
                <polyline class="chart-line" points={path.join(" ")} />
            </svg>
        </figure>
    }
}

/// The points, averaged where there are more than can be seen.
fn thinned(points: &[(usize, f32)]) -> Vec<(usize, f32)> {
    let size = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(size)
        .filter_map(|chunk| {
            let mean = chunk.iter().map(|&(_, value)| value).sum::<f32>() / chunk.len() as f32;
            chunk.last().map(|&(step, _)| (step, mean))
        })
        .collect()
}

/// Two groups of scores and the threshold between them.
pub(crate) fn histogram(groups: [(&'static str, &[f32]); 2], threshold: f32) -> Html {
    let highest = groups
        .iter()
        .flat_map(|(_, scores)| *scores)
        .copied()
        .fold(threshold, f32::max);
    let span = if highest <= 1.0 { 1.0 } else { highest };
    let (width, height) = SIZE;
    let bar = width / BINS as f32;
    let counts = groups.map(|(_, scores)| counted(scores, span));
    let most = counts.iter().flatten().copied().max().unwrap_or(1).max(1) as f32;
    let bars = counts.iter().enumerate().flat_map(|(group, counts)| {
        counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(move |(bin, &count)| {
            let tall = height * count as f32 / most;
            // beside each other, so that neither hides the other
            let x = bin as f32 * bar + group as f32 * bar / 2.0;
            html! {
                <rect class={if group == 0 { "chart-good" } else { "chart-defect" }} x={x.to_string()}
                    y={(height - tall).to_string()} width={(bar / 2.0 - 0.5).to_string()} height={tall.to_string()} />
            }
        })
    });
    let x = width * (threshold / span).clamp(0.0, 1.0);
    let words = groups.map(|(name, scores)| {
        let (low, high) = (
            scores.iter().copied().fold(f32::INFINITY, f32::min),
            scores.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        );
        format!("{} {name} from {low:.2} to {high:.2}", scores.len())
    });
    let label = format!("Scores: {}; the threshold is {threshold:.2}", words.join(", "));
    html! {
        <figure class="chart histogram">
            <svg viewBox={format!("0 0 {width} {}", height + FOOT)} role="img" aria-label={label}>
                <path class="chart-axis" d={format!("M0 {height}H{width}")} />
                { for bars }
                <path class="chart-threshold" d={format!("M{x} 0V{height}")} />
                if x > 2.0 * WORDS {
                    <text x="0" y={(height + FOOT - 2.0).to_string()}>{ "0" }</text>
                }
                if x < width - 2.0 * WORDS {
                    <text x={width.to_string()} y={(height + FOOT - 2.0).to_string()} text-anchor="end">
                        { format!("{span:.0}") }
                    </text>
                }
                <text x={x.clamp(WORDS, width - WORDS).to_string()} y={(height + FOOT - 2.0).to_string()}
                    text-anchor="middle">{ format!("threshold {threshold:.2}") }</text>
            </svg>
            <figcaption>
                <span class="chart-key">{ groups[0].0 }</span>
                <span class="chart-key other">{ groups[1].0 }</span>
            </figcaption>
        </figure>
    }
}

fn counted(scores: &[f32], span: f32) -> [usize; BINS] {
    let mut counts = [0; BINS];
    for &score in scores {
        let bin = (score / span * BINS as f32) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_counted_once() {
        let counts = counted(&[0.0, 0.01, 0.5, 1.0], 1.0);
        assert_eq!((counts[0], counts[BINS / 2], counts[BINS - 1]), (2, 1, 1));
        assert_eq!(counts.iter().sum::<usize>(), 4);
    }

    #[test]
    fn long_lines_are_averaged_and_keep_their_end() {
        let points: Vec<_> = (1..=1000).map(|step| (step, step as f32)).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= POINTS);
        assert_eq!(thin.last().map(|point| point.0), Some(1000));
        assert_eq!(thinned(&points[..3]), points[..3]);
    }
}
