//! Below the maps: the features behind them, and what a defect does to them.

mod features;
mod repair;

use yew::prelude::*;

use super::Page;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::ItemId;
use features::Features;
use repair::Repair;

/// Properties of [`StudyPanel`].
#[derive(PartialEq, Properties)]
pub(crate) struct StudyProps {
    /// The page.
    pub(crate) page: Page,
    /// The image shown.
    pub(crate) item: ItemId,
    /// Place under the pointer, in parts of the image.
    pub(crate) place: Option<(f32, f32)>,
}

/// Features and repair of the image shown.
#[component]
pub(crate) fn StudyPanel(props: &StudyProps) -> Html {
    let looking = &props.page.state.study;
    if let Some((item, message)) = &looking.error
        && *item == props.item
    {
        return html! { <p class="warning-text" data-testid="study-error">{ icon(icons::WARNING) }{ &**message }</p> };
    }
    let Some(study) = looking.of(props.item) else {
        return html! { <p class="hint" data-testid="study-wait">{ "Features are being fetched …" }</p> };
    };
    html! {
        <>
            <Features study={study.clone()} place={props.place} colors={props.page.state.view.colors} />
            <Repair page={props.page.clone()} item={props.item} clean={study.clone()} />
        </>
    }
}
