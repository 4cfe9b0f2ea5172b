//! What JavaScript calls.

use js_sys::{Array, Float32Array, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use destseg_engine::data::image::{self, RgbImage};
use destseg_engine::error::sentence;
use destseg_engine::methods::file::ModelFile;
use destseg_engine::{Error, Result};

use crate::Inspector;

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// A model file that was read.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model(ModelFile);

#[wasm_bindgen]
impl Model {
    /// Reads a model file.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<Self, JsValue> {
        ModelFile::parse(bytes).map(Self).map_err(thrown)
    }

    /// Id of the teacher that the model needs; none if its file carries one.
    #[wasm_bindgen(getter)]
    pub fn teacher(&self) -> Option<String> {
        (!self.0.has_teacher()).then(|| self.0.header.teacher().id().to_owned())
    }

    /// The model, ready to look at images; `teacher` is the file of its teacher, if it needs one.
    pub fn inspector(self, teacher: Option<Vec<u8>>) -> Result<ReadyInspector, JsValue> {
        let inspector = Inspector::new(&self.0, teacher.as_deref()).map_err(thrown)?;
        Ok(ReadyInspector(inspector))
    }
}

/// A model that is ready to look at images.
#[wasm_bindgen]
#[derive(Debug)]
pub struct ReadyInspector(Inspector);

#[wasm_bindgen]
impl ReadyInspector {
    /// What is to be known of the model, as JSON.
    #[wasm_bindgen(getter)]
    pub fn about(&self) -> Result<String, JsValue> {
        json(self.0.about())
    }

    /// Looks at an image file: `[JSON, width and height of the map, its values, its picture or undefined]`.
    pub fn file(&self, bytes: &[u8], heat_map: bool) -> Result<Array, JsValue> {
        if image::type_name(bytes) == Some("TIFF") {
            return Err(thrown(Error::Image(
                "TIFF images are not supported here: convert it to PNG or JPEG".into(),
            )));
        }
        self.look(&image::decode(bytes).map_err(thrown)?, heat_map)
    }

    /// The same of an image's pixels, with one, three or four bytes for each.
    pub fn pixels(&self, width: u32, height: u32, bytes: Vec<u8>, heat_map: bool) -> Result<Array, JsValue> {
        let image = image::from_pixels((width, height), bytes).map_err(thrown)?;
        self.look(&image, heat_map)
    }
}

impl ReadyInspector {
    fn look(&self, image: &RgbImage, heat_map: bool) -> Result<Array, JsValue> {
        let found = self.0.inspect(image).map_err(thrown)?;
        let map = found.detection.map();
        let picture = heat_map.then(|| Uint8Array::from(&*self.0.heat_map(&found)));
        Ok(Array::of5(
            &json(&found.said)?.into(),
            &(map.width() as u32).into(),
            &(map.height() as u32).into(),
            &Float32Array::from(map.values()),
            &picture.map_or(JsValue::UNDEFINED, JsValue::from),
        ))
    }
}

fn json(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| js_sys::Error::new(&error.to_string()).into())
}

/// An error of JavaScript with a sentence and a `code`.
fn thrown(error: Error) -> JsValue {
    let code = match &error {
        Error::Image(_) => "image",
        Error::Model(_) | Error::Config(_) => "model",
        _ => "stopped",
    };
    // what the engine reads elsewhere
    let message = sentence(&error.to_string()).replace("JPEG, TIFF, WebP", "JPEG, WebP");
    let thrown = js_sys::Error::new(&message);
    // an object that was just made takes a property
    let _set = Reflect::set(&thrown, &"code".into(), &code.into());
    thrown.into()
}
