//! COCO: one JSON file for many images, with the outlines of their defects.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use super::outline::Canvas;
use super::{Marks, damaged, is_no_defect};
use crate::data::paths::{self, plain};
use crate::{Error, Result};

/// Before the name of each image.
const NAME: &str = "\"file_name\"";

/// The images that a table names, with plain slashes; none, if the file is no such table.
pub(crate) fn names(bytes: &[u8]) -> Option<Vec<String>> {
    if !is_coco(bytes) {
        return None;
    }
    // only the names are needed, of perhaps megabytes
    let text = std::str::from_utf8(bytes).ok()?;
    let name = |rest: &str| {
        let value = rest.trim_start().strip_prefix(':')?.trim_start();
        let end = value
            .get(1..)?
            .match_indices('"')
            .find(|(at, _)| !value[..=*at].ends_with('\\'))?;
        let name: String = serde_json::from_str(value.get(..end.0 + 2)?).ok()?;
        Some(plain(&name))
    };
    Some(text.split(NAME).skip(1).filter_map(name).collect())
}

/// Whether a file may be a table of annotations of many images.
pub(super) fn is_coco(bytes: &[u8]) -> bool {
    let has = |key: &[u8]| bytes.windows(key.len()).any(|own| own == key);
    has(b"\"annotations\"") && has(b"\"images\"")
}

thread_local! {
    /// The table that was read last, by its checksum: images of a set are looked at one after the other.
    static LATEST: RefCell<Option<(u32, Rc<Value>)>> = const { RefCell::new(None) };
}

fn parsed(bytes: &[u8]) -> Result<Rc<Value>> {
    let checksum = crc32fast::hash(bytes);
    let known = LATEST.with_borrow(|latest| latest.clone().filter(|(own, _)| *own == checksum));
    if let Some((_, table)) = known {
        return Ok(table);
    }
    let text = str::from_utf8(bytes).map_err(|_| damaged("COCO"))?;
    let table: Rc<Value> = serde_json::from_str::<Value>(text)
        .map_err(|_| damaged("COCO"))?
        .into();
    LATEST.set(Some((checksum, Rc::clone(&table))));
    Ok(table)
}

pub(super) fn read(bytes: &[u8], image: &str) -> Result<Marks> {
    let table = parsed(bytes)?;
    let each = |key: &str| table[key].as_array().into_iter().flatten();
    let own = find(each("images"), image)?;
    let side = |key: &str| own[key].as_u64().and_then(|side| u32::try_from(side).ok());
    let (Some(width), Some(height)) = (side("width"), side("height")) else {
        return Err(damaged("COCO"));
    };
    let mut mask = Canvas::new(width, height)?;
    for annotation in each("annotations").filter(|annotation| annotation["image_id"] == own["id"]) {
        let category = each("categories").find(|category| category["id"] == annotation["category_id"]);
        if category.is_some_and(|category| category["name"].as_str().is_some_and(is_no_defect)) {
            continue;
        }
        let marked = match &annotation["segmentation"] {
            Value::Array(polygons) => fill_all(&mut mask, polygons),
            Value::Object(runs) => fill_runs(&mut mask, runs.get("size"), runs.get("counts")),
            _ => None,
        };
        if marked.is_none() {
            return Ok(Marks::Label(true));
        }
    }
    Ok(Marks::Mask(mask.into_mask()))
}

/// The entry of an image. Either path may have more folders in front.
fn find<'a>(images: impl Iterator<Item = &'a Value>, path: &str) -> Result<&'a Value> {
    let mut found = images.filter(|image| {
        let listed = plain(image["file_name"].as_str().unwrap_or_default());
        paths::ends_with(path, &listed) || paths::ends_with(&listed, path)
    });
    match (found.next(), found.next()) {
        (Some(own), None) => Ok(own),
        (None, _) => Err(Error::Image("the annotations do not name this image".into())),
        (Some(_), Some(_)) => Err(Error::Image(
            "the annotations name several images that this may be: put folders in front of their names"
                .into(),
        )),
    }
}

/// Fills polygons, each a list x, y, x, y ...; none, if there is none or one is not understood.
fn fill_all(mask: &mut Canvas, polygons: &[Value]) -> Option<()> {
    for polygon in polygons {
        let numbers = polygon
            .as_array()?
            .iter()
            .map(|value| Some(value.as_f64()? as f32));
        let numbers: Vec<f32> = numbers.collect::<Option<_>>()?;
        if !numbers.iter().all(|number| number.is_finite()) {
            return None;
        }
        let points: Vec<[f32; 2]> = numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        if points.len() < 3 {
            return None;
        }
        mask.polygon(&points);
    }
    (!polygons.is_empty()).then_some(())
}

/// Fills run lengths: column by column, good and defective pixels in turn.
fn fill_runs(mask: &mut Canvas, size: Option<&Value>, counts: Option<&Value>) -> Option<()> {
    let (width, height) = mask.size();
    let size = size?.as_array()?;
    if *size != [Value::from(height), Value::from(width)] {
        return None;
    }
    let counts = match counts? {
        Value::Array(counts) => counts.iter().map(Value::as_u64).collect::<Option<Vec<_>>>()?,
        Value::String(text) => unpacked(text)?,
        _ => return None,
    };
    let area = u64::from(width) * u64::from(height);
    let mut start = 0_u64;
    for (index, count) in counts.into_iter().enumerate() {
        let end = start.checked_add(count).filter(|end| *end <= area)?;
        if index % 2 == 1 {
            for at in start..end {
                let (x, y) = (at / u64::from(height), at % u64::from(height));
                mask.mark(x as u32, y as u32);
            }
        }
        start = end;
    }
    Some(())
}

/// The run lengths that a string packs: five bits a letter, the lowest first; from the third on, the difference to the last but
/// one.
fn unpacked(text: &str) -> Option<Vec<u64>> {
    const ZERO: u8 = 48;
    const MORE: i64 = 0x20;
    const NEGATIVE: i64 = 0x10;
    let mut counts: Vec<i64> = Vec::new();
    let mut letters = text.bytes();
    while letters.len() > 0 {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let bits = i64::from(letters.next()?.checked_sub(ZERO)?);
            if bits >= 2 * MORE || shift > 30 {
                return None;
            }
            value |= (bits & (MORE - 1)) << shift;
            shift += 5;
            if bits & MORE == 0 {
                if bits & NEGATIVE != 0 {
                    value |= -1 << shift;
                }
                break;
            }
        }
        if counts.len() > 2 {
            value += counts[counts.len() - 2];
        }
        counts.push(value);
    }
    counts
        .into_iter()
        .map(|count| u64::try_from(count).ok())
        .collect()
}
