//! YOLO: a text file for each image, with a line for each defect; empty for a good one.

use super::outline::Canvas;
use super::{Marks, damaged};
use crate::Result;

/// Numbers of a line with a box: class, centre, width and height.
const BOX: usize = 5;
/// Numbers of the shortest line with an outline: class, and three points.
const OUTLINE: usize = 7;

pub(super) fn read(bytes: &[u8], (width, height): (u32, u32)) -> Result<Marks> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("YOLO"))?;
    let mut mask = Canvas::new(width, height)?;
    let mut boxes = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let numbers: Vec<f32> = line
            .split_whitespace()
            .map(number)
            .collect::<Option<_>>()
            .ok_or_else(|| damaged("YOLO"))?;
        match numbers.len() {
            BOX => boxes = true,
            length if length >= OUTLINE && length % 2 == 1 => {
                let points = numbers[1..].chunks_exact(2);
                let points: Vec<[f32; 2]> = points
                    .map(|pair| [pair[0] * width as f32, pair[1] * height as f32])
                    .collect();
                mask.polygon(&points);
            }
            _ => return Err(damaged("YOLO")),
        }
    }
    Ok(if boxes {
        Marks::Label(true)
    } else {
        Marks::Mask(mask.into_mask())
    })
}

/// By JSON's rules, whose reader the page has anyway; the standard library's own takes a hundredth of the page's engine more.
fn number(word: &str) -> Option<f32> {
    let digits = word.strip_prefix('.').map(|rest| format!("0.{rest}"));
    serde_json::from_str(digits.as_deref().unwrap_or(word)).ok()
}
