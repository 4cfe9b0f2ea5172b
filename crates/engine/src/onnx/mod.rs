//! Models for other programs, in the ONNX format: one graph from the image to the verdict.
//!
//! The graph has standard operators only. Networks are written from [`crate::arch`]'s graphs, and everything around them
//! from the same constants that the engine computes with. `tests/onnx.rs` compares both.

mod builder;
mod codebook;
mod decision;
mod familiarity;
mod map;
mod memory;
mod network;
mod patchcore;
mod places;
mod proto;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;

use crate::arch;
use crate::arch::weights::Weights;
use crate::config::{InputLayout, ModelConfig};
use crate::files::storage::Precision;
use crate::inspect::InputSettings;
use crate::methods::draem::{self, DraemConfig};
use crate::methods::file::{Body, ModelFile};
use crate::methods::patchcore as bank;
use crate::verdict::calibration::{Calibration, PROMISE, SetBy};
use crate::verdict::difference::Difference;
use crate::{Error, Result};
use builder::{Axis, Builder, Name};
use decision::{BATCH, VERDICTS};
use familiarity::Cells;
use proto::DataType;
use view::Views;

/// What a graph takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Input {
    /// Images of any size, as 8-bit numbers: `image`, `[batch, height, width, 3]`.
    #[default]
    Image,
    /// Images of the network's size, as numbers from 0 to 1: `view`, `[batch, 3, side, side]`.
    View,
}

/// A model as an ONNX file. `teacher` holds folded weights, used if the model carries none. Weights are stored in this
/// precision: as [`Precision::F16`] where that loses nothing, else as [`Precision::F32`].
///
/// # Errors
/// [`Error::Model`] naming what is missing or misshapen.
pub fn export(
    file: &ModelFile,
    teacher: Option<&Weights>,
    input: Input,
    precision: Precision,
) -> Result<Vec<u8>> {
    let settings = match &file.header.body {
        Body::Networks { config, .. } => InputSettings::of(config),
        Body::Bank { config, .. } => bank::input_settings(config),
        Body::Draem { config, .. } => draem::input_settings(config),
        Body::Dsr { config, .. } => config.input_settings(),
    };
    let side = settings.side;
    let mut builder = Builder::new("destseg", precision);
    let b = &mut builder;
    let views = match input {
        Input::Image => Views::of_images(b, settings.fit, side),
        Input::View => Views::given(b, side),
    };
    let kind = file.header.teacher();
    let image = views.normalised(b, kind);
    let teacher = b.teacher(kind, side, &file.teacher_or(teacher)?, &image)?;
    let features: Vec<Name> = teacher.iter().map(|level| b.normalised(level)).collect();
    // of several views together there is one distance
    let record = file.header.familiarity.as_ref();
    let record = record.filter(|_| input == Input::Image || settings.fit == InputLayout::Squash);
    let [_, middle, coarse] = kind.channels();
    let cells = match record {
        Some(_) => Some(Cells::new(
            b,
            &file.weights,
            &features,
            middle + coarse,
            side / 16,
        )?),
        None => None,
    };
    let (maps, scores) = match &file.header.body {
        Body::Networks { config, .. } => {
            let maps = network_maps(b, file, config, (&image, &features), cells.as_ref())?;
            let scores = map::scores(b, &views, &maps, &settings);
            (maps, scores)
        }
        Body::Bank { config, .. } => {
            let found = patchcore::search(b, config, bank::bank(&file.weights)?, &views, &teacher)?;
            (found.maps, found.scores)
        }
        Body::Draem { config, .. } => {
            let maps = draem_maps(b, file, config, &views, cells.as_ref())?;
            let scores = map::scores(b, &views, &maps, &settings);
            (maps, scores)
        }
        Body::Dsr { config, .. } => {
            let outputs = b.network(&config.graph(), &file.weights, "", &[&views.pixels])?;
            let mut map = |at: usize| {
                let map = anomalous(b, &outputs[at], side);
                remembering(b, file, cells.as_ref(), map, side)
            };
            // the first map scores the image, the second one refines it
            let [detected, maps] = [map(0), map(1)];
            (maps, map::scores(b, &views, &detected, &settings))
        }
    };
    outputs_of_map(b, &views, &maps, &scores, &settings);
    let judged = match (record, &cells) {
        (Some(record), Some(cells)) => Some((
            record,
            familiarity::judge(b, record, &file.weights, cells, &views, side)?,
        )),
        _ => None,
    };
    if let Some((_, judged)) = &judged {
        let about = "distance from the good images of the training";
        b.output("distance", DataType::Float, &[BATCH], about, &judged.distance);
        let about = "how an unfamiliar image differs, a number of the metadata's list; 0 for none";
        b.output("difference", DataType::Int64, &[BATCH], about, &judged.difference);
    }
    if let Some(calibration) = &file.header.calibration {
        let judged = judged.as_ref().map(|(record, judged)| (*record, judged));
        decision::decide(b, calibration, &scores, judged);
    }
    let producer = ("destseg", env!("CARGO_PKG_VERSION"));
    let about = "Visual defect inspection; the metadata says what the outputs mean.";
    Ok(builder.file(producer, about, metadata(file, &settings, input)?))
}

/// The maps of student and teacher that decide, at the input's size, `[batch, side, side]`.
fn network_maps(
    b: &mut Builder,
    file: &ModelFile,
    config: &ModelConfig,
    (image, features): (&str, &[Name]),
    cells: Option<&Cells>,
) -> Result<Name> {
    let side = config.input_size;
    let fine = side / 4;
    let found = network::student_teacher(b, config, &file.weights, image, features)?;
    let squeezed = |b: &mut Builder, map: &str| b.reshape(map, &[-1, fine as i64, fine as i64]);
    if let Some(map) = &found.segmentation {
        let mut map = squeezed(b, map);
        if let Some(record) = &file.header.codebook {
            map = codebook::compared(b, (record, &file.weights), features, side / 8, (&map, fine))?;
        }
        let map = remembering(b, file, cells, map, fine);
        let upsampling = InputSettings::of(config).upsampling;
        return Ok(b.scaled_map("enlarging", &map, fine, |line| line.enlarge(upsampling, side, 1)));
    }
    let mut product: Option<Name> = None;
    for (level, distance) in found.distances.iter().enumerate() {
        let large = b.enlarged(distance, [fine >> level, fine]);
        product = Some(match product {
            Some(product) => b.op("Mul", [&product, &large]),
            None => large,
        });
    }
    let map = squeezed(b, &product.unwrap_or_default());
    Ok(b.scaled_map("enlarging", &map, fine, |line| line.resize(side, 1)))
}

/// The same of DRAEM, whose networks take pixels as they are.
fn draem_maps(
    b: &mut Builder,
    file: &ModelFile,
    config: &DraemConfig,
    views: &Views,
    cells: Option<&Cells>,
) -> Result<Name> {
    let side = config.input_size;
    let graph = arch::draem(config.widths, side);
    let outputs = b.network(&graph, &file.weights, "", &[&views.pixels])?;
    // behind the reconstruction
    let map = anomalous(b, &outputs[1], side);
    Ok(remembering(b, file, cells, map, side))
}

/// The second channel of the probabilities of good and anomalous.
fn anomalous(b: &mut Builder, probabilities: &str, side: usize) -> Name {
    let anomalous = b.slice(probabilities, 1, (1, 2));
    b.reshape(&anomalous, &[-1, side as i64, side as i64])
}

/// Maps of probabilities `[batch, side, side]` as the memory of corrected images changes them.
fn remembering(b: &mut Builder, file: &ModelFile, cells: Option<&Cells>, map: Name, side: usize) -> Name {
    let memory = file.header.calibration.as_ref().map(Calibration::memory);
    match (memory.filter(|own| !own.is_empty()), cells) {
        (Some(memory), Some(cells)) => memory::remembering(b, &memory, cells, &map, side),
        _ => map,
    }
}

/// The outputs that every model has.
fn outputs_of_map(b: &mut Builder, views: &Views, maps: &str, scores: &str, settings: &InputSettings) {
    let what = match settings.probabilities {
        true => "probability of a defect, from 0 to 1",
        false => "distance from good images, 0 or more",
    };
    let side = Axis::Fixed(settings.side);
    let (map, axes) = match &views.places {
        Some(places) => {
            let joined = places.joined(b, maps, settings.side);
            (joined, [BATCH, Axis::Free("map_height"), Axis::Free("map_width")])
        }
        None => (maps.to_owned(), [BATCH, side, side]),
    };
    b.output("map", DataType::Float, &axes, what, &map);
    b.output(
        "score",
        DataType::Float,
        &[BATCH],
        "image score, in the map's unit",
        scores,
    );
}

/// What other programs want to know about a model besides its graph.
fn metadata(file: &ModelFile, settings: &InputSettings, input: Input) -> Result<BTreeMap<String, String>> {
    let header = &file.header;
    let json = |value: serde_json::Result<serde_json::Value>| match value {
        // without quotation marks
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(value) => Ok(value.to_string()),
        Err(err) => Err(Error::Model(format!(
            "the model's header cannot be written: {err}"
        ))),
    };
    let mut all = BTreeMap::new();
    let mut add = |key: &str, value: String| {
        all.insert(format!("destseg.{key}"), value);
    };
    add("version", env!("CARGO_PKG_VERSION").into());
    add("method", json(serde_json::to_value(header.method()))?);
    add("preset", header.preset().id().into());
    add("teacher", header.teacher().id().into());
    if let Some((part, images)) = header.trained_on() {
        add("part", part.into());
        add("training_images", images.to_string());
    }
    add("input_size", settings.side.to_string());
    add("layout", json(serde_json::to_value(settings.fit))?);
    add(
        "input",
        match input {
            Input::Image => "8-bit RGB of any size".into(),
            Input::View => "RGB from 0 to 1, resized to input_size".into(),
        },
    );
    add(
        "map_unit",
        match settings.probabilities {
            true => "probability".into(),
            false => "distance".into(),
        },
    );
    add("verdicts", json(serde_json::to_value(VERDICTS))?);
    let mut differences = vec!["none".to_owned()];
    for own in Difference::ALL {
        differences.push(json(serde_json::to_value(own))?);
    }
    add("differences", json(serde_json::to_value(differences))?);
    if let Some(own) = &header.familiarity {
        add("distance_limit", own.limit.to_string());
    }
    if let Some(own) = &header.calibration {
        add("threshold", own.image_threshold.to_string());
        add("threshold_set", json(serde_json::to_value(own.set_by))?);
        let promise = match own.set_by {
            SetBy::Training => Some(PROMISE),
            SetBy::Promise(share) => Some(share),
            SetBy::Hand | SetBy::Evaluation | SetBy::Corrections => None,
        };
        if let Some(share) = promise {
            add("promise", share.to_string());
        }
        add("pixel_threshold", own.pixel_threshold.to_string());
        add("good_scores", own.good_scores.len().to_string());
    }
    Ok(all)
}
