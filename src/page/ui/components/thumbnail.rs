//! Small pictures of the queue.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use crate::page::ui::draw;
use crate::page::ui::icons::{self, icon};
use crate::page::ui::state::{Item, Status};

/// Pixels of a thumbnail's longer side, twice its size on the page.
const SIDE: u32 = 96;

/// Properties of [`Thumbnail`].
#[derive(PartialEq, Properties)]
pub(crate) struct ThumbnailProps {
    /// The image.
    pub(crate) item: Item,
}

/// An image in small. Files of the visitor are decoded only after the engine accepted them: it
/// knows what a hostile file may cost, the browser's decoder may not.
#[component]
pub(crate) fn Thumbnail(props: &ThumbnailProps) -> Html {
    let canvas = use_node_ref();
    let item = &props.item;
    let size = item
        .prediction()
        .map(|prediction| (prediction.info.width, prediction.info.height));
    {
        let (canvas, content) = (canvas.clone(), item.content.clone());
        let is_own = item.example.is_none();
        use_effect_with((item.id, size), move |&(_, size)| {
            let gone = Rc::new(Cell::new(false));
            let cancelled = gone.clone();
            if let (Some(content), Some(size), true) = (content, size, is_own) {
                spawn_local(async move {
                    let Some(bitmap) = draw::decode(&content, size, Some(SIDE)).await else {
                        return;
                    };
                    if let (Some(canvas), false) = (canvas.cast::<HtmlCanvasElement>(), cancelled.get()) {
                        // without a context the thumbnail stays empty, its name is still there
                        let _ = draw::compose(
                            &canvas,
                            (bitmap.width(), bitmap.height()),
                            Some(&bitmap),
                            &draw::Layers::none(),
                        );
                    }
                    bitmap.close();
                });
            }
            move || gone.set(true)
        });
    }
    match (&item.example, &item.status) {
        (Some(example), _) => html! { <img class="thumbnail" src={example.file.clone()} alt="" /> },
        (None, Status::Done(_)) => html! { <canvas ref={canvas} class="thumbnail" aria-hidden="true" /> },
        (None, Status::Failed(_)) => html! { <span class="thumbnail">{ icon(icons::WARNING) }</span> },
        (None, _) => html! { <span class="thumbnail">{ icon(icons::PICTURE) }</span> },
    }
}
