//! The page's behaviour without a browser.

use std::rc::Rc;

use yew::Reducible as _;

use super::*;
use crate::page::protocol::{Event, Example, ManifestFile, PROTOCOL_VERSION};
use crate::page::shared;
use crate::page::shared::content::UserFile;
use destseg_engine::verdict::calibration::{Calibration, SetBy};

fn file(id: &str) -> ManifestFile {
    ManifestFile {
        id: id.into(),
        file: format!("models/{id}.safetensors"),
        bytes: 10,
        sha256: String::new(),
    }
}

fn shipped(id: &str) -> ManifestModel {
    let example = |label: &str| Example {
        file: format!("examples/{id}/{label}_001.png"),
        label: label.into(),
        alt: format!("{id}, {label}"),
    };
    let examples = vec![example("good"), example("stain"), example("hole")];
    ManifestModel {
        file: file(id),
        name: id.to_uppercase(),
        teacher: "efficientnet-lite0".into(),
        examples,
    }
}

fn manifest() -> Manifest {
    Manifest {
        teachers: vec![file("teacher")],
        models: vec![shipped("fabric"), shipped("tablets")],
        ablations: vec![],
        photos: Default::default(),
    }
}

fn info() -> ModelInfo {
    ModelInfo {
        name: "FABRIC".into(),
        method: Default::default(),
        preset: "compact".into(),
        teacher: "efficientnet-lite0".into(),
        parameters: 1,
        bytes: 20,
        input_size: 256,
        segmentation: true,
        trained_on: "fabric".into(),
        load_ms: 1.0,
        first_ms: 2.0,
        calibration: Some(Calibration {
            image_threshold: 0.4,
            pixel_threshold: 0.3,
            ..Calibration::default()
        }),
    }
}

/// What stands for a JPEG file.
pub(super) const THUMBNAIL: [u8; 3] = [1, 2, 3];

pub(super) fn analysed(job: u32, score: f32, dest: f32) -> Action {
    let result = PredictionInfo {
        width: 4,
        height: 4,
        map_width: 2,
        map_height: 1,
        levels: [[2, 1], [1, 1], [1, 1]],
        thumbnail_bytes: THUMBNAIL.len(),
        dest_maximum: dest,
        score,
        plain_score: score,
        fingerprint: "file".into(),
        good_places: Vec::new(),
        painted_places: Vec::new(),
        foreign: false,
        dest_score: dest,
        distance: None,
        difference: None,
        unfamiliar: None,
        note: None,
        decode_ms: 1.0,
        inference_ms: f64::from(job),
    };
    let mut bytes = shared::to_bytes([score, 0.0, dest, 0.0, 0.1, 0.2, 0.3, 0.4]);
    bytes.extend(THUMBNAIL);
    Action::Engine(1, Event::Inspected { job, result }, Some(Bulk::Packed(bytes)))
}

/// The same for an image of another part.
fn analysed_as_unfamiliar(job: u32) -> Action {
    let Action::Engine(generation, Event::Inspected { job, mut result }, bulk) = analysed(job, 0.9, 0.2)
    else {
        unreachable!("just made")
    };
    result.unfamiliar = Some(true);
    Action::Engine(generation, Event::Inspected { job, result }, bulk)
}

/// The page, its state and what it would send.
pub(super) struct Page(pub(super) Rc<State>);

impl Page {
    fn open() -> Self {
        let mut page = Self::with(BackendChoice::Auto);
        Rc::make_mut(&mut page.0).gpu_engine = true;
        page
    }

    fn with(backend: BackendChoice) -> Self {
        let mut page = Self(State::new(backend, None).into());
        page.act(Action::Manifest(Ok(manifest())));
        page
    }

    /// A page whose engine has loaded the first model.
    pub(super) fn ready() -> Self {
        let mut page = Self::open();
        page.bring_up();
        page
    }

    pub(super) fn act(&mut self, action: Action) {
        self.0 = self.0.clone().reduce(action);
    }

    pub(super) fn on_event(&mut self, event: Event) {
        self.act(Action::Engine(self.0.generation, event, None));
    }

    /// Takes the next step and gives its job.
    pub(super) fn begin(&mut self) -> (Job, u32) {
        let next = self.0.next_job().expect("there is a step");
        let job = self.0.counter + 1;
        self.act(Action::Begin(next.clone(), job));
        (next, job)
    }

    /// A new worker comes up far enough to take commands.
    fn prepare_device(&mut self) {
        self.on_event(Event::Ready {
            protocol: PROTOCOL_VERSION,
        });
        assert_eq!(self.begin().0, Job::Start(self.0.backend));
        let device = DeviceInfo {
            backend: BackendChoice::Cpu,
            adapter: "1 thread".into(),
            software: false,
            gpu_waits: false,
            largest_tensor: None,
            notice: None,
        };
        self.on_event(Event::DeviceReady(device));
    }

    pub(super) fn bring_up(&mut self) {
        self.prepare_device();
        let (next, job) = self.begin();
        assert!(matches!(next, Job::Load(_)));
        self.on_event(Event::ModelReady { job, model: info() });
    }

    fn names(&self) -> Vec<&str> {
        self.0.items.iter().map(|item| &*item.name).collect()
    }

    pub(super) fn statuses(&self) -> Vec<&str> {
        self.0.items.iter().map(|item| item.status.id()).collect()
    }

    fn example(&mut self, index: usize) {
        let example = self.0.shelf_model().expect("a shelf").examples[index].clone();
        self.act(Action::AddExample(example.into()));
    }

    pub(super) fn fatal(&mut self) {
        self.on_event(Event::Fatal {
            message: "The engine stopped.".into(),
        });
    }
}

#[test]
fn what_was_said_of_earlier_files_goes_with_the_next() {
    let mut page = Page::ready();
    let next: [fn(&mut Page); 3] = [
        |page| page.example(1),
        |page| page.act(Action::Add(Given::default())),
        |page| page.act(Action::OpenModel(ModelSource::Shipped(1))),
    ];
    for next in next {
        page.act(Action::Notify("a.txt is no image and was left out.".into()));
        page.act(Action::Enter(Room::Train));
        assert_eq!(page.0.notices.len(), 1, "it is still to be read");
        page.act(Action::Enter(Room::Inspect));
        next(&mut page);
        assert!(page.0.notices.is_empty());
    }
}

#[test]
fn an_unfamiliar_image_leads_to_training() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.act(analysed_as_unfamiliar(job));
    let item = page.0.current().expect("is shown").clone();
    let verdict = page.0.verdict(item.info().expect("is analysed"));
    // its score is high, but says nothing
    assert_eq!((verdict.word(), verdict.is_defect()), ("unfamiliar", false));
    page.act(Action::TrainOn(item.id));
    assert_eq!(page.0.room, Room::Train);
}

#[test]
fn a_moved_threshold_reaches_the_engine_and_outlives_it() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.act(analysed(job, 0.8, 0.1));
    page.act(Action::Threshold(ThresholdChange::To(0.9)));
    let verdict = |page: &Page| page.0.verdict(page.0.items[0].info().expect("done"));
    assert!(!verdict(&page).is_defect());
    let (next, _) = page.begin();
    let Job::SetCalibration(sent) = next else {
        panic!("{next:?}")
    };
    assert_eq!((sent.image_threshold, sent.set_by), (0.9, SetBy::Hand));
    assert!(!matches!(page.0.next_job(), Some(Job::SetCalibration(_))), "once");
    // another engine gets the model as it was, then the threshold
    page.fatal();
    page.on_event(Event::Ready {
        protocol: PROTOCOL_VERSION,
    });
    page.bring_up();
    assert!(matches!(page.begin().0, Job::SetCalibration(_)));
    page.act(Action::Threshold(ThresholdChange::Restore));
    assert!(verdict(&page).is_defect() && page.0.calibration().map(|own| own.image_threshold) == Some(0.4));
}

#[test]
fn a_correction_moves_the_threshold_and_can_be_taken_back() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.act(analysed(job, 0.8, 0.1));
    let id = page.0.items[0].id;
    let is_defect = |page: &Page| page.0.verdict(page.0.items[0].info().expect("done")).is_defect();
    page.act(Action::Correct(id, Mark::Good));
    assert!(!is_defect(&page) && page.0.mark(&page.0.items[0]) == Mark::Good);
    page.act(Action::Correct(id, Mark::None));
    assert!(is_defect(&page) && page.0.mark(&page.0.items[0]) == Mark::None);
}

#[test]
fn a_remembered_correction_has_the_images_looked_at_again() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    let Action::Engine(generation, Event::Inspected { job, mut result }, bulk) = analysed(job, 0.8, 0.1)
    else {
        unreachable!("just made")
    };
    // a message of the worker
    result.good_places = serde_json::from_str(r#"[{"logit":1.5,"steps":[8,-8]}]"#).expect("is read");
    page.act(Action::Engine(generation, Event::Inspected { job, result }, bulk));
    let id = page.0.items[0].id;
    let threshold = |page: &Page| page.0.calibration().map(|own| own.image_threshold);
    page.act(Action::Correct(id, Mark::Good));
    assert_eq!(
        threshold(&page),
        Some(0.4),
        "the memory does it, not the threshold"
    );
    assert_eq!(
        (page.statuses(), page.0.mark(&page.0.items[0])),
        (vec!["waiting"], Mark::Good)
    );
    let (next, _) = page.begin();
    assert!(
        matches!(&next, Job::SetCalibration(own) if own.remembers()),
        "{next:?}"
    );
    let (next, job) = page.begin();
    assert_eq!(next, Job::Inspect(id, false));
    page.act(analysed(job, 0.2, 0.1));
    page.act(Action::Correct(id, Mark::None));
    assert!(page.0.calibration().is_some_and(|own| !own.remembers()));
    assert_eq!(page.statuses(), ["waiting"]);
}

#[test]
fn corrections_of_images_that_are_gone_are_taken_back() {
    for place in [None, Some(0)] {
        let mut page = Page::ready();
        let (_, job) = page.begin();
        page.act(analysed(job, 0.8, 0.1));
        let id = page.0.items[0].id;
        page.act(Action::Correct(id, Mark::Good));
        page.act(Action::Clear);
        let count = |page: &Page| page.0.calibration().map_or(0, |own| own.corrections.len());
        assert_eq!(count(&page), 1);
        page.act(Action::Threshold(ThresholdChange::TakeBack(Some(7))));
        assert_eq!(count(&page), 1, "there is no eighth one");
        page.act(Action::Threshold(ThresholdChange::TakeBack(place)));
        let own = page.0.calibration().expect("is calibrated");
        assert_eq!((own.corrections.len(), own.image_threshold), (0, 0.4));
    }
}

#[test]
fn what_is_painted_over_a_defect_is_remembered() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.act(analysed(job, 0.1, 0.1));
    let id = page.0.items[0].id;
    page.act(Action::Correct(id, Mark::Defective));
    assert!(page.0.calibration().is_some_and(|own| !own.remembers()));
    let remembered = |job| {
        let Action::Engine(generation, Event::Inspected { job, mut result }, bulk) = analysed(job, 0.1, 0.1)
        else {
            unreachable!("just made")
        };
        result.painted_places = serde_json::from_str(r#"[{"logit":-3,"steps":[80,-8]}]"#).expect("is read");
        Action::Engine(generation, Event::Inspected { job, result }, bulk)
    };
    page.act(Action::Paint(id, vec![[0.5, 0.5]]));
    // its new threshold goes first
    let next = loop {
        let (next, job) = page.begin();
        if let Job::Inspect(..) = next {
            break job;
        }
    };
    assert_eq!(*page.0.items[0].painted, [[0.5, 0.5]]);
    page.act(remembered(next));
    assert!(page.0.calibration().is_some_and(Calibration::remembers));
    // once: the next analysis says how the image is judged now
    assert_eq!(page.statuses(), ["waiting"]);
    let (next, _) = page.begin();
    assert!(matches!(next, Job::SetCalibration(_)));
    let (_, job) = page.begin();
    page.act(remembered(job));
    assert_eq!(page.statuses(), ["done"]);
    page.act(Action::Correct(id, Mark::None));
    assert!(page.0.items[0].painted.is_empty() && page.0.mark(&page.0.items[0]) == Mark::None);
    assert!(page.0.calibration().is_some_and(|own| !own.remembers()));
}

#[test]
fn the_threshold_of_an_evaluation_is_for_the_model_that_was_measured() {
    let mut page = Page::ready();
    page.act(Action::Evaluate(EvaluateAction::Begin(0.0)));
    assert!(page.0.is_measured());
    page.0 = {
        let mut state = (*page.0).clone();
        state.evaluate.progress = Progress::Idle;
        state.into()
    };
    page.act(Action::OpenModel(ModelSource::Shipped(1)));
    let (_, job) = page.begin();
    page.on_event(Event::ModelReady { job, model: info() });
    assert!(!page.0.is_measured());
}

#[test]
fn opens_with_the_first_model_and_its_first_defect() {
    let mut page = Page::ready();
    assert_eq!(page.names(), ["stain_001.png"]);
    let (next, job) = page.begin();
    assert_eq!(next, Job::Inspect(page.0.items[0].id, false));
    assert_eq!(page.statuses(), ["working"]);
    assert_eq!(page.0.next_job(), None, "one inspection at a time");
    page.act(analysed(job, 0.8, 0.1));
    assert_eq!(page.statuses(), ["done"]);
    let verdict = page.0.verdict(page.0.items[0].info().expect("done"));
    assert!(verdict.is_defect() && verdict.thresholds.image == 0.4);
    assert_eq!(page.0.threshold(), 0.3);
}

#[test]
fn the_address_chooses_the_model_and_an_unknown_one_is_said() {
    for (asked, index, notices) in [("tablets", 1, 0), ("bricks", 0, 1)] {
        let mut page = Page(State::new(BackendChoice::Cpu, Some(asked.into())).into());
        page.act(Action::Manifest(Ok(manifest())));
        assert_eq!(page.0.shown_source(), Some(&ModelSource::Shipped(index)));
        assert_eq!(page.0.notices.len(), notices);
    }
}

#[test]
fn no_model_is_loaded_where_none_is_asked_for() {
    let mut page = Page(State::new(BackendChoice::Cpu, Some("none".into())).into());
    page.act(Action::Manifest(Ok(manifest())));
    assert_eq!(page.0.shown_source(), None);
    assert!(page.0.notices.is_empty() && page.0.items.is_empty());
}

#[test]
fn what_was_taken_off_the_queue_comes_back_to_its_place() {
    let mut page = Page::ready();
    page.example(0);
    page.example(2);
    let before: Vec<String> = page.names().into_iter().map(str::to_owned).collect();
    let (_, job) = page.begin();
    let middle = page.0.items[1].id;
    page.act(Action::Remove(middle));
    assert_eq!(page.names().len(), 2);
    page.act(Action::Undo);
    assert_eq!(
        (page.names(), page.0.selected),
        (before.iter().map(String::as_str).collect(), Some(middle))
    );
    // all at once, one of them in the engine
    page.act(Action::Clear);
    assert!(page.0.items.is_empty() && page.0.selected.is_none());
    page.act(Action::Undo);
    assert_eq!(page.names(), before);
    assert_eq!(page.statuses(), ["waiting"; 3]);
    page.act(analysed(job, 0.1, 0.1));
    assert!(matches!(page.begin().0, Job::Inspect(..)), "it is analysed again");
    page.act(Action::Undo);
    assert_eq!(page.names(), before, "there is nothing more to bring back");
}

#[test]
fn ways_to_begin_are_shown_until_there_is_an_image_of_the_visitors() {
    let mut page = Page::ready();
    assert!(page.0.is_new() && !page.0.is_first_look(), "a model is there");
    assert!(Page::open().0.is_first_look());
    for expected in ["hole_001.png", "good_001.png", "stain_001.png"] {
        page.act(Action::TryExample);
        assert_eq!(page.0.current().map(|item| &*item.name), Some(expected));
    }
    page.act(Action::Enter(Room::Train));
    assert!(!page.0.is_new());
    page.act(Action::Tour);
    assert!(page.0.is_new() && page.0.view.tour == Some(0));
    let photo = || UserFile {
        path: "photo.jpg".into(),
        content: Err("no".into()),
    };
    page.act(Action::Photos(Room::Train, vec![photo()]));
    assert!(page.0.train.is_trial && page.0.train.images.len() == 1);
    page.act(Action::Photos(Room::Inspect, vec![photo()]));
    assert!(!page.0.is_new() && page.0.room == Room::Inspect);
}

#[test]
fn the_selected_image_goes_first() {
    let mut page = Page::ready();
    page.example(0);
    page.example(2);
    assert_eq!(page.names(), ["stain_001.png", "good_001.png", "hole_001.png"]);
    let (next, job) = page.begin();
    assert_eq!(next, Job::Inspect(page.0.items[2].id, false));
    page.act(analysed(job, 0.1, 0.1));
    assert_eq!(page.begin().0, Job::Inspect(page.0.items[0].id, false));
}

#[test]
fn an_example_is_queued_once_and_keys_move_the_selection() {
    let mut page = Page::ready();
    page.example(0);
    page.example(1);
    assert_eq!(page.names().len(), 2);
    assert_eq!(page.0.current().map(|item| &*item.name), Some("stain_001.png"));
    page.act(Action::Move(-1));
    assert_eq!(page.0.selected, Some(page.0.items[0].id));
    page.act(Action::Move(5));
    assert_eq!(page.0.selected, Some(page.0.items[1].id));
    page.act(Action::Remove(page.0.items[1].id));
    assert_eq!(page.0.selected, Some(page.0.items[0].id));
    page.act(Action::Clear);
    assert_eq!((page.0.selected, page.0.next_job()), (None, None));
}

#[test]
fn a_crash_restarts_the_engine_and_runs_the_image_once_more() {
    let mut page = Page::ready();
    page.begin();
    page.fatal();
    assert_eq!((page.0.generation, &page.0.engine), (2, &Engine::Starting));
    assert_eq!(page.statuses(), ["waiting"]);
    assert_eq!((page.0.notices.len(), page.0.backend), (1, BackendChoice::Auto));
    page.bring_up();
    page.begin();
    page.fatal();
    assert_eq!(page.statuses(), ["failed"]);
    assert_eq!(
        page.0.backend,
        BackendChoice::Cpu,
        "the second crash in a row falls back"
    );
    page.bring_up();
    assert_eq!(page.0.next_job(), None);
}

#[test]
fn four_crashes_in_a_row_stop_and_retry_starts_again() {
    let mut page = Page::ready();
    for _ in 0..3 {
        page.fatal();
        page.bring_up();
    }
    page.fatal();
    assert!(matches!(page.0.engine, Engine::Stopped(_)));
    assert_eq!(page.0.next_job(), None);
    page.act(Action::Retry);
    page.bring_up();
    assert_eq!(page.names(), ["stain_001.png"], "the images are still there");
    page.begin();
}

#[test]
fn a_result_ends_the_row_of_crashes() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.0 = Rc::new(State {
        crashes: 3,
        ..(*page.0).clone()
    });
    page.act(analysed(job, 0.5, 0.5));
    assert_eq!(page.0.crashes, 0);
}

#[test]
fn events_of_a_dead_worker_are_ignored() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.fatal();
    page.act(analysed(job, 0.5, 0.5));
    assert_eq!(page.statuses(), ["waiting"]);
    page.act(Action::Crash(1, "late".into()));
    assert_eq!(page.0.generation, 2);
}

#[test]
fn another_model_brings_its_own_examples() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.act(analysed(job, 0.5, 0.5));
    page.act(Action::OpenModel(ModelSource::Shipped(1)));
    assert_eq!(
        page.0.items[0].example.as_ref().map(|e| &*e.alt),
        Some("tablets, stain")
    );
    let (next, job) = page.begin();
    assert_eq!(next, Job::Load(ModelSource::Shipped(1)));
    page.on_event(Event::Progress {
        job,
        received: 3,
        total: 9,
    });
    assert!(matches!(
        page.0.load,
        Load::Running {
            received: 3,
            total: 9,
            ..
        }
    ));
    page.on_event(Event::ModelReady { job, model: info() });
    assert!(matches!(page.begin().0, Job::Inspect(..)));
}

#[test]
fn a_model_that_fails_leaves_the_one_in_place() {
    let mut page = Page::ready();
    page.act(Action::OpenModel(ModelSource::Shipped(1)));
    let (_, job) = page.begin();
    page.on_event(Event::Failed {
        job: Some(job),
        message: "No model.".into(),
    });
    assert_eq!((&page.0.load, page.0.shelf), (&Load::Idle, Some(0)));
    assert_eq!(
        page.0.items[0].example.as_ref().map(|e| &*e.alt),
        Some("fabric, stain")
    );
    assert!(matches!(page.begin().0, Job::Inspect(..)));
}

#[test]
fn a_teacher_leaves_the_model_in_place() {
    let mut page = Page::ready();
    page.act(Action::OpenModel(ModelSource::Shipped(1)));
    let (_, job) = page.begin();
    page.on_event(Event::TeacherReady {
        job,
        teacher: "resnet18".into(),
    });
    assert_eq!(page.0.load, Load::Idle);
    assert_eq!(page.0.shown_source(), Some(&ModelSource::Shipped(0)));
    assert!(page.0.notices[0].text.contains("resnet18"));
    assert!(matches!(page.begin().0, Job::Inspect(..)));
}

#[test]
fn a_new_worker_goes_back_to_the_old_model_but_not_for_ever() {
    let mut page = Page::ready();
    page.act(Action::OpenModel(ModelSource::Shipped(1)));
    page.fatal();
    page.act(Action::Engine(
        2,
        Event::Ready {
            protocol: PROTOCOL_VERSION,
        },
        None,
    ));
    page.begin();
    let device = DeviceInfo {
        backend: BackendChoice::Cpu,
        adapter: "1 thread".into(),
        software: false,
        gpu_waits: false,
        largest_tensor: None,
        notice: None,
    };
    page.on_event(Event::DeviceReady(device));
    for index in [1, 0] {
        let (next, job) = page.begin();
        assert_eq!(next, Job::Load(ModelSource::Shipped(index)));
        page.on_event(Event::Failed {
            job: Some(job),
            message: "No model.".into(),
        });
    }
    assert_eq!(
        page.0.load,
        Load::Failed(ModelSource::Shipped(0), "No model.".into())
    );
    assert_eq!((page.0.next_job(), page.0.is_stuck()), (None, true));
    assert_eq!(page.0.notices.len(), 2, "of the crash and of the other model");
    page.act(Action::Retry);
    assert!(matches!(page.0.next_job(), Some(Job::Load(_))));
}

#[test]
fn refused_and_failed_images_keep_their_sentence() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    page.on_event(Event::Failed {
        job: Some(job),
        message: "Not an image.".into(),
    });
    page.act(Action::Add(
        vec![UserFile {
            path: "big.png".into(),
            content: Err("Too big.".into()),
        }]
        .into(),
    ));
    assert_eq!(page.statuses(), ["failed", "failed"]);
    assert_eq!(page.0.next_job(), None);
    page.example(1);
    assert_eq!(
        page.statuses(),
        ["waiting", "failed"],
        "picking an example again tries again"
    );
}

#[test]
fn a_device_that_fails_falls_back_to_the_cpu() {
    let mut page = Page::open();
    page.on_event(Event::Ready {
        protocol: PROTOCOL_VERSION,
    });
    page.begin();
    page.on_event(Event::Failed {
        job: None,
        message: "No adapter.".into(),
    });
    assert_eq!((page.0.backend, page.0.generation), (BackendChoice::Cpu, 2));
}

#[test]
fn another_protocol_or_a_missing_script_stops() {
    let mut page = Page::open();
    page.on_event(Event::Ready {
        protocol: PROTOCOL_VERSION + 1,
    });
    assert!(matches!(page.0.engine, Engine::Stopped(_)));
    let mut page = Page::open();
    page.act(Action::Crash(1, "It did not load.".into()));
    assert_eq!(page.0.engine, Engine::Stopped("It did not load.".into()));
}

#[test]
fn an_answer_of_the_wrong_size_fails_its_image() {
    let mut page = Page::ready();
    let (_, job) = page.begin();
    let Action::Engine(_, event, _) = analysed(job, 0.5, 0.5) else {
        panic!("an event")
    };
    page.act(Action::Engine(1, event, Some(Bulk::Packed(vec![5; 15]))));
    assert_eq!(page.statuses(), ["failed"]);
}

#[test]
fn the_dest_map_spans_the_queue_and_times_have_a_median() {
    let mut page = Page::ready();
    page.example(0);
    let mut jobs = vec![];
    for dest in [0.2, 0.6] {
        let (_, job) = page.begin();
        jobs.push(f64::from(job));
        page.act(analysed(job, 0.5, dest));
    }
    page.act(Action::View(View {
        kind: MapKind::Dest,
        ..page.0.view
    }));
    assert_eq!(page.0.range(), (0.0, 0.6));
    assert_eq!(page.0.threshold(), 0.3);
    assert_eq!(page.0.median_ms(), Some((jobs[0] + jobs[1]) / 2.0));
}

mod training {
    use super::*;
    use crate::page::protocol::{RunInfo, StepInfo, Textures, TrainCommand, TrainEvent};
    use destseg_engine::config::{InputLayout, Preset};

    impl Page {
        fn train(&mut self, action: TrainAction) {
            self.act(Action::Train(action));
        }

        fn train_event(&mut self, event: TrainEvent) {
            self.on_event(Event::Train { event });
        }

        /// A page whose room for new inspectors has so many good images.
        fn with_images(count: usize) -> Self {
            let mut page = Self::ready();
            page.settle();
            page.act(Action::Enter(Room::Train));
            page.add_good(count, (8, 8));
            page
        }

        /// Adds so many good images of this width and height.
        fn add_good(&mut self, count: usize, (width, height): (u32, u32)) {
            for index in 0..count {
                // without content, as native tests have no blobs; the engine takes them all the same
                let id = self.0.counter + 1;
                self.act(Action::Add(
                    vec![UserFile {
                        path: format!("{index}.png").into(),
                        content: Err("no".into()),
                    }]
                    .into(),
                ));
                let event = TrainEvent::Added {
                    image: id,
                    width,
                    height,
                    copy_of: None,
                };
                self.train_event(event);
            }
        }

        /// Takes all steps there are and gives the commands among them.
        fn settle(&mut self) -> Vec<TrainCommand> {
            let mut commands = Vec::new();
            while let Some(next) = self.0.next_job() {
                let job = self.0.counter + 1;
                self.act(Action::Begin(next.clone(), job));
                if let Job::Train(TrainJob::Command(command)) = next {
                    commands.push(*command);
                }
            }
            commands
        }

        fn started(&mut self, done: usize) {
            let info = RunInfo {
                run: "7".into(),
                name: "part".into(),
                images: 4,
                held_out: 1,
                student_steps: 2,
                total_steps: 4,
                done,
                began: 0.0,
            };
            self.train_event(TrainEvent::Started(info));
        }

        fn stepped(&mut self, step: usize) {
            let step = StepInfo {
                step,
                loss: 1.0,
                parts: None,
                ms: 100.0,
            };
            self.train_event(TrainEvent::Stepped(step));
        }
    }

    #[test]
    fn images_of_the_room_do_not_join_the_queue() {
        let page = Page::with_images(3);
        assert_eq!(page.0.train.ready(), 3);
        assert!(page.0.items.iter().all(|item| item.example.is_some()));
        let obstacle = page.0.train.obstacle().expect("too few");
        assert_eq!(obstacle, "Add 1 more good image first.");
        assert_eq!(Page::with_images(4).0.train.obstacle(), None);
    }

    #[test]
    fn a_changed_control_draws_one_preview_at_a_time() {
        let mut page = Page::with_images(4);
        let is_preview = |command: &TrainCommand| matches!(command, TrainCommand::Preview { .. });
        assert_eq!(
            page.settle().iter().filter(|command| is_preview(command)).count(),
            1
        );
        page.train(TrainAction::Another);
        page.train(TrainAction::Textures(Textures::GoodImages));
        assert!(page.settle().is_empty(), "one is being drawn");
        page.train_event(TrainEvent::Previewed {
            side: 8,
            samples: vec![],
            ms: 1.0,
        });
        let commands = page.settle();
        assert!(
            matches!(
                commands[..],
                [TrainCommand::Preview {
                    textures: Textures::GoodImages,
                    seed: 1,
                    ..
                }]
            ),
            "{commands:?}"
        );
    }

    #[test]
    fn removed_images_can_be_brought_back() {
        let mut page = Page::with_images(5);
        page.train(TrainAction::Clear);
        assert_eq!(page.0.train.ready(), 0);
        assert!(
            page.settle()
                .iter()
                .any(|command| matches!(command, TrainCommand::Remove { images } if images.len() == 5))
        );
        page.train(TrainAction::Undo);
        assert_eq!(page.0.train.images.len(), 5);
        assert!(page.0.train.removed.is_empty());
    }

    #[test]
    fn a_training_is_followed_and_goes_on_after_a_crash() {
        let mut page = Page::with_images(4);
        page.settle();
        page.train(TrainAction::Train);
        assert_eq!(page.0.train.phase, Phase::Starting(0, 0));
        assert!(matches!(page.settle()[..], [TrainCommand::Begin { .. }]));
        page.started(0);
        for step in 1..=3 {
            page.stepped(step);
            page.train_event(TrainEvent::Saved { step: step.min(2) });
        }
        let course = page.0.train.course.as_ref().expect("it runs");
        assert_eq!((course.done(), course.step_ms()), (3, Some(100.0)));
        assert!(course.in_segmentation());

        page.act(Action::Crash(page.0.generation, "It stopped.".into()));
        assert_eq!(page.0.train.phase, Phase::Starting(0, 0));
        page.prepare_device();
        let commands = page.settle();
        assert!(
            commands
                .iter()
                .any(|command| matches!(command, TrainCommand::Resume { run, .. } if run == "7")),
            "{commands:?}"
        );
        // the step after the last saving is done again
        page.started(2);
        page.stepped(3);
        let course = page.0.train.course.as_ref().expect("it runs");
        assert_eq!(
            course.steps.iter().map(|step| step.step).collect::<Vec<_>>(),
            [1, 2, 3]
        );
    }

    #[test]
    fn an_interrupted_training_is_offered_once_and_in_every_room() {
        let run = |name: &str| crate::page::protocol::KeptRun {
            info: RunInfo {
                run: name.into(),
                name: "part".into(),
                images: 4,
                held_out: 1,
                student_steps: 2,
                total_steps: 4,
                done: 3,
                began: 0.0,
            },
            settings: destseg_engine::config::Settings::preset(Preset::Compact),
            textures: Textures::BuiltIn,
            ids: vec![],
            files: None,
        };
        let mut page = Page::ready();
        assert_eq!(page.0.train.words(), None);
        page.train(TrainAction::Stored(vec![], vec![run("7")], None));
        assert_eq!(page.0.train.words().as_deref(), Some("Interrupted"));
        let notice = page.0.notices[0].clone();
        assert_eq!(
            &*notice.text,
            "The training of part was interrupted at step 3 of 4."
        );
        // other files do not take the offer away, the visitor does
        page.act(Action::Add(Given::default()));
        assert_eq!(page.0.notices.len(), 1);
        page.act(Action::Dismiss(notice.id));
        page.train(TrainAction::Stored(vec![], vec![run("7")], None));
        assert!(page.0.notices.is_empty(), "it was answered");
        // another one is offered, and no longer once it is gone
        page.train(TrainAction::Stored(vec![], vec![run("7"), run("8")], None));
        assert_eq!(page.0.notices.len(), 1);
        page.train(TrainAction::Stored(vec![], vec![run("7")], None));
        assert!(page.0.notices.is_empty());
        page.train(TrainAction::Stored(vec![], vec![run("7"), run("9")], None));
        let id = page.0.notices[0].id;
        page.act(Action::Accept(id));
        assert!(page.0.room == Room::Train && page.0.notices.is_empty());
        assert_eq!(page.0.train.words().as_deref(), Some("Preparing …"));
        page.started(1);
        page.stepped(2);
        assert_eq!(page.0.train.words().as_deref(), Some("Training 50 %"));
        page.train(TrainAction::Pause(true));
        assert_eq!(page.0.train.words().as_deref(), Some("Paused at 50 %"));
    }

    #[test]
    fn what_was_never_kept_is_lost_and_said() {
        let mut page = Page::with_images(4);
        page.train(TrainAction::Train);
        page.settle();
        page.started(0);
        page.stepped(1);
        page.act(Action::Crash(page.0.generation, "It stopped.".into()));
        assert!(matches!(&page.0.train.phase, Phase::Failed(message) if message.contains("start it again")));
    }

    #[test]
    fn the_estimate_follows_steps_and_size() {
        let mut page = Page::with_images(4);
        page.act(analysed_by(&page, 100.0));
        let small = page.0.training_estimate_ms().expect("a model was measured");
        page.train(TrainAction::Effort(Effort::Thorough));
        let long = page.0.training_estimate_ms().expect("a model was measured");
        assert!((long / small - 1560.0 / 400.0).abs() < 1e-6, "{small} {long}");
        page.train(TrainAction::FineTune(false));
        let scratch = page.0.training_estimate_ms().expect("a model was measured");
        assert!(
            (scratch / small - 2100.0 / 400.0).abs() < 1e-6,
            "{small} {scratch}"
        );
    }

    #[test]
    fn network_and_layout_follow_photos_and_device_until_the_visitor_chooses() {
        let model = |page: &Page| {
            let model = &page.0.train.settings.model;
            (model.preset, model.input_size, model.fit)
        };
        let reason = |page: &Page| {
            page.0
                .suggestion()
                .map(|own| own.reason().concat())
                .unwrap_or_default()
        };
        let mut page = Page::with_images(0);
        assert_eq!(page.0.suggestion(), None);
        page.add_good(3, (1500, 1000));
        assert_eq!(model(&page), (Preset::Compact, 256, InputLayout::Squash));
        assert!(
            reason(&page).contains("384 pixels would show"),
            "{}",
            reason(&page)
        );

        let fast = |page: &mut Page| {
            let device = page.0.device.as_deref().expect("is there").clone();
            page.on_event(Event::DeviceReady(DeviceInfo {
                backend: BackendChoice::Webgpu,
                ..device
            }));
        };
        let mut page = Page::with_images(0);
        fast(&mut page);
        page.add_good(1, (1500, 1000));
        assert_eq!(model(&page), (Preset::Standard, 384, InputLayout::Squash));
        assert!(
            page.0.possible_start().is_some(),
            "the networks are those of compact"
        );

        let mut page = Page::with_images(0);
        fast(&mut page);
        page.add_good(1, (400, 1000));
        assert_eq!(model(&page), (Preset::Compact, 256, InputLayout::Strip));

        // the visitor has the last word
        let mut page = Page::with_images(0);
        fast(&mut page);
        page.train(TrainAction::Preset(Preset::Standard));
        page.train(TrainAction::Preset(Preset::Compact));
        page.add_good(1, (1500, 1000));
        assert_eq!(model(&page), (Preset::Compact, 256, InputLayout::Squash));
    }

    #[test]
    fn a_training_starts_from_the_open_model_where_the_networks_are_alike() {
        let mut page = Page::with_images(4);
        let trained = |page: &mut Page| {
            page.train(TrainAction::Train);
            let mut commands = page.settle();
            page.train(TrainAction::Again);
            match commands.pop() {
                Some(TrainCommand::Begin {
                    fine_tune, settings, ..
                }) => (fine_tune, settings.training.student.steps),
                other => panic!("{other:?}"),
            }
        };
        page.settle();
        assert!(page.0.possible_start().is_some());
        assert_eq!(trained(&mut page), (true, 100));
        page.train(TrainAction::FineTune(false));
        assert_eq!(trained(&mut page), (false, 250));
        page.train(TrainAction::FineTune(true));
        page.train(TrainAction::Preset(Preset::Paper));
        assert!(page.0.starting_model().is_none(), "another network");
        page.train(TrainAction::Preset(Preset::Compact));
        assert!(page.0.starting_model().is_some());
        page.act(Action::Crash(page.0.generation, "It stopped.".into()));
        page.prepare_device();
        assert!(page.0.starting_model().is_some(), "the new engine will have it");
        page.train(TrainAction::Train);
        let commands = page.settle();
        assert!(
            !commands
                .iter()
                .any(|command| matches!(command, TrainCommand::Begin { .. })),
            "the model comes first: {commands:?}"
        );
    }

    /// The answer to the prediction in the engine.
    fn analysed_by(page: &Page, ms: f64) -> Action {
        let job = page.0.working.first().expect("an inspection runs").job;
        let Action::Engine(_, Event::Inspected { job, mut result }, bulk) = analysed(job, 0.5, 0.5) else {
            panic!("another event")
        };
        result.inference_ms = ms;
        Action::Engine(page.0.generation, Event::Inspected { job, result }, bulk)
    }
}

#[test]
fn the_cpu_engine_trains_where_no_graphics_card_waits() {
    assert!(Page::with(BackendChoice::Webgpu).0.gpu_engine);
    let mut page = Page::with(BackendChoice::Auto);
    assert!(!page.0.gpu_engine);
    page.bring_up();
    page.act(Action::Enter(Room::Train));
    assert!(matches!(page.begin().0, Job::Train(_)));
    assert!(!page.0.gpu_engine && page.0.generation == 1);
}

#[test]
fn training_waits_for_the_engine_of_the_graphics_card() {
    let mut page = Page::with(BackendChoice::Auto);
    page.bring_up();
    let device = page.0.device.as_deref().expect("is there").clone();
    page.on_event(Event::DeviceReady(DeviceInfo {
        gpu_waits: true,
        ..device
    }));
    page.act(Action::Enter(Room::Train));
    let (next, _) = page.begin();
    assert_eq!(next, Job::SwitchToGpuEngine);
    // nothing else begins until the server has answered
    assert_eq!(page.0.next_job().filter(|job| matches!(job, Job::Train(_))), None);
    page.act(Action::GpuEngineFiles(true));
    // the GPU engine loads the same model
    assert!(page.0.gpu_engine && page.0.generation == 2);
    page.prepare_device();
    assert!(matches!(page.begin().0, Job::Train(_)));
    assert_eq!(page.begin().0, Job::Load(ModelSource::Shipped(0)));
}

/// A page with a first result, on the CPU engine where a graphics card waits.
fn with_waiting_gpu() -> Page {
    let mut page = Page::with(BackendChoice::Auto);
    page.bring_up();
    let device = page.0.device.as_deref().expect("is there").clone();
    page.on_event(Event::DeviceReady(DeviceInfo {
        gpu_waits: true,
        ..device
    }));
    let (next, job) = page.begin();
    assert!(matches!(next, Job::Inspect(..)));
    page.act(analysed(job, 0.5, 0.1));
    page
}

#[test]
fn a_gpu_waits_for_the_first_result() {
    let mut page = with_waiting_gpu();
    assert_eq!(page.begin().0, Job::SwitchToGpuEngine);
    page.act(Action::GpuEngineFiles(true));
    assert!(page.0.gpu_engine && page.0.engine == Engine::Starting);
    // what was found stays
    assert!(matches!(page.0.items[0].status, Status::Done(_)));
}

#[test]
fn the_cpu_engine_keeps_working_until_the_gpu_engine_is_there() {
    let mut page = with_waiting_gpu();
    assert_eq!(page.begin().0, Job::SwitchToGpuEngine);
    page.act(Action::GpuEngineFiles(false));
    assert!(!page.0.gpu_engine && page.0.generation == 1 && page.0.engine == Engine::Running);
    assert!(page.0.notices.is_empty(), "nobody asked for it");
    assert_eq!(page.0.next_job(), None);
    // the CPU engine trains meanwhile
    page.act(Action::Enter(Room::Train));
    assert!(matches!(page.0.next_job(), Some(Job::Train(_))));
    // found later
    page.act(Action::GpuEngineFiles(true));
    assert_eq!(page.0.generation, 1);
    assert_eq!(page.begin().0, Job::SwitchToGpuEngine);
    page.act(Action::GpuEngineFiles(true));
    assert!(page.0.gpu_engine && page.0.generation == 2);
}

#[test]
fn a_page_that_begins_with_webgpu_falls_back_to_the_cpu_engine() {
    let mut page = Page::with(BackendChoice::Webgpu);
    page.act(Action::GpuEngineFiles(false));
    assert!(!page.0.gpu_engine && page.0.generation == 2);
    page.on_event(Event::Ready {
        protocol: PROTOCOL_VERSION,
    });
    assert_eq!(page.begin().0, Job::Start(BackendChoice::Auto));
    page.act(Action::Backend(BackendChoice::Webgpu));
    assert!(!page.0.gpu_engine, "it is still not there");
}
