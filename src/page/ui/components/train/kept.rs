//! What the browser keeps: inspectors, and trainings that were interrupted.

use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::page::protocol::KeptRun;
use crate::page::ui::components::Page;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Inspector, ModelSource, TrainAction, Usage};
use crate::page::ui::{format, store};
use destseg_engine::error::sentence;

/// The lists; nothing where there is nothing.
#[component]
pub(crate) fn KeptInspectors(page: &Page) -> Html {
    let train = &page.state.train;
    // asked about before it is deleted
    let doomed = use_state(|| None::<String>);
    html! {
        <>
            if !train.unfinished.is_empty() && !train.is_training() {
                <section class="panel" aria-labelledby="unfinished-title">
                    <h2 id="unfinished-title">{ "Interrupted" }</h2>
                    <ul class="kept-list">{ for train.unfinished.iter().map(|run| unfinished(page, run)) }</ul>
                </section>
            }
            <section class="panel" aria-labelledby="kept-title">
                <h2 id="kept-title">{ "Saved in this browser" }</h2>
                if train.kept.is_empty() {
                    <p class="hint">{ "Inspectors that you train are saved here, and can be downloaded." }</p>
                }
                <ul class="kept-list">
                    { for train.kept.iter().rev().map(|inspector| entry(page, inspector, &doomed)) }
                </ul>
                if let Some(Usage { used, quota, stays }) = train.usage {
                    <p class="hint" data-testid="storage">
                        { format!("The page uses {} of the {} that this browser gives it.", format::memory(used as u64),
                            format::memory(quota as u64)) }
                        { if stays { " It is kept until you delete it." } else {
                            " The browser may clear it when the disk is full: download what you want to keep." } }
                    </p>
                }
            </section>
        </>
    }
}

fn unfinished(page: &Page, run: &KeptRun) -> Html {
    let resume = {
        let (dispatch, id) = (page.dispatch.clone(), run.info.run.clone());
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(TrainAction::Resume(id.clone()))))
    };
    let forget = {
        let (dispatch, run) = (page.dispatch.clone(), run.clone());
        Callback::from(move |_: MouseEvent| store::forget(&run, &dispatch))
    };
    html! {
        <li key={run.info.run.clone()} class="kept" data-testid="unfinished">
            <div class="kept-words">
                <strong>{ &run.info.name }</strong>
                <span class="hint">{ format!("stopped after step {} of {}", run.info.done, run.info.total_steps) }</span>
            </div>
            <div class="kept-buttons">
                <button class="button" type="button" data-testid="resume" onclick={resume}>{ "Resume" }</button>
                <button class="link" type="button" data-testid="forget" onclick={forget}>{ "Discard" }</button>
            </div>
        </li>
    }
}

fn entry(page: &Page, inspector: &Inspector, doomed: &UseStateHandle<Option<String>>) -> Html {
    let with = |work: fn(&Inspector, &crate::page::ui::state::Dispatch)| {
        let (dispatch, inspector) = (page.dispatch.clone(), inspector.clone());
        Callback::from(move |_: MouseEvent| work(&inspector, &dispatch))
    };
    let rename = {
        let (dispatch, inspector) = (page.dispatch.clone(), inspector.clone());
        Callback::from(move |event: Event| {
            let input = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            let name = input
                .map(|input| input.value().trim().to_owned())
                .unwrap_or_default();
            if !name.is_empty() {
                store::rename(&inspector, name, &dispatch);
            }
        })
    };
    let in_use =
        matches!(page.state.shown_source(), Some(ModelSource::Kept { id, .. }) if **id == *inspector.id);
    let asked = doomed.as_deref() == Some(&inspector.id);
    let ask = {
        let (doomed, id) = (doomed.clone(), inspector.id.clone());
        Callback::from(move |_: MouseEvent| doomed.set(if asked { None } else { Some(id.clone()) }))
    };
    html! {
        <li key={inspector.id.clone()} class={classes!("kept", in_use.then_some("in-use"))} data-testid="inspector"
            data-name={inspector.name.clone()}>
            if let Some(picture) = &inspector.picture {
                <img class="kept-picture" src={picture.clone()} alt="" width="48" height="48" />
            } else {
                <span class="kept-picture">{ icon(icons::PICTURE) }</span>
            }
            <div class="kept-words">
                <input class="text" type="text" maxlength="60" value={inspector.name.clone()} aria-label="Name"
                    onchange={rename} />
                <span class="hint">
                    { format!("{}, {} MB, {} images", format::date(inspector.trained), format::megabytes(inspector.bytes),
                        inspector.images) }
                </span>
                if let Some(quality) = &inspector.quality {
                    <span class="hint" data-testid="kept-quality">
                        { sentence(&quality.summary()) }{ if quality.ready { "" } else { " Not ready." } }
                    </span>
                }
            </div>
            <div class="kept-buttons">
                <button class="button" type="button" data-testid="open-kept" disabled={in_use} onclick={with(store::open)}>
                    { if in_use { "In use" } else { "Use" } }
                </button>
                <button class="link" type="button" onclick={with(store::download)}>{ "Download" }</button>
                <button class="link" type="button" data-testid="download-onnx" onclick={with(store::download_onnx)}>
                    { "Download as ONNX" }
                </button>
                <button class="link" type="button" data-testid="copy-kept" onclick={with(store::duplicate)}>{ "Copy" }</button>
                if asked {
                    <button class="link danger" type="button" data-testid="really-delete" onclick={with(store::delete)}>
                        { "Delete permanently" }
                    </button>
                }
                <button class="link" type="button" data-testid="delete" onclick={ask}>
                    { if asked { "Cancel" } else { "Delete" } }
                </button>
            </div>
        </li>
    }
}
