//! Synthetic defects, drawn by the very generator that training uses.

use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::picture::{Picture, Source};
use super::textures::Fillings;
use crate::page::protocol::SampleInfo;
use crate::page::ui::components::Page;
use crate::page::ui::components::controls::{Slider, Toggle};
use crate::page::ui::format;
use crate::page::ui::state::{Action, Preview, TrainAction};
use destseg_engine::config::{AnomalyKind, Settings, SynthesisConfig};

/// The finest Perlin noise that can be chosen has 2 to the power of this many cells.
const FINEST: f32 = 6.0;
/// Greatest rotations that can be chosen, in degrees: of the noise, of the good image.
const NOISE_ROTATION: f32 = 90.0;
const IMAGE_ROTATION: f32 = 15.0;
/// Greatest share of clean samples that can be chosen.
const CLEAN_SHARE: f32 = 0.5;
/// Range of the noise threshold.
const THRESHOLD: (f32, f32) = (0.2, 0.8);

/// Samples and the controls of the generator.
#[component]
pub(crate) fn Synthetic(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let another = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Train(TrainAction::Another)))
    };
    html! {
        <section aria-labelledby="preview-title">
            <h2 id="preview-title">
                { "Painted defects" }
                if let Some(preview) = &train.preview {
                    <span class="count" data-testid="preview-ms">{ format!("drawn in {}", format::time(preview.ms)) }</span>
                    <button class="link" type="button" data-testid="another" onclick={another}>{ "Other samples" }</button>
                }
            </h2>
            if let Some(preview) = &train.preview {
                { grid(preview) }
            } else if let Some(message) = &train.preview_error {
                <p class="hint" data-testid="preview-error">{ &**message }</p>
            } else {
                <p class="hint">{ "As soon as there are photos, defects are painted on them here." }</p>
            }
            { controls(page) }
        </section>
    }
}

fn grid(preview: &std::rc::Rc<Preview>) -> Html {
    const TEXTURE: &str = "Texture";
    let rows = preview.samples.iter().enumerate().map(|(row, sample)| {
        let mask = if sample.pasted.is_some() { "Perlin mask" } else { "Mask" };
        let columns = ["Good image", mask, TEXTURE, "Result"];
        let cells = columns.into_iter().enumerate().map(|(column, words)| {
            let source = Source::Preview(preview.clone());
            html! {
                <div class="sample-cell">
                    if words == TEXTURE && sample.pasted.is_none() {
                        <span class="picture no-picture">{ "none" }</span>
                    } else {
                        <Picture {source} index={columns.len() * row + column} alt={format!("{words} of sample {}", row + 1)} />
                    }
                    <span>{ words }</span>
                </div>
            }
        });
        let words = words_of(sample);
        html! {
            <li class="sample" data-testid="sample">
                <div class="sample-cells">{ for cells }</div>
                <p class="hint">{ words }</p>
            </li>
        }
    });
    html! { <ol class="samples">{ for rows }</ol> }
}

/// What was painted into a sample, in words.
fn words_of(sample: &SampleInfo) -> String {
    if sample.anomalies.is_empty() {
        return "stays clean".to_owned();
    }
    let texture = sample
        .pasted
        .map_or_else(String::new, |(opacity, (down, across))| {
            format!(
                ", opacity {:.0} %, noise of {down} x {across} cells",
                100.0 * opacity
            )
        });
    let area = 100.0 * sample.area;
    format!(
        "{}{texture}, {area:.1} % of the picture",
        sample.anomalies.join(", ")
    )
}

fn controls(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let train = &state.train;
    let locked = train.is_training();
    let synthesis = &train.settings.training.synthesis;
    let change = |edit: fn(&mut Settings, f32)| {
        let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
        Callback::from(move |value: f32| {
            let mut settings = settings.clone();
            edit(&mut settings, value);
            dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
        })
    };
    let slider = |label: &'static str,
                  testid: &'static str,
                  value: f32,
                  text: String,
                  edit: fn(&mut Settings, f32)| {
        html! { <Slider {label} {testid} {value} {text} disabled={locked} oninput={change(edit)} /> }
    };
    let percent = |share: f32| format!("{:.0} %", 100.0 * share);
    let SynthesisConfig {
        scale_exponents: (coarse, fine),
        threshold,
        noise_rotation,
        opacity: (least, most),
        clean_share,
        recoloured_share,
        ..
    } = *synthesis;
    let augment = train.settings.training.augment;
    let kinds = &synthesis.kinds;
    let share = |kind: AnomalyKind| {
        let total: f32 = AnomalyKind::ALL.iter().map(|&kind| kinds.get(kind)).sum();
        let change = {
            let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
            Callback::from(move |value: f32| {
                let mut settings = settings.clone();
                *settings.training.synthesis.kinds.get_mut(kind) = value;
                if settings.training.validate().is_ok() {
                    dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
                }
            })
        };
        let value = kinds.get(kind);
        html! {
            <Slider label={kind.label()} testid={format!("share-{}", kind.id())} value={value.min(1.0)}
                text={percent(value / total)} disabled={locked} oninput={change} />
        }
    };
    let part_alone = {
        let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
        Callback::from(move |()| {
            let mut settings = settings.clone();
            settings.training.synthesis.foreground_only ^= true;
            dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
        })
    };
    let seed = {
        let dispatch = dispatch.clone();
        Callback::from(move |event: InputEvent| {
            let input = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            if let Some(seed) = input.and_then(|input| input.value().trim().parse().ok()) {
                dispatch.dispatch(Action::Train(TrainAction::Seed(seed)));
            }
        })
    };
    let turn = {
        let (dispatch, settings) = (dispatch.clone(), train.settings.clone());
        Callback::from(move |()| {
            let mut settings = settings.clone();
            settings.training.augment.rotate_90 ^= true;
            dispatch.dispatch(Action::Train(TrainAction::Settings(settings.into())));
        })
    };
    html! {
        <>
        <h3>{ "Kinds of defects" }</h3>
        <div class="control-grid">{ for AnomalyKind::ALL.into_iter().map(share) }</div>
        <h3>{ "Foreign textures" }</h3>
        <Fillings ..page.clone() />
        <div class="control-grid">
            { slider("Largest pieces", "coarse", coarse as f32 / FINEST, cells(coarse), |settings, value| {
                let range = &mut settings.training.synthesis.scale_exponents;
                range.0 = exponent(value);
                range.1 = range.1.max(range.0);
            }) }
            { slider("Smallest pieces", "fine", fine as f32 / FINEST, cells(fine), |settings, value| {
                let range = &mut settings.training.synthesis.scale_exponents;
                range.1 = exponent(value);
                range.0 = range.0.min(range.1);
            }) }
            { slider("Noise threshold", "noise-threshold", (threshold - THRESHOLD.0) / (THRESHOLD.1 - THRESHOLD.0),
                format!("{threshold:.2}"), |settings, value| {
                settings.training.synthesis.threshold = THRESHOLD.0 + value * (THRESHOLD.1 - THRESHOLD.0);
            }) }
            { slider("Noise rotation", "noise-rotation", noise_rotation / NOISE_ROTATION,
                format!("up to {noise_rotation:.0}°"), |settings, value| {
                settings.training.synthesis.noise_rotation = value * NOISE_ROTATION;
            }) }
            { slider("The part itself in another colour", "recoloured", recoloured_share, percent(recoloured_share),
                |settings, value| settings.training.synthesis.recoloured_share = value) }
            { slider("Faintest opacity", "opacity-least", least, percent(least), |settings, value| {
                let range = &mut settings.training.synthesis.opacity;
                *range = (value, range.1.max(value));
            }) }
            { slider("Strongest opacity", "opacity-most", most, percent(most), |settings, value| {
                let range = &mut settings.training.synthesis.opacity;
                *range = (range.0.min(value), value);
            }) }
        </div>
        <h3>{ "All of them" }</h3>
        <div class="control-grid">
            <label class="field">
                <span class="field-label">{ "Seed of all random numbers" }</span>
                <input class="text" type="number" min="0" step="1" value={train.seed.to_string()} data-testid="seed"
                    disabled={locked} oninput={seed} />
            </label>
            <Toggle label="On the part only, not on its background" testid="foreground-only"
                on={synthesis.foreground_only} onclick={part_alone} />
            { slider("Samples that stay clean", "clean-share", clean_share / CLEAN_SHARE, percent(clean_share),
                |settings, value| settings.training.synthesis.clean_share = value * CLEAN_SHARE) }
            { slider("Good images rotate", "image-rotation", augment.rotate / IMAGE_ROTATION,
                format!("up to {:.0}°", augment.rotate),
                |settings, value| settings.training.augment.rotate = (value * IMAGE_ROTATION).round()) }
            <Toggle label="Quarter turns of good images" testid="quarter-turns" on={augment.rotate_90} onclick={turn} />
        </div>
        </>
    }
}

/// What a scale means.
fn cells(exponent: u32) -> String {
    match 1_u32 << exponent {
        1 => "the whole picture".into(),
        cells => format!("1/{cells} of the picture"),
    }
}

/// The scale at a slider's position.
fn exponent(value: f32) -> u32 {
    (value * FINEST).round() as u32
}
