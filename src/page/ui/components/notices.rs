//! Sentences about the page as a whole.

use yew::prelude::*;

use super::Page;
use super::diagnostics::Diagnostics;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Engine, Load, Notice, Room};

/// The list of notices, read out as they come; what stops everything stays, with a way on.
#[component]
pub(crate) fn Notices(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let retry = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Retry))
    };
    let stopped = match (&state.engine, &state.load) {
        (Engine::Stopped(message), _) => Some(message.clone()),
        (_, Load::Failed(_, message)) => Some(message.to_string()),
        _ => None,
    };
    // the room for inspectors has these offers itself
    let is_shown = |notice: &&Notice| notice.offer.is_none() || state.room != Room::Train;
    let notices = state.notices.iter().filter(is_shown).map(|notice| {
        let dispatch = dispatch.clone();
        let id = notice.id;
        let accept = {
            let dispatch = dispatch.clone();
            move |_: MouseEvent| dispatch.dispatch(Action::Accept(id))
        };
        let dismiss = move |_: MouseEvent| dispatch.dispatch(Action::Dismiss(id));
        html! {
            <div class={classes!("notice", notice.offer.is_some().then_some("offer"))} key={id} data-testid="notice">
                { icon(if notice.offer.is_some() { icons::TEACH } else { icons::WARNING }) }
                <p>{ &*notice.text }</p>
                if let Some(offer) = &notice.offer {
                    <button class="button" type="button" data-testid="accept" onclick={accept}>{ offer.words() }</button>
                }
                <button class="icon-button" type="button" aria-label="Dismiss" onclick={dismiss}>
                    { icon(icons::CLOSE) }
                </button>
            </div>
        }
    });
    html! {
        <div class="notices" role="alert">
            if let Some(message) = stopped {
                <div class="notice notice-error" key="stopped" data-testid="notice">
                    { icon(icons::DEFECT) }
                    <p>{ message }</p>
                    <Diagnostics ..page.clone() />
                    <button class="button" type="button" data-testid="retry" onclick={retry}>{ "Try again" }</button>
                </div>
            }
            { for notices }
        </div>
    }
}
