//! The image threshold: where it lies, what it does to good parts and painted defects, and how to move it.

use yew::prelude::*;

use super::controls::Slider;
use super::{Page, awaited};
use crate::page::ui::state::{Action, ThresholdChange};
use crate::page::ui::{chart, format};
use destseg_engine::error::{count, percent};
use destseg_engine::verdict::calibration::{Calibration, PROMISES, SetBy};
use destseg_engine::verdict::corrections::Correction;

/// Held-out photos from which on the expected share of false alarms needs no caution.
const FEW_PHOTOS: usize = 40;

/// The threshold in force, on the scores that it was found from.
#[component]
pub(crate) fn ThresholdPanel(page: &Page) -> Html {
    let Some(model) = &page.state.model else {
        return awaited(page, "threshold", "Threshold");
    };
    let calibration = model.info.calibration.clone().unwrap_or_default();
    let send = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |change: ThresholdChange| dispatch.dispatch(Action::Threshold(change)))
    };
    let threshold = calibration.image_threshold;
    let highest = calibration
        .good_scores
        .iter()
        .chain(&calibration.synthetic_scores)
        .copied()
        .fold(calibration.certain, f32::max);
    let has_scores = !calibration.good_scores.is_empty();
    let promised = match calibration.set_by {
        SetBy::Promise(share) => Some(share),
        _ => None,
    };
    html! {
        <section class="panel threshold" aria-labelledby="threshold-title" data-testid="threshold-panel">
            <h2 id="threshold-title">{ "Threshold" }</h2>
            if has_scores {
                { histogram(&calibration) }
            }
            <p data-testid="threshold-words" data-threshold={threshold.to_string()}>{ words(&calibration) }</p>
            <Slider label="Defective from" testid="image-threshold" value={threshold / highest}
                text={format::value(threshold)}
                oninput={send.reform(move |share: f32| ThresholdChange::To(share * highest))} />
            if has_scores {
                <div class="promises" role="group" aria-label="Good parts that may be stopped">
                    <span>{ "Stop at most" }</span>
                    { for PROMISES.map(|share| html! {
                        <button class="button" type="button" aria-pressed={(promised == Some(share)).to_string()}
                            data-testid={format!("promise-{:.0}", 100.0 * share)}
                            onclick={send.reform(move |_: MouseEvent| ThresholdChange::Promise(share))}>
                            { format!("{:.0} %", 100.0 * share) }
                        </button>
                    }) }
                    <span>{ "of good parts" }</span>
                </div>
            }
            if let Some(guarantee) = promised.and_then(|share| calibration.guarantee(share)) {
                <p class="hint" data-testid="guarantee">{ sentence(&guarantee) }</p>
            }
            { corrections(&calibration.corrections, &send) }
            if calibration.set_by != SetBy::Training {
                <button class="link" type="button" data-testid="threshold-restore"
                    onclick={send.reform(|_: MouseEvent| ThresholdChange::Restore)}>
                    { "Back to the trained one" }
                </button>
            }
        </section>
    }
}

/// What was said about images, to be taken back one by one or at once.
fn corrections(all: &[Correction], send: &Callback<ThresholdChange>) -> Html {
    if all.is_empty() {
        return Html::default();
    }
    let take_back = |place: Option<usize>| send.reform(move |_: MouseEvent| ThresholdChange::TakeBack(place));
    let row = |(place, own): (usize, &Correction)| {
        html! {
            <li data-testid="correction">
                <span class="correction-name" title={own.name.clone()}>{ &own.name }</span>
                <span>{ if own.defective { "defective" } else { "good" } }</span>
                <button class="link" type="button" aria-label={format!("Take back what was said about {}", own.name)}
                    onclick={take_back(Some(place))}>{ "Take back" }</button>
            </li>
        }
    };
    html! {
        <details class="corrections" data-testid="corrections">
            <summary>{ count(all.len(), "correction", "corrections") }</summary>
            <ul>{ for all.iter().enumerate().map(row) }</ul>
            <button class="link" type="button" data-testid="take-all-back" onclick={take_back(None)}>
                { "Take all back" }
            </button>
        </details>
    }
}

/// Scores of held-out good images and of the same with painted defects, with the threshold in force.
pub(crate) fn histogram(calibration: &Calibration) -> Html {
    let groups = [
        ("good, held out", &calibration.good_scores[..]),
        ("with painted defects", &calibration.synthetic_scores[..]),
    ];
    chart::histogram(groups, calibration.image_threshold)
}

/// Who set the threshold, and what is expected of it.
fn words(calibration: &Calibration) -> String {
    let by = match calibration.set_by {
        SetBy::Training => "Set by training".to_owned(),
        SetBy::Promise(share) => format!("Set to stop at most {} % of good parts", percent(share)),
        SetBy::Hand => "Set by hand".into(),
        SetBy::Evaluation => "Set from an evaluation".into(),
        SetBy::Corrections => "Set by corrections".into(),
    };
    let expected = calibration.expected_alarms().map(|share| match 100.0 * share {
        percent if percent < 0.1 => "hardly any good part will be stopped".to_owned(),
        percent if percent < 1.0 => format!("about {percent:.1} % of good parts will be stopped"),
        percent => format!("about {percent:.0} % of good parts will be stopped"),
    });
    let photos = calibration.good_scores.len();
    let (_, most) = calibration.false_alarm_interval();
    let caution = match photos {
        1..FEW_PHOTOS => format!(
            " That rests on {}: it may be up to {:.0} %.",
            count(photos, "photo", "photos"),
            100.0 * most
        ),
        _ => String::new(),
    };
    match expected {
        Some(expected) => format!("{by}: {expected}.{caution}"),
        None => format!("{by}."),
    }
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    destseg_engine::error::sentence(text)
}
