//! Clean and damaged: what a defect does to the teacher's features, and how the student repairs them.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::JsCast as _;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};
use yew::prelude::*;

use super::features::LEVELS;
use crate::page::ui::components::controls::Slider;
use crate::page::ui::components::{Page, stage};
use crate::page::ui::state::{Action, ItemId, StudyAction};
use crate::page::ui::study::{CLEAN, STUDENT, Study, TEACHER, distance};
use crate::page::ui::{draw, format};

/// Colours to paint with.
const PAINTS: [(&str, &str); 4] = [
    ("dark", "#22201e"),
    ("light", "#f1eee6"),
    ("rust", "#9a4a1c"),
    ("blue", "#2b5fb0"),
];
/// Widest brush in pixels of the input.
const WIDEST: f64 = 48.0;

/// Properties of [`Repair`].
#[derive(Properties)]
pub(super) struct RepairProps {
    pub(super) page: Page,
    pub(super) item: ItemId,
    pub(super) clean: Rc<Study>,
}

impl PartialEq for RepairProps {
    fn eq(&self, other: &Self) -> bool {
        self.page == other.page && self.item == other.item && Rc::ptr_eq(&self.clean, &other.clean)
    }
}

/// Painting or drawing a defect, and the three networks' answers.
#[component]
pub(super) fn Repair(props: &RepairProps) -> Html {
    let RepairProps { page, item, clean } = props;
    let side = clean.info.side as u32;
    let (color, brush) = (use_state(|| PAINTS[0].1), use_state(|| 0.3_f32));
    let seed = use_state(|| 1_u64);
    let canvas = use_node_ref();
    let last = use_mut_ref(|| None::<(f64, f64)>);
    let paint = Brush {
        canvas: canvas.clone(),
        last,
        color: *color,
        width: f64::from(*brush) * WIDEST + 2.0,
        side,
    };
    let act = {
        let dispatch = page.dispatch.clone();
        Callback::from(move |action: StudyAction| dispatch.dispatch(Action::Study(action)))
    };
    let (begin, go_on) = (paint.clone(), paint.clone());
    let onpointerdown = Callback::from(move |event: PointerEvent| begin.begin(&event));
    let onpointermove = Callback::from(move |event: PointerEvent| go_on.go_on(&event));
    let onpointerup = {
        let (paint, act) = (paint.clone(), act.clone());
        Callback::from(move |_: PointerEvent| {
            if let Some(pixels) = paint.end() {
                act.emit(StudyAction::Painted(pixels.into()));
            }
        })
    };
    let synthetic = {
        let (act, setter, now, paint) = (act.clone(), seed.setter(), *seed, paint.clone());
        Callback::from(move |_: MouseEvent| {
            paint.clear();
            setter.set(now + 1);
            act.emit(StudyAction::Synthetic(now));
        })
    };
    let clear = {
        let (act, paint) = (act.clone(), paint);
        Callback::from(move |_: MouseEvent| {
            paint.clear();
            act.emit(StudyAction::Clear);
        })
    };
    let colors = PAINTS.iter().map(|&(name, value)| {
        let setter = color.setter();
        html! {
            <button class={classes!("swatch", format!("swatch-{name}"))} type="button" aria-label={format!("Paint {name}")}
                aria-pressed={(value == *color).to_string()} onclick={move |_: MouseEvent| setter.set(value)} />
        }
    });
    let damaged = page.state.study.damaged_of(*item).cloned();
    let size = {
        let setter = brush.setter();
        Callback::from(move |value: f32| setter.set(value))
    };
    html! {
        <section class="study" aria-labelledby="repair-title" data-testid="repair">
            <h3 id="repair-title">{ "The idea in one picture: the student repairs" }</h3>
            <p class="hint">
                { "Paint a defect onto the picture, or take one as training paints them. The teacher passes it on; the student \
                   gives what it knows of good parts." }
            </p>
            <div class="repair">
                <div class="repair-paint">
                    <div class="paint-area">
                        <Rgba pixels={Rc::new(clean.clean.clone())} side={clean.info.side} />
                        <canvas ref={canvas} width={side.to_string()} height={side.to_string()} data-testid="paint-canvas"
                            role="img" aria-label="The image to paint on" {onpointerdown} {onpointermove} {onpointerup} />
                    </div>
                    <div class="paint-tools">{ for colors }</div>
                    <Slider label="Brush" testid="brush" value={*brush} text={format!("{:.0} px", f64::from(*brush) * WIDEST + 2.0)}
                        oninput={size} />
                    <div class="collect-buttons">
                        <button class="button" type="button" data-testid="synthetic-damage" onclick={synthetic}>
                            { "Take a synthetic defect" }
                        </button>
                        <button class="button" type="button" data-testid="clear-damage" onclick={clear}>{ "Clear" }</button>
                    </div>
                </div>
                if let Some(study) = damaged {
                    <Answers {study} />
                } else if page.state.study.is_working() {
                    <p class="hint">{ "Running the networks …" }</p>
                }
            </div>
        </section>
    }
}

/// A brush on its canvas.
#[derive(Clone)]
struct Brush {
    canvas: NodeRef,
    /// Where the stroke is, in pixels of the input.
    last: Rc<RefCell<Option<(f64, f64)>>>,
    color: &'static str,
    width: f64,
    side: u32,
}

impl Brush {
    fn context(&self) -> Option<CanvasRenderingContext2d> {
        draw::context(&self.canvas.cast::<HtmlCanvasElement>()?)
    }

    fn place(&self, event: &PointerEvent) -> Option<(f64, f64)> {
        let (x, y) = stage::pixel_at(event, (self.side, self.side))?;
        Some((f64::from(x) + 0.5, f64::from(y) + 0.5))
    }

    fn begin(&self, event: &PointerEvent) {
        event.prevent_default();
        if let Some(element) = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
        {
            // a pointer that cannot be held only ends its stroke at the edge
            let _held = element.set_pointer_capture(event.pointer_id());
        }
        self.last.replace(self.place(event));
        self.go_on(event);
    }

    fn go_on(&self, event: &PointerEvent) {
        let (Some(from), Some(to), Some(context)) = (*self.last.borrow(), self.place(event), self.context())
        else {
            return;
        };
        context.set_stroke_style_str(self.color);
        context.set_line_width(self.width);
        context.set_line_cap("round");
        context.begin_path();
        context.move_to(from.0, from.1);
        // a point is a line, too
        context.line_to(to.0 + 0.01, to.1);
        context.stroke();
        self.last.replace(Some(to));
    }

    /// The painted pixels, RGBA, at the end of a stroke.
    fn end(&self) -> Option<Vec<u8>> {
        self.last.take()?;
        let side = f64::from(self.side);
        Some(
            self.context()?
                .get_image_data(0.0, 0.0, side, side)
                .ok()?
                .data()
                .0,
        )
    }

    fn clear(&self) {
        if let Some(context) = self.context() {
            let side = f64::from(self.side);
            context.clear_rect(0.0, 0.0, side, side);
        }
    }
}

/// Properties of [`Answers`].
#[derive(Properties)]
struct AnswersProps {
    study: Rc<Study>,
}

impl PartialEq for AnswersProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.study, &other.study)
    }
}

/// Teacher of the clean image, teacher and student of the damaged one, level by level.
#[component]
fn Answers(props: &AnswersProps) -> Html {
    let study = &props.study;
    let rows = LEVELS.iter().enumerate().map(|(level, name)| {
        let mask = study.changed(level);
        let own = &study.levels[level];
        let channels = study.most_changed_channels(level, &mask);
        let pictures = [CLEAN, TEACHER, STUDENT].map(|network| {
            let pixels = Rc::new(study.picture(level, network, channels));
            html! { <td><Rgba {pixels} side={own[network].width} /></td> }
        });
        let damage = distance(&own[CLEAN], &own[TEACHER], &mask);
        let left = distance(&own[CLEAN], &own[STUDENT], &mask);
        let words = match (damage, left) {
            (Some(damage), Some(left)) if left < damage => {
                format!("{:.0} % repaired", 100.0 * (1.0 - left / damage))
            }
            (Some(_), Some(_)) => "not repaired".into(),
            _ => "too small to see here".into(),
        };
        let number = |value: Option<f32>| value.map_or_else(|| "–".into(), format::value);
        html! {
            <tr data-testid="repair-row" data-level={*name} data-damage={damage.map(|value| value.to_string())}
                data-left={left.map(|value| value.to_string())}>
                <th scope="row">{ *name }<b>{ words }</b>
                    <span>{ format!("teacher {} away, student {}", number(damage), number(left)) }</span></th>
                { for pictures }
            </tr>
        }
    });
    html! {
        <div class="table-scroll" tabindex="0">
        <p class="hint">{ "The three most changed channels as red, green and blue. Distances are those to the description of the clean \
            image, where it was changed." }</p>
        <table class="answers">
            <thead><tr><th scope="col">{ "Level" }</th><th scope="col">{ "Teacher, clean" }</th>
                <th scope="col">{ "Teacher, damaged" }</th><th scope="col">{ "Student, damaged" }</th></tr></thead>
            <tbody>
                <tr><th scope="row">{ "Image" }</th>
                    <td><Rgba pixels={Rc::new(study.clean.clone())} side={study.info.side} /></td>
                    <td><Rgba pixels={Rc::new(study.damaged.clone())} side={study.info.side} /></td>
                    <td><Rgba pixels={Rc::new(study.damaged.clone())} side={study.info.side} /></td></tr>
                { for rows }
            </tbody>
        </table>
        </div>
    }
}

/// Properties of [`Rgba`].
#[derive(Properties, PartialEq)]
struct RgbaProps {
    pixels: Rc<Vec<u8>>,
    /// Columns, and rows.
    side: usize,
}

/// A square picture from its pixels.
#[component]
fn Rgba(props: &RgbaProps) -> Html {
    let canvas = use_node_ref();
    {
        let canvas = canvas.clone();
        use_effect_with((props.pixels.clone(), props.side), move |(pixels, side)| {
            if let Some(canvas) = canvas.cast::<HtmlCanvasElement>() {
                // without a context there is only the text beside it
                let _ = draw::paint(&canvas, pixels, *side, *side);
            }
        });
    }
    html! { <canvas ref={canvas} class="rgba" /> }
}
