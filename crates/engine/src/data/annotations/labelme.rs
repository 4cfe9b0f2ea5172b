//! `LabelMe`: a JSON file for each image, with the outlines of its defects.

use serde::Deserialize;

use super::outline::{fill, fill_circle};
use super::{Marks, blank, damaged, is_no_defect};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Annotation {
    shapes: Vec<Shape>,
    #[serde(rename = "imageWidth")]
    width: Option<u32>,
    #[serde(rename = "imageHeight")]
    height: Option<u32>,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    label: String,
    points: Vec<[f32; 2]>,
    shape_type: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Marks> {
    let own: Annotation = serde_json::from_slice(bytes).map_err(|_| damaged("LabelMe or COCO"))?;
    let (Some(width), Some(height)) = (own.width, own.height) else {
        return Err(Error::Image(
            "the annotation has no imageWidth and imageHeight: save it again with a newer LabelMe".into(),
        ));
    };
    let mut mask = blank(width, height)?;
    for shape in own.shapes.iter().filter(|shape| !is_no_defect(&shape.label)) {
        // the oldest files have polygons alone
        match (
            shape.shape_type.as_deref().unwrap_or("polygon"),
            &shape.points[..],
        ) {
            ("polygon", points) if points.len() > 2 => fill(&mut mask, points),
            ("circle", &[centre, edge]) => {
                let radius = libm::hypotf(edge[0] - centre[0], edge[1] - centre[1]);
                fill_circle(&mut mask, centre, radius);
            }
            _ => return Ok(Marks::Label(true)),
        }
    }
    Ok(Marks::Mask(mask))
}
