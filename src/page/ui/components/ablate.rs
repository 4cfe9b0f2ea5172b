//! What each component of the network is worth: the same image without it.

use std::rc::Rc;

use yew::prelude::*;

use super::Page;
use super::column::Column;
use crate::page::protocol::PredictionSummary;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Comparison, Item, Prediction, State};
use destseg_engine::config::Component;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::verdict::calibration::Calibration;

/// Name of a component, and what becomes of the result without it.
fn words(component: Component) -> (&'static str, &'static str) {
    match component {
        Component::Denoising => (
            "Denoising student",
            "Its student has only seen undamaged pictures: nobody taught it to repair, so it follows the teacher into \
             the defect, and the two disagree less.",
        ),
        Component::EncoderDecoder => (
            "Encoder-decoder",
            "Its student is a plain encoder without a narrow passage: it can copy small details instead of \
             describing what should be there.",
        ),
        Component::Segmentation => (
            "Segmentation network",
            "The product of the three distances decides alone: nobody learned which disagreements are usual, so good \
             parts stand out, too, and outlines are coarse.",
        ),
    }
}

/// Properties of [`Ablation`].
#[derive(Properties)]
pub(crate) struct AblationProps {
    pub(crate) page: Page,
    pub(crate) item: Item,
    pub(crate) prediction: Rc<Prediction>,
}

impl PartialEq for AblationProps {
    fn eq(&self, other: &Self) -> bool {
        self.page == other.page && Rc::ptr_eq(&self.prediction, &other.prediction)
    }
}

/// A switch for each component, and both networks' maps.
#[component]
pub(crate) fn Ablation(props: &AblationProps) -> Html {
    let AblationProps {
        page,
        item,
        prediction,
    } = props;
    let Page { state, dispatch } = page;
    let key = Rc::as_ptr(prediction) as usize;
    let whole = use_memo(key, |_| only(state, prediction, prediction.segmentation.as_ref()));
    let product = use_memo(key, |_| only(state, prediction, None));
    let own = &state.ablate;
    let switches = Component::ALL
        .into_iter()
        .filter(|&component| is_there(state, component));
    let switches: Vec<Html> = switches
        .map(|component| {
            let dispatch = dispatch.clone();
            let is_chosen = own.chosen == Some(component);
            let next = (!is_chosen).then_some(component);
            html! {
                <button class="button" type="button" aria-pressed={is_chosen.to_string()}
                    data-testid={format!("without-{}", component.id())}
                    onclick={move |_: MouseEvent| dispatch.dispatch(Action::Ablate(next))}>
                    { words(component).0 }
                </button>
            }
        })
        .collect();
    if switches.is_empty() {
        return Html::default();
    }
    let chosen = own.chosen.map(|component| {
        let pair = match component {
            Component::Segmentation => Some([(*whole).clone(), (*product).clone()]),
            _ => own
                .of(None, item.id)
                .cloned()
                .zip(own.of(Some(component), item.id).cloned())
                .map(<[_; 2]>::from),
        };
        (component, pair)
    });
    html! {
        <section class="study" aria-labelledby="ablation-title" data-testid="ablation">
            <h3 id="ablation-title">{ "What each part is worth" }</h3>
            <p class="hint">
                { "One part of the method left out, all else the same." }
                if is_there(state, Component::Denoising) {
                    { " For the first two, small networks were trained alike." }
                }
                { " Leave out:" }
            </p>
            <div class="collect-buttons" role="group" aria-label="Leave out">{ for switches }</div>
            if let Some((component, pair)) = chosen {
                <p data-testid="ablation-words">{ words(component).1 }</p>
                if let Some([whole, rest]) = pair {
                    <ol class="columns">
                        <Column key="whole" page={page.clone()} item={item.clone()} comparison={whole} index={0}
                            name="The whole network" />
                        <Column key={component.id()} page={page.clone()} item={item.clone()} comparison={rest} index={0}
                            name={format!("Without the {}", words(component).0.to_lowercase())} />
                    </ol>
                } else if let Some(message) = &own.error {
                    <p class="warning-text" role="alert" data-testid="ablation-error">
                        { icon(icons::WARNING) }{ &**message }
                    </p>
                } else {
                    <p class="hint" aria-live="polite">{ "Loading and running both networks …" }</p>
                }
            }
        </section>
    }
}

/// Whether the loaded network can be seen without a component.
fn is_there(state: &State, component: Component) -> bool {
    let segments = state.model.as_ref().is_some_and(|model| model.info.segmentation);
    match component {
        Component::Segmentation => segments,
        _ => [None, Some(component)]
            .into_iter()
            .all(|lacks| state.ablated(lacks).is_some()),
    }
}

/// What the loaded network says: by its segmentation network, or by the product of distances.
fn only(state: &State, prediction: &Prediction, segmentation: Option<&AnomalyMap>) -> Rc<Comparison> {
    let map = segmentation.unwrap_or(&prediction.dest).clone();
    let model = state.model.as_ref();
    let summary = PredictionSummary {
        method: model.map(|model| model.info.method).unwrap_or_default(),
        score: match segmentation {
            Some(_) => prediction.info.score,
            None => prediction.info.dest_score,
        },
        // calibration is of the map that decides
        thresholds: model
            .and_then(|model| model.info.calibration.as_ref())
            .map(Calibration::thresholds)
            .filter(|_| segmentation.is_some() || prediction.segmentation.is_none()),
        probabilities: segmentation.is_some(),
        size: (map.width(), map.height()),
        unfamiliar: prediction.info.unfamiliar,
        ms: prediction.info.inference_ms,
    };
    Comparison {
        predictions: vec![(summary, map)],
    }
    .into()
}
