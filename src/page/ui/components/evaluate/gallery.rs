//! The images of an evaluation, with true and found outlines.

use std::rc::Rc;

use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::ResultProps;
use crate::page::shared::content::UserFile;
use crate::page::ui::components::controls::{Choice, Select};
use crate::page::ui::components::jpeg::Jpeg;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, EvaluateAction, Order, Room};
use destseg_engine::evaluation::{Evaluation, ImageResult};
use destseg_engine::report;

/// Images shown at first, and more with each click.
const SHOWN: usize = 24;

/// All images, in the order that the visitor chose.
#[component]
pub(crate) fn Gallery(props: &ResultProps) -> Html {
    let ResultProps { page, evaluation } = props;
    let own = &page.state.evaluate;
    let count = use_state(|| SHOWN);
    let threshold = own.threshold();
    let indices = match own.order {
        Order::Error => evaluation.by_error(threshold),
        Order::Score => evaluation.by_score(),
        Order::Name => (0..evaluation.images.len()).collect(),
    };
    let orders: Vec<Choice> = Order::ALL
        .into_iter()
        .map(|order| (order.id().into(), order.label().into()))
        .collect();
    let sort = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |id: String| {
            let order = Order::ALL
                .into_iter()
                .find(|order| order.id() == id)
                .unwrap_or_default();
            dispatch.dispatch(Action::Evaluate(EvaluateAction::Order(order)));
        })
    };
    let more = {
        let (setter, now) = (count.setter(), *count);
        move |_: MouseEvent| setter.set(now + SHOWN)
    };
    let wrong = evaluation
        .images
        .iter()
        .filter(|image| image.is_wrong(threshold))
        .count();
    html! {
        <section class="panel" aria-labelledby="gallery-title" data-testid="gallery">
            <h2 id="gallery-title">{ "Images" }
                <span class="count" data-testid="wrong-count">{ format!("{wrong} wrong at this threshold") }</span>
            </h2>
            <div class="gallery-head">
                <Select label="Order" testid="gallery-order" choices={orders} value={own.order.id()} onchange={sort} />
                <p class="outline-key"><span class="truth"></span>{ "true defect" }
                    <span class="found"></span>{ "found by the model" }</p>
            </div>
            if let Some(index) = own.shown {
                <Detail page={page.clone()} evaluation={evaluation.clone()} {index} />
            }
            <ul class="gallery">
                { for indices.iter().take(*count).map(|&index| entry(props, index, threshold)) }
            </ul>
            if indices.len() > *count {
                <button class="button" type="button" onclick={more}>
                    { format!("Show more ({} left)", indices.len() - *count) }
                </button>
            }
        </section>
    }
}

fn entry(props: &ResultProps, index: usize, threshold: f32) -> Html {
    let ResultProps { page, evaluation } = props;
    let image = &evaluation.images[index];
    let (class, words) = report::judged(&image.class, image.score, threshold);
    let show = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |_: MouseEvent| {
            dispatch.dispatch(Action::Evaluate(EvaluateAction::Show(Some(index))));
        })
    };
    html! {
        <li key={index} class={classes!("gallery-item", class)} data-testid="gallery-item" data-name={image.name.clone()}
            data-judged={class}>
            <button type="button" onclick={show} aria-label={format!("{words}: {}", image.name)}>
                { outlined(page, evaluation, index) }
                <b>{ words }</b>
                <span>{ image.score.map(|score| format!("score {}", format::value(score))) }</span>
                if image.unfamiliar == Some(true) {
                    <span class="badge unfamiliar">{ "unfamiliar" }</span>
                }
                <span class="gallery-name">{ &image.name }</span>
            </button>
        </li>
    }
}

/// A picture and its outlines.
fn outlined(page: &crate::page::ui::components::Page, evaluation: &Evaluation, index: usize) -> Html {
    let image = &evaluation.images[index];
    let picture = page
        .state
        .evaluate
        .pictures
        .get(index)
        .filter(|picture| !picture.is_empty());
    let side = evaluation.side;
    match picture {
        Some(picture) => html! {
            <span class="outlined">
                <Jpeg bytes={picture.clone()} size={image.size} />
                <svg viewBox={format!("0 0 {side} {side}")} preserveAspectRatio="none" focusable="false" aria-hidden="true">
                    <path class="truth" d={report::path(&image.truth)} />
                    <path class="found" d={report::path(&image.found)} />
                </svg>
            </span>
        },
        None => html! { <span class="outlined empty">{ icon(icons::WARNING) }</span> },
    }
}

/// One image large, with what is known of it.
#[component]
fn Detail(props: &DetailProps) -> Html {
    let DetailProps {
        page,
        evaluation,
        index,
    } = props;
    let shown = use_node_ref();
    {
        // it stands above the list, perhaps far away from what was clicked
        let shown = shown.clone();
        use_effect_with(*index, move |_| {
            if let Some(element) = shown.cast::<Element>() {
                element.scroll_into_view();
                // the reader's place for keyboards and screen readers, if it can be moved
                let _ = shown.cast::<HtmlElement>().map(|element| element.focus());
            }
        });
    }
    let Some(image) = evaluation.images.get(*index) else {
        return Html::default();
    };
    let threshold = page.state.evaluate.threshold();
    let (_, words) = report::judged(&image.class, image.score, threshold);
    let close = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Evaluate(EvaluateAction::Show(None))))
    };
    let inspect = {
        let (dispatch, content) = (page.dispatch.clone(), page.state.evaluate.contents(*index));
        let path: Rc<str> = image.name.as_str().into();
        Callback::from(move |_: MouseEvent| {
            if let Some((content, _)) = &content {
                let content = content.clone();
                dispatch.dispatch(Action::Enter(Room::Inspect));
                let images = vec![UserFile {
                    path: path.clone(),
                    content,
                }];
                dispatch.dispatch(Action::Add(images.into()));
            }
        })
    };
    html! {
        <div class="gallery-detail" data-testid="gallery-detail" ref={shown} tabindex="-1">
            { outlined(page, evaluation, *index) }
            <div>
                <h3>{ &image.name }</h3>
                <dl class="facts">
                    <div><dt>{ "Decision" }</dt><dd>{ words }</dd></div>
                    <div><dt>{ "Score" }</dt>
                        <dd>{ image.score.map_or_else(|| "n/a".into(), format::value) }</dd></div>
                    <div><dt>{ "Size" }</dt><dd>{ format::size(image.size.0, image.size.1) }</dd></div>
                    <div><dt>{ "Time" }</dt><dd>{ format::time(image.milliseconds) }</dd></div>
                </dl>
                { instances(evaluation, image) }
                if let Some(problem) = &image.problem {
                    <p class="warning-text">{ icon(icons::WARNING) }{ problem }</p>
                }
                <div class="dialog-buttons start">
                    <button class="button" type="button" data-testid="detail-inspect" onclick={inspect}>
                        { "Look at its maps" }
                    </button>
                    <button class="button" type="button" onclick={close}>{ "Close" }</button>
                </div>
            </div>
        </div>
    }
}

/// Properties of [`Detail`].
#[derive(PartialEq, Properties)]
struct DetailProps {
    page: crate::page::ui::components::Page,
    evaluation: Rc<Evaluation>,
    index: usize,
}

/// Which true defects are found.
fn instances(evaluation: &Evaluation, image: &ImageResult) -> Html {
    let Some(instances) = &image.instances else {
        return match image.class.is_defective() == Some(true) {
            true => html! { <p class="hint">{ "No mask says where its defects are." }</p> },
            false => Html::default(),
        };
    };
    let threshold = evaluation.thresholds.map(|thresholds| thresholds.pixel);
    let entries = instances.iter().enumerate().map(|(number, instance)| {
        let (mark, words) = match threshold {
            Some(threshold) if instance.found_at >= threshold => (icons::CHECK, "found"),
            Some(_) => (icons::CLOSE, "missed"),
            None => (icons::PICTURE, "not decided"),
        };
        let share = 100.0 * instance.area as f32 / (evaluation.side * evaluation.side).max(1) as f32;
        html! {
            <li data-testid="instance" data-found={words}>
                { icon(mark) }
                { format!("Defect {}: {words} (half of it reaches {}), {share:.1} % of the image", number + 1,
                    format::value(instance.found_at)) }
            </li>
        }
    });
    html! { <ul class="instances">{ for entries }</ul> }
}
