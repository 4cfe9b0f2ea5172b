//! Several sets, recipes, numbers of training images and seeds in one table.

use serde::{Deserialize, Serialize};

use super::nuisance::{NuisanceCount, NuisanceTable, pooled};
use super::table::Table;
use super::{Evaluation, Metric, Metrics, Spread};
use crate::verdict::certainty::Certainty;

/// The share of good images that the table's last threshold stops.
const PROMISE: f64 = 0.05;
/// What says which row it is.
const NAMES: [&str; 4] = ["set", "recipe", "images", "runs"];
/// Name of the row over all sets.
const ALL_SETS: &str = "all sets";

/// One training with its evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchRun {
    /// The data set's name.
    pub set: String,
    /// How it was trained, in words.
    pub recipe: String,
    /// Good images that it was given; all of the set, if none.
    pub images: Option<usize>,
    /// What was measured.
    pub evaluation: Evaluation,
    /// Images of other sets that the model calls unfamiliar, if it was shown them.
    pub foreign: Option<Share>,
    /// What the model says of images with nuisances, if it was shown them.
    pub nuisances: Vec<NuisanceCount>,
    /// Wall time of the training in seconds, if it is known.
    pub seconds: Option<f64>,
    /// Size of the model file in bytes, if it is known.
    pub bytes: Option<u64>,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Those that count.
    pub of: usize,
    /// All.
    pub all: usize,
}

impl Share {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            of: self.of + other.of,
            all: self.all + other.all,
        }
    }

    /// In [0, 1]; none of none.
    pub fn value(self) -> Option<f64> {
        (self.all > 0).then(|| self.of as f64 / self.all as f64)
    }

    /// In percent, with the counts.
    pub(super) fn percent(self) -> String {
        self.value().map_or_else(
            || "n/a".into(),
            |value| format!("{:.1} ({}/{})", 100.0 * value, self.of, self.all),
        )
    }
}

/// What thresholds do to the images of a test set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Good images at or above the threshold in force: false alarms.
    pub alarms: Share,
    /// Defective images at or above the threshold in force.
    pub found: Share,
    /// Defective images above the lowest threshold that stops at most one good image in twenty of this very set.
    pub reachable: Share,
    /// Verdicts that are said to be clear, of all.
    #[serde(default)]
    pub clear: Share,
    /// Wrong ones among the clear verdicts.
    #[serde(default)]
    pub clear_wrong: Share,
    /// Images of the own test set, good or defective, that are called unfamiliar.
    #[serde(default)]
    pub unfamiliar: Share,
    /// The same of images of other sets.
    #[serde(default)]
    pub foreign: Share,
}

impl Stopped {
    /// Counts the images of an evaluation. A model without thresholds has only [`Self::reachable`].
    pub fn of(evaluation: &Evaluation) -> Self {
        let defective: Vec<f32> = evaluation
            .scores()
            .filter(|&(_, defective)| defective)
            .map(|(score, _)| score)
            .collect();
        let reachable = evaluation
            .threshold_for_alarms(PROMISE)
            .map_or_else(Share::default, |limit| Share {
                of: defective.iter().filter(|&&score| score >= limit).count(),
                all: defective.len(),
            });
        let clear = evaluation
            .images
            .iter()
            .filter(|image| image.certainty.is_some_and(Certainty::is_clear));
        let counts = evaluation
            .thresholds
            .map(|thresholds| evaluation.confusion(thresholds.image));
        Self {
            alarms: counts.map_or_else(Share::default, |own| Share {
                of: own.alarms,
                all: own.alarms + own.passes,
            }),
            found: counts.map_or_else(Share::default, |own| Share {
                of: own.hits,
                all: own.hits + own.misses,
            }),
            reachable,
            clear: Share {
                of: clear.clone().count(),
                all: evaluation
                    .images
                    .iter()
                    .filter(|image| image.certainty.is_some())
                    .count(),
            },
            clear_wrong: Share {
                of: clear
                    .clone()
                    .filter(|image| image.is_wrong(evaluation.threshold()))
                    .count(),
                all: clear.count(),
            },
            unfamiliar: evaluation
                .report
                .unfamiliar
                .map_or_else(Share::default, |own| own.good.plus(own.defective)),
            foreign: Share::default(),
        }
    }

    fn shares(self) -> [Share; 7] {
        [
            self.alarms,
            self.found,
            self.reachable,
            self.clear,
            self.clear_wrong,
            self.unfamiliar,
            self.foreign,
        ]
    }

    fn plus(self, other: Self) -> Self {
        Self {
            alarms: self.alarms.plus(other.alarms),
            found: self.found.plus(other.found),
            reachable: self.reachable.plus(other.reachable),
            clear: self.clear.plus(other.clear),
            clear_wrong: self.clear_wrong.plus(other.clear_wrong),
            unfamiliar: self.unfamiliar.plus(other.unfamiliar),
            foreign: self.foreign.plus(other.foreign),
        }
    }
}

/// A set, or all of them, with one recipe and number of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// The data set, or "all sets".
    pub set: String,
    /// How was trained, in words.
    pub recipe: String,
    /// Good images of a training; none for all of the set.
    pub images: Option<usize>,
    /// Trainings.
    pub runs: usize,
    /// Values in the order of [`Metric::ALL`]; none where not defined.
    pub figures: [Option<Spread>; Metric::COUNT],
    /// F1 at the threshold in force.
    pub f1: Option<Spread>,
    /// F1 at the best threshold of this very test set.
    pub best_f1: Option<Spread>,
    /// Images of all runs together.
    pub stopped: Stopped,
    /// Seconds of a training.
    pub seconds: Option<Spread>,
    /// Megabytes of a model file.
    pub megabytes: Option<Spread>,
    /// Images with nuisances, of all runs together; empty where they were not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nuisances: Vec<NuisanceCount>,
}

/// Numbers of one run or of the mean over several, as they are averaged.
struct Numbers {
    metrics: Metrics,
    f1: Option<f64>,
    best_f1: Option<f64>,
    seconds: Option<f64>,
    megabytes: Option<f64>,
}

impl Numbers {
    fn of(run: &BenchRun) -> Self {
        let own = &run.evaluation;
        let (scores, labels): (Vec<f32>, Vec<bool>) = own.scores().unzip();
        Self {
            metrics: *own.metrics(),
            f1: own.report.decisions.and_then(|decisions| decisions.f1),
            best_f1: crate::metrics::best_f1_threshold(&scores, &labels)
                .ok()
                .map(|(_, f1)| f1),
            seconds: run.seconds,
            megabytes: run.bytes.map(|bytes| bytes as f64 / 1e6),
        }
    }
}

fn spread(numbers: &[Numbers], pick: impl Fn(&Numbers) -> Option<f64>) -> Option<Spread> {
    Spread::of(&numbers.iter().filter_map(pick).collect::<Vec<f64>>())
}

impl BenchRow {
    /// The cells under [`NAMES`]; `all` stands for all images of a set.
    fn names(&self, all: &str) -> [String; 4] {
        [
            self.set.clone(),
            self.recipe.clone(),
            self.images
                .map_or_else(|| all.to_owned(), |images| images.to_string()),
            self.runs.to_string(),
        ]
    }

    fn new(set: &str, first: &BenchRun, runs: &[&BenchRun]) -> Self {
        let numbers: Vec<Numbers> = runs.iter().map(|run| Numbers::of(run)).collect();
        let stopped = runs.iter().map(|run| Stopped {
            foreign: run.foreign.unwrap_or_default(),
            ..Stopped::of(&run.evaluation)
        });
        Self {
            set: set.to_owned(),
            recipe: first.recipe.clone(),
            images: first.images,
            runs: runs.len(),
            figures: Metric::ALL.map(|metric| spread(&numbers, |own| own.metrics.get(metric))),
            f1: spread(&numbers, |own| own.f1),
            best_f1: spread(&numbers, |own| own.best_f1),
            stopped: stopped.fold(Stopped::default(), Stopped::plus),
            seconds: spread(&numbers, |own| own.seconds),
            megabytes: spread(&numbers, |own| own.megabytes),
            nuisances: pooled(runs.iter().map(|run| &*run.nuisances)),
        }
    }

    /// The mean over sets, so that a set with many seeds counts no more than others; images are pooled.
    fn over_sets(rows: &[Self]) -> Option<Self> {
        let first = rows.first()?;
        let mean = |pick: &dyn Fn(&Self) -> Option<Spread>| {
            let means: Vec<f64> = rows.iter().filter_map(|row| Some(pick(row)?.mean)).collect();
            // how much sets differ says nothing about the mean
            Spread::of(&means).map(|own| Spread { std: None, ..own })
        };
        let stopped = rows.iter().map(|row| row.stopped);
        Some(Self {
            set: ALL_SETS.into(),
            recipe: first.recipe.clone(),
            images: first.images,
            runs: rows.iter().map(|row| row.runs).sum(),
            figures: Metric::ALL.map(|metric| mean(&|row| row.figures[metric as usize])),
            f1: mean(&|row| row.f1),
            best_f1: mean(&|row| row.best_f1),
            stopped: stopped.fold(Stopped::default(), Stopped::plus),
            seconds: mean(&|row| row.seconds),
            megabytes: mean(&|row| row.megabytes),
            nuisances: pooled(rows.iter().map(|row| &*row.nuisances)),
        })
    }
}

/// The table of a bench.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// Recipe by recipe, number by number: the sets, then all of them together.
    pub rows: Vec<BenchRow>,
}

impl Bench {
    /// Summarises runs, which come recipe by recipe, number by number, and set by set.
    pub fn new(runs: &[BenchRun]) -> Self {
        let mut groups: Vec<(&str, Option<usize>)> = Vec::new();
        for run in runs {
            let group = (&*run.recipe, run.images);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let mut rows = Vec::new();
        for group in groups {
            let of_group: Vec<&BenchRun> = runs
                .iter()
                .filter(|run| (&*run.recipe, run.images) == group)
                .collect();
            let mut sets: Vec<&str> = Vec::new();
            for run in &of_group {
                if !sets.contains(&&*run.set) {
                    sets.push(&run.set);
                }
            }
            let own: Vec<BenchRow> = sets
                .iter()
                .filter_map(|set| {
                    let runs: Vec<&BenchRun> =
                        of_group.iter().filter(|run| run.set == *set).copied().collect();
                    Some(BenchRow::new(set, runs.first()?, &runs))
                })
                .collect();
            let all = BenchRow::over_sets(&own).filter(|_| own.len() > 1);
            rows.extend(own);
            rows.extend(all);
        }
        Self { rows }
    }

    /// The rows: metrics in percent, images pooled over all runs of a row.
    pub fn table(&self) -> Table {
        let mut table = Table::new(2, Self::header().map(str::to_owned).collect());
        for row in &self.rows {
            let plain = |spread: Option<Spread>, digits: usize| {
                spread.map_or_else(|| "n/a".into(), |own| format!("{:.digits$}", own.mean))
            };
            let names = row.names("all");
            let shares = row.stopped.shares();
            table.push(
                names
                    .into_iter()
                    .chain(row.figures.map(Spread::percent))
                    .chain([row.f1, row.best_f1].map(Spread::percent))
                    .chain(shares.map(Share::percent))
                    .chain([plain(row.seconds, 0), plain(row.megabytes, 1)])
                    .collect(),
            );
        }
        table
    }

    /// The rows' images with nuisances; `all` stands for all images of a set.
    pub fn nuisances(&self, all: &str) -> NuisanceTable {
        let mut table = NuisanceTable::new(&NAMES);
        for row in &self.rows {
            table.push(row.names(all).to_vec(), &row.nuisances);
        }
        table
    }

    fn header() -> impl Iterator<Item = &'static str> {
        NAMES
            .into_iter()
            .chain(Metrics::NAMES)
            .chain(["F1", "best F1"])
            .chain(Self::SHARES)
            .chain(["seconds", "MB"])
    }

    /// Columns with counts of images, in the order of [`Stopped::shares`].
    const SHARES: [&'static str; 7] = [
        "false alarms",
        "defects found",
        "found at 5 %",
        "clear verdicts",
        "clear but wrong",
        "own unfamiliar",
        "foreign unfamiliar",
    ];

    /// What the columns of [`Self::table`] mean that are no metrics, one sentence each.
    pub const EXPLANATIONS: [(&'static str, &'static str); 10] = [
        ("F1", "at the threshold in force"),
        ("best F1", "at the best threshold of this very test set"),
        (
            "false alarms",
            "good test images at or above the threshold in force, all runs together",
        ),
        (
            "defects found",
            "defective test images at or above the threshold in force, all runs together",
        ),
        (
            "found at 5 %",
            "defective test images above the threshold that stops one good image in twenty of this very test set",
        ),
        (
            "clear verdicts",
            "verdicts said to be clearly good or clearly defective, of all",
        ),
        ("clear but wrong", "wrong verdicts among these"),
        (
            "own unfamiliar",
            "images of the own test set, good or defective, that are not called the model's part",
        ),
        ("foreign unfamiliar", "the same of test images of the other sets"),
        ("seconds", "wall time of a training"),
    ];

    /// One line per row, as fractions in full precision, with standard deviations and counts; empty where not defined.
    pub fn csv(&self) -> String {
        let spreads = Metrics::NAMES
            .into_iter()
            .chain(["F1", "best F1", "seconds", "MB"]);
        let spreads = spreads.flat_map(|name| [name.to_owned(), format!("{name} deviation")]);
        let counts = Self::SHARES.into_iter();
        let counts = counts.flat_map(|name| [name.to_owned(), format!("{name}: of")]);
        let names = NAMES.map(str::to_owned).into_iter();
        let mut table = Table::new(2, names.chain(spreads).chain(counts).collect());
        let exact = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        for row in &self.rows {
            let names = row.names("");
            let more = [row.f1, row.best_f1, row.seconds, row.megabytes];
            let spreads = row.figures.iter().chain(&more).flat_map(|spread| {
                [
                    exact(spread.map(|own| own.mean)),
                    exact(spread.and_then(|own| own.std)),
                ]
            });
            let shares = row.stopped.shares();
            let counts = shares
                .into_iter()
                .flat_map(|own| [own.of.to_string(), own.all.to_string()]);
            table.push(names.into_iter().chain(spreads).chain(counts).collect());
        }
        table.to_csv()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::labelled::Class;
    use crate::evaluation::{CategoryReport, Curves, Decisions, ImageResult};
    use crate::verdict::decision::Thresholds;

    fn run(set: &str, images: Option<usize>, auc: f64, good: &[f32], defective: &[f32]) -> BenchRun {
        let thresholds = Thresholds::default();
        let image = |score: f32, class: Class| ImageResult {
            score: Some(score),
            class,
            ..ImageResult::default()
        };
        let labels: Vec<bool> = (0..good.len() + defective.len())
            .map(|i| i >= good.len())
            .collect();
        let metrics = Metrics::from_fn(|metric| (metric == Metric::ImageAuc).then_some(auc));
        BenchRun {
            set: set.into(),
            recipe: "compact".into(),
            images,
            evaluation: Evaluation {
                report: CategoryReport {
                    dest: metrics,
                    decisions: Some(Decisions::of(&[good, defective].concat(), &labels, thresholds)),
                    per_defect: BTreeMap::new(),
                    ..CategoryReport::default()
                },
                model: "m".into(),
                thresholds: Some(thresholds),
                side: 8,
                images: good
                    .iter()
                    .map(|&score| image(score, Class::Good))
                    .chain(
                        defective
                            .iter()
                            .map(|&score| image(score, Class::Defective("hole".into()))),
                    )
                    .collect(),
                kinds: Vec::new(),
                curves: Curves::default(),
                missing: Vec::new(),
                notes: Vec::new(),
            },
            foreign: Some(Share { of: 9, all: 10 }),
            nuisances: Vec::new(),
            seconds: Some(10.0),
            bytes: Some(3_100_000),
        }
    }

    #[test]
    fn images_are_pooled_and_metrics_averaged_over_sets() {
        let runs = [
            run("a", None, 0.5, &[0.1, 0.6], &[0.7, 0.2]),
            run("a", None, 0.7, &[0.1, 0.2], &[0.7, 0.9]),
            run("b", None, 0.9, &[0.1], &[0.7, 0.6, 0.8]),
            run("b", Some(20), 1.0, &[0.1], &[0.7]),
        ];
        let bench = Bench::new(&runs);
        let names: Vec<(&str, Option<usize>)> =
            bench.rows.iter().map(|row| (&*row.set, row.images)).collect();
        assert_eq!(
            names,
            [("a", None), ("b", None), (ALL_SETS, None), ("b", Some(20))]
        );
        let [a, b, all] = &bench.rows[..3] else {
            unreachable!("three rows")
        };
        assert_eq!(a.runs, 2);
        let auc = |row: &BenchRow| row.figures[Metric::ImageAuc as usize].expect("is defined");
        assert!((auc(a).mean - 0.6).abs() < 1e-12 && auc(a).std.is_some());
        assert!((auc(all).mean - 0.75).abs() < 1e-12, "each set counts once");
        assert_eq!(a.stopped.alarms, Share { of: 1, all: 4 });
        assert_eq!(a.stopped.found, Share { of: 3, all: 4 });
        // above 0.6 in one run, above 0.2 in the other
        assert_eq!(a.stopped.reachable, Share { of: 3, all: 4 });
        assert_eq!(b.stopped.found, Share { of: 3, all: 3 });
        assert_eq!(all.stopped.found, Share { of: 6, all: 7 });
        let text = bench.table().to_text();
        assert!(text.contains("25.0 (1/4)") && text.contains("3.1"), "{text}");
        assert_eq!(bench.csv().lines().count(), 5);
    }

    #[test]
    fn one_good_image_in_twenty_may_be_stopped() {
        // the highest of forty may be, and the second highest, but not the third
        let good: Vec<f32> = (0..40).map(|i| i as f32 / 100.0).collect();
        let own = run("a", None, 1.0, &good, &[0.365, 0.375, 0.385, 0.2]);
        assert_eq!(Stopped::of(&own.evaluation).reachable, Share { of: 2, all: 4 });
    }

    #[test]
    fn what_cannot_be_counted_is_said() {
        let mut own = run("a", None, 1.0, &[], &[0.7]);
        own.evaluation.thresholds = None;
        own.evaluation.report.decisions = None;
        own.seconds = None;
        own.foreign = None;
        let stopped = Stopped::of(&own.evaluation);
        assert_eq!(stopped, Stopped::default());
        let text = Bench::new(&[own]).table().to_text();
        assert_eq!(text.matches("n/a").count(), 5 + 7 + 1 + 1, "{text}");
    }
}
