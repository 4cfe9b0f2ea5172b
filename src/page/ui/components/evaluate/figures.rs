//! The tables of an evaluation, what is missing in them, and the files to take along.

use std::rc::Rc;

use web_sys::{Blob, BlobPropertyBag};
use yew::prelude::*;

use super::ResultProps;
use crate::page::ui::draw;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, State};
use destseg_engine::evaluation::{Evaluation, Metric, Metrics};
use destseg_engine::report::{self, Part};

/// Files that an evaluation can be saved as.
const EXPORTS: [(&str, &str, &str); 3] = [
    ("html", "Report (HTML)", "text/html"),
    ("csv", "Table (CSV)", "text/csv"),
    ("json", "Everything (JSON)", "application/json"),
];

/// Figures of the whole set and of each kind of defect.
#[component]
pub(crate) fn Figures(props: &ResultProps) -> Html {
    let ResultProps { page, evaluation } = props;
    let report = &evaluation.report;
    let threshold = page.state.evaluate.threshold();
    let f1 = evaluation.confusion(threshold).f1();
    let mut rows = Vec::new();
    if let Some(metrics) = &report.segmentation {
        rows.push(("Segmentation", metrics, Some(f1)));
        rows.push((report.distance_name(), &report.dest, None));
    } else {
        rows.push((report.distance_name(), &report.dest, Some(f1)));
    }
    let head = Metric::ALL
        .map(|metric| html! { <th scope="col" title={metric.explanation()}>{ metric.name() }</th> });
    // what is odd about the folder stands above already
    let above = page
        .state
        .evaluate
        .files
        .as_ref()
        .map_or(&[][..], |files| &files.set.notes);
    let notes = evaluation
        .notes
        .iter()
        .filter(|note| !above.contains(note))
        .cloned();
    let notes = notes
        .chain(evaluation.gaps())
        .map(|note| html! { <li>{ note }</li> });
    html! {
        <section class="panel" aria-labelledby="figures-title" data-testid="figures">
            <h2 id="figures-title">
                { format!("{} on {}", evaluation.model, report.category) }
                <span class="count">{ format!("{} images, {:.0} ms each", report.images, report.milliseconds_per_image) }</span>
            </h2>
            <div class="table-scroll" tabindex="0">
            <table class="figures">
                <caption class="visually-hidden">{ "Figures in percent" }</caption>
                <thead><tr>
                    <th scope="col">{ "in percent" }</th>
                    { for head }
                    <th scope="col" title="balance of precision and recall of the decisions">{ "F1 at threshold" }</th>
                </tr></thead>
                <tbody>{ for rows.into_iter().map(|(name, metrics, f1)| row(name, metrics, f1)) }</tbody>
            </table>
            </div>
            <ul class="evaluate-notes" data-testid="figure-notes">{ for notes }</ul>
            if !evaluation.kinds.is_empty() {
                <div class="table-scroll" tabindex="0">
                <table class="figures" data-testid="kinds">
                    <caption>{ "Each kind of defect against all good images" }</caption>
                    <thead><tr>
                        <th scope="col">{ "defect" }</th><th scope="col">{ "images" }</th>
                        <th scope="col">{ "predicted defective" }</th>
                        { for Metrics::NAMES.map(|name| html! { <th scope="col">{ name }</th> }) }
                    </tr></thead>
                    <tbody>{ for evaluation.kinds.iter().map(|kind| html! {
                        <tr>
                            <th scope="row">{ &kind.kind }</th><td>{ kind.images }</td>
                            <td>{ percent(evaluation.detected(&kind.kind, threshold)) }</td>
                            { for kind.metrics.values().map(|value| html! { <td>{ percent(value) }</td> }) }
                        </tr>
                    }) }</tbody>
                </table>
                </div>
            }
            <div class="collect-buttons">
                { for EXPORTS.map(|(ending, words, kind)| {
                    let (state, evaluation, dispatch) = (page.state.clone(), evaluation.clone(), page.dispatch.clone());
                    let save = Callback::from(move |_: MouseEvent| {
                        let text = export(ending, &state, &evaluation);
                        let name = format!("{}-{}.{ending}", evaluation.report.category, evaluation.model);
                        if blob(&text, kind).and_then(|blob| draw::download(&blob, &name)).is_none() {
                            let message = "The file could not be made: free some memory and try again.";
                            dispatch.dispatch(Action::Notify(message.into()));
                        }
                    });
                    html! {
                        <button class="button" type="button" data-testid={format!("export-{ending}")} onclick={save}>
                            { icon(icons::SAVE) }{ words }
                        </button>
                    }
                }) }
            </div>
        </section>
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".into(), |value| format!("{:.1}", 100.0 * value))
}

fn row(name: &str, metrics: &Metrics, f1: Option<Option<f64>>) -> Html {
    let cells = Metrics::NAMES.into_iter().zip(metrics.values());
    html! {
        <tr>
            <th scope="row">{ name.to_owned() }</th>
            { for cells.map(|(name, value)| html! {
                // the exact number, for tests and the curious
                <td data-figure={name} data-value={value.map(|value| value.to_string())}>{ percent(value) }</td>
            }) }
            <td data-figure="F1">{ f1.map(percent) }</td>
        </tr>
    }
}

/// The text of a file with this ending, made by the same code as the command line's.
pub(crate) fn export(ending: &str, state: &State, evaluation: &Rc<Evaluation>) -> String {
    let threshold = state.evaluate.threshold();
    match ending {
        "csv" => report::csv(evaluation, threshold),
        "json" => report::json(evaluation),
        _ => {
            let pictures: Vec<Vec<u8>> = state
                .evaluate
                .pictures
                .iter()
                .map(|picture| picture.to_vec())
                .collect();
            report::html(&[Part {
                evaluation,
                pictures: &pictures,
                threshold,
            }])
        }
    }
}

fn blob(text: &str, kind: &str) -> Option<Blob> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&text.into()), &options).ok()
}
