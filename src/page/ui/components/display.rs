//! How results are shown.

use yew::prelude::*;

use super::Page;
use super::controls::{Choice, Select, Slider, Toggle};
use crate::page::ui::format;
use crate::page::ui::state::{Action, MapKind, View};
use destseg_engine::render::ColorMap;

/// Overlay, opacity, colours, outline, threshold and map.
#[component]
pub(crate) fn Display(page: &Page) -> Html {
    let Page { state, dispatch } = page;
    let view = state.view;
    let range = state.range();
    let threshold = state.threshold();
    let show = {
        let dispatch = dispatch.clone();
        Callback::from(move |view: View| dispatch.dispatch(Action::View(view)))
    };
    let colors: Vec<Choice> = ColorMap::ALL
        .into_iter()
        .map(|map| (map.id().into(), capitalised(map.id()).into()))
        .collect();
    let kinds: Vec<Choice> = state
        .map_kinds()
        .iter()
        .map(|kind| (kind.id().into(), kind.label().into()))
        .collect();
    let choose_colors = show.reform(move |id: String| {
        let colors = ColorMap::ALL
            .into_iter()
            .find(|map| map.id() == id)
            .unwrap_or(view.colors);
        View { colors, ..view }
    });
    let choose_kind = show.reform(move |id: String| {
        let kind = MapKind::ALL
            .into_iter()
            .find(|kind| kind.id() == id)
            .unwrap_or(view.kind);
        View { kind, ..view }
    });
    let set_threshold = move |value: Option<f32>| {
        let mut view = view;
        view.thresholds[view.kind as usize] = value;
        view
    };
    let moved = view.thresholds[view.kind as usize].is_some();
    html! {
        <section class="panel display" aria-labelledby="display-title">
            <h2 id="display-title">{ "Display" }</h2>
            <Toggle label="Heat map" testid="overlay" on={view.overlay}
                onclick={show.reform(move |()| View { overlay: !view.overlay, ..view })} />
            <Slider label="Opacity" testid="opacity" value={view.opacity} disabled={!view.overlay}
                text={format!("{:.0} %", view.opacity * 100.0)}
                oninput={show.reform(move |opacity| View { opacity, ..view })} />
            <Select label="Colours" testid="colormap" choices={colors} value={view.colors.id()}
                onchange={choose_colors} />
            <Select label="Map" testid="map-kind" choices={kinds} value={view.kind.id()} onchange={choose_kind} />
            <Toggle label="Outline" testid="contour" on={view.contour}
                onclick={show.reform(move |()| View { contour: !view.contour, ..view })} />
            <Slider label="Outline threshold" testid="threshold" value={threshold / range.1} disabled={!view.contour}
                text={format::value(threshold)}
                oninput={show.reform(move |share: f32| set_threshold(Some(share * range.1)))} />
            if moved {
                <button class="link" type="button" data-testid="threshold-reset"
                    onclick={show.reform(move |_: MouseEvent| set_threshold(None))}>
                    { "Back to the model's threshold" }
                </button>
            }
        </section>
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
