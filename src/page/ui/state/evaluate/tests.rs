use super::*;
use destseg_engine::evaluation::{CategoryReport, Curves};

fn given(path: &str) -> Given {
    Given {
        path: path.into(),
        content: Err("a test has no files".into()),
    }
}

fn folder() -> Evaluate {
    let mut own = Evaluate::default();
    let paths = ["a/good/1.png", "a/bad/2.png", "a/masks/2.png", "a/good/3.png"];
    own.take(paths.map(given).to_vec());
    own
}

fn seen(own: &Evaluate, place: usize) -> MeasureEvent {
    MeasureEvent::Seen {
        run: own.run,
        place,
        result: Box::default(),
        bytes: 7,
    }
}

/// Images that the engine takes at the same time.
const AT_ONCE: usize = 2;

fn begun(run: u32) -> MeasureEvent {
    let at_once = AT_ONCE;
    MeasureEvent::Begun { run, at_once }
}

/// Takes the next step, as the page does.
fn step(own: &mut Evaluate) -> Option<EvaluateStep> {
    let step = own.next_step("model", &[])?;
    own.begin(&step);
    Some(step)
}

#[test]
fn images_go_one_after_the_other_and_figures_come_last() {
    let mut own = folder();
    assert_eq!(own.count(), 3);
    assert_eq!(own.next_step("model", &[]), None, "the visitor begins");
    own.restart();
    assert!(
        matches!(step(&mut own), Some(EvaluateStep::Task(task)) if matches!(*task, Measure::Begin { .. }))
    );
    assert_eq!(own.next_step("model", &[]), None);
    own.hear(begun(own.run), vec![]);
    for _ in 0..AT_ONCE {
        assert!(matches!(step(&mut own), Some(EvaluateStep::Image { .. })));
    }
    assert_eq!(step(&mut own), None, "no more than that at once");
    // helpers finish in any order
    own.hear(seen(&own, 1), vec![2]);
    assert_eq!(
        step(&mut own),
        Some(EvaluateStep::Image {
            run: own.run,
            place: 2
        })
    );
    own.hear(seen(&own, 0), vec![1]);
    own.hear(seen(&own, 2), vec![3]);
    let Some(EvaluateStep::Task(task)) = step(&mut own) else {
        panic!("figures")
    };
    let Measure::Finish {
        category,
        model,
        notes,
        ..
    } = *task
    else {
        panic!("figures")
    };
    assert_eq!((&*category, &*model, notes.len()), ("a", "model", 0));
    let pictures: Vec<u8> = own.pictures.iter().map(|picture| picture[0]).collect();
    assert_eq!(pictures, [1, 2, 3]);
}

#[test]
fn what_was_given_up_is_not_heard() {
    let mut own = folder();
    own.restart();
    step(&mut own);
    let old = own.run;
    own.engine_is_new();
    assert_eq!(own.progress, Progress::Wanted, "once it is tried again");
    own.hear(begun(old), vec![]);
    assert_eq!(own.progress, Progress::Wanted);
    step(&mut own);
    own.engine_is_new();
    assert!(
        matches!(&own.progress, Progress::Failed(message) if message.contains("good/1.png")),
        "{own:?}"
    );
}

#[test]
fn the_visitor_moves_the_threshold() {
    let mut own = folder();
    let evaluation = Evaluation {
        report: CategoryReport::default(),
        model: "m".into(),
        thresholds: Some(destseg_engine::verdict::decision::Thresholds::default()),
        side: 1,
        images: Vec::new(),
        kinds: Vec::new(),
        curves: Curves::default(),
        missing: Vec::new(),
        notes: Vec::new(),
    };
    let run = own.run;
    own.hear(
        MeasureEvent::Measured {
            run,
            evaluation: evaluation.into(),
        },
        vec![],
    );
    assert_eq!(own.threshold(), 0.5);
    own.threshold = Some(0.7);
    assert_eq!(own.threshold(), 0.7);
}
