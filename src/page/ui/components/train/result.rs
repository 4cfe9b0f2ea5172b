//! Step 3: the thresholds, found without a single real defect.

use web_sys::Element;
use yew::prelude::*;

use super::picture::Small;
use crate::page::ui::components::Page;
use crate::page::ui::components::controls::Fragment;
use crate::page::ui::components::threshold::histogram;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Effort, Phase, TrainAction, TrainingImage};
use crate::page::ui::{draw, store};
use destseg_engine::error::sentence;
use destseg_engine::verdict::calibration::Calibration;
use destseg_engine::verdict::quality::READY;

/// Histogram, what to expect, what to do next.
#[component]
pub(crate) fn TrainedResult(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let section = use_node_ref();
    {
        let section = section.clone();
        use_effect_with((), move |()| {
            if let Some(section) = section.cast::<Element>() {
                section.scroll_into_view();
            }
        });
    }
    let Phase::Done(trained) = &state.train.phase else {
        return Html::default();
    };
    let act = |make: fn() -> TrainAction| {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(make())))
    };
    let download = {
        let trained = trained.clone();
        Callback::from(move |_: MouseEvent| {
            // without a document there is no page to download from
            let _ = draw::download(&trained.file, &store::file_name(&trained.info.run.name));
        })
    };
    let info = &trained.info;
    let is_outlier = |image: &&TrainingImage| info.outliers.iter().any(|&(id, _)| id == image.id);
    let quality = info.calibration.as_ref().map(Calibration::quality);
    let is_ready = quality.as_ref().is_some_and(|own| own.ready);
    let advice = quality.as_ref().map_or_else(Vec::new, |own| {
        let images = info.run.images + info.run.held_out;
        own.advice(images, state.train.effort != Effort::Thorough)
    });
    html! {
        <section class="panel" aria-labelledby="trained-title" data-testid="trained"
            data-ready={is_ready.to_string()} ref={section}>
            <h2 id="trained-title"><span class="number">{ "3" }</span>
                { if is_ready { format!("{} is ready", info.run.name) } else { format!("{} is not ready yet", info.run.name) } }
            </h2>
            if let (Some(calibration), Some(quality)) = (&info.calibration, &quality) {
                <p class="quality" data-testid="trained-words">{ sentence(&format!("it {}", quality.summary())) }</p>
                if !is_ready {
                    <p class="warning-text" data-testid="not-ready">
                        { icon(icons::WARNING) }
                        { format!("It may find as few as {:.0} % of such defects; {:.0} % are needed. What helps:",
                            100.0 * quality.least_found, 100.0 * READY) }
                    </p>
                    <ul class="advice" data-testid="advice">{ for advice.iter().map(|own| html! { <li>{ own }</li> }) }</ul>
                }
                <ul class="hint quality-kinds" data-testid="quality-kinds">
                    { for quality.by_kind().into_iter().map(|kind| html! { <li>{ kind }</li> }) }
                </ul>
                { histogram(calibration) }
                <p class="hint" data-testid="alarm-words">{ alarms(calibration) }</p>
            } else {
                <p data-testid="trained-words">
                    { "No photos were kept aside to test it: this model has no calibrated threshold; 0.5 is used." }
                </p>
            }
            { for info.notes.iter().map(|note| html! {
                <p class="warning-text" data-testid="trained-note">{ icon(icons::WARNING) }{ sentence(note) }</p>
            }) }
            { for state.train.images.iter().filter(is_outlier).map(|image| outlier(page, image)) }
            <div class="dialog-buttons start">
                <button class="button primary" type="button" data-testid="use-it" onclick={act(|| TrainAction::Use)}>
                    { "Inspect with it" }
                </button>
                if state.train.is_trial {
                    <Fragment id="try-inspecting" />
                }
                <button class="button" type="button" data-testid="download-model" onclick={download}>
                    { icon(icons::SAVE) }{ "Download" }
                </button>
                <button class="button" type="button" data-testid="train-again" onclick={act(|| TrainAction::Again)}>
                    { "Train another" }
                </button>
            </div>
        </section>
    }
}

/// A good image that looks defective to the model.
fn outlier(page: &Page, image: &TrainingImage) -> Html {
    let (dispatch, id) = (page.dispatch.clone(), image.id);
    let remove = move |_: MouseEvent| dispatch.dispatch(Action::Train(TrainAction::Remove(id)));
    html! {
        <div class="outlier" key={id} data-testid="outliers">
            <Small image={image.clone()} />
            <p>{ "This good photo looks defective to it. If it is, remove it and train again." }</p>
            <button class="button" type="button" data-testid="outlier-remove" onclick={remove}>{ "Remove" }</button>
        </div>
    }
}

/// The threshold, and how many good parts it may stop.
fn alarms(calibration: &Calibration) -> String {
    let (least, most) = calibration.false_alarm_interval();
    format!(
        "Images that score {:.2} or more are called defective. With {} photos kept aside, the share of good parts that are \
         stopped by mistake may be anywhere between {:.0} and {:.0} %.",
        calibration.image_threshold,
        calibration.good_scores.len(),
        100.0 * least,
        100.0 * most
    )
}
