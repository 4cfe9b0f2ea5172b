//! Choosing a labelled folder and measuring it.

use yew::prelude::*;

use crate::page::ui::components::Page;
use crate::page::ui::components::controls::FileButton;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, EvaluateAction, Progress};
use crate::page::ui::{files, format};
use destseg_engine::data::labelled::LabelledSet;

/// What was given, what goes on.
#[component]
pub(crate) fn Folder(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let own = &state.evaluate;
    let act = |make: fn() -> EvaluateAction| {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Evaluate(make())))
    };
    let onfiles = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen| files::take(chosen, &dispatch))
    };
    let model = state.model.as_ref().map(|model| model.info.name.clone());
    let can_begin = own.count() > 0 && !own.is_running() && state.model_loaded;
    html! {
        <section class="panel evaluate-folder" aria-labelledby="evaluate-title">
            <h2 id="evaluate-title">{ "How good is it on your images?" }</h2>
            <p class="hint">
                { "Drop a folder or zip archive whose folders say what the images show: " }
                <code>{ "good" }</code>{ " and " }<code>{ "defective" }</code>
                { ", or the layout of MVTec AD. Masks (white = defect) are optional: put them into a folder called " }
                <code>{ "masks" }</code>{ " or " }<code>{ "ground_truth" }</code>{ "." }
            </p>
            <div class="collect-buttons">
                <FileButton testid="evaluate-folder" accept="" folder=true class="primary" onfiles={onfiles.clone()}>
                    { icon(icons::FOLDER) }{ "Choose a folder" }
                </FileButton>
                <FileButton testid="evaluate-files" accept={files::IMAGE_TYPES} multiple=true {onfiles}>
                    { icon(icons::PICTURE) }{ "Choose a zip archive" }
                </FileButton>
            </div>
            if let Some(files) = &own.files {
                <p data-testid="evaluate-set">{ summary(&files.set) }</p>
                <ul class="evaluate-notes">
                    { for files.set.notes.iter().map(|note| html! { <li data-testid="evaluate-note">{ note }</li> }) }
                </ul>
                <div class="collect-buttons">
                    if own.is_running() {
                        <button class="button" type="button" data-testid="evaluate-cancel"
                            onclick={act(|| EvaluateAction::Cancel)}>{ "Cancel" }</button>
                    } else {
                        <button class="button primary" type="button" data-testid="evaluate-begin" disabled={!can_begin}
                            onclick={act(|| EvaluateAction::Begin(js_sys::Date::now()))}>
                            { match &model {
                                Some(name) => format!("Measure {name}"),
                                None => "Measure".into(),
                            } }
                        </button>
                        if !state.model_loaded {
                            <span class="hint" aria-live="polite">{ "The model is not there yet …" }</span>
                        }
                    }
                </div>
            }
            { progress(page) }
        </section>
    }
}

/// What the folder holds, in words.
fn summary(set: &LabelledSet) -> String {
    format!(
        "{}: {}.",
        set.name.as_deref().unwrap_or("The folder"),
        set.summary()
    )
}

fn progress(page: &Page) -> Html {
    let own = &page.state.evaluate;
    let bar = |words: String, value: Option<usize>| {
        html! {
            <div class="progress" aria-live="polite">
                <p data-testid="evaluate-progress">{ words.clone() }</p>
                <progress aria-label={words} value={value.map(|value| value.to_string())} max={own.count().to_string()} />
            </div>
        }
    };
    match &own.progress {
        Progress::Idle => Html::default(),
        Progress::Wanted | Progress::Beginning => bar("Beginning …".into(), None),
        Progress::Running { measured, .. } => {
            let left = if *measured > 0 {
                let each = (js_sys::Date::now() - own.began) / *measured as f64;
                let left = each * (own.count() - measured) as f64;
                format!(", {} left", format::duration(left))
            } else {
                String::new()
            };
            let latest = own.latest.as_ref().map(|result| format!(": {}", result.name));
            bar(
                format!(
                    "{measured} of {} images{left}{}",
                    own.count(),
                    latest.unwrap_or_default()
                ),
                Some(*measured),
            )
        }
        Progress::Finishing => bar("Computing figures …".into(), Some(own.count())),
        Progress::Failed(message) => html! {
            <p class="warning-text" role="alert" data-testid="evaluate-error">{ icon(icons::WARNING) }{ &**message }</p>
        },
        Progress::Done(_) => Html::default(),
    }
}
