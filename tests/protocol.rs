//! The evaluation protocol as commands: tables of several categories, sweeps over seeds, benches.

use std::fs;

use destseg_engine::evaluation::nuisance::{NUISANCES, Size};
use destseg_engine::evaluation::{Bench, CategoryReport, Evaluation, Metric, Metrics, Report, Sweep};
use tempfile::TempDir;

#[path = "support/command.rs"]
mod command;

use command::{SHORT, demo_data, fails, succeeds};

const CATEGORIES: [&str; 2] = ["circuit", "fabric"];

/// A folder with two small categories in `data`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().expect("creates");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("creates");
    for category in CATEGORIES {
        demo_data(&data, category, [4, 2, 1], 3);
    }
    folder
}

/// The cells of a table in one of the formats.
fn cells(table: &str, separator: &str) -> Vec<Vec<String>> {
    table
        .lines()
        .filter(|line| !line.contains("---"))
        .map(|line| {
            line.trim_matches(['|', ' '])
                .split(separator)
                .map(|cell| cell.trim().to_owned())
                .filter(|cell| separator == "," || !cell.is_empty())
                .collect()
        })
        .collect()
}

/// What a row of the CSV says, in percent as the other formats do.
fn in_percent(row: &[String]) -> Vec<String> {
    row.iter()
        .enumerate()
        .map(|(i, cell)| match cell.parse::<f64>() {
            Ok(value) if i >= 2 => format!("{:.1}", 100.0 * value),
            _ if i >= 2 && cell.is_empty() => "n/a".to_owned(),
            _ => cell.clone(),
        })
        .collect()
}

#[test]
fn one_table_of_several_categories_in_four_formats() {
    let folder = data();
    let path = folder.path();
    fs::create_dir_all(path.join("models/fabric")).expect("creates");
    let model = [
        "train",
        "--data",
        "data/circuit",
        "-o",
        "models/circuit.safetensors",
    ];
    succeeds(&[&model[..], &SHORT, &["--device", "cpu"]].concat(), path);
    // STPM has no segmentation network, so no such row
    let stpm = [
        "train",
        "--data",
        "data/fabric",
        "-o",
        "models/fabric/model.safetensors",
    ];
    let method = ["--method", "stpm", "--batch", "2", "--student-steps", "2"];
    succeeds(&[&stpm[..], &method, &["--device", "cpu"]].concat(), path);
    fs::write(path.join("models/tablets.safetensors"), "never read").expect("writes");

    let eval = |format: &str| {
        let arguments = ["eval", "--data", "data", "--models", "models", "--device", "cpu"];
        succeeds(&[&arguments[..], &["--format", format]].concat(), path)
    };
    let (json, notes) = eval("json");
    assert!(
        notes.contains("tablets.safetensors is left out, there is no category called tablets"),
        "{notes}"
    );
    let report: Report = serde_json::from_str(&json).expect("is a report");
    assert_eq!(
        report.categories.iter().map(|c| &*c.category).collect::<Vec<_>>(),
        CATEGORIES
    );
    let [circuit, fabric] = &report.categories[..] else {
        panic!("two categories: {json}")
    };
    assert!(fabric.segmentation.is_none());
    assert_eq!(report.mean_segmentation, circuit.segmentation);
    let means = Metrics::mean([&circuit.dest, &fabric.dest]);
    for (printed, mean) in report.mean_dest.values().into_iter().zip(means.values()) {
        // serde_json may read the last digit otherwise
        let gap = printed.zip(mean).map(|(printed, mean)| (printed - mean).abs());
        assert!(gap.is_some_and(|gap| gap < 1e-12), "{printed:?} is not {mean:?}");
    }

    let csv = cells(&eval("csv").0, ",");
    let header: Vec<_> = ["category", "output"].into_iter().chain(Metrics::NAMES).collect();
    assert_eq!(csv[0], header);
    let names: Vec<_> = csv[1..].iter().map(|row| (&*row[0], &*row[1])).collect();
    assert_eq!(
        names,
        [
            ("circuit", "segmentation"),
            ("circuit", "DeST"),
            ("fabric", "STPM")
        ]
    );
    let figures = [
        circuit.segmentation.as_ref().expect("has it"),
        &circuit.dest,
        &fabric.dest,
    ];
    for (row, metrics) in csv[1..].iter().zip(figures) {
        for (cell, value) in row[2..].iter().zip(metrics.values()) {
            let gap = cell
                .parse()
                .ok()
                .zip(value)
                .map(|(cell, value): (f64, f64)| (cell - value).abs());
            assert!(gap.is_some_and(|gap| gap < 1e-12), "{row:?}");
        }
    }
    for (format, separator) in [("text", "  "), ("markdown", " | ")] {
        let table = cells(&eval(format).0, separator);
        assert_eq!(table[0], header);
        assert_eq!(table.len(), csv.len() + 2, "and the means: {table:?}");
        for (row, exact) in table[1..].iter().zip(&csv[1..]) {
            assert_eq!(*row, in_percent(exact));
        }
        assert_eq!(table[csv.len()][..2], ["mean", "segmentation"]);
    }

    // a broken model costs its row, not the table
    fs::write(path.join("models/fabric/model.safetensors"), "no model").expect("writes");
    let broken = ["eval", "--data", "data", "--models", "models", "--device", "cpu"];
    let broken = [&broken[..], &["-o", "table.txt"]].concat();
    let errors = fails(&broken, path);
    assert!(errors.contains("could not evaluate fabric"), "{errors}");
    let table = fs::read_to_string(path.join("table.txt")).expect("is written");
    assert!(table.contains("circuit") && !table.contains("fabric"), "{table}");

    let none = ["eval", "--data", "data", "--models", "data", "--device", "cpu"];
    let errors = fails(&none, path);
    assert!(
        errors.contains("no file in data is called like a category"),
        "{errors}"
    );
}

#[test]
fn a_sweep_does_what_is_not_done() {
    let folder = data();
    let path = folder.path();
    let sweep = |more: &[&str]| -> Vec<String> {
        let arguments = [
            "sweep",
            "--data",
            "data",
            "--seeds",
            "0,1",
            "-o",
            "runs",
            "--devices",
            "cpu",
        ];
        let flags = ["--jobs", "2", "--"];
        [&arguments[..], &flags, &SHORT, more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let strings = |arguments: &[String]| -> (String, String) {
        succeeds(&arguments.iter().map(|a| &**a).collect::<Vec<_>>(), path)
    };
    let (table, notes) = strings(&sweep(&[]));
    assert_eq!(started(&notes), 4, "{notes}");
    assert!(table.contains("mean") && table.contains('±'), "{table}");

    let read = |name: &str| fs::read_to_string(path.join("runs").join(name)).expect("is there");
    let summary: Sweep = serde_json::from_str(&read("summary.json")).expect("is a summary");
    let row = summary
        .rows
        .iter()
        .find(|row| (&*row.category, &*row.output) == ("fabric", "DeST"))
        .expect("has the row");
    assert_eq!(row.seeds, 2);
    let auc = |seed: u64| {
        let report = read(&format!("fabric/seed-{seed}/report.json"));
        let report: CategoryReport = serde_json::from_str(&report).expect("is a report");
        report.dest.get(Metric::PixelAuc).expect("is defined")
    };
    let spread = row.figures[Metric::PixelAuc as usize].expect("is defined");
    assert!((spread.mean - f64::midpoint(auc(0), auc(1))).abs() < 1e-12);
    let std = (auc(0) - auc(1)).abs() / 2.0_f64.sqrt();
    assert!((spread.std.expect("two seeds") - std).abs() < 1e-12);
    assert!(read("summary.md").starts_with("| category | output | seeds |"));
    assert_eq!(read("summary.csv").lines().count(), summary.rows.len() + 1);

    assert_eq!(started(&strings(&sweep(&[])).1), 0, "all is done");
    fs::remove_file(path.join("runs/circuit/seed-1/report.json")).expect("removes");
    let (again, notes) = strings(&sweep(&[]));
    assert_eq!(started(&notes), 1, "{notes}");
    assert!(notes.contains("circuit seed 1"), "{notes}");
    assert_eq!(again, table, "the same models, the same figures");

    // another recipe does not mix with this one
    let other = sweep(&["--rotate-90"]);
    let errors = fails(&other.iter().map(|a| &**a).collect::<Vec<_>>(), path);
    assert!(errors.contains("holds runs with other flags"), "{errors}");
    let unknown = ["sweep", "--data", "data", "--categories", "bricks", "-o", "other"];
    let errors = fails(&unknown, path);
    assert!(errors.contains("choose from circuit, fabric"), "{errors}");

    // a category that cannot be trained is listed, the other one is measured
    fs::write(path.join("data/fabric/train/good/000.png"), "no image").expect("writes");
    let failing = ["sweep", "--data", "data", "-o", "half", "--devices", "cpu", "--"];
    let errors = fails(&[&failing[..], &SHORT].concat(), path);
    assert!(errors.contains("1 of 2 runs failed: fabric seed 0"), "{errors}");
    let half = fs::read_to_string(path.join("half/summary.csv")).expect("is written");
    assert!(half.contains("circuit") && !half.contains("fabric"), "{half}");
}

/// Lines of notes that say that a run begins.
fn started(notes: &str) -> usize {
    notes.lines().filter(|line| line.contains(": started")).count()
}

#[test]
fn a_bench_compares_numbers_of_images_and_methods() {
    const RUNS: usize = 6;
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    for category in CATEGORIES {
        demo_data(path, category, [7, 2, 1], 3);
    }
    let sets = [
        "bench",
        "circuit",
        "fabric",
        "-o",
        "runs",
        "--devices",
        "cpu",
        "--jobs",
        "2",
    ];
    let numbers = ["--images", "4,5,all,900"];
    let bench = |more: &[&'static str]| [&sets[..], &numbers, more, &["--"], &SHORT].concat();
    let (table, notes) = succeeds(&bench(&[]), path);
    assert_eq!(started(&notes), RUNS, "{notes}");
    assert!(notes.contains("fabric has only 7 good images"), "{notes}");
    assert_eq!(table.matches("all sets").count(), 3, "{table}");

    let read = |name: &str| fs::read_to_string(path.join("runs").join(name)).expect("is there");
    let summary: Bench = serde_json::from_str(&read("bench.json")).expect("is a bench");
    let row = |images: Option<usize>, set: &str| {
        let found = summary
            .rows
            .iter()
            .find(|row| row.images == images && row.set == set);
        found.expect("has the row").clone()
    };
    // what is not trained on is tested, so that few images for training are many for the test
    for (images, good) in [(Some(4), 2 + 3), (Some(5), 2 + 2), (None, 2)] {
        for set in CATEGORIES {
            assert_eq!(row(images, set).stopped.alarms.all, good, "{set} with {images:?}");
        }
        let all = row(images, "all sets");
        assert_eq!((all.runs, all.stopped.alarms.all), (2, 2 * good));
    }
    let chosen = read("destseg-compact/4/fabric/seed-0/train.txt");
    let unused = read("destseg-compact/4/fabric/seed-0/unused.txt");
    assert_eq!((chosen.lines().count(), unused.lines().count()), (4, 3));
    assert!(
        chosen
            .lines()
            .all(|line| line.starts_with("train/good/") && !unused.contains(line))
    );
    let images = read("destseg-compact/4/fabric/seed-0/images.csv");
    assert!(unused.lines().all(|line| images.contains(line)), "{images}");
    let scores = read("scores.csv");
    assert_eq!(scores.lines().count(), 1 + images_of(&summary), "{scores}");
    assert!(read("bench.md").starts_with("| set | recipe | images | runs |"));
    assert_eq!(read("bench.csv").lines().count(), summary.rows.len() + 1);
    let html = read("bench.html");
    assert!(
        html.contains("found at 5 %") && !html.contains("http"),
        "needs nothing else"
    );

    // what is done is kept, what is missing is done, and the figures are the same
    fs::remove_file(path.join("runs/destseg-compact/5/circuit/seed-0/report.json")).expect("removes");
    let (again, notes) = succeeds(&bench(&[]), path);
    assert_eq!(started(&notes), 1, "{notes}");
    assert_eq!(again, table);
    let more = [
        "bench",
        "fabric",
        "-o",
        "runs",
        "--devices",
        "cpu",
        "--seeds",
        "0,1",
        "--",
    ];
    let (_, notes) = succeeds(&[&more[..], &SHORT].concat(), path);
    assert_eq!(started(&notes), 1, "one seed of fabric is there: {notes}");

    let other = fails(&[&sets[..], &["--", "--rotate-90"]].concat(), path);
    assert!(other.contains("holds runs with other flags"), "{other}");
    let twice = fails(&["bench", "fabric", "./fabric", "-o", "twice"], path);
    assert!(twice.contains("have the same name"), "{twice}");
    let none = fails(&["bench", "fabric", "-o", "none", "--images", "900"], path);
    assert!(none.contains("give fewer"), "{none}");
}

#[test]
fn a_bench_counts_nuisances_of_runs_that_are_done() {
    let folder = tempfile::tempdir().expect("creates");
    let path = folder.path();
    demo_data(path, "fabric", [7, 2, 1], 3);
    let bench = |more: &[&'static str]| {
        let arguments = [
            "bench",
            "fabric",
            "-o",
            "runs",
            "--devices",
            "cpu",
            "--images",
            "4",
        ];
        succeeds(&[&arguments[..], more, &["--"], &SHORT].concat(), path)
    };
    let read = |name: &str| fs::read_to_string(path.join("runs").join(name)).expect("is there");
    let (plain, _) = bench(&[]);
    let parse = || serde_json::from_str::<Bench>(&read("bench.json")).expect("is a bench");
    assert!(parse().rows[0].nuisances.is_empty());
    assert!(!read("bench.html").contains("JPEG 75"));

    let (table, notes) = bench(&["--nuisances"]);
    assert_eq!(started(&notes), 1, "only nuisances are missing: {notes}");
    assert!(table.starts_with(&plain) && table.contains("JPEG 75"), "{table}");
    let [row] = &parse().rows[..] else {
        panic!("one row")
    };
    let (good, all) = (
        row.stopped.alarms.all,
        row.stopped.alarms.all + row.stopped.found.all,
    );
    assert_eq!(good, 2 + 3, "unused images included");
    for (own, nuisance) in row.nuisances.iter().zip(&NUISANCES) {
        let expected = if nuisance.size == Size::Small { good } else { all };
        assert_eq!((&*own.nuisance, own.images), (nuisance.name, expected), "{own:?}");
        assert!(own.defective + own.unfamiliar <= own.images && own.kept <= own.images);
    }
    let plain = &row.nuisances[0];
    assert_eq!((plain.nuisance.as_str(), plain.kept), ("plain", good));
    assert_eq!(
        plain.defective + plain.unfamiliar,
        stopped_good(&read("destseg-compact/4/fabric/seed-0/evaluation.json"))
    );
    let csv = read("nuisances.csv");
    assert!(
        csv.contains("plain: unfamiliar") && csv.lines().count() == 2,
        "{csv}"
    );
    assert!(read("bench.md").contains("turned: kept") && read("bench.html").contains("JPEG 75"));

    let (again, notes) = bench(&["--nuisances"]);
    assert_eq!((started(&notes), again), (0, table));
    // counts of other nuisances than today's are counted anew
    let kept = path.join("runs/destseg-compact/4/fabric/seed-0/nuisances.json");
    fs::write(&kept, "[]").expect("writes");
    assert_eq!(started(&bench(&["--nuisances"]).1), 1);
}

/// Good images of an evaluation that are called defective or unfamiliar.
fn stopped_good(evaluation: &str) -> usize {
    let evaluation: Evaluation = serde_json::from_str(evaluation).expect("is an evaluation");
    let threshold = evaluation.threshold();
    let good = evaluation
        .images
        .iter()
        .filter(|image| image.class.is_defective() == Some(false));
    let stopped = good.filter(|image| {
        image.unfamiliar == Some(true) || image.score.is_some_and(|score| score >= threshold)
    });
    stopped.count()
}

/// All images that the runs of a bench tested.
fn images_of(bench: &Bench) -> usize {
    let rows = bench.rows.iter().filter(|row| row.set != "all sets");
    rows.map(|row| row.stopped.alarms.all + row.stopped.found.all)
        .sum()
}

#[test]
fn lists_of_images_must_fit_their_folder() {
    let folder = data();
    let path = folder.path();
    let write = |text: &str| fs::write(path.join("list.txt"), text).expect("writes");
    let train = [
        "train",
        "--data",
        "data/fabric",
        "-o",
        "a.safetensors",
        "--only",
        "list.txt",
    ];
    write("train/good/000.png\n\ntrain/good/nowhere.png\n");
    let errors = fails(&train, path);
    assert!(
        errors.contains("nowhere.png, which is not among the good images"),
        "{errors}"
    );
    write("\n");
    let errors = fails(&train, path);
    assert!(errors.contains("names no images"), "{errors}");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fabric.safetensors");
    let eval = [
        "eval",
        "--data",
        "data/fabric",
        "-m",
        model,
        "--device",
        "cpu",
        "--more-good",
        "list.txt",
    ];
    write("test/good/000.png");
    let errors = fails(&eval, path);
    assert!(errors.contains("among the test images already"), "{errors}");
    write("train/good/900.png");
    let errors = fails(&eval, path);
    assert!(errors.contains("does not exist"), "{errors}");
}

/// Ctrl-C to the parent alone ends its training, too, which goes on from there.
#[cfg(unix)]
#[test]
fn a_bench_that_is_stopped_stops_its_trainings() {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    let folder = data();
    let path = folder.path();
    let steps = [
        "--batch",
        "2",
        "--student-steps",
        "4000",
        "--segmentation-steps",
        "0",
    ];
    let bench = "bench data/fabric -o runs --devices cpu -- --checkpoint-every 3";
    let child = Command::new(env!("CARGO_BIN_EXE_destseg"))
        .args(bench.split(' ').chain(steps))
        .current_dir(path)
        .stderr(Stdio::piped())
        .spawn()
        .expect("destseg starts");
    let run = path.join("runs/destseg-compact/all/fabric/seed-0");
    let checkpoint = run.join("model.safetensors.checkpoint");
    while !checkpoint.exists() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(killed.success());
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("stopped with 0 of 1 run done: start the same command again")
            && !said.contains("error"),
        "{said}"
    );
    let log = fs::read_to_string(run.join("train.log")).expect("is there");
    assert!(
        log.contains("stopped after step "),
        "the training has ended: {log}"
    );
    assert!(checkpoint.exists() && !run.join("model.safetensors").exists());
}
