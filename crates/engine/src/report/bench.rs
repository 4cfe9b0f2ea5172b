//! The report of a bench: its table, and the worst decisions of every row.

use std::fmt::Write as _;

use super::chart::escaped;
use super::pictures::figure;
use super::{document, explanations, table};
use crate::evaluation::nuisance::NuisanceTable;
use crate::evaluation::{Bench, ImageResult, Metric};

/// An image that was decided wrongly.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// The numbers.
    pub image: ImageResult,
    /// A small picture of it as JPEG file; may be empty.
    pub picture: Vec<u8>,
}

/// The worst decisions of one training.
#[derive(Debug, Clone)]
pub struct WorstOf {
    /// The training, in words.
    pub name: String,
    /// Address of its whole report, from this one.
    pub address: String,
    /// The threshold in force.
    pub threshold: f32,
    /// Side of the square in which outlines are measured.
    pub side: usize,
    /// Images, the worst first.
    pub images: Vec<Wrong>,
}

/// A page with the table and the pictures. It loads nothing and runs nothing.
pub fn bench(bench: &Bench, worst: &[WorstOf]) -> String {
    let (header, rows) = bench.table().into_parts();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let mut body = table(
        "Metrics in percent; images of all runs of a row together",
        &header,
        &rows,
    );
    let nuisances = bench.nuisances("all");
    let mut meanings: &[(&str, &str)] = &[];
    if !nuisances.is_empty() {
        let (header, rows) = nuisances.table().into_parts();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        body += &table(NuisanceTable::CAPTION, &header, &rows);
        meanings = &NuisanceTable::EXPLANATIONS;
    }
    if !worst.is_empty() {
        body += "<h2>Worst decisions</h2><p class=\"key\"><span class=\"truth\"></span>true defect \
                 <span class=\"found\"></span>found by the model</p>";
    }
    for own in worst {
        let figures = own.images.iter().map(|wrong| {
            let picture = Some(&wrong.picture).filter(|picture| !picture.is_empty());
            figure(
                &wrong.image,
                own.threshold,
                own.side,
                picture.map(Vec::as_slice),
                "",
            )
        });
        let _ = write!(
            body,
            "<h3><a href=\"{}\">{}</a></h3><div class=\"gallery\">{}</div>",
            escaped(&own.address),
            escaped(&own.name),
            figures.collect::<String>()
        );
    }
    let metrics = Metric::ALL.map(|metric| (metric.name(), metric.explanation()));
    document(
        "Bench",
        &body,
        &explanations(
            metrics
                .into_iter()
                .chain(Bench::EXPLANATIONS)
                .chain(meanings.iter().copied()),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::labelled::Class;

    #[test]
    fn wrong_decisions_are_shown_and_names_escaped() {
        let image = ImageResult {
            name: "hole/<b>.png".into(),
            class: Class::Defective("hole".into()),
            score: Some(0.25),
            ..ImageResult::default()
        };
        let worst = WorstOf {
            name: "fabric, compact, 20 images, seed 0".into(),
            address: "fabric/seed-0/report.html".into(),
            threshold: 0.5,
            side: 8,
            images: vec![Wrong {
                image,
                picture: vec![1, 2, 3],
            }],
        };
        let html = bench(&Bench::default(), &[worst]);
        assert!(
            html.contains("missed: hole") && html.contains("score 0.250"),
            "{html}"
        );
        assert!(
            html.contains("hole/&lt;b&gt;.png") && !html.contains("<b>.png"),
            "{html}"
        );
        assert!(html.contains("href=\"fabric/seed-0/report.html\"") && html.contains("base64,AQID"));
        assert!(html.contains("best threshold of this very test set"));
    }
}
