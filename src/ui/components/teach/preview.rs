//! Step 2: synthetic defects, drawn by the very generator that training uses.

use yew::prelude::*;

use super::picture::{Picture, Source};
use crate::config::{Settings, SynthesisConfig};
use crate::protocol::Textures;
use crate::ui::components::Page;
use crate::ui::components::controls::{Choice, FileButton, Select, Slider, Toggle};
use crate::ui::icons::{self, icon};
use crate::ui::state::{Action, Preview, TeachAction};
use crate::ui::{files, format};

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
    let teach = &state.teach;
    let another = {
        let dispatch = dispatch.clone();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Teach(TeachAction::Another)))
    };
    html! {
        <section class="panel" aria-labelledby="preview-title">
            <h2 id="preview-title">
                <span class="number">{ "2" }</span>{ "Synthetic defects" }
                if let Some(preview) = &teach.preview {
                    <span class="count" data-testid="preview-ms">{ format!("drawn in {}", format::time(preview.ms)) }</span>
                    <button class="link" type="button" data-testid="another" onclick={another}>{ "Other samples" }</button>
                }
            </h2>
            if let Some(preview) = &teach.preview {
                { grid(preview) }
            } else if let Some(message) = &teach.preview_error {
                <p class="hint" data-testid="preview-error">{ &**message }</p>
            } else {
                <p class="hint">{ "As soon as there are good images, defects are painted on them here." }</p>
            }
            <details class="controls">
                <summary>{ "How defects are painted" }</summary>
                { controls(page) }
            </details>
        </section>
    }
}

fn grid(preview: &std::rc::Rc<Preview>) -> Html {
    const COLUMNS: [&str; 4] = ["Good image", "Perlin mask", "Texture", "Result"];
    let rows = preview.samples.iter().enumerate().map(|(row, sample)| {
        let cells = COLUMNS.iter().enumerate().map(|(column, words)| {
            let source = Source::Preview(preview.clone());
            html! {
                <div class="sample-cell">
                    <Picture {source} index={COLUMNS.len() * row + column} alt={format!("{words} of sample {}", row + 1)} />
                    <span>{ *words }</span>
                </div>
            }
        });
        let words = match &sample.texture {
            Some(texture) => format!(
                "{texture}, opacity {:.0} %, noise of {} x {} cells, {:.1} % of the picture",
                100.0 * sample.opacity, sample.cells.0, sample.cells.1, 100.0 * sample.area
            ),
            None => "stays clean".to_owned(),
        };
        html! {
            <li class="sample" data-testid="sample">
                <div class="sample-cells">{ for cells }</div>
                <p class="hint">{ words }</p>
            </li>
        }
    });
    html! { <ol class="samples">{ for rows }</ol> }
}

fn controls(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let teach = &state.teach;
    let locked = teach.is_training();
    let synthesis = &teach.settings.training.synthesis;
    let change = |edit: fn(&mut Settings, f32)| {
        let (dispatch, settings) = (dispatch.clone(), teach.settings.clone());
        Callback::from(move |value: f32| {
            let mut settings = settings.clone();
            edit(&mut settings, value);
            dispatch.dispatch(Action::Teach(TeachAction::Settings(settings)));
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
    } = *synthesis;
    let augment = teach.settings.training.augment;
    let textures: Vec<Choice> = vec![
        ("built_in".into(), "Built-in patterns".into()),
        ("good_images".into(), "The good images themselves".into()),
        (
            "own".into(),
            format!("Own texture images ({})", teach.own_textures.len()).into(),
        ),
    ];
    let shown = match teach.textures {
        Textures::BuiltIn => "built_in",
        Textures::GoodImages => "good_images",
        Textures::Own => "own",
    };
    let choose = {
        let dispatch = dispatch.clone();
        Callback::from(move |id: String| {
            let textures = match id.as_str() {
                "good_images" => Textures::GoodImages,
                "own" => Textures::Own,
                _ => Textures::BuiltIn,
            };
            dispatch.dispatch(Action::Teach(TeachAction::Textures(textures)));
        })
    };
    let own = {
        let dispatch = dispatch.clone();
        Callback::from(move |chosen| {
            dispatch.dispatch(Action::Teach(TeachAction::AddTextures(files::images(chosen))));
        })
    };
    let turn = {
        let (dispatch, settings) = (dispatch.clone(), teach.settings.clone());
        Callback::from(move |()| {
            let mut settings = settings.clone();
            settings.training.augment.rotate_90 ^= true;
            dispatch.dispatch(Action::Teach(TeachAction::Settings(settings)));
        })
    };
    html! {
        <div class="control-grid">
            <Select label="Filled with" testid="textures" choices={textures} value={shown} onchange={choose} />
            <FileButton testid="texture-input" accept="image/*" multiple=true onfiles={own}>
                { icon(icons::PICTURE) }{ "Add texture images" }
            </FileButton>
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
            { slider("Faintest opacity", "opacity-least", least, percent(least), |settings, value| {
                let range = &mut settings.training.synthesis.opacity;
                *range = (value, range.1.max(value));
            }) }
            { slider("Strongest opacity", "opacity-most", most, percent(most), |settings, value| {
                let range = &mut settings.training.synthesis.opacity;
                *range = (range.0.min(value), value);
            }) }
            { slider("Samples that stay clean", "clean-share", clean_share / CLEAN_SHARE, percent(clean_share),
                |settings, value| settings.training.synthesis.clean_share = value * CLEAN_SHARE) }
            { slider("Stains of the part's own texture", "recoloured", recoloured_share, percent(recoloured_share),
                |settings, value| settings.training.synthesis.recoloured_share = value) }
            { slider("Good images rotate", "image-rotation", augment.rotate / IMAGE_ROTATION,
                format!("up to {:.0}°", augment.rotate),
                |settings, value| settings.training.augment.rotate = (value * IMAGE_ROTATION).round()) }
            <Toggle label="Quarter turns of good images" testid="quarter-turns" on={augment.rotate_90} onclick={turn} />
        </div>
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
