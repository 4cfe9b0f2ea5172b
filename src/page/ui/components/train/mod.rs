//! The room for a new inspector: photos, training, result; settings and synthetic defects are under "Advanced".

mod collect;
mod kept;
mod network;
mod picture;
mod preview;
mod result;
mod run;
mod textures;

use yew::prelude::*;

use super::Page;
use crate::page::ui::state::Phase;
use collect::Collect;
use kept::KeptInspectors;
use preview::Synthetic;
use result::TrainedResult;
use run::{Choices, Training};

/// Three steps from photos to an inspector, what can be chosen besides, and the inspectors there are.
#[component]
pub(crate) fn TrainRoom(page: &Page) -> Html {
    let done = matches!(page.state.train.phase, Phase::Done(_));
    html! {
        <main class="train" id="result" data-testid="train-room">
            <div class="train-steps">
                <Collect ..page.clone() />
                <Training ..page.clone() />
                if done {
                    <TrainedResult ..page.clone() />
                }
                <details class="panel controls" data-testid="advanced">
                    <summary>{ "Advanced" }</summary>
                    if !page.state.train.is_training() {
                        <Choices ..page.clone() />
                    }
                    <Synthetic ..page.clone() />
                </details>
            </div>
            <div class="train-side">
                <KeptInspectors ..page.clone() />
            </div>
        </main>
    }
}
