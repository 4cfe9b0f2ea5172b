//! The controls in the head of the page: rooms, model and device.

use yew::prelude::*;

use super::Page;
use super::controls::{Choice, FileButton, Select};
use crate::page::protocol::BackendChoice;
use crate::page::ui::files;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, ModelSource, Room};
use crate::page::ui::store;

/// Menu value of a model file of the visitor; the manifest's models have their index.
const OWN_FILE: &str = "file";
/// Before the id of a kept inspector in its menu value.
const KEPT: &str = "kept:";

/// Buttons of the rooms, model menu, device menu.
#[component]
pub(crate) fn Header(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let open = {
        let (dispatch, kept) = (dispatch.clone(), state.train.kept.clone());
        Callback::from(move |value: String| {
            if let Ok(index) = value.parse() {
                dispatch.dispatch(Action::OpenModel(ModelSource::Shipped(index)));
            } else if let Some(inspector) = kept
                .iter()
                .find(|kept| value.strip_prefix(KEPT) == Some(&kept.id))
            {
                store::open(inspector, &dispatch);
            }
        })
    };
    let open_file = {
        let dispatch = dispatch.clone();
        Callback::from(move |files: Vec<files::Chosen>| {
            if let Some((_, file)) = files.into_iter().next() {
                files::take_model(file, &dispatch);
            }
        })
    };
    let backend = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            if let Some(choice) = BackendChoice::from_id(&id) {
                dispatch.dispatch(Action::Backend(choice));
            }
        })
    };
    // the button of the room that is open leaves it
    let button = |room: Room, testid: &'static str, symbol: &'static str, words: String| {
        let is_in = state.room == room;
        let (dispatch, room) = (dispatch.clone(), if is_in { Room::Inspect } else { room });
        let onclick = move |_: MouseEvent| dispatch.dispatch(Action::Enter(room));
        html! {
            <button class="button" type="button" data-testid={testid} aria-pressed={is_in.to_string()} {onclick}>
                { icon(symbol) }{ words }
            </button>
        }
    };
    let training = state.train.words().unwrap_or_else(|| "Train your own".into());
    let (models, shown) = models(page);
    let backends: Vec<Choice> = BackendChoice::ALL
        .into_iter()
        .map(|choice| (choice.id().into(), backend_label(choice).into()))
        .collect();
    html! {
        <div class="header-controls">
            { button(Room::Train, "train-open", icons::TEACH, training) }
            { button(Room::Evaluate, "evaluate-open", icons::MEASURE, "Evaluate".into()) }
            { button(Room::Compare, "compare-open", icons::COMPARE, "Compare".into()) }
            <Select label="Model" testid="model-select" choices={models} value={shown} onchange={open} />
            <FileButton testid="model-input" accept={files::MODEL_EXTENSIONS} onfiles={open_file}>
                { icon(icons::FOLDER) }<span>{ "Open model" }</span>
            </FileButton>
            <Select label="Run on" testid="backend-select" choices={backends}
                value={state.backend.id()} onchange={backend} />
        </div>
    }
}

/// The model menu's choices and the value to show.
fn models(page: &Page) -> (Vec<Choice>, AttrValue) {
    let state = &page.state;
    let shipped = state.manifest.iter().flat_map(|manifest| manifest.models.iter());
    let mut choices: Vec<Choice> = shipped
        .enumerate()
        .map(|(index, model)| (index.to_string().into(), model.name.clone().into()))
        .collect();
    choices.extend(state.train.kept.iter().map(|kept| {
        let value = format!("{KEPT}{}", kept.id);
        (value.into(), kept.name.clone().into())
    }));
    let shown = match state.shown_source() {
        Some(ModelSource::Kept { id, .. }) => format!("{KEPT}{id}").into(),
        Some(ModelSource::Shipped(index)) => index.to_string().into(),
        Some(source @ ModelSource::File { .. }) => {
            choices.push((OWN_FILE.into(), state.source_name(source).into()));
            OWN_FILE.into()
        }
        None => {
            choices.insert(0, (AttrValue::default(), "None".into()));
            AttrValue::default()
        }
    };
    (choices, shown)
}

fn backend_label(choice: BackendChoice) -> &'static str {
    match choice {
        BackendChoice::Auto => "Automatic",
        BackendChoice::Cpu => "CPU",
        BackendChoice::Webgpu => "GPU (WebGPU)",
    }
}
