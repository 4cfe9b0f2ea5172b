//! The pictures of a report, worst decisions first.

use std::fmt::Write as _;

use super::{Part, judged};
use crate::evaluation::{Evaluation, ImageResult, Outline};
use crate::report::chart::escaped;

/// Bytes as text (base64).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let value = chunk
            .iter()
            .fold(0_u32, |value, &byte| value << 8 | u32::from(byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(value >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}

/// An address that holds a JPEG file.
pub fn jpeg_address(file: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", base64(file))
}

/// Outlines as a path, even-odd, in pixels of the measure's square.
pub fn path(outlines: &[Outline]) -> String {
    let mut path = String::new();
    for outline in outlines {
        for (place, (x, y)) in outline.iter().enumerate() {
            let _ = write!(path, "{}{x} {y}", if place == 0 { 'M' } else { 'L' });
        }
        if !outline.is_empty() {
            path.push('Z');
        }
    }
    path
}

/// The outlines over a picture, which the drawing stretches to.
pub(super) fn overlay(image: &ImageResult, side: usize) -> String {
    format!(
        "<svg viewBox=\"0 0 {side} {side}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"truth\" d=\"{}\"/><path class=\"found\" d=\"{}\"/></svg>",
        path(&image.truth),
        path(&image.found)
    )
}

/// What a picture's caption says of the true defects.
fn found(evaluation: &Evaluation, image: &ImageResult) -> String {
    let thresholds = evaluation.thresholds;
    match thresholds.and_then(|own| image.found_instances(own.pixel)) {
        Some((found, all)) => format!(", {found} of {all} defects marked"),
        None => String::new(),
    }
}

/// An image with its picture, if there is one, and a caption that ends with `more`.
pub(super) fn figure(
    image: &ImageResult,
    threshold: f32,
    side: usize,
    picture: Option<&[u8]>,
    more: &str,
) -> String {
    let (class, words) = judged(&image.class, image.score, threshold);
    let picture = picture.map_or_else(String::new, |picture| {
        format!(
            "<img alt=\"\" src=\"{}\">{}",
            jpeg_address(picture),
            overlay(image, side)
        )
    });
    let score = image
        .score
        .map_or_else(String::new, |score| format!(", score {score:.3}"));
    let unfamiliar = if image.unfamiliar == Some(true) {
        ", unfamiliar"
    } else {
        ""
    };
    let problem = image
        .problem
        .as_ref()
        .map_or_else(String::new, |problem| format!(" ({problem})"));
    format!(
        "<figure class=\"{class}\"><div class=\"picture\">{picture}</div><figcaption><b>{}</b> {}{score}{unfamiliar}{more}{}\
         </figcaption></figure>",
        escaped(&words),
        escaped(&image.name),
        escaped(&problem)
    )
}

pub(super) fn gallery(part: &Part<'_>) -> String {
    let Part {
        evaluation,
        pictures,
        threshold,
    } = part;
    let mut groups: [(&str, Vec<String>); 3] = [
        ("Wrong decisions, worst first", Vec::new()),
        ("Right decisions, nearest to the threshold first", Vec::new()),
        ("Images without decision", Vec::new()),
    ];
    for place in evaluation.by_error(*threshold) {
        let image = &evaluation.images[place];
        let (class, _) = judged(&image.class, image.score, *threshold);
        let picture = pictures.get(place).filter(|picture| !picture.is_empty());
        let group = match class {
            "wrong" => 0,
            "right" => 1,
            _ => 2,
        };
        groups[group].1.push(figure(
            image,
            *threshold,
            evaluation.side,
            picture.map(Vec::as_slice),
            &found(evaluation, image),
        ));
    }
    let mut html = String::from(
        "<h3>Images</h3><p class=\"key\"><span class=\"truth\"></span>true defect \
         <span class=\"found\"></span>found by the model</p>",
    );
    for (number, (title, figures)) in groups.into_iter().enumerate() {
        if figures.is_empty() {
            continue;
        }
        let _ = write!(
            html,
            "<details{}><summary>{title} ({})</summary><div class=\"gallery\">{}</div></details>",
            if number == 0 { " open" } else { "" },
            figures.len(),
            figures.concat()
        );
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_known_words() {
        for (word, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(word.as_bytes()), text);
        }
    }

    #[test]
    fn outlines_are_closed() {
        let outlines = vec![vec![(0.0, 0.0), (1.5, 0.0), (1.5, 2.0)], vec![]];
        assert_eq!(path(&outlines), "M0 0L1.5 0L1.5 2Z");
    }
}
