//! Look inside: every map behind the result, linked by the pointer.

use std::rc::Rc;

use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use super::stage;
use crate::page::ui::state::Prediction;
use crate::page::ui::{draw, format};
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::render::{self, ColorMap};

/// Cosine distance that has the hottest colour: features at a right angle have nothing in common, and
/// good parts stay far below.
const LEVEL_SPAN: f32 = 1.0;

/// Radius of the ring under the pointer, in parts of the image's longer side.
const CROSS: f64 = 0.03;

/// Properties of [`Inside`].
#[derive(Properties)]
pub(crate) struct InsideProps {
    /// What is shown.
    pub(crate) prediction: Rc<Prediction>,
    /// Colours of all maps.
    pub(crate) colors: ColorMap,
    /// The value of the DeST map that has the hottest colour.
    pub(crate) dest_span: f32,
    /// Pixel of the image under the pointer.
    pub(crate) pointer: Option<(u32, u32)>,
    /// Called where the pointer moves.
    pub(crate) onpoint: Callback<Option<(u32, u32)>>,
}

impl PartialEq for InsideProps {
    fn eq(&self, other: &Self) -> bool {
        let rest = |props: &Self| (props.colors, props.dest_span, props.pointer);
        Rc::ptr_eq(&self.prediction, &other.prediction) && rest(self) == rest(other)
    }
}

/// One of the maps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Distance at a level, fine to coarse.
    Level(usize),
    /// The DeST map.
    Product,
    /// The segmentation network's.
    Segmentation,
}

impl Which {
    const ALL: [Self; 5] = [
        Self::Level(0),
        Self::Level(1),
        Self::Level(2),
        Self::Product,
        Self::Segmentation,
    ];

    fn map(self, prediction: &Prediction) -> Option<&AnomalyMap> {
        let map = match self {
            Self::Level(level) => prediction.levels.get(level),
            Self::Product => Some(&prediction.dest),
            Self::Segmentation => prediction.segmentation.as_ref(),
        };
        // a memory bank has no student to compare with
        map.filter(|map| !map.values().is_empty())
    }

    /// Short name and meaning.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Level(0) => ("Fine", "edges and texture"),
            Self::Level(1) => ("Middle", "patterns"),
            Self::Level(_) => ("Coarse", "parts and shapes"),
            Self::Product => ("Product", "where all three disagree (DeST)"),
            Self::Segmentation => ("Segmentation", "learned from painted defects"),
        }
    }

    /// The value that has the hottest colour.
    fn span(self, dest_span: f32) -> f32 {
        match self {
            Self::Level(_) => LEVEL_SPAN,
            Self::Product => dest_span,
            Self::Segmentation => 1.0,
        }
    }
}

/// The three discrepancy maps, their product and the segmentation network's map.
#[component]
pub(crate) fn Inside(props: &InsideProps) -> Html {
    let smooth = use_state(|| false);
    let toggle = {
        let (setter, now) = (smooth.setter(), *smooth);
        move |_: MouseEvent| setter.set(!now)
    };
    html! {
        <section class="inside" aria-labelledby="inside-title" data-testid="inside">
            <div class="inside-head">
                <h3 id="inside-title">{ "Teacher against student" }</h3>
                <button class="button" type="button" aria-pressed={smooth.to_string()} data-testid="inside-smooth"
                    onclick={toggle}>{ "Smooth" }</button>
            </div>
            <p class="hint">
                { "The teacher describes the image as it is; the student was trained to give the teacher's \
                   description of a good part, even of a damaged one. Where they disagree (0: same, 1: nothing in \
                   common) is something that good parts do not have." }
            </p>
            <ol class={classes!("inside-maps", smooth.then_some("smooth"))}>
                { for Which::ALL.into_iter().filter_map(|which| figure(props, which)) }
            </ol>
        </section>
    }
}

fn figure(props: &InsideProps, which: Which) -> Option<Html> {
    let InsideProps {
        prediction,
        colors,
        pointer,
        onpoint,
        ..
    } = props;
    let map = which.map(prediction)?;
    let size = (prediction.info.width, prediction.info.height);
    let (value, word) = match pointer {
        Some(at) => (stage::value_at(prediction, map, *at), "here"),
        None => (map.maximum(), "highest"),
    };
    let follow = onpoint.reform(move |event: PointerEvent| stage::pixel_at(&event, size));
    let leave = onpoint.reform(|_: PointerEvent| None);
    // the drawing gives the frame the image's shape
    let cross = pointer.map(|(x, y)| {
        let (x, y) = (format!("{x}.5"), format!("{y}.5"));
        let radius = (CROSS * f64::from(size.0.max(size.1))).to_string();
        html! {
            <>
                <circle class="rim" cx={x.clone()} cy={y.clone()} r={radius.clone()} />
                <circle cx={x} cy={y} r={radius} />
            </>
        }
    });
    let (title, meaning) = which.words();
    let label = format!(
        "{title}: {meaning}; highest value {}",
        format::value(map.maximum())
    );
    Some(html! {
        <li key={title} data-testid="inside-map" data-map={title}>
            <div class="inside-map" role="img" aria-label={label} onpointermove={follow} onpointerleave={leave}>
                <Painted prediction={prediction.clone()} {which} colors={*colors} span={which.span(props.dest_span)} />
                <svg viewBox={format!("0 0 {} {}", size.0, size.1)} focusable="false">{ cross }</svg>
            </div>
            <h4>{ title }<span class="count">{ format!("{} × {}", map.width(), map.height()) }</span></h4>
            <p class="inside-value" data-testid="inside-value">{ word }{ " " }<b>{ format::value(value) }</b></p>
            <p class="hint">{ meaning }</p>
        </li>
    })
}

/// Properties of [`Painted`].
#[derive(Properties)]
struct PaintedProps {
    prediction: Rc<Prediction>,
    which: Which,
    colors: ColorMap,
    span: f32,
}

impl PartialEq for PaintedProps {
    fn eq(&self, other: &Self) -> bool {
        let rest = |props: &Self| (props.which, props.colors, props.span);
        Rc::ptr_eq(&self.prediction, &other.prediction) && rest(self) == rest(other)
    }
}

/// A map in colours, one canvas pixel per value.
#[component]
fn Painted(props: &PaintedProps) -> Html {
    let canvas = use_node_ref();
    {
        let (canvas, prediction) = (canvas.clone(), props.prediction.clone());
        let (which, colors, span) = (props.which, props.colors, props.span);
        let key = (Rc::as_ptr(&prediction) as usize, which, colors, span);
        use_effect_with(key, move |_| {
            if let (Some(canvas), Some(map)) = (canvas.cast::<HtmlCanvasElement>(), which.map(&prediction)) {
                let pixels = render::heat_map_rgba(map, colors, (0.0, span));
                // without a context the values are still there
                let _ = draw::paint(&canvas, &pixels, map.width(), map.height());
            }
        });
    }
    html! { <canvas ref={canvas} /> }
}
