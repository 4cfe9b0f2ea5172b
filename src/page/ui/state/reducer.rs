//! How the page's state changes.

use std::rc::Rc;

use web_sys::{Blob, HtmlVideoElement};
use yew::{Reducible, UseReducerDispatcher};

use super::given::left_out;
use super::{
    Bulk, CompareAction, Engine, EvaluateAction, Given, GpuEngineFiles, Helpers, Item, ItemId, Job, Listing,
    Load, Mark, ModelSource, Notice, Offer, Room, State, Status, StudyAction, ThresholdChange, TrainAction,
    View,
};
use crate::page::protocol::{BackendChoice, Event, Example, Manifest};
use crate::page::shared::content::{Content, UserFile};
use destseg_engine::config::Component;
use destseg_engine::data::brush::Point;

/// The label of an example without a defect.
const GOOD: &str = "good";

/// Where actions go.
pub(crate) type Dispatch = UseReducerDispatcher<State>;

/// An event of the page.
#[derive(Debug)]
pub enum Action {
    /// The list of models arrived, or a sentence why not.
    Manifest(Result<Manifest, String>),
    /// The worker with this generation sent an event, and what came with it.
    Engine(u32, Event, Option<Bulk>),
    /// The worker with this generation died without a word of its own.
    Crash(u32, String),
    /// The server says whether the files of the GPU engine are there.
    GpuEngineFiles(bool),
    /// The page has begun this job, with this number.
    Begin(Job, u32),
    /// An example's file was fetched.
    Fetched(ItemId, Blob),
    /// Shows another room.
    Enter(Room),
    /// Files of the visitor.
    Add(Given),
    /// Photos that come with the page, for a room.
    Photos(Room, Vec<UserFile>),
    /// The visitor picked an example of the shelf.
    AddExample(Rc<Example>),
    /// Shows the next example of the shelf, after the last one the first.
    TryExample,
    /// Begins the tour.
    Tour,
    /// Shows an image.
    Select(ItemId),
    /// Shows the image this many places further on.
    Move(isize),
    /// Shows the next image with a defect, after the last one the first.
    NextDefect,
    /// Chooses which images of the queue are listed, and in which order.
    List(Listing),
    /// Takes an image of the queue, and others that the model does not know, to the good images of a new inspector.
    TrainOn(ItemId),
    /// Paints over a defect of an image.
    Paint(ItemId, Vec<Point>),
    /// Takes an image off the queue.
    Remove(ItemId),
    /// Empties the queue.
    Clear,
    /// Brings back what was taken off the queue last.
    Undo,
    /// Loads a model.
    OpenModel(ModelSource),
    /// Moves the image threshold of the model in place.
    Threshold(ThresholdChange),
    /// Says whether an image of the queue has a defect.
    Correct(ItemId, Mark),
    /// Restarts the engine with this choice.
    Backend(BackendChoice),
    /// Tries again after the engine stopped, or a model failed.
    Retry,
    /// Something about new and kept inspectors.
    Train(TrainAction),
    /// Something about comparing methods.
    Compare(CompareAction),
    /// Something about the look inside.
    Study(StudyAction),
    /// Leaves a component out of the network, or none.
    Ablate(Option<Component>),
    /// Something about measuring the model.
    Evaluate(EvaluateAction),
    /// Begins the live verdict on a camera, or ends it.
    Camera(Option<HtmlVideoElement>),
    /// Changes how results are shown.
    View(View),
    /// Tells the visitor something.
    Notify(String),
    /// Takes a notice away. Those without an offer all go when the visitor gives new files.
    Dismiss(u32),
    /// Does what a notice offers.
    Accept(u32),
}

impl Reducible for State {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        let mut next = Rc::unwrap_or_clone(self);
        next.apply(action);
        next.into()
    }
}

/// Asked for by who wants to train and needs no other model: nothing is fetched.
const NO_MODEL: &str = "none";

impl State {
    fn apply(&mut self, action: Action) {
        // what was said of earlier files is history
        if matches!(
            action,
            Action::Add(_) | Action::AddExample(_) | Action::OpenModel(_)
        ) {
            self.notices.retain(|notice| notice.offer.is_some());
        }
        match action {
            Action::Manifest(Ok(manifest)) => self.open_manifest(manifest),
            Action::Manifest(Err(message)) => {
                self.manifest = Some(Manifest::default().into());
                self.notify(message);
            }
            Action::Engine(generation, event, bulk) if generation == self.generation => {
                self.on_event(event, bulk);
            }
            Action::Crash(generation, message) if generation == self.generation => self.crash(&message),
            Action::Engine(..) | Action::Crash(..) => {}
            Action::Begin(job, number) => self.begin(job, number),
            Action::Fetched(id, blob) => self.with_item(id, |item| item.content = Some(Content::File(blob))),
            Action::Enter(room) => self.enter(room),
            Action::Add(given) => self.take(given),
            Action::Photos(room, photos) => {
                self.enter(room);
                self.train.is_trial |= room == Room::Train;
                self.take(photos.into());
            }
            Action::AddExample(example) => self.add_example(example),
            Action::TryExample => self.try_example(),
            Action::Tour => {
                self.enter(Room::Inspect);
                self.view.tour = Some(0);
            }
            Action::Select(id) => self.selected = Some(id),
            Action::Move(offset) => self.shift(offset),
            Action::NextDefect => self.show_next_defect(),
            Action::List(listing) => self.listing = listing,
            Action::TrainOn(id) => self.train_on(id),
            Action::Remove(id) => self.remove(id),
            Action::Clear => {
                self.take_off(|_| true);
                self.working.clear();
                self.predictions.clear();
                self.selected = None;
            }
            Action::Undo => self.bring_back(),
            Action::OpenModel(source) => self.open_model(source),
            Action::Threshold(change) => self.set_threshold(change),
            Action::Correct(id, mark) => self.correct(id, mark),
            Action::Paint(id, points) => self.paint(id, points),
            Action::Backend(backend) => {
                self.backend = backend;
                let is_there = self.gpu_engine_files != GpuEngineFiles::Absent;
                self.gpu_engine |= backend == BackendChoice::Webgpu && is_there;
                self.crashes = 0;
                self.requeue();
                self.restart();
            }
            Action::GpuEngineFiles(are_there) => self.on_gpu_engine_files(are_there),
            Action::Retry => self.retry(),
            Action::Train(action) => self.train(action),
            Action::Compare(action) => self.compare(action),
            Action::Study(action) => self.study(action),
            Action::Ablate(component) => self.ablate(component),
            Action::Evaluate(action) => self.evaluate(action),
            Action::Camera(video) => self.set_camera(video),
            Action::View(view) => self.view = view,
            Action::Notify(message) => self.notify(message),
            Action::Dismiss(id) => self.notices.retain(|notice| notice.id != id),
            Action::Accept(id) => self.accept(id),
        }
    }

    /// Whether a model with examples may be on its way.
    pub fn awaits_examples(&self) -> bool {
        self.manifest.is_none() && self.requested.as_deref() != Some(NO_MODEL)
    }

    /// Whether a first model is on its way.
    pub fn awaits_model(&self) -> bool {
        let is_on_its_way = matches!(self.load, Load::Wanted(_) | Load::Running { .. });
        self.model.is_none() && (is_on_its_way || self.awaits_examples())
    }

    /// Whether ways to begin are shown: nothing of the visitor's is here yet.
    pub fn is_new(&self) -> bool {
        self.room == Room::Inspect && self.items.iter().all(|item| item.example.is_some())
    }

    /// Whether the picture that the document has painted, of the first example of the first model, still stands for its
    /// result.
    pub fn is_first_look(&self) -> bool {
        self.model.is_none() && self.shelf == Some(0) && self.items.len() == 1
    }

    fn enter(&mut self, room: Room) {
        self.room = room;
        match room {
            Room::Train => self.train.enter(),
            Room::Compare => self.compare.error = None,
            Room::Inspect | Room::Evaluate => {}
        }
    }

    pub(super) fn number(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// Adds a notice, once.
    pub(super) fn notify(&mut self, text: impl Into<Rc<str>>) {
        let text = text.into();
        self.write_down(&text);
        self.add_notice(text, None);
    }

    /// Adds a notice with something to do, once.
    pub(super) fn offer_to(&mut self, offer: Offer, text: String) {
        self.add_notice(text.into(), Some(offer));
    }

    fn add_notice(&mut self, text: Rc<str>, offer: Option<Offer>) {
        if self.notices.iter().all(|notice| notice.text != text) {
            let id = self.number();
            self.notices.push(Notice { id, text, offer });
        }
    }

    fn accept(&mut self, id: u32) {
        let Some(place) = self.notices.iter().position(|notice| notice.id == id) else {
            return;
        };
        match self.notices.remove(place).offer {
            Some(Offer::Use) => self.train(TrainAction::Use),
            Some(Offer::Resume(run)) => self.train(TrainAction::Resume(run.to_string())),
            None => {}
        }
    }

    pub(super) fn with_item(&mut self, id: ItemId, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            change(item);
        }
    }

    fn open_manifest(&mut self, manifest: Manifest) {
        let asked = self.requested.take();
        let found = asked
            .as_ref()
            .map(|id| manifest.models.iter().position(|model| *model.file.id == **id));
        let ids: Vec<_> = manifest
            .models
            .iter()
            .map(|model| model.file.id.clone())
            .collect();
        self.manifest = Some(manifest.into());
        if asked.as_deref() == Some(NO_MODEL) {
            return;
        }
        if let (Some(id), Some(None)) = (asked, found) {
            self.notify(format!(
                "There is no model named \"{id}\" here; choose one of: {}.",
                ids.join(", ")
            ));
        }
        if !ids.is_empty() && self.load == Load::Idle {
            self.open_model(ModelSource::Shipped(found.flatten().unwrap_or(0)));
        }
    }

    pub(super) fn open_model(&mut self, source: ModelSource) {
        if let ModelSource::Shipped(index) = source {
            self.offer(index);
        }
        self.load = Load::Wanted(source);
    }

    /// Offers a shipped model's examples. Those of another model say nothing about it and leave the
    /// queue; an empty queue gets the first defect.
    pub(super) fn offer(&mut self, index: usize) {
        self.shelf = Some(index);
        let offered = self
            .shelf_model()
            .map(|model| model.examples.clone())
            .unwrap_or_default();
        self.items.retain(|item| {
            item.example
                .as_deref()
                .is_none_or(|example| offered.contains(example))
        });
        if self.current().is_none() {
            self.selected = self.items.first().map(|item| item.id);
        }
        if self.items.is_empty()
            && let Some(example) = offered
                .iter()
                .find(|example| example.label != GOOD)
                .or(offered.first())
        {
            self.add_example(example.clone().into());
        }
    }

    /// Takes in files, for the room that is shown.
    fn take(&mut self, given: Given) {
        // texts say what images show, which only an evaluation asks for
        let left_out = match self.room {
            Room::Evaluate if !given.images.is_empty() => left_out(given.others.iter().map(String::as_str)),
            Room::Evaluate | Room::Inspect | Room::Train | Room::Compare => given.left_out(),
        };
        if !given.images.is_empty() {
            match self.room {
                Room::Inspect => self.add(given.images),
                Room::Train | Room::Compare => self.collect(given.images),
                Room::Evaluate => self.evaluate.take(given.images, given.texts),
            }
        }
        left_out.into_iter().for_each(|remark| self.notify(remark));
    }

    fn add(&mut self, images: Vec<UserFile>) {
        let first_new = self.items.len();
        for UserFile { path: name, content } in images {
            let id = self.number();
            let (content, status) = match content {
                Ok(content) => (Some(content), Status::Waiting),
                Err(message) => (None, Status::Failed(message.into())),
            };
            self.items.push(Item {
                status,
                ..Item::new(id, name, content)
            });
        }
        if let Some(item) = self.items.get(first_new) {
            self.selected = Some(item.id);
        }
    }

    /// Takes an image of the queue to the good images of a new inspector, and with it all others that the model does not
    /// know, unless they are among them.
    fn train_on(&mut self, id: ItemId) {
        let chosen = |item: &&Item| item.id == id || item.example.is_none() && self.is_unfamiliar(item);
        let is_new = |content: &Content| {
            let mut images = self.train.images.iter();
            !images.any(|image| image.content.as_ref() == Some(content))
        };
        let image = |item: &Item| {
            let content = item.content.clone().filter(is_new)?;
            Some(UserFile {
                path: item.name.clone(),
                content: Ok(content),
            })
        };
        let images = self.items.iter().filter(chosen).filter_map(image).collect();
        self.collect(images);
        self.enter(Room::Train);
    }

    /// Shows an example; one that is in the queue already is not added twice, but tried again if it
    /// failed.
    fn add_example(&mut self, example: Rc<Example>) {
        if let Some(item) = self
            .items
            .iter_mut()
            .find(|item| item.example.as_ref() == Some(&example))
        {
            if matches!(item.status, Status::Failed(_)) {
                item.status = Status::Waiting;
                item.crashes = 0;
            }
            self.selected = Some(item.id);
            return;
        }
        let id = self.number();
        let name = example.file.rsplit('/').next().unwrap_or(&example.file).into();
        let item = Item {
            example: Some(example),
            ..Item::new(id, name, None)
        };
        self.items.push(item);
        self.selected = Some(id);
    }

    fn try_example(&mut self) {
        let Some(model) = self.shelf_model() else { return };
        let here = self.current().and_then(|item| item.example.as_deref());
        let here = model.examples.iter().position(|example| Some(example) == here);
        let next = model.examples.iter().cycle().nth(here.map_or(0, |here| here + 1));
        if let Some(example) = next.cloned() {
            self.add_example(example.into());
        }
    }

    fn remove(&mut self, id: ItemId) {
        let Some(index) = self.items.iter().position(|item| item.id == id) else {
            return;
        };
        self.take_off(|item| item.id == id);
        if self.selected == Some(id) {
            let neighbour = self.items.get(index).or(self.items.last());
            self.selected = neighbour.map(|item| item.id);
        }
    }

    fn begin(&mut self, job: Job, number: u32) {
        self.counter = self.counter.max(number);
        match job {
            Job::Start(_) => self.engine = Engine::Preparing,
            Job::Load(source) => {
                // results of the model before would come too late
                self.requeue();
                self.helpers = Helpers::None;
                self.load = Load::Running {
                    source,
                    job: number,
                    received: 0,
                    total: 0,
                }
            }
            Job::SetCalibration(_) => self.calibration_is_new = false,
            Job::Train(job) => self.train.begin(&job),
            Job::Compare(job) => self.compare.begin(&job, number),
            Job::Study(job) => self.study.begin(&job, number),
            Job::Ablate(job) => self.ablate.begin(job, number),
            Job::Camera(_) => self.camera.begin(number),
            Job::SwitchToGpuEngine => self.gpu_engine_files = GpuEngineFiles::Asked,
            Job::Evaluate(job) => self.evaluate.begin(&job),
            Job::Helpers(0) => self.helpers = Helpers::None,
            Job::Helpers(_) => self.helpers = Helpers::Asked,
            Job::Inspect(id, brief) => self.begin_inspection(number, id, brief),
        }
    }
}
