//! One method's map of the image.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlCanvasElement;
use yew::prelude::*;

use super::Page;
use crate::page::protocol::PredictionSummary;
use crate::page::ui::state::{Comparison, Item};
use crate::page::ui::{draw, format};
use destseg_engine::data::contour;
use destseg_engine::data::map::AnomalyMap;

/// Pixels of a picture's longer side.
const SHOWN: u32 = 512;

/// Properties of [`Column`].
#[derive(Properties)]
pub(crate) struct ColumnProps {
    pub(crate) page: Page,
    pub(crate) item: Item,
    pub(crate) comparison: Rc<Comparison>,
    /// Place among the methods.
    pub(crate) index: usize,
    /// What is shown.
    pub(crate) name: AttrValue,
    /// Bytes of its file, if they are known.
    #[prop_or_default]
    pub(crate) bytes: Option<u64>,
}

impl PartialEq for ColumnProps {
    fn eq(&self, other: &Self) -> bool {
        self.page == other.page
            && Rc::ptr_eq(&self.comparison, &other.comparison)
            && (self.index, &self.name, self.bytes) == (other.index, &other.name, other.bytes)
    }
}

/// Map, score, decision, time, size.
#[component]
pub(crate) fn Column(props: &ColumnProps) -> Html {
    let canvas = use_node_ref();
    let ColumnProps {
        page,
        item,
        comparison,
        index,
        name,
        bytes,
    } = props;
    let Some((summary, map)) = comparison.predictions.get(*index) else {
        return Html::default();
    };
    let range = (0.0, span(summary, map));
    {
        let (canvas, comparison, index) = (canvas.clone(), comparison.clone(), *index);
        let (content, colors, id) = (item.content.clone(), page.state.view.colors, item.id);
        let own = item.info().map(|info| (info.width, info.height));
        let key = (
            id,
            Rc::as_ptr(&comparison) as usize,
            index,
            colors,
            content.is_some(),
        );
        use_effect_with(key, move |_| {
            let gone = Rc::new(Cell::new(false));
            let cancelled = gone.clone();
            spawn_local(async move {
                let Some((_, map)) = comparison.predictions.get(index) else {
                    return;
                };
                let own = own.unwrap_or((map.width() as u32, map.height() as u32));
                let bitmap = match content {
                    Some(content) => draw::decode(&content, own, Some(SHOWN)).await,
                    None => None,
                };
                let fitted = bitmap.as_ref().map(|bitmap| (bitmap.width(), bitmap.height()));
                let size = fitted.unwrap_or((map.width() as u32, map.height() as u32));
                if let (Some(canvas), false) = (canvas.cast::<HtmlCanvasElement>(), cancelled.get()) {
                    let summary = &comparison.predictions[index].0;
                    // as in the inspection: the map of another part says nothing
                    let is_known = summary.unfamiliar != Some(true);
                    let heat = draw::heat_canvas(map, colors, range).filter(|_| is_known);
                    let threshold = summary
                        .thresholds
                        .filter(|_| is_known)
                        .map(|thresholds| thresholds.pixel);
                    let outlines =
                        threshold.map_or_else(Vec::new, |threshold| contour::contours(map, threshold));
                    let layers = draw::Layers {
                        heat: heat.as_ref().map(|heat| (heat, 0.6)),
                        outlines: &outlines,
                        map_size: (map.width(), map.height()),
                    };
                    // without a context the numbers are still there
                    let _ = draw::compose(&canvas, size, bitmap.as_ref(), &layers);
                }
                if let Some(bitmap) = bitmap {
                    bitmap.close();
                }
            });
            move || gone.set(true)
        });
    }
    let decision = match (summary.thresholds, summary.unfamiliar) {
        (_, Some(true)) => "unfamiliar",
        (Some(thresholds), _) if summary.score >= thresholds.image => "defective",
        (Some(_), _) => "good",
        (None, _) => "not calibrated",
    };
    html! {
        <li class="compare-column" data-testid="compare-column" data-method={summary.method.label()} data-score={summary.score.to_string()}>
            <h3>{ name }</h3>
            <canvas ref={canvas} role="img" aria-label={format!("{}, map of {name}", item.name)} />
            <dl class="facts">
                <div><dt>{ "Decision" }</dt><dd>{ decision }</dd></div>
                <div><dt>{ "Score" }</dt><dd>{ format::value(summary.score) }
                    { summary.thresholds.map(|thresholds| format!(" (threshold {})", format::value(thresholds.image))) }</dd></div>
                <div><dt>{ "Time" }</dt><dd>{ format::time(summary.ms) }</dd></div>
                if let Some(bytes) = bytes {
                    <div><dt>{ "Size" }</dt><dd>{ format!("{} MB", format::megabytes(*bytes)) }</dd></div>
                }
            </dl>
        </li>
    }
}

/// The map's value that has the hottest colour.
pub(crate) fn span(summary: &PredictionSummary, map: &AnomalyMap) -> f32 {
    if summary.probabilities {
        return 1.0;
    }
    // the threshold of pixels lies in the middle of the colours
    let span = summary
        .thresholds
        .map_or_else(|| map.maximum(), |thresholds| 2.0 * thresholds.pixel);
    span.max(f32::MIN_POSITIVE)
}
