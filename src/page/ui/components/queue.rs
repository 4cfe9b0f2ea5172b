//! The images of this visit.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::Page;
use super::thumbnail::Thumbnail;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Item, ItemId, Status};
use destseg_engine::verdict::decision;

/// Thumbnails, names, scores and states. Arrow keys move, Delete removes.
#[component]
pub(crate) fn Queue(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let list = use_node_ref();
    {
        let list = list.clone();
        use_effect_with(state.selected, move |_| keep_focus(&list));
    }
    let onkeydown = {
        let (dispatch, selected) = (dispatch.clone(), state.selected);
        Callback::from(move |event: KeyboardEvent| {
            let action = match (event.key().as_str(), selected) {
                ("ArrowUp" | "ArrowLeft", _) => Action::Move(-1),
                ("ArrowDown" | "ArrowRight", _) => Action::Move(1),
                ("Home", _) => Action::Move(isize::MIN),
                ("End", _) => Action::Move(isize::MAX),
                ("Delete", Some(id)) => Action::Remove(id),
                _ => return,
            };
            event.prevent_default();
            dispatch.dispatch(action);
        })
    };
    let clear = {
        let dispatch = dispatch.clone();
        move |_: MouseEvent| dispatch.dispatch(Action::Clear)
    };
    let items = state.items.iter().map(|item| entry(page, item));
    html! {
        <section class="panel queue" aria-labelledby="queue-title">
            <h2 id="queue-title">
                { "Queue" }
                <span class="count">{ summary(page) }</span>
                if !state.items.is_empty() {
                    <button class="link" type="button" data-testid="clear" onclick={clear}>{ "Clear" }</button>
                }
            </h2>
            if state.items.is_empty() {
                <p class="hint">{ "No images yet." }</p>
            }
            <ul ref={list} class="queue-list" data-testid="queue" {onkeydown}>{ for items }</ul>
        </section>
    }
}

/// How many images there are and how many of them are defective.
fn summary(page: &Page) -> String {
    let state = &page.state;
    let results = state.items.iter().filter_map(Item::prediction);
    let kinds: Vec<decision::Verdict> = results.map(|result| state.verdict(result).kind()).collect();
    let count = |kind| kinds.iter().filter(|&&own| own == kind).count();
    let mut words = match (state.items.len(), count(decision::Verdict::Defective)) {
        (0, _) => return String::new(),
        (1, _) => return "1 image".into(),
        (images, 1) => format!("{images} images, 1 defect"),
        (images, defects) => format!("{images} images, {defects} defects"),
    };
    match count(decision::Verdict::Unfamiliar) {
        0 => {}
        unfamiliar => words += &format!(", {unfamiliar} unfamiliar"),
    }
    words
}

fn entry(page: &Page, item: &Item) -> Html {
    let send = |make: fn(ItemId) -> Action| {
        let (dispatch, id) = (page.dispatch.clone(), item.id);
        Callback::from(move |_: MouseEvent| dispatch.dispatch(make(id)))
    };
    let selected = page.state.selected == Some(item.id);
    let score = item
        .prediction()
        .map(|prediction| prediction.info.score.to_string());
    html! {
        <li key={item.id} class={classes!("queue-item", selected.then_some("selected"))} data-testid="queue-item"
            data-state={item.status.id()} data-name={item.name.to_string()} data-score={score}>
            <button class="queue-select" type="button" aria-current={selected.then_some("true")}
                onclick={send(Action::Select)}>
                <Thumbnail item={item.clone()} />
                <span class="queue-name">{ &*item.name }</span>
                { badge(page, item) }
            </button>
            <button class="icon-button" type="button" aria-label={format!("Remove {}", item.name)}
                onclick={send(Action::Remove)}>
                { icon(icons::CLOSE) }
            </button>
        </li>
    }
}

/// The state in a word or the score.
fn badge(page: &Page, item: &Item) -> Html {
    match &item.status {
        Status::Waiting => html! { <span class="badge">{ "waiting" }</span> },
        Status::Working => html! { <span class="badge working">{ "analysing" }</span> },
        Status::Failed(message) => {
            html! { <span class="badge failed" title={message.to_string()}>{ "not usable" }</span> }
        }
        Status::Done(prediction) => {
            let verdict = page.state.verdict(prediction);
            let word = verdict.word();
            let score = match verdict.kind() {
                // says nothing about another part
                decision::Verdict::Unfamiliar => String::new(),
                decision::Verdict::Good | decision::Verdict::Defective => {
                    format!(" {}", format::value(verdict.score))
                }
            };
            html! { <span class={classes!("badge", word)}>{ word }{ score }</span> }
        }
    }
}

/// Moves the focus along with the selection while it is in the list.
fn keep_focus(list: &NodeRef) {
    let focus = || {
        let list = list.cast::<Element>()?;
        let current = list
            .query_selector("[aria-current]")
            .ok()??
            .dyn_into::<HtmlElement>()
            .ok()?;
        let active = web_sys::window()?.document()?.active_element()?;
        if list.contains(Some(&active)) {
            current.focus().ok()?;
        }
        Some(())
    };
    // nothing to focus: the queue is empty
    let _ = focus();
}
