//! `LabelMe`: a JSON file for each image, with the outlines of its defects.

use serde_json::Value;

use super::outline::Canvas;
use super::{Marks, damaged, is_no_defect};
use crate::{Error, Result};

pub(super) fn read(bytes: &[u8]) -> Result<Marks> {
    let wrong = || damaged("LabelMe or COCO");
    let own: Value =
        serde_json::from_str(str::from_utf8(bytes).map_err(|_| wrong())?).map_err(|_| wrong())?;
    let shapes = own["shapes"].as_array().ok_or_else(wrong)?;
    let side = |key: &str| own[key].as_u64().and_then(|side| u32::try_from(side).ok());
    let (Some(width), Some(height)) = (side("imageWidth"), side("imageHeight")) else {
        return Err(Error::Image(
            "the annotation has no imageWidth and imageHeight: save it again with a newer LabelMe".into(),
        ));
    };
    let mut mask = Canvas::new(width, height)?;
    for shape in shapes {
        if shape["label"].as_str().is_some_and(is_no_defect) {
            continue;
        }
        let points = shape["points"].as_array().into_iter().flatten().map(point);
        let points: Vec<[f32; 2]> = points.collect::<Option<_>>().ok_or_else(wrong)?;
        // the oldest files have polygons alone
        match (shape["shape_type"].as_str().unwrap_or("polygon"), &points[..]) {
            ("polygon", points) if points.len() > 2 => mask.polygon(points),
            ("circle", &[centre, edge]) => {
                let radius = libm::hypotf(edge[0] - centre[0], edge[1] - centre[1]);
                mask.circle(centre, radius);
            }
            _ => return Ok(Marks::Label(true)),
        }
    }
    Ok(Marks::Mask(mask.into_mask()))
}

fn point(value: &Value) -> Option<[f32; 2]> {
    let number = |value: &Value| {
        value
            .as_f64()
            .map(|value| value as f32)
            .filter(|value| value.is_finite())
    };
    Some([number(&value[0])?, number(&value[1])?])
}
