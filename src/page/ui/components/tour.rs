//! A tour of five short steps over the image shown, with its own numbers.

use web_sys::Element;
use yew::prelude::*;

use super::Page;
use crate::page::ui::format;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Prediction, Room, State, StudyAction, View};
use crate::page::ui::study::{CLEAN, STUDENT, Study, TEACHER, distance};
use destseg_engine::verdict::decision;

/// Seed of the defect that the tour takes.
const DEFECT: u64 = 7;

/// What each step points at.
const TARGETS: [&str; 5] = [
    "[data-testid=heatmap-canvas]",
    "[data-testid=inside]",
    "[data-testid=inside-map]:nth-of-type(4)",
    "[data-testid=repair]",
    ".verdict",
];

/// Steps of the tour.
pub(crate) const STEPS: usize = TARGETS.len();

/// The card of the present step.
#[component]
pub(crate) fn Tour(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let view = state.view;
    let in_a_room = state.room != Room::Inspect;
    let step = view.tour.filter(|_| !in_a_room);
    let ready = state.shown().cloned();
    // what is pointed at may only now be there
    let has_features = state
        .current()
        .is_some_and(|item| state.study.of(item.id).is_some());
    use_effect_with((step, ready.is_some(), has_features), move |&(step, ..)| {
        let document = web_sys::window().and_then(|window| window.document());
        let target = step.and_then(|step| TARGETS.get(step)).copied();
        let find = move || -> Option<Element> { document.as_ref()?.query_selector(target?).ok()? };
        if let Some(element) = find() {
            element.scroll_into_view();
            // a mark that is not there costs nothing
            let _ = element.set_attribute("data-tour", "here");
        }
        move || {
            if let Some(element) = find() {
                let _ = element.remove_attribute("data-tour");
            }
        }
    });
    let (Some(step), Some(prediction)) = (step, ready) else {
        return Html::default();
    };
    let go = |to: Option<usize>| {
        let (dispatch, damaged) = (dispatch.clone(), has_damage(state));
        Callback::from(move |_: MouseEvent| {
            dispatch.dispatch(Action::View(View {
                tour: to,
                inside: view.inside || to.is_some_and(|to| to > 0),
                ..view
            }));
            if to == Some(3) && !damaged {
                dispatch.dispatch(Action::Study(StudyAction::Synthetic(DEFECT)));
            }
        })
    };
    let (title, words) = text(step, state, &prediction);
    html! {
        <aside class="tour" role="dialog" aria-labelledby="tour-title" aria-live="polite" data-testid="tour" data-step={step.to_string()}>
            <h2 id="tour-title">{ format!("{} of {STEPS}: {title}", step + 1) }
                <button class="icon-button" type="button" aria-label="End the tour" data-testid="tour-end" onclick={go(None)}>
                    { icon(icons::CLOSE) }
                </button>
            </h2>
            <p data-testid="tour-words">{ words }</p>
            <div class="dialog-buttons">
                <button class="button" type="button" disabled={step == 0} onclick={go(Some(step.saturating_sub(1)))}>
                    { "Back" }
                </button>
                if step + 1 < STEPS {
                    <button class="button primary" type="button" data-testid="tour-next" onclick={go(Some(step + 1))}>
                        { "Next" }
                    </button>
                } else {
                    <button class="button primary" type="button" data-testid="tour-next" onclick={go(None)}>{ "Done" }</button>
                }
            </div>
        </aside>
    }
}

fn has_damage(state: &State) -> bool {
    state
        .current()
        .is_some_and(|item| state.study.damaged_of(item.id).is_some())
}

/// Title and words of a step.
fn text(step: usize, state: &State, prediction: &Prediction) -> (&'static str, String) {
    let verdict = state.verdict(&prediction.info);
    let [fine, middle, coarse] = prediction
        .levels
        .each_ref()
        .map(|level| format::value(level.maximum()));
    let (score, threshold) = (
        format::value(verdict.score),
        format::value(verdict.thresholds.image),
    );
    match step {
        0 => (
            "What is strange here?",
            format!(
                "This network has only ever seen good parts. Warm colours show where this image does not look like one: \
                 its score is {score}, and from {threshold} on an image is called defective."
            ),
        ),
        1 => (
            "Two descriptions",
            format!(
                "A teacher describes the image as it is, a student as it should be. Here they disagree by up to {fine} in \
                 fine texture, {middle} in patterns and {coarse} in shapes; 0 is full agreement."
            ),
        ),
        2 => (
            "Where all three levels disagree",
            format!(
                "Multiplied, the three leave {} at most: only places that are strange at every size remain. A third \
                 network, trained on painted defects, makes the final map from them: {} at most.",
                format::value(prediction.dest.maximum()),
                prediction
                    .segmentation
                    .as_ref()
                    .map_or_else(|| "none".into(), |map| format::value(map.maximum()))
            ),
        ),
        3 => ("The student repairs", repaired(state)),
        _ => (
            "Where good ends",
            format!(
                "Held-back good images and painted defects showed where to draw the line: {threshold}. This image has \
                 {score}: {}. Looking at it took {} on your computer.",
                match verdict.kind() {
                    decision::Verdict::Defective => "predicted defective",
                    decision::Verdict::Good => "predicted good",
                    decision::Verdict::Unfamiliar =>
                        "which says nothing, because this is not the part that the model knows",
                },
                format::time(prediction.info.inference_ms)
            ),
        ),
    }
}

/// How much of a painted defect the student takes away.
fn repaired(state: &State) -> String {
    let idea =
        "Look at a painted defect: the teacher passes it on, the student gives what it knows of good parts.";
    let study = state.current().and_then(|item| state.study.damaged_of(item.id));
    let measured = study.and_then(|study| best_repair(study));
    measured.map_or_else(
        || idea.to_owned(),
        |(damage, left)| {
            format!(
                "{idea} Here the defect moves the teacher's description by {}, the student's is only {} from the clean \
                 one.",
                format::value(damage),
                format::value(left)
            )
        },
    )
}

/// The level at which most is repaired: distances of teacher and student to the clean description.
fn best_repair(study: &Study) -> Option<(f32, f32)> {
    let levels = study.levels.iter().enumerate().filter_map(|(level, own)| {
        let mask = study.changed(level);
        let damage = distance(&own[CLEAN], &own[TEACHER], &mask)?;
        let left = distance(&own[CLEAN], &own[STUDENT], &mask)?;
        (left < damage).then_some((damage, left))
    });
    levels.max_by(|a, b| (a.0 - a.1).total_cmp(&(b.0 - b.1)))
}
