use super::*;
use destseg_engine::evaluation::{CategoryReport, Curves};

fn user_file(path: &str) -> UserFile {
    UserFile {
        path: path.into(),
        content: Err("a test has no files".into()),
    }
}

fn folder() -> EvaluateState {
    let mut own = EvaluateState::default();
    let paths = ["a/good/1.png", "a/bad/2.png", "a/masks/2.png", "a/good/3.png"];
    own.take(paths.map(user_file).to_vec(), Vec::new());
    own
}

fn measured(own: &EvaluateState, index: usize) -> EvaluateEvent {
    EvaluateEvent::ImageMeasured {
        run: own.run,
        index,
        result: Box::default(),
        bytes: 7,
    }
}

/// Images that the engine takes at the same time.
const AT_ONCE: usize = 2;

fn begun(run: u32) -> EvaluateEvent {
    let at_once = AT_ONCE;
    EvaluateEvent::Begun { run, at_once }
}

/// Takes the next job, as the page does.
fn next(own: &mut EvaluateState) -> Option<EvaluateJob> {
    let job = own.next_job("model", &[])?;
    own.begin(&job);
    Some(job)
}

#[test]
fn images_go_one_after_the_other_and_figures_come_last() {
    let mut own = folder();
    assert_eq!(own.count(), 3);
    assert_eq!(own.next_job("model", &[]), None, "the visitor begins");
    own.restart();
    assert!(
        matches!(next(&mut own), Some(EvaluateJob::Command(command)) if matches!(*command, EvaluateCommand::Begin { .. }))
    );
    assert_eq!(own.next_job("model", &[]), None);
    own.on_event(begun(own.run), vec![]);
    for _ in 0..AT_ONCE {
        assert!(matches!(next(&mut own), Some(EvaluateJob::Image { .. })));
    }
    assert_eq!(next(&mut own), None, "no more than that at once");
    // helpers finish in any order
    own.on_event(measured(&own, 1), vec![2]);
    assert_eq!(
        next(&mut own),
        Some(EvaluateJob::Image {
            run: own.run,
            index: 2
        })
    );
    own.on_event(measured(&own, 0), vec![1]);
    own.on_event(measured(&own, 2), vec![3]);
    let Some(EvaluateJob::Command(command)) = next(&mut own) else {
        panic!("figures")
    };
    let EvaluateCommand::Finish {
        category,
        model,
        notes,
        ..
    } = *command
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
    next(&mut own);
    let old = own.run;
    own.engine_is_new();
    assert_eq!(own.progress, Progress::Wanted, "once it is tried again");
    own.on_event(begun(old), vec![]);
    assert_eq!(own.progress, Progress::Wanted);
    next(&mut own);
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
    own.on_event(
        EvaluateEvent::Finished {
            run,
            evaluation: evaluation.into(),
        },
        vec![],
    );
    assert_eq!(own.threshold(), 0.5);
    own.threshold = Some(0.7);
    assert_eq!(own.threshold(), 0.7);
}
