//! Several seeds of several categories: mean and spread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::Table;
use super::{CategoryReport, Metric, Metrics};

/// A mean over seeds and the sample standard deviation around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation; none for a single seed.
    #[serde(rename = "deviation")]
    pub std: Option<f64>,
}

impl Spread {
    /// Of these values; none without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Self {
            mean,
            std: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        })
    }

    /// In percent with one decimal.
    pub(super) fn percent(spread: Option<Self>) -> String {
        match spread {
            None => "n/a".into(),
            Some(Self { mean, std: None }) => format!("{:.1}", 100.0 * mean),
            Some(Self { mean, std: Some(std) }) => format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * std),
        }
    }
}

/// One category, or the mean over all, for one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRow {
    /// The category, or "mean".
    pub category: String,
    /// "segmentation" or "DeST".
    pub output: String,
    /// Number of seeds.
    pub seeds: usize,
    /// Values in the order of [`Metric::ALL`]; none where not defined.
    pub figures: [Option<Spread>; Metric::COUNT],
}

/// The summary of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Per category and output, then the means over the categories.
    pub rows: Vec<SweepRow>,
}

impl Sweep {
    /// Summarises reports by seed. As in the paper, the mean row averages over the categories first,
    /// then over the seeds. It uses the seeds that all categories have; without any, there is no row.
    pub fn new(reports: &BTreeMap<u64, Vec<CategoryReport>>) -> Self {
        type Pick = fn(&CategoryReport) -> Option<&Metrics>;
        let outputs: [(&str, Pick); 2] = [
            ("segmentation", |report| report.segmentation.as_ref()),
            ("DeST", |report| Some(&report.dest)),
        ];
        let mut by_category: BTreeMap<&str, Vec<&CategoryReport>> = BTreeMap::new();
        for report in reports.values().flatten() {
            by_category.entry(&report.category).or_default().push(report);
        }
        let mut rows = Vec::new();
        for (category, reports) in &by_category {
            for (output, pick) in outputs {
                let metrics: Vec<Metrics> = reports
                    .iter()
                    .filter_map(|report| pick(report))
                    .copied()
                    .collect();
                let name = match (output, reports.first()) {
                    ("DeST", Some(first)) => first.distance_name(),
                    _ => output,
                };
                rows.extend(summary(category, name, &metrics));
            }
        }
        if by_category.len() > 1 {
            for (output, pick) in outputs {
                let means: Vec<Metrics> = reports
                    .values()
                    .filter(|of_seed| of_seed.len() == by_category.len())
                    .filter_map(|of_seed| {
                        let metrics: Vec<&Metrics> = of_seed.iter().filter_map(pick).collect();
                        (!metrics.is_empty()).then(|| Metrics::mean(metrics))
                    })
                    .collect();
                rows.extend(summary("mean", output, &means));
            }
        }
        Self { rows }
    }

    /// The rows in percent.
    pub fn table(&self) -> Table {
        let names = ["category", "output", "seeds"].into_iter();
        let mut table = Table::new(2, names.chain(Metrics::NAMES).map(str::to_owned).collect());
        for row in &self.rows {
            let names = [row.category.clone(), row.output.clone(), row.seeds.to_string()];
            table.push(
                names
                    .into_iter()
                    .chain(row.figures.map(Spread::percent))
                    .collect(),
            );
        }
        table
    }

    /// One line per row: means and standard deviations as fractions in full precision, empty where not defined.
    pub fn csv(&self) -> String {
        let names = ["category", "output", "seeds"].into_iter().map(str::to_owned);
        let figures = Metrics::NAMES
            .into_iter()
            .flat_map(|name| [name.to_owned(), format!("{name} deviation")]);
        let mut table = Table::new(2, names.chain(figures).collect());
        let exact = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for row in &self.rows {
            let names = [row.category.clone(), row.output.clone(), row.seeds.to_string()];
            let figures = row.figures.iter().flat_map(|spread| {
                [
                    exact(spread.map(|spread| spread.mean)),
                    exact(spread.and_then(|spread| spread.std)),
                ]
            });
            table.push(names.into_iter().chain(figures).collect());
        }
        table.to_csv()
    }
}

fn summary(category: &str, output: &str, metrics: &[Metrics]) -> Option<SweepRow> {
    let figures = Metric::ALL.map(|metric| {
        let values: Vec<f64> = metrics.iter().filter_map(|metrics| metrics.get(metric)).collect();
        Spread::of(&values)
    });
    (!metrics.is_empty()).then(|| SweepRow {
        category: category.to_owned(),
        output: output.to_owned(),
        seeds: metrics.len(),
        figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Method;

    fn report(category: &str, auc: f64) -> CategoryReport {
        CategoryReport {
            category: category.into(),
            method: Method::Destseg,
            model: None,
            images: 1,
            segmentation: None,
            dest: Metrics::from_fn(|metric| (metric == Metric::ImageAuc).then_some(auc)),
            per_defect: BTreeMap::new(),
            decisions: None,
            unfamiliar: None,
            milliseconds_per_image: 1.0,
        }
    }

    #[test]
    fn standard_deviations_are_those_of_a_sample() {
        let spread = Spread::of(&[1.0, 3.0]).expect("has values");
        assert_eq!((spread.mean, spread.std), (2.0, Some(2.0_f64.sqrt())));
        assert_eq!(Spread::of(&[0.5]).expect("has a value").std, None);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_mean_row_needs_all_categories_of_a_seed() {
        let reports = BTreeMap::from([
            (0, vec![report("a", 0.8), report("b", 0.6)]),
            (1, vec![report("a", 1.0)]),
        ]);
        let sweep = Sweep::new(&reports);
        let names: Vec<_> = sweep
            .rows
            .iter()
            .map(|row| (row.category.as_str(), row.seeds))
            .collect();
        assert_eq!(names, [("a", 2), ("b", 1), ("mean", 1)]);
        let mean = sweep.rows[2].figures[Metric::ImageAuc as usize]
            .expect("is there")
            .mean;
        assert!((mean - 0.7).abs() < 1e-12);
        let text = sweep.table().to_text();
        assert!(text.contains("90.0 ± 14.1"), "{text}");
    }
}
