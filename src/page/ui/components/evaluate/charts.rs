//! Histogram with a threshold to drag, its consequences, and the curves.

use wasm_bindgen::JsCast as _;
use web_sys::Element;
use yew::prelude::*;

use super::ResultProps;
use crate::page::ui::components::controls::Slider;
use crate::page::ui::format;
use crate::page::ui::state::{Action, EvaluateAction, ThresholdChange};
use destseg_engine::report::chart::{self, Axes, Histogram};
use destseg_engine::report::{self, Drawn};
use destseg_engine::verdict::calibration::SetBy;

/// The share of the good images that a suggested threshold stops at most.
const FEW_ALARMS: f64 = 0.01;

/// All charts of an evaluation.
#[component]
pub(crate) fn Charts(props: &ResultProps) -> Html {
    let ResultProps { page, evaluation } = props;
    let curves = report::curves(evaluation);
    let threshold = page.state.evaluate.threshold();
    let is_measured = page.state.is_measured();
    let own = page.state.calibration().filter(|_| is_measured);
    let (in_force, set_by) = (own.map(|own| own.image_threshold), own.map(|own| own.set_by));
    let move_to = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |threshold: Option<f32>| {
            dispatch.dispatch(Action::Evaluate(EvaluateAction::Threshold(threshold)));
        })
    };
    let (good, defective): (Vec<_>, Vec<_>) = evaluation.scores().partition(|&(_, defective)| !defective);
    let scores = |of: Vec<(f32, bool)>| of.into_iter().map(|(score, _)| score).collect::<Vec<f32>>();
    let (good, defective) = (scores(good), scores(defective));
    let with = |threshold| Histogram {
        good: &good,
        defective: &defective,
        threshold,
    };
    // the scale stays while the threshold moves
    let axes = with(evaluation.threshold()).axes();
    let drag = {
        let move_to = move_to.clone();
        Callback::from(move |event: PointerEvent| {
            // a primary button that is held
            if event.buttons() & 1 == 0 {
                return;
            }
            let Some(element) = plot(&event) else { return };
            // an element that cannot hold the pointer only loses a drag that leaves it
            let _held = element.set_pointer_capture(event.pointer_id());
            if let Some(share) = share(&event) {
                move_to.emit(Some(axes.value_at(share)));
            }
        })
    };
    let counts = evaluation.confusion(threshold);
    let span = axes.x.1 - axes.x.0;
    let slide = move_to.reform(move |share: f32| Some(axes.x.0 + share * span));
    let back = move_to.reform(move |_: MouseEvent| in_force);
    let put = |change: ThresholdChange| {
        let dispatch = page.dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Threshold(change.clone())))
    };
    let (use_it, restore) = (
        put(ThresholdChange::Evaluated(threshold)),
        put(ThresholdChange::Restore),
    );
    let suggestions = [
        (
            "threshold-alarms",
            "At most 1 % false alarms",
            evaluation.threshold_for_alarms(FEW_ALARMS),
        ),
        (
            "threshold-all",
            "Find all defects of this set",
            evaluation.threshold_for_all_defects(),
        ),
    ];
    let suggestions = suggestions
        .into_iter()
        .filter_map(|(id, words, own)| Some((id, words, own?)));
    html! {
        <section class="panel" aria-labelledby="charts-title" data-testid="charts">
            <h2 id="charts-title">{ "Scores and decisions" }</h2>
            <div class="chart-grid">
                <figure class="chart-card">
                    <figcaption>{ "Scores by class" }<span class="count">{ "drag the threshold" }</span></figcaption>
                    <div class="plot-drag" data-plot="scores" data-testid="score-histogram" onpointerdown={drag.clone()} onpointermove={drag}>
                        { svg(chart::histogram(&with(threshold), &axes)) }
                    </div>
                    <Slider label="Threshold" testid="evaluate-threshold" value={(threshold - axes.x.0) / span}
                        text={format::value(threshold)} oninput={slide} />
                    <div class="collect-buttons">
                        { for suggestions.into_iter().map(|(testid, words, suggested)| html! {
                            <button class="button" type="button" data-testid={testid} onclick={move_to.reform(move |_: MouseEvent| Some(suggested))}>
                                { words }
                            </button>
                        }) }
                        <button class="button primary" type="button" data-testid="use-threshold" disabled={!is_measured || in_force == Some(threshold)}
                            onclick={use_it}>{ "Use this threshold" }</button>
                    </div>
                    if !is_measured {
                        <p class="hint" data-testid="other-model">
                            { format!("Measured with {}: open it to use a threshold of this evaluation.", evaluation.model) }
                        </p>
                    }
                    if set_by.is_some_and(|by| by != SetBy::Training) {
                        <button class="link" type="button" data-testid="evaluate-threshold-restore" onclick={restore}>
                            { "Back to the trained one" }
                        </button>
                    }
                    if page.state.evaluate.threshold.is_some_and(|own| Some(own) != in_force) {
                        <button class="link" type="button" data-testid="evaluate-threshold-reset" onclick={back}>
                            { "Back to the model's threshold" }
                        </button>
                    }
                </figure>
                <figure class="chart-card" data-testid="confusion">
                    <figcaption>{ format!("Decisions at {}", format::value(threshold)) }</figcaption>
                    <table class="matrix">
                        <thead><tr><td></td><th scope="col">{ "predicted good" }</th>
                            <th scope="col">{ "predicted defective" }</th></tr></thead>
                        <tbody>
                            <tr><th scope="row">{ "good" }</th><td data-testid="passes">{ counts.passes }</td>
                                <td class="wrong" data-testid="alarms">{ counts.alarms }</td></tr>
                            <tr><th scope="row">{ "defective" }</th><td class="wrong" data-testid="misses">{ counts.misses }</td>
                                <td data-testid="hits">{ counts.hits }</td></tr>
                        </tbody>
                    </table>
                    <dl class="facts" aria-live="polite">
                        { for report::confusion_rows(counts).map(|(name, value)| html! {
                            <div><dt>{ name }</dt><dd>{ report::with_sign(&value) }</dd></div>
                        }) }
                    </dl>
                </figure>
                { for curves.iter().enumerate().map(|(index, drawn)| html! {
                    <CurveCard key={drawn.title} evaluation={evaluation.clone()} page={page.clone()} {index} />
                }) }
            </div>
        </section>
    }
}

/// A drawing from the shared module; its texts are escaped there.
fn svg(text: String) -> Html {
    Html::from_html_unchecked(text.into())
}

/// The chart that an event is about: what is drawn in it comes and goes.
fn plot(event: &PointerEvent) -> Option<Element> {
    let target = event.target()?.dyn_into::<Element>().ok()?;
    target.closest("[data-plot]").ok()?
}

/// Where a pointer is, as a share of the chart's width.
fn share(event: &PointerEvent) -> Option<f32> {
    let shown = plot(event)?.get_bounding_client_rect();
    (shown.width() > 0.0).then(|| ((f64::from(event.client_x()) - shown.left()) / shown.width()) as f32)
}

/// Properties of [`CurveCard`].
#[derive(PartialEq, Properties)]
struct CurveProps {
    page: crate::page::ui::components::Page,
    evaluation: std::rc::Rc<destseg_engine::evaluation::Evaluation>,
    /// Place among the curves.
    index: usize,
}

/// A curve whose values are read where the pointer is.
#[component]
fn CurveCard(props: &CurveProps) -> Html {
    let at = use_state(|| None::<f32>);
    let curves = report::curves(&props.evaluation);
    let Some(drawn) = curves.get(props.index) else {
        return Html::default();
    };
    let Drawn { axes, .. } = *drawn;
    let follow = {
        let at = at.setter();
        move |event: PointerEvent| at.set(share(&event).map(|share| Axes::value_at(&axes, share)))
    };
    let leave = {
        let at = at.setter();
        move |_: PointerEvent| at.set(None)
    };
    let mark = at.and_then(|x| chart::nearest(drawn.points, x));
    let words = mark.map_or_else(|| drawn.caption(), |point| chart::reading(drawn.labels, &point));
    html! {
        <figure class="chart-card" data-testid="curve" data-curve={drawn.title}>
            <figcaption>{ drawn.title }</figcaption>
            <div data-plot="curve" onpointermove={follow} onpointerleave={leave}>{ svg(drawn.svg(mark, false)) }</div>
            <p class="chart-reading" data-testid="curve-reading">{ words }</p>
        </figure>
    }
}
