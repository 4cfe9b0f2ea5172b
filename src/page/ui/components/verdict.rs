//! What the model says about the image shown.

use yew::prelude::*;

use super::Page;
use crate::page::protocol::PredictionInfo;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Mark, ModelSource, Status, Verdict};
use destseg_engine::error::sentence;
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::certainty::Certainty;
use destseg_engine::verdict::decision;
use destseg_engine::verdict::difference::Difference;
use destseg_engine::verdict::quality::Quality;

/// Verdict, score, certainty and time; read out when it changes.
#[component]
pub(crate) fn VerdictPanel(page: &Page) -> Html {
    let item = page.state.current();
    let (class, content) = match item.map(|item| &item.status) {
        Some(Status::Done(info)) => {
            let verdict = page.state.verdict(info);
            (verdict.word(), judged(page, info, &verdict))
        }
        Some(Status::Failed(_)) => (
            "",
            html! { <p class="verdict-none">{ "No result for this image" }</p> },
        ),
        Some(_) if page.state.is_stuck() => ("", html! { <p class="verdict-none">{ "No result" }</p> }),
        Some(_) => (
            "awaited",
            html! { <p class="verdict-none">{ "Result pending …" }</p> },
        ),
        None if page.state.awaits_model() => ("awaited", Html::default()),
        None => ("", html! { <p class="verdict-none">{ "No image selected" }</p> }),
    };
    html! {
        <section class={classes!("panel", "verdict", class)} role="status" aria-label="Verdict">
            if let Some(item) = item {
                <span class="visually-hidden">{ &*item.name }{ ": " }</span>
            }
            { content }
        </section>
    }
}

fn judged(page: &Page, info: &PredictionInfo, verdict: &Verdict) -> Html {
    if verdict.kind() == decision::Verdict::Unfamiliar {
        return unfamiliar(page, info, verdict);
    }
    let (score, threshold) = (
        format::value(verdict.score),
        format::value(verdict.thresholds.image),
    );
    html! {
        <>
            <h2 data-testid="verdict">{ headline(verdict) }</h2>
            <p data-testid="score" data-value={verdict.score.to_string()}
                data-threshold={verdict.thresholds.image.to_string()}
                data-decision-score={verdict.position().to_string()}>
                { "Score " }<strong>{ score }</strong>{ format!(", threshold {threshold}") }
            </p>
            { gauge(verdict) }
            if let Some(certainty) = verdict.certainty {
                <p class="certainty" data-testid="certainty" data-certainty={certainty.words()}
                    data-p-value={verdict.p_value.map(|value| value.to_string())}>
                    { sure(certainty) }
                </p>
            }
            { not_ready(page) }
            { note(info) }
            { corrections(page) }
            { facts(info) }
            if verdict.certainty.is_none() {
                <p class="hint">{ "This model has no calibrated threshold; 0.5 is used." }</p>
            }
            if verdict.unfamiliar.is_none() {
                <p class="hint" data-testid="cannot-tell">
                    { "This model cannot tell whether an image shows the part it was trained on." }
                </p>
            }
        </>
    }
}

/// That the visitor's own inspector misses much.
fn not_ready(page: &Page) -> Html {
    let model = page.state.model.as_ref();
    let own = model.filter(|model| !matches!(model.source, ModelSource::Shipped(_)));
    let calibration = own.and_then(|model| model.info.calibration.as_ref());
    let quality = calibration
        .filter(|own| !own.synthetic_scores.is_empty())
        .map(Calibration::quality);
    match quality.filter(|quality| !quality.ready) {
        Some(Quality { found, .. }) => html! {
            <p class="hint" data-testid="not-ready">
                { format!("This inspector is not ready: it finds {} of {} painted defects.", found.hits, found.all) }
            </p>
        },
        None => Html::default(),
    }
}

/// How sure the verdict is, in a sentence.
fn sure(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::ClearlyGood => {
            "Clearly good: many good parts score like this, and hardly a painted defect does."
        }
        Certainty::ProbablyGood => {
            "Probably good: good parts score like this, but so do a few painted defects."
        }
        Certainty::CloseCall => "Close call: good parts and defects both score like this. Check it by eye.",
        Certainty::ProbablyDefective => "Probably defective: few good parts score this high.",
        Certainty::ClearlyDefective => "Clearly defective: no good part is expected to score this high.",
    }
}

/// That the image's file is of another type or size than those that the model was trained from.
fn note(info: &PredictionInfo) -> Html {
    info.note
        .iter()
        .map(|note| html! { <p class="hint" data-testid="file-note">{ sentence(note) }</p> })
        .collect()
}

fn facts(info: &PredictionInfo) -> Html {
    html! {
        <dl class="facts">
            <div><dt>{ "Inference" }</dt><dd data-testid="time">{ format::time(info.inference_ms) }</dd></div>
            <div><dt>{ "Decoding" }</dt><dd>{ format::time(info.decode_ms) }</dd></div>
            <div><dt>{ "DeST score" }</dt><dd>{ format::value(info.dest_score) }</dd></div>
        </dl>
    }
}

/// What is said of an image that does not show the model's part, and what to do about that.
fn unfamiliar(page: &Page, info: &PredictionInfo, verdict: &Verdict) -> Html {
    let name = page
        .state
        .model
        .as_ref()
        .map_or("the model", |model| &*model.info.name);
    let difference = info.difference.unwrap_or(Difference::Part);
    let others = page
        .state
        .items
        .iter()
        .filter(|item| page.state.is_unfamiliar(item));
    let train_on = match others.count() {
        0 | 1 => "Train for this part".to_owned(),
        count => format!("Train on these {count} photos"),
    };
    let train = {
        let (dispatch, id) = (page.dispatch.clone(), page.state.selected);
        Callback::from(move |_: MouseEvent| {
            if let Some(id) = id {
                dispatch.dispatch(Action::TrainOn(id));
            }
        })
    };
    html! {
        <>
            <h2 data-testid="verdict">{ headline(verdict) }</h2>
            <p data-testid="score" data-value={verdict.score.to_string()}
                data-threshold={verdict.thresholds.image.to_string()}
                data-decision-score={verdict.position().to_string()}>
                { sentence(&difference.note(name)) }{ " No heat map is drawn." }
            </p>
            <button class="button primary" type="button" data-testid="train-on" onclick={train}>
                { icon(icons::TEACH) }{ train_on }
            </button>
            if !info.foreign {
                { corrections(page) }
            }
            { facts(info) }
        </>
    }
}

/// Buttons that tell the model what the image really shows.
fn corrections(page: &Page) -> Html {
    let Some(item) = page.state.current() else {
        return Html::default();
    };
    let (said, id) = (page.state.mark(item), item.id);
    // what there is to remember comes with the maps
    let disabled = page.state.shown().is_none();
    let button = |mark: Mark, testid: &'static str, words: &'static str| {
        let dispatch = page.dispatch.clone();
        let is_on = said == mark;
        let onclick = Callback::from(move |_: MouseEvent| {
            dispatch.dispatch(Action::Correct(id, if is_on { Mark::None } else { mark }));
        });
        html! {
            <button class="button" type="button" data-testid={testid} aria-pressed={is_on.to_string()} {disabled} {onclick}>
                { words }
            </button>
        }
    };
    let contradiction = page.state.calibration().and_then(Calibration::contradiction);
    let can_remember = page
        .state
        .model
        .as_ref()
        .is_some_and(|model| model.info.segmentation);
    html! {
        <div class="promises corrections" role="group" aria-label="Correct the verdict">
            { button(Mark::Good, "mark-good", "This is good") }
            { button(Mark::Defective, "mark-defective", "There is a defect") }
            if said == Mark::Defective && item.painted.is_empty() && can_remember {
                <p class="hint" data-testid="paint-hint">
                    { "Paint over the defect in the image: the model then remembers how it looks." }
                </p>
            }
            if let Some(text) = contradiction.filter(|_| said != Mark::None) {
                <p class="hint" data-testid="contradiction">{ sentence(&text) }</p>
            }
        </div>
    }
}

/// The decision in a few words, with its sign.
pub(crate) fn headline(verdict: &Verdict) -> Html {
    let (symbol, headline) = match verdict.kind() {
        decision::Verdict::Defective => (icons::DEFECT, "Defect found"),
        decision::Verdict::Good => (icons::CHECK, "Looks good"),
        decision::Verdict::Unfamiliar => (icons::UNFAMILIAR, "Unfamiliar part"),
    };
    html! { <>{ icon(symbol) }<span>{ headline }</span></> }
}

/// A scale with the threshold in its middle, and the score.
pub(crate) fn gauge(verdict: &Verdict) -> Html {
    const MIDDLE: f32 = 0.5;
    let percent = |share: f32| format!("{:.1}%", share * 100.0);
    let position = verdict.position();
    let (start, length) = (position.min(MIDDLE), (position - MIDDLE).abs());
    html! {
        <svg class="gauge" height="34" aria-hidden="true" focusable="false">
            <rect class="gauge-track" x="0" y="4" width="100%" height="8" rx="4" />
            <rect class="gauge-bar" x={percent(start)} y="4" width={percent(length)} height="8" />
            <line class="gauge-threshold" x1="50%" x2="50%" y1="0" y2="16" />
            <svg x={percent(position)} overflow="visible"><circle class="gauge-score" cx="0" cy="8" r="6" /></svg>
            <text x="0" y="31">{ "good" }</text>
            <text x="50%" y="31" text-anchor="middle">{ "threshold" }</text>
            <text x="100%" y="31" text-anchor="end">{ "defect" }</text>
        </svg>
    }
}
