//! The defects of the image shown, one by one.

use std::rc::Rc;

use yew::prelude::*;

use super::{Page, awaited};
use crate::page::ui::format;
use crate::page::ui::state::{Item, MapKind, Prediction, Status};
use destseg_engine::data::regions::{Instance, instances};

/// Rows at most; the rest is counted.
const ROWS: usize = 6;

/// Words for the regions.
const TITLE: &str = "Suspicious spots";

/// Regions of the map above the threshold: place, area, highest and mean value.
#[component]
pub(crate) fn Regions(page: &Page) -> Html {
    let state = &page.state;
    let item = state.current();
    // what is found on another part says nothing
    let is_other = |item: &Item| item.info().is_some_and(|info| info.unfamiliar == Some(true));
    let item = item.filter(|item| !is_other(item) && !matches!(item.status, Status::Failed(_)));
    let Some(item) = item else {
        return awaited(page, "regions", TITLE);
    };
    let Some(prediction) = state.prediction(item) else {
        // nothing below moves when they are there
        return html! { <section class="panel awaited regions"><h2>{ TITLE }</h2></section> };
    };
    html! { <Found prediction={prediction.clone()} kind={state.view.kind} threshold={state.threshold()} /> }
}

/// What the list depends on; moving other controls does not find the regions again.
#[derive(Clone, Properties)]
struct FoundProps {
    prediction: Rc<Prediction>,
    kind: MapKind,
    threshold: f32,
}

impl PartialEq for FoundProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.prediction, &other.prediction)
            && self.kind == other.kind
            && self.threshold == other.threshold
    }
}

#[component]
fn Found(props: &FoundProps) -> Html {
    let FoundProps {
        prediction,
        kind,
        threshold,
    } = props;
    let size = (prediction.info.width, prediction.info.height);
    let found = instances(prediction.map(*kind), *threshold, size);
    let summary = match found.len() {
        0 => "none".into(),
        count => format!("{count} outlined above {}", format::value(*threshold)),
    };
    let more = found.len().saturating_sub(ROWS);
    html! {
        <section class="panel regions" aria-labelledby="regions-title">
            <h2 id="regions-title">{ TITLE }<span class="count" data-testid="regions-count">{ summary }</span></h2>
            if !found.is_empty() {
                <table data-testid="regions">
                    <thead>
                        <tr>
                            <th scope="col">{ "Centre" }</th>
                            <th scope="col">{ "Area" }</th>
                            <th scope="col">{ "Peak" }</th>
                            <th scope="col">{ "Mean" }</th>
                        </tr>
                    </thead>
                    <tbody>{ for found.iter().take(ROWS).map(row) }</tbody>
                </table>
            }
            if more > 0 {
                <p class="hint">{ format!("and {more} smaller peaks") }</p>
            }
        </section>
    }
}

fn row(instance: &Instance) -> Html {
    let centre = format!(
        "{:.0}, {:.0}",
        instance.x + instance.width / 2.0,
        instance.y + instance.height / 2.0
    );
    html! {
        <tr>
            <td>{ centre }</td>
            <td>{ format!("{:.0} px²", instance.area) }</td>
            <td>{ format::value(instance.peak) }</td>
            <td>{ format::value(instance.mean) }</td>
        </tr>
    }
}
