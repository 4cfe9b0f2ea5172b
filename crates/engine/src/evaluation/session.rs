//! Measuring a test set image by image, in memory that hardly grows with their number: scores and
//! outlines are kept of each, pixels only as counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::detail::{Curves, Evaluation, ImageResult, KindRow, Missing};
use super::metric::{Input, Metric, Metrics};
use super::prediction::{Prediction, instances, outlines};
use super::{CategoryReport, Decisions, Share, Unfamiliar};
use crate::data::annotations::{self, MarkFile, Marks};
use crate::data::dataset::TestSet;
use crate::data::image::orientation;
use crate::data::labelled::{Class, SOME_DEFECT};
use crate::data::map::AnomalyMap;
use crate::data::mask;
use crate::inspect::{Detector, FamiliarityRecord};
use crate::metrics::{AUPRO_LIMIT, Ranking, Tally};
use crate::order;
use crate::verdict::calibration::Calibration;
use crate::verdict::decision::Thresholds;
use crate::{Error, Result};

/// One image of the set, as its files hold it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its path, as annotations may name it.
    pub path: &'a str,
    /// The path in the set, for people.
    pub name: &'a str,
    /// What it is said to be.
    pub class: &'a Class,
    /// The image file.
    pub image: &'a [u8],
    /// The files that say where it is defective.
    pub masks: &'a [MarkFile<'a>],
}

/// A measured image: its numbers and a small picture.
#[derive(Debug, Clone)]
pub struct MeasuredImage {
    /// The numbers.
    pub result: ImageResult,
    /// A small picture of it as JPEG file; empty where the image could not be used.
    pub picture: Vec<u8>,
}

/// Pixels of both maps, for one kind of image.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pixels {
    segmentation: Tally,
    dest: Tally,
}

impl Pixels {
    fn join(&mut self, other: &Self) {
        self.segmentation.join(&other.segmentation);
        self.dest.join(&other.dest);
    }
}

/// An evaluation in progress, or of a part of a set, which can be stored and [joined](Self::join) to others.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    side: usize,
    calibration: Option<Calibration>,
    familiarity: Option<FamiliarityRecord>,
    probabilities: bool,
    method: crate::config::Method,
    good: Pixels,
    kinds: BTreeMap<String, Pixels>,
    /// With their indices in the set: they may come in any order.
    images: Vec<(usize, ImageResult)>,
}

impl Session {
    /// Measures what `detector` says.
    pub fn new(detector: &Detector) -> Self {
        Self {
            side: detector.input_size(),
            calibration: detector.calibration().cloned(),
            familiarity: detector.familiarity().map(|own| own.record().clone()),
            probabilities: detector.gives_probabilities(),
            method: detector.method(),
            good: Pixels::default(),
            kinds: BTreeMap::new(),
            images: Vec::new(),
        }
    }

    /// Looks at the next image. One that cannot be used becomes a result that says why.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub async fn add(&mut self, detector: &Detector, subject: Subject<'_>) -> Result<MeasuredImage> {
        let prediction = Prediction::of(detector, subject.image).await?;
        self.take(self.images.len(), subject, prediction)
    }

    /// Takes in what was seen of the image with this index in the set, here or elsewhere, or why there is nothing.
    ///
    /// # Errors
    /// [`Error::Metric`] for maps that are not numbers.
    pub fn take(
        &mut self,
        index: usize,
        subject: Subject<'_>,
        prediction: std::result::Result<Prediction, String>,
    ) -> Result<MeasuredImage> {
        let mut result = ImageResult {
            name: subject.name.into(),
            class: subject.class.clone(),
            ..ImageResult::default()
        };
        let mut picture = Vec::new();
        match prediction {
            Ok(prediction) => {
                result.size = prediction.size;
                result.milliseconds = prediction.milliseconds;
                self.measure(&mut result, &prediction, subject)?;
                picture = prediction.picture;
            }
            Err(reason) => result.problem = Some(reason),
        }
        self.images.push((index, result.clone()));
        Ok(MeasuredImage { result, picture })
    }

    fn measure(&mut self, result: &mut ImageResult, found: &Prediction, subject: Subject<'_>) -> Result<()> {
        let side = self.side;
        result.score = Some(found.score);
        result.dest_score = Some(found.dest_score);
        result.distance = found.distance;
        result.difference = found.difference;
        let record = self.familiarity.as_ref();
        result.unfamiliar = found.distance.zip(record).map(|(distance, record)| {
            record.is_unfamiliar(distance, found.difference, self.calibration.as_ref())
        });
        let map = found.map().resize(side, side);
        if let Some(calibration) = &self.calibration {
            result.found = outlines(&map, calibration.pixel_threshold);
            result.p_value = Some(calibration.p_value(found.score));
            let is_known = result.unfamiliar != Some(true);
            result.certainty = is_known.then(|| calibration.certainty(found.score));
        }
        let truth = match truth_of(subject, result, side) {
            Ok(Some(truth)) => truth,
            Ok(None) => return Ok(()),
            Err(err) => {
                result.problem = Some(format!("its mask is left out: {err}"));
                return Ok(());
            }
        };
        let pixels = match &result.class {
            Class::Defective(kind) => {
                result.instances = Some(instances(&map, &truth));
                let picture = truth.iter().map(|&defective| f32::from(u8::from(defective)));
                let picture = AnomalyMap::new(side, side, picture.collect());
                result.truth = picture.map_or_else(Vec::new, |picture| outlines(&picture, 0.5));
                self.kinds.entry(kind.clone()).or_default()
            }
            _ => &mut self.good,
        };
        if found.segmentation.is_some() {
            pixels.segmentation.add(map.values(), &truth, side)?;
        }
        let dest = found.dest.resize(side, side);
        pixels.dest.add(dest.values(), &truth, side)
    }

    /// Takes in what the same model saw of the next part of the set: the figures are those of one session that saw both.
    pub fn join(&mut self, next: Self) {
        self.good.join(&next.good);
        for (kind, pixels) in &next.kinds {
            self.kinds.entry(kind.clone()).or_default().join(pixels);
        }
        self.images.extend(next.images);
    }

    /// Leaves out how long images took, so that whoever sees the same has the same.
    pub fn forget_times(&mut self) {
        for (_, result) in &mut self.images {
            result.milliseconds = 0.0;
        }
    }

    fn thresholds(&self) -> Option<Thresholds> {
        self.calibration.as_ref().map(Calibration::thresholds)
    }

    /// Images seen so far.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    fn results(&self) -> impl Iterator<Item = &ImageResult> + Clone {
        self.images.iter().map(|(_, result)| result)
    }

    /// Bytes that the pixels seen so far take.
    pub fn bytes(&self) -> usize {
        let all = self.kinds.values().chain([&self.good]);
        all.map(|pixels| pixels.segmentation.bytes() + pixels.dest.bytes())
            .sum()
    }

    /// The figures of all images so far. `notes` say what is odd about the set.
    pub fn finish(&mut self, category: &str, model: &str, mut notes: Vec<String>) -> Evaluation {
        order::sort_by(&mut self.images, |(a, _), (b, _)| a.cmp(b));
        notes.extend(self.notes());
        let images = |score: fn(&ImageResult) -> Option<f32>, kind: Option<&str>| {
            let of_kind = |class: &Class| match (class, kind) {
                (Class::Defective(own), Some(kind)) => own == kind,
                _ => true,
            };
            let chosen = self.results().filter(|image| of_kind(&image.class));
            let chosen = chosen.filter_map(|image| Some((score(image)?, image.class.is_defective()?)));
            chosen.unzip::<f32, bool, Vec<f32>, Vec<bool>>()
        };
        let all = || self.kinds.values().chain([&self.good]);
        let mut missing = Vec::new();
        let decides: fn(&ImageResult) -> Option<f32> = |image| image.score;
        let measured = |tallies: &[&Tally], (scores, labels): &(Vec<f32>, Vec<bool>)| {
            let pixels = Tally::rank(tallies);
            (Ranking::new(scores, labels), pixels)
        };
        let dest_tallies: Vec<&Tally> = all().map(|pixels| &pixels.dest).collect();
        let (dest_images, dest_pixels) = measured(&dest_tallies, &images(|image| image.dest_score, None));
        let dest = figures(dest_images.as_ref(), &dest_pixels, &mut Vec::new());
        let scores = images(decides, None);
        let mut curves = Curves::default();
        let mut note = |ranked: (Result<Ranking>, Ranking)| {
            let metrics = figures(ranked.0.as_ref(), &ranked.1, &mut missing);
            curves = self::curves(ranked.0.ok().as_ref(), &ranked.1);
            metrics
        };
        let segmentation = if self.probabilities {
            let tallies: Vec<&Tally> = all().map(|pixels| &pixels.segmentation).collect();
            Some(note(measured(&tallies, &scores)))
        } else {
            let _ = note((dest_images, dest_pixels));
            None
        };
        let empty = Pixels::default();
        let kinds: Vec<KindRow> = self
            .kind_names()
            .into_iter()
            .map(|kind| {
                let own = self.kinds.get(kind).unwrap_or(&empty);
                let pair = [own, &self.good].map(|pixels| {
                    if self.probabilities {
                        &pixels.segmentation
                    } else {
                        &pixels.dest
                    }
                });
                let (ranked, pixels) = measured(&pair, &images(decides, Some(kind)));
                let of_kind = self.results().filter(|image| image.class.name() == kind);
                let called: Vec<bool> = self.thresholds().map_or_else(Vec::new, |own| {
                    of_kind
                        .clone()
                        .filter_map(|image| Some(image.score? >= own.image))
                        .collect()
                });
                KindRow {
                    kind: kind.into(),
                    images: of_kind.count(),
                    metrics: figures(ranked.as_ref(), &pixels, &mut Vec::new()),
                    detected: (!called.is_empty()).then(|| {
                        called.iter().filter(|&&called| called).count() as f64 / called.len() as f64
                    }),
                }
            })
            .collect();
        let seen: Vec<f64> = self
            .results()
            .filter(|image| image.score.is_some())
            .map(|image| image.milliseconds)
            .collect();
        let report = CategoryReport {
            category: category.into(),
            method: self.method,
            model: None,
            images: self.images.len(),
            segmentation,
            dest,
            per_defect: kinds
                .iter()
                .map(|row| (row.kind.clone(), row.metrics.get(Metric::ImageAuc)))
                .collect(),
            decisions: self
                .thresholds()
                .filter(|_| !scores.0.is_empty())
                .map(|thresholds| Decisions {
                    threshold_set: self.calibration.as_ref().map(|own| own.set_by),
                    ..Decisions::of(&scores.0, &scores.1, thresholds)
                }),
            unfamiliar: self.familiarity.is_some().then(|| self.unfamiliar()),
            milliseconds_per_image: seen.iter().sum::<f64>() / seen.len().max(1) as f64,
        };
        Evaluation {
            report,
            model: model.into(),
            thresholds: self.thresholds(),
            side: self.side,
            images: self.results().cloned().collect(),
            kinds,
            curves,
            missing,
            notes,
        }
    }

    fn unfamiliar(&self) -> Unfamiliar {
        let share = |defective: bool| {
            let own = self
                .results()
                .filter(|image| image.class.is_defective() == Some(defective));
            let told: Vec<bool> = own.filter_map(|image| image.unfamiliar).collect();
            Share {
                of: told.iter().filter(|&&unfamiliar| unfamiliar).count(),
                all: told.len(),
            }
        };
        Unfamiliar {
            good: share(false),
            defective: share(true),
        }
    }

    fn kind_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .results()
            .filter(|image| image.class.is_defective() == Some(true))
            .map(|image| image.class.name())
            .collect();
        order::sort_by(&mut names, Ord::cmp);
        names.dedup();
        names
    }

    /// What the images themselves show to be odd.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut say = |what: &str, with_score: bool| {
            let of = self.results().filter(|image| image.score.is_some() == with_score);
            // for each reason how many, and the first
            let mut reasons: Vec<(&str, usize, &str)> = Vec::new();
            for image in of {
                let Some(reason) = image.problem.as_deref() else {
                    continue;
                };
                match reasons.iter_mut().find(|(own, ..)| *own == reason) {
                    Some((_, count, _)) => *count += 1,
                    None => reasons.push((reason, 1, &image.name)),
                }
            }
            let said = reasons
                .into_iter()
                .map(|(reason, count, first)| format!("{count} {what} (the first: {first}, {reason})."));
            notes.extend(said);
        };
        say("of the images could not be analysed", false);
        say("of the masks could not be used", true);
        let mut scores = self.results().filter_map(|image| image.score);
        if let Some(first) = scores.next()
            && self.images.len() > 1
            && scores.clone().next().is_some()
            && scores.all(|score| score == first)
        {
            notes.push(format!(
                "All scores are {first}: the model says the same of every image, so no threshold tells them apart."
            ));
        }
        let unfamiliar = self.unfamiliar();
        if unfamiliar.good.of + unfamiliar.defective.of > 0 {
            notes.push(unfamiliar.sentence());
        }
        if self.thresholds().is_none() {
            notes.push(
                "The model is not calibrated: the threshold shown is the best one of this very set, which \
                 flatters it, and no defects are outlined."
                    .into(),
            );
        }
        notes
    }
}

/// Where an image is defective; none where nobody says. Of an image that nobody labels, its mask does.
fn truth_of(subject: Subject<'_>, result: &mut ImageResult, side: usize) -> Result<Option<Vec<bool>>> {
    if result.class == Class::Good {
        return Ok(Some(vec![false; side * side]));
    }
    if subject.masks.is_empty() {
        return Ok(None);
    }
    let marks = annotations::read(subject.masks, subject.path, result.size)?;
    if result.class == Class::Unlabelled {
        if !marks.is_defective() {
            result.class = Class::Good;
            return Ok(Some(vec![false; side * side]));
        }
        result.class = Class::Defective(SOME_DEFECT.into());
    }
    let mask = match marks {
        Marks::Mask(mask) => mask,
        Marks::Label(_) => {
            return Err(Error::Image(
                "boxes, lines and points say that the image is defective, but not where: outline the defects"
                    .into(),
            ));
        }
    };
    let mask = mask::fit(mask, result.size, orientation(subject.image))?;
    mask::truth(&mask, side).map(Some)
}

/// Evaluates a folder, image by image. `progress` hears how many of how many are done; the small
/// pictures of the images come in their order.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, [`Error::Device`] if the device was lost.
pub async fn evaluate(
    detector: &Detector,
    test: &TestSet,
    model: &str,
    mut progress: impl FnMut(usize, usize),
) -> Result<(Evaluation, Vec<Vec<u8>>)> {
    let read = |file: usize| {
        let path = &test.files[file];
        std::fs::read(path).map_err(Error::io("read", path))
    };
    let mut session = Session::new(detector);
    let mut pictures = Vec::with_capacity(test.set.images.len());
    for (done, image) in test.set.images.iter().enumerate() {
        let bytes = read(image.file)?;
        let masks = image
            .masks
            .iter()
            .map(|&file| read(file))
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<_> = image
            .masks
            .iter()
            .map(|&file| test.files[file].to_string_lossy())
            .collect();
        let masks: Vec<MarkFile<'_>> = names
            .iter()
            .zip(&masks)
            .map(|(name, bytes)| MarkFile {
                name,
                bytes: Ok(bytes),
            })
            .collect();
        let subject = Subject {
            path: &image.path,
            name: &image.name,
            class: &image.class,
            image: &bytes,
            masks: &masks,
        };
        pictures.push(session.add(detector, subject).await?.picture);
        progress(done + 1, test.set.images.len());
    }
    let evaluation = session.finish(&test.name, model, test.set.notes.clone());
    Ok((evaluation, pictures))
}

/// All metrics; why one is missing goes into `missing`.
fn figures(images: Result<&Ranking, &Error>, pixels: &Ranking, missing: &mut Vec<Missing>) -> Metrics {
    let input = Input::new(images, pixels);
    Metrics::from_fn(|metric| match input.value(metric) {
        Ok(value) => Some(value),
        Err(reason) => {
            missing.push(Missing {
                figure: metric.name().into(),
                reason,
            });
            None
        }
    })
}

fn curves(images: Option<&Ranking>, pixels: &Ranking) -> Curves {
    Curves {
        image_roc: images.and_then(Ranking::roc),
        image_pr: images.and_then(Ranking::precision_recall),
        pixel_roc: pixels.roc(),
        pixel_pr: pixels.precision_recall(),
        overlap: pixels.overlap(AUPRO_LIMIT),
    }
}
