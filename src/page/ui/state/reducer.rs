//! How the page's state changes.

use std::rc::Rc;

use web_sys::{Blob, HtmlVideoElement};
use yew::Reducible;

use super::{
    Bulk, CompareAction, Engine, EvaluateAction, GpuEngine, Item, ItemId, Load, ModelSource, Notice, State, Status,
    Step, StudyAction, TeachAction, View,
};
use destseg_engine::config::Component;
use crate::page::protocol::{BackendChoice, Event, Example, Manifest};
use crate::page::shared::content::{Content, Given};

/// The label of an example without a defect.
const GOOD: &str = "good";

/// An event of the page.
#[derive(Debug)]
pub enum Action {
    /// The list of models arrived, or a sentence why not.
    Manifest(Result<Manifest, String>),
    /// The worker with this generation sent an event, and what came with it.
    Engine(u32, Event, Option<Bulk>),
    /// The worker with this generation died without a word of its own.
    Crash(u32, String),
    /// The server says whether the engine for GPUs is there.
    GpuEngine(bool),
    /// The page has taken on this step, as this job.
    Begin(Step, u32),
    /// An example's file was fetched.
    Fetched(ItemId, Blob),
    /// Images of the visitor.
    Add(Vec<Given>),
    /// The visitor picked an example of the shelf.
    AddExample(Rc<Example>),
    /// Shows an image.
    Select(ItemId),
    /// Shows the image this many places further on.
    Move(isize),
    /// Takes an image off the queue.
    Remove(ItemId),
    /// Empties the queue.
    Clear,
    /// Loads a model.
    OpenModel(ModelSource),
    /// Restarts the engine with this choice.
    Backend(BackendChoice),
    /// Tries again after the engine stopped, or a model failed.
    Retry,
    /// Something about new and kept inspectors.
    Teach(TeachAction),
    /// Something about comparing methods.
    Compare(CompareAction),
    /// Something about the closer look.
    Study(StudyAction),
    /// Leaves a component out of the network, or none.
    Ablate(Option<Component>),
    /// Something about measuring the model.
    Evaluate(EvaluateAction),
    /// Watches the camera's picture, or no longer.
    Watch(Option<HtmlVideoElement>),
    /// Changes how results are shown.
    View(View),
    /// Tells the visitor something.
    Notify(String),
    /// Takes a notice away.
    Dismiss(u32),
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
        match action {
            Action::Manifest(Ok(manifest)) => self.open_manifest(manifest),
            Action::Manifest(Err(message)) => self.notify(message),
            Action::Engine(generation, event, bulk) if generation == self.generation => {
                self.hear(event, bulk);
            }
            Action::Crash(generation, message) if generation == self.generation => self.crash(&message),
            Action::Engine(..) | Action::Crash(..) => {}
            Action::Begin(step, job) => self.begin(step, job),
            Action::Fetched(id, blob) => self.with_item(id, |item| item.content = Some(Content::File(blob))),
            Action::Add(images) if self.teach.open || self.compare.open => self.collect(images),
            Action::Add(images) if self.evaluate.open => self.evaluate.take(images),
            Action::Add(images) => self.add(images),
            Action::AddExample(example) => self.add_example(example),
            Action::Select(id) => self.selected = Some(id),
            Action::Move(places) => self.shift(places),
            Action::Remove(id) => self.remove(id),
            Action::Clear => {
                self.items.clear();
                self.selected = None;
            }
            Action::OpenModel(source) => self.open_model(source),
            Action::Backend(backend) => {
                self.backend = backend;
                self.whole |= backend == BackendChoice::Webgpu && self.gpu_engine != GpuEngine::Absent;
                self.crashes = 0;
                self.requeue();
                self.restart();
            }
            Action::GpuEngine(is_there) => self.hear_of_gpu_engine(is_there),
            Action::Retry => self.retry(),
            Action::Teach(action) => {
                if matches!(action, TeachAction::Open(true)) {
                    self.evaluate.open = false;
                    self.compare.open = false;
                }
                self.teach(action);
            }
            Action::Compare(action) => self.compare(action),
            Action::Study(action) => self.study(action),
            Action::Ablate(component) => self.ablate(component),
            Action::Evaluate(action) => self.evaluate(action),
            Action::Watch(video) => self.watch(video),
            Action::View(view) => self.view = view,
            Action::Notify(message) => self.notify(message),
            Action::Dismiss(id) => self.notices.retain(|notice| notice.id != id),
        }
    }

    pub(super) fn number(&mut self) -> u32 {
        self.counter += 1;
        self.counter
    }

    /// Adds a notice, once.
    pub(super) fn notify(&mut self, text: impl Into<Rc<str>>) {
        let text = text.into();
        if self.notices.iter().all(|notice| notice.text != text) {
            let id = self.number();
            self.notices.push(Notice { id, text });
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

    fn add(&mut self, images: Vec<Given>) {
        let first_new = self.items.len();
        for Given { path: name, content } in images {
            let id = self.number();
            let (content, status) = match content {
                Ok(content) => (Some(content), Status::Waiting),
                Err(message) => (None, Status::Failed(message.into())),
            };
            self.items.push(Item {
                id,
                name,
                example: None,
                content,
                status,
                crashes: 0,
            });
        }
        if let Some(item) = self.items.get(first_new) {
            self.selected = Some(item.id);
        }
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
            id,
            name,
            example: Some(example),
            content: None,
            status: Status::Waiting,
            crashes: 0,
        };
        self.items.push(item);
        self.selected = Some(id);
    }

    fn shift(&mut self, places: isize) {
        let Some(last) = self.items.len().checked_sub(1) else {
            return;
        };
        let here = self
            .items
            .iter()
            .position(|item| Some(item.id) == self.selected)
            .unwrap_or(0);
        self.selected = Some(self.items[here.saturating_add_signed(places).min(last)].id);
    }

    fn remove(&mut self, id: ItemId) {
        let Some(index) = self.items.iter().position(|item| item.id == id) else {
            return;
        };
        self.items.remove(index);
        if self.selected == Some(id) {
            let neighbour = self.items.get(index).or(self.items.last());
            self.selected = neighbour.map(|item| item.id);
        }
    }

    fn begin(&mut self, step: Step, job: u32) {
        self.counter = self.counter.max(job);
        match step {
            Step::Start(_) => self.engine = Engine::Preparing,
            Step::Load(source) => {
                self.load = Load::Running {
                    source,
                    job,
                    received: 0,
                    total: 0,
                }
            }
            Step::Teach(step) => self.teach.begin(&step),
            Step::Compare(step) => self.compare.begin(&step, job),
            Step::Study(step) => self.looking.begin(&step, job),
            Step::Ablate(step) => self.ablating.begin(step, job),
            Step::Watch(_) => self.live.begin(job),
            Step::Outgrow => self.gpu_engine = GpuEngine::Asked,
            Step::Evaluate(step) => self.evaluate.begin(&step),
            Step::Analyse(id) => {
                self.working = Some((job, id));
                self.with_item(id, |item| item.status = Status::Working);
            }
        }
    }
}
