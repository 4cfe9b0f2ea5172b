//! The engine of the npm package `destseg`: opens models and looks at images, on the CPU. The folder `npm/` has the
//! JavaScript around it.

#[cfg(target_family = "wasm")]
mod web;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde::Serialize;

use destseg_engine::backend::device::Device;
use destseg_engine::config::Method;
use destseg_engine::data::image::RgbImage;
use destseg_engine::error::sentence;
use destseg_engine::inspect::{Detection, Detector, Finding};
use destseg_engine::methods::detector;
use destseg_engine::methods::file::{ModelFile, parse_teacher};
use destseg_engine::render::{ColorMap, heat_map_rgba};
use destseg_engine::{Error, Result};

/// What is to be known of a model.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// The method that it follows.
    method: Method,
    /// Side of the model's square input in pixels.
    input_size: usize,
    /// What map and score are measured in: `probability` or `distance`.
    unit: &'static str,
    /// The threshold in force.
    threshold: Option<f32>,
    /// Name of the data set's folder that it was trained on.
    part: Option<String>,
    /// Good images that it was trained on.
    training_images: Option<usize>,
}

/// A model that is ready to look at images.
#[derive(Debug)]
pub struct Inspector {
    detector: Detector,
    about: About,
}

/// What is said of an image.
#[derive(Debug)]
pub struct Inspection {
    /// Maps and scores.
    pub detection: Detection,
    /// What they mean.
    pub said: Said,
}

/// The part of an inspection that is words and numbers.
#[derive(Debug, Serialize)]
pub struct Said {
    #[serde(flatten)]
    finding: Finding,
    /// How an unfamiliar image differs and what to do, a sentence.
    note: Option<String>,
}

impl Inspector {
    /// The model of a file; `teacher` has the bytes of its teacher's file, if the model carries none.
    ///
    /// # Errors
    /// [`Error::Model`], one sentence.
    pub fn new(file: &ModelFile, teacher: Option<&[u8]>) -> Result<Self> {
        let weights = teacher
            .map(parse_teacher)
            .transpose()?
            .map(|(_, weights)| weights);
        let detector = detector(file, weights.as_ref(), &Device::Cpu)?;
        let trained_on = file.header.trained_on();
        let about = About {
            method: detector.method(),
            input_size: detector.input_size(),
            unit: match detector.gives_probabilities() {
                true => "probability",
                false => "distance",
            },
            threshold: detector.calibration().map(|own| own.thresholds().image),
            part: trained_on.map(|(part, _)| part.to_owned()),
            training_images: trained_on.map(|(_, images)| images),
        };
        Ok(Self { detector, about })
    }

    /// What is to be known of the model.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Looks at an image.
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn inspect(&self, image: &RgbImage) -> Result<Inspection> {
        let detection = at_once(self.detector.detect(image))?;
        let finding = self.detector.finding(&detection, image.dimensions());
        let note = finding.difference.map(|own| sentence(&own.note("the model")));
        Ok(Inspection {
            detection,
            said: Said { finding, note },
        })
    }

    /// A picture of the map with a pixel for each of its values, RGBA: to be drawn over the image.
    pub fn heat_map(&self, inspection: &Inspection) -> Vec<u8> {
        let hottest = self.detector.hottest(&inspection.detection);
        heat_map_rgba(inspection.detection.map(), ColorMap::default(), (0.0, hottest))
    }
}

/// The result of work on the CPU, which never waits.
fn at_once<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::Device(
            "the engine waits for a device that is not there".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destseg_engine::data::image;
    use destseg_engine::verdict::decision::Verdict;

    const FABRIC: &[u8] = include_bytes!("../../../models/fabric.safetensors");
    const TEACHER: &[u8] = include_bytes!("../../../models/efficientnet-lite0.safetensors");
    const HOLE: &[u8] = include_bytes!("../../../models/examples/fabric/hole_000.png");

    fn fabric() -> ModelFile {
        ModelFile::parse(FABRIC).expect("is a model")
    }

    #[test]
    fn a_hole_is_a_defect_and_the_heat_map_shows_it() {
        let inspector = Inspector::new(&fabric(), Some(TEACHER)).expect("opens");
        let image = image::decode(HOLE).expect("is an image");
        let found = inspector.inspect(&image).expect("inspects");
        assert_eq!(found.said.finding.verdict, Some(Verdict::Defective));
        assert_eq!(found.said.note, None);
        let map = found.detection.map();
        let heat = inspector.heat_map(&found);
        assert_eq!(heat.len(), 4 * map.values().len());
        let said = serde_json::to_value(&found.said).expect("is JSON");
        for name in ["score", "threshold", "verdict", "instances", "note"] {
            assert!(said.get(name).is_some(), "{name} is missing in {said}");
        }
    }

    #[test]
    fn a_file_without_its_teacher_needs_one() {
        let refused = |teacher| Inspector::new(&fabric(), teacher).expect_err("is refused");
        assert!(matches!(refused(None), Error::Model(_)));
        assert!(matches!(refused(Some(FABRIC)), Error::Model(_)));
    }
}
