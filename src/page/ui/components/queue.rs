//! The images of this visit. Of a long list only the part around what is seen is in the page.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::Page;
use super::jpeg::Jpeg;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Dispatch, Item, ItemId, Listing, State, Status};
use destseg_engine::verdict::decision::Verdict;

/// Height of a row in pixels, as in the style sheet.
const ROW: usize = 54;
/// Rows that are drawn.
const ROWS: usize = 48;
/// The first row drawn is a multiple of this, and at least as many lie before those seen.
const STEP: usize = 8;
/// From this many images on there is a choice which are listed.
const LONG: usize = 8;
/// Pixels of a thumbnail's side on the page.
const THUMBNAIL: u32 = 44;

/// Thumbnails, names, scores and states. Arrow keys move, Delete removes.
#[component]
pub(crate) fn Queue(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let list = use_node_ref();
    let first = use_state_eq(|| 0);
    let items = state.listed();
    let place = items.iter().position(|item| Some(item.id) == state.selected);
    {
        let list = list.clone();
        use_effect_with((state.selected, state.listing), move |_| {
            if let (Some(list), Some(place)) = (list.cast::<HtmlElement>(), place) {
                reveal(&list, place);
            }
        });
    }
    let onscroll = {
        let first = first.setter();
        move |event: Event| {
            if let Some(list) = event.target().and_then(|list| list.dyn_into::<Element>().ok()) {
                let seen = list.scroll_top().max(0) as usize / ROW;
                first.set((seen / STEP).saturating_sub(1) * STEP);
            }
        }
    };
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
    let link = |words: &'static str, testid: &'static str, act: fn() -> Action| {
        let dispatch = dispatch.clone();
        html! {
            <button class="link" type="button" data-testid={testid}
                onclick={move |_: MouseEvent| dispatch.dispatch(act())}>{ words }</button>
        }
    };
    html! {
        <section class="panel queue" aria-labelledby="queue-title">
            <h2 id="queue-title">
                { "Queue" }
                <span class="count">{ summary(page) }</span>
                if !state.removed.is_empty() {
                    { link("Undo", "queue-undo", || Action::Undo) }
                }
                if !state.items.is_empty() {
                    { link("Clear", "clear", || Action::Clear) }
                }
            </h2>
            if state.items.is_empty() && !state.awaits_model() {
                <p class="hint">{ "No images yet." }</p>
            }
            if state.items.len() >= LONG {
                { tools(page) }
            }
            <ul ref={list} class="queue-list" data-testid="queue" data-over={over(state).to_string()}
                {onkeydown} {onscroll}>
                { rows(page, &items, *first, place) }
            </ul>
        </section>
    }
}

/// Which images are listed, and the way to the next defect.
fn tools(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let own = state.listing;
    let toggle = |text: &'static str, is_on: bool, next: Listing| {
        let dispatch = dispatch.clone();
        html! {
            <button class="button" type="button" aria-pressed={is_on.to_string()}
                onclick={move |_: MouseEvent| dispatch.dispatch(Action::List(next))}>{ text }</button>
        }
    };
    let only_defects = Listing {
        only_defects: !own.only_defects,
        ..own
    };
    let by_score = Listing {
        by_score: !own.by_score,
        ..own
    };
    let next = {
        let dispatch = dispatch.clone();
        move |_: MouseEvent| dispatch.dispatch(Action::NextDefect)
    };
    html! {
        <div class="queue-tools" role="group" aria-label="List">
            { toggle("Defects", own.only_defects, only_defects) }
            { toggle("By score", own.by_score, by_score) }
            <button class="button" type="button" title="Key N" data-testid="next-defect" onclick={next}>{ "Next defect" }</button>
        </div>
    }
}

/// Images that are analysed or cannot be.
fn over(state: &State) -> usize {
    let is_over = |item: &&Item| matches!(item.status, Status::Done(_) | Status::Failed(_));
    state.items.iter().filter(is_over).count()
}

/// The rows from the first one on and the selected one, with gaps as high as the rows that are left out.
fn rows(page: &Page, items: &[&Item], first: usize, selected: Option<usize>) -> Html {
    let first = first.min(items.len().saturating_sub(ROWS));
    let last = (first + ROWS).min(items.len());
    let before = selected.filter(|&place| place < first);
    let after = selected.filter(|&place| place >= last);
    // each has a key, or else rows would become others when one is added
    let gap = |from: usize, to: usize| {
        let height = ((to - from) * ROW).to_string();
        let svg = html! { <svg class="queue-gap" width="1" {height} /> };
        (to > from).then(|| html! { <li key={format!("gap {to}")} aria-hidden="true">{ svg }</li> })
    };
    let mut next = 0;
    let mut list = Vec::new();
    for place in before.into_iter().chain(first..last).chain(after) {
        let item = items[place];
        list.extend(gap(next, place));
        list.push(html! {
            <Row key={item.id} item={Item::clone(item)} place={(place + 1, items.len())} dispatch={page.dispatch.clone()}
                verdict={item.info().map(|info| page.state.kind(info))} is_selected={selected == Some(place)} />
        });
        next = place + 1;
    }
    list.extend(gap(next, items.len()));
    list.into_iter().collect()
}

/// How many images there are, how many are over and how many of them are defective.
fn summary(page: &Page) -> String {
    let state = &page.state;
    let results = state.items.iter().filter_map(Item::info);
    let kinds: Vec<Verdict> = results.map(|info| state.kind(info)).collect();
    let count = |kind| kinds.iter().filter(|&&own| own == kind).count();
    let mut words = match (state.items.len(), count(Verdict::Defective)) {
        (0, _) => return String::new(),
        (1, _) => return "1 image".into(),
        (images, 1) => format!("{images} images, 1 defect"),
        (images, defects) => format!("{images} images, {defects} defects"),
    };
    match over(state) {
        over if over < state.items.len() => words.insert_str(0, &format!("{over} of ")),
        _ => {}
    }
    match count(Verdict::Unfamiliar) {
        0 => {}
        unfamiliar => words += &format!(", {unfamiliar} unfamiliar"),
    }
    words
}

/// Properties of [`Row`].
#[derive(PartialEq, Properties)]
struct RowProps {
    item: Item,
    /// Its place, and how many there are.
    place: (usize, usize),
    verdict: Option<Verdict>,
    is_selected: bool,
    dispatch: Dispatch,
}

/// An image of the queue.
#[component]
fn Row(props: &RowProps) -> Html {
    let item = &props.item;
    let send = |make: fn(ItemId) -> Action| {
        let (dispatch, id) = (props.dispatch.clone(), item.id);
        Callback::from(move |_: MouseEvent| dispatch.dispatch(make(id)))
    };
    let score = item.info().map(|info| info.score.to_string());
    let (place, all) = props.place;
    html! {
        <li class={classes!("queue-item", props.is_selected.then_some("selected"))} data-testid="queue-item"
            aria-posinset={place.to_string()} aria-setsize={all.to_string()}
            data-state={item.status.id()} data-name={item.name.to_string()} data-score={score}>
            <button class="queue-select" type="button" aria-current={props.is_selected.then_some("true")}
                onclick={send(Action::Select)}>
                { thumbnail(item) }
                <span class="queue-name">{ &*item.name }</span>
                { badge(item, props.verdict) }
            </button>
            <button class="icon-button" type="button" aria-label={format!("Remove {}", item.name)}
                onclick={send(Action::Remove)}>
                { icon(icons::CLOSE) }
            </button>
        </li>
    }
}

fn thumbnail(item: &Item) -> Html {
    match (&item.example, &item.status) {
        (Some(example), _) => {
            html! { <img class="thumbnail" src={example.file.clone()} width="44" height="44" alt="" /> }
        }
        (None, Status::Failed(_)) => html! { <span class="thumbnail">{ icon(icons::WARNING) }</span> },
        (None, _) if item.thumbnail.is_empty() => {
            html! { <span class="thumbnail">{ icon(icons::PICTURE) }</span> }
        }
        (None, _) => {
            html! { <Jpeg bytes={item.thumbnail.clone()} size={(THUMBNAIL, THUMBNAIL)} class="thumbnail" /> }
        }
    }
}

/// The state in a word or the score.
fn badge(item: &Item, verdict: Option<Verdict>) -> Html {
    let (class, words) = match (&item.status, verdict) {
        (Status::Failed(message), _) => {
            return html! { <span class="badge failed" title={message.to_string()}>{ "not usable" }</span> };
        }
        (Status::Working, _) => ("working", "analysing".into()),
        (Status::Done(_), Some(Verdict::Unfamiliar)) => ("unfamiliar", "unfamiliar".into()),
        (Status::Done(info), Some(Verdict::Good)) => ("good", format!("good {}", format::value(info.score))),
        (Status::Done(info), _) => ("defect", format!("defect {}", format::value(info.score))),
        (Status::Waiting, _) => ("", "waiting".into()),
    };
    html! { <span class={classes!("badge", class)}>{ words }</span> }
}

/// Scrolls the list to a row, and moves the focus there while it is in the list.
fn reveal(list: &HtmlElement, place: usize) {
    let (top, height) = ((place * ROW) as i32, list.client_height());
    let most = top.max(0);
    let least = (top + ROW as i32 - height).max(0);
    let now = list.scroll_top();
    if now > most || now < least {
        list.set_scroll_top(now.clamp(least.min(most), most));
    }
    let focus = || {
        let current = list.query_selector("[aria-current]").ok()??;
        let active = web_sys::window()?.document()?.active_element()?;
        if list.contains(Some(&active)) {
            current.dyn_into::<HtmlElement>().ok()?.focus().ok()?;
        }
        Some(())
    };
    // nothing to focus: the queue is empty
    let _ = focus();
}
