//! Step 4: the thresholds, found without a single real defect.

use web_sys::Element;
use yew::prelude::*;

use crate::page::ui::components::Page;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Phase, Room, TrainAction};
use crate::page::ui::{chart, draw, store};

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
    let inspect = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Enter(Room::Inspect)))
    };
    let info = &trained.info;
    let (rate, least, most) = info.false_alarms;
    html! {
        <section class="panel" aria-labelledby="trained-title" data-testid="trained" ref={section}>
            <h2 id="trained-title"><span class="number">{ "4" }</span>{ format!("{} is ready", info.run.name) }</h2>
            { chart::histogram([("good, held out", &info.good_scores), ("with synthetic defects", &info.synthetic_scores)],
                info.threshold) }
            <p data-testid="trained-words">
                { format!("Images from {:.2} on are called defective. Of {} held-out good images {:.0} % lie there; with \
                   95 % confidence {:.0} to {:.0} % of good parts will be false alarms.", info.threshold,
                   info.good_scores.len(), 100.0 * rate, 100.0 * least, 100.0 * most) }
            </p>
            if !info.outliers.is_empty() {
                <p class="warning-text" data-testid="outliers">
                    { icon(icons::WARNING) }
                    { match info.outliers.len() {
                        1 => "One of the good images looks defective to it (marked above): if it is, remove it and train \
                              again.".to_owned(),
                        count => format!("{count} of the good images look defective to it (marked above): if they are, \
                                          remove them and train again."),
                    } }
                </p>
            }
            <div class="dialog-buttons start">
                <button class="button primary" type="button" data-testid="use-it" onclick={inspect}>
                    { "Inspect images with it" }
                </button>
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
