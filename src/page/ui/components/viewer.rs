//! The image shown, with heat map and outline.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlCanvasElement, ImageBitmap};
use yew::prelude::*;

use super::Page;
use super::ablate::Ablation;
use super::inside::Inside;
use super::legend::Legend;
use super::marker::Marker;
use super::stage::{self, Pending};
use super::study::StudyPanel;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Action, Item, Mark, Model, Prediction, State, View};
use crate::page::ui::{draw, format};
use destseg_engine::data::contour;

/// Name, picture, legend; saves the picture.
#[component]
pub(crate) fn Viewer(page: &Page) -> Html {
    let state = &page.state;
    let item = state.current();
    let shown = item.and_then(|item| Some((item, state.prediction(item)?)));
    html! {
        <section id="result" class="panel viewer" aria-label="Image" tabindex="-1">
            if let Some((item, prediction)) = shown {
                <Inspection key={item.id} page={page.clone()} item={item.clone()} prediction={prediction.clone()} />
            } else {
                <div class="viewer-head">
                    <h2>{ item.map_or_else(|| "No image".to_owned(), |item| item.name.to_string()) }</h2>
                </div>
                <div class="stage"><Pending ..page.clone() /></div>
            }
        </section>
    }
}

/// Properties of [`Inspection`].
#[derive(Properties)]
struct InspectionProps {
    page: Page,
    item: Item,
    prediction: Rc<Prediction>,
}

impl PartialEq for InspectionProps {
    fn eq(&self, other: &Self) -> bool {
        self.page == other.page
    }
}

/// The image's decoded file: none while it is decoded, or if the browser cannot.
#[hook]
fn use_bitmap(item: &Item, prediction: &Prediction) -> (bool, Option<ImageBitmap>) {
    let bitmap = use_state(|| (false, None::<ImageBitmap>));
    let setter = bitmap.setter();
    let (content, size) = (
        item.content.clone(),
        (prediction.info.width, prediction.info.height),
    );
    use_effect_with(item.id, move |_| {
        let gone = Rc::new(Cell::new(false));
        let cancelled = gone.clone();
        spawn_local(async move {
            let decoded = match content {
                Some(content) => draw::decode(&content, size, None).await,
                None => None,
            };
            match decoded {
                // many megabytes that the collector would see too late
                Some(bitmap) if cancelled.get() => bitmap.close(),
                decoded => setter.set((true, decoded)),
            }
        });
        move || gone.set(true)
    });
    {
        let current = bitmap.1.clone();
        use_effect_with(bitmap.0, move |_| {
            move || {
                if let Some(bitmap) = current {
                    bitmap.close();
                }
            }
        });
    }
    (*bitmap).clone()
}

/// An analysed image.
#[component]
fn Inspection(props: &InspectionProps) -> Html {
    let InspectionProps {
        page,
        item,
        prediction,
    } = props;
    let state = &page.state;
    // what is shown of what the visitor chose
    let (chosen, view) = (state.view, state.view_of(&state.verdict(&prediction.info)));
    let canvas = use_node_ref();
    let (decoded, bitmap) = use_bitmap(item, prediction);
    let map_key = (Rc::as_ptr(prediction) as usize, view.kind);
    let heat = use_memo((map_key, view.colors, state.range()), |&(_, colors, range)| {
        draw::heat_canvas(prediction.map(view.kind), colors, range)
    });
    let outlines = use_memo((map_key, state.threshold()), |&(_, threshold)| {
        contour::contours(prediction.map(view.kind), threshold)
    });
    let has_picture = bitmap.is_some();
    let size = (prediction.info.width, prediction.info.height);
    let map_size = (prediction.info.map_width, prediction.info.map_height);
    {
        let (canvas, bitmap) = (canvas.clone(), bitmap.clone());
        let (heat, outlines) = (heat.clone(), outlines.clone());
        let key = (map_key, view, state.range(), state.threshold(), decoded);
        use_effect_with(key, move |_| {
            if let (Some(canvas), true) = (canvas.cast::<HtmlCanvasElement>(), decoded) {
                let layers = layers(view, heat.as_ref().as_ref(), &outlines, map_size);
                // a canvas without context stays empty; verdict and numbers are still there
                let _ = draw::compose(&canvas, size, bitmap.as_ref(), &layers);
            }
        });
    }
    let save = {
        let dispatch = page.dispatch.clone();
        let name = format!(
            "{}-defects.png",
            item.name.rsplit_once('.').map_or(&*item.name, |(stem, _)| stem)
        );
        Callback::from(move |_: MouseEvent| {
            let (dispatch, name, bitmap) = (dispatch.clone(), name.clone(), bitmap.clone());
            let (heat, outlines) = (heat.clone(), outlines.clone());
            spawn_local(async move {
                let layers = layers(view, heat.as_ref().as_ref(), &outlines, map_size);
                let file = draw::png(size, bitmap.as_ref(), &layers).await;
                if file.and_then(|file| draw::download(&file, &name)).is_none() {
                    let message = "The picture is too large for this browser to save: use a smaller image.";
                    dispatch.dispatch(Action::Notify(message.into()));
                }
            });
        })
    };
    let zoom = {
        let dispatch = page.dispatch.clone();
        move |_: MouseEvent| {
            dispatch.dispatch(Action::View(View {
                actual_size: !chosen.actual_size,
                ..chosen
            }));
        }
    };
    let onpaint = {
        let (dispatch, id) = (page.dispatch.clone(), item.id);
        Callback::from(move |points| dispatch.dispatch(Action::Paint(id, points)))
    };
    let look_inside = {
        let dispatch = page.dispatch.clone();
        move |_: MouseEvent| {
            dispatch.dispatch(Action::View(View {
                inside: !chosen.inside,
                ..chosen
            }));
        }
    };
    let pointer = use_state(|| None::<(u32, u32)>);
    let onpoint = {
        let pointer = pointer.setter();
        Callback::from(move |at| pointer.set(at))
    };
    let follow = {
        let pointer = pointer.setter();
        move |event: PointerEvent| pointer.set(stage::pixel_at(&event, size))
    };
    let leave = {
        let pointer = pointer.setter();
        move |_: PointerEvent| pointer.set(None)
    };
    let under = pointer.map(|at| stage::readout(prediction, view.kind, at));
    let stage = classes!("stage", view.actual_size.then_some("actual"));
    html! {
        <>
            <div class="viewer-head">
                <h2>{ &*item.name }</h2>
                <span class="size">{ format!("{} × {} px", size.0, size.1) }</span>
                <button class="button" type="button" aria-pressed={view.inside.to_string()}
                    data-testid="look-inside" onclick={look_inside}>{ "Look inside" }</button>
                <button class="button" type="button" aria-pressed={view.actual_size.to_string()}
                    data-testid="actual-size" onclick={zoom}>{ "Actual size" }</button>
                <button class="button" type="button" data-testid="save-png" disabled={!decoded} onclick={save}>
                    { icon(icons::SAVE) }{ "Save PNG" }
                </button>
            </div>
            <div class={stage} tabindex={view.actual_size.then_some("0")}>
                <canvas ref={canvas} width={size.0.to_string()} height={size.1.to_string()}
                    data-testid="heatmap-canvas" role="img"
                    onpointermove={follow} onpointerleave={leave}
                    aria-label={description(state, item, prediction)} />
                if state.mark(item) == Mark::Defective && !view.actual_size {
                    <Marker item={item.clone()} {size} {onpaint} />
                }
            </div>
            <div class="viewer-foot">
                if view.overlay || view.contour {
                    <Legend ..page.clone() />
                }
                if decoded && !has_picture {
                    <p class="hint">{ "This browser cannot show the image, only its heat map." }</p>
                }
                <p class="readout" data-testid="readout">{ under }</p>
            </div>
            if view.inside {
                <Inside prediction={prediction.clone()} colors={view.colors} dest_span={state.dest_span()}
                    pointer={*pointer} {onpoint} />
                <Ablation page={page.clone()} item={item.clone()} prediction={prediction.clone()} />
                if state.model.as_ref().is_some_and(Model::has_student) {
                    <StudyPanel page={page.clone()} item={item.id} place={pointer.map(|(x, y)| (
                        (x as f32 + 0.5) / size.0.max(1) as f32, (y as f32 + 0.5) / size.1.max(1) as f32))} />
                }
            }
        </>
    }
}

fn layers<'a>(
    view: View,
    heat: Option<&'a HtmlCanvasElement>,
    outlines: &'a [Vec<(f32, f32)>],
    map_size: (usize, usize),
) -> draw::Layers<'a> {
    draw::Layers {
        heat: heat.filter(|_| view.overlay).map(|heat| (heat, view.opacity)),
        outlines: if view.contour { outlines } else { &[] },
        map_size,
    }
}

/// What the picture shows, for those who do not see it.
fn description(state: &State, item: &Item, prediction: &Prediction) -> String {
    let map = prediction.map(state.view.kind);
    let above = map
        .values()
        .iter()
        .filter(|&&value| value >= state.threshold())
        .count();
    let share = 100.0 * above as f32 / map.values().len().max(1) as f32;
    let subject = item.example.as_ref().map_or(&*item.name, |example| &example.alt);
    format!(
        "{subject}, with heat map; {share:.1} % of the area is above {}",
        format::value(state.threshold())
    )
}
