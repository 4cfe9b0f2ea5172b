//! A picture from the bytes of its file, which the browser decodes off the page's thread.

use std::rc::Rc;

use web_sys::{Blob, BlobPropertyBag, Url};
use yew::prelude::*;

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

/// The picture.
#[component]
pub(crate) fn Jpeg(props: &JpegProps) -> Html {
    let address = use_memo(Rc::as_ptr(&props.bytes) as usize, |_| {
        let options = BlobPropertyBag::new();
        options.set_type("image/jpeg");
        let bytes = js_sys::Uint8Array::from(props.bytes.as_slice());
        let blob = Blob::new_with_u8_array_sequence_and_options(&js_sys::Array::of1(&bytes), &options);
        blob.ok()
            .and_then(|blob| Url::create_object_url_with_blob(&blob).ok())
    });
    {
        let address = address.clone();
        use_effect_with(address, |address| {
            let address = address.clone();
            move || {
                if let Some(address) = &*address {
                    // an address that is gone already needs no more
                    let _ = Url::revoke_object_url(address);
                }
            }
        });
    }
    let (width, height) = props.size;
    html! {
        <img src={(*address).clone()} class={props.class.clone()} width={width.to_string()} height={height.to_string()}
            alt="" loading="lazy" />
    }
}
