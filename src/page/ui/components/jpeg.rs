//! A picture from the bytes of its file.

use std::rc::Rc;

use yew::prelude::*;

use destseg_engine::report::jpeg_address;

/// Properties of [`Jpeg`].
#[derive(Properties)]
pub(crate) struct JpegProps {
    /// A JPEG file.
    pub(crate) bytes: Rc<Vec<u8>>,
    /// Of the image, or of the place that it takes: known before the picture is there.
    pub(crate) size: (u32, u32),
    /// Class of the element.
    #[prop_or_default]
    pub(crate) class: Classes,
}

impl PartialEq for JpegProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.bytes, &other.bytes)
    }
}

/// The picture, in its address: a blob's address would cost the page's thread a call of the browser.
#[component]
pub(crate) fn Jpeg(props: &JpegProps) -> Html {
    let (width, height) = props.size;
    html! {
        <img src={jpeg_address(&props.bytes)} class={props.class.clone()} width={width.to_string()}
            height={height.to_string()} alt="" decoding="async" loading="lazy" />
    }
}
