//! Form controls with their labels.

use wasm_bindgen::JsCast as _;
use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

/// A choice of a [`Select`]: value and text.
pub(crate) type Choice = (AttrValue, AttrValue);

/// Properties of [`Select`].
#[derive(PartialEq, Properties)]
pub(crate) struct SelectProps {
    /// Text of the label.
    pub(crate) label: AttrValue,
    /// `data-testid` of the menu.
    pub(crate) testid: AttrValue,
    /// What there is to choose.
    pub(crate) choices: Vec<Choice>,
    /// Value of the present choice.
    pub(crate) value: AttrValue,
    /// Gets the value of a new choice.
    pub(crate) onchange: Callback<String>,
}

/// A menu that always shows `value`, whatever the visitor clicked before.
#[component]
pub(crate) fn Select(props: &SelectProps) -> Html {
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((props.value.clone(), props.choices.clone()), move |(value, _)| {
            if let Some(select) = node.cast::<HtmlSelectElement>() {
                select.set_value(value);
            }
        });
    }
    let onchange = props.onchange.reform(|event: Event| {
        let select = event
            .target()
            .and_then(|target| target.dyn_into::<HtmlSelectElement>().ok());
        select.map(|select| select.value()).unwrap_or_default()
    });
    let options = props.choices.iter().map(|(value, text)| {
        html! { <option value={value} selected={*value == props.value}>{ text }</option> }
    });
    html! {
        <label class="field">
            <span class="field-label">{ &props.label }</span>
            <select ref={node} data-testid={&props.testid} {onchange}>{ for options }</select>
        </label>
    }
}

/// Properties of [`Slider`].
#[derive(PartialEq, Properties)]
pub(crate) struct SliderProps {
    /// Text of the label.
    pub(crate) label: AttrValue,
    /// `data-testid` of the slider.
    pub(crate) testid: AttrValue,
    /// Position, `0..=1`.
    pub(crate) value: f32,
    /// The value in words, shown and read out.
    pub(crate) text: AttrValue,
    /// Whether it does nothing at present.
    #[prop_or_default]
    pub(crate) disabled: bool,
    /// Gets new positions.
    pub(crate) oninput: Callback<f32>,
}

/// A slider from 0 to 1.
#[component]
pub(crate) fn Slider(props: &SliderProps) -> Html {
    let oninput = props.oninput.reform(|event: InputEvent| {
        let input = event
            .target()
            .and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
        input
            .map(|input| input.value_as_number() as f32)
            .unwrap_or_default()
    });
    html! {
        <label class="field slider">
            <span class="field-label">{ &props.label }</span>
            // not an <output>: the label would name that instead of the slider
            <span class="field-value" aria-hidden="true">{ &props.text }</span>
            <input type="range" min="0" max="1" step="0.001" value={props.value.to_string()}
                aria-label={&props.label} aria-valuetext={&props.text} data-testid={&props.testid} disabled={props.disabled} {oninput} />
        </label>
    }
}

/// Properties of [`Toggle`].
#[derive(PartialEq, Properties)]
pub(crate) struct ToggleProps {
    /// Text of the label.
    pub(crate) label: AttrValue,
    /// `data-testid` of the box.
    pub(crate) testid: AttrValue,
    /// Whether it is on.
    pub(crate) on: bool,
    /// Called on clicks.
    pub(crate) onclick: Callback<()>,
}

/// A switch.
#[component]
pub(crate) fn Toggle(props: &ToggleProps) -> Html {
    let onchange = props.onclick.reform(|_: Event| ());
    html! {
        <label class="toggle">
            <input type="checkbox" role="switch" checked={props.on} data-testid={&props.testid} {onchange} />
            <span>{ &props.label }</span>
        </label>
    }
}

/// Properties of [`FileButton`].
#[derive(PartialEq, Properties)]
pub(crate) struct FileButtonProps {
    /// `data-testid` of the input.
    pub(crate) testid: AttrValue,
    /// What the picker offers, as in HTML.
    pub(crate) accept: AttrValue,
    /// Whether several files can be chosen.
    #[prop_or_default]
    pub(crate) multiple: bool,
    /// Whether a whole folder is chosen.
    #[prop_or_default]
    pub(crate) folder: bool,
    /// Style classes of the button.
    #[prop_or_default]
    pub(crate) class: Classes,
    /// Gets the chosen files.
    pub(crate) onfiles: Callback<Vec<crate::page::ui::files::Chosen>>,
    /// Icon and text.
    pub(crate) children: Children,
}

/// A button that opens the file picker.
#[component]
pub(crate) fn FileButton(props: &FileButtonProps) -> Html {
    let onchange = props
        .onfiles
        .reform(|event: Event| crate::page::ui::files::chosen(&event));
    html! {
        <label class={classes!("button", props.class.clone())}>
            { props.children.clone() }
            <input class="visually-hidden" type="file" accept={&props.accept} multiple={props.multiple}
                webkitdirectory={props.folder} id={&props.testid} data-testid={&props.testid} {onchange} />
        </label>
    }
}

/// Properties of [`Fragment`].
#[derive(PartialEq, Properties)]
pub(crate) struct FragmentProps {
    /// Id of the `<template>`.
    pub(crate) id: &'static str,
}

/// What never changes: the document has it as HTML, in a `<template>`.
#[component]
pub(crate) fn Fragment(props: &FragmentProps) -> Html {
    let document = web_sys::window().and_then(|window| window.document());
    let template = document.and_then(|document| document.get_element_by_id(props.id));
    let html = template.map(|template| template.inner_html());
    Html::from_html_unchecked(html.unwrap_or_default().into())
}
