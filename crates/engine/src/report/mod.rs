//! An evaluation to hand on: a page that needs nothing else, and tables for other programs. The page and
//! the command line write the same.

mod bench;
pub mod chart;
mod pictures;

pub use bench::{WorstOf, Wrong, bench};
pub use pictures::{jpeg_address, path};

use std::fmt::Write as _;

use self::chart::{Axes, CurveChart, Histogram, escaped};
use crate::data::labelled::Class;
use crate::error::count;
use crate::evaluation::table::Table;
use crate::evaluation::{Confusion, Evaluation, Metric, Metrics};
use crate::metrics::{AUPRO_LIMIT, Curve, Point};

/// An evaluation and a small JPEG picture of each of its images, in their order; empty ones and missing
/// ones are not shown.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The numbers.
    pub evaluation: &'a Evaluation,
    /// JPEG files.
    pub pictures: &'a [Vec<u8>],
    /// The image threshold, which may have been moved.
    pub threshold: f32,
}

/// A share in percent with one decimal.
fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".into(), |value| format!("{:.1}", 100.0 * value))
}

/// One line per image: class, scores, decision, instances.
pub fn csv(evaluation: &Evaluation, threshold: f32) -> String {
    let header = [
        "image",
        "class",
        "defective",
        "score",
        "distance score",
        "called defective",
        "instances",
        "instances found",
        "milliseconds",
        "problem",
        "distance",
        "unfamiliar",
        "certainty",
        "p-value",
    ];
    let mut table = Table::new(2, header.map(str::to_owned).to_vec());
    for image in &evaluation.images {
        let number = |value: Option<f32>| value.map_or_else(String::new, |value| value.to_string());
        let found = evaluation
            .thresholds
            .and_then(|thresholds| image.found_instances(thresholds.pixel));
        let defective = image.class.is_defective();
        table.push(vec![
            image.name.clone(),
            image.class.name().into(),
            defective.map_or_else(String::new, |defective| defective.to_string()),
            number(image.score),
            number(image.dest_score),
            image
                .score
                .map_or_else(String::new, |score| (score >= threshold).to_string()),
            image
                .instances
                .as_ref()
                .map_or_else(String::new, |instances| instances.len().to_string()),
            found.map_or_else(String::new, |(found, _)| found.to_string()),
            format!("{:.1}", image.milliseconds),
            image.problem.clone().unwrap_or_default(),
            number(image.distance),
            image.unfamiliar.map_or_else(String::new, |own| own.to_string()),
            image.certainty.map_or_else(String::new, |own| own.words().into()),
            number(image.p_value),
        ]);
    }
    table.to_csv()
}

/// Everything as JSON.
pub fn json(evaluation: &Evaluation) -> String {
    // numbers and texts always have a JSON form
    serde_json::to_string_pretty(evaluation).unwrap_or_default() + "\n"
}

/// The threshold's consequences in words and numbers.
pub fn confusion_rows(counts: Confusion) -> [(&'static str, String); 4] {
    [
        ("Precision", percent(counts.precision())),
        ("Recall", percent(counts.recall())),
        ("False alarms", percent(counts.false_alarms())),
        ("F1", percent(counts.f1())),
    ]
}

/// A curve of an evaluation, to be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn<'a> {
    /// What it shows.
    pub title: &'static str,
    /// Names of the axes.
    pub labels: [&'static str; 2],
    /// Their ends.
    pub axes: Axes,
    /// The points.
    pub points: &'a Curve,
    /// Whether a guess would lie on the diagonal.
    pub diagonal: bool,
    /// Name and value of the figure that belongs to it.
    pub figure: (&'static str, Option<f64>),
}

impl Drawn<'_> {
    /// The drawing, with a point whose values are read or with all that can be.
    pub fn svg(&self, mark: Option<Point>, readable: bool) -> String {
        chart::curve(&CurveChart {
            title: self.title,
            labels: self.labels,
            axes: self.axes,
            curves: vec![(self.title, self.points)],
            diagonal: self.diagonal,
            mark,
            readable,
        })
    }

    /// The figure in words.
    pub fn caption(&self) -> String {
        let (name, value) = self.figure;
        value.map_or_else(String::new, |value| format!("{name} {value:.3}"))
    }
}

/// The curves of an evaluation that are defined.
pub fn curves(evaluation: &Evaluation) -> Vec<Drawn<'_>> {
    let own = evaluation.metrics();
    let rates = ["False positive rate", "True positive rate"];
    let precision = ["Recall", "Precision"];
    let curves = &evaluation.curves;
    let overlap = Axes {
        x: (0.0, AUPRO_LIMIT as f32),
        y: (0.0, 1.0),
    };
    let all = [
        (
            "ROC, images",
            rates,
            &curves.image_roc,
            ("area", own.get(Metric::ImageAuc)),
        ),
        (
            "Precision and recall, images",
            precision,
            &curves.image_pr,
            ("", None),
        ),
        (
            "ROC, pixels",
            rates,
            &curves.pixel_roc,
            ("area", own.get(Metric::PixelAuc)),
        ),
        (
            "Precision and recall, pixels",
            precision,
            &curves.pixel_pr,
            ("average precision", own.get(Metric::PixelAp)),
        ),
        (
            "Per-region overlap",
            ["False positive rate of pixels", "Overlap"],
            &curves.overlap,
            ("PRO", own.get(Metric::Aupro)),
        ),
    ];
    let drawn = all.into_iter().filter_map(|(title, labels, points, figure)| {
        Some(Drawn {
            title,
            labels,
            axes: if figure.0 == "PRO" { overlap } else { Axes::UNIT },
            points: points.as_ref()?,
            diagonal: figure.0 == "area",
            figure,
        })
    });
    drawn.collect()
}

fn table(caption: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = format!(
        "<div class=\"wide\"><table><caption>{}</caption><thead><tr>",
        escaped(caption)
    );
    for name in header {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escaped(name));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let _ = match column {
                0 => write!(html, "<th scope=\"row\">{}</th>", escaped(cell)),
                _ => write!(html, "<td>{}</td>", escaped(cell)),
            };
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

fn figures_row(name: &str, metrics: &Metrics, f1: Option<f64>) -> Vec<String> {
    let cells = metrics.values().into_iter().chain([f1]).map(percent);
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// What readers should know, if there is anything.
fn list(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let entries = notes.iter().map(|note| format!("<li>{}</li>", escaped(note)));
    format!("<ul class=\"notes\">{}</ul>", entries.collect::<String>())
}

/// One evaluation's section.
fn section(part: &Part<'_>) -> String {
    let Part {
        evaluation,
        threshold,
        ..
    } = part;
    let report = &evaluation.report;
    let counts = evaluation.confusion(*threshold);
    let labelled = |defective| {
        let of = evaluation.images.iter();
        of.filter(|image| image.class.is_defective() == defective).count()
    };
    let mut html = format!(
        "<p>{}, {}: {} good, {} defective{}. {:.0} ms per image. Called defective from a score of {:.3} \
         on.</p>",
        report.method.label(),
        count(report.images, "image", "images"),
        labelled(Some(false)),
        labelled(Some(true)),
        match labelled(None) {
            0 => String::new(),
            more => format!(", {more} without class"),
        },
        report.milliseconds_per_image,
        threshold,
    );
    html += &list(&evaluation.notes);
    let names: Vec<&str> = std::iter::once("map")
        .chain(Metrics::NAMES)
        .chain(["F1 at threshold"])
        .collect();
    let mut rows = Vec::new();
    if let Some(metrics) = &report.segmentation {
        rows.push(figures_row("segmentation", metrics, counts.f1()));
        rows.push(figures_row(report.distance_name(), &report.dest, None));
    } else {
        rows.push(figures_row(report.distance_name(), &report.dest, counts.f1()));
    }
    html += &table("Figures in percent", &names, &rows);
    html += &list(&evaluation.gaps());
    if !evaluation.kinds.is_empty() {
        let names: Vec<&str> = ["defect", "images", "called defective"]
            .into_iter()
            .chain(Metrics::NAMES)
            .collect();
        let rows: Vec<Vec<String>> = evaluation
            .kinds
            .iter()
            .map(|row| {
                let start = [
                    row.kind.clone(),
                    row.images.to_string(),
                    percent(evaluation.detected(&row.kind, *threshold)),
                ];
                start
                    .into_iter()
                    .chain(row.metrics.values().map(percent))
                    .collect()
            })
            .collect();
        html += &table(
            "Each kind of defect against all good images, in percent",
            &names,
            &rows,
        );
    }
    let (good, defective): (Vec<_>, Vec<_>) = evaluation.scores().partition(|&(_, defective)| !defective);
    let scores = |of: Vec<(f32, bool)>| of.into_iter().map(|(score, _)| score).collect::<Vec<f32>>();
    let histogram = Histogram {
        good: &scores(good),
        defective: &scores(defective),
        threshold: *threshold,
    };
    let _ = write!(
        html,
        "<div class=\"charts\"><figure><figcaption>Scores by class</figcaption>{}</figure>",
        chart::histogram(&histogram, &histogram.axes())
    );
    html += "<figure><figcaption>Decisions at the threshold</figcaption><table class=\"matrix\"><thead><tr><td></td>\
             <th scope=\"col\">called good</th><th scope=\"col\">called defective</th></tr></thead><tbody>";
    let _ = write!(
        html,
        "<tr><th scope=\"row\">good</th><td>{}</td><td class=\"wrong\">{}</td></tr>\
         <tr><th scope=\"row\">defective</th><td class=\"wrong\">{}</td><td>{}</td></tr></tbody></table><dl>",
        counts.passes, counts.alarms, counts.misses, counts.hits
    );
    for (name, value) in confusion_rows(counts) {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", with_sign(&value));
    }
    html += "</dl></figure>";
    for drawn in curves(evaluation) {
        let (title, caption, drawing) = (drawn.title, drawn.caption(), drawn.svg(None, true));
        let _ = write!(
            html,
            "<figure><figcaption>{title}<span>{caption}</span></figcaption>{drawing}</figure>"
        );
    }
    html += "</div>";
    html + &pictures::gallery(part)
}

/// A percentage for readers.
pub fn with_sign(value: &str) -> String {
    match value {
        "n/a" => value.into(),
        _ => format!("{value} %"),
    }
}

/// What was measured on what.
fn heading(evaluation: &Evaluation) -> String {
    format!("{} on {}", evaluation.model, evaluation.report.category)
}

/// A page that holds everything: figures, charts, pictures. It loads nothing and runs nothing.
pub fn html(parts: &[Part<'_>]) -> String {
    let title = match parts {
        [part] => heading(part.evaluation),
        _ => "Comparison of models".to_owned(),
    };
    let mut body = String::new();
    if parts.len() > 1 {
        let names: Vec<&str> = ["model", "method"]
            .into_iter()
            .chain(Metrics::NAMES)
            .chain(["F1 at threshold", "ms per image"])
            .collect();
        let rows: Vec<Vec<String>> = parts
            .iter()
            .map(|part| {
                let own = part.evaluation;
                let f1 = own.confusion(part.threshold).f1();
                let mut row = figures_row(&own.model, own.metrics(), f1);
                row.insert(1, own.report.method.label().into());
                row.push(format!("{:.0}", own.report.milliseconds_per_image));
                row
            })
            .collect();
        body += &table("Models on the same images, in percent", &names, &rows);
    }
    for part in parts {
        if parts.len() > 1 {
            let _ = write!(body, "<h2>{}</h2>", escaped(&heading(part.evaluation)));
        }
        body += &section(part);
    }
    let metrics = Metric::ALL.map(|metric| (metric.name(), metric.explanation()));
    document(&title, &body, &explanations(metrics))
}

/// What names of figures mean, as the entries of a list.
fn explanations(entries: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    let entries = entries.into_iter();
    entries
        .map(|(name, meaning)| format!("<div><dt>{name}</dt><dd>{meaning}</dd></div>"))
        .collect()
}

/// A whole page around a body, with a list at its end.
fn document(title: &str, body: &str, explanations: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
         <style>{}\n{}</style></head><body><main><h1>{title}</h1>{body}\
         <footer><dl>{explanations}</dl><p>Written by destseg {}.</p></footer></main></body></html>\n",
        chart::STYLE,
        include_str!("report.css"),
        env!("CARGO_PKG_VERSION"),
        title = escaped(title),
    )
}

/// What an image's class and decision are, in a word for style sheets and one for readers.
pub fn judged(class: &Class, score: Option<f32>, threshold: f32) -> (&'static str, String) {
    match (class.is_defective(), score) {
        (_, None) => ("broken", "not analysed".into()),
        (None, Some(_)) => ("open", "no class".into()),
        (Some(false), Some(score)) if score >= threshold => ("wrong", "false alarm".into()),
        (Some(true), Some(score)) if score < threshold => ("wrong", format!("missed: {}", class.name())),
        _ => ("right", class.name().into()),
    }
}

#[cfg(test)]
mod tests;
