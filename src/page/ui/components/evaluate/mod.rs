//! The room where the model is measured on a labelled folder.

mod charts;
mod figures;
mod folder;
mod gallery;

use yew::prelude::*;

use super::Page;
use charts::Charts;
use figures::Figures;
pub(crate) use figures::export;
use folder::Folder;
use gallery::Gallery;

/// Folder, progress, figures, charts, images.
#[component]
pub(crate) fn EvaluateRoom(page: &Page) -> Html {
    let result = page.state.evaluate.result().cloned();
    html! {
        <main class="evaluate" id="result" data-testid="evaluate">
            <Folder ..page.clone() />
            if let Some(result) = result {
                <Figures page={page.clone()} evaluation={result.clone()} />
                <Charts page={page.clone()} evaluation={result.clone()} />
                <Gallery page={page.clone()} evaluation={result} />
            }
        </main>
    }
}

/// Properties of what shows a finished evaluation.
#[derive(Clone, PartialEq, Properties)]
pub(crate) struct ResultProps {
    pub(crate) page: Page,
    pub(crate) evaluation: std::rc::Rc<destseg_engine::evaluation::Evaluation>,
}
