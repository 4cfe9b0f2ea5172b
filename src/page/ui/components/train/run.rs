//! Step 2: training, and watching it.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlInputElement};
use yew::prelude::*;

use super::network::{Needs, Network};
use super::picture::{Picture, Source};
use crate::page::protocol::BackendChoice;
use crate::page::ui::components::Page;
use crate::page::ui::components::controls::{Choice, Select, Toggle};
use crate::page::ui::state::{Action, Course, Effort, Phase, TrainAction};
use crate::page::ui::{chart, format};
use destseg_engine::config::InputLayout;

/// Input sizes to choose from, in pixels; the largest is for details of few pixels.
const SIZES: [usize; 5] = [128, 192, 256, 352, 384];

/// Said while the GPU's kernels are compiled.
const PREPARING: &str = "Preparing the graphics card: its programs are compiled once";

/// Settings before, progress during the training.
#[component]
pub(crate) fn Training(page: &Page) -> Html {
    let train = &page.state.train;
    let section = use_node_ref();
    {
        let section = section.clone();
        let begun = train.is_training() && train.course.is_some();
        use_effect_with(begun, move |&training| {
            if let (Some(section), true) = (section.cast::<Element>(), training) {
                section.scroll_into_view();
            }
        });
    }
    html! {
        <section class="panel" aria-labelledby="train-title" ref={section}>
            <h2 id="train-title"><span class="number">{ "2" }</span>{ "Train" }</h2>
            { match (&train.phase, &train.course) {
                (Phase::Idle | Phase::Done(_), _) => plan(page),
                (Phase::Failed(message), _) => html! {
                    <>
                        <p class="train-failed" role="alert" data-testid="train-failed">{ &**message }</p>
                        { plan(page) }
                    </>
                },
                (_, Some(course)) => progress(page, course),
                (&Phase::Starting(done, total), None) if total > 0 => html! {
                    <div class="train-progress" data-testid="train-starting">
                        <p aria-live="polite"><strong>{ PREPARING }</strong></p>
                        <progress max={total.to_string()} value={done.to_string()} aria-label="Kernels prepared" />
                        <p class="hint">{ format!("Part {} of {total}; the training starts by itself.", done + 1) }</p>
                    </div>
                },
                (_, None) => html! { <p class="hint" data-testid="train-starting">{ "Preparing …" }</p> },
            } }
        </section>
    }
}

/// Name, time, and the button that begins.
fn plan(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let name = {
        let dispatch = dispatch.clone();
        Callback::from(move |event: InputEvent| {
            let input = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            let name = input.map(|input| input.value()).unwrap_or_default();
            dispatch.dispatch(Action::Train(TrainAction::Name(name)));
        })
    };
    let begin = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(TrainAction::Train)))
    };
    let obstacle = state.training_obstacle();
    html! {
        <div class="train-go">
            <label class="field">
                <span class="field-label">{ "Name" }</span>
                <input class="text" type="text" maxlength="60" value={state.train.name.to_string()} data-testid="train-name"
                    oninput={name} />
            </label>
            <button class="button primary" type="button" data-testid="train" disabled={obstacle.is_some()}
                onclick={begin}>{ "Train" }</button>
            <p class="hint" data-testid="train-estimate">{ obstacle.unwrap_or_else(|| estimate(page)) }</p>
            if let Some(own) = state.suggestion().filter(|_| !state.train.is_chosen) {
                <p class="hint" data-testid="suggestion">{ "Input size: " }{ for own.reason() }</p>
            }
        </div>
    }
}

/// What can be chosen about a training.
#[component]
pub(super) fn Choices(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let own = Some(train.effort).filter(|effort| !Effort::ALL.contains(effort));
    let efforts: Vec<Choice> = Effort::ALL
        .into_iter()
        .chain(own)
        .map(|effort| {
            let [student, segmentation] = state.training_steps(effort);
            let words = match effort {
                Effort::Quick => "Quick",
                Effort::Standard => "Standard",
                Effort::Thorough => "Thorough",
                Effort::Own(_) => "From the address",
            };
            (
                effort.id().into(),
                format!("{words} ({} steps)", student + segmentation).into(),
            )
        })
        .collect();
    let effort = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            if let Some(effort) = Effort::ALL.into_iter().find(|effort| effort.id() == id) {
                dispatch.dispatch(Action::Train(TrainAction::Effort(effort)));
            }
        })
    };
    let side = train.settings.model.input_size;
    let mut sizes = SIZES.to_vec();
    if !sizes.contains(&side) {
        sizes.push(side);
    }
    let sizes: Vec<Choice> = sizes
        .iter()
        .map(|side| (side.to_string().into(), format!("{side} pixels").into()))
        .collect();
    let change = |edit: fn(&mut destseg_engine::config::ModelConfig, &str)| {
        let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
        Callback::from(move |value: String| {
            let mut settings = settings.clone();
            edit(&mut settings.model, &value);
            dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
        })
    };
    let fits: Vec<Choice> = vec![
        ("squash".into(), "Stretched to a square".into()),
        ("pad".into(), "Whole, with a border".into()),
        ("crop".into(), "The middle square".into()),
        ("strip".into(), "In squares along the long side".into()),
    ];
    let fit = match train.settings.model.fit {
        InputLayout::Pad => "pad",
        InputLayout::Crop => "crop",
        InputLayout::Strip => "strip",
        InputLayout::Squash | InputLayout::Tile => "squash",
    };
    let fine_tune = {
        let (dispatch, on) = (dispatch.clone(), !train.fine_tune);
        Callback::from(move |()| dispatch.dispatch(Action::Train(TrainAction::FineTune(on))))
    };
    html! {
        <>
            <div class="control-grid">
                <Select label="Training" testid="effort" choices={efforts} value={train.effort.id()} onchange={effort} />
                <Select label="Input size" testid="input-size" choices={sizes} value={side.to_string()}
                    onchange={change(|model, value| model.input_size = value.parse().unwrap_or(model.input_size))} />
                <Select label="Non-square photos" testid="fit" choices={fits} value={fit}
                    onchange={change(|model, value| model.fit = match value {
                        "pad" => InputLayout::Pad,
                        "crop" => InputLayout::Crop,
                        "strip" => InputLayout::Strip,
                        _ => InputLayout::Squash,
                    })} />
                <Network ..page.clone() />
                if let Some(model) = state.possible_start() {
                    <Toggle label={format!("Start from {}", model.info.name)} testid="fine-tune" on={train.fine_tune}
                        onclick={fine_tune} />
                }
            </div>
            if let Some(model) = state.starting_model() {
                <p class="hint">
                    { format!("Builds on {}: needs fewer photos and less time, even for a different part.", model.info.name) }
                </p>
            }
            <Needs ..page.clone() />
        </>
    }
}

/// How long it will take.
fn estimate(page: &Page) -> String {
    let state = &page.state;
    let cpu = state
        .device
        .as_ref()
        .is_some_and(|device| device.backend == BackendChoice::Cpu);
    let place = if cpu {
        "this computer's processor"
    } else {
        "this computer's graphics card"
    };
    match state.training_estimate_ms() {
        Some(ms) => format!(
            "About {} on {place}. You can inspect images meanwhile.",
            format::duration(ms)
        ),
        None => format!("On {place}. You will see the remaining time after a few seconds."),
    }
}

fn progress(page: &Page, course: &Course) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let act = |action: TrainAction| {
        let dispatch = dispatch.clone();
        let action = std::cell::RefCell::new(Some(action));
        Callback::from(move |_: MouseEvent| {
            if let Some(action) = action.borrow_mut().take() {
                dispatch.dispatch(Action::Train(action));
            }
        })
    };
    let (done, total) = (course.done(), course.info.total_steps);
    let student = course.info.student_steps;
    let paused = train.phase == Phase::Paused;
    let ends = train.phase == Phase::Calibrating;
    let stage = match train.phase {
        Phase::Calibrating => "Finding the thresholds on held-out images",
        Phase::Starting(0, 0) => "Going on where it was interrupted",
        Phase::Starting(..) => PREPARING,
        _ if paused => "Paused",
        _ if done < student => "Stage 1 of 2: the student learns what good parts look like",
        _ => "Stage 2 of 2: the segmentation network learns to find defects",
    };
    let left = course.step_ms().map(|ms| ms * (total - done.min(total)) as f64);
    let speed = match (course.step_ms(), left) {
        (Some(ms), Some(left)) if done < total => {
            format!(
                "{:.2} steps/s, about {} left",
                1000.0 / ms,
                format::duration(left)
            )
        }
        _ => String::new(),
    };
    let saved = match course.saved {
        Some(step) => format!("Saved at step {step}. You can close the page and resume later."),
        None => "Not saved by this browser: leave the page open until it is done.".into(),
    };
    let cosine: Vec<_> = course
        .steps
        .iter()
        .filter(|s| s.parts.is_none())
        .map(|s| (s.step, s.loss))
        .collect();
    let part = |index: usize| -> Vec<(usize, f32)> {
        let parts = course
            .steps
            .iter()
            .filter_map(|step| Some((step.step.saturating_sub(student), step.parts?[index])));
        parts.collect()
    };
    html! {
        <div class="train-progress" data-testid="train-progress" data-step={done.to_string()}>
            <p aria-live="polite"><strong data-testid="train-stage">{ stage }</strong></p>
            <progress max={total.to_string()} value={done.to_string()} aria-label="Steps done" />
            <p class="hint">
                <span data-testid="train-step">{ format!("Step {done} of {total}") }</span>{ " · " }
                { format!("{} good images, {} held out", course.info.images, course.info.held_out) }
                if !speed.is_empty() { { " · " }<span data-testid="train-speed">{ speed }</span> }
            </p>
            if let Some(prediction) = &course.held_out {
                <div class="look" data-testid="look" data-step={prediction.step.to_string()}>
                    { for LOOK.iter().enumerate().map(|(index, words)| html! {
                        <div class="sample-cell">
                            <Picture source={Source::HeldOut(prediction.clone())} {index} alt={*words} />
                            <span>{ *words }</span>
                        </div>
                    }) }
                </div>
            }
            <div class="dialog-buttons start">
                <button class="button" type="button" data-testid="pause" disabled={ends} onclick={act(TrainAction::Pause(!paused))}>
                    { if paused { "Continue" } else { "Pause" } }
                </button>
                <button class="button" type="button" data-testid="stop-keep" disabled={ends || !course.in_segmentation()}
                    title="Possible from stage 2 on" onclick={act(TrainAction::Stop(true))}>{ "Stop and keep" }</button>
                <button class="button" type="button" data-testid="discard" onclick={act(TrainAction::Stop(false))}>
                    { "Discard" }
                </button>
            </div>
            <p class="hint" data-testid="train-saved">{ saved }</p>
            <details>
                <summary>{ "Losses" }</summary>
                <div class="charts">
                    { chart::line("Cosine loss (stage 1)", &cosine, student) }
                    { chart::line("Focal loss (stage 2)", &part(0), total - student) }
                    { chart::line("L1 loss (stage 2)", &part(1), total - student) }
                </div>
            </details>
        </div>
    }
}

/// The pictures of a held-out prediction, in words.
const LOOK: [&str; 5] = [
    "With a defect",
    "The defect",
    "Found",
    "Held-out good image",
    "Found in it",
];
