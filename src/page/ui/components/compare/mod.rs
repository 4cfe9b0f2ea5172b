//! The room where methods stand side by side.

use yew::prelude::*;

use super::column::Column;
use super::controls::{Choice, FileButton, Select};
use super::{Page, add};
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, CompareAction, Readiness, State};
use crate::page::ui::{files, format};
use destseg_engine::config::{FEWEST_IMAGES, Method, TeacherKind};
use destseg_engine::methods::{self, BaselineInfo};

/// Good images, baselines, and their maps of the same image.
#[component]
pub(crate) fn CompareRoom(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let own = &state.compare;
    let onfiles = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen| files::take(chosen, &dispatch))
    };
    let choices: Vec<Choice> = state
        .items
        .iter()
        .map(|item| (item.id.to_string().into(), item.name.to_string().into()))
        .collect();
    let choose = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            if let Ok(id) = id.parse() {
                dispatch.dispatch(Action::Select(id));
            }
        })
    };
    let selected = state.selected.map(|id| id.to_string()).unwrap_or_default();
    let comparison = state.selected.and_then(|id| own.of(id)).cloned();
    html! {
        <main class="evaluate compare" id="result" data-testid="compare">
            <section class="panel" aria-labelledby="compare-title">
                <h2 id="compare-title">{ "Three methods, the same good images, the same image" }</h2>
                <p class="hint">
                    { "DeSTSeg is the model that is loaded. PatchCore remembers patches of your good images and is ready in \
                       seconds; STPM, the forerunner, is trained on them in a minute or two." }
                </p>
                <div class="collect-buttons">
                    <FileButton testid="compare-good" accept={files::IMAGE_TYPES} multiple=true class="primary"
                        onfiles={onfiles.clone()}>{ icon(icons::PICTURE) }{ "Add good images" }</FileButton>
                    <FileButton testid="compare-folder" accept="" folder=true {onfiles}>
                        { icon(icons::FOLDER) }{ "Add a folder" }
                    </FileButton>
                    <add::CameraButton ..page.clone() />
                    <span class="count" data-testid="compare-count">{ format!("{} good images ready", state.train.ready()) }</span>
                </div>
                <div class="baselines">
                    { for methods::INFOS.iter().filter_map(|info| Some(baseline(page, info.method, &info.baseline?))) }
                </div>
                if let Some(message) = &own.error {
                    <p class="warning-text" role="alert" data-testid="compare-error">{ icon(icons::WARNING) }{ &**message }</p>
                }
            </section>
            <section class="panel" aria-label="Comparison">
                <div class="gallery-head">
                    <Select label="Image" testid="compare-image" {choices} value={selected} onchange={choose} />
                    <p class="hint">{ "Add images of your own in the inspection." }</p>
                </div>
                if let (Some(item), Some(comparison)) = (state.current(), comparison) {
                    <ol class="columns" data-testid="columns">
                        { for comparison.predictions.iter().enumerate().map(|(index, (summary, _))| html! {
                            <Column key={summary.method.label()} page={page.clone()} item={item.clone()}
                                comparison={comparison.clone()} {index} name={summary.method.label()}
                                bytes={bytes(state, index, summary.method)} />
                        }) }
                    </ol>
                } else {
                    <p class="hint" aria-live="polite">{ if state.current().is_some() { "Running the methods …" } else { "No image is chosen." } }</p>
                }
            </section>
        </main>
    }
}

/// Bytes of a method's file and its teacher; the loaded model comes first, whatever its method.
fn bytes(state: &State, index: usize, method: Method) -> Option<u64> {
    if index == 0 {
        return state.model.as_ref().map(|model| model.info.bytes);
    }
    let Some(Readiness::Ready(baseline, _)) = state.compare.baseline(method) else {
        return None;
    };
    let mut teachers = state.manifest.iter().flat_map(|manifest| &manifest.teachers);
    let teacher = teachers.find(|teacher| teacher.id == TeacherKind::EfficientnetLite0.id());
    Some(baseline.bytes as u64 + teacher.map_or(0, |teacher| teacher.bytes))
}

/// A method to prepare, which is then compared with the loaded model: its status, and what can be done.
fn baseline(page: &Page, method: Method, info: &BaselineInfo) -> Html {
    let Page { state, dispatch } = page;
    let own = &state.compare;
    let act = |action: CompareAction| {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Compare(action)))
    };
    let readiness = own.baseline(method);
    let enough = state.train.ready() >= FEWEST_IMAGES;
    let idle = !own.is_making() && !state.train.is_training();
    let words = match readiness {
        None if enough => "not prepared yet".to_owned(),
        None => format!("needs {FEWEST_IMAGES} good images or more"),
        Some(Readiness::Making(doing, done, total)) if *total > 0 => format!("{doing}: {done} of {total}"),
        Some(Readiness::Making(doing, ..)) => doing.to_string(),
        Some(Readiness::Ready(baseline, _)) => {
            let patches = baseline.patches.map_or_else(String::new, |(kept, all)| {
                format!(
                    "{kept} of {all} patches ({:.0} %), ",
                    100.0 * kept as f64 / all.max(1) as f64
                )
            });
            format!(
                "{patches}{} MB beside the teacher, from {} images in {}; held-out images set its threshold",
                format::megabytes(baseline.bytes as u64),
                baseline.images,
                format::time(baseline.ms)
            )
        }
    };
    let values: Vec<Choice> = info
        .choice
        .iter()
        .flat_map(|choice| choice.values)
        .map(|&(value, words)| (value.to_string().into(), words.into()))
        .collect();
    let choose = {
        let dispatch = dispatch.clone();
        Callback::from(move |value: String| {
            if let Ok(value) = value.parse() {
                dispatch.dispatch(Action::Compare(CompareAction::Choose(method, value)));
            }
        })
    };
    let action = match readiness {
        Some(Readiness::Ready(..)) => "Prepare again",
        Some(Readiness::Making(..)) | None => info.action,
    };
    let name = method.label();
    html! {
        <div class="baseline" data-testid={format!("baseline-{}", name.to_lowercase())}
            data-ready={matches!(readiness, Some(Readiness::Ready(..))).to_string()}>
            <h3>{ name }</h3>
            <p class="hint" aria-live="polite">{ words }</p>
            if let (Some(choice), Some(value)) = (info.choice, own.chosen(method)) {
                <Select label={choice.label} testid={choice.setting} choices={values} value={value.to_string()}
                    onchange={choose} />
            }
            if let Some(Readiness::Making(_, done, total)) = readiness {
                <progress aria-label={format!("{name} is being prepared")}
                    value={(*total > 0).then(|| done.to_string())} max={total.to_string()} />
                <button class="button" type="button" onclick={act(CompareAction::Stop)}>{ "Stop" }</button>
            } else {
                <button class="button" type="button" disabled={!enough || !idle}
                    data-testid={format!("prepare-{}", name.to_lowercase())} onclick={act(CompareAction::Prepare(method))}>
                    { action }
                </button>
            }
        </div>
    }
}
