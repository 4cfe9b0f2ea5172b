//! Bundled images to try the model on.

use std::rc::Rc;

use yew::prelude::*;

use super::Page;
use crate::page::protocol::Example;
use crate::page::ui::state::Action;

/// Tiles that take as much room as the examples of any shipped model.
const AWAITED: usize = 8;

/// The model's examples, good and defective.
#[component]
pub(crate) fn Examples(page: &Page) -> Html {
    let model = page.state.shelf_model();
    let Some(model) = model.filter(|model| !model.examples.is_empty()) else {
        return if page.state.awaits_examples() {
            awaited()
        } else {
            Html::default()
        };
    };
    let current = page.state.current().and_then(|item| item.example.clone());
    let examples = model.examples.iter().map(|example| {
        let is_current = current.as_deref() == Some(example);
        html! { <li key={example.file.clone()}>{ button(page, example, is_current) }</li> }
    });
    html! {
        <section class="panel examples" aria-labelledby="examples-title">
            <h2 id="examples-title">{ "Examples" }<span class="count">{ &model.name }</span></h2>
            <ul class="example-list">{ for examples }</ul>
        </section>
    }
}

/// As high as the examples will be, so that nothing moves when they arrive.
fn awaited() -> Html {
    let tile = html! {
        <li class="example"><span class="example-blank" /><span class="example-label">{ "\u{a0}" }</span></li>
    };
    html! {
        <section class="panel examples" aria-hidden="true">
            <h2>{ "Examples" }</h2>
            <ul class="example-list">{ for std::iter::repeat_n(tile, AWAITED) }</ul>
        </section>
    }
}

fn button(page: &Page, example: &Example, is_current: bool) -> Html {
    let dispatch = page.dispatch.clone();
    let choice = Rc::new(example.clone());
    let onclick = move |_: MouseEvent| dispatch.dispatch(Action::AddExample(choice.clone()));
    let label = example.label.replace('_', " ");
    let mark = if example.label == "good" {
        "dot good"
    } else {
        "dot defect"
    };
    html! {
        <button class="example" type="button" aria-pressed={is_current.to_string()} title={example.alt.clone()}
            data-testid="example" data-label={example.label.clone()} data-file={example.file.clone()} {onclick}>
            <img src={example.file.clone()} alt={example.alt.clone()} width="80" height="80" />
            <span class="example-label"><span class={mark} />{ label }</span>
        </button>
    }
}
