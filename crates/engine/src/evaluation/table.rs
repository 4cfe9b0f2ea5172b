//! Reports as aligned text, Markdown and CSV.

use super::published::{MEAN, MeanStd, Published};
use super::{CategoryReport, Metric, Metrics, Report};

/// Rows of cells under a header; the first `names` columns are words, the others numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    names: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows, whose first `names` columns hold words.
    pub fn new(names: usize, header: Vec<String>) -> Self {
        Self {
            names,
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty.
    pub fn push(&mut self, mut row: Vec<String>) {
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
    }

    /// The header and the rows.
    pub fn into_parts(self) -> (Vec<String>, Vec<Vec<String>>) {
        (self.header, self.rows)
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.header).chain(&self.rows)
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| self.lines().map(|row| row[column].chars().count()).max();
        (0..self.header.len())
            .map(|column| width(column).unwrap_or_default())
            .collect()
    }

    /// Words to the left, numbers to the right, two spaces between.
    pub fn to_text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in self.lines() {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column < self.names {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub fn to_markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let escape = |row: &Vec<String>| {
            row.iter()
                .map(|cell| cell.replace('|', "\\|"))
                .collect::<Vec<_>>()
        };
        let rule: Vec<String> = (0..self.header.len())
            .map(|column| if column < self.names { "---" } else { "---:" }.to_owned())
            .collect();
        let mut text = line(&escape(&self.header)) + &line(&rule);
        for row in &self.rows {
            text.push_str(&line(&escape(row)));
        }
        text
    }

    /// Comma-separated values; cells with commas or quotes are quoted.
    pub fn to_csv(&self) -> String {
        let quote = |cell: &String| {
            if cell.contains(['"', ',', '\n']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        self.lines()
            .map(|row| row.iter().map(quote).collect::<Vec<_>>().join(",") + "\n")
            .collect()
    }
}

/// What a row is about.
const SEGMENTATION: &str = "segmentation";
const DEST: &str = "DeST";
const PAPER: &str = "paper";

fn header(names: [&str; 2]) -> Vec<String> {
    names
        .into_iter()
        .chain(Metrics::NAMES)
        .map(str::to_owned)
        .collect()
}

fn row(category: &str, output: &str, cells: [String; Metric::COUNT]) -> Vec<String> {
    [category.to_owned(), output.to_owned()]
        .into_iter()
        .chain(cells)
        .collect()
}

/// Percent with one decimal, as papers print it.
fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".into(), |value| format!("{:.1}", 100.0 * value))
}

fn published(value: Option<MeanStd>) -> String {
    value.map_or_else(String::new, |(mean, std)| format!("{mean:.1} ± {std:.1}"))
}

impl CategoryReport {
    /// An output's name, with the model's before it where several are compared.
    fn output(&self, name: &str) -> String {
        match &self.model {
            Some(model) => format!("{model}: {name}"),
            None => name.to_owned(),
        }
    }
}

impl Report {
    /// Whether there are several categories, not several models of one.
    fn is_of_categories(&self) -> bool {
        self.categories.len() > 1 && self.categories.iter().all(|report| report.model.is_none())
    }

    /// Each category's figures in percent, and their mean, with the paper's beside categories of
    /// `MVTec` AD.
    pub fn table(&self) -> Table {
        let mut table = Table::new(2, header(["category", "output"]));
        let mut push = |category: &str, output: &str, metrics: &Metrics| {
            table.push(row(category, output, metrics.values().map(percent)));
        };
        let mut known: Vec<&Published> = Vec::new();
        for report in &self.categories {
            if let Some(metrics) = &report.segmentation {
                push(&report.category, &report.output(SEGMENTATION), metrics);
            }
            push(
                &report.category,
                &report.output(report.distance_name()),
                &report.dest,
            );
            if let Some(paper) = Published::of(&report.category)
                && !known.contains(&paper)
            {
                known.push(paper);
            }
        }
        if self.is_of_categories() {
            if let Some(metrics) = &self.mean_segmentation {
                push("mean", SEGMENTATION, metrics);
            }
            push("mean", DEST, &self.mean_dest);
        }
        for paper in &known {
            table.push(row(paper.category, PAPER, paper.values().map(published)));
        }
        if known.len() == super::published::CATEGORIES.len() {
            table.push(row(MEAN.category, PAPER, MEAN.values().map(published)));
        }
        table
    }

    /// One line per category and output, shares in full precision, empty where not defined.
    pub fn csv(&self) -> String {
        let mut table = Table::new(2, header(["category", "output"]));
        let exact = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for report in &self.categories {
            let outputs = [
                (SEGMENTATION, report.segmentation.as_ref()),
                (report.distance_name(), Some(&report.dest)),
            ];
            for (output, metrics) in outputs {
                if let Some(metrics) = metrics {
                    let cells = metrics.values().map(exact);
                    table.push(row(&report.category, &report.output(output), cells));
                }
            }
        }
        table.to_csv()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Method;

    fn report(category: &str, value: f64, segmentation: bool) -> CategoryReport {
        let metrics = Metrics::from_fn(|metric| (metric == Metric::ImageAuc).then_some(value));
        CategoryReport {
            category: category.into(),
            method: Method::Destseg,
            model: None,
            images: 1,
            segmentation: segmentation.then_some(metrics),
            dest: metrics,
            per_defect: BTreeMap::new(),
            decisions: None,
            unfamiliar: None,
            milliseconds_per_image: 1.0,
        }
    }

    #[test]
    fn the_paper_stands_beside_its_categories_only() {
        let report = Report::new(vec![report("bottle", 0.5, true), report("my|nut", 1.0, false)]);
        let text = report.table().to_text();
        assert!(text.contains("90.3 ± 1.8"), "{text}");
        assert_eq!(text.matches("paper").count(), 1, "{text}");
        assert_eq!(
            text.matches("my|nut").count(),
            1,
            "no segmentation network, no row: {text}"
        );
        let mean = text
            .lines()
            .find(|line| line.starts_with("mean  ") && line.contains(DEST));
        assert!(
            mean.is_some_and(|line| line.contains("75.0") && line.contains("n/a")),
            "{text}"
        );
        let markdown = report.table().to_markdown();
        assert!(
            markdown.contains("| my\\|nut | DeST | 100.0 | n/a |"),
            "{markdown}"
        );
        let csv = report.csv();
        assert!(csv.contains("bottle,segmentation,0.5,,,,,"), "{csv}");
    }

    #[test]
    fn columns_are_aligned_and_cells_quoted() {
        let mut table = Table::new(1, vec!["name".into(), "value".into()]);
        table.push(vec!["a, \"b\"".into(), "1".into()]);
        table.push(vec!["c".into()]);
        assert_eq!(table.to_text(), "name    value\na, \"b\"      1\nc\n");
        assert_eq!(table.to_csv(), "name,value\n\"a, \"\"b\"\"\",1\nc,\n");
    }
}
