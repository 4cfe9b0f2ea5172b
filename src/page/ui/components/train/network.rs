//! Which network is trained, how many images at a time, and what that takes.

use yew::prelude::*;

use crate::page::ui::components::Page;
use crate::page::ui::components::controls::{Choice, FileButton, Select};
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, TrainAction};
use crate::page::ui::{files, format};
use destseg_engine::config::Preset;
use destseg_engine::train::footprint;

/// The menu's value for a number of images that the page chooses.
const AUTOMATIC: &str = "auto";

/// Menus of network and batch size.
#[component]
pub(crate) fn Network(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let presets: Vec<Choice> = Preset::ALL
        .into_iter()
        .map(|preset| {
            let words = match preset {
                Preset::Compact => "Compact, for a browser",
                Preset::Standard => "Standard, for small defects",
                Preset::Paper => "The paper's, for a strong graphics card",
            };
            (preset.id().into(), words.into())
        })
        .collect();
    let preset = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            if let Some(preset) = Preset::ALL.into_iter().find(|preset| preset.id() == id) {
                dispatch.dispatch(Action::Train(TrainAction::Preset(preset)));
            }
        })
    };
    let automatic = state.batch().map_or_else(
        || "Automatic".to_owned(),
        |batch| {
            if train.batch.is_none() {
                format!("Automatic ({batch})")
            } else {
                "Automatic".to_owned()
            }
        },
    );
    let mut possible = state.batches();
    possible.extend(train.batch.filter(|batch| !possible.contains(batch)));
    let batches: Vec<Choice> = std::iter::once((AUTOMATIC.into(), automatic.into()))
        .chain(
            possible
                .iter()
                .map(|batch| (batch.to_string().into(), batch.to_string().into())),
        )
        .collect();
    let batch = {
        let dispatch = dispatch.clone();
        Callback::from(move |value: String| {
            dispatch.dispatch(Action::Train(TrainAction::Batch(value.parse().ok())));
        })
    };
    let shown = train
        .batch
        .map_or_else(|| AUTOMATIC.to_owned(), |batch| batch.to_string());
    html! {
        <>
            <Select label="Network" testid="preset" choices={presets} value={train.settings.model.preset.id()}
                onchange={preset} />
            <Select label="Batch size" testid="batch" choices={batches} value={shown} onchange={batch} />
        </>
    }
}

/// What the choice takes: memory, the device's limits, the teacher's file.
#[component]
pub(crate) fn Needs(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let model = &state.train.settings.model;
    let memory = state
        .training_bytes()
        .map(|bytes| format!("Takes about {} of memory.", format::memory(bytes)));
    let limit = state
        .limits()
        .tensor
        .filter(|_| state.batches().len() < footprint::BATCHES.len());
    let limit = limit.map(|bytes| {
        format!(
            "One tensor may have {} on this graphics card, so not more than {} images of {} pixels fit at a time.",
            format::memory(bytes),
            state.batches().last().copied().unwrap_or(0),
            model.input_size
        )
    });
    let ask = !state.has_teacher();
    let open = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen: Vec<files::Chosen>| {
            if let Some((_, file)) = chosen.into_iter().next() {
                files::take_model(file, &dispatch);
            }
        })
    };
    html! {
        <>
            <p class="hint" data-testid="train-needs">
                { memory.unwrap_or_default() }{ " " }{ limit.unwrap_or_default() }
            </p>
            if ask {
                <p class="hint" data-testid="teacher-missing">
                    { format!("This network compares with {}: open PyTorch's file of it, resnet18-f37072fd.pth, once. ",
                        model.teacher.id()) }
                </p>
                <FileButton testid="teacher-input" accept={files::MODEL_EXTENSIONS} onfiles={open}>
                    { icon(icons::FOLDER) }{ "Open the teacher's file" }
                </FileButton>
            }
        </>
    }
}
