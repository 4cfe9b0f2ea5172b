//! The page as a whole: its state, its worker, and what arrives from outside of its elements.

use std::cell::RefCell;
use std::rc::Rc;

use gloo::events::{EventListener, EventListenerOptions};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::spawn_local;
use web_sys::{ClipboardEvent, DragEvent, Element, KeyboardEvent, UrlSearchParams};
use yew::prelude::*;

use super::client::{self, Client, ClientSlot};
use super::components::{
    Add, CompareRoom, Display, EvaluateRoom, Examples, Header, Notices, Page, Queue, Regions, StatusLine,
    ThresholdPanel, Tour, TrainRoom, VerdictPanel, Viewer,
};
use super::gpu_engine::use_gpu_engine;
use super::state::{Action, Dispatch, Effort, Engine, Room, State};
use super::{files, icons, links, store, test_api};
use crate::page::protocol::BackendChoice;

/// Parts of the page that its document has painted already.
#[derive(PartialEq, Properties)]
pub(crate) struct Painted {
    /// Name, promise and what explains them.
    pub(crate) brand: Html,
    /// Ways to begin.
    pub(crate) welcome: Html,
}

/// The whole page.
#[component]
pub(crate) fn App(painted: &Painted) -> Html {
    let state = use_reducer(from_address);
    let dispatch = state.dispatcher();
    let snapshot = Rc::new((*state).clone());
    let dragging = use_state(|| false);

    use_worker(&snapshot, &dispatch);
    use_manifest(&dispatch);
    use_gpu_engine(&snapshot, &dispatch);
    use_hook(&snapshot);
    use_kept_threshold(&snapshot, &dispatch);
    use_window_events(&dispatch, dragging.setter());
    use_title(snapshot.train.words());

    let page = Page {
        state: snapshot,
        dispatch,
    };
    html! {
        <div class="app" data-testid="app">
            <a class="skip" href="#result">{ "Skip to the result" }</a>
            <header class="header">
                { painted.brand.clone() }
                <Header ..page.clone() />
            </header>
            <Notices ..page.clone() />
            if page.state.is_new() {
                { painted.welcome.clone() }
            }
            { room(&page) }
            <Tour ..page.clone() />
            <StatusLine ..page />
            if *dragging {
                <div class="drop-hint" aria-hidden="true">
                    <p>{ icons::icon(icons::PICTURE) }{ "Drop images, folders, zip archives or a model file" }</p>
                </div>
            }
        </div>
    }
}

/// What the page shows between its head and its foot.
fn room(page: &Page) -> Html {
    match page.state.room {
        Room::Train => html! { <TrainRoom ..page.clone() /> },
        Room::Compare => html! { <CompareRoom ..page.clone() /> },
        Room::Evaluate => html! { <EvaluateRoom ..page.clone() /> },
        Room::Inspect => html! {
            <main class="workspace">
                <div class="column">
                    <Add ..page.clone() />
                    <Examples ..page.clone() />
                    <Queue ..page.clone() />
                </div>
                <Viewer ..page.clone() />
                <div class="column">
                    <VerdictPanel ..page.clone() />
                    <Regions ..page.clone() />
                    <ThresholdPanel ..page.clone() />
                    <Display ..page.clone() />
                </div>
            </main>
        },
    }
}

/// The state that the page's address asks for: `?backend=auto|cpu|webgpu&model=ID|none`, and for trainings
/// `&steps=150-250&batch=8&side=256`: steps of the two stages, images of a step, pixels of the input's side.
fn from_address() -> State {
    let search = web_sys::window()
        .and_then(|window| window.location().search().ok())
        .unwrap_or_default();
    let parameter = |name: &str| {
        UrlSearchParams::new_with_str(&search)
            .ok()
            .and_then(|all| all.get(name))
    };
    let backend = parameter("backend")
        .and_then(|id| BackendChoice::from_id(&id))
        .unwrap_or_default();
    let mut state = State::new(backend, parameter("model").map(Rc::from));
    let steps = parameter("steps").and_then(|steps| {
        let (student, segmentation) = steps.split_once('-')?;
        Some([student.parse().ok()?, segmentation.parse().ok()?])
    });
    if let Some(steps) = steps {
        state.train.effort = Effort::Own(steps);
        state.compare.steps = Some(steps[0]);
    }
    let number = |name: &str| parameter(name).and_then(|value| value.parse().ok());
    state.train.set_sizes(number("side"), number("batch"));
    state
}

/// Keeps a worker running and gives it one step after the other.
#[hook]
fn use_worker(state: &Rc<State>, dispatch: &Dispatch) {
    let slot: ClientSlot = (*use_memo((), |()| Rc::new(RefCell::new(None)))).clone();
    let stopped = matches!(state.engine, Engine::Stopped(_));
    {
        let (slot, dispatch) = (slot.clone(), dispatch.clone());
        let worker = (state.generation, state.gpu_engine, stopped);
        use_effect_with(worker, move |&(generation, gpu_engine, stopped)| {
            // the old worker ends before the new one asks for memory
            slot.replace(None);
            if !stopped {
                match Client::start(generation, gpu_engine, &dispatch) {
                    Ok(client) => drop(slot.replace(Some(client))),
                    Err(message) => dispatch.dispatch(Action::Crash(generation, message)),
                }
            }
        });
    }
    let (state, dispatch) = (state.clone(), dispatch.clone());
    use_effect(move || {
        if let Some(job) = state.next_job() {
            let number = state.counter + 1;
            dispatch.dispatch(Action::Begin(job.clone(), number));
            client::perform(job, number, &state, &slot, &dispatch);
        }
    });
}

/// Looks once for the models there are: the shipped ones and those that the browser keeps.
#[hook]
fn use_manifest(dispatch: &Dispatch) {
    let dispatch = dispatch.clone();
    use_effect_with((), move |()| {
        store::list(&dispatch);
        let watch = store::watch(&dispatch);
        spawn_local(async move { dispatch.dispatch(Action::Manifest(client::fetch_manifest().await)) });
        move || drop(watch)
    });
}

/// Keeps a threshold that the visitor has moved, and puts it in force when its model is opened again.
#[hook]
fn use_kept_threshold(state: &Rc<State>, dispatch: &Dispatch) {
    let name = state.threshold_name().filter(|_| state.model_loaded);
    {
        let dispatch = dispatch.clone();
        use_effect_with(name.clone(), move |name| {
            if let Some(change) = name.as_deref().and_then(store::kept_threshold) {
                dispatch.dispatch(Action::Threshold(change));
            }
        });
    }
    let calibration = state.calibration().cloned();
    let dispatch = dispatch.clone();
    use_effect_with((name, calibration), move |(name, calibration)| {
        if let (Some(name), Some(calibration)) = (name, calibration) {
            store::keep_threshold(name, calibration, &dispatch);
        }
    });
}

/// Shows in the tab what goes on, before the title that the document has.
#[hook]
fn use_title(words: Option<String>) {
    let document = || web_sys::window().and_then(|window| window.document());
    let title = use_memo((), |()| {
        document().map_or_else(String::new, |document| document.title())
    });
    use_effect_with(words, move |words| {
        if let Some(document) = document() {
            let before = words
                .as_ref()
                .map_or_else(String::new, |words| format!("{words} · "));
            document.set_title(&format!("{before}{title}"));
        }
    });
}

/// Keeps `window.destseg` up to date.
#[hook]
fn use_hook(state: &Rc<State>) {
    let latest = use_memo((), |()| {
        let latest = Rc::new(RefCell::new(state.clone()));
        test_api::install(latest.clone());
        latest
    });
    latest.replace(state.clone());
}

/// Follows the link in the address, then listens to drops, pastes, keys and links anywhere on the page.
#[hook]
fn use_window_events(dispatch: &Dispatch, dragging: UseStateSetter<bool>) {
    let dispatch = dispatch.clone();
    use_effect_with((), move |()| {
        let window = web_sys::window();
        let listen = |name: &'static str, react: Box<dyn Fn(&Event)>| {
            let options = EventListenerOptions::enable_prevent_default();
            let target = window.as_ref()?;
            Some(EventListener::new_with_options(
                target,
                name,
                options,
                move |event| react(event),
            ))
        };
        let (over, leave, drop_setter) = (dragging.clone(), dragging.clone(), dragging);
        if let Some(link) = links::in_address() {
            links::follow(&link, &dispatch);
        }
        let (on_drop, on_paste, on_key) = (dispatch.clone(), dispatch.clone(), dispatch.clone());
        let listeners = [
            listen(
                "dragover",
                Box::new(move |event| {
                    event.prevent_default();
                    over.set(true);
                }),
            ),
            listen(
                "dragleave",
                Box::new(move |event| {
                    let left = event
                        .dyn_ref::<DragEvent>()
                        .is_some_and(|drag| drag.related_target().is_none());
                    if left {
                        leave.set(false);
                    }
                }),
            ),
            listen(
                "drop",
                Box::new(move |event| {
                    event.prevent_default();
                    drop_setter.set(false);
                    let data = event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer);
                    files::take_dropped(data, &on_drop);
                }),
            ),
            listen(
                "paste",
                Box::new(move |event| {
                    let data = event
                        .dyn_ref::<ClipboardEvent>()
                        .and_then(ClipboardEvent::clipboard_data);
                    files::take(files::pasted(data), &on_paste);
                }),
            ),
            listen("keydown", Box::new(move |event| browse(event, &on_key))),
            listen("click", Box::new(move |event| links::on_click(event, &dispatch))),
        ];
        move || drop(listeners)
    });
}

/// Left and right, K and J show the neighbours in the queue, N the next defect, unless the key belongs to a control.
fn browse(event: &Event, dispatch: &Dispatch) {
    let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
        return;
    };
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<Element>().ok());
    let taken = target.is_some_and(|element| {
        element
            .closest("input, select, textarea, dialog")
            .is_ok_and(|found| found.is_some())
    });
    if taken || key.alt_key() || key.ctrl_key() || key.meta_key() || event.default_prevented() {
        return;
    }
    match key.key().as_str() {
        "ArrowLeft" | "k" => dispatch.dispatch(Action::Move(-1)),
        "ArrowRight" | "j" => dispatch.dispatch(Action::Move(1)),
        "n" => dispatch.dispatch(Action::NextDefect),
        _ => {}
    }
}
