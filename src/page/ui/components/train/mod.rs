//! The room for a new inspector: good images, synthetic defects, training, result.

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
use run::Training;

/// Four steps from photos to an inspector, and the inspectors there are.
#[component]
pub(crate) fn TrainRoom(page: &Page) -> Html {
    let done = matches!(page.state.train.phase, Phase::Done(_));
    html! {
        <main class="train" id="result" data-testid="train-room">
            <div class="train-steps">
                <Collect ..page.clone() />
                <Synthetic ..page.clone() />
                <Training ..page.clone() />
                if done {
                    <TrainedResult ..page.clone() />
                }
            </div>
            <div class="train-side">
                <section class="panel">
                    <h2>{ "Your own inspector" }</h2>
                    <p class="hint">
                        { "Photos of good parts are enough. Defects are painted on them, and a network learns to \
                           find what does not belong there. All of it happens in this browser." }
                    </p>
                </section>
                <KeptInspectors ..page.clone() />
            </div>
        </main>
    }
}
