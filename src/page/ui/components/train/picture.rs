//! Pictures that the engine draws, and good images in small.

use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use crate::page::ui::draw;
use crate::page::ui::state::{HeldOutPrediction, Kinds, Preview, TrainingImage};

/// Bytes of an RGBA pixel.
const CHANNELS: usize = 4;
/// Pixels of a thumbnail's longer side, twice its size on the page.
const SIDE: u32 = 128;

/// Where pictures come from.
#[derive(Clone)]
pub(super) enum Source {
    Preview(Rc<Preview>),
    HeldOut(Rc<HeldOutPrediction>),
    Kinds(Rc<Kinds>),
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Preview(a), Self::Preview(b)) => Rc::ptr_eq(a, b),
            (Self::HeldOut(a), Self::HeldOut(b)) => Rc::ptr_eq(a, b),
            (Self::Kinds(a), Self::Kinds(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Source {
    /// The picture's pixels and its side.
    fn picture(&self, index: usize) -> Option<(&[u8], usize)> {
        let (pictures, side) = match self {
            Self::Preview(preview) => (&preview.pictures, preview.side),
            Self::HeldOut(prediction) => (&prediction.pictures, prediction.side),
            Self::Kinds(kinds) => (&kinds.pictures, kinds.side),
        };
        let bytes = CHANNELS * side * side;
        Some((pictures.get(index * bytes..(index + 1) * bytes)?, side))
    }
}

/// Properties of [`Picture`].
#[derive(PartialEq, Properties)]
pub(super) struct PictureProps {
    pub(super) source: Source,
    /// Which one.
    pub(super) index: usize,
    /// In words; empty where the text beside it says everything.
    pub(super) alt: AttrValue,
}

/// One of the engine's pictures.
#[component]
pub(super) fn Picture(props: &PictureProps) -> Html {
    let canvas = use_node_ref();
    {
        let canvas = canvas.clone();
        use_effect_with((props.source.clone(), props.index), move |(source, index)| {
            if let (Some(canvas), Some((pixels, side))) =
                (canvas.cast::<HtmlCanvasElement>(), source.picture(*index))
            {
                // without a context the picture stays empty, its words are still there
                let _ = draw::paint(&canvas, pixels, side, side);
            }
        });
    }
    // without words the text beside it says everything
    if props.alt.is_empty() {
        return html! { <canvas ref={canvas} class="picture" aria-hidden="true" /> };
    }
    html! { <canvas ref={canvas} class="picture" role="img" aria-label={props.alt.clone()} /> }
}

/// Properties of [`Small`].
#[derive(PartialEq, Properties)]
pub(super) struct SmallProps {
    pub(super) image: TrainingImage,
}

/// A good image in small. It is decoded only after the engine accepted it: the engine knows what a
/// hostile file may cost, the browser's decoder may not.
#[component]
pub(super) fn Small(props: &SmallProps) -> Html {
    let canvas = use_node_ref();
    {
        let (canvas, content) = (canvas.clone(), props.image.content.clone());
        use_effect_with((props.image.id, props.image.size()), move |&(_, size)| {
            if let (Some(content), Some(size)) = (content, size) {
                spawn_local(async move {
                    let Some(bitmap) = draw::decode(&content, size, Some(SIDE)).await else {
                        return;
                    };
                    if let Some(canvas) = canvas.cast::<HtmlCanvasElement>() {
                        let size = (bitmap.width(), bitmap.height());
                        let _ = draw::compose(&canvas, size, Some(&bitmap), &draw::Layers::none());
                    }
                    bitmap.close();
                });
            }
        });
    }
    html! { <canvas ref={canvas} class="good-picture" aria-hidden="true" /> }
}
