//! What the page is made of, one component per file. All get the same [`Page`].

mod ablate;
mod add;
mod camera;
mod column;
mod compare;
mod controls;
mod diagnostics;
mod display;
mod evaluate;
mod examples;
mod header;
mod inside;
mod jpeg;
mod legend;
mod marker;
mod notices;
mod queue;
mod regions;
mod stage;
mod status;
mod study;
mod threshold;
mod tour;
mod train;
mod verdict;
mod viewer;

use std::rc::Rc;

use yew::prelude::*;

pub(crate) use add::Add;
pub(crate) use compare::CompareRoom;
pub(crate) use display::Display;
pub(crate) use evaluate::{EvaluateRoom, export};
pub(crate) use examples::Examples;
pub(crate) use header::Header;
pub(crate) use notices::Notices;
pub(crate) use queue::Queue;
pub(crate) use regions::Regions;
pub(crate) use status::StatusLine;
pub(crate) use threshold::ThresholdPanel;
pub(crate) use tour::Tour;
pub(crate) use train::TrainRoom;
pub(crate) use verdict::VerdictPanel;
pub(crate) use viewer::Viewer;

use super::state::{Dispatch, State};

/// What every component sees: the state of the moment, and where actions go.
#[derive(Clone, Properties)]
pub(crate) struct Page {
    /// The page's state.
    pub(crate) state: Rc<State>,
    /// Takes actions.
    pub(crate) dispatch: Dispatch,
}

impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        // every change makes a new state
        Rc::ptr_eq(&self.state, &other.state)
    }
}

/// A panel as high as it usually becomes, while the first model is on its way: nothing moves when it is there.
fn awaited(page: &Page, class: &'static str, title: &'static str) -> Html {
    if page.state.awaits_model() {
        html! { <section class={classes!("panel", "awaited", class)}><h2>{ title }</h2></section> }
    } else {
        Html::default()
    }
}
