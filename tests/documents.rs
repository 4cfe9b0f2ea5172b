//! The numbers that README, models/README and docs/results.md share with what `destseg eval` wrote
//! (docs/results/shipped.json: its JSON for every category and seed).

use std::fs;
use std::path::Path;

use serde_json::Value;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What `destseg eval` wrote of a category, by seed.
fn evaluations(category: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_json::from_str(&read("docs/results/shipped.json")).expect("is JSON");
    let own = all.into_iter().filter(|own| own["category"] == category);
    own.collect()
}

/// The cells of a table's rows, below a row that starts with these words; a row is told by its first cell.
fn rows(document: &str, head: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let lines = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let inner = line.trim().trim_matches('|').to_owned();
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = lines.map(cells).collect();
    assert!(!rows.is_empty(), "{document} has no table `{head}`");
    rows
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Checks a cell with three decimals, or in whole percent.
#[track_caller]
fn equals(what: &str, cell: &str, value: f64) {
    let expected = match cell.ends_with('%') {
        true if cell.contains('.') => format!("{:.1} %", 100.0 * value),
        true => format!("{:.0} %", 100.0 * value),
        false => format!("{value:.3}"),
    };
    assert_eq!(cell, expected, "{what}");
}

const SHIPPED: [&str; 3] = ["fabric", "tablets", "circuit"];
const SEEDS: usize = 12;

/// Means over the twelve test sets, as the columns name them.
fn of_column(category: &str, column: &str) -> f64 {
    let all = evaluations(category);
    assert_eq!(all.len(), SEEDS, "{category}");
    let value = |own: &Value| {
        match column {
            "F1" => &own["decisions"]["f1"],
            "false alarms" => &own["decisions"]["false_alarms"],
            figure => &own["segmentation"][figure],
        }
        .as_f64()
    };
    mean(all.iter().map(|own| value(own).expect("is a number")))
}

#[test]
fn the_readmes_table_is_what_was_measured() {
    let table = rows("README.md", "| | image AUC |");
    for category in SHIPPED {
        let row = table
            .iter()
            .find(|row| row[0].starts_with(category))
            .expect("has a row");
        let columns = [
            "image_auc",
            "pixel_auc",
            "pixel_ap",
            "aupro",
            "F1",
            "false alarms",
        ];
        for (cell, column) in row[1..].iter().zip(columns) {
            equals(
                &format!("README, {category}, {column}"),
                cell,
                of_column(category, column),
            );
        }
    }
}

#[test]
fn the_results_are_what_was_measured() {
    let table = rows("docs/results.md", "| category | input, pixels |");
    for category in SHIPPED {
        let row = table.iter().find(|row| row[0] == category).expect("has a row");
        let columns = [
            "image_auc",
            "pixel_auc",
            "pixel_ap",
            "aupro",
            "iap",
            "F1",
            "false alarms",
        ];
        for (cell, column) in row[2..].iter().zip(columns) {
            equals(
                &format!("results, {category}, {column}"),
                cell,
                of_column(category, column),
            );
        }
    }
    // README and results give the same numbers of the real category
    let of_readme = rows("README.md", "| | image AUC |");
    let bottle = of_readme
        .iter()
        .find(|row| row[0].contains("bottle"))
        .expect("has a row");
    let results = read("docs/results.md");
    for cell in &bottle[1..] {
        assert!(
            results.contains(cell.trim_end_matches(" %")),
            "docs/results.md has no {cell}"
        );
    }
}

#[test]
fn the_models_readme_is_what_was_measured() {
    let first = |category: &str| {
        let all = evaluations(category);
        let own = all.into_iter().find(|own| own["seed"] == 1);
        own.expect("has seed 1")
    };
    for row in rows("models/README.md", "| category | output |") {
        let own = first(&row[0]);
        let output = if row[1] == "DeST" { "dest" } else { "segmentation" };
        let columns = ["image_auc", "pixel_auc", "pixel_ap", "aupro", "iap", "iap90"];
        for (cell, column) in row[2..].iter().zip(columns) {
            let value = own[output][column].as_f64().expect("is a number");
            equals(&format!("models, {}, {output}, {column}", row[0]), cell, value);
        }
    }
    for row in rows("models/README.md", "| category | training time") {
        let own = first(&row[0]);
        for (cell, key) in row[2..].iter().zip(["threshold", "f1", "false_alarms", "misses"]) {
            let value = own["decisions"][key].as_f64().expect("is a number");
            equals(&format!("models, {}, {key}", row[0]), cell, value);
        }
        for pair in row[6].split(", ") {
            let (kind, cell) = pair.rsplit_once(' ').expect("is a kind and a number");
            let value = own["per_defect"][kind.replace(' ', "_")]
                .as_f64()
                .expect("is a number");
            equals(&format!("models, {}, {kind}", row[0]), cell, value);
        }
    }
}
